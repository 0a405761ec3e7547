//! Operators that make more elements than they are given: repeated, padded, counted or filled in.

use super::call::{Call, Lowered, Val};
use super::constant::{Constant, Elem, Values};
use super::lower::{Lowering, dtype};
use super::moves::{MIXED, joined, moved, table_of};
use super::shape::{self, Dim, Size};
use super::split::Origin;
use crate::engine::plan::{DType, Op, Rows};
use std::rc::Rc;

/// Lowers an operator that repeats, pads, counts or fills; none if it is not one.
pub(super) fn lower(lowering: &mut Lowering, call: &Call) -> Option<Lowered> {
    Some(match call.spec.op.as_str() {
        "Expand" => expand(lowering, call),
        "Tile" => tile(lowering, call),
        "Pad" => pad(lowering, call),
        "ConstantOfShape" => constant_of_shape(lowering, call),
        "Range" => range(lowering, call),
        "Trilu" => trilu(lowering, call),
        "FeatureVectorizer" => feature_vectorizer(lowering, call),
        _ => return None,
    })
}

/// A dimension for a wanted size.
fn dim_of(size: Size) -> Result<Dim, String> {
    match (size.each, size.fixed) {
        (0, fixed) => usize::try_from(fixed).map(Dim::Fixed).map_err(|_| format!("the size {fixed}")),
        (each, 0) if each > 0 => Ok(Dim::Rows { before: 1, after: each as usize }),
        _ => Err("a size that is no multiple of the number of candidates".into()),
    }
}

fn expand(lowering: &mut Lowering, call: &Call) -> Lowered {
    let val = call.need(0)?;
    let from = val.shape();
    let wanted: Vec<Dim> = call.sizes(1, "the shape")?.into_iter().map(dim_of).collect::<Result<_, _>>()?;
    let skip = |len: usize| wanted.len().max(from.len()) - len;
    // Where the candidates are already, they are joined as they are.
    let wanted: Vec<Dim> = wanted
        .iter()
        .enumerate()
        .map(|(i, &dim)| {
            let own = (i + skip(wanted.len())).checked_sub(skip(from.len())).and_then(|i| from.get(i));
            match own {
                Some(own) if own.is_rows() && own.size() == dim.size() => *own,
                _ => dim,
            }
        })
        .collect();
    let shape = shape::joint(&from, &wanted)?;
    expanded(lowering, val, shape).map(|val| vec![val])
}

/// A value repeated to a shape that it broadcasts to.
pub(super) fn expanded(lowering: &mut Lowering, val: &Val, shape: Vec<Dim>) -> Result<Val, String> {
    if shape::candidates(&shape) == 2 && val.shape() != shape {
        return Err("it repeats to pairs of candidates: leave that to the broadcast of the operator behind it".into());
    }
    let wanted = shape::inner(&shape);
    shape::fits(&wanted)?;
    let table = table_of(val)?.expand(&wanted);
    if shape::fixed(&shape).is_some() {
        let result = moved(lowering, val, &table, shape)?;
        remember(lowering, val, &result);
        return Ok(result);
    }
    // Repeated for the candidates: the plan keeps one row.
    let (value, _) = lowering.operand(val)?;
    let value = lowering.moved(value, &table)?;
    let result = lowering.run(value, val.elem(), shape);
    remember(lowering, val, &result);
    Ok(result)
}

fn remember(lowering: &mut Lowering, from: &Val, to: &Val) {
    if let Val::Run { value, .. } = to
        && !matches!(from, Val::Run { value: same, .. } if same == value)
    {
        lowering.origins.insert(*value, Origin::Repeat(from.clone()));
    }
}

fn tile(lowering: &mut Lowering, call: &Call) -> Lowered {
    let val = call.need(0)?;
    let from = val.shape();
    let repeats = call.sizes(1, "the repeats")?;
    if repeats.len() != from.len() {
        return Err(format!("{} repeats for {}", repeats.len(), shape::text(&from)));
    }
    let (mut table, mut shape) = (table_of(val)?, from.clone());
    for (axis, repeat) in repeats.iter().enumerate() {
        match (from[axis], repeat.known()) {
            (_, Some(1)) => {}
            (Dim::Fixed(size), Some(n)) => {
                // Before the list is made, and in the shape that is repeated already.
                let mut wanted = table.dims.clone();
                wanted[axis] = size.saturating_mul(usize::try_from(n).unwrap_or(0));
                shape::fits(&wanted)?;
                let list: Vec<usize> = (0..n.max(0)).flat_map(|_| 0..size).collect();
                table = table.pick(axis, &list);
                shape[axis] = Dim::Fixed(list.len());
            }
            // Repeated for each candidate.
            (Dim::Fixed(1), None) => shape[axis] = dim_of(*repeat)?,
            _ => return Err(MIXED.into()),
        }
    }
    if shape::candidates(&shape) > shape::candidates(&from) {
        return expanded(lowering, val, shape).map(|val| vec![val]);
    }
    Ok(vec![moved(lowering, val, &table, shape)?])
}

fn pad(lowering: &mut Lowering, call: &Call) -> Lowered {
    let val = call.need(0)?;
    let from = val.shape();
    let pads = match call.optional(1) {
        Some(_) => call.ints(1, "the pads")?,
        None => call.spec.ints("pads").or(call.spec.ints("paddings")).unwrap_or(&[]).to_vec(),
    };
    let axes: Vec<usize> = match call.optional(3) {
        Some(_) => {
            let axes = call.ints(3, "the axes")?;
            axes.iter().map(|&a| shape::axis(a, from.len())).collect::<Result<_, _>>()?
        }
        None => (0..from.len()).collect(),
    };
    if pads.len() != 2 * axes.len() {
        return Err(format!("{} pads for {} axes", pads.len(), axes.len()));
    }
    let computed = match call.optional(2) {
        Some(value @ Val::Run { .. })
            if shape::width(&value.shape()) == 1 && shape::candidates(&value.shape()) == 0 =>
        {
            Some(value)
        }
        _ => None,
    };
    let fill = match call.optional(2) {
        _ if computed.is_some() => 0.0,
        Some(Val::Constant(c)) => match &c.values {
            Values::Float(v) => v.first().copied().unwrap_or(0.0),
            Values::Int(v) => v.first().copied().unwrap_or(0) as f32,
            Values::Text(_) => 0.0,
        },
        Some(_) => return Err("the value is no single number".into()),
        None => call.spec.float("value", 0.0),
    };
    let mode = call.spec.string("mode").unwrap_or_else(|| "constant".into());
    let (mut table, mut shape) = (table_of(val)?, from.clone());
    for (i, &axis) in axes.iter().enumerate() {
        let (before, after) = (pads[i], pads[i + axes.len()]);
        if (before, after) == (0, 0) {
            continue;
        }
        let Dim::Fixed(size) = from[axis] else { return Err(MIXED.into()) };
        let n = size as i64;
        let length = n.checked_add(before).and_then(|n| n.checked_add(after)).and_then(|n| usize::try_from(n).ok());
        let length = length.ok_or("it cuts off more than there is")?;
        let source = |at: usize| -> Option<usize> {
            let at = at as i64 - before;
            let at = match mode.as_str() {
                "edge" => at.clamp(0, n - 1),
                "wrap" => at.rem_euclid(n.max(1)),
                "reflect" if n > 1 => {
                    let period = 2 * (n - 1);
                    let at = at.rem_euclid(period);
                    if at < n { at } else { period - at }
                }
                "reflect" => 0,
                _ => at,
            };
            usize::try_from(at).ok().filter(|&at| at < size)
        };
        let mut dims = table.dims.clone();
        dims[axis] = length;
        shape::fits(&dims)?;
        table = table.gather(&dims, |at| {
            let mut from = at.to_vec();
            from[axis] = source(at[axis])?;
            Some(from)
        });
        shape[axis] = Dim::Fixed(length);
    }
    if !matches!(mode.as_str(), "constant" | "edge" | "reflect" | "wrap") {
        return Err(format!("the mode `{mode}`"));
    }
    if table.is_identity(shape::width(&from)) {
        return Ok(vec![val.clone()]);
    }
    let (value, _) = lowering.operand(val)?;
    if lowering.plan.values[value as usize].rows == Rows::Pair {
        return Err("it pads pairs of candidates".into());
    }
    if !val.elem().is_float() && fill.abs() > 16_777_216.0 {
        return Err("a whole number beyond 2^24 as padding".into());
    }
    let value = match computed {
        Some(fill) => {
            // The value stands behind the row, and is picked from there.
            let (fill, behind) = (lowering.operand(fill)?.0, lowering.width(value) as i32);
            let dtype = lowering.dtype_of(value);
            let source = lowering.step(Op::Concat, &[value, fill], dtype, behind as usize + 1);
            let columns = table.index.iter().map(|&at| if at < 0 { behind } else { at }).collect();
            lowering.select(source, columns, 0.0)
        }
        None => lowering.select(value, table.index, fill),
    };
    Ok(vec![lowering.run(value, val.elem(), shape)])
}

fn constant_of_shape(lowering: &mut Lowering, call: &Call) -> Lowered {
    let shape: Vec<Dim> = call.sizes(0, "the shape")?.into_iter().map(dim_of).collect::<Result<_, _>>()?;
    let value = call.spec.tensor("value").unwrap_or_else(|| Constant::f32(&[1], vec![0.0]));
    let one = Val::Constant(Rc::new(Constant { dims: vec![1; shape.len()], ..value }));
    expanded(lowering, &one, shape).map(|val| vec![val])
}

fn range(lowering: &mut Lowering, call: &Call) -> Lowered {
    let elem = call.need(0)?.elem();
    if elem.is_float() {
        let [start, limit, delta] = [0, 1, 2].map(|i| call.floats(i, "a bound"));
        let (start, limit, delta) = (start?[0], limit?[0], delta?[0]);
        let count = ((f64::from(limit) - f64::from(start)) / f64::from(delta)).ceil();
        let count = if count > 0.0 { count as usize } else { 0 };
        shape::fits(&[count])?;
        // As ONNX defines it: start + i * delta.
        let list: Vec<f32> = (0..count).map(|i| start + i as f32 * delta).collect();
        return Ok(vec![Val::Constant(Rc::new(Constant::f32(&[list.len()], list)))]);
    }
    let [start, limit, delta] = [0, 1, 2].map(|i| call.sizes(i, "a bound").map(|list| list[0]));
    let (start, limit, delta) = (start?, limit?, delta?);
    if let (Some(start), Some(limit), Some(delta)) = (start.known(), limit.known(), delta.known()) {
        if delta == 0 {
            return Err("a step of 0".into());
        }
        let (way, step) = (i128::from(limit) - i128::from(start), i128::from(delta));
        let count = if way.signum() == step.signum() { (way.abs() - 1) / step.abs() + 1 } else { 0 };
        let count = shape::fits(&[usize::try_from(count).unwrap_or(usize::MAX)])? as i64;
        let list: Vec<i64> = (0..count).map(|i| start + i * delta).collect();
        let constant = Constant { elem, dims: vec![list.len()], values: Values::Int(list) };
        return Ok(vec![Val::Constant(Rc::new(constant))]);
    }
    if (start.known(), limit, delta.known()) != (Some(0), Dim::N.size(), Some(1)) {
        return Err("a range over candidates that is not 0, 1, ... N - 1".into());
    }
    let to = dtype(elem)?;
    let position = lowering.push(Op::Position, &[], DType::I64, Rows::Candidate, 1);
    let value = lowering.cast(position, to);
    Ok(vec![lowering.run(value, elem, vec![Dim::N])])
}

/// A triangle of a matrix, the rest 0.
fn trilu(lowering: &mut Lowering, call: &Call) -> Lowered {
    let val = call.need(0)?;
    let from = val.shape();
    let rank = from.len();
    if rank < 2 || from[rank - 2..].iter().any(|dim| dim.is_rows()) {
        return Err("a triangle over candidates".into());
    }
    let k = match call.optional(1) {
        Some(_) => call.ints(1, "the diagonal")?.first().copied().unwrap_or(0),
        None => 0,
    };
    let upper = call.spec.int("upper", 1) != 0;
    let whole = table_of(val)?;
    let table = whole.gather(&whole.dims, |at| {
        let diagonal = at[rank - 1] as i64 - at[rank - 2] as i64;
        let stays = if upper { diagonal >= k } else { diagonal <= k };
        stays.then(|| at.to_vec())
    });
    if matches!(val, Val::Run { .. }) {
        let (value, _) = lowering.operand(val)?;
        let value = lowering.select(value, table.index, 0.0);
        return Ok(vec![lowering.run(value, val.elem(), from)]);
    }
    Ok(vec![moved(lowering, val, &table, from)?])
}

/// Columns of several inputs beside each other, as floats.
fn feature_vectorizer(lowering: &mut Lowering, call: &Call) -> Lowered {
    let mut parts = vec![];
    for val in call.given() {
        parts.push(super::elementwise::cast_to(lowering, val, Elem::F32)?);
    }
    joined(lowering, &parts, 1).map(|val| vec![val])
}
