//! Types, shapes and values made from nothing: Cast, Shape, Size, ConstantOfShape, Range, EyeLike, Identity.

use super::super::constant::{Constant, Elem, Values, count};
use super::super::node::Spec;
use super::binary::integer;
use super::shape::{each, size};
use super::{Args, Evaluator, Outputs};

pub(super) fn find(op: &str) -> Option<Evaluator> {
    Some(match op {
        "Cast" => |spec, args| Ok(vec![cast(args.get(0)?, Elem::from_onnx(spec.int("to", 0) as i32)?)?]),
        "CastLike" => |_, args| Ok(vec![cast(args.get(0)?, args.get(1)?.elem)?]),
        "Identity" => |_, args| Ok(vec![args.get(0)?.clone()]),
        "Dropout" => dropout,
        "Shape" => shape,
        "Size" => |_, args| Ok(vec![Constant::i64(&[], vec![args.get(0)?.len() as i64])]),
        "ConstantOfShape" => constant_of_shape,
        "Range" => range,
        "EyeLike" => eye_like,
        _ => return None,
    })
}

/// Floats lose their fraction and saturate, NaN becomes 0; integers wrap; only zero is false.
pub(super) fn cast(x: &Constant, elem: Elem) -> Result<Constant, String> {
    let values = match &x.values {
        Values::Text(_) if elem == Elem::Text => x.values.clone(),
        Values::Text(_) => return Err("a conversion of strings: encode them before the model".into()),
        _ if elem == Elem::Text => return Err("a conversion to strings: leave it out of the model".into()),
        Values::Float(v) if elem.is_float() => Values::Float(v.iter().map(|&v| elem.round(v)).collect()),
        Values::Float(v) => Values::Int(v.iter().map(|&v| saturate(elem, f64::from(v))).collect()),
        Values::Int(v) if elem.is_float() => {
            Values::Float(v.iter().map(|&v| elem.round(integer(x.elem, v) as f32)).collect())
        }
        Values::Int(v) => Values::Int(v.iter().map(|&v| elem.wrap(v)).collect()),
    };
    Constant::new(elem, &x.dims, values)
}

/// A float as an integer of a type.
pub(super) fn saturate(elem: Elem, v: f64) -> i64 {
    let (low, high) = elem.bounds();
    match elem {
        Elem::Bool => i64::from(v != 0.0),
        Elem::U64 => v as u64 as i64,
        _ => (v as i64).clamp(low, high),
    }
}

/// At inference nothing is dropped.
fn dropout(spec: &Spec, args: &Args) -> Outputs {
    if let Some(training) = args.optional(2)
        && training.ints()?.first().is_some_and(|&v| v != 0)
    {
        return Err("Dropout in training mode: export the model in evaluation mode".into());
    }
    let x = args.get(0)?;
    let mask = if spec.opset < 10 {
        Constant::new(x.elem, &x.dims, Values::Float(vec![1.0; x.len()]))?
    } else {
        Constant::bools(&x.dims, std::iter::repeat_n(true, x.len()))
    };
    Ok(vec![x.clone(), mask])
}

fn shape(spec: &Spec, args: &Args) -> Outputs {
    let dims = &args.get(0)?.dims;
    let rank = dims.len() as i64;
    let place = |v: i64| (if v < 0 { v + rank } else { v }).clamp(0, rank) as usize;
    let (start, end) = (place(spec.int("start", 0)), place(spec.int("end", rank)));
    let part: Vec<i64> = dims[start..end.max(start)].iter().map(|&dim| dim as i64).collect();
    Ok(vec![Constant::i64(&[part.len()], part)])
}

fn constant_of_shape(spec: &Spec, args: &Args) -> Outputs {
    let dims = args.get(0)?.ints()?.iter().map(|&v| size(v)).collect::<Result<Vec<_>, _>>()?;
    let value = spec.tensor("value").unwrap_or_else(|| Constant::f32(&[1], vec![0.0]));
    if value.len() != 1 {
        return Err("`value` is not one element".into());
    }
    Ok(vec![super::shape::pick(&value, &dims, &vec![0; count(&dims)?])?])
}

fn range(_: &Spec, args: &Args) -> Outputs {
    let (start, limit, delta) = (args.get(0)?, args.get(1)?, args.get(2)?);
    if [start, limit, delta].iter().any(|v| v.len() != 1 || v.elem != start.elem) {
        return Err("start, limit and delta are not three numbers of one type".into());
    }
    let zero = || "a step of zero".to_string();
    let bounded = |n: f64| if n < (1u64 << 30) as f64 { Ok(n as usize) } else { Err("too many elements".to_string()) };
    let values = if start.elem.is_float() {
        let (start, limit, delta) =
            (f64::from(start.floats()?[0]), f64::from(limit.floats()?[0]), f64::from(delta.floats()?[0]));
        if delta == 0.0 {
            return Err(zero());
        }
        let n = bounded(((limit - start) / delta).ceil())?;
        Values::Float((0..n).map(|i| (start + i as f64 * delta) as f32).collect())
    } else {
        let (start, limit, delta) =
            (i128::from(start.ints()?[0]), i128::from(limit.ints()?[0]), i128::from(delta.ints()?[0]));
        if delta == 0 {
            return Err(zero());
        }
        let n = ((limit - start + delta - delta.signum()) / delta).max(0);
        let n = bounded(n as f64)?;
        Values::Int((0..n as i128).map(|i| (start + i * delta) as i64).collect())
    };
    let n = match &values {
        Values::Float(v) => v.len(),
        Values::Int(v) => v.len(),
        Values::Text(_) => 0,
    };
    Ok(vec![Constant::new(start.elem, &[n], values)?])
}

fn eye_like(spec: &Spec, args: &Args) -> Outputs {
    let x = args.get(0)?;
    if x.rank() != 2 {
        return Err(format!("a value of rank {}", x.rank()));
    }
    let elem = if spec.has("dtype") { Elem::from_onnx(spec.int("dtype", 1) as i32)? } else { x.elem };
    let k = spec.int("k", 0);
    let mut ones = vec![];
    each(&x.dims, |at| {
        ones.push(i64::from(at[1] as i64 - at[0] as i64 == k));
        Ok(())
    })?;
    Ok(vec![cast(&Constant::i64(&x.dims, ones), elem)?])
}

#[cfg(test)]
mod tests {
    use super::super::testing::{f32s, i64s, node};
    use super::*;

    #[test]
    fn floats_saturate_and_integers_wrap() {
        let x = f32s(&[5], &[-1.9, 300.0, f32::NAN, f32::INFINITY, 0.5]);
        let to = |elem| cast(&x, elem).unwrap().ints().unwrap().to_vec();
        assert_eq!(to(Elem::U8), [0, 255, 0, 255, 0]);
        assert_eq!(to(Elem::I32), [-1, 300, 0, i64::from(i32::MAX), 0]);
        assert_eq!(to(Elem::Bool), [1, 1, 1, 1, 1]);
        let wide = i64s(&[2], &[300, -1]);
        assert_eq!(cast(&wide, Elem::U8).unwrap().ints().unwrap(), &[44, 255]);
        assert_eq!(cast(&wide, Elem::F32).unwrap().floats().unwrap(), &[300.0, -1.0]);
        let all = Constant::new(Elem::U64, &[1], Values::Int(vec![-1])).unwrap();
        assert_eq!(cast(&all, Elem::F32).unwrap().floats().unwrap(), &[u64::MAX as f32]);
    }

    #[test]
    fn shapes_and_ranges() {
        let x = f32s(&[2, 3, 1], &[0.0; 6]);
        assert_eq!(node("Shape").run1(&[&x]).ints().unwrap(), &[2, 3, 1]);
        assert_eq!(node("Shape").int("start", -2).int("end", -1).run1(&[&x]).ints().unwrap(), &[3]);
        assert_eq!(node("Size").run1(&[&x]).ints().unwrap(), &[6]);
        let range = |a: i64, b: i64, c: i64| {
            node("Range").run1(&[&i64s(&[], &[a]), &i64s(&[], &[b]), &i64s(&[], &[c])]).ints().unwrap().to_vec()
        };
        assert_eq!(range(1, 8, 3), [1, 4, 7]);
        assert_eq!(range(5, 0, -2), [5, 3, 1]);
        assert!(range(5, 0, 2).is_empty());
        let floats = node("Range").run1(&[&f32s(&[], &[0.0]), &f32s(&[], &[1.0]), &f32s(&[], &[0.25])]);
        assert_eq!(floats.floats().unwrap(), &[0.0, 0.25, 0.5, 0.75]);
        assert_eq!(node("ConstantOfShape").run1(&[&i64s(&[2], &[1, 2])]), f32s(&[1, 2], &[0.0, 0.0]));
        let eye = node("EyeLike").int("k", 1).run1(&[&f32s(&[2, 3], &[0.0; 6])]);
        assert_eq!(eye.floats().unwrap(), &[0.0, 1.0, 0.0, 0.0, 0.0, 1.0]);
    }
}
