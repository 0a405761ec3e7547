//! TopK: places by the engine for floats; by counting what stands before each element for whole numbers, which f32 would
//! round.

use super::call::{Call, Lowered};
use super::constant::Elem;
use super::lookup;
use super::lower::Lowering;
use super::moves::permuted;
use super::shape::{self, Dim};
use crate::engine::plan::{Binary, DType, Op, Reduce, Rows};

/// Comparisons of one row.
const MAX_COMPARED: usize = 1 << 18;

/// Lowers TopK; none if it is another operator.
pub(super) fn lower(lowering: &mut Lowering, call: &Call) -> Option<Lowered> {
    (call.spec.op == "TopK").then(|| top_k(lowering, call))
}

fn top_k(lowering: &mut Lowering, call: &Call) -> Lowered {
    let x = call.need(0)?;
    let shape = x.shape();
    let axis = shape::axis(call.spec.int("axis", -1), shape.len())?;
    let k = match call.optional(1) {
        Some(_) => call.ints(1, "the number of elements")?.first().copied().unwrap_or(0),
        None => call.spec.int("k", 0),
    };
    let Dim::Fixed(group) = shape[axis] else {
        return Err("it orders the candidates: that is the policy's; order inside of each candidate's row".into());
    };
    let k = usize::try_from(k)
        .ok()
        .filter(|k| (1..=group).contains(k))
        .ok_or_else(|| format!("{k} of {group} elements"))?;
    let largest = call.spec.int("largest", 1) != 0;
    // The axis goes last.
    let last: Vec<usize> = (0..shape.len()).filter(|&i| i != axis).chain([axis]).collect();
    let lines = permuted(lowering, x, &last)?;
    let (value, mut to) = lowering.operand(&lines)?;
    if lowering.plan.values[value as usize].rows == Rows::Pair {
        return Err("it orders inside of pairs of candidates".into());
    }
    let width = lowering.width(value);
    let count = width / group;
    let op = Op::TopK { group: group as u32, k: k as u32, largest };
    let places = match lowering.dtype_of(value) {
        DType::F32 => lowering.step(op, &[value], DType::I64, count * k),
        _ => counted(lowering, value, group, k, largest)?,
    };
    let starts: Vec<i64> = (0..count * k).map(|i| (i / k * group) as i64).collect();
    let starts = lowering.constant_ints(starts);
    let at = if count == 1 { places } else { lookup::whole(lowering, Binary::Add, places, starts) };
    let taken = lookup::take(lowering, value, at, width, 1)?;
    if let Some(dim) = to.last_mut() {
        *dim = Dim::Fixed(k);
    }
    let back: Vec<usize> =
        (0..shape.len()).map(|i| if i == axis { shape.len() - 1 } else { i - usize::from(i > axis) }).collect();
    let results = [(taken, x.elem()), (places, Elem::I64)];
    results
        .into_iter()
        .map(|(value, elem)| {
            let result = lowering.run(value, elem, to.clone());
            permuted(lowering, &result, &back)
        })
        .collect()
}

/// Places of the first `k` of each group: an element's rank is the number of those before it.
fn counted(lowering: &mut Lowering, x: u32, group: usize, k: usize, largest: bool) -> Result<u32, String> {
    let count = lowering.width(x) / group;
    let size = count * group * group;
    if size > MAX_COMPARED {
        return Err(format!("whole numbers in groups of {group}: cast them to float32, or order at most 512"));
    }
    // [count, i, j]: element i, and j that it is compared with.
    let index = |of: fn(usize, usize) -> usize| -> Vec<i32> {
        (0..size).map(|at| (at / (group * group) * group + of(at / group % group, at % group)) as i32).collect()
    };
    let own = lowering.select(x, index(|i, _| i), 0.0);
    let other = lowering.select(x, index(|_, j| j), 0.0);
    let before = if largest { Binary::Greater } else { Binary::Less };
    let beaten = lookup::whole(lowering, before, other, own);
    let equal = lookup::whole(lowering, Binary::Equal, other, own);
    let earlier = (0..group * group).map(|at| i64::from(at % group < at / group)).collect();
    let earlier = lowering.constant_ints(earlier);
    let earlier = lowering.cast(earlier, DType::Bool);
    let tied = lookup::whole(lowering, Binary::And, equal, earlier);
    let stands = lookup::whole(lowering, Binary::Or, beaten, tied);
    let stands = lowering.cast(stands, DType::I64);
    let sum = Op::Reduce { f: Reduce::Sum, group: group as u32, inner: 1 };
    let rank = lowering.step(sum, &[stands], DType::I64, count * group);
    // [count, place, i]: which element has the place for its rank.
    let spread = (0..count * k * group).map(|at| (at / (k * group) * group + at % group) as i32).collect();
    let ranks = lowering.select(rank, spread, 0.0);
    let wanted = lowering.constant_ints((0..k * group).map(|at| (at / group) as i64).collect());
    let found = lookup::whole(lowering, Binary::Equal, ranks, wanted);
    let found = lowering.cast(found, DType::I64);
    let first = Op::Reduce { f: Reduce::ArgMax, group: group as u32, inner: 1 };
    Ok(lowering.step(first, &[found], DType::I64, count * k))
}

#[cfg(test)]
mod tests {
    use super::super::naive::testing::{i64s, node};
    use super::super::twins::Given::{Each, Known};
    use super::super::twins::{agree, noise, numbers, refusal};

    #[test]
    fn the_first_of_an_order_are_found_along_any_axis() {
        let k = || Known(i64s(&[1], &[3]));
        for (axis, largest) in [(1, 1), (1, 0), (2, 1), (-1, 0)] {
            let node = node("TopK").int("axis", axis).int("largest", largest);
            agree(&node, &[Each(noise(&[4, 5, 6], 1)), k()], 2);
            // With equal elements, and beyond what f32 holds.
            agree(&node, &[Each(numbers(&[4, 5, 6], 0, 4, 2)), k()], 2);
            let far = numbers(&[4, 5, 6], 0, 4, 3).ints().unwrap().iter().map(|v| v + (1 << 40)).collect();
            agree(&node, &[Each(super::super::constant::Constant::i64(&[4, 5, 6], far)), k()], 2);
        }
        assert!(refusal(&node("TopK").int("axis", 0), &[Each(noise(&[4, 2], 1)), k()]).contains("candidates"));
    }
}
