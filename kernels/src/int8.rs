//! Dense layers on integers: weights of 8 bits with a scale for each output, activations of 16 bits with a scale for
//! each row, `y = f(x W + start)` with x `[rows, inputs]`, W `[inputs, outputs]`.
//!
//! A row is quantised symmetrically, its scale max |x| / 32,767, to the nearest integer, of two the even one. Products
//! and their sums are exact, so the order of adding gives no other bits: `i32x4.dot_i16x8_s` takes two inputs at once.
//!
//! **Order of rounding**: the sum over a block of [`DEPTH`] inputs is an i32, rounded to f32; blocks are added in
//! order, in f32; times (row scale * output scale); plus the start. A row's bits depend on neither the number of rows
//! nor its place.

#![allow(unsafe_code, reason = "the hot loop checks its bounds once")]

use crate::dense::{Activation, Start};
use crate::lanes::{F4, H8, I4, WIDTH};
use crate::outputs::{Outputs, fits};

/// Inputs whose products an i32 holds: 512 * 128 * 32,767 < 2^31.
pub const DEPTH: usize = 512;
/// Output columns of a panel.
const LANES: usize = 2 * WIDTH;
/// Rows of a tile, as many as leave its sums in registers.
const TILE_ROWS: usize = 4;
/// Rows that are quantised before the weights are gone through.
const BLOCK: usize = 64;
/// Elements of these rows, but for a row that is longer: a quarter of a MB.
const SCRATCH: usize = 1 << 17;
/// The greatest quantised activation.
const LIMIT: f32 = 32_767.0;
/// Adding and subtracting it rounds to the nearest integer, of two the even one; the sum's last bits are that integer.
const ROUND: f32 = 12_582_912.0;
/// A row of nothing greater counts as zeros: its reciprocal would overflow.
const TINY: f32 = f32::from_bits((127 - 100) << 23);

/// Length of the packed form of a `[inputs, outputs]` matrix.
pub const fn packed8_len(inputs: usize, outputs: usize) -> usize {
    padded(inputs) * outputs.next_multiple_of(LANES)
}

/// Elements of scratch for [`dense8`] to take as many rows at a time, or some of them: fewer where rows are long. It makes do with
/// one row's.
pub const fn scratch8_len(inputs: usize, rows: usize) -> usize {
    let depth = padded(inputs);
    let block = if depth > SCRATCH {
        1
    } else if depth * BLOCK > SCRATCH {
        SCRATCH / depth
    } else {
        BLOCK
    };
    depth * if rows < block { rows } else { block }
}

/// Inputs filled up to whole vectors of i16.
const fn padded(inputs: usize) -> usize {
    inputs.next_multiple_of(2 * WIDTH)
}

/// Weights `[inputs, outputs]`, row-major, as integers within -127..=127 times a scale for each output: max |w| / 127,
/// of two nearest the even one.
///
/// # Panics
/// If a length does not fit.
pub fn quantise8(weights: &[f32], inputs: usize, outputs: usize, quantised: &mut [i8], scales: &mut [f32]) {
    assert!(weights.len() == inputs * outputs && quantised.len() == weights.len() && scales.len() == outputs);
    for (column, scale) in scales.iter_mut().enumerate() {
        let of = |k: usize| weights[k * outputs + column];
        let greatest = (0..inputs).map(|k| of(k).abs()).fold(0.0, |max, w| if max < w { w } else { max });
        let inverse = if greatest < TINY { 0.0 } else { 127.0 / greatest };
        *scale = if greatest < TINY { 0.0 } else { greatest / 127.0 };
        for k in 0..inputs {
            quantised[k * outputs + column] = (of(k) * inverse + ROUND - ROUND) as i8;
        }
    }
}

/// Packs integers `[inputs, outputs]`, row-major, into panels of 8 outputs: for every two inputs in order, the pairs of
/// the panel's outputs; what is missing is 0. They are widened to 16 bits here, once: in the loop that takes a twentieth
/// of the time.
///
/// # Panics
/// If a length does not fit.
pub fn pack8(weights: &[i8], inputs: usize, outputs: usize, packed: &mut [i16]) {
    assert_eq!(weights.len(), inputs * outputs);
    assert_eq!(packed.len(), packed8_len(inputs, outputs));
    for (i, slot) in packed.iter_mut().enumerate() {
        let (panel, rest) = (i / (padded(inputs) * LANES), i % (padded(inputs) * LANES));
        let (pair, rest) = (rest / (2 * LANES), rest % (2 * LANES));
        let (k, column) = (2 * pair + rest % 2, panel * LANES + rest / 2);
        *slot = if k < inputs && column < outputs { i16::from(weights[k * outputs + column]) } else { 0 };
    }
}

/// As [`dense`](crate::dense::dense), on integers.
///
/// `packed` as by [`pack8`], `scales` `[outputs]`, `scratch` of [`scratch8_len`] elements for some rows. A row with NaN or an
/// infinity gives NaN throughout.
///
/// # Panics
/// If a length does not fit, or a stride is less than a row.
#[allow(clippy::too_many_arguments, reason = "as `dense`, with scales and scratch")]
pub fn dense8(
    x: &[f32],
    x_stride: usize,
    packed: &[i16],
    scales: &[f32],
    start: Start<'_>,
    inputs: usize,
    outputs: usize,
    activation: Activation,
    y: &mut [f32],
    y_stride: usize,
    rows: usize,
    scratch: &mut [i16],
) {
    if rows == 0 || outputs == 0 {
        return;
    }
    assert!(fits(x.len(), rows, x_stride, inputs));
    assert_eq!(Some(packed.len()), padded(inputs).checked_mul(outputs.next_multiple_of(LANES)));
    assert!(scales.len() == outputs && scratch.len() >= padded(inputs));
    let outputs = Outputs::new(start, outputs, activation, y, y_stride, rows);
    let mut layer = Layer { packed, scales, depth: padded(inputs), outputs };
    let block = scratch.len().checked_div(layer.depth).map_or(BLOCK, |block| block.min(BLOCK));
    // Whole tiles, if there are any: the weights are gone through for each kind of tile.
    let block = if block < TILE_ROWS { block } else { block / TILE_ROWS * TILE_ROWS };
    for first in (0..rows).step_by(block) {
        let n = (rows - first).min(block);
        let mut row_scales = [0.0; BLOCK];
        for (r, scale) in row_scales.iter_mut().enumerate().take(n) {
            let from = (first + r) * x_stride;
            let to = &mut scratch[r * layer.depth..(r + 1) * layer.depth];
            *scale = quantise_row(&x[from..from + inputs], to);
        }
        let fours = n - n % TILE_ROWS;
        layer.strip::<TILE_ROWS>(scratch, &row_scales, first, 0, fours);
        let twos = n - n % 2;
        layer.strip::<2>(scratch, &row_scales, first, fours, twos);
        layer.strip::<1>(scratch, &row_scales, first, twos, n);
    }
}

/// The row as integers, filled up with 0, and its scale.
#[inline(never)]
fn quantise_row(x: &[f32], to: &mut [i16]) -> f32 {
    // Without their signs the bits of floats are in the order of their values, infinity and then NaN the greatest.
    let (magnitude, mut greatest) = (I4::splat(i32::MAX), I4::splat(0));
    let (whole, rest) = x.as_chunks::<WIDTH>();
    let mut see = |lanes: F4| greatest = greatest.greater(lanes.bits().and(magnitude));
    for lanes in whole {
        see(F4::load(lanes));
    }
    see(F4::load_some(rest));
    let mut lanes = [0; WIDTH];
    greatest.store(&mut lanes);
    let greatest = f32::from_bits(lanes.into_iter().fold(0, |max, x| if max < x { x } else { max }));
    if !greatest.is_finite() || greatest < TINY {
        to.fill(0);
        return if greatest.is_finite() { 0.0 } else { f32::NAN };
    }
    let inverse = F4::splat(LIMIT / greatest);
    let integer = |lanes: F4| {
        let rounded = lanes.times(inverse).plus(F4::splat(ROUND));
        rounded.bits().minus(I4::splat(ROUND.to_bits() as i32))
    };
    let (eights, last) = x.as_chunks::<{ 2 * WIDTH }>();
    let mut to = to.as_chunks_mut::<{ 2 * WIDTH }>().0.iter_mut();
    for (eight, to) in eights.iter().zip(&mut to) {
        let (low, high) = eight.split_at(WIDTH);
        H8::narrow(integer(F4::load_some(low)), integer(F4::load_some(high))).store(to);
    }
    if let Some(to) = to.next() {
        let (low, high) = last.split_at(last.len().min(WIDTH));
        H8::narrow(integer(F4::load_some(low)), integer(F4::load_some(high))).store(to);
    }
    greatest / LIMIT
}

struct Layer<'a> {
    packed: &'a [i16],
    scales: &'a [f32],
    /// Inputs, filled up.
    depth: usize,
    outputs: Outputs<'a>,
}

impl Layer<'_> {
    /// Rows `from..to` of the block at row `first`, R at a time, by every panel.
    #[inline(never)]
    fn strip<const R: usize>(&mut self, x: &[i16], row_scales: &[f32; BLOCK], first: usize, from: usize, to: usize) {
        assert!(from <= to && to <= BLOCK && x.len() >= to * self.depth && self.depth.is_multiple_of(2 * WIDTH));
        for column in (0..self.scales.len()).step_by(LANES) {
            let width = (self.scales.len() - column).min(LANES);
            let panel = &self.packed[column * self.depth..(column + LANES) * self.depth];
            let mut scales = [0.0; LANES];
            scales[..width].copy_from_slice(&self.scales[column..column + width]);
            let (low, high) = scales.split_at(WIDTH);
            let scales = [F4::load_some(low), F4::load_some(high)];
            let (depth, w) = (self.depth, panel.as_ptr());
            self.outputs.tiles::<R, 2, true>(first + from..first + to, column, |row, sums| {
                let row = row - first;
                // SAFETY: `tiles` gives whole tiles of the rows asked for, of which `x` holds the inputs and `row_scales` the scales,
                // and `panel` 8 weights for each input, as checked above.
                unsafe { products(x.as_ptr().add(row * depth), w, depth, row_scales.as_ptr().add(row), scales, sums) };
            });
        }
    }
}

/// The products of R rows and the 8 outputs of a panel, summed.
///
/// # Safety
/// `depth` is even; R rows of as many inputs lie after `x`, 8 weights for each input after `w`, and R scales after `row_scales`.
#[inline(always)]
unsafe fn products<const R: usize>(
    x: *const i16,
    w: *const i16,
    depth: usize,
    row_scales: *const f32,
    scales: [F4; 2],
    sums: &mut [[F4; 2]; R],
) {
    let mut totals = [[F4::splat(0.0); 2]; R];
    for first in (0..depth).step_by(DEPTH) {
        let mut exact = [[I4::splat(0); 2]; R];
        for k in (first..depth.min(first + DEPTH)).step_by(2) {
            // SAFETY: k and k + 1 are inputs, since `depth` and `DEPTH` are even; the rest is the caller's promise.
            unsafe {
                let low = H8::load_at(w.add(k * LANES));
                let high = H8::load_at(w.add(k * LANES + LANES));
                for (r, exact) in exact.iter_mut().enumerate() {
                    let value = H8::splat_pair_at(x.add(r * depth + k));
                    exact[0] = exact[0].plus(value.dot(low));
                    exact[1] = exact[1].plus(value.dot(high));
                }
            }
        }
        for (totals, exact) in totals.iter_mut().zip(&exact) {
            for (total, exact) in totals.iter_mut().zip(exact) {
                *total = total.plus(exact.to_f4());
            }
        }
    }
    for (r, (sums, totals)) in sums.iter_mut().zip(&totals).enumerate() {
        // SAFETY: the caller's promise.
        let row_scale = F4::splat(unsafe { *row_scales.add(r) });
        for ((sum, total), scale) in sums.iter_mut().zip(totals).zip(scales) {
            *sum = total.times(row_scale.times(scale));
        }
    }
}

/// The naive twin of [`dense8`], on integers that are not packed and rows without gaps: the definition.
#[allow(clippy::too_many_arguments, reason = "as its twin")]
pub fn dense8_naive(
    x: &[f32],
    weights: &[i8],
    scales: &[f32],
    start: Start<'_>,
    inputs: usize,
    outputs: usize,
    activation: Activation,
    y: &mut [f32],
) {
    for (i, slot) in y.iter_mut().enumerate() {
        let (row, column) = (i / outputs, i % outputs);
        let x = &x[row * inputs..(row + 1) * inputs];
        let greatest = x.iter().fold(0.0, |max: f32, x| if max < x.abs() { x.abs() } else { max });
        let finite = x.iter().all(|x| x.is_finite());
        let (inverse, scale) = match greatest {
            _ if !finite => (0.0, f32::NAN),
            g if g < TINY => (0.0, 0.0),
            g => (LIMIT / g, g / LIMIT),
        };
        let mut total = 0.0;
        for block in 0..inputs.div_ceil(DEPTH) {
            let inside = block * DEPTH..inputs.min((block + 1) * DEPTH);
            // An i64 cannot overflow here; that an i32 does not is what is to be shown.
            let sum: i64 = inside
                .map(|k| libm::rint(f64::from(x[k] * inverse)) as i64 * i64::from(weights[k * outputs + column]))
                .sum();
            total += sum as f32;
        }
        let begin = start.at(row, column, outputs);
        let value = begin + total * (scale * scales[column]);
        *slot = activation.of(value);
    }
}

#[cfg(test)]
mod tests;
