//! Decimals to the nearest double, ties to even: exactly, and small rather than fast.

/// Digits past which no double can tell two decimals apart, but by being larger than a tie.
const DIGITS: usize = 800;

/// The nearest double to `digits` x 10^`exponent`. `digits` is `12` or `12.5`; `exponent` is empty or `e-3`.
#[inline(never)]
pub(super) fn nearest(digits: &[u8], exponent: &[u8]) -> f64 {
    let mut scale = power(exponent);
    let mut significant = Vec::with_capacity(digits.len());
    let mut fraction = false;
    for &digit in digits {
        if digit == b'.' {
            fraction = true;
            continue;
        }
        scale -= i64::from(fraction);
        if digit != b'0' || !significant.is_empty() {
            significant.push(digit - b'0');
        }
    }
    if significant.len() > DIGITS {
        scale += (significant.len() - DIGITS) as i64;
        let rest = significant.split_off(DIGITS);
        // Past a tie or not: what is cut off matters only by being there.
        significant[DIGITS - 1] |= u8::from(rest.iter().any(|&digit| digit > 0));
    }
    let magnitude = significant.len() as i64 + scale;
    if significant.is_empty() || magnitude < -330 {
        return 0.0;
    }
    if magnitude > 310 {
        return f64::INFINITY;
    }
    if significant.len() <= 15 && (-22..=22).contains(&scale) {
        // Both numbers are exact, so one operation rounds once (Clinger 1990).
        let whole = significant.iter().fold(0.0, |whole, &digit| whole * 10.0 + f64::from(digit));
        let ten = (0..scale.unsigned_abs()).fold(1.0, |power, _| power * 10.0);
        return if scale < 0 { whole / ten } else { whole * ten };
    }
    let mut number = Natural(Vec::new());
    for &digit in &significant {
        number.times(10, u32::from(digit));
    }
    let mut halvings = 0;
    let mut rest = false;
    if scale < 0 {
        // Enough bits in front that 64 are left behind the divisions.
        halvings = 4 * scale.unsigned_abs() as usize + 64;
        (0..halvings / 16).for_each(|_| number.times(1 << 16, 0));
        halvings = halvings / 16 * 16;
        (scale..0).for_each(|_| rest |= number.tenth());
    } else {
        (0..scale).for_each(|_| number.times(10, 0));
    }
    number.double(halvings, rest)
}

/// The number behind `e`, as far as it matters.
fn power(text: &[u8]) -> i64 {
    let Some((_, text)) = text.split_first() else { return 0 };
    let (minus, digits) = match text {
        [b'-', digits @ ..] => (true, digits),
        [b'+', digits @ ..] => (false, digits),
        digits => (false, digits),
    };
    let size = digits.iter().fold(0, |size: i64, digit| (size * 10 + i64::from(digit - b'0')).min(1 << 40));
    if minus { -size } else { size }
}

/// A natural number, 32 bits a limb, the lowest first.
struct Natural(Vec<u32>);

impl Natural {
    /// self x factor + more.
    fn times(&mut self, factor: u32, more: u32) {
        let mut carry = u64::from(more);
        for limb in &mut self.0 {
            carry += u64::from(*limb) * u64::from(factor);
            *limb = carry as u32;
            carry >>= 32;
        }
        if carry > 0 {
            self.0.push(carry as u32);
        }
    }

    /// A tenth, rounded down; whether anything was left.
    fn tenth(&mut self) -> bool {
        let mut rest = 0;
        for limb in self.0.iter_mut().rev() {
            let all = rest << 32 | u64::from(*limb);
            *limb = (all / 10) as u32;
            rest = all % 10;
        }
        rest > 0
    }

    fn bit(&self, at: usize) -> bool {
        self.0[at / 32] >> (at % 32) & 1 == 1
    }

    /// self / 2^`halvings`, to the nearest; `rest` says that the number is a little more than this.
    fn double(&self, halvings: usize, rest: bool) -> f64 {
        let length = (0..self.0.len() * 32).rev().find(|&at| self.bit(at)).map_or(0, |at| at + 1);
        let exponent = length as i64 - 1 - halvings as i64;
        // Below the smallest normal double there is a bit less for each power.
        let kept = 53 + (exponent + 1022).min(0);
        if kept < 0 {
            return 0.0;
        }
        let cut = length.saturating_sub(kept as usize);
        let mut mantissa = (cut..length).rev().fold(0u64, |mantissa, at| mantissa << 1 | u64::from(self.bit(at)));
        if cut > 0 && self.bit(cut - 1) && (rest || mantissa & 1 == 1 || (0..cut - 1).any(|at| self.bit(at))) {
            mantissa += 1;
        }
        let two = cut as i64 - halvings as i64;
        let power = |n: i64| f64::from_bits(((1023 + n) as u64) << 52);
        // Twice, since 2^-1074 alone is no normal number. Either product is exact.
        mantissa as f64 * power(two / 2) * power(two - two / 2)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn agrees(text: &str) {
        let (digits, exponent) = text.split_at(text.find('e').unwrap_or(text.len()));
        let own = nearest(digits.as_bytes(), exponent.as_bytes());
        assert_eq!(own.to_bits(), text.parse::<f64>().unwrap().to_bits(), "{text}");
    }

    proptest! {
        #[test]
        fn any_double_comes_back(bits in any::<u64>()) {
            let x = f64::from_bits(bits & !(1 << 63));
            if x.is_finite() {
                for text in [format!("{x:e}"), format!("{x}"), format!("{x:.20e}")] {
                    agrees(&text);
                }
            }
        }

        #[test]
        fn any_decimal_is_the_standard_library_s(whole in "[0-9]{1,40}", part in "(\\.[0-9]{1,40})?", power in -400i32..400) {
            agrees(&format!("{whole}{part}e{power}"));
        }

        #[test]
        fn ties_and_what_is_a_little_off_them(mantissa in 1u64 << 52..1 << 53, power in 0u32..200) {
            agrees(&(mantissa as f64 * f64::from_bits(u64::from(1023 + power) << 52)).to_string());
            // Half way between two doubles, and one digit more, near or far behind.
            let tie = (u128::from(mantissa) << 1 | 1).to_string();
            for text in [tie.clone(), format!("{tie}.{}1", "0".repeat(30)), format!("{tie}e-{power}"), format!("{tie}.{}1", "0".repeat(900))] {
                agrees(&text);
            }
        }
    }

    #[test]
    fn the_ends_of_the_range() {
        for text in [
            "0",
            "0.000e5",
            "1e-400",
            "4.9e-324",
            "2.4703282292062327e-324",
            "2.4703282292062328e-324",
            "2.2250738585072011e-308",
            "2.2250738585072014e-308",
            "1.7976931348623157e308",
            "1.7976931348623158e308",
            "1.7976931348623159e308",
            "1e309",
            "9007199254740993",
            "123456789012345678901234567890",
            "0.3",
            "1e22",
            "1e23",
            "1e-22",
            "1e-23",
        ] {
            agrees(text);
        }
    }
}
