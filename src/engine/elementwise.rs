//! Elementwise functions over rows.

use super::plan::{Binary, DType, Unary};
use super::steps::{Cell, is_narrow};
use ranklet_kernels::elementwise::{self as kernel, Arithmetic};
use ranklet_kernels::math;

/// Applies `f` in place.
#[inline(never)]
pub(super) fn unary(f: Unary, y: &mut [f32]) {
    fn map(y: &mut [f32], f: impl Fn(f32) -> f32) {
        for v in y {
            *v = f(*v);
        }
    }
    // Activations of rankers are kernels; the others share a loop through a pointer.
    let rare: fn(f32) -> f32 = match f {
        Unary::Identity => return,
        Unary::Relu => return math::relu_slice(y),
        Unary::LeakyRelu { alpha } => return math::leaky_relu_slice(y, alpha),
        Unary::Elu { alpha } => return math::elu_slice(y, alpha),
        Unary::Sigmoid => return math::sigmoid_slice(y),
        Unary::Tanh => return math::tanh_slice(y),
        Unary::Swish { alpha: 1.0 } => return math::silu_slice(y),
        Unary::Gelu => return math::gelu_slice(y),
        Unary::GeluTanh => return math::gelu_tanh_slice(y),
        Unary::Softplus => return math::softplus_slice(y),
        Unary::Erf => return math::erf_slice(y),
        Unary::Exp => return math::exp_slice(y),
        Unary::Log => return math::ln_slice(y),
        Unary::Selu { alpha, gamma } => {
            return map(y, |x| if x <= 0.0 { gamma * (alpha * math::exp(x) - alpha) } else { gamma * x });
        }
        Unary::Celu { alpha } => return map(y, |x| if x < 0.0 { alpha * (math::exp(x / alpha) - 1.0) } else { x }),
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
        Unary::Mish => |x| x * math::tanh(math::softplus(x)),
        Unary::Softsign => |x| x / (1.0 + x.abs()),
        Unary::Sqrt => f32::sqrt,
        Unary::Reciprocal => |x| 1.0 / x,
        Unary::Neg => |x| -x,
        Unary::Abs => f32::abs,
        Unary::Floor => f32::floor,
        Unary::Ceil => f32::ceil,
        Unary::Round => f32::round_ties_even,
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

/// What an operand is over a stretch of columns.
#[derive(Clone, Copy)]
enum Part<'a, T> {
    One(T),
    Each(&'a [T]),
}

/// Cuts `y` into stretches over which each operand stands still or moves on by one.
fn stretches<T: Copy, U>(
    a: Operand<'_, T>,
    b: Operand<'_, T>,
    width: usize,
    y: &mut [U],
    mut each: impl FnMut(Part<'_, T>, Part<'_, T>, &mut [U]),
) {
    // Operands that are as wide as the output and have its rows are one stretch.
    let solid = |o: &Operand<'_, T>| o.width == 1 && o.shared || o.width == width && !o.shared && o.each == 1;
    if solid(&a) && solid(&b) {
        let (a, b) = (part_of(a, y.len()), part_of(b, y.len()));
        return each(a, b, y);
    }
    for (r, row) in y.chunks_exact_mut(width).enumerate() {
        let (a_row, b_row) = (&a.data[a.row(r)..], &b.data[b.row(r)..]);
        let mut c = 0;
        while c < width {
            let ((i, a_step, a_len), (j, b_step, b_len)) = (a.run(c), b.run(c));
            let n = a_len.min(b_len).min(width - c);
            let x = if a_step == 1 { Part::Each(&a_row[i..i + n]) } else { Part::One(a_row[i]) };
            let z = if b_step == 1 { Part::Each(&b_row[j..j + n]) } else { Part::One(b_row[j]) };
            each(x, z, &mut row[c..c + n]);
            c += n;
        }
    }
}

fn part_of<T: Copy>(o: Operand<'_, T>, len: usize) -> Part<'_, T> {
    if o.shared { Part::One(o.data[0]) } else { Part::Each(&o.data[..len]) }
}

/// Element by element through a pointer: one loop for all functions of a pair of types.
#[inline(never)]
fn zip<T: Copy, U>(a: Operand<'_, T>, b: Operand<'_, T>, width: usize, y: &mut [U], f: fn(T, T) -> U) {
    stretches(a, b, width, y, |a, b, y| {
        let at = |part: &Part<'_, T>, i: usize| match part {
            Part::One(x) => *x,
            Part::Each(x) => x[i],
        };
        for (i, y) in y.iter_mut().enumerate() {
            *y = f(at(&a, i), at(&b, i));
        }
    });
}

/// The four operations, in lanes.
#[inline(never)]
fn arithmetic(op: Arithmetic, a: Operand<'_, f32>, b: Operand<'_, f32>, width: usize, y: &mut [f32]) {
    fn operand(part: Part<'_, f32>) -> kernel::Operand<'_> {
        match part {
            Part::One(x) => kernel::Operand::One(x),
            Part::Each(x) => kernel::Operand::Each(x),
        }
    }
    stretches(a, b, width, y, |a, b, y| kernel::arithmetic(op, operand(a), operand(b), y));
}

/// f32 of two f32.
#[inline(never)]
pub(super) fn binary(f: Binary, a: Operand<'_, f32>, b: Operand<'_, f32>, width: usize, y: &mut [f32]) {
    let rare: fn(f32, f32) -> f32 = match f {
        Binary::Add => return arithmetic(Arithmetic::Add, a, b, width, y),
        Binary::Sub => return arithmetic(Arithmetic::Sub, a, b, width, y),
        Binary::Mul => return arithmetic(Arithmetic::Mul, a, b, width, y),
        Binary::Div => return arithmetic(Arithmetic::Div, a, b, width, y),
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
