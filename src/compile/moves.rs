//! Operators that only move elements, lowered by applying them to a table of where each element comes from.

use super::call::{Call, Lowered, Val};
use super::constant::{Constant, Elem, Values};
use super::lower::{Lowering, dtype};
use super::shape::{self, Dim, Size, Sizes};
use super::split::Origin;
use super::table::Table;
use crate::engine::plan::Op;
use std::rc::Rc;

pub(super) const MIXED: &str = "it picks, joins or repeats candidates, which stay apart: do it on another axis";

/// Lowers an operator that moves elements; none if it is not one.
pub(super) fn lower(lowering: &mut Lowering, call: &Call) -> Option<Lowered> {
    Some(match call.spec.op.as_str() {
        "Shape" => measure(call),
        "Size" => size(call),
        "Reshape" => reshape(call),
        "Flatten" => flatten(call),
        "Squeeze" => squeeze(call),
        "Unsqueeze" => unsqueeze(call),
        "Transpose" => transpose(lowering, call),
        "Slice" => slice(lowering, call),
        "Split" => split(lowering, call),
        "Concat" => concat(lowering, call),
        _ => return None,
    })
}

/// A value whose elements a table moved and that has a new shape.
pub(super) fn moved(lowering: &mut Lowering, val: &Val, table: &Table, shape: Vec<Dim>) -> Result<Val, String> {
    Ok(match val {
        Val::Constant(constant) => {
            let dims = shape::fixed(&shape).ok_or(MIXED)?;
            let values = match &constant.values {
                Values::Float(v) => Values::Float(table.apply(v, &0.0)),
                Values::Int(v) => Values::Int(table.apply(v, &0)),
                Values::Text(v) => Values::Text(table.apply(v, &String::new())),
            };
            Val::Constant(Rc::new(Constant { elem: constant.elem, dims, values }))
        }
        Val::Sizes(sizes) => {
            let dims = shape::fixed(&shape).ok_or(MIXED)?;
            let list = table.apply(&sizes.list, &Size { each: 0, fixed: 0 });
            let sizes = Sizes { elem: sizes.elem, dims, list };
            sizes.constant().map_or_else(|| Val::Sizes(Rc::new(sizes)), |c| Val::Constant(Rc::new(c)))
        }
        Val::Run { elem, .. } if table.index.is_empty() => {
            // Nothing is left to compute; a Concat passes it over.
            let dims = shape::fixed(&shape).ok_or("it has no elements")?;
            let values = if elem.is_float() { Values::Float(vec![]) } else { Values::Int(vec![]) };
            Val::Constant(Rc::new(Constant { elem: *elem, dims, values }))
        }
        Val::Run { value, elem, .. } => {
            let value = lowering.moved(*value, table)?;
            lowering.run(value, *elem, shape)
        }
        Val::Refused => return Err("an operand is refused".into()),
    })
}

/// The same elements in another shape.
pub(super) fn reshaped(val: &Val, shape: Vec<Dim>) -> Result<Val, String> {
    Ok(match val {
        Val::Constant(constant) => {
            let dims = shape::fixed(&shape).ok_or(MIXED)?;
            Val::Constant(Rc::new(Constant { dims, ..(**constant).clone() }))
        }
        Val::Sizes(sizes) => {
            let dims = shape::fixed(&shape).ok_or(MIXED)?;
            Val::Sizes(Rc::new(Sizes { dims, ..(**sizes).clone() }))
        }
        Val::Run { value, elem, .. } => Val::Run { value: *value, elem: *elem, shape },
        Val::Refused => Val::Refused,
    })
}

/// Where the elements of a value lie in its row.
pub(super) fn table_of(val: &Val) -> Result<Table, String> {
    let dims = shape::inner(&val.shape());
    shape::fits(&dims)?;
    Ok(Table::identity(&dims, 0))
}

fn measure(call: &Call) -> Lowered {
    let dims = call.need(0)?.shape();
    let rank = dims.len() as i64;
    let bound = |name: &str, default: i64| {
        let at = call.spec.int(name, default);
        (if at < 0 { at + rank } else { at }).clamp(0, rank) as usize
    };
    let (from, to) = (bound("start", 0), bound("end", rank));
    let list: Vec<Size> = dims.get(from..to.max(from)).unwrap_or(&[]).iter().map(|dim| dim.size()).collect();
    let sizes = Sizes { elem: Elem::I64, dims: vec![list.len()], list };
    Ok(vec![sizes.constant().map_or_else(|| Val::Sizes(Rc::new(sizes)), |c| Val::Constant(Rc::new(c)))])
}

fn size(call: &Call) -> Lowered {
    let dims = call.need(0)?.shape();
    let inner = shape::width(&dims) as i64;
    let size = match shape::candidates(&dims) {
        0 => Size { each: 0, fixed: inner },
        1 => Size { each: inner, fixed: 0 },
        _ => return Err("the number of pairs of candidates".into()),
    };
    let sizes = Sizes { elem: Elem::I64, dims: vec![], list: vec![size] };
    Ok(vec![sizes.constant().map_or_else(|| Val::Sizes(Rc::new(sizes)), |c| Val::Constant(Rc::new(c)))])
}

fn reshape(call: &Call) -> Lowered {
    let val = call.need(0)?;
    let from = val.shape();
    let mut sizes = match call.optional(1) {
        Some(_) => call.sizes(1, "the shape")?,
        None => call.spec.ints("shape").unwrap_or(&[]).iter().map(|&fixed| Size { each: 0, fixed }).collect(),
    };
    if call.spec.int("allowzero", 0) == 0 {
        for (i, size) in sizes.iter_mut().enumerate() {
            if size.known() == Some(0) {
                *size = from.get(i).ok_or("a 0 in the shape stands for no axis")?.size();
            }
        }
    }
    let open: Vec<usize> = (0..sizes.len()).filter(|&i| sizes[i].known() == Some(-1)).collect();
    if let [at] = open[..] {
        sizes[at] = rest(&from, &sizes, at)?;
    }
    // A batch of one that the exporter wrote down as 1 where the graph has candidates cannot be told from a mistake.
    let shape = shape::reshape(&from, &sizes)?;
    Ok(vec![reshaped(val, shape)?])
}

/// What a -1 stands for.
fn rest(from: &[Dim], sizes: &[Size], at: usize) -> Result<Size, String> {
    let others = || sizes.iter().enumerate().filter(move |(i, _)| *i != at).map(|(_, s)| *s);
    let divisor = others().fold(1i64, |all, s| all.saturating_mul(if s.each != 0 { s.each } else { s.fixed }));
    let counted = others().filter(|s| s.each != 0).count();
    let total = i64::try_from(shape::width(from)).unwrap_or(i64::MAX);
    if divisor <= 0 || total % divisor != 0 {
        return Err(format!("{} does not divide into the shape", shape::text(from)));
    }
    match shape::candidates(from) as i64 - counted as i64 {
        0 => Ok(Size { each: 0, fixed: total / divisor }),
        1 => Ok(Size { each: total / divisor, fixed: 0 }),
        _ => Err(format!("{} is joined over candidates", shape::text(from))),
    }
}

fn flatten(call: &Call) -> Lowered {
    let val = call.need(0)?;
    let from = val.shape();
    let given = call.spec.int("axis", 1);
    let at = if given < 0 { given + from.len() as i64 } else { given };
    let at = usize::try_from(at).ok().filter(|&a| a <= from.len()).ok_or(format!("axis {given}"))?;
    let joined = |dims: &[Dim]| -> Size {
        let total = shape::width(dims) as i64;
        if shape::candidates(dims) > 0 { Size { each: total, fixed: 0 } } else { Size { each: 0, fixed: total } }
    };
    let shape = shape::reshape(&from, &[joined(&from[..at]), joined(&from[at..])])?;
    Ok(vec![reshaped(val, shape)?])
}

fn squeeze(call: &Call) -> Lowered {
    let val = call.need(0)?;
    let from = val.shape();
    let gone: Vec<usize> = match call.axes(1)? {
        Some(axes) => axes.iter().map(|&a| shape::axis(a, from.len())).collect::<Result<_, _>>()?,
        None => (0..from.len()).filter(|&i| from[i] == Dim::Fixed(1)).collect(),
    };
    if let Some(&axis) = gone.iter().find(|&&a| from[a] != Dim::Fixed(1)) {
        return Err(format!("axis {axis} of {} is not 1", shape::text(&from)));
    }
    let shape = (0..from.len()).filter(|i| !gone.contains(i)).map(|i| from[i]).collect();
    Ok(vec![reshaped(val, shape)?])
}

fn unsqueeze(call: &Call) -> Lowered {
    let val = call.need(0)?;
    let axes = call.axes(1)?.ok_or("it has no axes")?;
    let rank = val.shape().len() + axes.len();
    let new: Vec<usize> = axes.iter().map(|&a| shape::axis(a, rank)).collect::<Result<_, _>>()?;
    let mut old = val.shape().into_iter();
    let shape: Option<Vec<Dim>> =
        (0..rank).map(|i| if new.contains(&i) { Some(Dim::Fixed(1)) } else { old.next() }).collect();
    Ok(vec![reshaped(val, shape.ok_or("an axis is named twice")?)?])
}

fn transpose(lowering: &mut Lowering, call: &Call) -> Lowered {
    let val = call.need(0)?;
    let from = val.shape();
    let order: Vec<usize> = match call.spec.ints("perm") {
        Some(perm) => perm.iter().map(|&a| shape::axis(a, from.len())).collect::<Result<_, _>>()?,
        None => (0..from.len()).rev().collect(),
    };
    let mut sorted = order.clone();
    sorted.sort_unstable();
    if !sorted.iter().copied().eq(0..from.len()) {
        return Err("`perm` is no permutation".into());
    }
    permuted(lowering, val, &order).map(|val| vec![val])
}

/// Axes in another order.
pub(super) fn permuted(lowering: &mut Lowering, val: &Val, order: &[usize]) -> Result<Val, String> {
    let from = val.shape();
    let shape: Vec<Dim> = order.iter().map(|&axis| from[axis]).collect();
    if shape::candidates(&from) == 2 {
        // Pairs lie as their candidates come; only axes of one element may pass them.
        let real = |dims: Vec<usize>| dims.into_iter().filter(|&a| from[a] != Dim::Fixed(1)).collect::<Vec<_>>();
        if real(order.to_vec()) != real((0..from.len()).collect()) {
            return Err("it turns pairs of candidates about: swap the factors of the product before it".into());
        }
        return reshaped(val, shape);
    }
    let table = table_of(val)?.transpose(order);
    moved(lowering, val, &table, shape)
}

/// Start, end and step of a slice along an axis of `size`, as the positions it keeps.
fn kept(size: usize, start: i64, end: i64, step: i64) -> Result<Vec<usize>, String> {
    if step == 0 {
        return Err("a step of 0".into());
    }
    let n = size as i64;
    let from_front = |at: i64| if at < 0 { at.saturating_add(n) } else { at };
    let (mut at, end) = if step > 0 {
        (from_front(start).clamp(0, n), from_front(end).clamp(0, n))
    } else {
        (from_front(start).clamp(-1, n - 1), from_front(end).clamp(-1, n - 1))
    };
    let mut list = vec![];
    while if step > 0 { at < end } else { at > end } {
        list.push(at as usize);
        at = at.saturating_add(step);
    }
    Ok(list)
}

fn slice(lowering: &mut Lowering, call: &Call) -> Lowered {
    let val = call.need(0)?;
    let from = val.shape();
    let list = |name: &str| -> Vec<Size> {
        call.spec.ints(name).unwrap_or(&[]).iter().map(|&fixed| Size { each: 0, fixed }).collect()
    };
    let given = |i: usize, name: &str| match call.optional(i) {
        Some(_) => call.sizes(i, name),
        None => Ok(list(name)),
    };
    let (starts, ends) = (given(1, "starts")?, given(2, "ends")?);
    let axes: Vec<i64> = match given(3, "axes")? {
        axes if axes.is_empty() => (0..starts.len() as i64).collect(),
        axes => axes.iter().filter_map(|s| s.known()).collect(),
    };
    let steps: Vec<i64> = match given(4, "steps")? {
        steps if steps.is_empty() => vec![1; starts.len()],
        steps => steps.iter().filter_map(|s| s.known()).collect(),
    };
    if ends.len() != starts.len() || axes.len() != starts.len() || steps.len() != starts.len() {
        return Err("starts, ends, axes and steps differ in length".into());
    }
    let (mut table, mut shape) = (table_of(val)?, from.clone());
    for i in 0..starts.len() {
        let axis = shape::axis(axes[i], from.len())?;
        match shape[axis] {
            Dim::Fixed(size) => {
                let at = |s: Size| s.known().unwrap_or(if s.each > 0 { i64::MAX } else { i64::MIN });
                let list = kept(size, at(starts[i]), at(ends[i]), steps[i])?;
                table = table.pick(axis, &list);
                shape[axis] = Dim::Fixed(list.len());
            }
            dim @ Dim::Rows { .. } => {
                let to_end = ends[i] == dim.size() || ends[i].known().is_some_and(|end| end >= i64::from(i32::MAX));
                if !(starts[i].known() == Some(0) && to_end && steps[i] == 1) {
                    return Err(MIXED.into());
                }
            }
        }
    }
    if shape::candidates(&from) == 2 && shape != from {
        return Err("a part of pairs of candidates".into());
    }
    Ok(vec![moved(lowering, val, &table, shape)?])
}

fn split(lowering: &mut Lowering, call: &Call) -> Lowered {
    let val = call.need(0)?;
    let from = val.shape();
    let axis = shape::axis(call.spec.int("axis", 0), from.len())?;
    let Dim::Fixed(size) = from[axis] else { return Err(MIXED.into()) };
    let lengths: Vec<usize> = match (call.optional(1), call.spec.ints("split")) {
        (Some(_), _) => call.ints(1, "the lengths")?.iter().map(|&n| n.max(0) as usize).collect(),
        (None, Some(list)) => list.iter().map(|&n| n.max(0) as usize).collect(),
        _ => {
            let parts = call.spec.int("num_outputs", call.spec.outputs as i64).max(1) as usize;
            let each = size.div_ceil(parts);
            (0..parts).map(|i| each.min(size - (i * each).min(size))).collect()
        }
    };
    if lengths.iter().sum::<usize>() != size {
        return Err(format!("the parts {lengths:?} do not make {size}"));
    }
    let table = table_of(val)?;
    let mut at = 0;
    let mut given = vec![];
    for length in lengths {
        let mut shape = from.clone();
        shape[axis] = Dim::Fixed(length);
        let part = table.pick(axis, &(at..at + length).collect::<Vec<_>>());
        at += length;
        // A part that nobody reads may be empty.
        given.push(moved(lowering, val, &part, shape).unwrap_or(Val::Refused));
    }
    Ok(given)
}

fn concat(lowering: &mut Lowering, call: &Call) -> Lowered {
    let parts: Vec<Val> = call.given().filter(|val| shape::width(&val.shape()) > 0).cloned().collect();
    let rank = call.need(0)?.shape().len();
    let axis = shape::axis(call.spec.int("axis", 0), rank)?;
    if parts.is_empty() {
        return Ok(vec![call.need(0)?.clone()]);
    }
    joined(lowering, &parts, axis).map(|val| vec![val])
}

/// Values one after the other along an axis.
pub(super) fn joined(lowering: &mut Lowering, parts: &[Val], axis: usize) -> Result<Val, String> {
    if let [one] = parts {
        return Ok(one.clone());
    }
    let first = parts[0].shape();
    for part in parts {
        let shape = part.shape();
        if shape.len() != first.len() || (0..first.len()).any(|i| i != axis && shape[i] != first[i]) {
            return Err(format!("{} and {} do not join along axis {axis}", shape::text(&first), shape::text(&shape)));
        }
    }
    let sizes: Option<Vec<usize>> = parts.iter().map(|p| shape::fixed(&p.shape()[axis..=axis]).map(|s| s[0])).collect();
    let sizes = sizes.ok_or(MIXED)?;
    let mut shape = first.clone();
    shape[axis] = Dim::Fixed(sizes.iter().sum());
    let mut start = 0;
    let tables: Vec<Table> = parts
        .iter()
        .map(|part| {
            let dims = shape::inner(&part.shape());
            let table = Table::identity(&dims, start);
            start += table.index.len();
            table
        })
        .collect();
    let table = Table::concat(&tables, axis);
    if let Some(val) = known(parts, &table, &shape) {
        return Ok(val);
    }
    if shape::candidates(&shape) == 2 {
        return Err("it joins pairs of candidates".into());
    }
    let elem = parts[0].elem();
    let to = dtype(elem)?;
    let mut values = vec![];
    for part in parts {
        let value = lowering.operand(part)?.0;
        values.push(lowering.cast(value, to));
    }
    let source = lowering.step(Op::Concat, &values, to, start);
    let value = lowering.moved(source, &table)?;
    if axis + 1 == shape.len() {
        lowering.origins.insert(value, Origin::Concat(parts.to_vec()));
    }
    Ok(lowering.run(value, elem, shape))
}

/// Joined constants and sizes.
fn known(parts: &[Val], table: &Table, shape: &[Dim]) -> Option<Val> {
    if parts.iter().any(|part| matches!(part, Val::Run { .. } | Val::Refused)) {
        return None;
    }
    let (dims, elem) = (shape::fixed(shape)?, parts[0].elem());
    if parts.iter().any(|part| matches!(part, Val::Sizes(_))) {
        let of = |part: &Val| match part {
            Val::Sizes(sizes) => Some((**sizes).clone()),
            Val::Constant(constant) => Sizes::of(constant),
            _ => None,
        };
        let lists: Option<Vec<Vec<Size>>> = parts.iter().map(|part| Some(of(part)?.list)).collect();
        let list = table.apply(&lists?.concat(), &Size { each: 0, fixed: 0 });
        return Some(Val::Sizes(Rc::new(Sizes { elem, dims, list })));
    }
    let constants = parts.iter().filter_map(|part| if let Val::Constant(c) = part { Some(c) } else { None });
    let values = if elem.is_float() {
        let all: Vec<f32> = constants.flat_map(|c| c.floats().unwrap_or(&[]).to_vec()).collect();
        Values::Float(table.apply(&all, &0.0))
    } else {
        let all: Vec<i64> = constants.flat_map(|c| c.ints().unwrap_or(&[]).to_vec()).collect();
        Values::Int(table.apply(&all, &0))
    };
    Some(Val::Constant(Rc::new(Constant { elem, dims, values })))
}
