//! Tree ensembles, linear classifiers and labels.

use super::constant::Elem;
use super::forest::{Forest, Labels, Mode, Node};
use super::lower::{Call, Lowered, Lowering, Val};
use super::matrix;
use super::shape::Dim;
use crate::engine::plan::{Aggregate, BinaryScores, DType, Op, PostTransform, Trees};
use crate::engine::tensor::Tensor;

/// Lowers what gives scores; none if it is not such.
pub(super) fn lower(lowering: &mut Lowering, call: &Call) -> Option<Lowered> {
    Some(match call.spec.op.as_str() {
        "TreeEnsembleRegressor" | "TreeEnsembleClassifier" | "TreeEnsemble" => trees(lowering, call),
        "LinearClassifier" => linear_classifier(lowering, call),
        _ => return None,
    })
}

/// The matrix that is scored: rows of columns. A vector is one row.
fn rows_of(val: &Val) -> Result<(Dim, usize), String> {
    match val.shape()[..] {
        [rows, Dim::Fixed(columns)] => Ok((rows, columns)),
        [Dim::Fixed(columns)] => Ok((Dim::Fixed(1), columns)),
        _ => Err("its input is no matrix of rows".into()),
    }
}

/// Labels `[rows]` and scores `[rows, classes]`.
fn outcome(lowering: &Lowering, [labels, scores]: [u32; 2], rows: Dim, classes: usize) -> Vec<Val> {
    vec![
        lowering.run(labels, Elem::I64, vec![rows]),
        lowering.run(scores, Elem::F32, vec![rows, Dim::Fixed(classes)]),
    ]
}

/// A tree ensemble: sums of leaves, post transform, and a classifier's labels.
fn trees(lowering: &mut Lowering, call: &Call) -> Lowered {
    let forest = Forest::parse(call.spec)?;
    let (rows, columns) = rows_of(call.need(0)?)?;
    let (value, _) = lowering.float_operand(call.need(0)?)?;
    let x = Rowed { value, columns };
    let targets = forest.targets;
    Ok(match &forest.labels {
        None => {
            let value = regressor(lowering, &forest, x)?;
            vec![lowering.run(value, Elem::F32, vec![rows, Dim::Fixed(targets)])]
        }
        Some(labels) => {
            let labels = match labels {
                Labels::Ints(ints) => ints.clone(),
                Labels::Strings(n) => (0..*n as i64).collect(),
            };
            let both = classifier(lowering, &forest, labels, x)?;
            outcome(lowering, both, rows, targets)
        }
    })
}

/// A matrix and its number of columns.
#[derive(Clone, Copy)]
struct Rowed {
    value: u32,
    columns: usize,
}

fn regressor(lowering: &mut Lowering, forest: &Forest, x: Rowed) -> Result<u32, String> {
    let sums = sums(lowering, forest, x, forest.targets, None, forest.base.clone())?;
    // ONNX Runtime applies no other transform to a single target.
    let applies = forest.targets > 1 || forest.post == PostTransform::Probit;
    Ok(if applies { post(lowering, forest.post, sums, forest.targets) } else { sums })
}

/// Label and scores, as ONNX Runtime forms them.
fn classifier(lowering: &mut Lowering, forest: &Forest, labels: Vec<i64>, x: Rowed) -> Result<[u32; 2], String> {
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
        return Ok([label(lowering, sums, labels, classes, 0.0), post(lowering, forest.post, sums, classes)]);
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
        let width = lowering.width(sum) * 2;
        let scores = lowering.float_step(Op::BinaryScores { mode, post: transform }, &[sum], width);
        return Ok([label(lowering, sum, labels, 1, threshold), scores]);
    }
    if !forest.base.is_empty() && (!named(0) || forest.base.len() == 2) {
        return Err("base_values in a classifier of two classes whose leaves name the second, where ONNX Runtime drops a score: export without base values".into());
    }
    if !forest.always_scores(1) {
        return Err("some rows get no score for the second of two classes, where ONNX Runtime changes its rule: give every leaf a weight for it".into());
    }
    let base = if forest.base.is_empty() { vec![] } else { vec![forest.base[0], 0.0] };
    let sums = sums(lowering, forest, x, 2, None, base)?;
    let seconds = (0..lowering.width(sums) as i32).filter(|c| c % 2 == 1).collect();
    let second = lowering.select(sums, seconds, 0.0);
    // With leaves for both classes ONNX Runtime gives the labels 1 and 0, whatever the classes are called.
    let label =
        if named(0) { label(lowering, second, vec![0, 1], 1, 0.0) } else { label(lowering, second, labels, 1, threshold) };
    Ok([label, post(lowering, forest.post, sums, 2)])
}

fn label(lowering: &mut Lowering, scores: u32, labels: Vec<i64>, group: usize, threshold: f32) -> u32 {
    let width = lowering.width(scores) / group;
    lowering.step(Op::Label { labels, group: group as u32, threshold }, &[scores], DType::I64, width)
}

fn post(lowering: &mut Lowering, f: PostTransform, sums: u32, group: usize) -> u32 {
    let width = lowering.width(sums);
    let op = Op::PostTransform { f, group: group as u32 };
    if f == PostTransform::None { sums } else { lowering.float_step(op, &[sums], width) }
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
    x: Rowed,
    targets: usize,
    only: Option<usize>,
    base: Vec<f32>,
) -> Result<u32, String> {
    let arrays = Arrays::new(forest, only);
    if let Some(feature) = arrays.feature.iter().find(|&&f| f as usize >= x.columns) {
        return Err(format!("a split reads column {feature} of {}", x.columns));
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
        shared: None,
        columns: x.columns as u32,
        targets: targets as u32,
        aggregate,
    };
    let width = lowering.width(x.value) / x.columns * targets;
    Ok(lowering.float_step(Op::Trees(trees), &[x.value], width))
}

/// ai.onnx.ml's linear classifier: a row of coefficients a class, or one for two classes.
fn linear_classifier(lowering: &mut Lowering, call: &Call) -> Lowered {
    let spec = call.spec;
    let labels: Vec<i64> = match spec.ints("classlabels_ints") {
        Some(ints) if !ints.is_empty() => ints.to_vec(),
        _ => (0..spec.strings("classlabels_strings").len() as i64).collect(),
    };
    let f = match spec.string("post_transform").as_deref() {
        None | Some("NONE") => PostTransform::None,
        Some("LOGISTIC") => PostTransform::Logistic,
        Some("SOFTMAX") => PostTransform::Softmax,
        Some("SOFTMAX_ZERO") => PostTransform::SoftmaxZero,
        Some(other) => return Err(format!("post_transform `{other}`: use NONE, LOGISTIC or SOFTMAX")),
    };
    let (coefficients, intercepts) = (spec.floats("coefficients"), spec.floats("intercepts"));
    let (rows, columns) = rows_of(call.need(0)?)?;
    let classes = labels.len();
    let given = coefficients.len() / columns.max(1);
    if classes < 2 || given != classes || !(intercepts.is_empty() || intercepts.len() == classes) {
        return Err("it has no row of coefficients for each class: export with a row for each".into());
    }
    let scores = matrix::linear(lowering, call.need(0)?, coefficients, intercepts, classes)?;
    let (scores, _) = lowering.operand(&scores)?;
    let both = [label(lowering, scores, labels, classes, 0.0), post(lowering, f, scores, classes)];
    Ok(outcome(lowering, both, rows, classes))
}
