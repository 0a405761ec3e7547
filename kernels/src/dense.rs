//! Dense layers: `y = x W + b`, x `[rows, in]`, W `[in, out]`.
//!
//! Weights are packed once into panels of [`LANES`] output columns: panel p holds, for every
//! input k in order, the weights of outputs `p*LANES ..`. A tile of [`TILE_ROWS`] rows by one panel
//! keeps its sums in registers.
//!
//! **Summation order**: each output starts at its bias (or 0) and adds `x[k] * w[k]` for k = 0, 1, 2
//! in order; product and sum are rounded separately. It does not depend on the tile, so a row's bits
//! depend on neither the number of rows nor its place.

use crate::lanes::F4;

/// Output columns of a panel: two 128-bit vectors.
pub const LANES: usize = 8;
/// Rows of a tile. 4 x 8 is the largest tile whose sums stay in the 16 vector registers of x86-64
/// (wider ones spill: 30 instead of 55 GFLOP/s in V8, measured for the design).
pub const TILE_ROWS: usize = 4;

/// Length of the packed form of a `[inputs, outputs]` matrix.
pub const fn packed_len(inputs: usize, outputs: usize) -> usize {
    inputs * outputs.div_ceil(LANES) * LANES
}

/// Packs `weights` `[inputs, outputs]`, row-major, into panels; missing columns are 0.
///
/// # Panics
/// If a length does not fit `inputs` and `outputs`.
pub fn pack(weights: &[f32], inputs: usize, outputs: usize, packed: &mut [f32]) {
    assert_eq!(weights.len(), inputs * outputs);
    assert_eq!(packed.len(), packed_len(inputs, outputs));
    for (panel, block) in packed.chunks_exact_mut((inputs * LANES).max(1)).enumerate() {
        for (k, lane) in block.chunks_exact_mut(LANES).enumerate() {
            for (j, slot) in lane.iter_mut().enumerate() {
                let column = panel * LANES + j;
                *slot = if column < outputs { weights[k * outputs + column] } else { 0.0 };
            }
        }
    }
}

/// `y[r, c] = bias[c] + sum over k of x[r, k] * W[k, c]`.
///
/// `x` is `[rows, inputs]`, `packed` as by [`pack`], `bias` empty or `[outputs]`, `y` `[rows, outputs]`.
///
/// # Panics
/// If a length does not fit.
pub fn dense(x: &[f32], packed: &[f32], bias: &[f32], inputs: usize, outputs: usize, y: &mut [f32]) {
    if outputs == 0 {
        return;
    }
    let rows = y.len() / outputs;
    assert_eq!(x.len(), rows * inputs);
    assert_eq!(packed.len(), packed_len(inputs, outputs));
    let mut row = 0;
    while row + TILE_ROWS <= rows {
        tile::<TILE_ROWS>(
            &x[row * inputs..(row + TILE_ROWS) * inputs],
            packed,
            bias,
            inputs,
            outputs,
            &mut y[row * outputs..(row + TILE_ROWS) * outputs],
        );
        row += TILE_ROWS;
    }
    while row < rows {
        tile::<1>(
            &x[row * inputs..(row + 1) * inputs],
            packed,
            bias,
            inputs,
            outputs,
            &mut y[row * outputs..(row + 1) * outputs],
        );
        row += 1;
    }
}

#[inline]
fn tile<const R: usize>(x: &[f32], packed: &[f32], bias: &[f32], inputs: usize, outputs: usize, y: &mut [f32]) {
    for (panel, first) in (0..outputs).step_by(LANES).enumerate() {
        let width = (outputs - first).min(LANES);
        let mut start = [0.0f32; LANES];
        if !bias.is_empty() {
            start[..width].copy_from_slice(&bias[first..first + width]);
        }
        let (low, high) = halves(&start);
        let mut sums = [[F4::load(low), F4::load(high)]; R];
        let block = &packed[panel * inputs * LANES..(panel + 1) * inputs * LANES];
        // Each row by an iterator of its own: an index would be checked for every product.
        let mut rows: [std::slice::Iter<'_, f32>; R] = std::array::from_fn(|r| x[r * inputs..(r + 1) * inputs].iter());
        for w in block.as_chunks::<LANES>().0 {
            let (low, high) = halves(w);
            let (low, high) = (F4::load(low), F4::load(high));
            for (sum, row) in sums.iter_mut().zip(&mut rows) {
                let Some(&value) = row.next() else { break };
                let value = F4::splat(value);
                sum[0] = sum[0].plus(value.times(low));
                sum[1] = sum[1].plus(value.times(high));
            }
        }
        for (r, sum) in sums.iter().enumerate() {
            let mut lanes = [0.0f32; LANES];
            let (low, high) = lanes.split_at_mut(LANES / 2);
            sum[0].store(low);
            sum[1].store(high);
            y[r * outputs + first..r * outputs + first + width].copy_from_slice(&lanes[..width]);
        }
    }
}

/// The two vectors of a panel's row.
#[inline]
fn halves(lanes: &[f32; LANES]) -> (&[f32; 4], &[f32; 4]) {
    let [a, b] = lanes.as_chunks::<4>().0 else { unreachable!("8 lanes are two vectors") };
    (a, b)
}

/// The naive twin of [`dense`], on unpacked weights: the definition, in its summation order.
pub fn dense_naive(x: &[f32], weights: &[f32], bias: &[f32], inputs: usize, outputs: usize, y: &mut [f32]) {
    for (i, slot) in y.iter_mut().enumerate() {
        let (row, column) = (i / outputs, i % outputs);
        let mut sum = if bias.is_empty() { 0.0 } else { bias[column] };
        for k in 0..inputs {
            sum += x[row * inputs + k] * weights[k * outputs + column];
        }
        *slot = sum;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn bits(values: &[f32]) -> Vec<u32> {
        values.iter().map(|v| if v.is_nan() { 0x7fc0_0000 } else { v.to_bits() }).collect()
    }

    proptest! {
        #[test]
        fn tiled_equals_naive_bit_for_bit(
            rows in 0usize..11, inputs in 0usize..19, outputs in 1usize..20, biased: bool, seed: u32,
        ) {
            let mut state = seed | 1;
            let mut next = || {
                state ^= state << 13;
                state ^= state >> 17;
                state ^= state << 5;
                (state as i32 as f32) / 1e9
            };
            let x: Vec<f32> = (0..rows * inputs).map(|_| next()).collect();
            let w: Vec<f32> = (0..inputs * outputs).map(|_| next()).collect();
            let b: Vec<f32> = (0..if biased { outputs } else { 0 }).map(|_| next()).collect();
            let mut packed = vec![0.0; packed_len(inputs, outputs)];
            pack(&w, inputs, outputs, &mut packed);
            let (mut y, mut z) = (vec![0.0; rows * outputs], vec![0.0; rows * outputs]);
            dense(&x, &packed, &b, inputs, outputs, &mut y);
            dense_naive(&x, &w, &b, inputs, outputs, &mut z);
            prop_assert_eq!(bits(&y), bits(&z));
        }
    }

    #[test]
    fn a_row_does_not_see_its_neighbours() {
        let (inputs, outputs) = (5, 3);
        let w: Vec<f32> = (0..15).map(|i| i as f32 * 0.37 - 2.0).collect();
        let mut packed = vec![0.0; packed_len(inputs, outputs)];
        pack(&w, inputs, outputs, &mut packed);
        let mut x = vec![0.25; 7 * inputs];
        x[..inputs].fill(f32::NAN);
        let mut y = vec![0.0; 7 * outputs];
        dense(&x, &packed, &[], inputs, outputs, &mut y);
        let mut alone = vec![0.0; outputs];
        dense(&x[inputs..2 * inputs], &packed, &[], inputs, outputs, &mut alone);
        for row in 1..7 {
            assert_eq!(bits(&y[row * outputs..(row + 1) * outputs]), bits(&alone));
        }
        assert!(y[0].is_nan());
    }
}
