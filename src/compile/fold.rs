//! Constants are folded here: moves of elements as tract does them, arithmetic by IEEE's f32 for
//! the four operations and by f64 rounded once for functions. No weight passes through another
//! library's kernels.

use super::elementwise::{binary_of, unary_of};
use super::lower::{Call, Val, floats};
use crate::engine::plan::{Binary, Unary};
use tract_onnx::tract_hir::internal::{DatumType, Tensor};

/// The node's outputs, if all its inputs are constants and it is one of those that fold.
pub(super) fn constants(call: &Call) -> Result<Option<Vec<Tensor>>, String> {
    let mut inputs = vec![];
    for val in call.given() {
        let Val::Constant(tensor) = val else { return Ok(None) };
        inputs.push(tensor.as_ref().clone());
    }
    if inputs.is_empty() {
        return Ok(None);
    }
    let float = |t: &Tensor| t.datum_type() == DatumType::F32;
    if let Some(f) = unary_of(call).filter(|_| inputs.iter().all(float)) {
        let (f, x) = (f?, floats(&inputs[0])?);
        let Some(y) = x.iter().map(|&x| unary(f, x)).collect::<Option<Vec<f32>>>() else { return Ok(None) };
        return tensor(inputs[0].shape(), &y).map(|t| Some(vec![t]));
    }
    if let (Some((f, false)), [a, b]) = (binary_of(&call.spec.op), inputs.as_slice())
        && float(a)
        && float(b)
    {
        let shape = joint(a.shape(), b.shape()).ok_or("its constants do not broadcast")?;
        let (x, y) = (spread(&floats(a)?, a.shape(), &shape), spread(&floats(b)?, b.shape(), &shape));
        let z: Vec<f32> = x.iter().zip(&y).map(|(&x, &y)| binary(f, x, y)).collect();
        return tensor(&shape, &z).map(|t| Some(vec![t]));
    }
    Ok(call.moved(inputs).ok())
}

fn tensor(shape: &[usize], data: &[f32]) -> Result<Tensor, String> {
    Tensor::from_shape(shape, data).map_err(|e| e.to_string())
}

/// ONNX's broadcast shape.
pub(super) fn joint(a: &[usize], b: &[usize]) -> Option<Vec<usize>> {
    let rank = a.len().max(b.len());
    (0..rank)
        .map(|axis| {
            let dim = |s: &[usize]| (axis + s.len()).checked_sub(rank).map_or(1, |i| s[i]);
            match (dim(a), dim(b)) {
                (a, b) if a == b || b == 1 => Some(a),
                (1, b) => Some(b),
                _ => None,
            }
        })
        .collect()
}

/// Where each element of the broadcast shape `to` comes from in `from`.
pub(super) fn origins(from: &[usize], to: &[usize]) -> Vec<usize> {
    (0..to.iter().product())
        .map(|mut index: usize| {
            let (mut place, mut stride) = (0, 1);
            for axis in (0..to.len()).rev() {
                let at = index % to[axis];
                index /= to[axis];
                if let Some(i) = (axis + from.len()).checked_sub(to.len()) {
                    if from[i] > 1 {
                        place += at * stride;
                    }
                    stride *= from[i];
                }
            }
            place
        })
        .collect()
}

/// A constant's elements over the broadcast shape `to`.
pub(super) fn spread(data: &[f32], from: &[usize], to: &[usize]) -> Vec<f32> {
    origins(from, to).into_iter().map(|i| data[i]).collect()
}

/// Functions that are worth folding; others stay steps.
fn unary(f: Unary, x: f32) -> Option<f32> {
    let wide = f64::from(x);
    Some(match f {
        Unary::Identity => x,
        Unary::Neg => -x,
        Unary::Abs => x.abs(),
        Unary::Sqrt => x.sqrt(),
        Unary::Reciprocal => 1.0 / x,
        Unary::Exp => libm::exp(wide) as f32,
        Unary::Log => libm::log(wide) as f32,
        Unary::Tanh => libm::tanh(wide) as f32,
        Unary::Sigmoid => (1.0 / (1.0 + libm::exp(-wide))) as f32,
        _ => return None,
    })
}

fn binary(f: Binary, a: f32, b: f32) -> f32 {
    let truth = |holds: bool| if holds { 1.0 } else { 0.0 };
    match f {
        Binary::Add => a + b,
        Binary::Sub => a - b,
        Binary::Mul => a * b,
        Binary::Div => a / b,
        Binary::Pow => libm::pow(f64::from(a), f64::from(b)) as f32,
        Binary::Min if a.is_nan() || b.is_nan() => f32::NAN,
        Binary::Max if a.is_nan() || b.is_nan() => f32::NAN,
        Binary::Min => {
            if b < a {
                b
            } else {
                a
            }
        }
        Binary::Max => {
            if b > a {
                b
            } else {
                a
            }
        }
        Binary::Less => truth(a < b),
        Binary::LessOrEqual => truth(a <= b),
        Binary::Greater => truth(a > b),
        Binary::GreaterOrEqual => truth(a >= b),
        Binary::Equal => truth(a == b),
    }
}
