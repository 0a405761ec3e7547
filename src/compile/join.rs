//! Narrow layers over one value become one layer beside each other, and so does what follows of each alike: the gates of a
//! mixture of experts. A tile of four columns is as long as one of sixteen, and every step costs a call. Columns do not see
//! each other, so no bit changes.

use super::fuse::store;
use crate::engine::plan::{Op, Plan, Step, Value};
use crate::engine::tensor::{Data, Tensor, Tensors};
use std::collections::HashMap;

/// Outputs of the widest layer that is joined: of more a tile is full, and taking them apart again is a copy.
const NARROW: u32 = 8;

/// Values that are now columns of a joined one: that, which of its parts, of how many.
type Parts = HashMap<u32, (u32, usize, usize)>;

/// Joins what can be; steps that nothing reads any more are left to be pruned.
pub(super) fn join(plan: &mut Plan, tensors: &mut Tensors) {
    let mut parts = Parts::new();
    let mut at = 0;
    while at < plan.steps.len() {
        let key = |step: &Step| key(plan, tensors, &parts, step);
        if let Some(wanted) = key(&plan.steps[at]) {
            let mut members: Vec<usize> =
                (at..plan.steps.len()).filter(|&s| key(&plan.steps[s]).as_ref() == Some(&wanted)).collect();
            // Parts of one value are read in its order, each once.
            let part = |s: usize| plan.steps[s].inputs.iter().find_map(|input| parts.get(input));
            members.sort_by_key(|&s| part(s).map(|part| part.1));
            let whole =
                members.iter().enumerate().all(|(i, &s)| part(s).is_none_or(|p| (p.1, p.2) == (i, members.len())));
            if members.len() > 1 && whole {
                at += replace(plan, tensors, &mut parts, at, &members);
            }
        }
        at += 1;
    }
}

/// What steps that can be joined have in common; none of a step that cannot.
fn key(plan: &Plan, tensors: &Tensors, parts: &Parts, step: &Step) -> Option<String> {
    let out = plan.values[step.output as usize];
    let mut places = step.inputs.iter().filter_map(|input| parts.get(input));
    let first = places.next();
    let alike = places.all(|place| first.is_some_and(|first| first.1 == place.1));
    let inputs: Vec<(bool, u32)> =
        step.inputs.iter().map(|v| parts.get(v).map_or((false, *v), |p| (true, p.0))).collect();
    let mut op = step.op.clone();
    match &mut op {
        Op::Dense { weights, scales: None, bias, outputs, .. }
            if (2..=NARROW).contains(outputs)
                && out.width == *outputs
                && !inputs[0].0
                && inputs[1..].iter().all(|i| i.0) =>
        {
            tensors.get(weights.as_ref()?)?.as_f32()?;
            *weights = None;
            *bias = bias.as_ref().map(|_| String::new());
        }
        Op::Softmax { group, inner: 1, .. } if out.width == *group && inputs[0].0 => {}
        _ => return None,
    }
    alike.then(|| format!("{op:?} {inputs:?} {:?}", out.rows))
}

/// One step in the place of `at`, the first of `members`, and behind it what takes its columns apart: how many those are.
fn replace(plan: &mut Plan, tensors: &mut Tensors, parts: &mut Parts, at: usize, members: &[usize]) -> usize {
    let steps: Vec<Step> = members.iter().map(|&s| plan.steps[s].clone()).collect();
    let out = plan.values[steps[0].output as usize];
    let (count, width) = (steps.len(), out.width);
    let mut joined = steps[0].clone();
    if let Op::Dense { weights, bias, outputs, inputs, .. } = &mut joined.op {
        // Rows of the same number of each, beside each other.
        let mut beside =
            |name: &mut Option<String>, dims: &[usize], of: &dyn for<'a> Fn(&'a Op) -> Option<&'a String>| {
                let Some(first) = name.clone() else { return };
                let all: Vec<&[f32]> = steps.iter().filter_map(|step| tensors.get(of(&step.op)?)?.as_f32()).collect();
                let rows = all[0].len() / width as usize;
                let row = |r: usize| all.iter().flat_map(move |w| &w[r * width as usize..][..width as usize]);
                let data = (0..rows).flat_map(row).copied().collect();
                *name = Some(store(tensors, &format!("{first}.joined"), Tensor::f32(dims, data)));
            };
        *outputs = width * count as u32;
        beside(weights, &[*inputs as usize, *outputs as usize], &matrix_of);
        beside(bias, &[*outputs as usize], &bias_of);
    }
    plan.values.push(Value { width: width * count as u32, ..out });
    joined.output = plan.values.len() as u32 - 1;
    for input in &mut joined.inputs {
        *input = parts.get(input).map_or(*input, |part| part.0);
    }
    let mut apart = vec![];
    for (i, step) in steps.into_iter().enumerate() {
        parts.insert(step.output, (joined.output, i, count));
        let columns = (i as i32 * width as i32..).take(width as usize).collect();
        let tensor = store(tensors, "columns", Tensor { dims: vec![width as usize], data: Data::I32(columns) });
        apart.push(Step { op: Op::Select { columns: tensor, fill: 0.0 }, inputs: vec![joined.output], ..step });
    }
    let mut gone = members.to_vec();
    gone.sort_unstable();
    gone.into_iter().rev().for_each(|s| drop(plan.steps.remove(s)));
    plan.steps.splice(at..at, std::iter::once(joined).chain(apart));
    count
}

fn matrix_of(op: &Op) -> Option<&String> {
    if let Op::Dense { weights, .. } = op { weights.as_ref() } else { None }
}

fn bias_of(op: &Op) -> Option<&String> {
    if let Op::Dense { bias, .. } = op { bias.as_ref() } else { None }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::compile::fuse::prune;
    use crate::engine::plan::{Port, Unary};
    use crate::engine::{Buffer, DType, Interpreter, Rows, Slice};
    use proptest::prelude::*;

    fn port(plan: &Plan, name: &str, value: u32) -> Port {
        let Value { rows, width, .. } = plan.values[value as usize];
        let dims = vec![if rows == Rows::Shared { 1 } else { -1 }, i64::from(width)];
        Port { name: format!("{name}{value}"), value, dims }
    }

    /// Gates over one value, each started at parts of others, and a softmax of each; `seen`: gates that are outputs as they are.
    fn gates(widths: &[u32], activation: Unary, seen: u8) -> (Plan, Tensors) {
        let (mut plan, mut tensors) = (Plan::default(), Tensors::new());
        let mut state = 7u32;
        let mut draw = |n: u32| -> Vec<f32> {
            (0..n)
                .map(|_| {
                    state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                    (state >> 8) as f32 / (1 << 23) as f32 - 1.0
                })
                .collect()
        };
        let value = |plan: &mut Plan, rows, width| {
            plan.values.push(Value { dtype: DType::F32, rows, width });
            plan.values.len() as u32 - 1
        };
        let inputs = [(Rows::Candidate, 5), (Rows::Candidate, 3), (Rows::Shared, 4)];
        let inputs = inputs.map(|(rows, width)| value(&mut plan, rows, width));
        for value in inputs {
            plan.inputs.push(port(&plan, "x", value));
        }
        for (i, &outputs) in widths.iter().enumerate() {
            let mut layer = |plan: &mut Plan, x: u32, rows, starts: &[u32], biased: bool, activation| {
                let inputs = plan.values[x as usize].width;
                let name = format!("w{i}.{x}");
                tensors.insert(name.clone(), Tensor::f32(&[inputs as usize, outputs as usize], draw(inputs * outputs)));
                let bias = biased.then(|| format!("{name}.bias"));
                bias.iter().for_each(|bias| {
                    drop(tensors.insert(bias.clone(), Tensor::f32(&[outputs as usize], draw(outputs))))
                });
                let start = !starts.is_empty();
                let op = Op::Dense { weights: Some(name), scales: None, bias, start, inputs, outputs, activation };
                let output = value(plan, rows, outputs);
                let inputs = std::iter::once(x).chain(starts.iter().copied()).collect();
                plan.steps.push(Step { op, node: "gate".into(), inputs, output });
                output
            };
            let own = layer(&mut plan, inputs[0], Rows::Candidate, &[], false, Unary::Identity);
            let request = layer(&mut plan, inputs[2], Rows::Shared, &[], true, Unary::Identity);
            let gate = layer(&mut plan, inputs[1], Rows::Candidate, &[own, request], false, activation);
            let output = value(&mut plan, Rows::Candidate, outputs);
            let op = Op::Softmax { group: outputs, inner: 1, log: false };
            plan.steps.push(Step { op, node: "softmax".into(), inputs: vec![gate], output });
            for value in [output].into_iter().chain((seen >> i & 1 == 1).then_some(gate)) {
                plan.outputs.push(port(&plan, "y", value));
            }
        }
        (plan, tensors)
    }

    fn run(plan: &Plan, tensors: &Tensors) -> Vec<Vec<u32>> {
        let inputs: Vec<Buffer> = plan
            .inputs
            .iter()
            .map(|port| {
                let value = plan.values[port.value as usize];
                let n = value.width * if value.rows == Rows::Shared { 1 } else { 70 };
                Buffer::F32((0..n).map(|i| (i * 37 % 101) as f32 / 50.0 - 1.0).collect())
            })
            .collect();
        let slices: Vec<Slice<'_>> = inputs.iter().map(Buffer::slice).collect();
        let outputs = Interpreter::new(plan.clone(), tensors).unwrap().run_all(&slices, 70).unwrap();
        outputs.iter().map(|y| y.slice().f32().iter().map(|v| v.to_bits()).collect()).collect()
    }

    proptest! {
        #[test]
        fn joined_gates_have_the_bits_of_each_alone(
            widths in prop::collection::vec(1u32..11, 1..6), alike: bool, relu: bool, seen: u8,
        ) {
            let widths = if alike { vec![widths[0]; widths.len()] } else { widths };
            let (mut plan, mut tensors) = gates(&widths, if relu { Unary::Relu } else { Unary::Tanh }, seen);
            let expected = run(&plan, &tensors);
            join(&mut plan, &mut tensors);
            prune(&mut plan);
            prop_assert_eq!(run(&plan, &tensors), expected);
            if alike && widths.len() > 1 && (2..=NARROW).contains(&widths[0]) {
                // One of each kind, and what takes them apart for the outputs.
                let apart = widths.len() + (0..widths.len()).filter(|i| seen >> i & 1 == 1).count();
                prop_assert_eq!(plan.steps.len(), 4 + apart);
            }
        }
    }
}
