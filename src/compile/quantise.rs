//! Quantised values and products. Whole numbers of 8 and 16 bits are small enough that f32 adds their products exactly,
//! some hundred at a time.

use super::call::{Call, Lowered, Val};
use super::constant::{Constant, Elem};
use super::elementwise::{binary, cast_to, chosen_by};
use super::lower::Lowering;
use super::matrix::product;
use super::moves::{moved, reshaped, table_of};
use super::norms::{reduced, unary};
use super::shape::{self, Dim};
use crate::engine::plan::{Binary, Reduce, Unary};
use std::rc::Rc;

/// Up to here every whole number is an f32.
const EXACT: i64 = 1 << 24;

/// Lowers an operator on quantised values; none if it is not one.
pub(super) fn lower(lowering: &mut Lowering, call: &Call) -> Option<Lowered> {
    Some(match call.spec.op.as_str() {
        "QuantizeLinear" => quantize(lowering, call),
        "DequantizeLinear" => dequantize(lowering, call),
        "DynamicQuantizeLinear" => dynamic(lowering, call),
        "MatMulInteger" => matmul_integer(lowering, call),
        _ => return None,
    })
}

fn scalar(x: f32) -> Val {
    Val::Constant(Rc::new(Constant::f32(&[], vec![x])))
}

/// A scale or zero point in the rank of `x`: one for all, for each place of an axis, or for blocks along it.
fn placed(lowering: &mut Lowering, call: &Call, x: &Val, own: &Val) -> Result<Val, String> {
    let (from, shape) = (x.shape(), own.shape());
    if shape::width(&shape) == 1 && shape::candidates(&shape) == 0 {
        return reshaped(own, vec![]);
    }
    let axis = shape::axis(call.spec.int("axis", 1), from.len())?;
    let block = usize::try_from(call.spec.int("block_size", 0)).map_err(|_| "a block_size below 0")?;
    let fits = || format!("scales of the shape {} for {}", shape::text(&shape), shape::text(&from));
    let Dim::Fixed(size) = from[axis] else { return Err("scales for each candidate".into()) };
    if block == 0 {
        if shape != [Dim::Fixed(size)] {
            return Err(fits());
        }
        let mut dims = vec![Dim::Fixed(1); from.len() - axis];
        dims[0] = Dim::Fixed(size);
        return reshaped(own, dims);
    }
    if shape.len() != from.len() || shape[axis] != Dim::Fixed(size.div_ceil(block)) {
        return Err(fits());
    }
    let table = table_of(own)?.pick(axis, &(0..size).map(|i| i / block).collect::<Vec<_>>());
    let mut dims = shape.clone();
    dims[axis] = Dim::Fixed(size);
    moved(lowering, own, &table, dims)
}

/// `x / scale` to the nearest whole number, halves to the even one, plus the zero point, within the type.
fn quantized(lowering: &mut Lowering, x: &Val, scale: &Val, zero: Option<&Val>, to: Elem) -> Result<Val, String> {
    let ratio = binary(lowering, Binary::Div, x, scale)?;
    let mut whole = unary(lowering, Unary::Round, &ratio)?;
    if let Some(zero) = zero {
        let zero = cast_to(lowering, zero, Elem::F32)?;
        whole = binary(lowering, Binary::Add, &whole, &zero)?;
    }
    let (low, high) = to.bounds();
    let inside = unary(lowering, Unary::Clip { low: low as f32, high: high as f32 }, &whole)?;
    // Already within the type: nothing is left to wrap.
    let (value, shape) = lowering.operand(&inside)?;
    let value = lowering.cast(value, super::lower::dtype(to)?);
    Ok(lowering.run(value, to, shape))
}

fn quantize(lowering: &mut Lowering, call: &Call) -> Lowered {
    let to = match (call.optional(2), call.spec.int("output_dtype", 0)) {
        (Some(zero), _) => zero.elem(),
        (None, 0) => Elem::U8,
        (None, code) => Elem::from_onnx(code as i32)?,
    };
    if !matches!(to, Elem::I8 | Elem::U8 | Elem::I16 | Elem::U16 | Elem::I32) {
        return Err(format!("it quantises to {to:?}: use int8 or uint8"));
    }
    let x = cast_to(lowering, call.need(0)?, Elem::F32)?;
    let scale = placed(lowering, call, &x, call.need(1)?)?;
    let zero = call.optional(2).map(|zero| placed(lowering, call, &x, zero)).transpose()?;
    Ok(vec![quantized(lowering, &x, &scale, zero.as_ref(), to)?])
}

fn dequantize(lowering: &mut Lowering, call: &Call) -> Lowered {
    let mut x = call.need(0)?.clone();
    if !x.elem().is_int() {
        return Err(format!("it dequantises {:?}", x.elem()));
    }
    let scale = placed(lowering, call, &x, call.need(1)?)?;
    if let Some(zero) = call.optional(2) {
        let zero = placed(lowering, call, &x, zero)?;
        x = binary(lowering, Binary::Sub, &x, &zero)?;
    }
    let x = cast_to(lowering, &x, scale.elem())?;
    Ok(vec![binary(lowering, Binary::Mul, &x, &scale)?])
}

/// To u8, with scale and zero point from the range of the whole value, 0 in it.
fn dynamic(lowering: &mut Lowering, call: &Call) -> Lowered {
    let x = call.need(0)?;
    let axes: Vec<usize> = (0..x.shape().len()).collect();
    let low = reduced(lowering, x, Reduce::Min, &axes, false)?;
    let low = binary(lowering, Binary::Min, &low, &scalar(0.0))?;
    let high = reduced(lowering, x, Reduce::Max, &axes, false)?;
    let high = binary(lowering, Binary::Max, &high, &scalar(0.0))?;
    let range = binary(lowering, Binary::Sub, &high, &low)?;
    let step = binary(lowering, Binary::Div, &range, &scalar(255.0))?;
    let none = binary(lowering, Binary::Equal, &low, &high)?;
    let scale = chosen_by(lowering, &none, &scalar(1.0), &step)?;
    let start = unary(lowering, Unary::Neg, &low)?;
    let zero = quantized(lowering, &start, &scale, None, Elem::U8)?;
    let y = quantized(lowering, x, &scale, Some(&zero), Elem::U8)?;
    Ok(vec![y, scale, zero])
}

/// The factor without its zero point as floats, and its largest element.
fn centred(lowering: &mut Lowering, x: &Val, zero: Option<&Val>) -> Result<(Val, i64), String> {
    let (low, high) = x.elem().bounds();
    if !matches!(x.elem(), Elem::I8 | Elem::U8) {
        return Err("its factors are not int8 or uint8".into());
    }
    let Some(zero) = zero else { return Ok((cast_to(lowering, x, Elem::F32)?, high.max(-low))) };
    let known = match (x, zero) {
        (Val::Constant(x), Val::Constant(zero)) if zero.len() == 1 => {
            let zero = zero.ints()?[0];
            x.ints()?.iter().map(|v| (v - zero).abs()).max()
        }
        _ => None,
    };
    let apart = binary(lowering, Binary::Sub, x, zero)?;
    Ok((cast_to(lowering, &apart, Elem::F32)?, known.unwrap_or(high - low)))
}

/// A zero point as it broadcasts: of the left factor by rows, of the right by columns.
fn zero_point(call: &Call, i: usize, rows: bool) -> Result<Option<Val>, String> {
    let Some(zero) = call.optional(i) else { return Ok(None) };
    let shape = zero.shape();
    Ok(Some(match shape[..] {
        _ if shape::width(&shape) == 1 => reshaped(zero, vec![])?,
        [count] if rows => reshaped(zero, vec![count, Dim::Fixed(1)])?,
        _ => zero.clone(),
    }))
}

fn matmul_integer(lowering: &mut Lowering, call: &Call) -> Lowered {
    let zeros = [zero_point(call, 2, true)?, zero_point(call, 3, false)?];
    let (a, most_a) = centred(lowering, call.need(0)?, zeros[0].as_ref())?;
    let (b, most_b) = centred(lowering, call.need(1)?, zeros[1].as_ref())?;
    let (a_axis, b_axis) = (a.shape().len().checked_sub(1), b.shape().len().saturating_sub(2));
    let a_axis = a_axis.ok_or("a product with a scalar")?;
    let terms = match a.shape()[a_axis] {
        Dim::Fixed(terms) => terms,
        Dim::Rows { .. } => return Err("a product over candidates: dequantise its factors first".into()),
    };
    // So many products can be added before f32 would round.
    let chunk = ((EXACT - 1) / (most_a * most_b).max(1)).max(1) as usize;
    let mut total: Option<Val> = None;
    for from in (0..terms).step_by(chunk) {
        let list: Vec<usize> = (from..(from + chunk).min(terms)).collect();
        let part = |lowering: &mut Lowering, x: &Val, axis: usize| -> Result<Val, String> {
            if list.len() == terms {
                return Ok(x.clone());
            }
            let mut dims = x.shape();
            dims[axis] = Dim::Fixed(list.len());
            let table = table_of(x)?.pick(axis, &list);
            moved(lowering, x, &table, dims)
        };
        let (left, right) = (part(lowering, &a, a_axis)?, part(lowering, &b, b_axis)?);
        let sum = product(lowering, &left, &right)?;
        let sum = cast_to(lowering, &sum, Elem::I32)?;
        total = Some(match total {
            None => sum,
            Some(total) => binary(lowering, Binary::Add, &total, &sum)?,
        });
    }
    total.map(|val| vec![val]).ok_or_else(|| "a product without elements".into())
}

#[cfg(test)]
mod tests {
    use super::super::constant::Values;
    use super::super::naive::testing::{f32s, node};
    use super::super::twins::Given::{Each, Known, Shared};
    use super::super::twins::{agree, noise};
    use super::{Constant, Elem};

    fn bytes(elem: Elem, dims: &[usize], seed: u32) -> Constant {
        let (low, high) = elem.bounds();
        let list = super::super::twins::numbers(dims, low, high + 1, seed).ints().unwrap().to_vec();
        Constant::new(elem, dims, Values::Int(list)).unwrap()
    }

    #[test]
    fn values_are_quantised_by_tensor_axis_and_block() {
        let x = noise(&[5, 4], 1);
        for elem in [Elem::I8, Elem::U8] {
            let (one, each) = (f32s(&[], &[0.017]), f32s(&[4], &[0.01, 0.02, 0.3, 1.0]));
            agree(&node("QuantizeLinear"), &[Each(x.clone()), Known(one.clone()), Known(bytes(elem, &[], 1))], 1);
            agree(&node("QuantizeLinear"), &[Each(x.clone()), Known(each.clone()), Known(bytes(elem, &[4], 1))], 1);
            let q = bytes(elem, &[3, 4], 4);
            agree(&node("DequantizeLinear"), &[Known(q.clone()), Known(each), Known(bytes(elem, &[4], 5))], 1);
            let blocks = node("DequantizeLinear").int("axis", 1).int("block_size", 2);
            agree(&blocks, &[Known(q), Known(noise(&[3, 2], 6))], 1);
        }
        agree(&node("QuantizeLinear"), &[Each(x.clone()), Shared(f32s(&[], &[0.5]))], 1);
        agree(&node("DynamicQuantizeLinear"), &[Each(x)], 3);
        agree(&node("DynamicQuantizeLinear"), &[Shared(f32s(&[3], &[0.0; 3]))], 3);
    }

    #[test]
    fn long_products_stay_exact() {
        // 2,000 products of up to 255 x 255 are beyond 2^24.
        let (a, b) = (bytes(Elem::U8, &[3, 2_000], 1), bytes(Elem::U8, &[2_000, 2], 2));
        let zero = |seed| Known(bytes(Elem::U8, &[], seed));
        agree(&node("MatMulInteger"), &[Known(a.clone()), Known(b.clone())], 1);
        agree(&node("MatMulInteger"), &[Known(a), Known(b), zero(3), zero(4)], 1);
    }
}
