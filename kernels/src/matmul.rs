//! Products of two computed matrices.
/// `out[i, j] = sum over k of a[i, k] * b[k, j]`, k = 0, 1, 2 in order from 0.
#[allow(clippy::too_many_arguments, reason = "two strided matrices")]
pub fn matmul(a: &[f32], a_row: usize, a_depth: usize, b: &[f32], b_depth: usize, b_column: usize, m: usize, k: usize, n: usize, out: &mut [f32], out_row: usize) {
    for i in 0..m {
        for j in 0..n {
            let mut s = 0.0;
            for t in 0..k { s += a[i * a_row + t * a_depth] * b[t * b_depth + j * b_column]; }
            out[i * out_row + j] = s;
        }
    }
}
