//! What ai.onnx.ml does to raw scores: post transforms as ONNX Runtime computes them, in f32.

use crate::engine::plan::PostTransform;

/// How the one score of a classifier of two classes becomes two.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Second {
    /// The score is a probability: `[1 - s, s]`; as a margin's where LOGISTIC is asked for.
    Probability,
    /// The score is a margin: `[-s, s]`. LOGISTIC makes margins of both.
    Margin,
    /// It stays one.
    None,
}

/// Scores after the post transform. A single score passes all of them but PROBIT as it is.
pub(super) fn finish(post: PostTransform, scores: &[f32], second: Second) -> Vec<f32> {
    let &[s] = scores else {
        let mut scores = scores.to_vec();
        transform(post, &mut scores);
        return scores;
    };
    match (post, second) {
        (PostTransform::Probit, _) => vec![probit(s)],
        (PostTransform::Logistic, Second::Probability | Second::Margin) => vec![logistic(-s), logistic(s)],
        (_, Second::Probability) => vec![1.0 - s, s],
        (_, Second::Margin) => vec![-s, s],
        (_, Second::None) => vec![s],
    }
}

fn transform(post: PostTransform, scores: &mut [f32]) {
    match post {
        PostTransform::None => {}
        PostTransform::Logistic => scores.iter_mut().for_each(|score| *score = logistic(*score)),
        PostTransform::Probit => scores.iter_mut().for_each(|score| *score = probit(*score)),
        PostTransform::Softmax | PostTransform::SoftmaxZero => {
            let zero = post == PostTransform::SoftmaxZero;
            let top = scores.iter().fold(f32::MIN, |top, &score| if score > top { score } else { top });
            let mut total = 0.0;
            for score in scores.iter_mut() {
                // SOFTMAX_ZERO keeps what is zero (within 1e-7) out of the sum.
                if zero && score.abs() <= 1e-7 {
                    *score *= exp(-top);
                } else {
                    *score = exp(*score - top);
                    total += *score;
                }
            }
            scores.iter_mut().for_each(|score| *score /= total);
        }
    }
}

/// Rounded once, as the C libraries under ONNX Runtime have it.
fn exp(v: f32) -> f32 {
    libm::exp(f64::from(v)) as f32
}

fn logistic(v: f32) -> f32 {
    let p = 1.0 / (1.0 + exp(-v.abs()));
    if v < 0.0 { 1.0 - p } else { p }
}

/// ONNX Runtime's approximation of the normal quantile (Winitzki's inverse error function).
fn probit(p: f32) -> f32 {
    let x = 2.0 * p - 1.0;
    let sign = if x < 0.0 { -1.0 } else { 1.0 };
    let log = libm::log(f64::from((1.0 - x) * (1.0 + x))) as f32;
    let v = 2.0 / (std::f32::consts::PI * 0.147) + 0.5 * log;
    let root = (-v + (v * v - 1.0 / 0.147 * log).sqrt()).sqrt();
    std::f32::consts::SQRT_2 * (sign * root)
}

/// A post transform by its name; NONE where none is given.
pub(super) fn named(name: Option<String>) -> Result<PostTransform, String> {
    Ok(match name.as_deref() {
        None | Some("NONE") => PostTransform::None,
        Some("SOFTMAX") => PostTransform::Softmax,
        Some("SOFTMAX_ZERO") => PostTransform::SoftmaxZero,
        Some("LOGISTIC") => PostTransform::Logistic,
        Some("PROBIT") => PostTransform::Probit,
        Some(other) => return Err(format!("post_transform `{other}`")),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn transforms_have_their_values() {
        let close = |y: Vec<f32>, expected: &[f32]| {
            assert_eq!(y.len(), expected.len());
            assert!(y.iter().zip(expected).all(|(a, b)| (a - b).abs() <= 1e-5), "{y:?} for {expected:?}");
        };
        let run = |post, scores: &[f32]| finish(post, scores, Second::None);
        close(run(PostTransform::Softmax, &[0.0, 0.0]), &[0.5, 0.5]);
        close(run(PostTransform::SoftmaxZero, &[0.0, 1.0, 1.0]), &[0.0, 0.5, 0.5]);
        close(run(PostTransform::Logistic, &[0.0, 2.0]), &[0.5, 0.880_797]);
        close(run(PostTransform::Probit, &[0.5, 0.9]), &[0.0, 1.281_712]);
        close(run(PostTransform::Logistic, &[2.0]), &[2.0]);
        close(finish(PostTransform::Logistic, &[2.0], Second::Margin), &[0.119_203, 0.880_797]);
        close(finish(PostTransform::Logistic, &[2.0], Second::Probability), &[0.119_203, 0.880_797]);
        close(finish(PostTransform::None, &[0.25], Second::Probability), &[0.75, 0.25]);
    }
}
