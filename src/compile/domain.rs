//! Which values the columns of inputs may have, where an operator defines its result for some alone: indices of an axis,
//! known categories. Check rows keep to them; the oracle has no answer elsewhere.

use super::lower::Lowering;
use crate::engine::plan::Op;
use crate::engine::tensor::Tensor;
use std::collections::BTreeMap;

/// A column of an input of the plan: place among [`crate::engine::plan::Plan::inputs`], place in its row.
pub(super) type Column = (usize, usize);

/// The values to draw, by column; a column that is not named has no limit.
pub(crate) type Domains = BTreeMap<Column, Vec<f32>>;

/// Indices that are drawn of an axis, at most (about).
const INDICES: usize = 64;

/// Indices of an axis: its ends from either side, and others between them.
pub(super) fn indices(size: usize) -> Vec<f32> {
    let n = size as i64;
    let mut list: Vec<i64> = (0..n).step_by(size.div_ceil(INDICES).max(1)).collect();
    list.extend([1, 2, 3, n - 2, n - 1, -1, -n]);
    list.retain(|&i| (-n..n).contains(&i));
    list.sort_unstable();
    list.dedup();
    // A float holds them all: no axis is longer than 2^24.
    list.into_iter().map(|i| i as f32).collect()
}

impl Lowering {
    /// Limits the columns of inputs behind a value, where it is nothing but such columns.
    pub fn limit(&mut self, value: u32, to: &[f32]) {
        for column in self.sources(value).into_iter().flatten() {
            let known = self.domains.entry(column).or_insert_with(|| to.to_vec());
            if known.iter().any(|v| to.contains(v)) {
                known.retain(|v| to.contains(v));
            }
        }
    }

    /// For each column of a value, the input's column that it is.
    fn sources(&self, value: u32) -> Vec<Option<Column>> {
        let width = self.width(value);
        if let Some(port) = self.plan.inputs.iter().position(|port| port.value == value) {
            return (0..width).map(|column| Some((port, column))).collect();
        }
        let Some(step) = self.plan.steps.iter().rev().find(|step| step.output == value) else {
            return vec![None; width];
        };
        match &step.op {
            Op::Cast => self.sources(step.inputs[0]),
            Op::Concat => step.inputs.iter().flat_map(|&input| self.sources(input)).collect(),
            Op::Select { columns, .. } => {
                let from = self.sources(step.inputs[0]);
                let columns = self.tensors.get(columns).and_then(Tensor::as_i32).unwrap_or(&[]);
                columns.iter().map(|&c| usize::try_from(c).ok().and_then(|c| from[c])).collect()
            }
            _ => vec![None; width],
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn indices_reach_both_ends() {
        assert_eq!(indices(1), [-1.0, 0.0]);
        let long = indices(10_000);
        assert!(long.len() < 100 && [-10_000.0, -1.0, 0.0, 9_999.0].iter().all(|end| long.contains(end)));
    }
}
