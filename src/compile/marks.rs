//! OneHot and EyeLike: comparisons with a range of places.

use super::call::{Call, Lowered, Val};
use super::constant::{Constant, Elem};
use super::elementwise::{binary, cast_to, chosen_by};
use super::lower::Lowering;
use super::moves::{moved, reshaped, table_of};
use super::shape::{self, Dim};
use crate::engine::plan::{Binary, DType, Op, Rows};
use std::rc::Rc;

/// Lowers OneHot or EyeLike; none if it is neither.
pub(super) fn lower(lowering: &mut Lowering, call: &Call) -> Option<Lowered> {
    Some(match call.spec.op.as_str() {
        "OneHot" => one_hot(lowering, call),
        "EyeLike" => eye_like(lowering, call),
        _ => return None,
    })
}

/// Whole numbers of a constant, which exporters also write as floats.
fn whole(constant: &Constant) -> Result<Vec<i64>, String> {
    Ok(if constant.elem.is_float() {
        constant.floats()?.iter().map(|&v| v as i64).collect()
    } else {
        constant.ints()?.to_vec()
    })
}

fn one_hot(lowering: &mut Lowering, call: &Call) -> Lowered {
    let depth = match whole(&*call.constant(1, "the depth")?)?[..] {
        [depth] if depth > 0 => depth,
        _ => return Err("its depth is not one positive number".into()),
    };
    let indices = cast_to(lowering, call.need(0)?, Elem::I64)?;
    let mut shape = indices.shape();
    let axis = shape::axis(call.spec.int("axis", -1), shape.len() + 1)?;
    shape.insert(axis, Dim::Fixed(1));
    let rank = shape.len();
    let indices = reshaped(&indices, shape)?;
    let mut dims = vec![1; rank - axis];
    dims[0] = depth as usize;
    let range = |from: i64| Val::Constant(Rc::new(Constant::i64(&dims, (from..from + depth).collect())));
    // An index below 0 counts from the end; one outside marks nothing.
    let front = binary(lowering, Binary::Equal, &indices, &range(0))?;
    let back = binary(lowering, Binary::Equal, &indices, &range(-depth))?;
    let hit = binary(lowering, Binary::Or, &front, &back)?;
    let values = call.need(2)?;
    if values.shape() != [Dim::Fixed(2)] {
        return Err("its values are not the two for off and on".into());
    }
    if let Val::Constant(c) = values {
        let marks = if c.elem.is_float() { c.floats()? == [0.0, 1.0] } else { c.ints()? == [0, 1] };
        if marks {
            return Ok(vec![cast_to(lowering, &hit, c.elem)?]);
        }
    }
    let table = table_of(values)?;
    let [off, on] = [0, 1].map(|i| moved(lowering, values, &table.pick(0, &[i]), vec![Dim::Fixed(1)]));
    Ok(vec![chosen_by(lowering, &hit, &on?, &off?)?])
}

fn eye_like(lowering: &mut Lowering, call: &Call) -> Lowered {
    let x = call.need(0)?;
    let elem = if call.spec.has("dtype") { Elem::from_onnx(call.spec.int("dtype", 1) as i32)? } else { x.elem() };
    let k = call.spec.int("k", 0);
    let shape = x.shape();
    let [rows, Dim::Fixed(columns)] = shape[..] else { return Err("its input is no matrix of known columns".into()) };
    let diagonal = match rows {
        Dim::Fixed(rows) => {
            Val::Constant(Rc::new(Constant::i64(&[rows, 1], (0..rows as i64).map(|i| i + k).collect())))
        }
        Dim::N => {
            let place = lowering.push(Op::Position, &[], DType::I64, Rows::Candidate, 1);
            let place = lowering.run(place, Elem::I64, vec![Dim::N, Dim::Fixed(1)]);
            binary(lowering, Binary::Add, &place, &Val::Constant(Rc::new(Constant::i64(&[1], vec![k]))))?
        }
        Dim::Rows { .. } => return Err("rows joined from candidates and another axis".into()),
    };
    let range = Val::Constant(Rc::new(Constant::i64(&[columns], (0..columns as i64).collect())));
    let hit = binary(lowering, Binary::Equal, &diagonal, &range)?;
    Ok(vec![cast_to(lowering, &hit, elem)?])
}

#[cfg(test)]
mod tests {
    use super::super::naive::testing::{f32s, i64s, node};
    use super::super::twins::Given::{Each, Known, Shared};
    use super::super::twins::{agree, noise, numbers};

    #[test]
    fn marks_stand_where_the_index_says() {
        let ids = numbers(&[7, 2], -9, 9, 1);
        for axis in [-1, 0, 1, 2] {
            let node = node("OneHot").int("axis", axis);
            let values = f32s(&[2], &[-0.5, 2.0]);
            agree(&node, &[Shared(ids.clone()), Known(i64s(&[], &[6])), Known(values.clone())], 1);
            agree(&node, &[Shared(ids.clone()), Known(f32s(&[1], &[6.0])), Shared(values)], 1);
        }
        let each = [Each(noise(&[5], 2)), Known(i64s(&[], &[2])), Known(f32s(&[2], &[0.0, 1.0]))];
        agree(&node("OneHot"), &each, 1);
        for k in [-1, 0, 2] {
            agree(&node("EyeLike").int("k", k), &[Each(noise(&[5, 4], 1))], 1);
            agree(&node("EyeLike").int("k", k).int("dtype", 7), &[Shared(noise(&[3, 4], 1))], 1);
        }
    }
}
