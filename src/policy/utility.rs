//! The utility, and the order that it makes.

use super::Policy;
use super::input::Input;
use crate::error::ErrorKind;
use ranklet_kernels::sorted::sorted;
use std::cmp::Ordering;

/// U = sum over heads of w p v, plus the caller's boost; v and boost as given, 1 and 0 when missing.
pub fn utility(weights: &[f64], calibrated: &[f64], value: f64, boost: f64) -> f64 {
    let value = if value.is_nan() { 1.0 } else { value };
    let boost = if boost.is_nan() { 0.0 } else { boost };
    weights.iter().zip(calibrated).fold(0.0, |sum, (w, p)| sum + w * p * value) + boost
}

/// U of each scored row.
///
/// # Errors
/// `score_not_finite`.
pub(super) fn utilities(policy: &Policy, input: &Input, into: &mut Vec<f64>) -> Result<(), ErrorKind> {
    let weights = policy.weights(input.surface.as_deref());
    into.clear();
    for (candidate, p) in input.candidates.iter().zip(input.calibrated.chunks_exact(input.heads.max(1))) {
        // The caller knows the worth of this candidate; a head of the model only that of its like.
        let value = match policy.spec.value_head {
            Some(head) if candidate.value.is_nan() => p[head],
            _ => candidate.value,
        };
        let u = utility(&weights, p, value, candidate.boost);
        if !u.is_finite() || p.iter().any(|p| !p.is_finite()) {
            return Err(ErrorKind::ScoreNotFinite);
        }
        into.push(u);
    }
    Ok(())
}

/// Rows that were scored by U, then the raw primary head, then the server's rank; the others behind them, by rank.
pub(super) fn ranked(input: &Input, utilities: &[f64]) -> Vec<usize> {
    let primary = |row: usize| input.raw[row * input.heads];
    sorted(input.candidates.len(), &|a, b| match (utilities.get(a), utilities.get(b)) {
        (Some(x), Some(y)) => {
            let descending = |x: Option<Ordering>| x.unwrap_or(Ordering::Equal).reverse();
            descending(x.partial_cmp(y)).then_with(|| descending(primary(a).partial_cmp(&primary(b))))
        }
        (x, y) => y.is_some().cmp(&x.is_some()),
    })
}

/// (U - mean) / standard deviation over the scored rows; 0 for all where they are alike.
pub(super) fn standardised(utilities: &[f64], into: &mut Vec<f64>) {
    let n = utilities.len() as f64;
    let mean = utilities.iter().fold(0.0, |sum, u| sum + u) / n;
    let variance = utilities.iter().fold(0.0, |sum, u| sum + (u - mean) * (u - mean)) / n;
    let scale = if variance > 0.0 && variance.is_finite() { 1.0 / variance.sqrt() } else { 0.0 };
    into.clear();
    into.extend(utilities.iter().map(|u| (u - mean) * scale));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn utility_adds_objectives_and_boost() {
        assert_eq!(utility(&[2.0, 0.5], &[0.25, 0.5], f64::NAN, f64::NAN), 0.75);
        assert_eq!(utility(&[2.0, 0.5], &[0.25, 0.5], 10.0, -1.0), 6.5);
    }

    #[test]
    fn standardised_has_mean_0_and_deviation_1() {
        let mut z = Vec::new();
        standardised(&[1.0, 3.0], &mut z);
        assert_eq!(z, [-1.0, 1.0]);
        standardised(&[2.0, 2.0], &mut z);
        assert_eq!(z, [0.0, 0.0]);
    }
}
