//! The one place for transcendental functions and for min and max.
//!
//! `std`'s `exp`, `ln`, `powf`, `tanh` and float `min` / `max` give different bits on different
//! platforms, so a clippy list bans them elsewhere. f32 functions here are polynomials made of
//! `+ - * /` and bit operations alone (they vectorise); f64 functions come from the `libm` crate,
//! which is a port of one C library and so computes the same everywhere.

/// e^x. Error below 2 ulp over the whole range; underflow is gradual, NaN stays NaN.
///
/// Range reduction by multiples of ln 2 in two parts (Cody and Waite), then a degree-6 polynomial
/// (coefficients: Cephes `expf`, S. Moshier).
#[inline]
pub fn exp(x: f32) -> f32 {
    const LOG2E: f32 = std::f32::consts::LOG2_E;
    const LN2_HIGH: f32 = 0.693_359_4;
    const LN2_LOW: f32 = -2.121_944_4e-4;
    // Adding and subtracting 1.5 * 2^23 rounds to the nearest integer without a library call.
    const ROUND: f32 = 12_582_912.0;
    // Outside these bounds the result is infinity or zero anyway.
    let clamped = if x > 89.0 { 89.0 } else { x };
    let clamped = if clamped < -104.0 { -104.0 } else { clamped };
    let n = clamped * LOG2E + ROUND - ROUND;
    let r = clamped - n * LN2_HIGH - n * LN2_LOW;
    let mut p = 1.987_569_1e-4_f32;
    p = p * r + 1.398_2e-3;
    p = p * r + 8.333_452e-3;
    p = p * r + 4.166_579_6e-2;
    p = p * r + 1.666_666_5e-1;
    p = p * r + 0.5;
    let y = p * (r * r) + r + 1.0;
    // 2^n in two factors, so that both stay normal numbers for n in -151..=129.
    let n = n as i32;
    let half = n >> 1;
    y * power_of_two(half) * power_of_two(n - half)
}

#[inline]
fn power_of_two(n: i32) -> f32 {
    f32::from_bits(((n + 127) as u32) << 23)
}

/// 1 / (1 + e^-x), computed on |x| so that neither tail loses digits.
#[inline]
pub fn sigmoid(x: f32) -> f32 {
    let p = 1.0 / (1.0 + exp(-x.abs()));
    if x < 0.0 { 1.0 - p } else { p }
}

/// tanh x. Error below 3 ulp.
///
/// An odd polynomial near zero (coefficients: Cephes `tanhf`), `1 - 2 / (e^2|x| + 1)` elsewhere.
#[inline]
pub fn tanh(x: f32) -> f32 {
    let a = x.abs();
    let z = x * x;
    let mut p = -5.704_988_7e-3_f32;
    p = p * z + 2.063_909e-2;
    p = p * z - 5.373_971_6e-2;
    p = p * z + 1.333_144_3e-1;
    p = p * z - 3.333_328e-1;
    let near = p * z * x + x;
    let far = 1.0 - 2.0 / (exp(a + a) + 1.0);
    if a < 0.625 {
        near
    } else if x < 0.0 {
        -far
    } else {
        far
    }
}

/// ln x (f32): negative gives NaN, zero negative infinity.
#[inline]
pub fn ln(x: f32) -> f32 {
    libm::logf(x)
}

/// ln(1 + e^x) without overflow.
#[inline]
pub fn softplus(x: f32) -> f32 {
    let positive = if x > 0.0 { x } else { 0.0 };
    let y = positive + libm::log1pf(exp(-x.abs()));
    if x.is_nan() { x } else { y }
}

/// The error function.
#[inline]
pub fn erf(x: f32) -> f32 {
    libm::erff(x)
}

/// x^y (f32).
#[inline]
pub fn pow(x: f32, y: f32) -> f32 {
    libm::powf(x, y)
}

/// The smaller; NaN if either is NaN; of -0 and 0 the first argument. ONNX Runtime's rule for NaN.
#[inline]
pub fn min(a: f32, b: f32) -> f32 {
    if a.is_nan() || a <= b { a } else { b }
}

/// The larger; NaN if either is NaN; of -0 and 0 the first argument.
#[inline]
pub fn max(a: f32, b: f32) -> f32 {
    if a.is_nan() || a >= b { a } else { b }
}

/// f64 functions, for features, context, calibration and policy.
pub mod f64 {
    /// e^x.
    #[inline]
    pub fn exp(x: f64) -> f64 {
        libm::exp(x)
    }
    /// 2^x for x in -1022..=1023; below it 0. Exact where x is whole, elsewhere within 2 ulp.
    ///
    /// Not libm's: its table of 4 KB is more than all that a decayed counter needs.
    #[inline]
    pub fn exp2(x: f64) -> f64 {
        if x < -1022.0 {
            return 0.0;
        }
        let whole = libm::floor(x);
        let scale = f64::from_bits(((whole as i64 + 1023) as u64) << 52);
        libm::exp((x - whole) * std::f64::consts::LN_2) * scale
    }
    /// Natural logarithm.
    #[inline]
    pub fn ln(x: f64) -> f64 {
        libm::log(x)
    }
    /// ln(1 + x).
    #[inline]
    pub fn ln_1p(x: f64) -> f64 {
        libm::log1p(x)
    }
    /// 1 / (1 + e^-x).
    #[inline]
    pub fn sigmoid(x: f64) -> f64 {
        let p = 1.0 / (1.0 + exp(-x.abs()));
        if x < 0.0 { 1.0 - p } else { p }
    }
    /// The smaller; the first argument when either is NaN or both are equal.
    #[inline]
    pub fn min(a: f64, b: f64) -> f64 {
        if b < a { b } else { a }
    }
    /// The larger; the first argument when either is NaN or both are equal.
    #[inline]
    pub fn max(a: f64, b: f64) -> f64 {
        if b > a { b } else { a }
    }
    /// `x` within `[low, high]`; NaN stays NaN.
    #[inline]
    pub fn clamp(x: f64, low: f64, high: f64) -> f64 {
        if x < low {
            low
        } else if x > high {
            high
        } else {
            x
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Distance in units of the last place of the correctly rounded value.
    fn ulps(got: f32, exact: f64) -> f64 {
        let nearest = exact as f32;
        let gap = f64::from(f32::from_bits(nearest.abs().to_bits() + 1)) - f64::from(nearest.abs());
        (f64::from(got) - exact).abs() / gap
    }

    fn worst(low: f32, high: f32, got: fn(f32) -> f32, exact: fn(f64) -> f64) -> f64 {
        let steps = 400_000;
        (0..=steps)
            .map(|i| low + (high - low) * (i as f32 / steps as f32))
            .map(|x| ulps(got(x), exact(f64::from(x))))
            .fold(0.0, |a, b| if b > a { b } else { a })
    }

    #[test]
    fn exp_is_within_its_stated_error() {
        assert!(worst(-87.0, 88.7, exp, libm::exp) < 2.0);
    }

    #[test]
    fn exp_at_the_edges() {
        assert_eq!(exp(0.0), 1.0);
        assert_eq!(exp(f32::INFINITY), f32::INFINITY);
        assert_eq!(exp(f32::NEG_INFINITY), 0.0);
        assert_eq!(exp(89.0), f32::INFINITY);
        assert!(exp(f32::NAN).is_nan());
        let denormal = exp(-100.0);
        assert!(denormal > 0.0 && denormal < f32::MIN_POSITIVE);
    }

    #[test]
    fn tanh_is_within_its_stated_error() {
        assert!(worst(-10.0, 10.0, tanh, libm::tanh) < 3.0);
        assert_eq!(tanh(f32::INFINITY), 1.0);
        assert_eq!(tanh(f32::NEG_INFINITY), -1.0);
        assert!(tanh(f32::NAN).is_nan());
    }

    #[test]
    fn sigmoid_saturates_and_is_symmetric() {
        assert_eq!(sigmoid(f32::NEG_INFINITY), 0.0);
        assert_eq!(sigmoid(f32::INFINITY), 1.0);
        assert_eq!(sigmoid(0.0), 0.5);
        assert!(sigmoid(f32::NAN).is_nan());
        for i in 0..1000 {
            let x = i as f32 * 0.02;
            assert!((sigmoid(x) + sigmoid(-x) - 1.0).abs() <= f32::EPSILON);
        }
    }

    #[test]
    fn exp2_is_exact_at_whole_numbers_and_close_elsewhere() {
        for n in -1022..=1023 {
            assert_eq!(f64::exp2(f64::from(n)), libm::ldexp(1.0, n));
        }
        for i in -20_000..20_000 {
            let x = ::core::primitive::f64::from(i) * 0.011;
            let exact = libm::exp2(x);
            assert!((f64::exp2(x) - exact).abs() <= exact * 2.0 * ::core::primitive::f64::EPSILON, "{x}");
        }
        assert_eq!(f64::exp2(-5000.0), 0.0);
    }

    #[test]
    fn min_and_max_keep_nan_and_order_zeros_by_argument() {
        assert!(min(f32::NAN, 1.0).is_nan() && min(1.0, f32::NAN).is_nan());
        assert!(max(f32::NAN, 1.0).is_nan() && max(1.0, f32::NAN).is_nan());
        assert_eq!(max(-0.0, 0.0).to_bits(), (-0.0f32).to_bits());
        assert_eq!(max(0.0, -0.0).to_bits(), 0.0f32.to_bits());
    }

    #[test]
    fn softplus_has_no_overflow() {
        assert_eq!(softplus(200.0), 200.0);
        assert!(softplus(-200.0) >= 0.0);
        assert!(softplus(f32::NAN).is_nan());
    }
}
