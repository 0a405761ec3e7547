//! What "the same" means between a plan and what it is checked against.
//!
//! Sums of leaves: the same number (bit for bit but for the sign of zero). Everything else in
//! f32: |d| <= 1e-5 max(1, |expected|), NaN where NaN is expected, the same infinity. Labels:
//! equal, except where the two best scores lie within that bound of each other.
//!
//! A step that jumps (Floor, Cast to whole numbers, a comparison, ArgMax, a tree) may fall on either side where its
//! operand was rounded on the way: behind such a step one element in two hundred may differ, and is counted.

use super::Lowered;
use crate::engine::plan::{Binary, DType, Op, Plan, Port, Reduce, Unary};
use crate::engine::tensor::{Data, Tensor, Tensors};
use crate::error::{Error, ErrorKind, Result};
use std::collections::BTreeMap;

/// The bound, relative to max(1, |expected|).
const BOUND: f64 = 1e-5;

/// What a comparison saw.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Comparison {
    /// Largest |got - expected| / max(1, |expected|) over all f32 outputs.
    pub largest_difference: f64,
    /// Elements compared.
    pub elements: usize,
    /// Labels that differ where two scores tie within the bound.
    pub tied_labels: usize,
    /// Elements that differ behind a step that jumps (a rounding, a comparison, a split) at a computed value.
    pub flipped: usize,
    /// Elements beyond the bound that differ by no more than rounding explains: see [`judge`].
    pub unsteady: usize,
}

/// What rounding may add to the bound, relative to max(1, |expected|), at most.
const UNSTEADY: f64 = 100.0 * BOUND;

/// By output: how far each row's answer moves with the last digit of the operands.
type Slack = BTreeMap<String, Vec<f64>>;

/// Compares as [`compare`] does; where that fails, again with what the graph's own sensitivity to rounding allows: a softmax
/// over large logits is no more exact than they are, in any engine that computes in f32.
///
/// # Errors
/// As [`compare`].
pub(super) fn judge(lowered: &Lowered, inputs: &Tensors, expected: &Tensors, got: &Tensors) -> Result<Comparison> {
    compare(expected, got, lowered).or_else(|strict| {
        let again = slack(lowered, inputs).and_then(|slack| within(expected, got, lowered, &slack));
        again.map_err(|_| strict)
    })
}

/// The largest movement of an element of each row over a few runs with operands moved at random.
fn slack(lowered: &Lowered, inputs: &Tensors) -> Result<Slack> {
    let rows = super::check_rows(inputs, &lowered.plan);
    let still = lowered.oracle.run(inputs, rows)?;
    let mut slack = Slack::new();
    for seed in 1..=4 {
        let moved = lowered.oracle.run_shaken(inputs, rows, seed)?;
        for port in &lowered.plan.outputs {
            let width = lowered.plan.values[port.value as usize].width.max(1) as usize;
            let of = |tensors: &Tensors| tensors.get(&port.name).and_then(Tensor::as_f32).map(<[f32]>::to_vec);
            let (Some(a), Some(b)) = (of(&still), of(&moved)) else { continue };
            let rows = slack.entry(port.name.clone()).or_insert_with(|| vec![0.0; a.len().div_ceil(width)]);
            for (at, (a, b)) in a.iter().zip(&b).enumerate() {
                let d = (f64::from(*a) - f64::from(*b)).abs();
                if d > rows[at / width] {
                    rows[at / width] = d;
                }
            }
        }
    }
    Ok(slack)
}

/// Compares every output of the plan.
///
/// # Errors
/// `golden_mismatch` names the output, the row, what was expected and what came.
pub fn compare(expected: &Tensors, got: &Tensors, lowered: &Lowered) -> Result<Comparison> {
    within(expected, got, lowered, &Slack::new())
}

fn within(expected: &Tensors, got: &Tensors, lowered: &Lowered, slack: &Slack) -> Result<Comparison> {
    let mut seen = Comparison::default();
    for port in &lowered.plan.outputs {
        let of = |tensors: &Tensors, whose: &str| -> Result<Tensor> {
            let tensor = tensors.get(&port.name).cloned();
            tensor.ok_or_else(|| {
                Error::new(ErrorKind::GoldenMismatch, format!("output `{}` is missing from {whose}", port.name))
            })
        };
        let (want, have) = (of(expected, "what is expected")?, of(got, "the plan's outputs")?);
        output(port, &want, &have, expected, &lowered.plan, slack, &mut seen)?;
    }
    Ok(seen)
}

fn mismatch(port: &Port, at: usize, width: usize, want: impl std::fmt::Display, have: impl std::fmt::Display) -> Error {
    let column = if width > 1 { format!(", column {}", at % width) } else { String::new() };
    Error::new(
        ErrorKind::GoldenMismatch,
        format!("output `{}`, row {}{column}: expected {want}, got {have}", port.name, at / width),
    )
}

fn output(
    port: &Port,
    want: &Tensor,
    have: &Tensor,
    expected: &Tensors,
    plan: &Plan,
    slack: &Slack,
    seen: &mut Comparison,
) -> Result<()> {
    let width = plan.values[port.value as usize].width.max(1) as usize;
    let (count, counted) = (want.dims.iter().product::<usize>(), have.dims.iter().product::<usize>());
    if count != counted {
        let message = format!("output `{}`: expected the shape {:?}, got {:?}", port.name, want.dims, have.dims);
        return Err(Error::new(ErrorKind::GoldenMismatch, message));
    }
    seen.elements += count;
    let mut flips = Flips::of(plan, port.value, count);
    if let (Data::F32(want), Data::F32(have)) = (&want.data, &have.data) {
        let exact = sums_of_leaves(plan, port.value);
        for (at, (&w, &h)) in want.iter().zip(have).enumerate() {
            match difference(w, h, exact) {
                Some(d) if d > seen.largest_difference => seen.largest_difference = d,
                Some(_) => {}
                None if !exact && explained(w, h, slack.get(&port.name).and_then(|rows| rows.get(at / width))) => {
                    seen.unsteady += 1;
                }
                None if flips.take(seen) => {}
                None => return Err(mismatch(port, at, width, w, h)),
            }
        }
        return Ok(());
    }
    let (Some(want), Some(have)) = (whole(want), whole(have)) else {
        return Err(Error::new(
            ErrorKind::GoldenMismatch,
            format!("output `{}`: another type was expected", port.name),
        ));
    };
    let scores = label_scores(plan, port.value)
        .and_then(|(name, width)| expected.get(name).and_then(Tensor::as_f32).map(|s| (s, width)));
    for (at, (w, h)) in want.iter().zip(&have).enumerate() {
        if w == h {
            continue;
        }
        match scores {
            Some((scores, width)) if tie(&scores[at * width..(at + 1) * width]) => seen.tied_labels += 1,
            _ if flips.take(seen) => {}
            _ => return Err(mismatch(port, at, 1, w, h)),
        }
    }
    Ok(())
}

/// How many elements of an output may still differ.
struct Flips {
    left: usize,
}

impl Flips {
    fn of(plan: &Plan, value: u32, elements: usize) -> Self {
        Flips { left: if jumps(plan, value) { (elements / 200).max(1) } else { 0 } }
    }

    fn take(&mut self, seen: &mut Comparison) -> bool {
        let taken = self.left > 0;
        self.left -= usize::from(taken);
        seen.flipped += usize::from(taken);
        taken
    }
}

/// Whether a value lies behind a step that jumps at a value that was rounded otherwise than the oracle rounds it.
fn jumps(plan: &Plan, value: u32) -> bool {
    let mut rounded = vec![false; plan.values.len()];
    let mut jumping = rounded.clone();
    for step in &plan.steps {
        let any = |flags: &[bool]| step.inputs.iter().any(|&input| flags[input as usize]);
        let float = |i: usize| step.inputs.get(i).is_some_and(|&v| plan.values[v as usize].dtype == DType::F32);
        let jump = match &step.op {
            Op::Unary(f) | Op::Dense { activation: f, .. } => has_steps(f),
            Op::Binary { f, .. } => float(0) && (f.compares() || matches!(f, Binary::Mod | Binary::Fmod)),
            Op::Reduce { f, .. } | Op::ReduceRows { f } => float(0) && f.gives_index(),
            Op::Cast => float(0) && plan.values[step.output as usize].dtype != DType::F32,
            Op::TopK { .. } | Op::Trees(_) => true,
            _ => false,
        };
        let output = step.output as usize;
        // A layer's own sums are rounded before its activation.
        let before = any(&rounded) || matches!(step.op, Op::Dense { .. });
        jumping[output] = any(&jumping) || (jump && before);
        rounded[output] = !jump && (any(&rounded) || rounds(&step.op));
    }
    jumping[value as usize]
}

fn has_steps(f: &Unary) -> bool {
    matches!(f, Unary::Floor | Unary::Ceil | Unary::Round | Unary::Sign)
}

/// Whether a step's result is rounded more than once on the way, so that it may differ from the oracle's in its last
/// digits: sums, and functions without an exact form.
fn rounds(op: &Op) -> bool {
    match op {
        Op::Dense { .. } | Op::Product(_) | Op::Softmax { .. } | Op::LayerNorm { .. } => true,
        Op::PostTransform { .. } | Op::BinaryScores { .. } => true,
        Op::Reduce { f, .. } | Op::ReduceRows { f } => matches!(f, Reduce::Sum | Reduce::Mean | Reduce::Prod),
        Op::CumSum { .. } => true,
        Op::Binary { f, .. } => matches!(f, Binary::Pow),
        Op::Unary(f) if has_steps(f) => false,
        Op::Unary(f) => !matches!(
            f,
            Unary::Identity
                | Unary::Relu
                | Unary::LeakyRelu { .. }
                | Unary::Neg
                | Unary::Abs
                | Unary::Sqrt
                | Unary::Reciprocal
                | Unary::Clip { .. }
                | Unary::ThresholdedRelu { .. }
        ),
        _ => false,
    }
}

/// The relative difference, if it is allowed.
fn difference(want: f32, have: f32, exact: bool) -> Option<f64> {
    if want == have || (want.is_nan() && have.is_nan()) {
        return Some(0.0);
    }
    let scale = f64::from(want.abs());
    let d = (f64::from(want) - f64::from(have)).abs() / if scale > 1.0 { scale } else { 1.0 };
    (!exact && d <= BOUND).then_some(d)
}

/// Whether the difference is four times what rounding alone moved, or less.
fn explained(want: f32, have: f32, slack: Option<&f64>) -> bool {
    let Some(&slack) = slack else { return false };
    let scale = f64::from(want.abs());
    let scale = if scale > 1.0 { scale } else { 1.0 };
    let allowed = if 4.0 * slack < UNSTEADY * scale { 4.0 * slack } else { UNSTEADY * scale };
    (f64::from(want) - f64::from(have)).abs() <= BOUND * scale + allowed
}

/// Whole numbers of any type; f32 holds them too where an exporter gives labels so.
fn whole(tensor: &Tensor) -> Option<Vec<i64>> {
    Some(match &tensor.data {
        Data::I64(v) => v.clone(),
        Data::I32(v) => v.iter().map(|&i| i64::from(i)).collect(),
        Data::U8(v) => v.iter().map(|&i| i64::from(i)).collect(),
        Data::F32(v) => v.iter().map(|&f| f as i64).collect(),
        _ => return None,
    })
}

/// Whether the two largest scores are within the bound.
fn tie(scores: &[f32]) -> bool {
    let mut sorted = scores.to_vec();
    sorted.sort_by(|a, b| b.total_cmp(a));
    match sorted[..] {
        [a, b, ..] => {
            let scale = f64::from(a.abs());
            f64::from(a - b) <= 2.0 * BOUND * if scale > 1.0 { scale } else { 1.0 }
        }
        _ => false,
    }
}

/// Whether a value is a sum of leaves and nothing else.
fn sums_of_leaves(plan: &Plan, value: u32) -> bool {
    match plan.steps.iter().find(|step| step.output == value) {
        Some(step) => match step.op {
            Op::Trees(_) => true,
            Op::Select { .. } | Op::Concat => step.inputs.iter().all(|&input| sums_of_leaves(plan, input)),
            _ => false,
        },
        None => false,
    }
}

/// The output of scores that a label was chosen by, and its width.
fn label_scores(plan: &Plan, value: u32) -> Option<(&str, usize)> {
    let step = plan.steps.iter().find(|step| step.output == value)?;
    let Op::Label { labels, .. } = &step.op else {
        return label_scores(plan, *step.inputs.first()?);
    };
    let depends = |from: u32| {
        let mut stack = vec![from];
        while let Some(value) = stack.pop() {
            if value == step.inputs[0] {
                return true;
            }
            stack.extend(plan.steps.iter().filter(|s| s.output == value).flat_map(|s| &s.inputs));
        }
        false
    };
    let port = plan
        .outputs
        .iter()
        .find(|port| plan.values[port.value as usize].width as usize == labels.len() && depends(port.value))?;
    Some((&port.name, labels.len()))
}

#[cfg(test)]
mod tests {
    use super::super::constant::{Constant, Elem};
    use super::super::graph::{Dim, Graph, Input};
    use super::super::naive::testing::{NodeBuilder, node};
    use super::super::node::{Node, Spec};
    use super::super::{Oracle, fuse, lower, problems::Problems};
    use super::*;
    use std::sync::Arc;

    /// `X [N, 2]` times `weights [2, 2]`, then one more operator; or that alone.
    fn lowered(weights: Option<[f32; 4]>, last: NodeBuilder) -> Lowered {
        let named = |name: &str| Some(name.to_string());
        let one = |mut node: NodeBuilder, inputs: &[&str], output: &str| {
            node.proto.name = output.into();
            node.proto.output = vec![output.into()];
            let inputs = inputs.iter().map(|name| named(name)).collect();
            Node { spec: Arc::new(Spec::new(&node.proto, node.opset)), inputs, outputs: vec![named(output)] }
        };
        let mut nodes = vec![];
        let mut constants = BTreeMap::new();
        if let Some(weights) = weights {
            constants.insert("W".to_string(), Constant::f32(&[2, 2], weights.to_vec()));
            nodes.push(one(node("MatMul"), &["X", "W"], "H"));
        }
        nodes.push(one(last, &[if weights.is_some() { "H" } else { "X" }], "Y"));
        let inputs = vec![Input { name: "X".into(), elem: Elem::F32, dims: vec![Dim::Rows, Dim::Fixed(2)] }];
        let graph = Arc::new(Graph { inputs, outputs: vec!["Y".into()], constants, nodes });
        let mut lowering = lower::lower(&graph, "", Problems::default(), &[]);
        lowering.problems.check().unwrap();
        fuse::fuse(&mut lowering).unwrap();
        Lowered {
            plan: lowering.plan,
            tensors: lowering.tensors,
            warnings: vec![],
            domains: lowering.domains,
            oracle: Oracle::new(graph),
        }
    }

    fn rows(v: &[f32]) -> Tensors {
        Tensors::from([("X".to_string(), Tensor::f32(&[v.len() / 2, 2], v.to_vec()))])
    }

    /// The oracle's answer with some elements moved.
    fn moved(expected: &Tensors, at: &[usize], by: f32) -> Tensors {
        let mut wrong = expected.clone();
        for tensor in wrong.values_mut() {
            if let Data::F32(v) = &mut tensor.data {
                at.iter().for_each(|&at| v[at] += by);
            }
        }
        wrong
    }

    #[test]
    fn rounding_explains_a_softmax_of_large_logits_and_of_no_others() {
        let lowered = lowered(Some([10.0, 5.0, 5.0, 0.0]), node("Softmax"));
        // Logits of 150 both, and of 0 both.
        let inputs = rows(&[30.0, -30.0, 0.0, 0.0]);
        let expected = lowered.oracle.run(&inputs, 2).unwrap();
        let seen = |at: usize, by: f32| judge(&lowered, &inputs, &expected, &moved(&expected, &[at], by));
        assert_eq!(judge(&lowered, &inputs, &expected, &expected).unwrap().unsteady, 0);
        assert!(compare(&expected, &moved(&expected, &[0], 3e-5), &lowered).is_err());
        assert_eq!(seen(0, 3e-5).unwrap().unsteady, 1);
        assert!(seen(0, 2e-3).is_err(), "more than rounding does");
        assert!(seen(2, 3e-5).is_err(), "small logits are exact");
    }

    #[test]
    fn a_few_elements_may_fall_on_the_other_side_of_a_jump_at_a_sum() {
        let x: Vec<f32> = (0..400).map(|i| i as f32 * 0.37).collect();
        let inputs = rows(&x);
        let flips = |lowered: &Lowered, at: &[usize]| {
            let expected = lowered.oracle.run(&inputs, 200).unwrap();
            compare(&expected, &moved(&expected, at, 1.0), lowered).map(|seen| seen.flipped)
        };
        let behind = lowered(Some([1.0, 0.5, 0.25, 2.0]), node("Floor"));
        assert_eq!(flips(&behind, &[7, 300]).unwrap(), 2);
        assert!(flips(&behind, &[7, 9, 300]).is_err(), "one in two hundred");
        let at_once = lowered(None, node("Floor"));
        assert!(flips(&at_once, &[7]).is_err(), "what nobody has rounded is on the right side");
        let smooth = lowered(Some([1.0, 0.5, 0.25, 2.0]), node("Sigmoid"));
        assert!(flips(&smooth, &[7]).is_err());
    }
}
