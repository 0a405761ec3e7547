//! Four 32-bit lanes of a 128-bit vector: [`F4`] of f32, [`I4`] of i32, [`M4`] of truth values; [`H8`] of eight i16; [`B16`] of sixteen
//! i8.
//!
//! On wasm32 by its intrinsics: with link-time optimisation at a size level LLVM vectorises no loop there (seen on
//! 2026-11-23: no `f32x4.mul` in the page's module). Elsewhere plain arrays, which LLVM turns into vectors. Every
//! operation is IEEE 754's or exact on integers, product and sum are rounded separately, and comparison and choice
//! stand in for min and max, so the bits are the same on both.

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
