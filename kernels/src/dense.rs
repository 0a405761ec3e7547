//! Dense layers: `y = f(x W + start)`, x `[rows, inputs]`, W `[inputs, outputs]`.
//!
//! Weights are packed once into panels of [`LANES`] output columns, the last of 4 where so few are left: a panel
//! holds, for every input k in order, the weights of its outputs. A tile of rows by columns keeps its sums in eight
//! registers: 4 rows by one panel, and for the last rows 2 by two panels or 1 by four.
//!
//! **Summation order**: each output starts at its bias (or 0) and adds `x[k] * w[k]` for k = 0, 1, 2
//! in order; product and sum are rounded separately. It does not depend on the tile, so a row's bits
//! depend on neither the number of rows nor its place.

#![allow(unsafe_code, reason = "the hot loops check their bounds once")]

use crate::lanes::F4;
pub use crate::outputs::{Activation, Start};
use crate::outputs::{Outputs, TILE, fits};
use std::array::from_fn;
use std::ops::Range;

/// Output columns of a panel: two 128-bit vectors.
pub const LANES: usize = 8;
/// Output columns of a last panel for at most that many.
const HALF: usize = LANES / 2;
/// Rows of a tile. 4 x 8 is the largest tile whose sums stay in the 16 vector registers of x86-64
/// (wider ones spill: 30 instead of 55 GFLOP/s in V8, measured for the design).
pub const TILE_ROWS: usize = 4;

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
        // Weights that are computed are packed at every request: whole panels by vectors.
        if let (LANES, true) = (width, first + LANES <= outputs) {
            let rows = weights.get(first..).unwrap_or(&[]).chunks(outputs);
            for (to, from) in block.as_chunks_mut::<LANES>().0.iter_mut().zip(rows) {
                to.copy_from_slice(&from[..LANES]);
            }
            continue;
        }
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
    assert!(fits(x.len(), rows, x_stride, inputs));
    assert_eq!(Some(packed.len()), inputs.checked_mul(packed_columns(outputs)));
    // Without inputs there may be no x to point into.
    let x_stride = if inputs == 0 { 0 } else { x_stride };
    let mut layer =
        Layer { x, x_stride, packed, inputs, outputs: Outputs::new(start, outputs, activation, y, y_stride, rows) };
    if outputs == 1 {
        layer.single(rows);
        return;
    }
    let fours = rows - rows % TILE_ROWS;
    let columns = packed_columns(outputs);
    let panels = columns / LANES * LANES;
    // A panel for all rows, then the next: it stays in the first cache.
    layer.strip::<TILE_ROWS, 2>(0..fours, 0..panels, LANES);
    let mut row = fours;
    if rows - row >= 2 {
        let done = layer.strip::<2, 4>(row..row + 2, 0..panels, LANES);
        layer.strip::<1, 1>(row..row + 2, done..panels, LANES);
        row += 2;
    }
    if row < rows {
        let done = layer.strip::<1, 8>(row..rows, 0..panels, LANES);
        layer.strip::<1, 1>(row..rows, done..panels, LANES);
    }
    layer.strip::<TILE_ROWS, 1>(0..fours, panels..columns, HALF);
    layer.strip::<1, 1>(fours..rows, panels..columns, HALF);
}

struct Layer<'a> {
    x: &'a [f32],
    x_stride: usize,
    packed: &'a [f32],
    inputs: usize,
    outputs: Outputs<'a>,
}

impl Layer<'_> {
    /// Tiles of R rows by V vectors as long as they fit into `columns`, whose panels have `panel` columns: where they
    /// end. `rows` is a multiple of R.
    #[inline(never)]
    fn strip<const R: usize, const V: usize>(
        &mut self,
        rows: Range<usize>,
        columns: Range<usize>,
        panel: usize,
    ) -> usize {
        let Range { start: mut first, end } = columns;
        let width = V * HALF;
        let mut aside = [0.0; TILE];
        while first + width <= end {
            // A single vector may be the second of its panel.
            let inside = first % panel;
            let weights =
                &self.packed[(first - inside) * self.inputs..(first + width).next_multiple_of(panel) * self.inputs];
            // Without inputs there are no weights.
            let weights = weights.get(inside..).unwrap_or_default();
            for row in rows.clone().step_by(R) {
                let x = &self.x[row * self.x_stride..];
                self.outputs.tile::<R, V>(row, first, &mut aside, |sums| {
                    add_products(x, self.x_stride, weights, panel, self.inputs, sums);
                });
            }
            first += width;
        }
        first
    }

    /// One output: rows in the lanes, two vectors of them, since each sum waits for its last product.
    #[inline(never)]
    fn single(&mut self, rows: usize) {
        let (fours, rest) = self.packed.as_chunks::<HALF>();
        for first in (0..rows).step_by(LANES) {
            // Rows past the end repeat the last one, and are not stored.
            let row = |i: usize| (first + i).min(rows - 1);
            let mut sums = [0.0; LANES];
            for (i, sum) in sums.iter_mut().enumerate() {
                *sum = self.outputs.single(row(i));
            }
            let (low, high) = sums.split_at_mut(HALF);
            let mut lanes = [F4::load_some(low), F4::load_some(high)];
            let x: [*const f32; LANES] = from_fn(|i| self.x.as_ptr().wrapping_add(row(i) * self.x_stride));
            for (at, w) in fours.iter().enumerate() {
                for (g, sum) in lanes.iter_mut().enumerate() {
                    // SAFETY: each row has as many elements as `packed`, of which `at` counts whole fours.
                    let rows = from_fn(|i| unsafe { F4::load_at(x[g * HALF + i].add(at * HALF)) });
                    let columns = F4::transpose(rows);
                    for (column, w) in columns.iter().zip(w) {
                        *sum = sum.plus(column.times(F4::splat(*w)));
                    }
                }
            }
            lanes[0].store(low);
            lanes[1].store(high);
            for (i, sum) in sums.iter_mut().enumerate().take(rows - first) {
                let at = row(i) * self.x_stride + fours.len() * HALF;
                for (x, w) in self.x[at..].iter().zip(rest) {
                    *sum += x * w;
                }
                self.outputs.keep_single(row(i), *sum);
            }
        }
    }
}

/// Adds the products of R rows and V vectors of columns.
#[inline(always)]
fn add_products<const R: usize, const V: usize>(
    x: &[f32],
    x_stride: usize,
    weights: &[f32],
    panel: usize,
    inputs: usize,
    sums: &mut [[F4; V]; R],
) {
    // Where vector v of an input lies: after the panels before it, and in its own.
    let place = |v: usize| v * HALF / panel * panel * inputs + v * HALF % panel;
    assert!(x.len() >= (R - 1) * x_stride + inputs);
    assert!(inputs == 0 || weights.len() >= place(V - 1) + (inputs - 1) * panel + HALF);
    // SAFETY: rows of `x` lie within it as checked above, and so do the vectors of the last input, each before the
    // greatest `place`, within `weights`.
    unsafe {
        let rows: [*const f32; R] = from_fn(|r| x.as_ptr().add(r * x_stride));
        // Not unrolled: LLVM then orders four inputs by sum, and V8 spills (29 to 34 instead of 42 GFLOP/s).
        for k in 0..inputs {
            let columns: [F4; V] = from_fn(|v| F4::load_at(weights.as_ptr().add(place(v) + panel * k)));
            for (sums, row) in sums.iter_mut().zip(&rows) {
                let value = F4::splat_at(row.add(k));
                for (sum, column) in sums.iter_mut().zip(columns) {
                    *sum = sum.plus(value.times(column));
                }
            }
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
