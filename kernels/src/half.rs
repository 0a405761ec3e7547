//! 16-bit floats in storage: IEEE 754 binary16 (f16) and bfloat16 (bf16), to f32 exactly and from it rounded to nearest
//! even.
//!
//! Both work on the bits alone. Encoding is the compiler's; a page only decodes.

/// Each f16 as f32: denormals, infinities and NaN included.
///
/// # Panics
/// If the lengths differ.
pub fn decode_f16(from: &[u16], to: &mut [f32]) {
    assert_eq!(from.len(), to.len());
    for (to, from) in to.iter_mut().zip(from) {
        *to = f16_to_f32(*from);
    }
}

/// Each bf16 as f32.
///
/// # Panics
/// If the lengths differ.
pub fn decode_bf16(from: &[u16], to: &mut [f32]) {
    assert_eq!(from.len(), to.len());
    for (to, from) in to.iter_mut().zip(from) {
        *to = f32::from_bits(u32::from(*from) << 16);
    }
}

/// The nearest f16 of each; what is too large becomes infinite.
///
/// # Panics
/// If the lengths differ.
pub fn encode_f16(from: &[f32], to: &mut [u16]) {
    assert_eq!(from.len(), to.len());
    for (to, from) in to.iter_mut().zip(from) {
        *to = f16_of_f32(*from);
    }
}

/// The nearest bf16 of each; what is too large becomes infinite.
///
/// # Panics
/// If the lengths differ.
pub fn encode_bf16(from: &[f32], to: &mut [u16]) {
    assert_eq!(from.len(), to.len());
    for (to, from) in to.iter_mut().zip(from) {
        *to = bf16_of_f32(*from);
    }
}

fn f16_to_f32(half: u16) -> f32 {
    // The exponent's bias differs by 112: a product with 2^112 moves it, and makes denormals normal.
    const SHIFT: f32 = f32::from_bits((112 + 127) << 23);
    const INFINITE: u16 = 0x7c00;
    let sign = u32::from(half & 0x8000) << 16;
    let bits = u32::from(half & 0x7fff) << 13;
    let magnitude = if half & INFINITE == INFINITE {
        // Infinity or NaN: the greatest exponent of f32, the payload kept.
        bits | 0x7f80_0000
    } else {
        (f32::from_bits(bits) * SHIFT).to_bits()
    };
    f32::from_bits(sign | magnitude)
}

fn f16_of_f32(x: f32) -> u16 {
    let sign = (x.to_bits() >> 16) as u16 & 0x8000;
    let bits = x.to_bits() & 0x7fff_ffff;
    // 2^-14, the least normal f16, and 65520, from which on the nearest is infinity.
    let magnitude = match bits {
        0x7f80_0001.. => 0x7e00,
        0x477f_f000.. => 0x7c00,
        0x3880_0000.. => rounded(bits - (112 << 23), 13),
        // 0.5 has a last place of 2^-24, the unit of f16's denormals: the sum rounds to it.
        _ => (f32::from_bits(bits) + 0.5).to_bits() - 0.5f32.to_bits(),
    };
    sign | magnitude as u16
}

fn bf16_of_f32(x: f32) -> u16 {
    let bits = x.to_bits();
    if x.is_nan() {
        // Quiet, since what is left of the payload may be 0.
        return (bits >> 16) as u16 | 0x0040;
    }
    rounded(bits, 16) as u16
}

/// Without the last `n` bits, to nearest even; a carry enters the exponent, as it should.
fn rounded(bits: u32, n: u32) -> u32 {
    let odd = bits >> n & 1;
    (bits + (1 << (n - 1)) - 1 + odd) >> n
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The definition: sign, exponent, significand.
    fn f16_value(half: u16) -> f64 {
        let sign = if half & 0x8000 != 0 { -1.0 } else { 1.0 };
        let (exponent, fraction) = (i32::from(half >> 10 & 31), f64::from(half & 0x3ff));
        match exponent {
            0 => sign * libm::ldexp(fraction, -24),
            31 if fraction == 0.0 => sign * f64::INFINITY,
            31 => f64::NAN,
            _ => sign * libm::ldexp(1024.0 + fraction, exponent - 25),
        }
    }

    fn all() -> Vec<u16> {
        (0..=u16::MAX).collect()
    }

    #[test]
    fn every_f16_decodes_to_its_value_and_encodes_to_itself() {
        let (halves, mut floats, mut back) = (all(), vec![0.0; 65_536], vec![0; 65_536]);
        decode_f16(&halves, &mut floats);
        encode_f16(&floats, &mut back);
        for ((half, float), back) in halves.iter().zip(&floats).zip(&back) {
            let value = f16_value(*half);
            if value.is_nan() {
                assert!(float.is_nan() && f16_value(*back).is_nan(), "{half:04x}");
            } else {
                assert_eq!(f64::from(*float).to_bits(), value.to_bits(), "{half:04x}");
                assert_eq!(half, back);
            }
        }
    }

    #[test]
    fn every_bf16_decodes_to_its_upper_bits_and_encodes_to_itself() {
        let (halves, mut floats, mut back) = (all(), vec![0.0; 65_536], vec![0; 65_536]);
        decode_bf16(&halves, &mut floats);
        encode_bf16(&floats, &mut back);
        for ((half, float), back) in halves.iter().zip(&floats).zip(&back) {
            assert_eq!(float.to_bits(), u32::from(*half) << 16);
            if float.is_nan() {
                assert!(back & 0x7f80 == 0x7f80 && back & 0x7f != 0, "{half:04x}");
            } else {
                assert_eq!(half, back);
            }
        }
    }

    /// Between each pair of neighbours: just below, at and just above the middle.
    fn rounds_to_nearest_even(encode: fn(&[f32], &mut [u16]), value: fn(u16) -> f64, last: u16) {
        let one = |x: f32| {
            let mut to = [0];
            encode(&[x], &mut to);
            to[0]
        };
        for low in 0..last {
            let middle = ((value(low) + value(low + 1)) / 2.0) as f32;
            assert_eq!(f64::from(middle), (value(low) + value(low + 1)) / 2.0, "the middle is an f32");
            let even = if low & 1 == 0 { low } else { low + 1 };
            for (x, expected) in [(middle.next_down(), low), (middle, even), (middle.next_up(), low + 1)] {
                assert_eq!(one(x), expected, "{x:e}");
                assert_eq!(one(-x), expected | 0x8000, "{x:e}");
            }
        }
    }

    #[test]
    fn f16_rounds_to_nearest_even() {
        rounds_to_nearest_even(encode_f16, f16_value, 0x7bff);
        let mut to = [0; 4];
        encode_f16(&[65_519.996, 65_520.0, 1e30, f32::INFINITY], &mut to);
        assert_eq!(to, [0x7bff, 0x7c00, 0x7c00, 0x7c00]);
    }

    #[test]
    fn bf16_rounds_to_nearest_even() {
        rounds_to_nearest_even(encode_bf16, |half| f64::from(f32::from_bits(u32::from(half) << 16)), 0x7f7f);
        let mut to = [0; 2];
        encode_bf16(&[f32::MAX, f32::INFINITY], &mut to);
        assert_eq!(to, [0x7f80, 0x7f80]);
    }
}
