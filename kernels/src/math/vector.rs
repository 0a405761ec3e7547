//! Functions of four lanes, and of slices in place.

use crate::lanes::{F4, I4, WIDTH};

const LN2_HIGH: f32 = 0.693_359_4;
const LN2_LOW: f32 = -2.121_944_4e-4;
const SQRT_HALF: f32 = std::f32::consts::FRAC_1_SQRT_2;
/// sqrt(2 / pi), of the tanh form of Gelu.
const GELU_SCALE: f32 = 0.797_884_6;

fn c(x: f32) -> F4 {
    F4::splat(x)
}

/// The polynomial with these coefficients, the highest first.
#[inline(always)]
fn polynomial<const N: usize>(x: F4, coefficients: [f32; N]) -> F4 {
    let mut sum = c(coefficients[0]);
    for coefficient in &coefficients[1..] {
        sum = sum.times(x).plus(c(*coefficient));
    }
    sum
}

/// Range reduction by multiples of ln 2 in two parts (Cody and Waite), then a degree-6 polynomial
/// (coefficients: Cephes `expf`, S. Moshier).
#[inline(always)]
fn exp(x: F4) -> F4 {
    // Adding and subtracting 1.5 * 2^23 rounds to the nearest integer without a library call; the sum's last bits
    // are that integer.
    const ROUND: f32 = 12_582_912.0;
    // Outside these bounds the result is infinity or zero anyway.
    let (low, high) = (c(-104.0), c(89.0));
    let x = high.less(x).pick(high, x);
    let x = x.less(low).pick(low, x);
    let rounded = x.times(c(std::f32::consts::LOG2_E)).plus(c(ROUND));
    let n = rounded.minus(c(ROUND));
    let r = x.minus(n.times(c(LN2_HIGH))).minus(n.times(c(LN2_LOW)));
    let p = polynomial(r, [1.987_569_1e-4, 1.398_2e-3, 8.333_452e-3, 4.166_579_6e-2, 1.666_666_5e-1, 0.5]);
    let y = p.times(r.times(r)).plus(r).plus(c(1.0));
    // 2^n in two factors, so that both stay normal numbers for n in -151..=129.
    let n = rounded.bits().minus(I4::splat(ROUND.to_bits() as i32));
    let half = n.right::<1>();
    y.times(power_of_two(half)).times(power_of_two(n.minus(half)))
}

#[inline(always)]
fn power_of_two(n: I4) -> F4 {
    n.plus(I4::splat(127)).left::<23>().as_f4()
}

/// By e^-|x|, which neither overflows nor, in the left tail, is subtracted from 1.
#[inline(always)]
fn sigmoid(x: F4) -> F4 {
    let e = exp(negative(x));
    x.less(c(0.0)).pick(e, c(1.0)).over(e.plus(c(1.0)))
}

/// -|x|.
#[inline(always)]
fn negative(x: F4) -> F4 {
    x.bits().or(I4::splat(i32::MIN)).as_f4()
}

/// An odd polynomial near zero (coefficients: Cephes `tanhf`), `1 - 2 / (e^2|x| + 1)` elsewhere.
#[inline(always)]
fn tanh(x: F4) -> F4 {
    let a = x.abs();
    let z = x.times(x);
    let p = polynomial(z, [-5.704_988_7e-3, 2.063_909e-2, -5.373_971_6e-2, 1.333_144_3e-1, -3.333_328e-1]);
    let near = p.times(z).times(x).plus(x);
    let far = c(1.0).minus(c(2.0).over(exp(a.plus(a)).plus(c(1.0))));
    a.less(c(0.625)).pick(near, far.signed_as(x))
}

/// Mantissa in [sqrt 1/2, sqrt 2) and exponent, then [`ln_of`].
#[inline(always)]
fn ln(x: F4) -> F4 {
    let tiny = x.less(c(f32::MIN_POSITIVE));
    // A denormal number times 2^23 is a normal one.
    let normal = tiny.pick(x.times(c(8_388_608.0)), x);
    let base = I4::splat(SQRT_HALF.to_bits() as i32);
    let offset = normal.bits().minus(base);
    let exponent = offset.right::<23>().to_f4().minus(tiny.pick(c(23.0), c(0.0)));
    let mantissa = offset.and(I4::splat(0x007f_ffff)).plus(base).as_f4();
    let y = ln_of(mantissa.minus(c(1.0)), exponent);
    // Infinity and NaN have no mantissa.
    let y = x.at_most(c(f32::MAX)).pick(y, x);
    let y = x.less(c(0.0)).pick(c(f32::NAN), y);
    x.equals(c(0.0)).pick(c(f32::NEG_INFINITY), y)
}

/// ln((1 + f) 2^e) for 1 + f in [sqrt 1/2, sqrt 2) (coefficients: Cephes `logf`).
#[inline(always)]
fn ln_of(f: F4, e: F4) -> F4 {
    let p = [
        7.037_683_6e-2,
        -1.151_461e-1,
        1.167_699_9e-1,
        -1.242_014_1e-1,
        1.424_932_3e-1,
        -1.666_805_8e-1,
        2.000_071_5e-1,
        -2.499_999_4e-1,
        3.333_333e-1,
    ];
    let z = f.times(f);
    let tail = polynomial(f, p).times(f).times(z).plus(e.times(c(LN2_LOW))).minus(z.times(c(0.5)));
    f.plus(tail).plus(e.times(c(LN2_HIGH)))
}

/// A function of whole vectors, in place.
type Pass = fn(&mut [[f32; WIDTH]]);

/// Each vector through `f`.
#[inline(always)]
fn each(y: &mut [[f32; WIDTH]], f: impl Fn(F4) -> F4) {
    for lanes in y {
        f(F4::load(lanes)).store(lanes);
    }
}

/// `after(x, pass(before(x)))` of each vector, some at a time: the long functions stand in the module once, and are
/// called for many elements.
#[inline(always)]
fn through(y: &mut [[f32; WIDTH]], before: impl Fn(F4) -> F4, pass: Pass, after: impl Fn(F4, F4) -> F4) {
    for some in y.chunks_mut(16) {
        let mut aside = [[0.0; WIDTH]; 16];
        let aside = &mut aside[..some.len()];
        for (lanes, aside) in some.iter().zip(aside.iter_mut()) {
            before(F4::load(lanes)).store(aside);
        }
        pass(aside);
        for (lanes, aside) in some.iter_mut().zip(aside) {
            after(F4::load(lanes), F4::load(aside)).store(lanes);
        }
    }
}

/// A slice as whole vectors, the last one filled up with zeros.
#[inline(never)]
fn by_lanes(y: &mut [f32], pass: &dyn Fn(&mut [[f32; WIDTH]])) {
    let (whole, rest) = y.as_chunks_mut::<WIDTH>();
    pass(whole);
    if !rest.is_empty() {
        let mut last = [F4::load_some(rest).lanes()];
        pass(&mut last);
        F4::load(&last[0]).store_some(rest);
    }
}

/// The function of one element: its vector's first lane, so that both have the same bits.
pub(super) fn of_one(x: f32, pass: Pass) -> f32 {
    let mut lanes = [[x; WIDTH]];
    pass(&mut lanes);
    lanes[0][0]
}

// Each in a function of its own, so that it is built for speed here and not for size where it is called.

#[inline(never)]
pub(super) fn exp_lanes(y: &mut [[f32; WIDTH]]) {
    each(y, exp);
}

#[inline(never)]
pub(super) fn sigmoid_lanes(y: &mut [[f32; WIDTH]]) {
    each(y, sigmoid);
}

#[inline(never)]
pub(super) fn tanh_lanes(y: &mut [[f32; WIDTH]]) {
    each(y, tanh);
}

#[inline(never)]
pub(super) fn ln_lanes(y: &mut [[f32; WIDTH]]) {
    each(y, ln);
}

/// `max(x, 0) + ln(1 + e^-|x|)`.
#[inline(never)]
pub(super) fn softplus_lanes(y: &mut [[f32; WIDTH]]) {
    through(y, negative, exp_lanes, |x, e| {
        // 1 + e is never formed: it would lose the digits of a small e.
        let large = c(std::f32::consts::SQRT_2 - 1.0).less(e);
        let f = large.pick(e.minus(c(1.0)).times(c(0.5)), e);
        let positive = c(0.0).less(x).pick(x, c(0.0));
        positive.plus(ln_of(f, large.pick(c(1.0), c(0.0))))
    });
}

/// `x + x P(x^2)` up to 1, `1 - e^-Q(|x|)` above, until the result rounds to 1. P and Q interpolate at Chebyshev
/// points, P within 2e-9 and Q within 2e-8 (absolutely).
#[inline(never)]
pub(super) fn erf_lanes(y: &mut [[f32; WIDTH]]) {
    let far = |x: F4| {
        let (a, limit) = (x.abs(), c(4.0));
        polynomial(
            limit.less(a).pick(limit, a),
            [
                1.639_938e-6,
                -4.611_291_4e-5,
                5.972_644_3e-4,
                -4.761_717_2e-3,
                2.642_704_4e-2,
                -1.100_902e-1,
                -6.318_157e-1,
                -1.130_239_2,
                3.214_710_3e-4,
            ],
        )
    };
    through(y, far, exp_lanes, |x, e| {
        let a = x.abs();
        let p = polynomial(
            a.times(a),
            [
                7.875_875e-5,
                -8.016_864e-4,
                5.189_087_4e-3,
                -2.685_421_2e-2,
                1.128_359_5e-1,
                -3.761_262_7e-1,
                1.283_791_7e-1,
            ],
        );
        let near = a.plus(a.times(p));
        // NaN is not at most 1, and the other of it is NaN.
        a.at_most(c(1.0)).pick(near, c(1.0).minus(e)).signed_as(x)
    });
}

/// e^x of each element, as [`exp`](super::exp).
pub fn exp_slice(y: &mut [f32]) {
    by_lanes(y, &exp_lanes);
}

/// 1 / (1 + e^-x) of each element, as [`sigmoid`](super::sigmoid).
pub fn sigmoid_slice(y: &mut [f32]) {
    by_lanes(y, &sigmoid_lanes);
}

/// tanh x of each element, as [`tanh`](super::tanh).
pub fn tanh_slice(y: &mut [f32]) {
    by_lanes(y, &tanh_lanes);
}

/// ln x of each element, as [`ln`](super::ln).
pub fn ln_slice(y: &mut [f32]) {
    by_lanes(y, &ln_lanes);
}

/// ln(1 + e^x) of each element, as [`softplus`](super::softplus).
pub fn softplus_slice(y: &mut [f32]) {
    by_lanes(y, &softplus_lanes);
}

/// The error function of each element, as [`erf`](super::erf).
pub fn erf_slice(y: &mut [f32]) {
    by_lanes(y, &erf_lanes);
}

/// `x < 0 ? 0 : x` of each element: NaN and -0 stay.
#[inline(never)]
pub fn relu_slice(y: &mut [f32]) {
    by_lanes(y, &|y| each(y, F4::relu));
}

/// `x < 0 ? alpha x : x` of each element.
#[inline(never)]
pub fn leaky_relu_slice(y: &mut [f32], alpha: f32) {
    by_lanes(y, &|y| each(y, |x| x.less(c(0.0)).pick(c(alpha).times(x), x)));
}

/// `x < 0 ? alpha (e^x - 1) : x` of each element.
#[inline(never)]
pub fn elu_slice(y: &mut [f32], alpha: f32) {
    let join = |x: F4, e: F4| x.less(c(0.0)).pick(c(alpha).times(e.minus(c(1.0))), x);
    by_lanes(y, &|y| through(y, |x| x, exp_lanes, join));
}

/// `x sigmoid(x)` of each element.
#[inline(never)]
pub fn silu_slice(y: &mut [f32]) {
    by_lanes(y, &|y| through(y, |x| x, sigmoid_lanes, F4::times));
}

/// `0.5 x (1 + f)`.
#[inline(always)]
fn half_of_one_more(x: F4, f: F4) -> F4 {
    c(0.5).times(x).times(c(1.0).plus(f))
}

/// `0.5 x (1 + erf(x sqrt 1/2))` of each element.
#[inline(never)]
pub fn gelu_slice(y: &mut [f32]) {
    by_lanes(y, &|y| through(y, |x| x.times(c(SQRT_HALF)), erf_lanes, half_of_one_more));
}

/// `0.5 x (1 + tanh(sqrt(2 / pi) (x + 0.044715 x^3)))` of each element.
#[inline(never)]
pub fn gelu_tanh_slice(y: &mut [f32]) {
    let inner = |x: F4| c(GELU_SCALE).times(x.plus(c(0.044_715).times(x).times(x).times(x)));
    by_lanes(y, &|y| through(y, inner, tanh_lanes, half_of_one_more));
}
