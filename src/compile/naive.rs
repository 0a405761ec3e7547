//! ONNX operators that tract lacks or computes too coarsely, written to be obviously right: one row
//! after the other, one node after the other, sums in ONNX order. They are the oracle of the
//! plan's steps and share no code with them. tract's Sigmoid is off by 4e-7 in its tails, its
//! Normalizer by an epsilon, its linear classifier knows no string labels.

use super::forest::{Forest, Labels, Mode, Node};
use super::register::Spec;
use crate::engine::plan::{Aggregate, PostTransform};
use std::sync::Arc;
use tract_onnx::model::{OnnxOpRegister, ParsingContext};
use tract_onnx::pb::NodeProto;
use tract_onnx::tract_hir::internal::*;

/// Adds these operators to a register.
pub(super) fn register(register: &mut OnnxOpRegister) {
    for name in [
        "TreeEnsembleRegressor",
        "TreeEnsembleClassifier",
        "LinearClassifier",
        "Normalizer",
        "Scaler",
        "Sigmoid",
        "Imputer",
        "ArrayFeatureExtractor",
        "ZipMap",
    ] {
        register.insert(name, build);
    }
}

fn build(_ctx: &ParsingContext, node: &NodeProto) -> TractResult<(Box<dyn InferenceOp>, Vec<String>)> {
    let spec = Spec::of(node);
    let kind = match node.op_type.as_str() {
        "TreeEnsembleRegressor" | "TreeEnsembleClassifier" => {
            Kind::Forest(Forest::parse(&spec).map_err(|e| format_err!("{e}"))?)
        }
        "Scaler" => Kind::Scaler { offset: spec.floats("offset").to_vec(), scale: spec.floats("scale").to_vec() },
        "Imputer" => {
            if spec.ints("imputed_value_int64s").is_some_and(|list| !list.is_empty()) {
                bail!("integer imputation: cast to float first");
            }
            Kind::Imputer {
                values: spec.floats("imputed_value_floats").to_vec(),
                replaced: spec.float("replaced_value_float", 0.0),
            }
        }
        "ArrayFeatureExtractor" => Kind::Extract,
        "Sigmoid" => Kind::Sigmoid,
        "Normalizer" => Kind::Normalizer(spec.string("norm").unwrap_or_default()),
        "LinearClassifier" => linear_classifier(&spec)?,
        _ => Kind::ZipMap,
    };
    Ok((expand(Naive { name: node.op_type.clone(), kind: Arc::new(kind) }), vec![]))
}

#[derive(Debug)]
enum Kind {
    Forest(Forest),
    Scaler {
        offset: Vec<f32>,
        scale: Vec<f32>,
    },
    Imputer {
        values: Vec<f32>,
        replaced: f32,
    },
    Extract,
    Sigmoid,
    /// The norm's name.
    Normalizer(String),
    Linear {
        coefficients: Vec<f32>,
        intercepts: Vec<f32>,
        labels: Vec<i64>,
        post: PostTransform,
    },
    /// A ZipMap'd output is the matrix it was made from.
    ZipMap,
}

impl Kind {
    /// Score columns of what gives scores.
    fn targets(&self) -> usize {
        match self {
            Kind::Forest(forest) => forest.targets,
            Kind::Linear { labels, .. } => labels.len(),
            _ => 0,
        }
    }
}

/// A linear classifier with one row of coefficients a class; string labels are their indices.
fn linear_classifier(spec: &Spec) -> TractResult<Kind> {
    let post = match spec.string("post_transform").as_deref() {
        None | Some("NONE") => PostTransform::None,
        Some("LOGISTIC") => PostTransform::Logistic,
        Some("SOFTMAX") => PostTransform::Softmax,
        Some(other) => bail!("post_transform `{other}`"),
    };
    let labels: Vec<i64> = match spec.ints("classlabels_ints") {
        Some(ints) if !ints.is_empty() => ints.to_vec(),
        _ => (0..spec.strings("classlabels_strings").len() as i64).collect(),
    };
    let (coefficients, intercepts) = (spec.floats("coefficients").to_vec(), spec.floats("intercepts").to_vec());
    if labels.len() < 2 || intercepts.len() != labels.len() || coefficients.len() % labels.len() != 0 {
        bail!("it has no row of coefficients for each of {} classes: export with one for each", labels.len());
    }
    Ok(Kind::Linear { coefficients, intercepts, labels, post })
}

#[derive(Debug, Clone)]
struct Naive {
    name: String,
    kind: Arc<Kind>,
}

impl PartialEq for Naive {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.kind, &other.kind)
    }
}
impl Eq for Naive {}

impl Expansion for Naive {
    fn name(&self) -> StaticName {
        self.name.clone().into()
    }

    fn nboutputs(&self) -> TractResult<usize> {
        Ok(match &*self.kind {
            Kind::Forest(forest) if forest.labels.is_some() => 2,
            Kind::Linear { .. } => 2,
            _ => 1,
        })
    }

    fn rules<'r, 'p: 'r, 's: 'r>(
        &'s self,
        s: &mut Solver<'r>,
        inputs: &'p [TensorProxy],
        outputs: &'p [TensorProxy],
    ) -> InferenceResult {
        match &*self.kind {
            Kind::Forest(_) | Kind::Linear { .. } => {
                check_input_arity(inputs, 1)?;
                let scores = &outputs[outputs.len() - 1];
                s.equals(&inputs[0].rank, 2)?;
                s.equals(&scores.rank, 2)?;
                s.equals(&scores.datum_type, f32::datum_type())?;
                s.equals(&scores.shape[0], &inputs[0].shape[0])?;
                s.equals(&scores.shape[1], self.kind.targets().to_dim())?;
                if outputs.len() == 2 {
                    s.equals(&outputs[0].datum_type, i64::datum_type())?;
                    s.equals(&outputs[0].rank, 1)?;
                    s.equals(&outputs[0].shape[0], &inputs[0].shape[0])?;
                }
            }
            Kind::Scaler { .. } | Kind::Imputer { .. } => {
                check_input_arity(inputs, 1)?;
                s.equals(&outputs[0].datum_type, f32::datum_type())?;
                s.equals(&outputs[0].shape, &inputs[0].shape)?;
            }
            Kind::Extract => {
                check_input_arity(inputs, 2)?;
                s.equals(&outputs[0].datum_type, &inputs[0].datum_type)?;
                s.given_2(&inputs[0].shape, &inputs[1].shape, move |s, x, y| {
                    s.equals(&outputs[0].shape, extract_shape(&x, &y))
                })?;
            }
            Kind::ZipMap | Kind::Sigmoid | Kind::Normalizer(_) => {
                check_input_arity(inputs, 1)?;
                s.equals(&outputs[0].datum_type, &inputs[0].datum_type)?;
                s.equals(&outputs[0].shape, &inputs[0].shape)?;
            }
        }
        Ok(())
    }

    fn wire(&self, prefix: &str, model: &mut TypedModel, inputs: &[OutletId]) -> TractResult<TVec<OutletId>> {
        model.wire_node(prefix, self.clone(), inputs)
    }
}

/// The last axis is replaced by the number of indices; a vector becomes one row.
fn extract_shape(x: &[TDim], y: &[TDim]) -> TVec<TDim> {
    let count: TDim = y.iter().product();
    let mut shape: TVec<TDim> = if x.len() < 2 { tvec!(1.to_dim()) } else { x[..x.len() - 1].into() };
    shape.push(count);
    shape
}

impl Op for Naive {
    fn name(&self) -> StaticName {
        self.name.clone().into()
    }
    op_as_typed_op!();
}

impl TypedOp for Naive {
    fn output_facts(&self, inputs: &[&TypedFact]) -> TractResult<TVec<TypedFact>> {
        let shape = &inputs[0].shape;
        Ok(match &*self.kind {
            Kind::Forest(_) | Kind::Linear { .. } => {
                let scores = f32::fact([shape[0].clone(), self.kind.targets().to_dim()]);
                if self.nboutputs()? == 2 { tvec!(i64::fact([shape[0].clone()]), scores) } else { tvec!(scores) }
            }
            Kind::Scaler { .. } | Kind::Imputer { .. } => tvec!(f32::fact(shape.to_tvec())),
            Kind::Extract => {
                tvec!(inputs[0].datum_type.fact(&*extract_shape(&shape.to_tvec(), &inputs[1].shape.to_tvec())))
            }
            Kind::ZipMap | Kind::Sigmoid | Kind::Normalizer(_) => tvec!(inputs[0].without_value()),
        })
    }
    as_op!();
}

impl EvalOp for Naive {
    op_out_of_plan!();

    fn eval(&self, _ctx: &EvalContext, inputs: TVec<TValue>) -> TractResult<TVec<TValue>> {
        let x = &inputs[0];
        Ok(match &*self.kind {
            Kind::Forest(forest) => eval_forest(forest, x)?,
            Kind::Scaler { offset, scale } => map_columns(x, |v, c| (v - pick(offset, c, 0.0)) * pick(scale, c, 1.0))?,
            Kind::Imputer { values, replaced } => {
                let missing = |v: f32| if replaced.is_nan() { v.is_nan() } else { v == *replaced };
                map_columns(x, |v, c| if missing(v) { pick(values, c, v) } else { v })?
            }
            Kind::Extract => {
                let indices = inputs[1].cast_to::<i64>()?;
                let indices: Vec<usize> =
                    indices.try_as_plain_ram()?.as_slice::<i64>()?.iter().map(|&i| i as usize).collect();
                let axis = x.rank() - 1;
                if indices.iter().any(|&i| i >= x.shape()[axis]) {
                    bail!("an index is outside the row");
                }
                let columns = indices.iter().map(|&i| x.slice(axis, i, i + 1)).collect::<TractResult<Vec<_>>>()?;
                let mut y = Tensor::stack_tensors(axis, &columns)?;
                if x.rank() == 1 {
                    y.insert_axis(0)?;
                }
                tvec!(y.into_tvalue())
            }
            Kind::ZipMap => tvec!(inputs[0].clone()),
            Kind::Sigmoid => map_columns(x, |v, _| (1.0 / (1.0 + libm::exp(-f64::from(v)))) as f32)?,
            Kind::Normalizer(norm) => normalize(norm, x)?,
            Kind::Linear { coefficients, intercepts, labels, post } => by_rows(x, labels.len(), |row| {
                let score = |class: usize| {
                    let weights = coefficients[class * row.len()..(class + 1) * row.len()].iter();
                    row.iter().zip(weights).fold(0.0, |sum, (v, w)| sum + v * w) + intercepts[class]
                };
                let mut scores: Vec<f32> = (0..labels.len()).map(score).collect();
                let best = (1..scores.len()).fold(0, |best, c| if scores[c] > scores[best] { c } else { best });
                post_transform(*post, &mut scores);
                Ok((scores, labels[best]))
            })?,
        })
    }
}

/// One value for every column, or one for each.
fn pick(list: &[f32], column: usize, default: f32) -> f32 {
    match list.len() {
        0 => default,
        1 => list[0],
        _ => list.get(column).copied().unwrap_or(default),
    }
}

fn map_columns(x: &Tensor, f: impl Fn(f32, usize) -> f32) -> TractResult<TVec<TValue>> {
    let shape: TVec<usize> = x.shape().into();
    let width = shape.last().copied().unwrap_or(1);
    let x = x.cast_to::<f32>()?;
    let y: Vec<f32> =
        x.try_as_plain_ram()?.as_slice::<f32>()?.iter().enumerate().map(|(i, &v)| f(v, i % width)).collect();
    Ok(tvec!(Tensor::from_shape(&shape, &y)?.into_tvalue()))
}

/// Each row divided by its norm; a row of norm zero stays.
fn normalize(norm: &str, x: &Tensor) -> TractResult<TVec<TValue>> {
    let shape: TVec<usize> = x.shape().into();
    let x = x.cast_to::<f32>()?;
    let mut y = vec![];
    for row in x.try_as_plain_ram()?.as_slice::<f32>()?.chunks(shape.last().copied().unwrap_or(1).max(1)) {
        let size = match norm {
            "L1" => row.iter().fold(0.0, |sum, v| sum + v.abs()),
            "L2" => row.iter().fold(0.0, |sum, v| sum + v * v).sqrt(),
            other => bail!("the norm `{other}`"),
        };
        y.extend(row.iter().map(|v| if size == 0.0 { *v } else { v / size }));
    }
    Ok(tvec!(Tensor::from_shape(&shape, &y)?.into_tvalue()))
}

/// Labels and scores, row by row.
fn by_rows(
    x: &Tensor,
    targets: usize,
    f: impl Fn(&[f32]) -> TractResult<(Vec<f32>, i64)>,
) -> TractResult<TVec<TValue>> {
    let (rows, width) = (x.shape()[0], x.shape()[1]);
    let x = x.cast_to::<f32>()?;
    let x = x.try_as_plain_ram()?.as_slice::<f32>()?;
    let mut scores = Vec::with_capacity(rows * targets);
    let mut labels = Vec::with_capacity(rows);
    for r in 0..rows {
        let (row_scores, label) = f(&x[r * width..(r + 1) * width])?;
        scores.extend(row_scores);
        labels.push(label);
    }
    Ok(tvec!(tensor1(&labels).into_tvalue(), Tensor::from_shape(&[rows, targets], &scores)?.into_tvalue()))
}

fn eval_forest(forest: &Forest, x: &Tensor) -> TractResult<TVec<TValue>> {
    let mut outputs = by_rows(x, forest.targets, |row| eval_row(forest, row))?;
    if forest.labels.is_none() {
        outputs.remove(0);
    }
    Ok(outputs)
}

/// Scores after the post transform, and a classifier's label.
fn eval_row(forest: &Forest, row: &[f32]) -> TractResult<(Vec<f32>, i64)> {
    let mut sums: Vec<Option<f32>> = vec![None; forest.targets];
    for tree in &forest.trees {
        let mut node = &tree[0];
        let entries = loop {
            match node {
                Node::Leaf(entries) => break entries,
                Node::Branch { feature, mode, value, missing_yes, yes, no } => {
                    let Some(&v) = row.get(*feature) else { bail!("a split reads column {feature} of {}", row.len()) };
                    node = &tree[if takes_yes(*mode, *missing_yes, v, *value) { *yes } else { *no }];
                }
            }
        };
        for &(target, weight) in entries {
            sums[target] = Some(match (sums[target], forest.aggregate) {
                (None, Aggregate::Sum | Aggregate::Average) => 0.0 + weight,
                (None, _) => weight,
                (Some(sum), Aggregate::Sum | Aggregate::Average) => sum + weight,
                (Some(best), Aggregate::Min) => {
                    if weight < best {
                        weight
                    } else {
                        best
                    }
                }
                (Some(best), Aggregate::Max) => {
                    if weight > best {
                        weight
                    } else {
                        best
                    }
                }
            });
        }
    }
    if forest.aggregate == Aggregate::Average {
        for sum in sums.iter_mut().flatten() {
            *sum /= forest.trees.len() as f32;
        }
    }
    match &forest.labels {
        None => {
            let mut scores: Vec<f32> =
                (0..forest.targets).map(|t| sums[t].unwrap_or(0.0) + pick_base(forest, t)).collect();
            if forest.targets > 1 || forest.post == PostTransform::Probit {
                post_transform(forest.post, &mut scores);
            }
            Ok((scores, 0))
        }
        Some(labels) => classify(forest, labels, sums),
    }
}

fn pick_base(forest: &Forest, target: usize) -> f32 {
    forest.base.get(target).copied().unwrap_or(0.0)
}

/// Whether a value takes a branch's true side.
fn takes_yes(mode: Mode, missing_yes: bool, v: f32, split: f32) -> bool {
    if v.is_nan() && missing_yes {
        return true;
    }
    match mode {
        Mode::Leq => v <= split,
        Mode::Lt => v < split,
        Mode::Gte => v >= split,
        Mode::Gt => v > split,
        Mode::Eq => v == split,
        Mode::Neq => v != split,
    }
}

/// ONNX Runtime's classifier. With two classes of which the leaves name one alone, the one sum is
/// a probability if no weight is negative (label at 0.5), otherwise a margin (label at 0).
fn classify(forest: &Forest, labels: &Labels, sums: Vec<Option<f32>>) -> TractResult<(Vec<f32>, i64)> {
    let label = |class: usize| match labels {
        Labels::Ints(ints) => ints[class],
        Labels::Strings(_) => class as i64,
    };
    let base = |class| pick_base(forest, class);
    if forest.targets != 2 {
        let scored: Vec<Option<f32>> = sums
            .iter()
            .enumerate()
            .map(|(c, sum)| if forest.base.is_empty() { *sum } else { Some(sum.unwrap_or(0.0) + base(c)) })
            .collect();
        let mut best: Option<(usize, f32)> = None;
        for (class, score) in scored.iter().enumerate() {
            if let Some(score) = *score
                && best.is_none_or(|(_, top)| score > top)
            {
                best = Some((class, score));
            }
        }
        let mut scores: Vec<f32> = scored.iter().map(|score| score.unwrap_or(0.0)).collect();
        post_transform(forest.post, &mut scores);
        return Ok((scores, label(best.map_or(0, |(class, _)| class))));
    }
    let named = |class| forest.entries().any(|entry| entry.0 == class);
    let positive = forest.entries().all(|entry| entry.1 >= 0.0);
    let threshold = if positive { 0.5 } else { 0.0 };
    if named(0) && !named(1) {
        if forest.base.len() == 2 {
            bail!("base_values for two classes where the leaves name one");
        }
        let s = sums[0].unwrap_or(0.0) + base(0);
        let scores = match forest.post {
            PostTransform::Logistic => vec![logistic(-s), logistic(s)],
            PostTransform::Probit => bail!("PROBIT with one score for two classes"),
            _ if positive => vec![1.0 - s, s],
            _ => vec![-s, s],
        };
        return Ok((scores, label(usize::from(s > threshold))));
    }
    if !forest.base.is_empty() && (!named(0) || forest.base.len() == 2) {
        bail!("base_values in a classifier of two classes whose leaves name the second");
    }
    let mut scores = vec![sums[0].unwrap_or(0.0) + base(0), sums[1].unwrap_or(0.0)];
    let chosen = if named(0) { i64::from(scores[1] > 0.0) } else { label(usize::from(scores[1] > threshold)) };
    post_transform(forest.post, &mut scores);
    Ok((scores, chosen))
}

fn logistic(v: f32) -> f32 {
    let p = 1.0 / (1.0 + libm::expf(-v.abs()));
    if v < 0.0 { 1.0 - p } else { p }
}

fn post_transform(post: PostTransform, scores: &mut [f32]) {
    match post {
        PostTransform::None => {}
        PostTransform::Logistic => scores.iter_mut().for_each(|score| *score = logistic(*score)),
        PostTransform::Probit => scores.iter_mut().for_each(|score| *score = probit(*score)),
        PostTransform::Softmax | PostTransform::SoftmaxZero => {
            let zero = post == PostTransform::SoftmaxZero;
            let top = scores.iter().fold(f32::MIN, |top, &score| if score > top { score } else { top });
            let mut total = 0.0;
            for score in scores.iter_mut() {
                // SOFTMAX_ZERO keeps what is zero (within 1e-7) out of the sum.
                if zero && score.abs() <= 1e-7 {
                    *score *= libm::expf(-top);
                } else {
                    *score = libm::expf(*score - top);
                    total += *score;
                }
            }
            scores.iter_mut().for_each(|score| *score /= total);
        }
    }
}

/// ONNX Runtime's approximation of the normal quantile (Winitzki's inverse error function).
#[allow(clippy::approx_constant, reason = "the digits of pi that ONNX Runtime computes with")]
fn probit(p: f32) -> f32 {
    let x = 2.0 * p - 1.0;
    let sign = if x < 0.0 { -1.0 } else { 1.0 };
    let log = libm::logf((1.0 - x) * (1.0 + x));
    let v = 2.0 / (3.141_59_f32 * 0.147) + 0.5 * log;
    let root = (-v + (v * v - log / 0.147).sqrt()).sqrt();
    std::f32::consts::SQRT_2 * (sign * root)
}
