//! Normalisations along one axis of `[outer, group, inner]`, in place.

use super::elementwise::unary;
use super::plan::{PostTransform, Unary};
use ranklet_kernels::{math, softmax};

/// The elements of one group: `inner` apart.
fn lines(y: &mut [f32], group: usize, inner: usize, mut each: impl FnMut(&mut [f32])) {
    if group == 0 {
        return;
    }
    for block in y.chunks_exact_mut(group * inner) {
        for first in 0..inner {
            // Up to the last element of this line, which then is every `inner`-th.
            each(&mut block[first..first + (group - 1) * inner + 1]);
        }
    }
}

/// Softmax along the axis: exponentials of differences from the largest, divided by their sum in index order.
pub(super) fn softmax(y: &mut [f32], group: usize, inner: usize, log: bool) {
    if inner == 1 && !log && group > 0 {
        // What attention and gates ask for: the same bits, in lanes.
        return softmax::softmax(y, group);
    }
    lines(y, group, inner, |line| {
        let top = line.iter().step_by(inner).copied().fold(f32::NEG_INFINITY, math::max);
        if log {
            let total = math::ln(line.iter().step_by(inner).fold(0.0, |s, v| s + math::exp(v - top)));
            line.iter_mut().step_by(inner).for_each(|v| *v = *v - top - total);
        } else {
            let mut total = 0.0;
            for v in line.iter_mut().step_by(inner) {
                *v = math::exp(*v - top);
                total += *v;
            }
            line.iter_mut().step_by(inner).for_each(|v| *v /= total);
        }
    });
}

/// Layer normalisation; variance of the centred values (two passes), sums in index order.
pub(super) fn layer_norm(y: &mut [f32], scale: &[f32], bias: &[f32], epsilon: f32) {
    let n = scale.len() as f32;
    for g in y.chunks_exact_mut(scale.len()) {
        let mean = g.iter().fold(0.0, |s, v| s + v) / n;
        let variance = g.iter().fold(0.0, |s, v| s + (v - mean) * (v - mean)) / n;
        let deviation = (variance + epsilon).sqrt();
        for (i, v) in g.iter_mut().enumerate() {
            *v = (*v - mean) / deviation * scale[i] + bias.get(i).copied().unwrap_or(0.0);
        }
    }
}

/// `post_transform` over each row, as ONNX Runtime computes it.
pub(super) fn post_transform(f: PostTransform, y: &mut [f32], width: usize) {
    match f {
        PostTransform::None => {}
        PostTransform::Logistic => unary(Unary::Sigmoid, y),
        PostTransform::Softmax => softmax(y, width, 1, false),
        PostTransform::SoftmaxZero => y.chunks_exact_mut(width).for_each(softmax_zero),
        PostTransform::Probit => y.iter_mut().for_each(|v| *v = probit(*v)),
    }
}

/// Softmax that leaves scores of (about) zero at zero: the bound is ONNX Runtime's.
fn softmax_zero(row: &mut [f32]) {
    let top = row.iter().copied().fold(f32::NEG_INFINITY, math::max);
    let scale = math::exp(-top);
    let mut total = 0.0;
    for v in row.iter_mut() {
        if *v > 1e-7 || *v < -1e-7 {
            *v = math::exp(*v - top);
            total += *v;
        } else {
            *v *= scale;
        }
    }
    if total > 0.0 {
        for v in row {
            *v /= total;
        }
    }
}

/// sqrt(2) * erfinv(2 p - 1), erfinv by Winitzki's approximation, which ONNX Runtime uses.
fn probit(p: f32) -> f32 {
    let x = 2.0 * p - 1.0;
    let sign = if x < 0.0 { -1.0 } else { 1.0 };
    let log = math::ln((1.0 - x) * (1.0 + x));
    let v = 2.0 / (std::f32::consts::PI * 0.147) + 0.5 * log;
    let inverse = sign * (-v + (v * v - log / 0.147).sqrt()).sqrt();
    std::f32::consts::SQRT_2 * inverse
}
