//! Drawing one of those that may stand at a position, with its exact probability.

use super::noise::Noise;
use super::spec::{Explore, ExploreMethod};
use ranklet_kernels::math::f64 as math;

/// Streams beside those of the candidates.
const COIN: u64 = 0x636f_696e;
const PICK: u64 = 0x7069_636b;

/// Which was drawn, and P and ln P of it.
pub(super) struct Drawn {
    pub index: usize,
    pub probability: f64,
    pub log: f64,
}

/// Draws one of `scores`, whose best is `best` and whose candidates have these `ids`. `weights` is working memory.
pub(super) fn draw(
    explore: &Explore,
    noise: Noise,
    position: usize,
    scores: &[f64],
    best: usize,
    id: impl Fn(usize) -> u64,
    weights: &mut Vec<f64>,
) -> Drawn {
    let n = scores.len() as f64;
    let noise = noise.at(position);
    match explore.method {
        ExploreMethod::EpsilonGreedy => {
            let epsilon = explore.strength;
            let index = if noise.uniform(COIN) < epsilon {
                // Below n, since the noise is below 1; the rounding of a product may still reach it.
                ((noise.uniform(PICK) * n) as usize).min(scores.len() - 1)
            } else {
                best
            };
            let probability = if index == best { (1.0 - epsilon) + epsilon / n } else { epsilon / n };
            Drawn { index, probability, log: math::ln(probability) }
        }
        ExploreMethod::PlackettLuce => {
            let top = scores[best];
            let logit = |score: f64| (score - top) / explore.strength;
            weights.clear();
            weights.extend(scores.iter().map(|&score| math::exp(logit(score))));
            // The least of E / w over candidates, E exponential with mean 1, falls on each in proportion to its w: Gumbel-max
            // with one logarithm less.
            let (mut index, mut first, mut sum) = (best, f64::INFINITY, 0.0);
            for (i, &weight) in weights.iter().enumerate() {
                sum += weight;
                let uniform = noise.uniform(id(i));
                // -ln u is 1 - u at least, so most are out without their logarithm; the margin is beyond its rounding.
                if (1.0 - uniform) * (1.0 - 1e-9) < first * weight {
                    let time = -math::ln(uniform) / weight;
                    if time < first {
                        (index, first) = (i, time);
                    }
                }
            }
            Drawn { index, probability: weights[index] / sum, log: logit(scores[index]) - math::ln(sum) }
        }
    }
}
