//! Passes over the written plan: batch normalisation, bias and activation move into the dense
//! layer before them; what no output needs is dropped; values are numbered in order.

use super::lower::Lowering;
use super::norms::Affine;
use crate::engine::plan::{Binary, Op, Plan, Step, Unary};
use crate::engine::tensor::{Data, Tensor, Tensors};
use std::collections::{BTreeSet, HashMap};

/// Runs all passes.
pub(super) fn fuse(lowering: &mut Lowering) {
    prune(&mut lowering.plan);
    for affine in std::mem::take(&mut lowering.affines) {
        batch_norm(&mut lowering.plan, &mut lowering.tensors, &affine);
    }
    while let Some(step) = next_bias(&lowering.plan, &lowering.tensors) {
        bias(&mut lowering.plan, step);
    }
    while let Some(step) = next_activation(&lowering.plan) {
        activation(&mut lowering.plan, step);
    }
    prune(&mut lowering.plan);
    renumber(&mut lowering.plan);
    let used: BTreeSet<String> = lowering.plan.steps.iter().flat_map(|step| names(&step.op)).cloned().collect();
    lowering.tensors.retain(|name, _| used.contains(name));
}

/// Tensors that an operation reads.
fn names(op: &Op) -> Vec<&String> {
    match op {
        Op::Dense { weights, bias, .. } => std::iter::once(weights).chain(bias).collect(),
        Op::Constant { tensor } => vec![tensor],
        Op::LayerNorm { scale, bias, .. } => std::iter::once(scale).chain(bias).collect(),
        Op::Trees(t) => {
            [&t.roots, &t.feature, &t.threshold, &t.mode, &t.yes, &t.no, &t.leaf_start, &t.target, &t.weight]
                .into_iter()
                .chain(&t.base)
                .collect()
        }
        _ => vec![],
    }
}

fn writer(plan: &Plan, value: u32) -> Option<usize> {
    plan.steps.iter().position(|step| step.output == value)
}

/// How often a value is read, by steps or as an output.
fn uses(plan: &Plan, value: u32) -> usize {
    let steps = plan.steps.iter().flat_map(|step| &step.inputs).filter(|&&input| input == value).count();
    steps + plan.outputs.iter().filter(|port| port.value == value).count()
}

/// The plain dense layer (no activation yet) that alone feeds `value` to its only reader.
fn dense_before(plan: &Plan, value: u32) -> Option<usize> {
    let step = writer(plan, value)?;
    let plain = matches!(&plan.steps[step].op, Op::Dense { activation: Unary::Identity, .. });
    (plain && uses(plan, value) == 1).then_some(step)
}

fn batch_norm(plan: &mut Plan, tensors: &mut Tensors, affine: &Affine) {
    let [scaled, shifted] = affine.outputs;
    let (Some(dense), Some(mul), Some(add)) =
        (dense_before(plan, affine.input), writer(plan, scaled), writer(plan, shifted))
    else {
        return;
    };
    let Op::Dense { weights, bias, .. } = plan.steps[dense].op.clone() else { return };
    // Weights shared between positions of a row have another width and stay.
    let outputs = affine.scale.len();
    let shared = plan.steps.iter().filter(|step| names(&step.op).contains(&&weights)).count() > 1;
    let (Some(old), true) = (tensors.get(&weights).cloned(), !shared) else { return };
    let ([inputs, columns], Some(w)) = (old.dims.as_slice(), old.as_f32()) else { return };
    if *columns != outputs {
        return;
    }
    let folded: Vec<f32> =
        w.iter().enumerate().map(|(i, &w)| (f64::from(w) * affine.scale[i % outputs]) as f32).collect();
    let old_bias = bias.as_ref().and_then(|name| tensors.get(name)).and_then(Tensor::as_f32);
    let shift: Vec<f32> = (0..outputs)
        .map(|o| (old_bias.map_or(0.0, |b| f64::from(b[o])) * affine.scale[o] + affine.shift[o]) as f32)
        .collect();
    let name = bias.unwrap_or_else(|| format!("{weights}.bias"));
    tensors.insert(weights.clone(), Tensor::f32(&[*inputs, outputs], folded));
    tensors.insert(name.clone(), Tensor::f32(&[outputs], shift));
    plan.steps[dense].op = Op::Dense { weights, bias: Some(name), activation: Unary::Identity };
    plan.steps[dense].output = shifted;
    remove(plan, &[mul, add]);
}

fn remove(plan: &mut Plan, steps: &[usize]) {
    let mut index = 0;
    plan.steps.retain(|_| {
        index += 1;
        !steps.contains(&(index - 1))
    });
}

/// A dense layer without bias whose only reader adds a constant row: (layer, addition, tensor).
fn next_bias(plan: &Plan, tensors: &Tensors) -> Option<(usize, usize, String)> {
    plan.steps.iter().enumerate().find_map(|(add, step)| {
        let (Op::Binary { f: Binary::Add }, [a, b]) = (&step.op, step.inputs.as_slice()) else { return None };
        [(*a, *b), (*b, *a)].into_iter().find_map(|(x, row)| {
            let dense = dense_before(plan, x)?;
            let Op::Dense { bias: None, .. } = plan.steps[dense].op else { return None };
            let Op::Constant { tensor } = &plan.steps[writer(plan, row)?].op else { return None };
            let fits = matches!(tensors.get(tensor)?.data, Data::F32(_))
                && plan.values[row as usize].width == plan.values[x as usize].width;
            fits.then(|| (dense, add, tensor.clone()))
        })
    })
}

fn bias(plan: &mut Plan, (dense, add, tensor): (usize, usize, String)) {
    if let Op::Dense { bias, .. } = &mut plan.steps[dense].op {
        *bias = Some(tensor);
    }
    plan.steps[dense].output = plan.steps[add].output;
    remove(plan, &[add]);
}

fn next_activation(plan: &Plan) -> Option<(usize, usize, Unary)> {
    plan.steps.iter().enumerate().find_map(|(at, step)| {
        let Op::Unary(f) = step.op else { return None };
        Some((dense_before(plan, step.inputs[0])?, at, f))
    })
}

fn activation(plan: &mut Plan, (dense, at, f): (usize, usize, Unary)) {
    if let Op::Dense { activation, .. } = &mut plan.steps[dense].op {
        *activation = f;
    }
    plan.steps[dense].output = plan.steps[at].output;
    remove(plan, &[at]);
}

/// Drops steps that no output needs.
fn prune(plan: &mut Plan) {
    let mut needed: BTreeSet<u32> = plan.outputs.iter().map(|port| port.value).collect();
    let mut kept: Vec<Step> = vec![];
    for step in plan.steps.drain(..).rev() {
        if needed.contains(&step.output) {
            needed.extend(&step.inputs);
            kept.push(step);
        }
    }
    kept.reverse();
    plan.steps = kept;
}

/// Values in order: inputs, then each step's.
fn renumber(plan: &mut Plan) {
    let order = plan.inputs.iter().map(|port| port.value).chain(plan.steps.iter().map(|step| step.output));
    let mut numbers: HashMap<u32, u32> = HashMap::new();
    let mut values = vec![];
    for old in order {
        numbers.insert(old, values.len() as u32);
        values.push(plan.values[old as usize]);
    }
    let new = |old: &mut u32| *old = numbers.get(old).copied().unwrap_or(u32::MAX);
    plan.inputs.iter_mut().chain(&mut plan.outputs).for_each(|port| new(&mut port.value));
    for step in &mut plan.steps {
        step.inputs.iter_mut().for_each(new);
        new(&mut step.output);
    }
    plan.values = values;
}
