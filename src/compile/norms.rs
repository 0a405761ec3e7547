//! Normalisations, softmax and reductions.

use super::call::{Call, Lowered, Val};
use super::constant::{Constant, Elem};
use super::elementwise::binary;
use super::lower::Lowering;
use super::moves::reshaped;
use super::shape::{self, Dim};
use super::split::Origin;
use crate::engine::plan::{Binary, DType, Op, Reduce, Rows, Unary};
use crate::engine::tensor::Tensor;
use std::rc::Rc;

/// Lowers a normalisation or reduction; none if it is not one.
pub(super) fn lower(lowering: &mut Lowering, call: &Call) -> Option<Lowered> {
    Some(match call.spec.op.as_str() {
        "BatchNormalization" => batch_norm(lowering, call),
        "LayerNormalization" => layer_norm(lowering, call),
        "RMSNormalization" | "SimplifiedLayerNormalization" => rms_norm(lowering, call),
        "LpNormalization" => lp_norm(lowering, call),
        "Softmax" | "LogSoftmax" => softmax(lowering, call),
        "Hardmax" => hardmax(lowering, call),
        op if op.starts_with("Reduce") => reduce(lowering, call),
        "ArgMax" | "ArgMin" => arg(lowering, call),
        "CumSum" => cum_sum(lowering, call),
        _ => return None,
    })
}

fn scalar(x: f32) -> Val {
    Val::Constant(Rc::new(Constant::f32(&[], vec![x])))
}

/// A function of one float.
pub(super) fn unary(lowering: &mut Lowering, f: Unary, val: &Val) -> Result<Val, String> {
    let (x, shape) = lowering.float_operand(val)?;
    let width = lowering.width(x);
    let value = lowering.float_step(Op::Unary(f), &[x], width);
    Ok(lowering.run(value, Elem::F32, shape))
}

/// A known scale and shift by channel: taken into the layer before it by [`super::fuse`].
fn batch_norm(lowering: &mut Lowering, call: &Call) -> Lowered {
    if call.spec.int("training_mode", 0) != 0 {
        return Err("it is in training mode: export the model in evaluation mode".into());
    }
    let x = call.need(0)?;
    let shape = x.shape();
    let channels = match shape.get(1) {
        Some(Dim::Fixed(channels)) => *channels,
        None => 1,
        _ => return Err("its channels are the candidates".into()),
    };
    let mut dims = vec![channels];
    dims.resize(shape.len().saturating_sub(1).max(1), 1);
    let mut parameters = vec![];
    for i in 1..5 {
        match call.need(i)? {
            Val::Constant(c) => parameters.push(c.floats()?.to_vec()),
            _ => return batch_norm_computed(lowering, call, &dims),
        }
    }
    if parameters.iter().any(|p| p.len() != channels) {
        return Err(format!("its parameters are not of {channels} channels"));
    }
    let epsilon = f64::from(call.spec.float("epsilon", 1e-5));
    let wide = |p: usize, c: usize| f64::from(parameters[p][c]);
    let (scale, shift): (Vec<f32>, Vec<f32>) = (0..channels)
        .map(|c| {
            let scale = wide(0, c) / (wide(3, c) + epsilon).sqrt();
            (scale as f32, (wide(1, c) - wide(2, c) * scale) as f32)
        })
        .unzip();
    let row = |list: Vec<f32>| Val::Constant(Rc::new(Constant::f32(&dims, list)));
    let scaled = binary(lowering, Binary::Mul, x, &row(scale))?;
    Ok(vec![binary(lowering, Binary::Add, &scaled, &row(shift))?])
}

/// The same with computed parameters, each of the shape `dims`.
fn batch_norm_computed(lowering: &mut Lowering, call: &Call, dims: &[usize]) -> Lowered {
    let mut parameters = vec![];
    for i in 1..5 {
        let parameter = call.need(i)?;
        if parameter.shape() != [Dim::Fixed(dims[0])] {
            return Err(format!("its parameters are not of {} channels", dims[0]));
        }
        parameters.push(reshaped(parameter, shape::of_sizes(dims))?);
    }
    let [scale, bias, mean, variance] = &parameters[..] else { return Err("a parameter is missing".into()) };
    let shifted = binary(lowering, Binary::Add, variance, &scalar(call.spec.float("epsilon", 1e-5)))?;
    let deviation = unary(lowering, Unary::Sqrt, &shifted)?;
    let centred = binary(lowering, Binary::Sub, call.need(0)?, mean)?;
    let normal = binary(lowering, Binary::Div, &centred, &deviation)?;
    let scaled = binary(lowering, Binary::Mul, &normal, scale)?;
    Ok(vec![binary(lowering, Binary::Add, &scaled, bias)?])
}

/// `(x - mean) / sqrt(variance + epsilon) * scale + bias` over the last axes.
fn layer_norm(lowering: &mut Lowering, call: &Call) -> Lowered {
    let x = call.need(0)?;
    let shape = x.shape();
    let axis = shape::axis(call.spec.int("axis", -1), shape.len())?;
    let epsilon = call.spec.float("epsilon", 1e-5);
    let group = shape::width(&shape[axis..]);
    let constants = |i: usize| match call.optional(i) {
        Some(Val::Constant(c)) if c.len() == group || c.len() == 1 => {
            Some(c.floats().map(|v| if v.len() == 1 { vec![v[0]; group] } else { v.to_vec() }))
        }
        _ => None,
    };
    let plain = shape::candidates(&shape[axis..]) == 0 && shape::candidates(&shape) < 2 && call.spec.outputs == 1;
    let bias_fits = call.optional(2).is_none() || constants(2).is_some();
    if let (true, true, Some(scale)) = (plain, bias_fits, constants(1)) {
        let (value, _) = lowering.float_operand(x)?;
        let scale = lowering.tensor("scale", Tensor::f32(&[group], scale?));
        let bias = constants(2).transpose()?.map(|bias| lowering.tensor("bias", Tensor::f32(&[group], bias)));
        let width = lowering.width(value);
        let op = Op::LayerNorm { scale, bias, group: group as u32, epsilon };
        let value = lowering.float_step(op, &[value], width);
        return Ok(vec![lowering.run(value, x.elem(), shape)]);
    }
    let axes: Vec<usize> = (axis..shape.len()).collect();
    let mean = reduced(lowering, x, Reduce::Mean, &axes, true)?;
    let centred = binary(lowering, Binary::Sub, x, &mean)?;
    let square = binary(lowering, Binary::Mul, &centred, &centred)?;
    let variance = reduced(lowering, &square, Reduce::Mean, &axes, true)?;
    let shifted = binary(lowering, Binary::Add, &variance, &scalar(epsilon))?;
    let deviation = unary(lowering, Unary::Sqrt, &shifted)?;
    let normal = binary(lowering, Binary::Div, &centred, &deviation)?;
    let mut result = binary(lowering, Binary::Mul, &normal, call.need(1)?)?;
    if let Some(bias) = call.optional(2) {
        result = binary(lowering, Binary::Add, &result, bias)?;
    }
    let inverse = unary(lowering, Unary::Reciprocal, &deviation)?;
    Ok(vec![result, mean, inverse])
}

fn rms_norm(lowering: &mut Lowering, call: &Call) -> Lowered {
    let x = call.need(0)?;
    let rank = x.shape().len();
    let axis = shape::axis(call.spec.int("axis", -1), rank)?;
    let axes: Vec<usize> = (axis..rank).collect();
    let square = binary(lowering, Binary::Mul, x, x)?;
    let mean = reduced(lowering, &square, Reduce::Mean, &axes, true)?;
    let shifted = binary(lowering, Binary::Add, &mean, &scalar(call.spec.float("epsilon", 1e-5)))?;
    let root = unary(lowering, Unary::Sqrt, &shifted)?;
    let normal = binary(lowering, Binary::Div, x, &root)?;
    Ok(vec![binary(lowering, Binary::Mul, &normal, call.need(1)?)?])
}

fn lp_norm(lowering: &mut Lowering, call: &Call) -> Lowered {
    let x = call.need(0)?;
    let axis = shape::axis(call.spec.int("axis", -1), x.shape().len())?;
    let norm = if call.spec.int("p", 2) == 1 {
        let absolute = unary(lowering, Unary::Abs, x)?;
        reduced(lowering, &absolute, Reduce::Sum, &[axis], true)?
    } else {
        let square = binary(lowering, Binary::Mul, x, x)?;
        let sum = reduced(lowering, &square, Reduce::Sum, &[axis], true)?;
        unary(lowering, Unary::Sqrt, &sum)?
    };
    // A line of norm zero is zeros: divided by one.
    let empty = binary(lowering, Binary::Equal, &norm, &scalar(0.0))?;
    let empty = super::elementwise::cast_to(lowering, &empty, Elem::F32)?;
    let divisor = binary(lowering, Binary::Add, &norm, &empty)?;
    Ok(vec![binary(lowering, Binary::Div, x, &divisor)?])
}

/// Softmax over one axis (operator sets from 13), or over all from `axis` on (before).
fn softmax(lowering: &mut Lowering, call: &Call) -> Lowered {
    let log = call.spec.op == "LogSoftmax";
    let x = call.need(0)?;
    let shape = x.shape();
    let flat = call.spec.opset < 13;
    let axis = shape::axis(call.spec.int("axis", if flat { 1 } else { -1 }), shape.len().max(1))?;
    let axes: Vec<usize> = if flat { (axis..shape.len()).collect() } else { vec![axis] };
    Ok(vec![softmaxed(lowering, x, &axes, log)?])
}

/// Softmax over neighbouring axes.
pub(super) fn softmaxed(lowering: &mut Lowering, x: &Val, axes: &[usize], log: bool) -> Result<Val, String> {
    let (value, shape) = lowering.float_operand(x)?;
    let (first, last) = (axes[0], axes[axes.len() - 1]);
    let width = lowering.width(value);
    let inner = shape::width(&shape[last + 1..]) as u32;
    let over: Vec<Dim> = shape[first..=last].to_vec();
    let rows = lowering.plan.values[value as usize].rows;
    // The second candidates of pairs.
    let second =
        rows == Rows::Pair && axes.len() == 1 && shape::rows_axis(&shape) < Some(first) && shape[first] == Dim::N;
    if second || shape::candidates(&over) == 0 {
        if rows == Rows::Pair && !second {
            return Err("a softmax inside pairs of candidates".into());
        }
        let group = if second { 0 } else { shape::width(&over) as u32 };
        let value = lowering.float_step(Op::Softmax { group, inner, log }, &[value], width);
        return Ok(lowering.run(value, x.elem(), shape));
    }
    // Over the candidates: by its parts.
    let top = reduced(lowering, x, Reduce::Max, axes, true)?;
    let shifted = binary(lowering, Binary::Sub, x, &top)?;
    let powers = unary(lowering, Unary::Exp, &shifted)?;
    let total = reduced(lowering, &powers, Reduce::Sum, axes, true)?;
    if log {
        let total = unary(lowering, Unary::Log, &total)?;
        return binary(lowering, Binary::Sub, &shifted, &total);
    }
    binary(lowering, Binary::Div, &powers, &total)
}

/// 1 at the first largest element of the axis, else 0.
fn hardmax(lowering: &mut Lowering, call: &Call) -> Lowered {
    let x = call.need(0)?;
    let shape = x.shape();
    let flat = call.spec.opset < 13;
    let axis = shape::axis(call.spec.int("axis", if flat { 1 } else { -1 }), shape.len())?;
    let axes: Vec<usize> = if flat { (axis..shape.len()).collect() } else { vec![axis] };
    let over = shape::fixed(&shape[axis..axis + axes.len()]).ok_or("over the candidates")?;
    let best = reduced(lowering, x, Reduce::ArgMax, &axes, true)?;
    let mut dims = vec![1; shape.len()];
    dims[axis..axis + over.len()].copy_from_slice(&over);
    let size: usize = over.iter().product();
    let places = Val::Constant(Rc::new(Constant::i64(&dims, (0..size as i64).collect())));
    let hit = binary(lowering, Binary::Equal, &best, &places)?;
    Ok(vec![super::elementwise::cast_to(lowering, &hit, x.elem())?])
}

fn reduce(lowering: &mut Lowering, call: &Call) -> Lowered {
    let x = call.need(0)?;
    let rank = x.shape().len();
    let given = call.axes(1)?;
    let axes: Vec<usize> = match given {
        Some(axes) if !axes.is_empty() => axes.iter().map(|&a| shape::axis(a, rank)).collect::<Result<_, _>>()?,
        _ if call.spec.int("noop_with_empty_axes", 0) != 0 => vec![],
        _ => (0..rank).collect(),
    };
    let keep = call.spec.int("keepdims", 1) != 0;
    let of = |lowering: &mut Lowering, val: &Val, f: Reduce| reduced(lowering, val, f, &axes, keep);
    let result = match call.spec.op.as_str() {
        "ReduceSum" => of(lowering, x, Reduce::Sum)?,
        "ReduceMean" => of(lowering, x, Reduce::Mean)?,
        "ReduceProd" => of(lowering, x, Reduce::Prod)?,
        "ReduceMax" => of(lowering, x, Reduce::Max)?,
        "ReduceMin" => of(lowering, x, Reduce::Min)?,
        "ReduceSumSquare" => {
            let square = binary(lowering, Binary::Mul, x, x)?;
            of(lowering, &square, Reduce::Sum)?
        }
        "ReduceL1" => {
            let absolute = unary(lowering, Unary::Abs, x)?;
            of(lowering, &absolute, Reduce::Sum)?
        }
        "ReduceL2" => {
            let square = binary(lowering, Binary::Mul, x, x)?;
            let sum = of(lowering, &square, Reduce::Sum)?;
            unary(lowering, Unary::Sqrt, &sum)?
        }
        "ReduceLogSum" => {
            let sum = of(lowering, x, Reduce::Sum)?;
            unary(lowering, Unary::Log, &sum)?
        }
        "ReduceLogSumExp" => log_sum_exp(lowering, x, &axes, keep)?,
        op => return Err(format!("the reduction {op}")),
    };
    Ok(vec![result])
}

/// ln of the sum of exponentials, the largest taken out; an infinite largest is its own answer.
fn log_sum_exp(lowering: &mut Lowering, x: &Val, axes: &[usize], keep: bool) -> Result<Val, String> {
    let top = reduced(lowering, x, Reduce::Max, axes, true)?;
    let finite = unary(lowering, Unary::Clip { low: f32::MIN, high: f32::MAX }, &top)?;
    let shifted = binary(lowering, Binary::Sub, x, &finite)?;
    let powers = unary(lowering, Unary::Exp, &shifted)?;
    let total = reduced(lowering, &powers, Reduce::Sum, axes, true)?;
    let log = unary(lowering, Unary::Log, &total)?;
    let result = binary(lowering, Binary::Add, &log, &finite)?;
    if keep {
        return Ok(result);
    }
    let shape = result.shape().into_iter().enumerate().filter(|(i, _)| !axes.contains(i)).map(|(_, d)| d).collect();
    reshaped(&result, shape)
}

/// The sum of products with a vector that all candidates share is a layer of one output: the same terms in the same
/// order.
fn dot_product(lowering: &mut Lowering, x: &Val, f: Reduce, axes: &[usize]) -> Result<Option<Val>, String> {
    let (Val::Run { value, shape, .. }, Reduce::Sum) = (x, f) else { return Ok(None) };
    let Some(Origin::Product(a, b)) = lowering.origins.get(value).cloned() else { return Ok(None) };
    if let Some(mixture) = mixture(lowering, &a, &b, shape, axes)? {
        return Ok(Some(mixture));
    }
    let Some(&Dim::Fixed(terms)) = shape.last() else { return Ok(None) };
    if axes != [shape.len() - 1] || shape::candidates(shape) != 1 {
        return Ok(None);
    }
    for (vector, matrix) in [(&a, &b), (&b, &a)] {
        let one = shape::width(&vector.shape()) == terms && shape::candidates(&vector.shape()) == 0;
        if one && matrix.shape() == *shape && matches!(vector, Val::Run { .. }) {
            let column = reshaped(vector, vec![Dim::Fixed(terms), Dim::Fixed(1)])?;
            return Ok(Some(super::matrix::product(lowering, matrix, &column)?));
        }
    }
    Ok(None)
}

/// The sum over the last axis but one of `[.., k, n]` times one weight for each of the k is a product `[1, k] x [k, n]`:
/// experts behind their gate.
fn mixture(lowering: &mut Lowering, a: &Val, b: &Val, shape: &[Dim], axes: &[usize]) -> Result<Option<Val>, String> {
    let rank = shape.len();
    if rank < 3 || axes != [rank - 2] || shape::candidates(shape) != 1 || !shape[0].is_rows() {
        return Ok(None);
    }
    for (gate, experts) in [(a, b), (b, a)] {
        let mut narrow = shape.to_vec();
        narrow[rank - 1] = Dim::Fixed(1);
        let run = |val: &Val| matches!(val, Val::Run { .. });
        if run(gate) && run(experts) && gate.shape() == narrow && experts.shape() == shape {
            narrow.swap(rank - 2, rank - 1);
            let row = reshaped(gate, narrow)?;
            return Ok(Some(super::matrix::product(lowering, &row, experts)?));
        }
    }
    Ok(None)
}

/// A reduction over axes, wherever the candidates are; the axes stay as 1 if `keep`.
pub(super) fn reduced(lowering: &mut Lowering, x: &Val, f: Reduce, axes: &[usize], keep: bool) -> Result<Val, String> {
    let shape = x.shape();
    let axes: &[usize] = &(0..shape.len()).filter(|axis| axes.contains(axis)).collect::<Vec<_>>();
    let kept: Vec<Dim> =
        shape.iter().enumerate().map(|(i, dim)| if axes.contains(&i) { Dim::Fixed(1) } else { *dim }).collect();
    let finish = |val: Val| -> Result<Val, String> {
        let dims = kept.iter().enumerate().filter(|(i, _)| keep || !axes.contains(i)).map(|(_, dim)| *dim);
        reshaped(&val, dims.collect())
    };
    if axes.is_empty() {
        return finish(x.clone());
    }
    if let Some(dot) = dot_product(lowering, x, f, axes)? {
        return finish(reshaped(&dot, kept.clone())?);
    }
    let (mut value, _) = lowering.operand(x)?;
    let elem = if f.gives_index() { Elem::I64 } else { x.elem() };
    if f.gives_index() && x.elem() == Elem::Bool {
        return Err("the largest of booleans: cast to float32 first".into());
    }
    let dtype = if f.gives_index() { DType::I64 } else { lowering.dtype_of(value) };
    let pairs = lowering.plan.values[value as usize].rows == Rows::Pair;
    if pairs {
        let second = axes.len() == 1 && shape[axes[0]] == Dim::N && shape::rows_axis(&shape) < Some(axes[0]);
        if !second {
            return Err("a reduction of pairs of candidates over another axis than the second of the two".into());
        }
        let inner = shape::width(&shape[axes[0] + 1..]) as u32;
        let width = lowering.width(value);
        let value = lowering.push(Op::Reduce { f, group: 0, inner }, &[value], dtype, Rows::Candidate, width);
        return finish(lowering.run(value, elem, kept.clone()));
    }
    let over_rows = axes.iter().any(|&a| shape[a].is_rows());
    // What is joined to the candidates is reduced with them.
    let inside: Vec<usize> = axes.iter().copied().filter(|&a| !shape[a].is_rows() || shape[a].inner() > 1).collect();
    if over_rows && f.gives_index() && !inside.is_empty() {
        return Err("an index over candidates and another axis".into());
    }
    let sizes = shape::inner(&shape);
    let group: usize = inside.iter().map(|&a| sizes[a]).product();
    let divisor = group as f32;
    let part = if f == Reduce::Mean && over_rows { Reduce::Sum } else { f };
    let mut width = lowering.width(value);
    if group > 1 || (!inside.is_empty() && f.gives_index()) {
        let neighbours = inside.windows(2).all(|w| (w[0] + 1..w[1]).all(|a| sizes[a] == 1));
        let last = inside[inside.len() - 1];
        let inner = if neighbours {
            sizes[last + 1..].iter().product()
        } else {
            // Reduced axes go last.
            let stay = (0..sizes.len()).filter(|a| !inside.contains(a));
            let order: Vec<usize> = stay.chain(inside.iter().copied()).collect();
            let table = super::table::Table::identity(&sizes, 0).transpose(&order);
            value = lowering.moved(value, &table)?;
            1
        };
        width /= group;
        let op = Op::Reduce { f: part, group: group as u32, inner: inner as u32 };
        value = lowering.step(op, &[value], dtype, width);
    } else if f.gives_index() && !over_rows {
        value = lowering.constant_ints(vec![0; width]);
    }
    if over_rows {
        value = lowering.spread(value, &[Dim::N])?;
        value = lowering.push(Op::ReduceRows { f }, &[value], dtype, Rows::Shared, width);
        if f == Reduce::Mean && group > 1 {
            let by = lowering.constant_row(vec![divisor]);
            value = lowering.float_step(Op::Binary { f: Binary::Div, each: [1, 1] }, &[value, by], width);
        }
    }
    finish(lowering.run(value, elem, kept.clone()))
}

fn arg(lowering: &mut Lowering, call: &Call) -> Lowered {
    let x = call.need(0)?;
    let axis = shape::axis(call.spec.int("axis", 0), x.shape().len())?;
    let last = call.spec.int("select_last_index", 0) != 0;
    let f = match (call.spec.op.as_str(), last) {
        ("ArgMax", false) => Reduce::ArgMax,
        ("ArgMax", true) => Reduce::ArgMaxLast,
        (_, false) => Reduce::ArgMin,
        _ => Reduce::ArgMinLast,
    };
    Ok(vec![reduced(lowering, x, f, &[axis], call.spec.int("keepdims", 1) != 0)?])
}

fn cum_sum(lowering: &mut Lowering, call: &Call) -> Lowered {
    let x = call.need(0)?;
    let shape = x.shape();
    let axis = call.ints(1, "the axis")?.first().copied().unwrap_or(0);
    let axis = shape::axis(axis, shape.len())?;
    let (exclusive, reverse) = (call.spec.int("exclusive", 0) != 0, call.spec.int("reverse", 0) != 0);
    let (value, _) = lowering.operand(x)?;
    let (width, dtype) = (lowering.width(value), lowering.dtype_of(value));
    let inner = shape::width(&shape[axis + 1..]) as u32;
    let (value, group, rows) = match shape[axis] {
        Dim::N => (lowering.spread(value, &[Dim::N])?, 0, Rows::Candidate),
        Dim::Fixed(group) => (value, group as u32, lowering.plan.values[value as usize].rows),
        Dim::Rows { .. } => return Err("running sums over candidates joined with another axis".into()),
    };
    if rows == Rows::Pair {
        return Err("running sums of pairs of candidates".into());
    }
    let value = lowering.push(Op::CumSum { group, inner, exclusive, reverse }, &[value], dtype, rows, width);
    Ok(vec![lowering.run(value, x.elem(), shape)])
}
