//! The checks of steps with tensors or strides: forests, constants, products, dense layers.

use super::check::{Scope, bad};
use super::forest::OwnedForest;
use super::plan::{DType, Op, Over, Product, Rows, Trees, Value};
use super::ready::{Axis, Constant, Ready, Weights};
use crate::bundle::tensor::Data;
use crate::error::{Result, detail};
use ranklet_kernels::{dense, int8, trees::Node};

impl Scope<'_> {
    #[inline(never)]
    pub(super) fn forest(&self, trees: &Trees, width: u32) -> Result<OwnedForest> {
        let (feature, threshold) = (self.i32s(&trees.feature)?, &self.f32s(&trees.threshold)?[..]);
        let mode = self.u8s(&trees.mode)?;
        let (yes, no) = (self.i32s(&trees.yes)?, self.i32s(&trees.no)?);
        let n = feature.len();
        self.need(
            [threshold.len(), mode.len(), yes.len(), no.len()] == [n; 4],
            detail("node arrays of a forest differ in length"),
        )?;
        let nodes = (0..n)
            .map(|i| Node {
                threshold: threshold[i],
                // A negative column becomes a huge one, which the check below refuses.
                feature: feature[i] as u32,
                yes: yes[i],
                no: no[i],
                mode: mode[i],
            })
            .collect();
        let base = self.f32s_or_none(trees.base.as_ref())?;
        self.need(
            base.is_empty() || base.len() == trees.targets as usize,
            detail("base values do not fit the targets"),
        )?;
        let shared: Vec<bool> = match &trees.shared {
            Some(name) => self.u8s(name)?.iter().map(|&s| s != 0).collect(),
            None => vec![false; width as usize],
        };
        self.need(shared.len() == width as usize, detail("shared columns do not fit the width"))?;
        OwnedForest::new(
            self.i32s(&trees.roots)?,
            nodes,
            [self.i32s(&trees.leaf_start)?, self.i32s(&trees.target)?],
            &self.f32s(&trees.weight)?,
            base,
            trees.aggregate,
            &shared,
            trees.targets as usize,
        )
        .map_err(|defect| bad(self.node, format!("the forest is malformed: {defect}")))
    }

    #[inline(never)]
    pub(super) fn constant(&self, tensor: &str, out: Value) -> Result<Constant> {
        let tensor = self.tensor(tensor)?;
        let float = out.dtype == DType::F32;
        let cells = match &tensor.data {
            Data::I32(v) if !float => Constant::Ints(v.iter().map(|&i| i64::from(i)).collect()),
            Data::I64(v) if !float => Constant::Ints(v.clone()),
            Data::U8(v) if !float => Constant::Ints(v.iter().map(|&i| i64::from(i)).collect()),
            _ => match tensor.decoded() {
                Some(v) if float => Constant::Floats(v.kept()),
                _ => return Err(bad(self.node, detail("a constant is of another type"))),
            },
        };
        let elements = match &cells {
            Constant::Ints(v) => v.len(),
            Constant::Floats(v) => v.len(),
        };
        self.need(
            elements == out.width as usize && out.rows == Rows::Shared,
            detail("a constant does not fit its value"),
        )?;
        Ok(cells)
    }

    /// A group that divides the width, or the candidates of a pair (as `width` counts no candidates, nothing to divide).
    #[inline(never)]
    pub(super) fn axis(&self, x: Value, group: u32, inner: u32) -> Result<Axis> {
        let fits = match group.checked_mul(inner) {
            Some(0) => inner > 0 && x.rows == Rows::Pair && x.width.is_multiple_of(inner),
            Some(size) => x.rows != Rows::Pair && x.width.is_multiple_of(size),
            None => false,
        };
        self.need(fits, detail("the group does not fit"))?;
        Ok(Axis { group: group as usize, inner: inner as usize })
    }

    /// Whether every element that a product reads lies inside its operands, and its result fills the output.
    #[inline(never)]
    pub(super) fn product(&self, p: &Product, a: Value, b: Value, out: Value) -> Result<()> {
        // The last element read, in 64 bits.
        let reach = |which: usize, sizes: [u32; 2], strides: [u32; 2]| {
            let inside = sizes.iter().zip(strides).map(|(&size, stride)| u64::from(size - 1) * u64::from(stride));
            let batch = p.batch.iter().map(|dim| u64::from(dim[0] - 1) * u64::from(dim[1 + which]));
            inside.chain(batch).try_fold(0u64, u64::checked_add)
        };
        let batch = p.batch.iter().try_fold(1u64, |n, dim| n.checked_mul(u64::from(dim[0])));
        let sizes =
            [p.m, p.k, p.n].iter().all(|&s| s > 0) && p.batch.len() <= 4 && p.batch.iter().all(|dim| dim[0] > 0);
        self.need(sizes, detail("a product without elements"))?;
        let rows = match p.over {
            Over::Row => out.rows != Rows::Pair && a.rows != Rows::Pair && b.rows != Rows::Pair,
            Over::Scores => {
                (p.m, p.n) == (1, 1) && [a.rows, b.rows, out.rows] == [Rows::Candidate, Rows::Candidate, Rows::Pair]
            }
            Over::Mix => {
                (p.m, p.k) == (1, 1) && [a.rows, b.rows, out.rows] == [Rows::Pair, Rows::Candidate, Rows::Candidate]
            }
            Over::Pool => p.k == 1 && [a.rows, b.rows, out.rows] == [Rows::Candidate, Rows::Candidate, Rows::Shared],
        };
        self.need(rows, detail("a product's operands are of another kind of rows"))?;
        let written = batch.and_then(|n| n.checked_mul(u64::from(p.m))).and_then(|n| n.checked_mul(u64::from(p.n)));
        let inside = |reach: Option<u64>, width: u32| reach.is_some_and(|last| last < u64::from(width));
        self.need(
            written == Some(u64::from(out.width))
                && inside(reach(0, [p.m, p.k], p.a), a.width)
                && inside(reach(1, [p.k, p.n], p.b), b.width),
            detail("a product does not fit its operands"),
        )
    }

    /// The same weights, packed for a step before: the steps of an unrolled recurrent layer have one matrix.
    fn twin(&self, name: &str, k: usize, columns: usize) -> Option<Weights> {
        self.plan.steps.iter().zip(self.done).find_map(|(step, ready)| match (&step.op, ready) {
            (Op::Dense { weights: Some(same), .. }, Ready::Dense { weights, inputs, outputs, .. })
                if same == name && (*inputs, *outputs) == (k, columns) =>
            {
                Some(weights.clone())
            }
            _ => None,
        })
    }

    #[inline(never)]
    pub(super) fn dense(&self, op: &Op, inputs: &[Value], out: Value) -> Result<Ready> {
        let Op::Dense { weights, scales, bias, start, inputs: k, outputs, activation } = op else {
            return Err(bad(self.node, detail("no dense layer")));
        };
        let (x, k, columns) = (inputs[0], *k as usize, *outputs as usize);
        self.need(k > 0 && columns > 0, detail("a dense layer without elements"))?;
        let groups = x.width as usize / k;
        self.need(
            (x.width as usize).is_multiple_of(k)
                && u64::from(out.width) == groups as u64 * columns as u64
                && x.rows == out.rows,
            detail("widths do not fit the weights"),
        )?;
        let expected = 1 + usize::from(weights.is_none()) + usize::from(*start);
        // Rows to start at may be followed by one that is added to each.
        let shifted = *start && inputs.len() == expected + 1;
        self.need(shifted || inputs.len() == expected, detail("wrong number of inputs"))?;
        // In 64 bits: 65,536 x 65,536 is 0 in a page's 32.
        let fits =
            |len: usize| self.need(len as u64 == k as u64 * columns as u64, detail("weights do not fit the widths"));
        let skip = match weights {
            Some(name) => !*start && scales.is_none() && self.tensor(name)?.dims.len() == 1,
            None => false,
        };
        // Before anything is read, which decodes it, or packed.
        let twin = weights.as_ref().and_then(|name| self.twin(name, k, columns));
        let weights = match (weights, scales, twin) {
            (Some(name), Some(scales), twin) => {
                let scales = self.f32s(scales)?.kept();
                self.need(scales.len() == columns, detail("scales do not fit the width"))?;
                let packed = if let Some(Weights::Integers { packed, .. }) = twin {
                    packed
                } else {
                    let w = self.tensor(name)?.as_i8().unwrap_or(&[]);
                    fits(w.len())?;
                    let mut packed = vec![0; int8::packed8_len(k, columns)];
                    int8::pack8(w, k, columns, &mut packed);
                    packed.into()
                };
                Weights::Integers { packed, scales }
            }
            (Some(_), None, Some(Weights::Packed(same))) => Weights::Packed(same),
            (Some(name), None, _) => {
                let w = self.f32s(name)?;
                Weights::Packed(if self.tensor(name)?.dims.len() == 1 {
                    // What is not packed fits into what is: so its length is a number of a page's 32 bits.
                    let room = k as u64 * columns as u64 <= w.len() as u64;
                    let fits = room && w.len() == dense::packed_len(k, columns);
                    self.need(fits, detail("packed weights do not fit the widths"))?;
                    w
                } else {
                    fits(w.len())?;
                    let mut packed = vec![0.0; dense::packed_len(k, columns)];
                    dense::pack(&w, k, columns, &mut packed);
                    packed.into()
                })
            }
            (None, scales, _) => {
                let computed = inputs[1];
                self.need(
                    scales.is_none()
                        && computed.rows == Rows::Shared
                        && u64::from(computed.width) < 1 << 29
                        && k as u64 * columns as u64 <= u64::from(computed.width)
                        && computed.width as usize == dense::packed_len(k, columns),
                    detail("computed weights do not fit the widths"),
                )?;
                Weights::Computed
            }
        };
        if *start {
            let (from, shift) = (inputs[expected - 1], inputs[inputs.len() - 1]);
            let fits = from.width == out.width && bias.is_none() && out.rows != Rows::Pair;
            let fits = fits
                && (!shifted
                    || (from.rows, shift.rows) == (Rows::Candidate, Rows::Shared)
                        && [shift.width, out.width] == [*outputs; 2]);
            self.need(fits, detail("the start does not fit the width"))?;
        }
        let bias = self.f32s_or_none(bias.as_ref())?;
        self.need(bias.is_empty() || bias.len() == columns, detail("bias does not fit the width"))?;
        Ok(Ready::Dense { weights, bias, inputs: k, outputs: columns, activation: *activation, skip })
    }
}

#[cfg(test)]
mod tests {
    use super::super::check::check;
    use super::super::plan::{Plan, Port, Step, Unary};
    use super::*;
    use crate::bundle::tensor::{Tensor, Tensors};

    /// Two layers of 8 -> 8, one after the other, with one matrix; whole numbers have scales of their own. The second begins
    /// where the first does, if it is to.
    fn twice(weights: Tensor, start: bool) -> [(Weights, bool); 2] {
        let whole = weights.as_i8().is_some();
        let value = Value { dtype: DType::F32, rows: Rows::Candidate, width: 8 };
        let op = |step: u32| Op::Dense {
            weights: Some("w".into()),
            scales: whole.then(|| format!("s{step}")),
            bias: None,
            start: start && step == 1,
            inputs: 8,
            outputs: 8,
            activation: Unary::Identity,
        };
        let inputs = |step: u32| if start && step == 1 { vec![1, 1] } else { vec![step] };
        let step = |step: u32| Step { op: op(step), node: String::new(), inputs: inputs(step), output: step + 1 };
        let port = |value: u32| Port { name: value.to_string(), value, dims: vec![-1, 8] };
        let plan = Plan {
            inputs: vec![port(0)],
            outputs: vec![port(2)],
            values: vec![value; 3],
            steps: vec![step(0), step(1)],
        };
        let scales = |scale: f32| Tensor::f32(&[8], vec![scale; 8]);
        let tensors = [("w".to_owned(), weights), ("s0".to_owned(), scales(0.5)), ("s1".to_owned(), scales(0.25))];
        let steps = check(&plan, &Tensors::from(tensors)).expect("a plan that fits").steps;
        [0, 1].map(|at| match &steps[at] {
            Ready::Dense { weights, skip, .. } => (weights.clone(), *skip),
            other => panic!("{other:?}"),
        })
    }

    /// An unrolled recurrent layer has hundreds of steps; a bundle that nobody trusts has thousands.
    #[test]
    fn layers_of_one_matrix_share_it_however_it_is_stored() {
        let half = |dims: &[usize]| Tensor { dims: dims.to_vec(), data: Data::F16(vec![0x3c00; 64]) };
        let float = |dims: &[usize]| Tensor::f32(dims, vec![1.0; 64]);
        for weights in [half(&[8, 8]), half(&[64]), float(&[8, 8]), float(&[64])] {
            let [(Weights::Packed(first), _), (Weights::Packed(second), _)] = twice(weights, false) else {
                panic!("not packed")
            };
            assert_eq!((first.as_ptr(), first.len()), (second.as_ptr(), 64));
            assert!(first.iter().all(|w| *w == 1.0));
        }
        let whole = Tensor { dims: vec![8, 8], data: Data::I8(vec![3; 64]) };
        let [(Weights::Integers { packed, scales }, _), (Weights::Integers { packed: second, scales: others }, _)] =
            twice(whole, false)
        else {
            panic!("no integers")
        };
        assert_eq!((packed.as_ptr(), &packed[..]), (second.as_ptr(), &[3; 64][..]));
        assert_eq!((&scales[..], &others[..]), (&[0.5; 8][..], &[0.25; 8][..]));
    }

    /// Compile promises it of what it packed; a computed start may be -0.
    #[test]
    fn zeros_are_skipped_where_compile_packed_and_nothing_computed_is_begun_at() {
        let skips = |dims: &[usize], start| twice(Tensor::f32(dims, vec![1.0; 64]), start).map(|(_, skip)| skip);
        assert_eq!(skips(&[64], false), [true, true]);
        assert_eq!(skips(&[64], true), [true, false]);
        assert_eq!(skips(&[8, 8], false), [false, false]);
        let half = Tensor { dims: vec![8, 8], data: Data::F16(vec![0x3c00; 64]) };
        assert_eq!(twice(half, false).map(|(_, skip)| skip), [false, false]);
    }
}
