//! Dense layers: `y = f(x W + start)`, x `[rows, inputs]`, W `[inputs, outputs]`.
//!
//! Weights are packed once into panels of [`LANES`] output columns, the last of 4 where so few are left: a panel
//! holds, for every input k in order, the weights of its outputs. A tile of rows by columns keeps its sums in eight
//! registers: 4 rows by one panel, and for the last rows 2 by two panels or 1 by four. A single output is summed
//! for 16 rows together, which lie in the lanes.
//!
//! **Summation order**: each output starts at its bias (or 0) and adds `x[k] * w[k]` for k = 0, 1, 2
//! in order; product and sum are rounded separately. It does not depend on the tile, so a row's bits
//! depend on neither the number of rows nor its place.

#![allow(unsafe_code, reason = "the hot loops check their bounds once")]

use crate::lanes::F4;
use std::array::from_fn;

/// Output columns of a panel: two 128-bit vectors.
pub const LANES: usize = 8;
/// Output columns of a last panel for at most that many.
const HALF: usize = LANES / 2;
/// Rows of a tile. 4 x 8 is the largest tile whose sums stay in the 16 vector registers of x86-64
/// (wider ones spill: 30 instead of 55 GFLOP/s in V8, measured for the design).
pub const TILE_ROWS: usize = 4;

/// What each output starts at.
#[derive(Debug, Clone, Copy)]
pub enum Start<'a> {
    /// 0.
    Zero,
    /// `[outputs]`, the same for every row.
    Bias(&'a [f32]),
    /// `[rows, outputs]`, without gaps.
    Rows(&'a [f32]),
}

/// What is applied where an output is stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Activation {
    /// Nothing.
    None,
    /// `x < 0 ? 0 : x`: NaN and -0 stay.
    Relu,
}

impl Start<'_> {
    pub(crate) fn check(self, rows: usize, outputs: usize) {
        match self {
            Start::Zero => {}
            Start::Bias(bias) => assert_eq!(bias.len(), outputs),
            Start::Rows(starts) => assert_eq!(starts.len(), rows * outputs),
        }
    }

    /// Columns `first..first + width` of `row`; empty for zeros.
    #[inline(always)]
    pub(crate) fn part(&self, row: usize, outputs: usize, first: usize, width: usize) -> &[f32] {
        match self {
            Start::Zero => &[],
            Start::Bias(bias) => &bias[first..first + width],
            Start::Rows(starts) => &starts[row * outputs + first..row * outputs + first + width],
        }
    }
}

/// Length of the packed form of a `[inputs, outputs]` matrix.
pub const fn packed_len(inputs: usize, outputs: usize) -> usize {
    inputs * packed_columns(outputs)
}

/// Columns of the packed form.
pub(crate) const fn packed_columns(outputs: usize) -> usize {
    match outputs % LANES {
        _ if outputs == 1 => 1,
        0 => outputs,
        1..=HALF => outputs / LANES * LANES + HALF,
        _ => outputs.next_multiple_of(LANES),
    }
}

/// Packs `weights` `[inputs, outputs]`, row-major, into panels; missing columns are 0.
///
/// # Panics
/// If a length does not fit `inputs` and `outputs`.
pub fn pack(weights: &[f32], inputs: usize, outputs: usize, packed: &mut [f32]) {
    assert_eq!(weights.len(), inputs * outputs);
    assert_eq!(packed.len(), packed_len(inputs, outputs));
    let columns = packed_columns(outputs);
    for first in (0..columns).step_by(LANES) {
        let width = (columns - first).min(LANES);
        let block = &mut packed[inputs * first..inputs * (first + width)];
        for (i, slot) in block.iter_mut().enumerate() {
            let (k, column) = (i / width, first + i % width);
            *slot = if column < outputs { weights[k * outputs + column] } else { 0.0 };
        }
    }
}

/// `y[r, c] = f(start[r, c] + sum over k of x[r, k] * W[k, c])`.
///
/// Row r of `x` (`[rows, inputs]`) starts at `r * x_stride`, of `y` (`[rows, outputs]`) at `r * y_stride`; what lies
/// between the rows of `y` is left as it is. `packed` as by [`pack`].
///
/// # Panics
/// If a length does not fit, or a stride is less than a row.
#[allow(clippy::too_many_arguments, reason = "two strided matrices and a packed one")]
pub fn dense(
    x: &[f32],
    x_stride: usize,
    packed: &[f32],
    start: Start<'_>,
    inputs: usize,
    outputs: usize,
    activation: Activation,
    y: &mut [f32],
    y_stride: usize,
    rows: usize,
) {
    if rows == 0 || outputs == 0 {
        return;
    }
    assert!(x_stride >= inputs && x.len() >= (rows - 1) * x_stride + inputs);
    assert!(y_stride >= outputs && y.len() >= (rows - 1) * y_stride + outputs);
    assert_eq!(packed.len(), packed_len(inputs, outputs));
    start.check(rows, outputs);
    let relu = activation == Activation::Relu;
    let mut layer = Layer { x, x_stride, packed, start, inputs, outputs, relu, y, y_stride };
    if outputs == 1 {
        layer.single(rows);
        return;
    }
    let fours = rows - rows % TILE_ROWS;
    // A panel for all rows, then the next: it stays in the first cache.
    layer.strip::<TILE_ROWS, 2>(0..fours, 0);
    let mut row = fours;
    if rows - row >= 2 {
        let done = layer.strip::<2, 4>(row..row + 2, 0);
        layer.strip::<1, 2>(row..row + 2, done);
        row += 2;
    }
    if row < rows {
        let done = layer.strip::<1, 8>(row..rows, 0);
        layer.strip::<1, 2>(row..rows, done);
    }
    if packed_columns(outputs) % LANES != 0 {
        let last = outputs / LANES * LANES;
        layer.strip::<TILE_ROWS, 1>(0..fours, last);
        layer.strip::<1, 1>(fours..rows, last);
    }
}

struct Layer<'a> {
    x: &'a [f32],
    x_stride: usize,
    packed: &'a [f32],
    start: Start<'a>,
    inputs: usize,
    outputs: usize,
    relu: bool,
    y: &'a mut [f32],
    y_stride: usize,
}

impl Layer<'_> {
    /// Tiles of R rows by V vectors from column `first` on, as long as whole panels are left (a V of 1 is the last,
    /// narrow panel): the column where it ends. `rows` is a multiple of R.
    #[inline(never)]
    fn strip<const R: usize, const V: usize>(&mut self, rows: std::ops::Range<usize>, mut first: usize) -> usize {
        let columns = packed_columns(self.outputs);
        let panel = if V == 1 { HALF } else { LANES };
        while first + V * HALF <= columns {
            for row in rows.clone().step_by(R) {
                let mut sums = from_fn(|r| from_fn(|v| self.begin(row + r, first + v * HALF)));
                let x: [&[f32]; R] = from_fn(|r| &self.x[(row + r) * self.x_stride..][..self.inputs]);
                let weights = &self.packed[first * self.inputs..(first + V * HALF) * self.inputs];
                tile::<R, V>(x, weights, panel, self.inputs, &mut sums);
                for (r, sums) in sums.iter().enumerate() {
                    for (v, sum) in sums.iter().enumerate() {
                        self.end(row + r, first + v * HALF, *sum);
                    }
                }
            }
            first += V * HALF;
        }
        first
    }

    #[inline(always)]
    fn begin(&self, row: usize, first: usize) -> F4 {
        let width = self.outputs.saturating_sub(first).min(HALF);
        let first = first.min(self.outputs);
        let part = self.start.part(row, self.outputs, first, width);
        match part.first_chunk() {
            Some(whole) => F4::load(whole),
            None if part.is_empty() => F4::splat(0.0),
            None => F4::load_some(part),
        }
    }

    #[inline(always)]
    fn end(&mut self, row: usize, first: usize, sum: F4) {
        let sum = if self.relu { sum.relu() } else { sum };
        let width = self.outputs.saturating_sub(first).min(HALF);
        let at = row * self.y_stride + first.min(self.outputs);
        let y = &mut self.y[at..at + width];
        match y.first_chunk_mut::<HALF>() {
            Some(whole) => sum.store(whole),
            None => y.copy_from_slice(&sum.lanes()[..width]),
        }
    }

    /// One output: rows in the lanes, several vectors of them at a time, since each sum waits for the last.
    fn single(&mut self, rows: usize) {
        let mut first = 0;
        while first < rows {
            first +=
                if rows - first > 2 * HALF { self.column::<4>(first, rows) } else { self.column::<2>(first, rows) };
        }
    }

    /// The next rows; how many.
    #[inline(never)]
    fn column<const GROUPS: usize>(&mut self, first: usize, rows: usize) -> usize {
        // Rows past the end repeat the last one, and are not stored.
        let row = |g: usize, i: usize| (first + g * HALF + i).min(rows - 1);
        let x: [[&[f32]; HALF]; GROUPS] = from_fn(|g| from_fn(|i| &self.x[row(g, i) * self.x_stride..][..self.inputs]));
        let mut sums: [F4; GROUPS] =
            from_fn(|g| F4::load(&from_fn(|i| self.start.part(row(g, i), 1, 0, 1).first().copied().unwrap_or(0.0))));
        let (fours, rest) = self.packed.as_chunks::<HALF>();
        for (at, w) in fours.iter().enumerate() {
            for (sum, x) in sums.iter_mut().zip(&x) {
                // SAFETY: each row has as many elements as `packed`, of which `at` counts whole fours.
                let rows = x.map(|x| unsafe { F4::load_at(x.as_ptr().add(at * HALF)) });
                for (column, w) in F4::transpose(rows).into_iter().zip(w) {
                    *sum = sum.plus(column.times(F4::splat(*w)));
                }
            }
        }
        for (k, w) in (fours.len() * HALF..).zip(rest) {
            for (sum, x) in sums.iter_mut().zip(&x) {
                *sum = sum.plus(F4::load(&from_fn(|i| x[i][k])).times(F4::splat(*w)));
            }
        }
        for (g, sum) in sums.into_iter().enumerate() {
            let lanes = if self.relu { sum.relu() } else { sum }.lanes();
            for (i, value) in lanes.into_iter().enumerate().take_while(|(i, _)| first + g * HALF + i < rows) {
                self.y[(first + g * HALF + i) * self.y_stride] = value;
            }
        }
        GROUPS * HALF
    }
}

/// Adds the products of R rows and V vectors of columns, `panel` columns a panel.
#[inline(always)]
fn tile<const R: usize, const V: usize>(
    x: [&[f32]; R],
    weights: &[f32],
    panel: usize,
    inputs: usize,
    sums: &mut [[F4; V]; R],
) {
    const UNROLL: usize = 4;
    assert!(weights.len() == V * HALF * inputs && x.iter().all(|x| x.len() == inputs));
    let mut rows = x.map(<[f32]>::as_ptr);
    let mut w = weights.as_ptr();
    // SAFETY: vector v of input k lies at `panel * inputs` for each panel before its own, then `panel * k`, then 4 if
    // it is the second of its panel: within `weights`, whose length is checked above, as is that of the rows.
    // Both loops go over k = 0 .. inputs once.
    unsafe {
        let step = |k: usize, rows: &[*const f32; R], w: *const f32, sums: &mut [[F4; V]; R]| {
            let columns: [F4; V] =
                from_fn(|v| F4::load_at(w.add(v * HALF / panel * panel * inputs + panel * k + v * HALF % panel)));
            for (sums, row) in sums.iter_mut().zip(rows) {
                let value = F4::splat_at(row.add(k));
                for (sum, column) in sums.iter_mut().zip(columns) {
                    *sum = sum.plus(value.times(column));
                }
            }
        };
        for _ in 0..inputs / UNROLL {
            for k in 0..UNROLL {
                step(k, &rows, w, sums);
            }
            rows = rows.map(|row| row.add(UNROLL));
            w = w.add(UNROLL * panel);
        }
        for k in 0..inputs % UNROLL {
            step(k, &rows, w, sums);
        }
    }
}

/// The naive twin of [`dense`], on unpacked weights and rows without gaps: the definition, in its summation order.
pub fn dense_naive(
    x: &[f32],
    weights: &[f32],
    start: Start<'_>,
    inputs: usize,
    outputs: usize,
    activation: Activation,
    y: &mut [f32],
) {
    for (i, slot) in y.iter_mut().enumerate() {
        let (row, column) = (i / outputs, i % outputs);
        let mut sum = match start {
            Start::Zero => 0.0,
            Start::Bias(bias) => bias[column],
            Start::Rows(starts) => starts[i],
        };
        for k in 0..inputs {
            sum += x[row * inputs + k] * weights[k * outputs + column];
        }
        *slot = if activation == Activation::Relu && sum < 0.0 { 0.0 } else { sum };
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{Random, bits};
    use proptest::prelude::*;

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(1000))]
        #[test]
        fn tiled_equals_naive_bit_for_bit(
            rows in prop_oneof![0usize..11, 11usize..40], inputs in 0usize..19,
            outputs in prop_oneof![Just(1usize), 1usize..20, 20usize..70],
            start in 0usize..3, relu: bool, gaps in (0usize..4, 0usize..4), seed: u64,
        ) {
            let mut random = Random::new(seed);
            let (x_stride, y_stride) = (inputs + gaps.0, outputs + gaps.1);
            let x = random.values(rows * inputs);
            let w = random.values(inputs * outputs);
            let starts = random.values(if start == 2 { rows * outputs } else { outputs });
            let start = [Start::Zero, Start::Bias(&starts), Start::Rows(&starts)][start];
            let activation = if relu { Activation::Relu } else { Activation::None };
            let mut packed = vec![0.0; packed_len(inputs, outputs)];
            pack(&w, inputs, outputs, &mut packed);
            // What lies between rows is neither read nor written.
            let mut wide = vec![f32::NAN; rows * x_stride];
            for r in 0..rows {
                wide[r * x_stride..][..inputs].copy_from_slice(&x[r * inputs..][..inputs]);
            }
            let mut y = vec![7.5; rows * y_stride];
            let mut z = vec![0.0; rows * outputs];
            dense(&wide, x_stride, &packed, start, inputs, outputs, activation, &mut y, y_stride, rows);
            dense_naive(&x, &w, start, inputs, outputs, activation, &mut z);
            for r in 0..rows {
                prop_assert_eq!(bits(&y[r * y_stride..][..outputs]), bits(&z[r * outputs..][..outputs]));
                prop_assert!(y[r * y_stride + outputs..(r + 1) * y_stride].iter().all(|&gap| gap == 7.5));
            }
        }
    }

    #[test]
    fn a_row_does_not_see_its_neighbours() {
        for outputs in [1, 3, 13] {
            let inputs = 5;
            let w: Vec<f32> = (0..inputs * outputs).map(|i| i as f32 * 0.37 - 2.0).collect();
            let mut packed = vec![0.0; packed_len(inputs, outputs)];
            pack(&w, inputs, outputs, &mut packed);
            let mut x = vec![0.25; 7 * inputs];
            x[..inputs].fill(f32::NAN);
            let run = |x: &[f32], rows: usize| {
                let mut y = vec![0.0; rows * outputs];
                dense(x, inputs, &packed, Start::Zero, inputs, outputs, Activation::Relu, &mut y, outputs, rows);
                y
            };
            let (y, alone) = (run(&x, 7), run(&x[inputs..2 * inputs], 1));
            for row in 1..7 {
                assert_eq!(bits(&y[row * outputs..(row + 1) * outputs]), bits(&alone));
            }
            assert!(y[..outputs].iter().all(|v| v.is_nan()), "Relu keeps NaN");
        }
    }
}
