//! Numeric transforms at work.

use super::fill::Row;
use super::schema::Feature;
use super::source::{Source, Sources};
use super::transform::Transform;
use crate::context::parse_duration;
use crate::error::Result;
use ranklet_kernels::math::f64 as math;

/// A transform with everything resolved.
#[derive(Debug, Clone)]
pub(super) enum Step {
    Log1p,
    Clip(f64, f64),
    Standardise(f64, f64),
    Bucketise(Vec<f64>),
    Quantile(Vec<f64>),
    Age(f64),
    Ratio(Source),
    Product(Source),
    IsMissing,
}

/// The transforms of a feature.
#[inline(never)]
pub(super) fn steps(f: &Feature, s: &Sources) -> Result<Vec<Step>> {
    let mut by = s.by.iter().copied();
    let mut next = || by.next().unwrap_or(Source::Hour);
    f.transforms
        .iter()
        .map(|t| {
            Ok(match t {
                Transform::Log1p => Step::Log1p,
                Transform::Clip { low, high } => Step::Clip(*low, *high),
                Transform::Standardise { mean, std } => Step::Standardise(*mean, *std),
                Transform::Bucketise { edges } => Step::Bucketise(edges.clone()),
                Transform::Quantile { knots } => Step::Quantile(knots.clone()),
                Transform::Age { unit } => Step::Age(parse_duration(unit)?),
                Transform::Ratio { .. } => Step::Ratio(next()),
                Transform::Product { .. } => Step::Product(next()),
                Transform::IsMissing => Step::IsMissing,
            })
        })
        .collect()
}

impl Step {
    pub fn apply(&self, x: f64, row: &Row<'_>) -> f64 {
        if let Step::IsMissing = self {
            return if x.is_nan() { 1.0 } else { 0.0 };
        }
        if x.is_nan() {
            return x;
        }
        match self {
            Step::Log1p => math::ln_1p(math::max(x, 0.0)),
            Step::Clip(low, high) => math::clamp(x, *low, *high),
            Step::Standardise(mean, std) => (x - mean) / std,
            Step::Bucketise(edges) => edges.partition_point(|e| *e <= x) as f64,
            Step::Quantile(knots) => quantile(knots, x),
            Step::Age(unit) => (row.now - x) / unit,
            Step::Ratio(by) => {
                let by = row.number(*by);
                if by == 0.0 { f64::NAN } else { x / by }
            }
            Step::Product(by) => x * row.number(*by),
            Step::IsMissing => x,
        }
    }
}

/// Rank of `x` among ascending `knots`, linear between them; of equal knots the last.
fn quantile(knots: &[f64], x: f64) -> f64 {
    let last = (knots.len() - 1) as f64;
    let above = knots.partition_point(|k| *k <= x);
    if above == 0 {
        return 0.0;
    }
    if above == knots.len() {
        return 1.0;
    }
    let (low, high) = (knots[above - 1], knots[above]);
    ((above - 1) as f64 + (x - low) / (high - low)) / last
}
