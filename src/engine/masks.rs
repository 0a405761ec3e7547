//! Columns that nothing reads: attention over a padded history scores what is padding, and a mask that is the same for all
//! candidates puts another value in its place. Layers that are read through such a mask alone compute the columns from the
//! first one read to the last one; what lies in the others stays in the memory that it shares, and goes nowhere.

use super::plan::{Op, Plan, Rows, Step};

/// Columns of a panel of a layer.
const PANEL: usize = 16;

/// Scores of one column for each of many groups, and the layer that gives those groups, of which a Where reads some.
#[derive(Debug, Clone, Copy)]
pub(super) struct Mask {
    /// Steps.
    scores: usize,
    layer: usize,
    /// Columns of a group.
    group: usize,
    /// The value that says which are read, shared, an element for each group.
    pub condition: u32,
    /// What its elements are where they are read.
    holds: bool,
}

impl Mask {
    /// Whether it hides anything of a step.
    pub fn is_of(&self, step: usize) -> bool {
        step == self.scores || step == self.layer
    }

    /// The columns that the step computes, whole panels of the layer.
    pub fn columns(&self, step: usize, condition: &[i64]) -> [usize; 2] {
        let (mut first, mut end) = (0, 0);
        for (i, &c) in condition.iter().enumerate() {
            if (c != 0) == self.holds {
                first = if end == 0 { i } else { first };
                end = i + 1;
            }
        }
        if step == self.scores {
            return [first, end];
        }
        [first * self.group / PANEL * PANEL, (end * self.group).next_multiple_of(PANEL)]
    }
}

/// What a Where leaves unread. `alone(value)` is the step that computes a value which one other step reads and nobody else
/// wants.
#[inline(never)]
pub(super) fn find(plan: &Plan, step: &Step, alone: &dyn Fn(u32) -> Option<usize>) -> Option<Mask> {
    let value = |value: u32| plan.values[value as usize];
    let (Op::Where, &[condition, yes, no]) = (&step.op, &step.inputs[..]) else { return None };
    let (scores, holds) = alone(yes).map(|step| (step, true)).or_else(|| Some((alone(no)?, false)))?;
    let Op::Dense { inputs: group, outputs: 1, start: false, .. } = plan.steps[scores].op else { return None };
    let wide = plan.steps[scores].inputs[0];
    let layer = alone(wide)?;
    let Step { op: Op::Dense { weights: None, outputs, .. }, inputs, .. } = &plan.steps[layer] else { return None };
    let &[_, _, start] = &inputs[..] else { return None };
    let fits = value(wide).rows == Rows::Candidate
        && [value(condition).rows, value(start).rows] == [Rows::Shared; 2]
        && [value(wide).width, value(condition).width * group] == [*outputs; 2]
        && outputs.is_multiple_of(PANEL as u32);
    fits.then_some(Mask { scores, layer, group: group as usize, condition, holds })
}
