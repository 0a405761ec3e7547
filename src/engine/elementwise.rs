//! Elementwise functions, reductions and normalisations over rows.

use super::plan::{Binary, PostTransform, Reduce, Unary};
use ranklet_kernels::math;

const SQRT_HALF: f32 = std::f32::consts::FRAC_1_SQRT_2;
/// sqrt(2 / pi), of the tanh form of Gelu.
const GELU_SCALE: f32 = 0.797_884_6;

/// Applies `f` in place.
pub(super) fn unary(f: Unary, y: &mut [f32]) {
    fn map(y: &mut [f32], f: impl Fn(f32) -> f32) {
        for v in y {
            *v = f(*v);
        }
    }
    // Activations of rankers each have a loop of their own; the others share one through a pointer.
    let rare: fn(f32) -> f32 = match f {
        Unary::Identity => return,
        // `max` would turn NaN into 0; ONNX Runtime lets NaN through.
        Unary::Relu => return map(y, |x| if x < 0.0 { 0.0 } else { x }),
        Unary::LeakyRelu { alpha } => return map(y, |x| if x < 0.0 { alpha * x } else { x }),
        Unary::Elu { alpha } => return map(y, |x| if x < 0.0 { alpha * (math::exp(x) - 1.0) } else { x }),
        Unary::Selu { alpha, gamma } => {
            return map(y, |x| if x <= 0.0 { gamma * (alpha * math::exp(x) - alpha) } else { gamma * x });
        }
        Unary::Sigmoid => return map(y, math::sigmoid),
        Unary::Tanh => return map(y, math::tanh),
        Unary::HardSigmoid { alpha, beta } => return map(y, |x| clip(alpha * x + beta, 0.0, 1.0)),
        Unary::Clip { low, high } => return map(y, |x| clip(x, low, high)),
        Unary::Silu => return map(y, |x| x * math::sigmoid(x)),
        Unary::HardSwish => |x| x * clip(x / 6.0 + 0.5, 0.0, 1.0),
        Unary::Gelu => |x| 0.5 * x * (1.0 + math::erf(x * SQRT_HALF)),
        Unary::GeluTanh => |x| 0.5 * x * (1.0 + math::tanh(GELU_SCALE * (x + 0.044_715 * x * x * x))),
        Unary::Softplus => math::softplus,
        Unary::Softsign => |x| x / (1.0 + x.abs()),
        Unary::Erf => math::erf,
        Unary::Exp => math::exp,
        Unary::Log => math::ln,
        Unary::Sqrt => f32::sqrt,
        Unary::Reciprocal => |x| 1.0 / x,
        Unary::Neg => |x| -x,
        Unary::Abs => f32::abs,
        Unary::Floor => libm::floorf,
        Unary::Ceil => libm::ceilf,
        Unary::Sign => |x| match (x > 0.0, x < 0.0) {
            (true, _) => 1.0,
            (_, true) => -1.0,
            _ => x,
        },
    };
    map(y, rare);
}

fn clip(x: f32, low: f32, high: f32) -> f32 {
    math::min(math::max(x, low), high)
}

/// One operand of a broadcast: elements, whether it has one row for all, and its width.
#[derive(Clone, Copy)]
pub(super) struct Operand<'a> {
    pub data: &'a [f32],
    pub shared: bool,
    pub width: usize,
}

/// `y[r, c] = f(a[r, c], b[r, c])` with rows and widths of 1 repeated; y is `[rows, width]`.
pub(super) fn binary(f: Binary, a: Operand<'_>, b: Operand<'_>, width: usize, y: &mut [f32]) {
    fn zip(a: Operand<'_>, b: Operand<'_>, width: usize, y: &mut [f32], f: impl Fn(f32, f32) -> f32) {
        let stride = |o: &Operand<'_>| (if o.shared { 0 } else { o.width }, usize::from(o.width > 1));
        let ((row_a, step_a), (row_b, step_b)) = (stride(&a), stride(&b));
        for (r, row) in y.chunks_exact_mut(width).enumerate() {
            let (a, b) = (&a.data[r * row_a..], &b.data[r * row_b..]);
            for (c, slot) in row.iter_mut().enumerate() {
                *slot = f(a[c * step_a], b[c * step_b]);
            }
        }
    }
    fn truth(holds: bool) -> f32 {
        if holds { 1.0 } else { 0.0 }
    }
    // Rankers live on these four; the others share one loop through a pointer.
    let rare: fn(f32, f32) -> f32 = match f {
        Binary::Add => return zip(a, b, width, y, |a, b| a + b),
        Binary::Sub => return zip(a, b, width, y, |a, b| a - b),
        Binary::Mul => return zip(a, b, width, y, |a, b| a * b),
        Binary::Div => return zip(a, b, width, y, |a, b| a / b),
        Binary::Pow => math::pow,
        Binary::Min => math::min,
        Binary::Max => math::max,
        Binary::Less => |a, b| truth(a < b),
        Binary::LessOrEqual => |a, b| truth(a <= b),
        Binary::Greater => |a, b| truth(a > b),
        Binary::GreaterOrEqual => |a, b| truth(a >= b),
        Binary::Equal => |a, b| truth(a == b),
    };
    zip(a, b, width, y, rare);
}

/// Sum in index order.
fn sum(x: &[f32]) -> f32 {
    x.iter().fold(0.0, |s, v| s + v)
}

/// One element for each group.
pub(super) fn reduce(f: Reduce, x: &[f32], group: usize, y: &mut [f32]) {
    for (slot, g) in y.iter_mut().zip(x.chunks_exact(group)) {
        *slot = match f {
            Reduce::Sum => sum(g),
            Reduce::Mean => sum(g) / group as f32,
            Reduce::Max => g.iter().copied().fold(f32::NEG_INFINITY, math::max),
            Reduce::Min => g.iter().copied().fold(f32::INFINITY, math::min),
        };
    }
}

/// Softmax in place over each group.
pub(super) fn softmax(y: &mut [f32], group: usize, log: bool) {
    for g in y.chunks_exact_mut(group) {
        let top = g.iter().copied().fold(f32::NEG_INFINITY, math::max);
        if log {
            let total = math::ln(g.iter().fold(0.0, |s, v| s + math::exp(v - top)));
            for v in g {
                *v = *v - top - total;
            }
        } else {
            for v in g.iter_mut() {
                *v = math::exp(*v - top);
            }
            let total = sum(g);
            for v in g {
                *v /= total;
            }
        }
    }
}

/// Layer normalisation in place; variance of the centred values (two passes).
pub(super) fn layer_norm(y: &mut [f32], scale: &[f32], bias: &[f32], epsilon: f32) {
    let n = scale.len() as f32;
    for g in y.chunks_exact_mut(scale.len()) {
        let mean = sum(g) / n;
        let variance = g.iter().fold(0.0, |s, v| s + (v - mean) * (v - mean)) / n;
        let deviation = (variance + epsilon).sqrt();
        for (i, v) in g.iter_mut().enumerate() {
            *v = (*v - mean) / deviation * scale[i] + bias.get(i).copied().unwrap_or(0.0);
        }
    }
}

/// `post_transform` in place over each row, as ONNX Runtime computes it.
pub(super) fn post_transform(f: PostTransform, y: &mut [f32], width: usize) {
    match f {
        PostTransform::None => {}
        PostTransform::Logistic => unary(Unary::Sigmoid, y),
        PostTransform::Softmax => softmax(y, width, false),
        PostTransform::SoftmaxZero => {
            for row in y.chunks_exact_mut(width) {
                softmax_zero(row);
            }
        }
        PostTransform::Probit => {
            for v in y {
                *v = probit(*v);
            }
        }
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
