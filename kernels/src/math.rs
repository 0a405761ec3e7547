//! The one place for transcendental functions and for min and max.
//!
//! `std`'s `exp`, `ln`, `powf`, `tanh` and float `min` / `max` give different bits on different
//! platforms, so a clippy list bans them elsewhere. f32 functions here are polynomials made of
//! `+ - * /` and bit operations alone, without branches, four lanes at a time; a scalar is the vector's first lane,
//! so that a slice's function gives its bits whatever the length. f64 functions and `pow` come from the `libm` crate,
//! which is a port of one C library and so computes the same everywhere.
//!
//! Errors are stated in units of the last place of the correctly rounded value, as the greatest found on a
//! thirteenth of all f32; the tests assert them on a sample.

mod vector;
pub use vector::{
    elu_slice, erf_slice, exp_slice, gelu_slice, gelu_tanh_slice, leaky_relu_slice, ln_slice, relu_slice,
    sigmoid_slice, silu_slice, softplus_slice, tanh_slice,
};

/// e^x, within 1.1 ulp; underflow is gradual, NaN stays NaN.
pub fn exp(x: f32) -> f32 {
    vector::of_one(x, vector::exp_lanes)
}

/// 1 / (1 + e^-x), within 2.4 ulp in both tails.
pub fn sigmoid(x: f32) -> f32 {
    vector::of_one(x, vector::sigmoid_lanes)
}

/// tanh x, within 1.5 ulp.
pub fn tanh(x: f32) -> f32 {
    vector::of_one(x, vector::tanh_lanes)
}

/// ln x (f32), within 1 ulp: negative gives NaN, zero negative infinity.
pub fn ln(x: f32) -> f32 {
    vector::of_one(x, vector::ln_lanes)
}

/// ln(1 + e^x) without overflow, within 1.8 ulp.
pub fn softplus(x: f32) -> f32 {
    vector::of_one(x, vector::softplus_lanes)
}

/// The error function, within 1.7 ulp.
pub fn erf(x: f32) -> f32 {
    vector::of_one(x, vector::erf_lanes)
}

/// x^y (f32).
#[inline]
pub fn pow(x: f32, y: f32) -> f32 {
    // Asked as libm asks, whose square root and its table then never come into a page. The instruction is as exact.
    if y.to_bits() == 0.5f32.to_bits() {
        return if x == f32::NEG_INFINITY { f32::INFINITY } else { (x + 0.0).sqrt() };
    }
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
        let whole = x.floor();
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
mod tests;
