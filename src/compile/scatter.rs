//! ScatterElements and ScatterND: constant places are a move, computed ones a comparison of every place with every update.

use super::call::{Call, Lowered, Val};
use super::lookup::{self, Tuples};
use super::lower::Lowering;
use super::shape;
use crate::engine::plan::{Binary, DType, Op, Reduce};

/// Comparisons of one row.
const MAX_COMPARED: usize = 1 << 18;

/// Lowers a scatter; none if it is not one.
pub(super) fn lower(lowering: &mut Lowering, call: &Call) -> Option<Lowered> {
    Some(match call.spec.op.as_str() {
        "ScatterElements" | "Scatter" => elements(lowering, call),
        "ScatterND" => slices(lowering, call),
        _ => return None,
    })
}

/// How an update meets what it finds.
#[derive(Clone, Copy, PartialEq)]
enum How {
    Replace,
    Join(Binary, Reduce),
}

fn how(call: &Call) -> Result<How, String> {
    Ok(match call.spec.string("reduction").as_deref() {
        None | Some("none") => How::Replace,
        Some("add") => How::Join(Binary::Add, Reduce::Sum),
        Some("mul") => How::Join(Binary::Mul, Reduce::Prod),
        Some("max") => How::Join(Binary::Max, Reduce::Max),
        Some("min") => How::Join(Binary::Min, Reduce::Min),
        Some(other) => return Err(format!("the reduction `{other}`")),
    })
}

/// Where the updates go: places of `block` elements.
enum Places {
    Known(Vec<usize>),
    Computed(u32),
}

fn elements(lowering: &mut Lowering, call: &Call) -> Lowered {
    let (data, indices, updates) = (call.need(0)?, call.need(1)?, call.need(2)?);
    let (from, at) = (data.shape(), indices.shape());
    let axis = shape::axis(call.spec.int("axis", 0), from.len())?;
    if updates.shape() != at {
        return Err(format!(
            "updates of the shape {} for indices of {}",
            shape::text(&updates.shape()),
            shape::text(&at)
        ));
    }
    let size = lookup::along(&from, &at, axis)?;
    let places = match (indices, shape::fixed(&from)) {
        (Val::Constant(list), Some(_)) => {
            let mut strides = lookup::strides(&from);
            let step = std::mem::replace(&mut strides[axis], 0);
            let base = lookup::positions(&shape::inner(&at), &strides);
            let list = lookup::within(list.ints()?, size)?;
            Places::Known(base.iter().zip(list).map(|(base, i)| *base as usize + i * step).collect())
        }
        _ => Places::Computed(lookup::element_places(lowering, &from, indices, axis)?),
    };
    scattered(lowering, call, &places, 1)
}

fn slices(lowering: &mut Lowering, call: &Call) -> Lowered {
    let (data, indices) = (call.need(0)?, call.need(1)?);
    let from = data.shape();
    let tuples = Tuples::new(&from, &indices.shape(), 0)?;
    let expected = [&tuples.lead[..], &tuples.slice[..]].concat();
    if call.need(2)?.shape() != expected {
        return Err(format!("updates that are not of the shape {}", shape::text(&expected)));
    }
    if shape::candidates(&tuples.lead) > 0 {
        return Err("its indices are the candidates': scatter inside of each candidate's row".into());
    }
    let places = match indices {
        Val::Constant(list) => Places::Known(tuples.constant(list.ints()?)?),
        _ => Places::Computed(tuples.computed(lowering, indices)?),
    };
    scattered(lowering, call, &places, shape::width(&tuples.slice))
}

fn scattered(lowering: &mut Lowering, call: &Call, places: &Places, block: usize) -> Lowered {
    let (data, updates) = (call.need(0)?, call.need(2)?);
    let how = how(call)?;
    let shape = data.shape();
    let (x, _) = lowering.operand(data)?;
    let (u, _) = lowering.operand(updates)?;
    let u = lowering.cast(u, lowering.dtype_of(x));
    if block == 0 || lowering.width(x) == 0 {
        return Err("it has no elements".into());
    }
    let value = match (places, how) {
        (Places::Known(places), How::Replace) => replaced(lowering, x, u, places, block)?,
        (Places::Known(places), How::Join(f, _)) => accumulated(lowering, x, u, places, block, f),
        (Places::Computed(at), _) => compared(lowering, [x, u, *at], block, how)?,
    };
    Ok(vec![lowering.run(value, data.elem(), shape)])
}

/// Of several updates of one place the last stays.
fn replaced(lowering: &mut Lowering, x: u32, u: u32, places: &[usize], block: usize) -> Result<u32, String> {
    let width = lowering.width(x);
    let mut columns: Vec<i32> = (0..width as i32).collect();
    for (i, &place) in places.iter().enumerate() {
        for c in 0..block {
            columns[place * block + c] = (width + i * block + c) as i32;
        }
    }
    let dtype = lowering.dtype_of(x);
    let both = width + lowering.width(u);
    let joined = lowering.step(Op::Concat, &[x, u], dtype, both);
    Ok(lowering.select(joined, columns, 0.0))
}

/// The first update of every place, then the second of those that have one, and so on.
fn accumulated(lowering: &mut Lowering, x: u32, u: u32, places: &[usize], block: usize, f: Binary) -> u32 {
    let (width, dtype) = (lowering.width(x), lowering.dtype_of(x));
    let mut rounds: Vec<Vec<i32>> = vec![];
    let mut seen = vec![0; width];
    for (i, &place) in places.iter().enumerate() {
        for c in 0..block {
            let to = place * block + c;
            if rounds.len() == seen[to] {
                rounds.push(vec![-1; width]);
            }
            rounds[seen[to]][to] = (i * block + c) as i32;
            seen[to] += 1;
        }
    }
    rounds.into_iter().fold(x, |y, columns| {
        let touched = lowering.constant_ints(columns.iter().map(|&c| i64::from(c >= 0)).collect());
        let touched = lowering.cast(touched, DType::Bool);
        let update = lowering.select(u, columns, 0.0);
        let joined = lowering.step(Op::Binary { f, each: [1, 1] }, &[y, update], dtype, width);
        lowering.step(Op::Where, &[touched, joined, y], dtype, width)
    })
}

/// `[places, updates]` comparisons; the last update that hits a place replaces it, or all are joined to it in order.
fn compared(lowering: &mut Lowering, [x, u, at]: [u32; 3], block: usize, how: How) -> Result<u32, String> {
    let (width, dtype) = (lowering.width(x), lowering.dtype_of(x));
    let (slots, count) = (width / block, lowering.width(at));
    if slots * count * block > MAX_COMPARED {
        return Err(format!(
            "{count} computed places among {slots} of {block} elements: at most {MAX_COMPARED} comparisons; make the indices constants"
        ));
    }
    let at = lowering.cast(at, DType::I64);
    // A place counted from the end.
    let total = lowering.constant_ints(vec![slots as i64]);
    let zero = lowering.constant_ints(vec![0]);
    let behind = lookup::whole(lowering, Binary::Add, at, total);
    let negative = lookup::whole(lowering, Binary::Less, at, zero);
    let at = lowering.step(Op::Where, &[negative, behind, at], DType::I64, count);
    let range = lowering.constant_ints((0..slots as i64).collect());
    let op = Op::Binary { f: Binary::Equal, each: [count as u32, 1] };
    let hit = lowering.step(op, &[range, at], DType::Bool, slots * count);
    let marks = lowering.cast(hit, DType::I32);
    let reduce = |f: Reduce, group: usize, inner: usize| Op::Reduce { f, group: group as u32, inner: inner as u32 };
    let any = lowering.step(reduce(Reduce::Max, count, 1), &[marks], DType::I32, slots);
    let any = spread(lowering, any, slots, 1, block);
    let any = lowering.cast(any, DType::Bool);
    let changed = match how {
        How::Replace => {
            let last = lowering.step(reduce(Reduce::ArgMaxLast, count, 1), &[marks], DType::I64, slots);
            lookup::take(lowering, u, last, count, block)?
        }
        How::Join(f, all) => {
            let own = spread(lowering, hit, slots * count, 1, block);
            let updates = spread(lowering, u, 1, slots, count * block);
            let none = nothing(lowering, f, dtype);
            let terms = lowering.step(Op::Where, &[own, updates, none], dtype, slots * count * block);
            let total = lowering.step(reduce(all, count, block), &[terms], dtype, width);
            lowering.step(Op::Binary { f, each: [1, 1] }, &[x, total], dtype, width)
        }
    };
    Ok(lowering.step(Op::Where, &[any, changed, x], dtype, width))
}

/// `[outer, inner]` as `[outer, copies, inner]`, or, with `outer` all elements and `inner` the copies, each repeated.
fn spread(lowering: &mut Lowering, value: u32, outer: usize, copies: usize, inner: usize) -> u32 {
    let own = lowering.width(value) / outer;
    let columns = (0..outer).flat_map(|o| (0..copies * inner).map(move |i| (o * own + i % own) as i32));
    lowering.select(value, columns.collect(), 0.0)
}

/// What changes nothing.
fn nothing(lowering: &mut Lowering, f: Binary, dtype: DType) -> u32 {
    let (float, whole) = match f {
        Binary::Mul => (1.0, 1),
        Binary::Max => (f32::NEG_INFINITY, i64::MIN),
        Binary::Min => (f32::INFINITY, i64::MAX),
        _ => (0.0, 0),
    };
    if dtype == DType::F32 {
        return lowering.constant_row(vec![float]);
    }
    let bounds = match (dtype, whole) {
        (DType::I32, i64::MIN) => i64::from(i32::MIN),
        (DType::I32, i64::MAX) => i64::from(i32::MAX),
        _ => whole,
    };
    let value = lowering.constant_ints(vec![bounds]);
    lowering.cast(value, dtype)
}

#[cfg(test)]
mod tests {
    use super::super::naive::testing::{i64s, node};
    use super::super::twins::Given::{Each, Known, Shared};
    use super::super::twins::{agree, noise, numbers, refusal};

    const ALL: [&str; 5] = ["none", "add", "mul", "max", "min"];

    #[test]
    fn elements_go_to_their_places() {
        let (x, updates) = (noise(&[5, 6], 1), noise(&[5, 4], 2));
        for how in ALL {
            let node = node("ScatterElements").int("axis", 1).string("reduction", how);
            let at = numbers(&[5, 4], -6, 6, 3);
            agree(&node, &[Each(x.clone()), Each(at.clone()), Each(updates.clone())], 1);
            agree(&node, &[Shared(x.clone()), Known(at.clone()), Shared(updates.clone())], 1);
            let (whole, more) = (numbers(&[5, 6], -9, 9, 4), numbers(&[5, 4], -9, 9, 5));
            agree(&node, &[Each(whole.clone()), Each(at.clone()), Each(more.clone())], 1);
            agree(&node, &[Shared(whole), Known(at), Shared(more)], 1);
        }
        let over = node("ScatterElements").int("axis", 0);
        let given = [Each(x), Each(numbers(&[5, 4], 0, 5, 3)), Each(updates)];
        assert!(refusal(&over, &given).contains("candidates"));
    }

    #[test]
    fn slices_go_to_their_places() {
        let x = noise(&[4, 3, 2], 1);
        for how in ALL {
            let node = node("ScatterND").string("reduction", how);
            let (at, updates) = (i64s(&[3, 1], &[2, -1, 2]), noise(&[3, 3, 2], 6));
            agree(&node, &[Shared(x.clone()), Known(at.clone()), Shared(updates.clone())], 1);
            agree(&node, &[Shared(x.clone()), Shared(at), Shared(updates)], 1);
            let (at, updates) = (numbers(&[5, 2], 0, 3, 7), noise(&[5, 2], 8));
            agree(&node, &[Shared(x.clone()), Shared(at), Shared(updates)], 1);
        }
    }
}
