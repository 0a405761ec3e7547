//! Gemm, MatMul and linear models: a dense layer wherever the weights are constants or shared, else a product.

use super::call::{Call, Lowered, Val};
use super::constant::Constant;
use super::elementwise::binary;
use super::lower::Lowering;
use super::moves::{permuted, reshaped};
use super::shape::{self, Dim};
use super::split::Map;
use crate::engine::plan::{Binary, DType, Op, Over, Product, Rows, Unary};
use std::rc::Rc;

/// Lowers a matrix product; none if it is not one.
pub(super) fn lower(lowering: &mut Lowering, call: &Call) -> Option<Lowered> {
    Some(match call.spec.op.as_str() {
        "Gemm" => gemm(lowering, call),
        "MatMul" => call
            .need(0)
            .and_then(|a| Ok((a.clone(), call.need(1)?.clone())))
            .and_then(|(a, b)| product(lowering, &a, &b))
            .map(|val| vec![val]),
        _ => return None,
    })
}

/// `alpha A' B' + beta C`.
fn gemm(lowering: &mut Lowering, call: &Call) -> Lowered {
    let spec = call.spec;
    let turned = |lowering: &mut Lowering, i: usize, name: &str| -> Result<Val, String> {
        let val = call.need(i)?;
        if val.shape().len() != 2 {
            return Err(format!("input {i} is no matrix"));
        }
        if spec.int(name, 0) != 0 { permuted(lowering, val, &[1, 0]) } else { Ok(val.clone()) }
    };
    let (a, b) = (turned(lowering, 0, "transA")?, turned(lowering, 1, "transB")?);
    let (alpha, beta) = (spec.float("alpha", 1.0), spec.float("beta", 1.0));
    let scalar = |x: f32| Val::Constant(Rc::new(Constant::f32(&[], vec![x])));
    let b = match b {
        Val::Constant(c) if alpha != 1.0 => {
            let scaled = c.floats()?.iter().map(|w| w * alpha).collect();
            Val::Constant(Rc::new(Constant::f32(&c.dims, scaled)))
        }
        other => other,
    };
    let mut result = product(lowering, &a, &b)?;
    if alpha != 1.0 && !matches!(b, Val::Constant(_)) {
        result = binary(lowering, Binary::Mul, &result, &scalar(alpha))?;
    }
    if let Some(c) = call.optional(2) {
        let c = match c {
            Val::Constant(c) if beta != 1.0 => {
                let scaled = c.floats()?.iter().map(|w| w * beta).collect();
                Val::Constant(Rc::new(Constant::f32(&c.dims, scaled)))
            }
            other if beta != 1.0 => binary(lowering, Binary::Mul, other, &scalar(beta))?,
            other => other.clone(),
        };
        result = binary(lowering, Binary::Add, &result, &c)?;
    }
    Ok(vec![result])
}

/// `x C' + intercepts` from ai.onnx.ml's coefficients.
pub(super) fn linear(
    lowering: &mut Lowering,
    x: &Val,
    coefficients: &[f32],
    intercepts: &[f32],
    targets: usize,
) -> Result<Val, String> {
    let inputs = coefficients.len() / targets;
    let columns = x.shape().last().map_or(0, |dim| dim.inner());
    if coefficients.len() != columns * targets || !(intercepts.is_empty() || intercepts.len() == targets) {
        return Err(format!("{} coefficients for {columns} columns and {targets} targets", coefficients.len()));
    }
    let weights: Vec<f32> = (0..inputs).flat_map(|k| (0..targets).map(move |t| coefficients[t * inputs + k])).collect();
    let x = super::elementwise::cast_to(lowering, x, super::constant::Elem::F32)?;
    let result = product(lowering, &x, &Val::Constant(Rc::new(Constant::f32(&[inputs, targets], weights))))?;
    if intercepts.is_empty() {
        return Ok(result);
    }
    let bias = Val::Constant(Rc::new(Constant::f32(&[targets], intercepts.to_vec())));
    binary(lowering, Binary::Add, &result, &bias)
}

/// A matrix with its batch, as a product reads it.
struct Factor {
    batch: Vec<Dim>,
    rows: Dim,
    columns: Dim,
}

fn factor(shape: &[Dim]) -> Factor {
    let rank = shape.len();
    Factor { batch: shape[..rank - 2].to_vec(), rows: shape[rank - 2], columns: shape[rank - 1] }
}

/// numpy's matrix product.
pub(super) fn product(lowering: &mut Lowering, a: &Val, b: &Val) -> Result<Val, String> {
    if !a.elem().is_float() || !b.elem().is_float() {
        return Err("a product of whole numbers: cast to float32 first".into());
    }
    let (a_shape, b_shape) = (a.shape(), b.shape());
    if a_shape.is_empty() || b_shape.is_empty() {
        return Err("a product with a scalar".into());
    }
    // A vector is a matrix of one row or column, which the result then lacks.
    if a_shape.len() == 1 {
        let row = reshaped(a, vec![Dim::Fixed(1), a_shape[0]])?;
        let result = product(lowering, &row, b)?;
        let mut shape = result.shape();
        shape.remove(shape.len() - if b_shape.len() == 1 { 1 } else { 2 });
        return reshaped(&result, shape);
    }
    if b_shape.len() == 1 {
        let column = reshaped(b, vec![b_shape[0], Dim::Fixed(1)])?;
        let result = product(lowering, a, &column)?;
        let mut shape = result.shape();
        shape.pop();
        return reshaped(&result, shape);
    }
    let (left, right) = (factor(&a_shape), factor(&b_shape));
    if left.columns != right.rows {
        return Err(format!("{} and {} do not multiply", shape::text(&a_shape), shape::text(&b_shape)));
    }
    let mut out = shape::joint(&left.batch, &right.batch)?;
    out.extend([left.rows, right.columns]);
    if shape::width(&out) == 0 || left.columns.inner() == 0 {
        return Err("a product without elements".into());
    }
    // One matrix for all of a's rows: a layer.
    let single = right.batch.iter().all(|dim| *dim == Dim::Fixed(1)) && shape::candidates(&b_shape) == 0;
    if let (true, Dim::Fixed(inputs), Dim::Fixed(outputs)) = (single, left.columns, right.columns) {
        if let Val::Constant(c) = b {
            return layer(lowering, a, c.floats()?, inputs, outputs, out);
        }
        if let Some(result) = shared_layer(lowering, a, b, inputs, outputs, &out)? {
            return Ok(result);
        }
    }
    general(lowering, a, b, out)
}

/// A layer with constant weights.
fn layer(
    lowering: &mut Lowering,
    x: &Val,
    weights: &[f32],
    inputs: usize,
    outputs: usize,
    out: Vec<Dim>,
) -> Result<Val, String> {
    let split = lowering.split(x, &Map { weights, inputs, outputs })?;
    let value = match split {
        Some(value) => value,
        None => lowering.dense(x, weights.to_vec(), outputs, None)?,
    };
    Ok(lowering.run(value, x.elem(), out))
}

/// A layer whose weights are computed once for all candidates.
fn shared_layer(
    lowering: &mut Lowering,
    x: &Val,
    w: &Val,
    inputs: usize,
    outputs: usize,
    out: &[Dim],
) -> Result<Option<Val>, String> {
    let (value, _) = lowering.float_operand(x)?;
    let (weights, _) = lowering.float_operand(w)?;
    let rows = lowering.plan.values[value as usize].rows;
    if rows != Rows::Candidate || lowering.plan.values[weights as usize].rows != Rows::Shared {
        return Ok(None);
    }
    let op = Op::Pack { groups: 1, inputs: inputs as u32, outputs: outputs as u32 };
    let packed = ranklet_kernels::dense::packed_len(inputs, outputs);
    let weights = lowering.push(op, &[weights], DType::F32, Rows::Shared, packed);
    let op = Op::Dense {
        weights: None,
        scales: None,
        bias: None,
        start: false,
        inputs: inputs as u32,
        outputs: outputs as u32,
        activation: Unary::Identity,
    };
    let width = lowering.width(value) / inputs * outputs;
    let value = lowering.push(op, &[value, weights], DType::F32, rows, width);
    Ok(Some(lowering.run(value, x.elem(), out.to_vec())))
}

/// Strides of the axes of a value inside its row; 0 where it is repeated.
fn strides(shape: &[Dim], skip: usize) -> Vec<u32> {
    let sizes = shape::inner(shape);
    let mut list = vec![0; skip];
    for axis in 0..sizes.len() {
        let stride: usize = sizes[axis + 1..].iter().product();
        list.push(if sizes[axis] == 1 { 0 } else { stride as u32 });
    }
    list
}

/// A product of two computed matrices, wherever the candidates' axis is.
fn general(lowering: &mut Lowering, a: &Val, b: &Val, out: Vec<Dim>) -> Result<Val, String> {
    let (a_shape, b_shape) = (a.shape(), b.shape());
    let (left, right) = (factor(&a_shape), factor(&b_shape));
    let (mut x, _) = lowering.float_operand(a)?;
    let (mut y, _) = lowering.float_operand(b)?;
    let pairs = shape::candidates(&a_shape) == 2;
    let plain = |dim: Dim| dim == Dim::N;
    let over = match (left.rows.is_rows(), left.columns.is_rows(), right.columns.is_rows()) {
        (true, true, false) if pairs && plain(left.rows) && plain(left.columns) => Over::Mix,
        (true, false, true) if plain(left.rows) && plain(right.columns) => Over::Scores,
        (false, true, false) if plain(left.columns) && !pairs => Over::Pool,
        (_, false, _) if shape::candidates(&out) < 2 && !pairs && shape::candidates(&b_shape) < 2 => Over::Row,
        _ => {
            return Err(format!(
                "a product of {} and {} over candidates",
                shape::text(&a_shape),
                shape::text(&b_shape)
            ));
        }
    };
    if over != Over::Row {
        // What is the same for all candidates is written out: these read a row of each.
        x = lowering.spread(x, &a_shape)?;
        y = lowering.spread(y, &b_shape)?;
        if shape::candidates(&b_shape) != 1 || (over != Over::Mix && shape::candidates(&a_shape) != 1) {
            return Err("a product over candidates with a factor that has none".into());
        }
    }
    let rank = out.len();
    let (sa, sb) = (strides(&a_shape, rank - a_shape.len()), strides(&b_shape, rank - b_shape.len()));
    let sizes = shape::inner(&out);
    let batch: Vec<[u32; 3]> =
        (0..rank - 2).filter(|&axis| sizes[axis] > 1).map(|axis| [sizes[axis] as u32, sa[axis], sb[axis]]).collect();
    if batch.len() > 4 {
        return Err("a product over more than four batch axes: join some by a Reshape".into());
    }
    let inner = |dim: Dim| dim.inner() as u32;
    let op = Op::Product(Product {
        over,
        batch,
        m: inner(left.rows),
        k: inner(left.columns),
        n: inner(right.columns),
        a: [sa[rank - 2], sa[rank - 1]],
        b: [sb[rank - 2], sb[rank - 1]],
    });
    let rows = match over {
        Over::Row => lowering.rows_of(&[x, y]),
        Over::Scores => Rows::Pair,
        Over::Mix => Rows::Candidate,
        Over::Pool => Rows::Shared,
    };
    let value = lowering.push(op, &[x, y], DType::F32, rows, shape::width(&out));
    Ok(lowering.run(value, a.elem(), out))
}
