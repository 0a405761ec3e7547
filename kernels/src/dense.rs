//! Dense layers: `y = f(x W + start)`, x `[rows, inputs]`, W `[inputs, outputs]`.
//!
//! Weights are packed once into panels of 16 output columns, then one of 8 and one of 4 where so few are left: a panel
//! holds, for every input k in order, the weights of its outputs. A tile of rows by columns keeps its sums in eight
//! registers: 2 rows by a panel of 16 (natively 4 by half of it), 4 by one of 8 or 4, and 1 by two panels where a row is
//! left.
//!
//! Where enough of x is 0, after a Relu or of a one-hot column, a row at a time adds the products of what is not: the same
//! bits in fewer steps, since a sum that began at no -0 is never -0, and any other is itself with 0 added.
//!
//! **Summation order**: each output starts at its bias (or 0) and adds `x[k] * w[k]` for k = 0, 1, 2
//! in order; product and sum are rounded separately. It does not depend on the tile, so a row's bits
//! depend on neither the number of rows nor its place.

#![allow(unsafe_code, reason = "the hot loops check their bounds once")]

use crate::lanes::{F4, WIDTH};
pub use crate::outputs::{Activation, Start};
use crate::outputs::{Outputs, fits};
use std::array::from_fn;
use std::mem::MaybeUninit;
use std::ops::Range;
use std::slice::from_raw_parts;

/// Output columns of a panel: four 128-bit vectors.
const LANES: usize = 4 * WIDTH;
/// Output columns of the last panels but one, and of the last.
const HALF: usize = LANES / 2;
const QUARTER: usize = LANES / 4;

/// Words of 32 marks that are kept at once, for the rows that take turns at a panel.
const MARKS: usize = 256;

/// Length of the packed form of a `[inputs, outputs]` matrix.
pub const fn packed_len(inputs: usize, outputs: usize) -> usize {
    inputs * packed_columns(outputs)
}

/// Columns of the packed form.
pub(crate) const fn packed_columns(outputs: usize) -> usize {
    if outputs == 1 { 1 } else { outputs.next_multiple_of(WIDTH) }
}

/// Columns of the panel that begins where so many are left.
const fn panel(left: usize) -> usize {
    match left {
        LANES.. => LANES,
        HALF.. => HALF,
        _ => left,
    }
}

/// Packs `weights` `[inputs, outputs]`, row-major, into panels; missing columns are 0.
///
/// # Panics
/// If a length does not fit `inputs` and `outputs`.
pub fn pack(weights: &[f32], inputs: usize, outputs: usize, packed: &mut [f32]) {
    assert_eq!(weights.len(), inputs * outputs);
    assert_eq!(packed.len(), packed_len(inputs, outputs));
    if outputs == 1 {
        return packed.copy_from_slice(weights);
    }
    let columns = packed_columns(outputs);
    let mut first = 0;
    while first < columns && inputs > 0 {
        let width = panel(columns - first);
        // Weights that are computed are packed at every request: four columns at a time.
        for column in (first..first + width).step_by(WIDTH) {
            let to = &mut packed[inputs * first + (column - first)..inputs * (first + width)];
            let there = WIDTH.min(outputs - column);
            for (to, from) in to.chunks_mut(width).zip(weights[column..].chunks(outputs)) {
                F4::load_some(&from[..there]).store(to);
            }
        }
        first += width;
    }
}

/// Packs the weights of `groups` layers beside each other, each the same but for a scale of its inputs: column
/// `g * part + o` of input k is `scale[g, k] * w[k, o] + v[k, o]`, with `part` the columns of w and v.
///
/// Product and sum are rounded separately, as if the matrix were computed first and [`pack`]ed then.
///
/// # Panics
/// If a length does not fit, or `groups` does not divide `outputs`.
pub fn pack_scaled(
    scale: &[f32],
    w: &[f32],
    v: &[f32],
    groups: usize,
    inputs: usize,
    outputs: usize,
    packed: &mut [f32],
) {
    let part = outputs / groups;
    assert!(part * groups == outputs && scale.len() == groups * inputs);
    assert!(w.len() == inputs * part && v.len() == w.len());
    assert_eq!(packed.len(), packed_len(inputs, outputs));
    if inputs == 0 {
        return;
    }
    let all = packed_columns(outputs);
    // Fours of columns, where each lies in one group and so in one panel; else one by one.
    let step = if part.is_multiple_of(WIDTH) { WIDTH } else { 1 };
    if step == 1 {
        packed.fill(0.0);
    }
    for column in (0..outputs).step_by(step) {
        let (group, o) = (column / part, column % part);
        let wide = column / LANES * LANES;
        let first = if all - wide >= LANES { wide } else { column / HALF * HALF };
        let width = panel(all - first);
        let to = &mut packed[inputs * first + (column - first)..];
        let scales = &scale[group * inputs..][..inputs];
        let (w, v) = (&w[o..], &v[o..]);
        let last = inputs - 1;
        if step == WIDTH {
            assert!(to.len() >= last * width + WIDTH && w.len().min(v.len()) >= last * part + WIDTH);
            for (k, scale) in scales.iter().enumerate() {
                // SAFETY: the vectors of the last input lie within their slices, as was checked.
                unsafe {
                    let [w, v] = [w, v].map(|x| F4::load_at(x.as_ptr().add(k * part)));
                    F4::splat(*scale).times(w).plus(v).store_at(to.as_mut_ptr().add(k * width));
                }
            }
        } else {
            for (k, scale) in scales.iter().enumerate() {
                to[k * width] = scale * w[k * part] + v[k * part];
            }
        }
    }
}

/// `y[r, c] = f(start[r, c] + sum over k of x[r, k] * W[k, c])`.
///
/// Row r of `x` (`[rows, inputs]`) starts at `r * x_stride`, of `y` (`[rows, outputs]`) at `r * y_stride`; what lies
/// between the rows of `y` is left as it is. `packed` as by [`pack`]. With `skip`, for which every weight is finite and no
/// start is -0, products with 0 may be left out.
///
/// # Panics
/// If a length does not fit, a stride is less than a row, or outputs that are one a row have gaps.
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
    skip: bool,
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
        assert_eq!(y_stride, 1);
        layer.single(rows);
        return;
    }
    let columns = packed_columns(outputs);
    let (wide, most) = (columns / LANES * LANES, columns / HALF * HALF);
    // A panel for all rows, then the next: it stays in the first cache.
    let mut row = if skip && wide > 0 { layer.skips(rows, wide) } else { 0 };
    let last = row + (rows - row) / 2 * 2;
    if cfg!(not(target_arch = "wasm32")) {
        // Of plain arrays LLVM makes vectors by itself, and of sixteen columns it makes halves of them: 17 instead of 36
        // GFLOP/s with SSE2 (2026-11-24).
        let first = row;
        row += (rows - row) / 4 * 4;
        layer.strip::<4, 2>(first..row, 0..wide, LANES);
    }
    layer.strip::<2, 4>(row..last, 0..wide, LANES);
    let done = layer.strip::<1, 8>(last..rows, 0..wide, LANES);
    layer.strip::<1, 1>(last..rows, done..wide, LANES);
    let fours = rows / 4 * 4;
    layer.strip::<4, 2>(0..fours, wide..most, HALF);
    layer.strip::<1, 1>(fours..rows, wide..most, HALF);
    layer.strip::<4, 1>(0..fours, most..columns, QUARTER);
    layer.strip::<1, 1>(fours..rows, most..columns, QUARTER);
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
    /// end. `rows` is a multiple of R, and within those of `x`.
    #[inline(never)]
    fn strip<const R: usize, const V: usize>(
        &mut self,
        rows: Range<usize>,
        columns: Range<usize>,
        panel: usize,
    ) -> usize {
        let Range { start: mut first, end } = columns;
        let width = V * WIDTH;
        if rows.is_empty() {
            return first;
        }
        while first + width <= end {
            // A single vector may be any of its panel.
            let inside = first % panel;
            let weights =
                &self.packed[(first - inside) * self.inputs..(first + width).next_multiple_of(panel) * self.inputs];
            // Without inputs there are no weights.
            let weights = weights.get(inside..).unwrap_or_default();
            let (x, x_stride, inputs) = (self.x.as_ptr(), self.x_stride, self.inputs);
            assert!(inputs == 0 || weights.len() >= place(V - 1, panel, inputs) + (inputs - 1) * panel + WIDTH);
            self.outputs.tiles::<R, V, false>(rows.clone(), first, |row, sums| {
                // SAFETY: `dense` has checked that all rows lie within `x`, and `tiles` that these are among them; the
                // vectors of the last input, each before the greatest place, lie within `weights` as checked.
                unsafe { add_products(x.add(row * x_stride), x_stride, weights.as_ptr(), panel, inputs, sums) };
            });
            first += width;
        }
        first
    }

    /// Adds the products of inputs that are not 0 to the panels of 16 of the first rows, as long as those are few; of how many.
    #[inline(never)]
    fn skips(&mut self, rows: usize, wide: usize) -> usize {
        let (x, x_stride, inputs) = (self.x.as_ptr(), self.x_stride, self.inputs);
        // Sixteenths. A row at a time waits for its own sums, 1.6 times as long for each product, and of few columns to mark
        // them is a tenth of the work (V8, 2026-12-01).
        let most = if wide < 4 * LANES { 6 } else { 9 };
        let words = inputs.div_ceil(32);
        let group = MARKS.checked_div(words).unwrap_or(0);
        // Not filled: most layers show in their first row that they have no zeros.
        let mut masks = [MaybeUninit::<u32>::uninit(); MARKS];
        if group == 0 {
            return 0;
        }
        for from in (0..rows).step_by(group) {
            let to = rows.min(from + group);
            let mut count = 0;
            for (row, masks) in (from..to).zip(masks.chunks_exact_mut(words)) {
                // SAFETY: `dense` has checked that all rows lie within `x`.
                let x = unsafe { from_raw_parts(x.add(row * x_stride), inputs) };
                for (x, mask) in x.chunks(32).zip(masks) {
                    count += mask.write(nonzero(x)).count_ones() as usize;
                }
                // The first row may have 3 more, by chance.
                if 16 * count > (most * (row + 1 - from) + 3) * inputs {
                    return from;
                }
            }
            for first in (0..wide).step_by(LANES) {
                let weights = self.packed[first * inputs..(first + LANES) * inputs].as_ptr();
                self.outputs.tiles::<1, 4, false>(from..to, first, |row, [sums]| {
                    // SAFETY: `dense` has checked that all rows lie within `x`, and `tiles` that this is among them; its marks
                    // were written above, and each is of one of its inputs, whose weights lie within the panel.
                    unsafe {
                        let masks = from_raw_parts(masks.as_ptr().cast::<u32>().add((row - from) * words), words);
                        add_marked(x.add(row * x_stride), masks, weights, sums);
                    }
                });
            }
        }
        rows
    }

    /// One output: four rows in the lanes. The next four begin before these are summed, so more at a time gain a tenth.
    #[inline(never)]
    fn single(&mut self, rows: usize) {
        let (fours, rest) = self.packed.as_chunks::<WIDTH>();
        for first in (0..rows).step_by(WIDTH) {
            // Rows past the end repeat the last one, and are not stored.
            let x: [*const f32; WIDTH] =
                from_fn(|i| self.x.as_ptr().wrapping_add((first + i).min(rows - 1) * self.x_stride));
            let mut sum = self.outputs.begin_single(first);
            for (at, w) in fours.iter().enumerate() {
                // SAFETY: each row has as many elements as `packed`, of which `at` counts whole fours.
                let rows = x.map(|x| unsafe { F4::load_at(x.add(at * WIDTH)) });
                for (column, w) in F4::transpose(rows).iter().zip(w) {
                    sum = sum.plus(column.times(F4::splat(*w)));
                }
            }
            for (k, w) in rest.iter().enumerate() {
                // SAFETY: as before.
                let column = F4::of(x.map(|x| unsafe { *x.add(fours.len() * WIDTH + k) }));
                sum = sum.plus(column.times(F4::splat(*w)));
            }
            self.outputs.end_single(first, sum);
        }
    }
}

/// A bit for each of at most 32 elements that is not 0, the first the lowest.
#[inline(never)]
fn nonzero(x: &[f32]) -> u32 {
    let (fours, rest) = x.as_chunks::<WIDTH>();
    let last = F4::load_some(rest).equals(F4::splat(0.0)).mask();
    fours.iter().rev().fold(!last & 15, |marks, four| marks << 4 | !F4::load(four).equals(F4::splat(0.0)).mask() & 15)
}

/// Adds the products of the inputs that are marked.
///
/// # Safety
/// The marked inputs are readable from `x` on, and for each a panel's weights from `weights` on.
#[inline(always)]
unsafe fn add_marked(x: *const f32, masks: &[u32], weights: *const f32, sums: &mut [F4; LANES / WIDTH]) {
    for (at, &mask) in masks.iter().enumerate() {
        let mut left = mask;
        while left != 0 {
            let k = 32 * at + left.trailing_zeros() as usize;
            left &= left - 1;
            // SAFETY: the caller's promise.
            unsafe {
                let value = F4::splat_at(x.add(k));
                for (v, sum) in sums.iter_mut().enumerate() {
                    *sum = sum.plus(value.times(F4::load_at(weights.add(k * LANES + v * WIDTH))));
                }
            }
        }
    }
}

/// Where vector v of an input lies: after the panels before it, and in its own.
#[inline(always)]
const fn place(v: usize, panel: usize, inputs: usize) -> usize {
    v * WIDTH / panel * panel * inputs + v * WIDTH % panel
}

/// Adds the products of R rows and V vectors of columns.
///
/// # Safety
/// R rows of `inputs`, `x_stride` apart, are readable from `x` on, and the vectors of each input from `weights` on.
#[inline(always)]
unsafe fn add_products<const R: usize, const V: usize>(
    x: *const f32,
    x_stride: usize,
    weights: *const f32,
    panel: usize,
    inputs: usize,
    sums: &mut [[F4; V]; R],
) {
    // SAFETY: the caller's promise.
    unsafe {
        let rows: [*const f32; R] = from_fn(|r| x.add(r * x_stride));
        // Not unrolled: LLVM then orders four inputs by sum, and V8 spills (29 to 34 instead of 42 GFLOP/s).
        for k in 0..inputs {
            let columns: [F4; V] = from_fn(|v| F4::load_at(weights.add(place(v, panel, inputs) + panel * k)));
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
        let mut sum = start.at(row, column, outputs);
        for k in 0..inputs {
            sum += x[row * inputs + k] * weights[k * outputs + column];
        }
        *slot = activation.of(sum);
    }
}

#[cfg(test)]
mod tests;
