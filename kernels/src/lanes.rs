//! Four 32-bit lanes of a 128-bit vector: [`F4`] of f32, [`I4`] of i32, [`M4`] of truth values; [`H8`] of eight i16;
//! [`B16`] of sixteen i8.
//!
//! On wasm32 by its intrinsics: with link-time optimisation at a size level LLVM vectorises no loop there (seen on
//! 2026-11-23: no `f32x4.mul` in the page's module). Elsewhere plain arrays, which LLVM turns into vectors, but for
//! x86-64's product of integers, which it does not find. Every operation is IEEE 754's or exact on integers, product and
//! sum are rounded separately, and comparison and choice stand in for min and max, so the bits are the same on both.

#[cfg(all(target_arch = "wasm32", target_feature = "simd128"))]
mod wasm;
#[cfg(all(target_arch = "wasm32", target_feature = "simd128"))]
pub use wasm::{B16, F4, H8, I4, M4};

#[cfg(not(all(target_arch = "wasm32", target_feature = "simd128")))]
mod plain;
#[cfg(not(all(target_arch = "wasm32", target_feature = "simd128")))]
pub use plain::{B16, F4, H8, I4, M4};

/// Lanes of a vector.
pub const WIDTH: usize = 4;

impl F4 {
    /// Writes the lanes to the first four elements.
    ///
    /// # Panics
    /// If there are fewer.
    #[inline(always)]
    #[allow(unsafe_code, reason = "wasm's vector store takes a pointer")]
    pub fn store(self, to: &mut [f32]) {
        let to = &mut to[..WIDTH];
        // SAFETY: the slice holds four writable elements.
        unsafe { self.store_at(to.as_mut_ptr()) }
    }

    /// The first elements; lanes beyond the last are 0.
    // By patterns: a copy whose length is not known is a call in wasm (30 ns in V8).
    #[inline]
    pub fn load_some(from: &[f32]) -> Self {
        F4::load(&match *from {
            [] => [0.0; 4],
            [a] => [a, 0.0, 0.0, 0.0],
            [a, b] => [a, b, 0.0, 0.0],
            [a, b, c] => [a, b, c, 0.0],
            [a, b, c, d, ..] => [a, b, c, d],
        })
    }

    /// Writes as many lanes as there are elements.
    #[inline]
    pub fn store_some(self, to: &mut [f32]) {
        let [x, y, z, w] = self.lanes();
        match to {
            [] => {}
            [a] => *a = x,
            [a, b] => (*a, *b) = (x, y),
            [a, b, c] => (*a, *b, *c) = (x, y, z),
            [a, b, c, d, ..] => (*a, *b, *c, *d) = (x, y, z, w),
        }
    }

    /// `x < 0 ? 0 : x`: NaN and -0 stay.
    #[inline(always)]
    pub fn relu(self) -> Self {
        let zero = F4::splat(0.0);
        self.less(zero).pick(zero, self)
    }

    /// Without its sign.
    #[inline(always)]
    pub fn abs(self) -> Self {
        self.bits().and(I4::splat(i32::MAX)).as_f4()
    }

    /// With the sign of `other`, which `self` lacks: for values without a sign of their own.
    #[inline(always)]
    pub fn signed_as(self, other: Self) -> Self {
        self.bits().or(other.bits().and(I4::splat(i32::MIN))).as_f4()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::Random;

    fn bytes(random: &mut Random) -> [i8; 16] {
        std::array::from_fn(|_| {
            let any = random.below(256) as u8 as i8;
            random.pick(&[i8::MIN, -1, 0, 1, i8::MAX, any])
        })
    }

    fn stored(lanes: B16) -> [i8; 16] {
        let mut to = [0; 16];
        lanes.store(&mut to);
        to
    }

    #[test]
    fn bytes_equal_the_same_byte_by_byte() {
        let mut random = Random::new(11);
        for _ in 0..2000 {
            let [a, b, c, d] = [(); 4].map(|()| bytes(&mut random));
            let [va, vb, vc, vd] = [&a, &b, &c, &d].map(B16::load);
            for i in 0..16 {
                assert_eq!(stored(va.above(vb))[i], if a[i] > b[i] { -1 } else { 0 });
                assert_eq!(stored(va.and(vb))[i], a[i] & b[i]);
                assert_eq!(stored(va.or(vb))[i], a[i] | b[i]);
                assert_eq!(stored(va.flipped())[i], !a[i]);
                assert_eq!(stored(B16::splat(a[0]))[i], a[0]);
            }
            let fours = a.as_chunks::<4>().0;
            for (four, splat) in fours.iter().zip(B16::splat_fours(&[fours[0], fours[1], fours[2], fours[3]])) {
                assert_eq!(stored(splat).as_chunks::<4>().0, [*four; 4]);
            }
            for (quarter, words) in B16::words([va, vb, vc, vd]).into_iter().enumerate() {
                let mut to = [0; WIDTH];
                words.store(&mut to);
                for (i, word) in to.into_iter().enumerate() {
                    let at = 4 * quarter + i;
                    assert_eq!(word.to_le_bytes(), [a[at], b[at], c[at], d[at]].map(|byte| byte as u8));
                }
            }
        }
    }

    #[test]
    fn bounds_hold_for_every_kind_of_float() {
        let values = [f32::NAN, f32::NEG_INFINITY, -1.0, -0.0, 0.0, 1.5, 2.0, 3.0, f32::INFINITY];
        for value in values {
            let lanes = F4::of([value, 1.5, value, 7.0]);
            let least = lanes.or_more(F4::splat(0.0)).lanes().map(f32::to_bits);
            let expected = if value > 0.0 { value } else { 0.0 };
            assert_eq!(least, [expected, 1.5, expected, 7.0].map(f32::to_bits));
            let most = lanes.or_less(F4::splat(2.0)).lanes().map(f32::to_bits);
            let expected = if value < 2.0 { value } else { 2.0 };
            assert_eq!(most, [expected, 1.5, expected, 2.0].map(f32::to_bits));
            assert_eq!(lanes.less(F4::splat(2.0)).count(), if value < 2.0 { 3 } else { 1 });
        }
    }

    #[test]
    fn words_saturate_on_their_way_to_bytes() {
        let mut random = Random::new(5);
        let edges = [i32::MIN, -65_536, -32_769, -129, -128, -1, 0, 127, 128, 255, 32_768, 65_535, 65_536, i32::MAX];
        for _ in 0..500 {
            let words: [[u32; 4]; 4] = [(); 4].map(|()| [(); 4].map(|()| random.pick(&edges) as u32));
            let narrow = stored(B16::narrow(words.map(|four| I4::load(&four))));
            for (byte, word) in narrow.iter().zip(words.as_flattened()) {
                assert_eq!(i32::from(*byte), (*word as i32).clamp(-128, 127));
            }
            let [a, b] = [words[0], words[1]];
            let mut kept = [0; WIDTH];
            I4::load(&a).without(I4::load(&b)).store(&mut kept);
            assert_eq!(kept, [0, 1, 2, 3].map(|i| a[i] & !b[i]));
        }
    }
}
