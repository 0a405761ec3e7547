//! Normalisations, softmax and reductions.

use super::graph::Dim;
use super::lower::{Call, Lowered, Lowering, Val, floats, integers};
use crate::engine::plan::{Binary, Op, Reduce, Unary};
use crate::engine::tensor::Tensor;

const MIXED: &str =
    "it goes over the candidates' axis: rows are scored one by one (list-wise models have no plan step yet)";

/// An affine step by channel, in f64, for the dense layer before it to take in.
#[derive(Debug, Clone)]
pub(super) struct Affine {
    /// Value read.
    pub input: u32,
    /// Values of the multiplication and of the addition.
    pub outputs: [u32; 2],
    pub scale: Vec<f64>,
    pub shift: Vec<f64>,
}

/// A known scale and shift by channel.
pub(super) fn batch_norm(lowering: &mut Lowering, call: &Call) -> Lowered {
    if call.spec.int("training_mode", 0) != 0 {
        return Err("it is in training mode: export the model in evaluation mode".into());
    }
    let (x, shape) = lowering.float_operand(call.need(0)?)?;
    let (_, inner) = call.layout(0)?;
    let mut parameters = vec![];
    for i in 1..5 {
        parameters.push(floats(&*call.constant(i, "a parameter")?)?);
    }
    let (channels, epsilon) = (inner.first().copied().unwrap_or(1), f64::from(call.spec.float("epsilon", 1e-5)));
    if parameters.iter().any(|p| p.len() != channels) {
        return Err(format!("its parameters are not of {channels} channels"));
    }
    let each = inner.iter().skip(1).product::<usize>();
    let wide = |p: usize, c: usize| f64::from(parameters[p][c]);
    let by_channel: Vec<(f64, f64)> = (0..channels)
        .map(|c| {
            let scale = wide(0, c) / (wide(3, c) + epsilon).sqrt();
            (scale, wide(1, c) - wide(2, c) * scale)
        })
        .collect();
    let (scale, shift): (Vec<f64>, Vec<f64>) =
        by_channel.iter().flat_map(|pair| std::iter::repeat_n(*pair, each)).unzip();
    let round = |list: &[f64]| list.iter().map(|&v| v as f32).collect::<Vec<f32>>();
    let width = scale.len();
    let scales = lowering.constant_row(round(&scale));
    let shifts = lowering.constant_row(round(&shift));
    let scaled = lowering.float_step(Op::Binary { f: Binary::Mul }, &[x, scales], width);
    let value = lowering.float_step(Op::Binary { f: Binary::Add }, &[scaled, shifts], width);
    lowering.affines.push(Affine { input: x, outputs: [scaled, value], scale, shift });
    Ok(vec![Val::Run { value, shape }])
}

/// `(x - mean) / sqrt(variance + epsilon) * scale + bias` over the last axes.
pub(super) fn layer_norm(lowering: &mut Lowering, call: &Call) -> Lowered {
    let (x, shape) = lowering.float_operand(call.need(0)?)?;
    let axis = axis(call.spec.int("axis", -1), &shape)?;
    let group = suffix(&shape, axis)?;
    let fitted = |tensor: Vec<f32>| -> Result<Vec<f32>, String> {
        match tensor.len() {
            1 => Ok(vec![tensor[0]; group]),
            n if n == group => Ok(tensor),
            n => Err(format!("its scale or bias has {n} elements for a group of {group}")),
        }
    };
    let scale = fitted(floats(&*call.constant(1, "the scale")?)?)?;
    let scale = lowering.tensor("scale", Tensor::f32(&[group], scale));
    let bias = match call.optional(2) {
        Some(_) => {
            let bias = fitted(floats(&*call.constant(2, "the bias")?)?)?;
            Some(lowering.tensor("bias", Tensor::f32(&[group], bias)))
        }
        None => None,
    };
    let width = lowering.plan.values[x as usize].width as usize;
    let epsilon = call.spec.float("epsilon", 1e-5);
    let value = lowering.float_step(Op::LayerNorm { scale, bias, group: group as u32, epsilon }, &[x], width);
    Ok(vec![Val::Run { value, shape }])
}

/// Softmax over one axis (operator sets from 13), or over all from `axis` on (before).
pub(super) fn softmax(lowering: &mut Lowering, call: &Call) -> Lowered {
    let log = call.spec.op == "LogSoftmax";
    let (x, shape) = lowering.float_operand(call.need(0)?)?;
    let width = lowering.plan.values[x as usize].width as usize;
    let flat = call.spec.opset < 13;
    let axis = axis(call.spec.int("axis", if flat { 1 } else { -1 }), &shape)?;
    if flat || axis + 1 == shape.len() {
        let group = suffix(&shape, axis)?;
        let value = lowering.float_step(Op::Softmax { group: group as u32, log }, &[x], width);
        return Ok(vec![Val::Run { value, shape }]);
    }
    let (columns, group) = last(&shape, &[axis])?;
    let mut back = vec![0; columns.len()];
    for (to, &from) in columns.iter().enumerate() {
        back[from as usize] = to as u32;
    }
    let moved = lowering.select(x, columns);
    let soft = lowering.float_step(Op::Softmax { group: group as u32, log }, &[moved], width);
    let value = lowering.select(soft, back);
    Ok(vec![Val::Run { value, shape }])
}

/// Reductions over any axes inside a row.
pub(super) fn reduce(lowering: &mut Lowering, call: &Call) -> Lowered {
    let (before, f, after) = match call.spec.op.as_str() {
        "ReduceSum" => (None, Reduce::Sum, None),
        "ReduceMean" => (None, Reduce::Mean, None),
        "ReduceMax" => (None, Reduce::Max, None),
        "ReduceMin" => (None, Reduce::Min, None),
        "ReduceSumSquare" => (Some(Square), Reduce::Sum, None),
        "ReduceL1" => (Some(Absolute), Reduce::Sum, None),
        "ReduceL2" => (Some(Square), Reduce::Sum, Some(Unary::Sqrt)),
        "ReduceLogSum" => (None, Reduce::Sum, Some(Unary::Log)),
        op => return Err(super::ops::instead(op)),
    };
    let axes = match call.optional(1) {
        Some(_) => Some(integers(&*call.constant(1, "the list of axes")?)?),
        None => call.spec.ints("axes").map(<[i64]>::to_vec),
    };
    let (mut x, shape) = lowering.float_operand(call.need(0)?)?;
    let axes = match axes {
        Some(axes) if !axes.is_empty() => axes,
        _ if call.spec.int("noop_with_empty_axes", 0) != 0 => vec![],
        _ => (0..shape.len() as i64).collect(),
    };
    let axes = axes.into_iter().map(|a| axis(a, &shape)).collect::<Result<Vec<usize>, String>>()?;
    let out = call.output(0)?.shape.clone();
    let width = lowering.plan.values[x as usize].width as usize;
    let (columns, group) = last(&shape, &axes)?;
    x = match before {
        Some(Square) => lowering.float_step(Op::Binary { f: Binary::Mul }, &[x, x], width),
        Some(Absolute) => lowering.float_step(Op::Unary(Unary::Abs), &[x], width),
        None => x,
    };
    x = lowering.select(x, columns);
    if group > 1 {
        x = lowering.float_step(Op::Reduce { f, group: group as u32 }, &[x], width / group);
    }
    if let Some(after) = after {
        x = lowering.float_step(Op::Unary(after), &[x], width / group);
    }
    Ok(vec![Val::Run { value: x, shape: out }])
}

enum Before {
    Square,
    Absolute,
}
use Before::{Absolute, Square};

/// ai.onnx.ml's norms of a row: the row divided by its norm; a row of zeros stays.
pub(super) fn normalizer(lowering: &mut Lowering, call: &Call) -> Lowered {
    let (x, shape) = lowering.float_operand(call.need(0)?)?;
    let width = lowering.plan.values[x as usize].width as usize;
    let group = width as u32;
    let norm = match call.spec.string("norm").as_deref() {
        None | Some("MAX") => return Err("the norm MAX, on whose sign implementations differ: use L1 or L2".into()),
        Some("L1") => {
            let absolute = lowering.float_step(Op::Unary(Unary::Abs), &[x], width);
            lowering.float_step(Op::Reduce { f: Reduce::Sum, group }, &[absolute], 1)
        }
        Some("L2") => {
            let square = lowering.float_step(Op::Binary { f: Binary::Mul }, &[x, x], width);
            let sum = lowering.float_step(Op::Reduce { f: Reduce::Sum, group }, &[square], 1);
            lowering.float_step(Op::Unary(Unary::Sqrt), &[sum], 1)
        }
        Some(other) => return Err(format!("the norm `{other}`")),
    };
    // A norm of zero becomes one.
    let zero = lowering.constant_row(vec![0.0]);
    let is_zero = lowering.float_step(Op::Binary { f: Binary::Equal }, &[norm, zero], 1);
    let norm = lowering.float_step(Op::Binary { f: Binary::Add }, &[norm, is_zero], 1);
    let value = lowering.float_step(Op::Binary { f: Binary::Div }, &[x, norm], width);
    Ok(vec![Val::Run { value, shape }])
}

/// `(x - offset) * scale` by column.
pub(super) fn scaler(lowering: &mut Lowering, call: &Call) -> Lowered {
    let (x, shape) = lowering.float_operand(call.need(0)?)?;
    let width = lowering.plan.values[x as usize].width as usize;
    let mut value = x;
    for (name, f, neutral) in [("offset", Binary::Sub, 0.0), ("scale", Binary::Mul, 1.0)] {
        let row = call.spec.floats(name);
        if !(row.len() <= 1 || row.len() == width) {
            return Err(format!("its {name} has {} values for {width} columns", row.len()));
        }
        if row.iter().any(|&v| v != neutral) {
            let row = lowering.constant_row(row.to_vec());
            value = lowering.float_step(Op::Binary { f }, &[value, row], width);
        }
    }
    Ok(vec![Val::Run { value, shape }])
}

/// An axis counted from the front.
fn axis(axis: i64, shape: &[Dim]) -> Result<usize, String> {
    let rank = shape.len() as i64;
    let axis = if axis < 0 { axis + rank } else { axis };
    usize::try_from(axis)
        .ok()
        .filter(|&a| a < shape.len())
        .ok_or_else(|| format!("axis {axis} of a value of rank {rank}"))
}

/// Elements from an axis on.
fn suffix(shape: &[Dim], axis: usize) -> Result<usize, String> {
    let sizes: Option<Vec<usize>> =
        shape[axis..].iter().map(|dim| if let Dim::Fixed(size) = dim { Some(*size) } else { None }).collect();
    Ok(sizes.ok_or(MIXED)?.iter().product())
}

/// Columns in the order that puts `axes` last, and the number of elements along these.
fn last(shape: &[Dim], axes: &[usize]) -> Result<(Vec<u32>, usize), String> {
    if axes.iter().any(|&a| shape[a] == Dim::Rows) {
        return Err(MIXED.into());
    }
    let sizes: Vec<usize> = shape.iter().map(|dim| if let Dim::Fixed(size) = dim { *size } else { 1 }).collect();
    let order: Vec<usize> =
        (0..shape.len()).filter(|a| !axes.contains(a)).chain((0..shape.len()).filter(|a| axes.contains(a))).collect();
    let group = axes.iter().map(|&a| sizes[a]).product::<usize>().max(1);
    let stride = |a: usize| sizes[a + 1..].iter().product::<usize>();
    let columns = (0..sizes.iter().product::<usize>())
        .map(|mut index| {
            let mut place = 0;
            for &a in order.iter().rev() {
                place += index % sizes[a] * stride(a);
                index /= sizes[a];
            }
            place as u32
        })
        .collect();
    Ok((columns, group))
}
