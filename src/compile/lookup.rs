//! Elements picked by indices. Constant indices are a move like any other; computed ones read a table, the axis in front.

use super::call::{Call, Lowered, Val};
use super::lower::Lowering;
use super::moves::{joined, moved, permuted, reshaped, table_of};
use super::shape::{self, Dim, Size};
use super::table::Table;
use crate::engine::plan::{Binary, DType, Op, Reduce, Rows};

/// Rows of single candidates that one Gather may take.
const MAX_ROWS: usize = 64;
const OVER_LIST: &str =
    "it picks candidates by computed indices: pick inside of each candidate's row, or by a constant index";

/// Lowers a look-up; none if it is not one.
pub(super) fn lower(lowering: &mut Lowering, call: &Call) -> Option<Lowered> {
    Some(match call.spec.op.as_str() {
        "Gather" => gather(lowering, call),
        "GatherElements" => gather_elements(lowering, call),
        "GatherND" => gather_nd(lowering, call),
        "ArrayFeatureExtractor" => array_feature_extractor(lowering, call),
        _ => return None,
    })
}

fn gather(lowering: &mut Lowering, call: &Call) -> Lowered {
    let (data, indices) = (call.need(0)?, call.need(1)?);
    let axis = shape::axis(call.spec.int("axis", 0), data.shape().len())?;
    picked(lowering, data, indices, axis).map(|val| vec![val])
}

/// The last axis by the elements that the second input names; a vector is one row.
fn array_feature_extractor(lowering: &mut Lowering, call: &Call) -> Lowered {
    let (data, indices) = (call.need(0)?, call.need(1)?);
    let from = data.shape();
    let data = match from[..] {
        [] => return Err("its input is a scalar".into()),
        [columns] => reshaped(data, vec![Dim::Fixed(1), columns])?,
        _ => data.clone(),
    };
    let places = indices.shape();
    let count = shape::width(&places) as i64;
    let size = match shape::candidates(&places) {
        0 => Size { each: 0, fixed: count },
        _ => Size { each: count, fixed: 0 },
    };
    let indices = reshaped(indices, shape::reshape(&places, &[size])?)?;
    let axis = data.shape().len() - 1;
    picked(lowering, &data, &indices, axis).map(|val| vec![val])
}

/// `data` with the indices' axes in place of `axis`.
pub(super) fn picked(lowering: &mut Lowering, data: &Val, indices: &Val, axis: usize) -> Result<Val, String> {
    if !indices.elem().is_int() {
        return Err("its indices are not whole numbers: cast them to int64".into());
    }
    let (from, places) = (data.shape(), indices.shape());
    let shape = [&from[..axis], &places[..], &from[axis + 1..]].concat();
    match (from[axis], indices) {
        (Dim::Fixed(size), Val::Constant(list)) => {
            let list = within(list.ints()?, size)?;
            let table = table_of(data)?.pick(axis, &list);
            moved(lowering, data, &table, shape)
        }
        (Dim::N, Val::Constant(list)) => candidates(lowering, data, list.ints()?, axis, shape),
        (Dim::N, Val::Sizes(sizes)) if sizes.list.iter().all(|s| s.each == 1 && s.fixed < 0) => {
            // N - 1 is the last candidate.
            let list: Vec<i64> = sizes.list.iter().map(|s| s.fixed).collect();
            candidates(lowering, data, &list, axis, shape)
        }
        (Dim::Fixed(size), _) => computed(lowering, data, indices, axis, size),
        (Dim::Rows { .. }, _) => Err(OVER_LIST.into()),
    }
}

/// Indices counted from the front.
pub(super) fn within(list: &[i64], size: usize) -> Result<Vec<usize>, String> {
    let n = size as i64;
    list.iter()
        .map(|&i| {
            let at = if i < 0 { i + n } else { i };
            usize::try_from(at)
                .ok()
                .filter(|&at| at < size)
                .ok_or_else(|| format!("the index {i} of an axis of {size}"))
        })
        .collect()
}

/// Rows of named candidates, which then are the request's.
fn candidates(lowering: &mut Lowering, data: &Val, list: &[i64], axis: usize, to: Vec<Dim>) -> Result<Val, String> {
    let from = data.shape();
    if shape::candidates(&from) != 1 {
        return Err("it picks from pairs of candidates".into());
    }
    if list.is_empty() || list.len() > MAX_ROWS {
        return Err(format!("it picks {} candidates: at most {MAX_ROWS}, and one at least", list.len()));
    }
    let (value, _) = lowering.operand(data)?;
    let value = lowering.spread(value, &from)?;
    let (width, dtype) = (lowering.width(value), lowering.dtype_of(value));
    let rest: Vec<Dim> = [&from[..axis], &from[axis + 1..]].concat();
    let mut one = vec![Dim::Fixed(1)];
    one.extend(&rest);
    let parts: Vec<Val> = list
        .iter()
        .map(|&index| {
            let row = lowering.push(Op::RowAt { index }, &[value], dtype, Rows::Shared, width);
            lowering.run(row, data.elem(), one.clone())
        })
        .collect();
    let all = joined(lowering, &parts, 0)?;
    // The picked candidates stand in front; they belong where the axis was.
    let order: Vec<usize> = (1..=axis).chain([0]).chain(axis + 1..=rest.len()).collect();
    reshaped(&permuted(lowering, &all, &order)?, to)
}

/// Rows of a table by computed indices.
fn computed(lowering: &mut Lowering, data: &Val, indices: &Val, axis: usize, size: usize) -> Result<Val, String> {
    let (from, places) = (data.shape(), indices.shape());
    if shape::candidates(&from) + shape::candidates(&places) > 1 {
        return Err(
            "a table of each candidate by indices of each: use GatherElements, or GatherND with batch_dims 1".into()
        );
    }
    let order: Vec<usize> = std::iter::once(axis).chain((0..from.len()).filter(|&i| i != axis)).collect();
    let table = permuted(lowering, data, &order)?;
    let rest: Vec<Dim> = [&from[..axis], &from[axis + 1..]].concat();
    let (table, _) = lowering.operand(&table)?;
    let (at, _) = lowering.operand(indices)?;
    let value = take(lowering, table, at, size, shape::width(&rest))?;
    let taken = lowering.run(value, data.elem(), [&places[..], &rest[..]].concat());
    let n = places.len();
    let back: Vec<usize> = (n..n + axis).chain(0..n).chain(n + axis..n + rest.len()).collect();
    permuted(lowering, &taken, &back)
}

/// The step that reads `[size, block]` by the indices.
pub(super) fn take(lowering: &mut Lowering, table: u32, at: u32, size: usize, block: usize) -> Result<u32, String> {
    if size == 0 || block == 0 || lowering.width(at) == 0 {
        return Err("it has no elements".into());
    }
    lowering.limit(at, &super::domain::indices(size));
    let (dtype, width) = (lowering.dtype_of(table), lowering.width(at) * block);
    Ok(lowering.step(Op::Take { size: size as u32, block: block as u32 }, &[table, at], dtype, width))
}

/// A step on whole numbers, each operand as wide as the result or going round.
pub(super) fn whole(lowering: &mut Lowering, f: Binary, a: u32, b: u32) -> u32 {
    let width = lowering.width(a).max(lowering.width(b));
    let dtype = if f.compares() { DType::Bool } else { lowering.dtype_of(a) };
    lowering.step(Op::Binary { f, each: [1, 1] }, &[a, b], dtype, width)
}

/// Below every place of a row, so that what is added to it stays outside.
const NOWHERE: i64 = -(1 << 40);

/// Places in a row from indices along axes of these sizes and strides, which go round: `index * stride`, negative indices
/// counted from the end. An index outside gives a place before the row, of which [`Op::Take`] makes NaN.
pub(super) fn places(
    lowering: &mut Lowering,
    indices: &Val,
    sizes: &[usize],
    strides: &[usize],
) -> Result<u32, String> {
    if sizes.is_empty() || sizes.contains(&0) {
        return Err("it has no elements".into());
    }
    let (at, _) = lowering.operand(indices)?;
    limit(lowering, at, sizes);
    let at = lowering.cast(at, DType::I64);
    let row = |lowering: &mut Lowering, list: &[usize]| {
        let list = if list.windows(2).all(|w| w[0] == w[1]) { &list[..1] } else { list };
        lowering.constant_ints(list.iter().map(|&v| v as i64).collect())
    };
    let (size, stride) = (row(lowering, sizes), row(lowering, strides));
    let inside = whole(lowering, Binary::Mod, at, size);
    // The remainder is the index, or the index and once the size, unless the index is outside.
    let behind = whole(lowering, Binary::Sub, inside, size);
    let front = whole(lowering, Binary::Equal, at, inside);
    let back = whole(lowering, Binary::Equal, at, behind);
    let valid = whole(lowering, Binary::Or, front, back);
    let place = whole(lowering, Binary::Mul, inside, stride);
    let nowhere = lowering.constant_ints(vec![NOWHERE]);
    let width = lowering.width(place);
    Ok(lowering.step(Op::Where, &[valid, place, nowhere], DType::I64, width))
}

/// Indices of axes of these sizes, which go round, are only checked where they lie inside.
fn limit(lowering: &mut Lowering, at: u32, sizes: &[usize]) {
    let width = lowering.width(at);
    for (first, &size) in sizes.iter().enumerate() {
        let own = (first..width).step_by(sizes.len()).map(|c| c as i32).collect();
        let own = lowering.select(at, own, 0.0);
        lowering.limit(own, &super::domain::indices(size));
    }
}

/// Elements between neighbours of each axis, inside a row.
pub(super) fn strides(shape: &[Dim]) -> Vec<usize> {
    (0..shape.len()).map(|axis| shape::width(&shape[axis + 1..])).collect()
}

/// For each position of a row of the sizes `dims`: where it lies in a row with these strides.
pub(super) fn positions(dims: &[usize], strides: &[usize]) -> Vec<i64> {
    let count: usize = dims.iter().product();
    (0..count)
        .map(|i| {
            let (mut rest, mut place) = (i, 0);
            for (&size, &stride) in dims.iter().zip(strides).rev() {
                place += rest % size * stride;
                rest /= size;
            }
            place as i64
        })
        .collect()
}

/// What a value of the shape `from` is read by: indices of its own rank, along one axis.
pub(super) fn along(from: &[Dim], places: &[Dim], axis: usize) -> Result<usize, String> {
    let fits = from.len() == places.len()
        && (0..from.len()).all(|i| match (from[i], places[i]) {
            (Dim::Fixed(size), Dim::Fixed(count)) => i == axis || count <= size,
            (a, b) => a == b && i != axis,
        });
    match (fits, from[axis]) {
        (true, Dim::Fixed(size)) => Ok(size),
        _ if from[axis].is_rows() => Err(OVER_LIST.into()),
        _ => Err(format!("indices of the shape {} for {}", shape::text(places), shape::text(from))),
    }
}

/// Where in a row the elements lie that indices along one axis name; computed indices give a value of the plan.
pub(super) fn element_places(lowering: &mut Lowering, from: &[Dim], indices: &Val, axis: usize) -> Result<u32, String> {
    let to = indices.shape();
    let size = along(from, &to, axis)?;
    let mut strides = strides(from);
    let step = std::mem::replace(&mut strides[axis], 0);
    let place = places(lowering, indices, &[size], &[step])?;
    let base = lowering.constant_ints(positions(&shape::inner(&to), &strides));
    Ok(whole(lowering, Binary::Add, place, base))
}

fn gather_elements(lowering: &mut Lowering, call: &Call) -> Lowered {
    let (data, indices) = (call.need(0)?, call.need(1)?);
    let (from, to) = (data.shape(), indices.shape());
    let axis = shape::axis(call.spec.int("axis", 0), from.len())?;
    let size = along(&from, &to, axis)?;
    if let (Val::Constant(list), Some(_)) = (indices, shape::fixed(&from)) {
        let list = within(list.ints()?, size)?;
        let mut strides = strides(&from);
        let step = std::mem::replace(&mut strides[axis], 0);
        let base = positions(&shape::inner(&to), &strides);
        let index = base.iter().zip(&list).map(|(base, at)| *base as i32 + (at * step) as i32).collect();
        let table = Table { dims: shape::inner(&to), index };
        return Ok(vec![moved(lowering, data, &table, to)?]);
    }
    let (value, _) = lowering.operand(data)?;
    let single = shape::width(&from) == size && shape::width(&to) == to[axis].inner();
    let at = if single { lowering.operand(indices)?.0 } else { element_places(lowering, &from, indices, axis)? };
    let count = lowering.width(value);
    let value = take(lowering, value, at, count, 1)?;
    Ok(vec![lowering.run(value, data.elem(), to)])
}

/// Tuples of indices, each naming a slice behind shared batch axes.
pub(super) struct Tuples {
    /// Shape of the tuples: all axes of the indices but the last.
    pub lead: Vec<Dim>,
    /// Shape of a slice.
    pub slice: Vec<Dim>,
    sizes: Vec<usize>,
    /// Of the named axes, in slices.
    steps: Vec<usize>,
    /// For each tuple, the slices before its batch.
    base: Vec<i64>,
}

impl Tuples {
    pub fn new(from: &[Dim], places: &[Dim], batch: usize) -> Result<Self, String> {
        let misfit = || format!("indices of the shape {} for {}", shape::text(places), shape::text(from));
        let Some((Dim::Fixed(named), lead)) = places.split_last() else { return Err(misfit()) };
        let deep = batch + named;
        if *named == 0 || deep > from.len() || lead.len() < batch || from[..batch] != lead[..batch] {
            return Err(misfit());
        }
        let sizes = shape::fixed(&from[batch..deep]).ok_or(OVER_LIST)?;
        if shape::candidates(&from[batch..]) + shape::candidates(&lead[batch..]) > 1
            || shape::candidates(lead) + shape::candidates(&from[deep..]) > 1
        {
            return Err(
                "slices of each candidate by indices of each: share the candidates' axis with batch_dims".into()
            );
        }
        let slice = from[deep..].to_vec();
        let block = shape::width(&slice).max(1);
        let all: Vec<usize> = strides(from).iter().map(|stride| stride / block).collect();
        let mut batches = all[..batch].to_vec();
        batches.resize(lead.len(), 0);
        let base = positions(&shape::inner(lead), &batches);
        Ok(Tuples { lead: lead.to_vec(), slice, sizes, steps: all[batch..deep].to_vec(), base })
    }

    /// The slice that each tuple names, for constants.
    pub fn constant(&self, list: &[i64]) -> Result<Vec<usize>, String> {
        let mut places = vec![];
        for (tuple, &base) in list.chunks(self.sizes.len()).zip(&self.base) {
            let mut place = base as usize;
            for ((&at, &size), &step) in tuple.iter().zip(&self.sizes).zip(&self.steps) {
                place += within(&[at], size)?[0] * step;
            }
            places.push(place);
        }
        Ok(places)
    }

    /// The same, computed.
    pub fn computed(&self, lowering: &mut Lowering, indices: &Val) -> Result<u32, String> {
        // One index is its own place, which leaves the step to say what lies outside.
        if self.steps == [1] && self.base.iter().all(|&b| b == 0) && self.slots() == self.sizes[0] {
            return Ok(lowering.operand(indices)?.0);
        }
        let parts = places(lowering, indices, &self.sizes, &self.steps)?;
        let group = self.sizes.len();
        let width = lowering.width(parts) / group;
        let op = Op::Reduce { f: Reduce::Sum, group: group as u32, inner: 1 };
        let sums = if group == 1 { parts } else { lowering.step(op, &[parts], DType::I64, width) };
        let base = lowering.constant_ints(self.base.clone());
        Ok(whole(lowering, Binary::Add, sums, base))
    }

    /// Slices of one batch.
    fn slots(&self) -> usize {
        self.sizes.iter().product()
    }
}

fn gather_nd(lowering: &mut Lowering, call: &Call) -> Lowered {
    let (data, indices) = (call.need(0)?, call.need(1)?);
    let from = data.shape();
    let batch = usize::try_from(call.spec.int("batch_dims", 0)).map_err(|_| "batch_dims below 0")?;
    let tuples = Tuples::new(&from, &indices.shape(), batch)?;
    let to = [&tuples.lead[..], &tuples.slice[..]].concat();
    let block = shape::width(&tuples.slice);
    if let Val::Constant(list) = indices {
        let places = tuples.constant(list.ints()?)?;
        let index = places.iter().flat_map(|&p| (p * block..(p + 1) * block).map(|i| i as i32)).collect();
        let table = Table { dims: shape::inner(&to), index };
        return Ok(vec![moved(lowering, data, &table, to)?]);
    }
    let at = tuples.computed(lowering, indices)?;
    let (value, _) = lowering.operand(data)?;
    let count = lowering.width(value) / block.max(1);
    let value = take(lowering, value, at, count, block)?;
    Ok(vec![lowering.run(value, data.elem(), to)])
}

#[cfg(test)]
mod tests {
    use super::super::naive::testing::{i64s, node};
    use super::super::twins::Given::{Each, Known, Shared};
    use super::super::twins::{agree, noise, numbers, refusal};

    #[test]
    fn gather_reads_by_constants_and_by_computed_indices() {
        let x = noise(&[6, 4, 3], 1);
        for axis in [1, 2, -1] {
            let gather = node("Gather").int("axis", axis);
            agree(&gather, &[Each(x.clone()), Known(i64s(&[2, 2], &[0, -1, 2, 1]))], 1);
            agree(&gather, &[Each(x.clone()), Shared(i64s(&[3], &[2, -3, 0]))], 1);
            agree(&gather, &[Known(x.clone()), Shared(i64s(&[2], &[-1, 1]))], 1);
        }
        agree(&node("Gather"), &[Known(x.clone()), Each(numbers(&[5, 2], -6, 6, 2))], 1);
        agree(&node("Gather"), &[Known(numbers(&[6, 2], 0, 99, 3)), Each(numbers(&[5], -6, 6, 4))], 1);
        // Rows of candidates are the request's.
        agree(&node("Gather"), &[Each(x.clone()), Known(i64s(&[2], &[0, -1]))], 1);
        assert!(refusal(&node("Gather"), &[Each(x.clone()), Shared(i64s(&[1], &[0]))]).contains("picks candidates"));
        assert!(refusal(&node("Gather").int("axis", 1), &[Each(x), Known(i64s(&[1], &[4]))]).contains("index 4"));
    }

    #[test]
    fn elements_and_slices_are_read_by_place() {
        let x = noise(&[5, 4, 3], 5);
        for axis in [1, 2] {
            let size = if axis == 1 { 4 } else { 3 };
            let at = numbers(&[5, 3, 2], -size, size, 6);
            let elements = node("GatherElements").int("axis", axis);
            agree(&elements, &[Each(x.clone()), Each(at.clone())], 1);
            agree(&elements, &[Shared(x.clone()), Known(at.clone())], 1);
            agree(&elements, &[Shared(x.clone()), Shared(at)], 1);
        }
        let tuples = |batch: i64| node("GatherND").int("batch_dims", batch);
        agree(&tuples(1), &[Each(x.clone()), Each(numbers(&[5, 2, 1], -4, 4, 7))], 1);
        agree(&tuples(1), &[Each(x.clone()), Each(numbers(&[5, 3, 2], 0, 3, 8))], 1);
        agree(&tuples(0), &[Known(x.clone()), Each(numbers(&[7, 3], -3, 3, 9))], 1);
        agree(&tuples(0), &[Known(x.clone()), Each(numbers(&[7, 1], -5, 5, 9))], 1);
        agree(&tuples(0), &[Shared(x.clone()), Known(numbers(&[2, 2], 0, 4, 10))], 1);
        assert!(refusal(&tuples(0), &[Each(x.clone()), Each(numbers(&[5, 1], 0, 5, 1))]).contains("picks candidates"));
        let extract = node("ArrayFeatureExtractor").domain("ai.onnx.ml").opset(1);
        agree(&extract, &[Each(noise(&[4, 5], 2)), Known(i64s(&[3], &[4, 0, 2]))], 1);
    }

    #[test]
    fn an_index_outside_gives_no_neighbour() {
        // ONNX leaves it open; the plan must not read another row.
        let x = noise(&[3, 2], 1);
        let node = node("GatherElements").int("axis", 1);
        let got = super::super::twins::planned(&node, &[Each(x), Each(i64s(&[3, 1], &[2, -3, 1 << 40]))], 1).unwrap();
        let crate::engine::Buffer::F32(list) = &got[0] else { panic!("{got:?}") };
        assert!(list.iter().all(|v| v.is_nan()), "{list:?}");
    }
}
