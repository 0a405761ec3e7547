//! Elementwise functions over rows.

use super::plan::{Binary, DType, Unary};
use super::steps::{Cell, is_narrow};
use ranklet_kernels::math;

const SQRT_HALF: f32 = std::f32::consts::FRAC_1_SQRT_2;
/// sqrt(2 / pi), of the tanh form of Gelu.
const GELU_SCALE: f32 = 0.797_884_6;

/// Applies `f` in place.
#[inline(never)]
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
        Unary::Celu { alpha } => return map(y, |x| if x < 0.0 { alpha * (math::exp(x / alpha) - 1.0) } else { x }),
        Unary::Sigmoid => return map(y, math::sigmoid),
        Unary::Tanh => return map(y, math::tanh),
        Unary::HardSigmoid { alpha, beta } => return map(y, |x| clip(alpha * x + beta, 0.0, 1.0)),
        Unary::Clip { low, high } => return map(y, |x| clip(x, low, high)),
        Unary::Swish { alpha } => return map(y, |x| x * math::sigmoid(alpha * x)),
        Unary::ThresholdedRelu { alpha } => return map(y, |x| if x > alpha { x } else { 0.0 }),
        Unary::Shrink { lambda, bias } => {
            return map(y, |x| match (x < -lambda, x > lambda) {
                (true, _) => x + bias,
                (_, true) => x - bias,
                _ => 0.0,
            });
        }
        Unary::HardSwish => |x| x * clip(x / 6.0 + 0.5, 0.0, 1.0),
        Unary::Gelu => |x| 0.5 * x * (1.0 + math::erf(x * SQRT_HALF)),
        Unary::GeluTanh => |x| 0.5 * x * (1.0 + math::tanh(GELU_SCALE * (x + 0.044_715 * x * x * x))),
        Unary::Mish => |x| x * math::tanh(math::softplus(x)),
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
        Unary::Round => libm::rintf,
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

/// One operand of a broadcast: element c of a row reads `data[(c / each) % width]` of its own row, or of the one for all.
#[derive(Clone, Copy)]
pub(super) struct Operand<'a, T> {
    pub data: &'a [T],
    pub shared: bool,
    pub width: usize,
    pub each: usize,
}

impl<T> Operand<'_, T> {
    /// Where row `r` begins.
    fn row(&self, r: usize) -> usize {
        if self.shared { 0 } else { r * self.width }
    }

    /// At column `c`: the element read, how far the next is from it, and for how many columns that holds.
    fn run(&self, c: usize) -> (usize, usize, usize) {
        if self.width == 1 {
            return (0, 0, usize::MAX);
        }
        if self.each > 1 {
            return ((c / self.each) % self.width, 0, self.each - c % self.each);
        }
        let at = c % self.width;
        (at, 1, self.width - at)
    }
}

/// `y[r, c] = f(a[r, c], b[r, c])` over stretches in which each operand stands still or moves on by one.
fn zip<T: Copy, U>(a: Operand<'_, T>, b: Operand<'_, T>, width: usize, y: &mut [U], f: impl Fn(T, T) -> U) {
    for (r, row) in y.chunks_exact_mut(width).enumerate() {
        let (a_row, b_row) = (&a.data[a.row(r)..], &b.data[b.row(r)..]);
        let mut c = 0;
        while c < width {
            let ((i, a_step, a_len), (j, b_step, b_len)) = (a.run(c), b.run(c));
            let n = a_len.min(b_len).min(width - c);
            let out = row[c..c + n].iter_mut();
            match (a_step, b_step) {
                (1, 1) => {
                    for ((slot, &x), &z) in out.zip(&a_row[i..i + n]).zip(&b_row[j..j + n]) {
                        *slot = f(x, z);
                    }
                }
                (1, _) => {
                    let z = b_row[j];
                    for (slot, &x) in out.zip(&a_row[i..i + n]) {
                        *slot = f(x, z);
                    }
                }
                (_, 1) => {
                    let x = a_row[i];
                    for (slot, &z) in out.zip(&b_row[j..j + n]) {
                        *slot = f(x, z);
                    }
                }
                _ => {
                    let (x, z) = (a_row[i], b_row[j]);
                    out.for_each(|slot| *slot = f(x, z));
                }
            }
            c += n;
        }
    }
}

/// f32 of two f32.
#[inline(never)]
pub(super) fn binary(f: Binary, a: Operand<'_, f32>, b: Operand<'_, f32>, width: usize, y: &mut [f32]) {
    // Rankers live on these; the others share one loop through a pointer.
    let rare: fn(f32, f32) -> f32 = match f {
        Binary::Add => return zip(a, b, width, y, |a, b| a + b),
        Binary::Sub => return zip(a, b, width, y, |a, b| a - b),
        Binary::Mul => return zip(a, b, width, y, |a, b| a * b),
        Binary::Div => |a, b| a / b,
        Binary::Pow => math::pow,
        Binary::Fmod => libm::fmodf,
        Binary::Mod => |a, b| {
            let r = libm::fmodf(a, b);
            if r != 0.0 && (r < 0.0) != (b < 0.0) { r + b } else { r }
        },
        Binary::Min => math::min,
        Binary::Max => math::max,
        Binary::Prelu => |x, slope| if x < 0.0 { slope * x } else { x },
        _ => return,
    };
    zip(a, b, width, y, rare);
}

/// Booleans of two f32.
#[inline(never)]
pub(super) fn compare(f: Binary, a: Operand<'_, f32>, b: Operand<'_, f32>, width: usize, y: &mut [i64]) {
    let f: fn(f32, f32) -> i64 = match f {
        Binary::Less => |a, b| i64::from(a < b),
        Binary::LessOrEqual => |a, b| i64::from(a <= b),
        Binary::Greater => |a, b| i64::from(a > b),
        Binary::GreaterOrEqual => |a, b| i64::from(a >= b),
        _ => |a, b| i64::from(a == b),
    };
    zip(a, b, width, y, f);
}

/// To the width of its type.
pub(super) fn wrap(x: i64, dtype: DType) -> i64 {
    if is_narrow(dtype) { i64::from(x as i32) } else { x }
}

/// Whole numbers or booleans of two of a kind.
#[inline(never)]
pub(super) fn whole(f: Binary, a: Operand<'_, i64>, b: Operand<'_, i64>, width: usize, dtype: DType, y: &mut [i64]) {
    let f: fn(i64, i64) -> i64 = match f {
        Binary::Add => i64::wrapping_add,
        Binary::Sub => i64::wrapping_sub,
        Binary::Mul => i64::wrapping_mul,
        Binary::Div => |a, b| if b == 0 { 0 } else { a.wrapping_div(b) },
        Binary::Fmod => |a, b| if b == 0 { 0 } else { a.wrapping_rem(b) },
        Binary::Mod => |a, b| {
            let r = if b == 0 { 0 } else { a.wrapping_rem(b) };
            if r != 0 && (r < 0) != (b < 0) { r + b } else { r }
        },
        Binary::Pow => |a, b| u32::try_from(b).map_or(i64::from(a == 1), |b| a.wrapping_pow(b)),
        Binary::Min => |a, b| if b < a { b } else { a },
        Binary::Max => |a, b| if b > a { b } else { a },
        Binary::Less => |a, b| i64::from(a < b),
        Binary::LessOrEqual => |a, b| i64::from(a <= b),
        Binary::Greater => |a, b| i64::from(a > b),
        Binary::GreaterOrEqual => |a, b| i64::from(a >= b),
        Binary::Equal => |a, b| i64::from(a == b),
        Binary::And => |a, b| a & b,
        Binary::Or => |a, b| a | b,
        Binary::Xor => |a, b| a ^ b,
        Binary::Prelu => |a, _| a,
    };
    zip(a, b, width, y, f);
    if is_narrow(dtype) {
        y.iter_mut().for_each(|v| *v = i64::from(*v as i32));
    }
}

/// To whole numbers or booleans, as ONNX defines it: cut towards zero, wrapped to 32 bits, or whether it is not zero.
#[inline(never)]
pub(super) fn cast(from: Cell<'_>, dtype: DType, y: &mut [i64]) {
    match from {
        Cell::Floats(x) => {
            for (y, &x) in y.iter_mut().zip(x) {
                *y = match dtype {
                    DType::Bool => i64::from(x != 0.0),
                    DType::I32 => i64::from(x as i32),
                    _ => x as i64,
                };
            }
        }
        Cell::Ints(x) => {
            for (y, &x) in y.iter_mut().zip(x) {
                *y = if dtype == DType::Bool { i64::from(x != 0) } else { wrap(x, dtype) };
            }
        }
    }
}
