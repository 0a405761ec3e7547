//! Products of two strided matrices that both change from call to call: attention's scores and mixtures, batched
//! MatMul.
//!
//! **Summation order**: each output starts at 0 and adds `a[i, k] * b[k, j]` for k = 0, 1, 2 in order; product and sum
//! are rounded separately. It does not depend on the tile.

#![allow(unsafe_code, reason = "the hot loops check their bounds once")]

use crate::lanes::{F4, WIDTH};
use crate::outputs::fits;
use std::array::from_fn;
use std::ops::Range;

/// `out[i, j] = sum over k of a[i, k] * b[k, j]` for i < m, k < `depth`, j < n.
///
/// a[i, k] is at `i * a_row + k * a_depth`, b[k, j] at `k * b_depth + j * b_column`, `i * b_row` further for row i (a
/// matrix for each, or with 0 one for all), out[i, j] at `i * out_row + j`.
/// Made for a `b_column` of 1 (mixtures), or of any size with `a_depth` and `b_depth` of 1 (scores: rows of a against
/// rows of b); others are right, and slower.
///
/// # Panics
/// If an element lies outside its slice, or `out_row` is less than a row.
#[allow(clippy::too_many_arguments, reason = "three strided matrices")]
pub fn matmul(
    a: &[f32],
    a_row: usize,
    a_depth: usize,
    b: &[f32],
    b_row: usize,
    b_depth: usize,
    b_column: usize,
    m: usize,
    depth: usize,
    n: usize,
    out: &mut [f32],
    out_row: usize,
) {
    if m == 0 || n == 0 {
        return;
    }
    assert!(fits(out.len(), m, out_row, n));
    let holds = |len: usize, axes: [(usize, usize); 3]| {
        let last =
            axes.into_iter().try_fold(0usize, |last, (size, stride)| last.checked_add((size - 1).checked_mul(stride)?));
        last.is_some_and(|last| last < len)
    };
    assert!(
        depth == 0
            || holds(a.len(), [(m, a_row), (depth, a_depth), (1, 0)])
                && holds(b.len(), [(m, b_row), (depth, b_depth), (n, b_column)])
    );
    let product = Product { a, a_row, a_depth, b, b_row, b_depth, b_column, depth };
    // Four rows use a column of b, or four of them turned into lanes, four times; a row alone takes two vectors of columns,
    // since each sum waits for its last product.
    let fours = if b_row == 0 { m - m % WIDTH } else { 0 };
    let near = |width: usize| if b_column == 1 { n - n % width } else { 0 };
    product.near::<WIDTH, 1>(0..fours, near(WIDTH), out, out_row);
    product.gathered::<WIDTH>(0..fours, near(WIDTH)..n, out, out_row);
    product.near::<1, 2>(fours..m, near(2 * WIDTH), out, out_row);
    product.gathered::<1>(fours..m, near(2 * WIDTH)..n, out, out_row);
}

struct Product<'a> {
    a: &'a [f32],
    a_row: usize,
    a_depth: usize,
    b: &'a [f32],
    b_row: usize,
    b_depth: usize,
    b_column: usize,
    depth: usize,
}

impl Product<'_> {
    /// R rows at a time, by V vectors of the columns up to `end`, which lie beside each other.
    #[inline(never)]
    fn near<const R: usize, const V: usize>(&self, rows: Range<usize>, end: usize, out: &mut [f32], out_row: usize) {
        for row in rows.step_by(R) {
            for column in (0..end).step_by(V * WIDTH) {
                let mut sums = [[F4::splat(0.0); V]; R];
                // SAFETY: `matmul` has checked the last element of a and of b that its shape reaches; rows up to
                // `row + R` (one, where each has a matrix of its own) and columns up to `column + V * WIDTH` are within
                // the shape.
                unsafe {
                    let a: [*const f32; R] = from_fn(|r| self.a.as_ptr().add((row + r) * self.a_row));
                    let b = self.b.as_ptr().add(row * self.b_row + column);
                    for k in 0..self.depth {
                        let lanes: [F4; V] = from_fn(|v| F4::load_at(b.add(k * self.b_depth + v * WIDTH)));
                        for (sums, a) in sums.iter_mut().zip(&a) {
                            let value = F4::splat_at(a.add(k * self.a_depth));
                            for (sum, lanes) in sums.iter_mut().zip(lanes) {
                                *sum = sum.plus(value.times(lanes));
                            }
                        }
                    }
                }
                for (r, sums) in sums.iter().enumerate() {
                    let to = &mut out[(row + r) * out_row + column..][..V * WIDTH];
                    for (sum, to) in sums.iter().zip(to.chunks_exact_mut(WIDTH)) {
                        sum.store(to);
                    }
                }
            }
        }
    }

    /// R rows at a time, by four of the columns, wherever they lie.
    #[inline(never)]
    fn gathered<const R: usize>(&self, rows: Range<usize>, columns: Range<usize>, out: &mut [f32], out_row: usize) {
        let n = columns.end;
        for row in rows.step_by(R) {
            for column in columns.clone().step_by(WIDTH) {
                let width = (n - column).min(WIDTH);
                let mut sums = [F4::splat(0.0); R];
                // SAFETY: as above; each of the columns is within the shape. Four elements along the depth are read only
                // where that many are left, and they lie beside each other only if `b_depth` is 1.
                unsafe {
                    let a: [*const f32; R] = from_fn(|r| self.a.as_ptr().add((row + r) * self.a_row));
                    // Columns past the end repeat the last one, and are not stored.
                    let b: [*const f32; WIDTH] =
                        from_fn(|j| self.b.as_ptr().add(row * self.b_row + (column + j).min(n - 1) * self.b_column));
                    let fours = if self.b_depth == 1 { self.depth / WIDTH * WIDTH } else { 0 };
                    for k in (0..fours).step_by(WIDTH) {
                        let turned = F4::transpose(from_fn(|j| F4::load_at(b[j].add(k))));
                        for (step, lanes) in turned.iter().enumerate() {
                            for (sum, a) in sums.iter_mut().zip(&a) {
                                *sum = sum.plus(F4::splat_at(a.add((k + step) * self.a_depth)).times(*lanes));
                            }
                        }
                    }
                    for k in fours..self.depth {
                        let lanes = F4::of(from_fn(|j| *b[j].add(k * self.b_depth)));
                        for (sum, a) in sums.iter_mut().zip(&a) {
                            *sum = sum.plus(F4::splat_at(a.add(k * self.a_depth)).times(lanes));
                        }
                    }
                }
                for (r, sum) in sums.iter().enumerate() {
                    let at = (row + r) * out_row + column;
                    sum.store_some(&mut out[at..at + width]);
                }
            }
        }
    }
}

/// The naive twin of [`matmul`].
#[allow(clippy::too_many_arguments, reason = "as its twin")]
pub fn matmul_naive(
    a: &[f32],
    a_row: usize,
    a_depth: usize,
    b: &[f32],
    b_row: usize,
    b_depth: usize,
    b_column: usize,
    m: usize,
    depth: usize,
    n: usize,
    out: &mut [f32],
    out_row: usize,
) {
    for i in 0..m {
        for j in 0..n {
            let mut sum = 0.0;
            for k in 0..depth {
                sum += a[i * a_row + k * a_depth] * b[i * b_row + k * b_depth + j * b_column];
            }
            out[i * out_row + j] = sum;
        }
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
            m in 0usize..10, depth in 0usize..20, n in 0usize..30, gaps in [0usize..3, 0usize..3, 0usize..3],
            a_turned: bool, b_turned: bool, repeated: bool, own: bool, seed: u64,
        ) {
            let mut random = Random::new(seed);
            let (a_row, a_depth) = if a_turned { (1, m + gaps[0]) } else { (depth + gaps[0], 1) };
            let (b_depth, b_column) = if b_turned { (1, depth + gaps[1]) } else { (n + gaps[1], 1) };
            // One row of a for all.
            let a_row = if repeated { 0 } else { a_row };
            let last = |rows: usize, row: usize, columns: usize, column: usize| {
                if rows == 0 || columns == 0 { 0 } else { (rows - 1) * row + (columns - 1) * column + 1 }
            };
            // Exactly as long as needed.
            let a = random.values(last(m, a_row, depth, a_depth));
            let matrix = last(depth, b_depth, n, b_column);
            let b_row = if own { matrix + gaps[0] } else { 0 };
            let b = random.values(m.saturating_sub(1) * b_row + matrix);
            let out_row = n + gaps[2];
            let mut out = vec![7.5; last(m, out_row, n, 1)];
            let mut expected = out.clone();
            matmul(&a, a_row, a_depth, &b, b_row, b_depth, b_column, m, depth, n, &mut out, out_row);
            matmul_naive(&a, a_row, a_depth, &b, b_row, b_depth, b_column, m, depth, n, &mut expected, out_row);
            prop_assert_eq!(bits(&out), bits(&expected));
        }
    }

    #[test]
    fn strides_of_zero_repeat() {
        let mut out = [0.0; 6];
        matmul(&[2.0, 3.0], 0, 1, &[5.0, 7.0], 0, 1, 0, 2, 2, 3, &mut out, 3);
        assert_eq!(out, [31.0; 6]);
    }
}
