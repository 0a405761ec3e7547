//! Softmax of lines that lie one behind the other.
//!
//! **Summation order**: the exponentials of a line are added to 0 from the first to the last.

use crate::elementwise::{Arithmetic, arithmetic_with};
use crate::math;

/// Each `group` elements of `y` become exponentials of their differences from the largest, divided by their sum.
///
/// The exponentials of all lines are one call. Four lines in lanes for the largest and the sum were no sooner within what
/// varies, and 500 bytes of brotli (2026-11-30).
///
/// # Panics
/// If `group` is 0.
#[inline(never)]
pub fn softmax(y: &mut [f32], group: usize) {
    for line in y.chunks_exact_mut(group) {
        // Of NaN all of a line becomes NaN, whatever the largest is taken to be.
        let top = line.iter().fold(f32::NEG_INFINITY, |top, &x| if x > top { x } else { top });
        arithmetic_with(Arithmetic::Sub, line, top);
    }
    math::exp_slice(y);
    for line in y.chunks_exact_mut(group) {
        let total = line.iter().fold(0.0, |sum, x| sum + x);
        arithmetic_with(Arithmetic::Div, line, total);
    }
}

/// The naive twin of [`softmax`], element after element.
pub fn softmax_naive(y: &mut [f32], group: usize) {
    for line in y.chunks_exact_mut(group) {
        let top = line.iter().copied().fold(f32::NEG_INFINITY, math::max);
        line.iter_mut().for_each(|x| *x = math::exp(*x - top));
        let total = line.iter().fold(0.0, |sum, x| sum + x);
        line.iter_mut().for_each(|x| *x /= total);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{Random, bits};
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn lanes_equal_the_naive_twin_bit_for_bit(lines in 0usize..14, group in 1usize..37, special: bool, seed: u64) {
            let mut random = Random::new(seed);
            let mut y = random.values(lines * group);
            for value in &mut y {
                if special && random.below(9) == 0 {
                    *value = random.pick(&[0.0, -0.0, f32::INFINITY, f32::NEG_INFINITY, f32::NAN, 1e9, -1e9]);
                }
            }
            let mut expected = y.clone();
            softmax(&mut y, group);
            softmax_naive(&mut expected, group);
            prop_assert_eq!(bits(&y), bits(&expected));
        }
    }
}
