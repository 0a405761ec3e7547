//! Passes over the written plan: scale, bias and activation move into the dense layer before them; what follows from
//! constants is computed; what no output needs is dropped; values are numbered in order.

use super::lower::Lowering;
use crate::engine::plan::{Binary, DType, Op, Plan, Rows, Step, Unary, Value};
use crate::engine::tensor::{Data, Tensor, Tensors};
use crate::engine::{Buffer, Interpreter};
use std::collections::{BTreeSet, HashMap};

/// Runs all passes.
pub(super) fn fuse(lowering: &mut Lowering) -> Result<(), String> {
    let (plan, tensors) = (&mut lowering.plan, &mut lowering.tensors);
    prune(plan);
    fold(plan, tensors)?;
    while absorb_any(plan, tensors) {
        prune(plan);
    }
    fold(plan, tensors)?;
    shift_starts(plan);
    prune(plan);
    super::join::join(plan, tensors);
    prune(plan);
    renumber(plan);
    let used: BTreeSet<String> = plan.steps.iter().flat_map(|step| step.op.tensors()).cloned().collect();
    tensors.retain(|name, _| used.contains(name));
    Ok(())
}

/// Where each value is written, and how often it is read (as an output too).
struct Index {
    writer: HashMap<u32, usize>,
    uses: HashMap<u32, usize>,
    /// By value: whether it depends on an input that all candidates share.
    of_request: Vec<bool>,
}

impl Index {
    fn new(plan: &Plan) -> Self {
        let writer = plan.steps.iter().enumerate().map(|(at, step)| (step.output, at)).collect();
        let mut uses = HashMap::new();
        let read = plan.steps.iter().flat_map(|step| &step.inputs).chain(plan.outputs.iter().map(|port| &port.value));
        read.for_each(|&value| *uses.entry(value).or_insert(0) += 1);
        let mut of_request = vec![false; plan.values.len()];
        for port in &plan.inputs {
            of_request[port.value as usize] = plan.values[port.value as usize].rows == Rows::Shared;
        }
        for step in &plan.steps {
            of_request[step.output as usize] = step.inputs.iter().any(|&input| of_request[input as usize]);
        }
        Index { writer, uses, of_request }
    }

    /// The plain dense layer (no activation yet) that alone feeds `value` to its only reader.
    fn dense(&self, plan: &Plan, value: u32) -> Option<usize> {
        let &step = self.writer.get(&value)?;
        let plain = matches!(&plan.steps[step].op, Op::Dense { activation: Unary::Identity, .. });
        (plain && self.uses.get(&value) == Some(&1)).then_some(step)
    }

    /// The addition of a shared value that alone feeds `value` to its only reader, and which operand that is.
    fn shared_addition(&self, plan: &Plan, value: u32) -> Option<(usize, usize)> {
        let &at = self.writer.get(&value)?;
        let step = &plan.steps[at];
        let adds = matches!(step.op, Op::Binary { f: Binary::Add, each: [1, 1] }) && self.uses.get(&value) == Some(&1);
        if !adds {
            return None;
        }
        let shared = |i: &usize| {
            let operand = plan.values[step.inputs[*i] as usize];
            operand.rows == Rows::Shared && operand.width == plan.values[value as usize].width
        };
        (0..2).find(shared).map(|i| (at, i))
    }

    /// The constant row behind a value.
    fn row<'a>(&self, plan: &Plan, tensors: &'a Tensors, value: u32) -> Option<&'a [f32]> {
        let Op::Constant { tensor } = &plan.steps[*self.writer.get(&value)?].op else { return None };
        tensors.get(tensor)?.as_f32()
    }
}

/// Moves one step into a dense layer, if there is one to move.
fn absorb_any(plan: &mut Plan, tensors: &mut Tensors) -> bool {
    let index = Index::new(plan);
    for at in 0..plan.steps.len() {
        let moved = match plan.steps[at].op.clone() {
            Op::Unary(f) => activation(plan, &index, at, f),
            Op::Binary { f, each } => {
                let [a, b] = [plan.steps[at].inputs[0], plan.steps[at].inputs[1]];
                let sides = [(a, b, each[1]), (b, a, each[0])];
                let sides = if f == Binary::Sub { &sides[..1] } else { &sides[..] };
                matches!(f, Binary::Add | Binary::Mul | Binary::Sub)
                    && sides
                        .iter()
                        .any(|&(layer, other, each)| affine(plan, tensors, &index, at, f, layer, other, each))
            }
            _ => false,
        };
        if moved {
            return true;
        }
    }
    false
}

fn activation(plan: &mut Plan, index: &Index, at: usize, f: Unary) -> bool {
    let Some(dense) = index.dense(plan, plan.steps[at].inputs[0]) else { return false };
    if let Op::Dense { activation, .. } = &mut plan.steps[dense].op {
        *activation = f;
    }
    give_output(plan, dense, at);
    true
}

/// The layer gives what step `at` gave, and stands where that stood, behind all that it reads.
fn give_output(plan: &mut Plan, dense: usize, at: usize) {
    let mut layer = plan.steps[dense].clone();
    layer.output = plan.steps[at].output;
    plan.steps[at] = layer;
    plan.steps.remove(dense);
}

/// A scale, shift or start of a layer's outputs.
#[allow(clippy::too_many_arguments, reason = "a step's operands")]
fn affine(
    plan: &mut Plan,
    tensors: &mut Tensors,
    index: &Index,
    at: usize,
    f: Binary,
    layer: u32,
    other: u32,
    each: u32,
) -> bool {
    let Some(dense) = index.dense(plan, layer) else {
        // A constant after a shared value is added to that, once.
        let row = index.row(plan, tensors, other).map(<[f32]>::to_vec);
        let (Binary::Add, Some(row), Some((sum, operand)), 1) = (f, row, index.shared_addition(plan, layer), each)
        else {
            return false;
        };
        let wide = plan.values[layer as usize];
        // What is shared runs once as it is.
        if wide != plan.values[plan.steps[at].output as usize]
            || wide.rows == Rows::Shared
            || !(wide.width as usize).is_multiple_of(row.len())
        {
            return false;
        }
        plan.steps[sum].output = plan.steps[at].output;
        let moved = plan.steps[sum].clone();
        plan.steps[at] = moved;
        add_row(plan, tensors, at, operand, &row);
        plan.steps.remove(sum);
        return true;
    };
    let Op::Dense { weights, bias, start, outputs, .. } = plan.steps[dense].op.clone() else { return false };
    let outputs = outputs as usize;
    let (wide, whole) = (plan.values[layer as usize], plan.values[plan.steps[at].output as usize]);
    if wide != whole {
        return false;
    }
    // A row of a part is the same in every part of its length.
    let row = index.row(plan, tensors, other).filter(|row| each == 1 && outputs.is_multiple_of(row.len()));
    let row: Option<Vec<f32>> = row.map(|row| (0..outputs).map(|o| row[o % row.len()]).collect());
    match (f, row) {
        (Binary::Mul, Some(row)) if !start => {
            let Some(name) = weights else { return false };
            // Weights of several layers stay as they are for the others.
            let Some(w) = tensors.get(&name).and_then(Tensor::as_f32) else { return false };
            let scaled: Vec<f32> =
                w.iter().enumerate().map(|(i, &w)| (f64::from(w) * f64::from(row[i % outputs])) as f32).collect();
            let inputs = scaled.len() / outputs;
            let scaled = store(tensors, &name, Tensor::f32(&[inputs, outputs], scaled));
            let bias = bias.map(|bias| {
                let old = tensors.get(&bias).and_then(Tensor::as_f32).unwrap_or(&[]);
                let new = old.iter().zip(&row).map(|(&b, &s)| (f64::from(b) * f64::from(s)) as f32).collect();
                store(tensors, &bias, Tensor::f32(&[outputs], new))
            });
            if let Op::Dense { weights: w, bias: b, .. } = &mut plan.steps[dense].op {
                (*w, *b) = (Some(scaled), bias);
            }
            give_output(plan, dense, at);
            true
        }
        (Binary::Add | Binary::Sub, Some(row)) => {
            let row: Vec<f32> = if f == Binary::Sub { row.iter().map(|v| -v).collect() } else { row };
            if !shift(plan, tensors, index, dense, &row) {
                return false;
            }
            // The layer may have moved by the step that its start now is.
            let (Some(dense), Some(at)) = (writer(plan, layer), writer_of_output(plan, other, layer)) else {
                return true;
            };
            give_output(plan, dense, at);
            true
        }
        (Binary::Add, None) if !start && bias.is_none() => {
            let value = plan.values[other as usize];
            if value.width != whole.width || value.rows == Rows::Pair || value.dtype != DType::F32 {
                return false;
            }
            // A layer over candidates alone is kept by a list that is prepared; what a request adds is not.
            if plan.inputs.len() > 1 && !index.of_request[layer as usize] && index.of_request[other as usize] {
                return false;
            }
            if let Op::Dense { start, .. } = &mut plan.steps[dense].op {
                *start = true;
            }
            plan.steps[dense].inputs.push(other);
            give_output(plan, dense, at);
            true
        }
        _ => false,
    }
}

fn writer(plan: &Plan, value: u32) -> Option<usize> {
    plan.steps.iter().position(|step| step.output == value)
}

/// The addition of `row` to `layer`.
fn writer_of_output(plan: &Plan, row: u32, layer: u32) -> Option<usize> {
    plan.steps.iter().position(|step| {
        matches!(step.op, Op::Binary { .. }) && step.inputs.contains(&layer) && step.inputs.contains(&row)
    })
}

/// Adds a row to a layer's outputs: to its bias, or to where it starts.
fn shift(plan: &mut Plan, tensors: &mut Tensors, index: &Index, dense: usize, row: &[f32]) -> bool {
    let Op::Dense { bias, start, weights, .. } = plan.steps[dense].op.clone() else { return false };
    let outputs = row.len();
    if !start {
        let old = bias.as_ref().and_then(|name| tensors.get(name)).and_then(Tensor::as_f32);
        let sums: Vec<f32> = (0..outputs).map(|o| old.map_or(0.0, |b| b[o]) + row[o]).collect();
        let base = weights.unwrap_or_else(|| format!("{}.computed", plan.steps[dense].node));
        let name = store(tensors, &format!("{base}.bias"), Tensor::f32(&[outputs], sums));
        if let Op::Dense { bias, .. } = &mut plan.steps[dense].op {
            *bias = Some(name);
        }
        return true;
    }
    let from = plan.steps[dense].inputs[plan.steps[dense].inputs.len() - 1];
    let value = plan.values[from as usize];
    if value.rows != Rows::Shared {
        if let Some((sum, operand)) = index.shared_addition(plan, from) {
            add_row(plan, tensors, sum, operand, row);
            return true;
        }
        // The layer that the start comes from.
        let Some(before) = index.dense(plan, from) else { return false };
        return match &plan.steps[before].op {
            Op::Dense { outputs: columns, .. } if *columns as usize == outputs => {
                shift(plan, tensors, index, before, row)
            }
            _ => false,
        };
    }
    let last = plan.steps[dense].inputs.len() - 1;
    add_row(plan, tensors, dense, last, row);
    true
}

/// Where a layer starts at rows plus a shared row, it adds them itself: the same sums, without a pass of their own.
fn shift_starts(plan: &mut Plan) {
    let index = Index::new(plan);
    for at in 0..plan.steps.len() {
        let Op::Dense { weights, start: true, outputs, .. } = &plan.steps[at].op else { continue };
        let from = 1 + usize::from(weights.is_none());
        let value = plan.steps[at].inputs[from];
        let Some((sum, shared)) = index.shared_addition(plan, value) else { continue };
        let (rows, shift) = (plan.steps[sum].inputs[1 - shared], plan.steps[sum].inputs[shared]);
        let wide = plan.values[value as usize];
        if plan.values[rows as usize] == wide && wide.rows == Rows::Candidate && wide.width == *outputs {
            let inputs = &mut plan.steps[at].inputs;
            inputs[from] = rows;
            inputs.push(shift);
        }
    }
}

/// Adds a constant row to a shared operand of a step, before it.
fn add_row(plan: &mut Plan, tensors: &mut Tensors, at: usize, operand: usize, row: &[f32]) {
    let name = store(tensors, "start", Tensor::f32(&[row.len()], row.to_vec()));
    let node = plan.steps[at].node.clone();
    let from = plan.steps[at].inputs[operand];
    let value = plan.values[from as usize];
    let mut new = |value: Value| {
        plan.values.push(value);
        (plan.values.len() - 1) as u32
    };
    let constant = new(Value { dtype: DType::F32, rows: Rows::Shared, width: row.len() as u32 });
    let sum = new(value);
    plan.steps[at].inputs[operand] = sum;
    let add = Op::Binary { f: Binary::Add, each: [1, 1] };
    plan.steps.splice(
        at..at,
        [
            Step { op: Op::Constant { tensor: name }, node: node.clone(), inputs: vec![], output: constant },
            Step { op: add, node, inputs: vec![from, constant], output: sum },
        ],
    );
}

/// A tensor under a name that nothing else has.
pub(super) fn store(tensors: &mut Tensors, base: &str, tensor: Tensor) -> String {
    let mut name = base.to_owned();
    let mut n = 1;
    while tensors.contains_key(&name) {
        n += 1;
        name = format!("{base}.{n}");
    }
    tensors.insert(name.clone(), tensor);
    name
}

/// Computes what follows from constants alone, once, as the engine would at each run.
fn fold(plan: &mut Plan, tensors: &mut Tensors) -> Result<(), String> {
    let mut known = vec![false; plan.values.len()];
    let is_constant = |step: &Step| matches!(step.op, Op::Constant { .. });
    for step in &plan.steps {
        let independent = !matches!(step.op, Op::Position | Op::Count);
        known[step.output as usize] = independent && step.inputs.iter().all(|&input| known[input as usize]);
    }
    let mut wanted: BTreeSet<u32> = plan.outputs.iter().map(|port| port.value).collect();
    for step in plan.steps.iter().filter(|step| !known[step.output as usize]) {
        wanted.extend(&step.inputs);
    }
    let computed: BTreeSet<u32> = plan.steps.iter().filter(|s| !is_constant(s)).map(|s| s.output).collect();
    let wanted: Vec<u32> = wanted.into_iter().filter(|v| known[*v as usize] && computed.contains(v)).collect();
    if wanted.is_empty() {
        return Ok(());
    }
    let ports = wanted.iter().map(|&value| crate::engine::plan::Port {
        name: format!("constant {value}"),
        value,
        dims: vec![i64::from(plan.values[value as usize].width)],
    });
    let mut part = Plan { inputs: vec![], outputs: ports.collect(), ..plan.clone() };
    prune(&mut part);
    renumber(&mut part);
    let run = Interpreter::new(part, tensors).and_then(|mut engine| engine.run_all(&[], 0));
    let results = run.map_err(|e| e.message().to_owned())?;
    for (value, result) in wanted.into_iter().zip(results) {
        let data = match result {
            Buffer::F32(v) => Data::F32(v.into()),
            Buffer::I32(v) => Data::I32(v.into()),
            Buffer::I64(v) => Data::I64(v),
            Buffer::Bool(v) => Data::U8(v),
        };
        let Some(at) = writer(plan, value) else { continue };
        let dims = vec![plan.values[value as usize].width as usize];
        let tensor = store(tensors, &format!("folded.{value}"), Tensor { dims, data });
        plan.steps[at] = Step { op: Op::Constant { tensor }, inputs: vec![], ..plan.steps[at].clone() };
    }
    Ok(())
}

/// Drops steps that no output needs.
pub(super) fn prune(plan: &mut Plan) {
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
pub(super) fn renumber(plan: &mut Plan) {
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
