//! QuantizeLinear, DequantizeLinear and DynamicQuantizeLinear; scales for a tensor, an axis, or blocks of it.

use super::super::constant::{Constant, Elem, Values};
use super::super::node::Spec;
use super::reduce::extreme;
use super::shape::{axis, each, flat, size, strides};
use super::{Args, Evaluator, Outputs};

pub(super) fn find(op: &str) -> Option<Evaluator> {
    Some(match op {
        "QuantizeLinear" => quantize,
        "DequantizeLinear" => dequantize,
        "DynamicQuantizeLinear" => dynamic,
        _ => return None,
    })
}

/// For every element of `x` the position of its scale.
fn places(spec: &Spec, x: &Constant, scale: &Constant) -> Result<Vec<usize>, String> {
    if scale.len() == 1 {
        return Ok(vec![0; x.len()]);
    }
    let along = axis(spec.int("axis", 1), x.rank())?;
    let block = size(spec.int("block_size", 0))?;
    let fits = match block {
        0 => scale.dims == [x.dims[along]],
        _ => scale.rank() == x.rank() && x.dims[along].div_ceil(block) == scale.dims[along],
    };
    if !fits {
        return Err(format!("scales of shape {:?} for a value of shape {:?}", scale.dims, x.dims));
    }
    let own = strides(&scale.dims);
    let mut places = vec![];
    each(&x.dims, |at| {
        places.push(match block {
            0 => at[along],
            _ => flat(at, &own) - at[along] * own[along] + at[along] / block * own[along],
        });
        Ok(())
    })?;
    match places.iter().all(|&place| place < scale.len()) {
        true => Ok(places),
        false => Err(format!("scales of shape {:?} for a value of shape {:?}", scale.dims, x.dims)),
    }
}

/// Zero points, as many as scales.
fn zeros(zero: Option<&Constant>, scale: &Constant) -> Result<Vec<i64>, String> {
    match zero {
        None => Ok(vec![0; scale.len()]),
        Some(zero) if zero.len() == scale.len() => Ok(zero.ints()?.to_vec()),
        Some(zero) => Err(format!("zero points of shape {:?} for scales of shape {:?}", zero.dims, scale.dims)),
    }
}

/// x / scale rounded half to even, plus the zero point, cut to the type.
fn quantized(v: f32, scale: f32, zero: i64, (low, high): (i64, i64)) -> i64 {
    ((v / scale).round_ties_even() as i64).saturating_add(zero).clamp(low, high)
}

fn quantize(spec: &Spec, args: &Args) -> Outputs {
    let (x, scale) = (args.get(0)?, args.get(1)?);
    let elem = match (args.optional(2), spec.int("output_dtype", 0)) {
        (Some(zero), _) => zero.elem,
        (None, 0) => Elem::U8,
        (None, code) => Elem::from_onnx(code as i32)?,
    };
    if !matches!(elem, Elem::I8 | Elem::U8 | Elem::I16 | Elem::U16 | Elem::I32) {
        return Err(format!("quantizing to {elem:?}"));
    }
    let (zeros, at) = (zeros(args.optional(2), scale)?, places(spec, x, scale)?);
    let scales = scale.floats()?;
    let v = super::convert::cast(x, Elem::F32)?;
    let y = v.floats()?.iter().zip(at).map(|(&v, i)| quantized(v, scales[i], zeros[i], elem.bounds())).collect();
    Ok(vec![Constant::new(elem, &x.dims, Values::Int(y))?])
}

fn dequantize(spec: &Spec, args: &Args) -> Outputs {
    let (x, scale) = (args.get(0)?, args.get(1)?);
    let (zeros, at) = (zeros(args.optional(2), scale)?, places(spec, x, scale)?);
    let scales = scale.floats()?;
    let y = x.ints()?.iter().zip(at).map(|(&v, i)| scale.elem.round((v - zeros[i]) as f32 * scales[i])).collect();
    Ok(vec![Constant::new(scale.elem, &x.dims, Values::Float(y))?])
}

/// To u8, with scale and zero point that make the range, zero included, fit exactly.
fn dynamic(_: &Spec, args: &Args) -> Outputs {
    let x = args.get(0)?;
    let v: Vec<f64> = x.floats()?.iter().map(|&v| f64::from(v)).chain([0.0]).collect();
    let (low, high) = (extreme(&v, true) as f32, extreme(&v, false) as f32);
    let scale = if low == high { 1.0 } else { (high - low) / 255.0 };
    let zero = quantized(-low, scale, 0, Elem::U8.bounds());
    let y = x.floats()?.iter().map(|&v| quantized(v, scale, zero, Elem::U8.bounds())).collect();
    Ok(vec![
        Constant::new(Elem::U8, &x.dims, Values::Int(y))?,
        Constant::f32(&[], vec![scale]),
        Constant::new(Elem::U8, &[], Values::Int(vec![zero]))?,
    ])
}

#[cfg(test)]
mod tests {
    use super::super::testing::{f32s, node};
    use super::*;

    fn bytes(elem: Elem, dims: &[usize], v: &[i64]) -> Constant {
        Constant::new(elem, dims, Values::Int(v.to_vec())).unwrap()
    }

    #[test]
    fn values_round_to_even_and_saturate() {
        let x = f32s(&[1, 5], &[1.0, 3.0, 1000.0, -1000.0, -1.0]);
        let y = node("QuantizeLinear").run1(&[&x, &f32s(&[], &[2.0]), &bytes(Elem::I8, &[], &[1])]);
        assert_eq!(y, bytes(Elem::I8, &[1, 5], &[1, 3, 127, -128, 1]));
        assert_eq!(node("QuantizeLinear").run1(&[&x, &f32s(&[], &[2.0])]).elem, Elem::U8);
        let back = node("DequantizeLinear").run1(&[&y, &f32s(&[], &[2.0]), &bytes(Elem::I8, &[], &[1])]);
        assert_eq!(back, f32s(&[1, 5], &[0.0, 4.0, 252.0, -258.0, 0.0]));
    }

    #[test]
    fn scales_belong_to_an_axis_or_to_blocks() {
        let x = bytes(Elem::I8, &[2, 4], &[1, 2, 3, 4, 5, 6, 7, 8]);
        let y = node("DequantizeLinear").int("axis", 0).run1(&[&x, &f32s(&[2], &[1.0, 10.0])]);
        assert_eq!(y, f32s(&[2, 4], &[1.0, 2.0, 3.0, 4.0, 50.0, 60.0, 70.0, 80.0]));
        let blocks = f32s(&[2, 2], &[1.0, 2.0, 3.0, 4.0]);
        let y = node("DequantizeLinear").int("axis", 1).int("block_size", 2).run1(&[&x, &blocks]);
        assert_eq!(y, f32s(&[2, 4], &[1.0, 2.0, 6.0, 8.0, 15.0, 18.0, 28.0, 32.0]));
        assert!(node("DequantizeLinear").run(&[Some(&x), Some(&f32s(&[3], &[1.0; 3]))]).is_err());
    }

    #[test]
    fn dynamic_scales_come_from_the_range() {
        let outputs = node("DynamicQuantizeLinear").run(&[Some(&f32s(&[3], &[0.0, 2.0, -3.0]))]).unwrap();
        assert_eq!(outputs[0].ints().unwrap(), &[153, 255, 0]);
        assert_eq!(outputs[1], f32s(&[], &[5.0 / 255.0]));
        assert_eq!(outputs[2].ints().unwrap(), &[153]);
    }
}
