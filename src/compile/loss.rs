//! What small weights do to a plan's outputs: how far a score moves, and what that does to the order.

use crate::engine::plan::{Plan, Rows};
use crate::engine::tensor::{Tensor, Tensors};
use ranklet_kernels::math::f64 as math;

/// Rows of a list whose order is compared, at most: about as many as are re-ranked at once.
const LIST: usize = 100;

/// What changed.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Loss {
    /// Largest |small - exact| / max(1, |exact|) over all f32 outputs; infinite where one of them is not finite.
    pub error: f64,
    /// Where that is.
    pub worst: Option<String>,
    /// NDCG of the small scores' order against the exact ones', mean over the lists, of the worst output column.
    pub ndcg: f64,
    /// Elements of other outputs that differ.
    pub labels_changed: usize,
}

/// Compares every output of a plan with what it was under exact weights.
pub(super) fn measure(plan: &Plan, exact: &Tensors, small: &Tensors) -> Loss {
    let mut loss = Loss { error: 0.0, worst: None, ndcg: 1.0, labels_changed: 0 };
    for port in &plan.outputs {
        let (Some(want), Some(have)) = (exact.get(&port.name), small.get(&port.name)) else { continue };
        let value = plan.values[port.value as usize];
        let (Some(want), Some(have)) = (want.as_f32(), have.as_f32()) else {
            loss.labels_changed += differing(want, have);
            continue;
        };
        let width = value.width as usize;
        for (at, (&w, &h)) in want.iter().zip(have).enumerate() {
            let error = difference(w, h);
            if error > loss.error {
                loss.error = error;
                let (row, column) = (at / width, at % width);
                loss.worst = Some(format!("output `{}`, row {row}, column {column}: {w} became {h}", port.name));
            }
        }
        if value.rows == Rows::Candidate {
            for column in 0..width {
                let of = |v: &[f32]| -> Vec<f32> { v.iter().skip(column).step_by(width).copied().collect() };
                let ndcg = lists_ndcg(&of(want), &of(have));
                if ndcg < loss.ndcg {
                    loss.ndcg = ndcg;
                }
            }
        }
    }
    loss
}

/// Relative to max(1, |exact|). What is not finite is no score in either form, so that one such is as good as another.
fn difference(exact: f32, small: f32) -> f64 {
    match (exact.is_finite(), small.is_finite()) {
        (true, true) => (f64::from(exact) - f64::from(small)).abs() / math::max(1.0, f64::from(exact.abs())),
        (false, false) => 0.0,
        _ => f64::INFINITY,
    }
}

fn differing(want: &Tensor, have: &Tensor) -> usize {
    fn count<T: PartialEq>(want: Option<&[T]>, have: Option<&[T]>) -> usize {
        want.unwrap_or_default().iter().zip(have.unwrap_or_default()).filter(|(w, h)| w != h).count()
    }
    count(want.as_i64(), have.as_i64()) + count(want.as_i32(), have.as_i32()) + count(want.as_u8(), have.as_u8())
}

/// Mean over lists of at most [`LIST`] rows, each drawn evenly from all.
fn lists_ndcg(truth: &[f32], scores: &[f32]) -> f64 {
    let rows: Vec<(f32, f32)> =
        truth.iter().copied().zip(scores.iter().copied()).filter(|(t, s)| t.is_finite() && s.is_finite()).collect();
    let lists = rows.len().div_ceil(LIST);
    if rows.len() < 2 {
        return 1.0;
    }
    let of = |list: usize| rows.iter().skip(list).step_by(lists).copied().collect::<Vec<_>>();
    (0..lists).map(|list| ndcg(&of(list))).sum::<f64>() / lists as f64
}

/// NDCG of one list of (truth, score): a row's gain is the share of the others that its truth is above, ties counting
/// half; the discount of position p (from 1) is 1 / log(1 + p).
fn ndcg(rows: &[(f32, f32)]) -> f64 {
    let others = math::max(1.0, rows.len() as f64 - 1.0);
    let gain = |row: usize| {
        let truth = rows[row].0;
        let below = rows.iter().filter(|(t, _)| *t < truth).count() as f64;
        let alike = rows.iter().filter(|(t, _)| *t == truth).count() as f64 - 1.0;
        (below + alike / 2.0) / others
    };
    let gained = |by: &dyn Fn(usize) -> f32| {
        let mut order: Vec<usize> = (0..rows.len()).collect();
        order.sort_by(|&a, &b| by(b).total_cmp(&by(a)));
        order.iter().enumerate().map(|(p, &row)| gain(row) / math::ln(p as f64 + 2.0)).sum::<f64>()
    };
    let ideal = gained(&|row| rows[row].0);
    if ideal > 0.0 { gained(&|row| rows[row].1) / ideal } else { 1.0 }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ndcg_is_one_for_the_same_order_and_known_for_a_swap() {
        let list = |scores: [f32; 3]| ndcg(&[(0.9, scores[0]), (0.5, scores[1]), (0.1, scores[2])]);
        assert_eq!(list([3.0, 2.0, 1.0]), 1.0);
        // Gains 1, 1/2, 0 at the places 1, 2, 3 against 1/2, 1, 0.
        let log = |x: f64| math::ln(x);
        let (ideal, swapped) = (1.0 / log(2.0) + 0.5 / log(3.0), 0.5 / log(2.0) + 1.0 / log(3.0));
        assert!((list([2.0, 3.0, 1.0]) - swapped / ideal).abs() < 1e-12);
        assert!(list([1.0, 2.0, 3.0]) < list([2.0, 3.0, 1.0]));
        assert_eq!(ndcg(&[(0.5, 1.0), (0.5, 7.0)]), 1.0, "ties have no order to lose");
    }

    #[test]
    fn a_score_that_is_no_longer_finite_is_an_infinite_error() {
        assert_eq!(difference(f32::NAN, f32::INFINITY), 0.0);
        assert_eq!(difference(1.0, f32::NAN), f64::INFINITY);
        assert_eq!(difference(4.0, 5.0), 0.25);
        assert_eq!(difference(0.25, 0.5), 0.25);
    }

    #[test]
    fn long_inputs_are_many_lists() {
        let truth: Vec<f32> = (0..250).map(|i| (i * 37 % 250) as f32).collect();
        assert_eq!(lists_ndcg(&truth, &truth), 1.0);
        let reversed: Vec<f32> = truth.iter().map(|t| -t).collect();
        assert!(lists_ndcg(&truth, &reversed) < 0.8);
    }
}
