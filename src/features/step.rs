//! Numeric transforms at work.

use super::fill::Row;
use super::schema::Feature;
use super::source::{Source, Sources};
use super::transform::Transform;
use crate::context::parse_duration;
use crate::error::Result;
use ranklet_kernels::math::f64 as math;

/// A transform with what its names stand for.
#[derive(Debug, Clone)]
pub(super) struct Step {
    transform: Transform,
    /// Of those that have a `by`.
    by: Source,
    /// Of an age, ms.
    unit: f64,
}

/// The transforms of a feature.
#[inline(never)]
pub(super) fn steps(f: &Feature, s: &Sources) -> Result<Vec<Step>> {
    let mut by = s.by.iter().copied();
    let mut steps = Vec::with_capacity(f.transforms.len());
    for transform in &f.transforms {
        let mut step = Step { transform: transform.clone(), by: Source::Hour, unit: 1.0 };
        match transform {
            Transform::Age { unit } => step.unit = parse_duration(unit)?,
            Transform::Ratio { .. } | Transform::Product { .. } => step.by = by.next().unwrap_or(step.by),
            _ => {}
        }
        steps.push(step);
    }
    Ok(steps)
}

impl Step {
    /// Whether it depends on the clock.
    pub fn is_dynamic(&self) -> bool {
        matches!(self.transform, Transform::Age { .. })
    }

    pub fn apply(&self, x: f64, row: &Row<'_>) -> f64 {
        if let Transform::IsMissing = self.transform {
            return if x.is_nan() { 1.0 } else { 0.0 };
        }
        if x.is_nan() {
            return x;
        }
        match &self.transform {
            Transform::Log1p => math::ln_1p(math::max(x, 0.0)),
            Transform::Clip { low, high } => math::clamp(x, *low, *high),
            Transform::Standardise { mean, std } => (x - mean) / std,
            Transform::Bucketise { edges } => edges.partition_point(|e| *e <= x) as f64,
            Transform::Quantile { knots } => quantile(knots, x),
            Transform::Age { .. } => (row.now - x) / self.unit,
            Transform::Ratio { .. } => {
                let by = row.number(self.by);
                if by == 0.0 { f64::NAN } else { x / by }
            }
            Transform::Product { .. } => x * row.number(self.by),
            Transform::IsMissing => x,
        }
    }
}

/// Rank of `x` among ascending `knots`, linear between them; of equal knots the last.
fn quantile(knots: &[f64], x: f64) -> f64 {
    let above = knots.partition_point(|k| *k <= x);
    if above == 0 {
        return 0.0;
    }
    if above == knots.len() {
        return 1.0;
    }
    let last = (knots.len() - 1) as f64;
    let (low, high) = (knots[above - 1], knots[above]);
    ((above - 1) as f64 + (x - low) / (high - low)) / last
}
