//! Tree ensembles, linear classifiers and labels.

use super::dense;
use super::forest::{Forest, Labels, Mode, Node};
use super::graph::Dim;
use super::lower::{Call, Lowered, Lowering, Val, integers};
use crate::engine::plan::{Aggregate, BinaryScores, DType, Op, PostTransform, Trees, Value};
use crate::engine::tensor::Tensor;

/// A tree ensemble: sums of leaves, post transform, and a classifier's labels.
pub(super) fn trees(lowering: &mut Lowering, call: &Call) -> Lowered {
    let forest = Forest::parse(call.spec)?;
    let (x, _) = lowering.float_operand(call.need(0)?)?;
    let shapes: Vec<Vec<Dim>> =
        (0..call.outputs.len()).map(|i| call.output(i).map(|fact| fact.shape.clone())).collect::<Result<_, _>>()?;
    let values = match &forest.labels {
        None => vec![regressor(lowering, &forest, x)?],
        Some(labels) => {
            let labels = match labels {
                Labels::Ints(ints) => ints.clone(),
                Labels::Strings(n) => (0..*n as i64).collect(),
            };
            classifier(lowering, &forest, labels, x)?.to_vec()
        }
    };
    Ok(values.into_iter().zip(shapes).map(|(value, shape)| Val::Run { value, shape }).collect())
}

fn regressor(lowering: &mut Lowering, forest: &Forest, x: u32) -> Result<u32, String> {
    let sums = sums(lowering, forest, x, forest.targets, None, forest.base.clone())?;
    // ONNX Runtime applies no other transform to a single target.
    let applies = forest.targets > 1 || forest.post == PostTransform::Probit;
    Ok(if applies { post(lowering, forest.post, sums) } else { sums })
}

/// Label and scores, as ONNX Runtime forms them.
fn classifier(lowering: &mut Lowering, forest: &Forest, labels: Vec<i64>, x: u32) -> Result<[u32; 2], String> {
    let classes = forest.targets;
    if classes == 1 {
        return Err("a classifier of one class: export a regressor".into());
    }
    if classes > 2 {
        let positive = forest.trees.iter().flatten().all(|node| match node {
            Node::Leaf(entries) => entries.iter().all(|e| e.1 >= 0.0) && entries.iter().any(|e| e.1 > 0.0),
            Node::Branch { .. } => true,
        });
        if forest.base.is_empty() && !positive && !(0..classes).all(|class| forest.always_scores(class)) {
            return Err("some rows get no score for some class, for which ONNX Runtime's label is not that of the largest score: give every class a base value".into());
        }
        let sums = sums(lowering, forest, x, classes, None, forest.base.clone())?;
        return Ok([label(lowering, sums, labels, 0.0), post(lowering, forest.post, sums)]);
    }
    let named = |class| forest.entries().any(|entry| entry.0 == class);
    let positive = forest.entries().all(|entry| entry.1 >= 0.0);
    let threshold = if positive { 0.5 } else { 0.0 };
    if named(0) && !named(1) {
        // One sum for two classes. With LOGISTIC both scores come from the margin, positive or not.
        if forest.base.len() == 2 || forest.post == PostTransform::Probit {
            return Err("two base_values, or PROBIT, with leaves that name one of two classes, which ONNX Runtime does not compute either: export with one base value and LOGISTIC".into());
        }
        let sum = sums(lowering, forest, x, 1, Some(0), forest.base.clone())?;
        let logistic = forest.post == PostTransform::Logistic;
        let mode = if positive && !logistic { BinaryScores::Probability } else { BinaryScores::Margin };
        let transform = if logistic { PostTransform::Logistic } else { PostTransform::None };
        let scores = lowering.float_step(Op::BinaryScores { mode, post: transform }, &[sum], 2);
        return Ok([label(lowering, sum, labels, threshold), scores]);
    }
    if !forest.base.is_empty() && (!named(0) || forest.base.len() == 2) {
        return Err("base_values in a classifier of two classes whose leaves name the second, where ONNX Runtime drops a score: export without base values".into());
    }
    if !forest.always_scores(1) {
        return Err("some rows get no score for the second of two classes, where ONNX Runtime changes its rule: give every leaf a weight for it".into());
    }
    let base = if forest.base.is_empty() { vec![] } else { vec![forest.base[0], 0.0] };
    let sums = sums(lowering, forest, x, 2, None, base)?;
    let second = lowering.select(sums, vec![1]);
    // With leaves for both classes ONNX Runtime gives the labels 1 and 0, whatever the classes are called.
    let label =
        if named(0) { label(lowering, second, vec![0, 1], 0.0) } else { label(lowering, second, labels, threshold) };
    Ok([label, post(lowering, forest.post, sums)])
}

fn label(lowering: &mut Lowering, scores: u32, labels: Vec<i64>, threshold: f32) -> u32 {
    let rows = lowering.plan.values[scores as usize].rows;
    lowering.push(Op::Label { labels, threshold }, vec![scores], Value { dtype: DType::I64, rows, width: 1 })
}

fn post(lowering: &mut Lowering, f: PostTransform, sums: u32) -> u32 {
    let width = lowering.plan.values[sums as usize].width as usize;
    if f == PostTransform::None { sums } else { lowering.float_step(Op::PostTransform { f }, &[sums], width) }
}

/// Struct-of-arrays of a forest: nodes in preorder, true side first, so that children follow
/// their parents and leaves lie from left to right.
#[derive(Default)]
struct Arrays {
    roots: Vec<i32>,
    feature: Vec<i32>,
    threshold: Vec<f32>,
    mode: Vec<u8>,
    yes: Vec<i32>,
    no: Vec<i32>,
    leaf_start: Vec<i32>,
    target: Vec<i32>,
    weight: Vec<f32>,
}

impl Arrays {
    fn new(forest: &Forest, only: Option<usize>) -> Self {
        let mut arrays = Arrays::default();
        for tree in &forest.trees {
            // (node, the slot of its parent that is to name it: (parent, true side)).
            let mut stack = vec![(0, None)];
            while let Some((node, parent)) = stack.pop() {
                let code = match &tree[node] {
                    Node::Leaf(entries) => arrays.leaf(entries, only),
                    Node::Branch { feature, mode, value, missing_yes, yes, no } => {
                        let index = arrays.feature.len();
                        arrays.feature.push(*feature as i32);
                        arrays.threshold.push(*value);
                        arrays.mode.push(mode_bits(*mode) | if *missing_yes { 0x80 } else { 0 });
                        arrays.yes.push(0);
                        arrays.no.push(0);
                        stack.push((*no, Some((index, false))));
                        stack.push((*yes, Some((index, true))));
                        index as i32
                    }
                };
                match parent {
                    None => arrays.roots.push(code),
                    Some((index, true)) => arrays.yes[index] = code,
                    Some((index, false)) => arrays.no[index] = code,
                }
            }
        }
        arrays.leaf_start.push(arrays.target.len() as i32);
        arrays
    }

    fn leaf(&mut self, entries: &[(usize, f32)], only: Option<usize>) -> i32 {
        let index = self.leaf_start.len();
        self.leaf_start.push(self.target.len() as i32);
        for &(target, weight) in entries {
            self.target.push(if only.is_some() { 0 } else { target as i32 });
            self.weight.push(weight);
        }
        !(index as i32)
    }
}

fn mode_bits(mode: Mode) -> u8 {
    match mode {
        Mode::Leq => 0,
        Mode::Lt => 1,
        Mode::Gte => 2,
        Mode::Gt => 3,
        Mode::Eq => 4,
        Mode::Neq => 5,
    }
}

/// The step that sums leaves. `only` names the one class whose sums are kept as column 0.
fn sums(
    lowering: &mut Lowering,
    forest: &Forest,
    x: u32,
    targets: usize,
    only: Option<usize>,
    base: Vec<f32>,
) -> Result<u32, String> {
    let width = lowering.plan.values[x as usize].width;
    let arrays = Arrays::new(forest, only);
    if let Some(feature) = arrays.feature.iter().find(|&&f| f as u32 >= width) {
        return Err(format!("a split reads column {feature} of {width}"));
    }
    let mut ints = |role: &str, list: Vec<i32>| lowering.tensor(role, Tensor::i32(&[list.len()], list));
    let roots = ints("roots", arrays.roots);
    let feature = ints("feature", arrays.feature);
    let (yes, no) = (ints("yes", arrays.yes), ints("no", arrays.no));
    let (leaf_start, target) = (ints("leaf_start", arrays.leaf_start), ints("target", arrays.target));
    let mut floats = |role: &str, list: Vec<f32>| lowering.tensor(role, Tensor::f32(&[list.len()], list));
    let (threshold, weight) = (floats("threshold", arrays.threshold), floats("weight", arrays.weight));
    let base = base.iter().any(|&b| b != 0.0).then(|| floats("base", base));
    let mode = lowering.tensor("mode", Tensor::u8(&[arrays.mode.len()], arrays.mode));
    let aggregate = if forest.labels.is_some() { Aggregate::Sum } else { forest.aggregate };
    let trees = Trees {
        roots,
        feature,
        threshold,
        mode,
        yes,
        no,
        leaf_start,
        target,
        weight,
        base,
        targets: targets as u32,
        aggregate,
    };
    Ok(lowering.float_step(Op::Trees(trees), &[x], targets))
}

/// ai.onnx.ml's linear classifier with one row of coefficients a class.
pub(super) fn linear_classifier(lowering: &mut Lowering, call: &Call) -> Lowered {
    let spec = call.spec;
    let labels: Vec<i64> = match spec.ints("classlabels_ints") {
        Some(ints) if !ints.is_empty() => ints.to_vec(),
        _ => (0..spec.strings("classlabels_strings").len() as i64).collect(),
    };
    let f = match spec.string("post_transform").as_deref() {
        None | Some("NONE") => PostTransform::None,
        Some("LOGISTIC") => PostTransform::Logistic,
        Some("SOFTMAX") => PostTransform::Softmax,
        Some(other) => return Err(format!("post_transform `{other}`: use NONE, LOGISTIC or SOFTMAX")),
    };
    let (coefficients, intercepts) = (spec.floats("coefficients"), spec.floats("intercepts"));
    if labels.len() < 2 || intercepts.len() != labels.len() {
        return Err("it has one row of coefficients for two classes: export with a row for each class".into());
    }
    let shapes = [call.output(0)?.shape.clone(), call.output(1)?.shape.clone()];
    let scores = dense::linear(lowering, call, coefficients, intercepts, labels.len())?;
    let values = [label(lowering, scores, labels, 0.0), post(lowering, f, scores)];
    Ok(values.into_iter().zip(shapes).map(|(value, shape)| Val::Run { value, shape }).collect())
}

/// Position of the largest element of a row.
pub(super) fn arg_max(lowering: &mut Lowering, call: &Call) -> Lowered {
    let (x, x_shape) = lowering.float_operand(call.need(0)?)?;
    let width = lowering.plan.values[x as usize].width;
    let axis = call.spec.int("axis", 0);
    if !(axis == -1 || axis == x_shape.len() as i64 - 1) || x_shape.len() != 2 || width < 2 {
        return Err("it is not over the last axis of [N, width > 1]".into());
    }
    if call.spec.int("select_last_index", 0) != 0 {
        return Err("select_last_index: the first of equals is chosen".into());
    }
    let shape = call.output(0)?.shape.clone();
    let value = label(lowering, x, (0..i64::from(width)).collect(), 0.0);
    Ok(vec![Val::Run { value, shape }])
}

/// A constant list looked up by a label: the label then names the list's entries itself.
/// None if the node is no such look-up.
pub(super) fn looked_up(lowering: &mut Lowering, call: &Call) -> Option<Lowered> {
    let (Val::Constant(list), Val::Run { value, .. }) = (call.need(0).ok()?, call.need(1).ok()?) else { return None };
    let step = lowering.plan.steps.iter().find(|step| step.output == *value)?;
    let Op::Label { labels, threshold } = step.op.clone() else {
        return Some(Err("it looks a constant up by a computed index: use one-hot columns and a dense layer".into()));
    };
    let scores = step.inputs[0];
    let entries = match integers(list) {
        Ok(entries) if list.datum_type().is_integer() => entries,
        _ => return Some(Err("labels that are not integers: train with integer labels".into())),
    };
    let labels: Option<Vec<i64>> =
        labels.iter().map(|&i| usize::try_from(i).ok().and_then(|i| entries.get(i).copied())).collect();
    Some(match (labels, call.output(0)) {
        (Some(labels), Ok(fact)) => {
            let shape = fact.shape.clone();
            let dtype = match lowering.dtype(fact.dtype) {
                Ok(dtype) => dtype,
                Err(problem) => return Some(Err(problem)),
            };
            let value = label(lowering, scores, labels, threshold);
            Ok(vec![Val::Run { value: lowering.cast(value, dtype), shape }])
        }
        _ => Err("an index is outside the list".into()),
    })
}
