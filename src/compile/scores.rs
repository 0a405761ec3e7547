//! Tree ensembles, linear classifiers and labels.

use super::call::{Call, Lowered, Val};
use super::constant::{Constant, Elem};
use super::elementwise::{binary, chosen_by};
use super::forest::{Forest, Labels, Mode, Node};
use super::lower::Lowering;
use super::node::Spec;
use super::shape::Dim;
use super::{matrix, two_classes};
use crate::engine::plan::{Aggregate, Binary, BinaryScores, DType, Op, PostTransform, Trees};
use crate::engine::tensor::Tensor;
use std::rc::Rc;

/// Lowers what gives scores; none if it is not such.
pub(super) fn lower(lowering: &mut Lowering, call: &Call) -> Option<Lowered> {
    Some(match call.spec.op.as_str() {
        "TreeEnsembleRegressor" | "TreeEnsembleClassifier" | "TreeEnsemble" => trees(lowering, call),
        "LinearClassifier" => linear_classifier(lowering, call),
        "LinearRegressor" => linear_regressor(lowering, call),
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
    vec![lowering.run(labels, Elem::I64, vec![rows]), lowering.run(scores, Elem::F32, vec![rows, Dim::Fixed(classes)])]
}

/// A tree ensemble: sums of leaves, post transform, and a classifier's labels.
fn trees(lowering: &mut Lowering, call: &Call) -> Lowered {
    let forest = Forest::parse(call.spec)?;
    let (rows, columns) = rows_of(call.need(0)?)?;
    let (value, _) = lowering.float_operand(call.need(0)?)?;
    let x = Rowed { value, columns, rows };
    let targets = forest.targets;
    if call.spec.op == "TreeEnsemble"
        && targets > 1
        && matches!(forest.post, PostTransform::Logistic | PostTransform::Softmax)
    {
        lowering.problems.warn(format!(
            "node `{}`: post_transform {} is computed as ONNX Runtime does ({}), not as ONNX names it",
            call.spec.name,
            call.spec.int("post_transform", 0),
            if forest.post == PostTransform::Logistic { "LOGISTIC" } else { "SOFTMAX" }
        ));
    }
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

/// A matrix `[rows, columns]`.
#[derive(Clone, Copy)]
pub(super) struct Rowed {
    value: u32,
    columns: usize,
    rows: Dim,
}

impl Rowed {
    /// What is computed from its rows, so many columns each.
    pub fn scores(&self, lowering: &Lowering, value: u32, columns: usize) -> Val {
        lowering.run(value, Elem::F32, vec![self.rows, Dim::Fixed(columns)])
    }
}

fn regressor(lowering: &mut Lowering, forest: &Forest, x: Rowed) -> Result<u32, String> {
    let targets = forest.targets;
    let bare = forest.base.is_empty() || (0..targets).all(|target| forest.always_scores(target));
    let sums = if bare {
        sums(lowering, forest, x, targets, None, forest.base.clone())?
    } else {
        // A target that no leaf of the row names is zero, without its base value.
        let there = there(lowering, forest, x)?;
        let value = sums(lowering, forest, x, targets, None, forest.base.clone())?;
        let based = x.scores(lowering, value, targets);
        let zero = Val::Constant(Rc::new(Constant::f32(&[], vec![0.0])));
        let scored = chosen_by(lowering, &there, &based, &zero)?;
        lowering.operand(&scored)?.0
    };
    // ONNX Runtime applies no other transform to a single target.
    let applies = forest.targets > 1 || forest.post == PostTransform::Probit;
    Ok(if applies { post(lowering, forest.post, sums, forest.targets) } else { sums })
}

/// Label and scores, as ONNX Runtime forms them.
fn classifier(lowering: &mut Lowering, forest: &Forest, labels: Vec<i64>, x: Rowed) -> Result<[u32; 2], String> {
    let classes = forest.targets;
    match classes {
        1 => return Err("a classifier of one class: export a regressor".into()),
        2 => return two_classes::lower(lowering, forest, labels, x),
        _ => {}
    }
    let value = sums(lowering, forest, x, classes, None, forest.base.clone())?;
    let positive = forest.trees.iter().flatten().all(|node| match node {
        Node::Leaf(entries) => entries.iter().all(|e| e.1 >= 0.0) && entries.iter().any(|e| e.1 > 0.0),
        Node::Branch { .. } => true,
    });
    let mut deciding = value;
    if forest.base.is_empty() && !positive && !(0..classes).all(|class| forest.always_scores(class)) {
        // A class without a score is shown as zero, and is never the label.
        let there = there(lowering, forest, x)?;
        let lowest = Val::Constant(Rc::new(Constant::f32(&[], vec![f32::NEG_INFINITY])));
        let shown = x.scores(lowering, value, classes);
        let scored = chosen_by(lowering, &there, &shown, &lowest)?;
        deciding = lowering.operand(&scored)?.0;
    }
    Ok([label(lowering, deciding, labels, classes, 0.0), post(lowering, forest.post, value, classes)])
}

/// Where a row has a score for a target.
fn there(lowering: &mut Lowering, forest: &Forest, x: Rowed) -> Result<Val, String> {
    let counts = two_classes::counts(lowering, forest, x)?;
    let zero = Val::Constant(Rc::new(Constant::f32(&[], vec![0.0])));
    binary(lowering, Binary::Greater, &counts, &zero)
}

/// Labels of rows of scores, each of `group`.
pub(super) fn label(lowering: &mut Lowering, scores: u32, labels: Vec<i64>, group: usize, threshold: f32) -> u32 {
    let width = lowering.width(scores) / group;
    lowering.step(Op::Label { labels, group: group as u32, threshold }, &[scores], DType::I64, width)
}

/// Scores after the post transform, each row of `group`.
pub(super) fn post(lowering: &mut Lowering, f: PostTransform, sums: u32, group: usize) -> u32 {
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
pub(super) fn sums(
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
    // Trees that are summed in bit vectors; the others are walked.
    let alike = lowering.shared_columns(x.value).filter(|_| matches!(aggregate, Aggregate::Sum | Aggregate::Average));
    let alike: Option<Vec<u8>> = alike.map(|shared| shared.iter().map(|&s| u8::from(s)).collect());
    let shared = alike.map(|shared| lowering.tensor("shared", Tensor::u8(&[shared.len()], shared)));
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
        shared,
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
    let f = transform(spec)?;
    let (coefficients, intercepts) = (spec.floats("coefficients"), spec.floats("intercepts"));
    let (rows, columns) = rows_of(call.need(0)?)?;
    let classes = labels.len();
    let given = coefficients.len() / columns.max(1);
    if given == 0 || (given != classes && given != 1) {
        return Err(format!("{given} rows of coefficients for {classes} classes: export with a row for each"));
    }
    let scores = matrix::linear(lowering, call.need(0)?, coefficients, intercepts, given)?;
    let (scores, _) = lowering.operand(&scores)?;
    if given == classes && classes > 1 {
        let both = [label(lowering, scores, labels, classes, 0.0), post(lowering, f, scores, classes)];
        return Ok(outcome(lowering, both, rows, classes));
    }
    // One row of coefficients: a second score for two classes, else one score and the labels 0 and 1.
    if f == PostTransform::Probit {
        return Err("PROBIT with one row of coefficients, which gives one score for all classes: use LOGISTIC".into());
    }
    let two = classes == 2;
    let label = label(lowering, scores, if two { labels } else { vec![0, 1] }, 1, 0.0);
    if !two {
        return Ok(outcome(lowering, [label, scores], rows, 1));
    }
    let logistic = f == PostTransform::Logistic;
    let mode = if logistic { BinaryScores::Margin } else { BinaryScores::Probability };
    let transform = if logistic { f } else { PostTransform::None };
    let width = lowering.width(scores) * 2;
    let scores = lowering.float_step(Op::BinaryScores { mode, post: transform }, &[scores], width);
    Ok(outcome(lowering, [label, scores], rows, 2))
}

/// ai.onnx.ml's linear model: coefficients `[targets, features]`.
fn linear_regressor(lowering: &mut Lowering, call: &Call) -> Lowered {
    let spec = call.spec;
    let f = transform(spec)?;
    let targets = spec.int("targets", 1).max(1) as usize;
    let scores =
        matrix::linear(lowering, call.need(0)?, spec.floats("coefficients"), spec.floats("intercepts"), targets)?;
    // A single score passes all of them but PROBIT as it is.
    if f == PostTransform::None || (targets == 1 && f != PostTransform::Probit) {
        return Ok(vec![scores]);
    }
    let (value, shape) = lowering.operand(&scores)?;
    let value = post(lowering, f, value, targets);
    Ok(vec![lowering.run(value, Elem::F32, shape)])
}

fn transform(spec: &Spec) -> Result<PostTransform, String> {
    Ok(match spec.string("post_transform").as_deref() {
        None | Some("NONE") => PostTransform::None,
        Some("LOGISTIC") => PostTransform::Logistic,
        Some("SOFTMAX") => PostTransform::Softmax,
        Some("SOFTMAX_ZERO") => PostTransform::SoftmaxZero,
        Some("PROBIT") => PostTransform::Probit,
        Some(other) => return Err(format!("post_transform `{other}`")),
    })
}
