//! Four f32 lanes of a 128-bit vector.
//!
//! On wasm32 by its intrinsics: with link-time optimisation at a size level LLVM vectorises no loop there (seen on
//! 2026-11-23: no `f32x4.mul` in the page's module). Elsewhere a plain array, which LLVM turns into vectors. Product
//! and sum are rounded separately on both, so the bits are the same.

#[cfg(all(target_arch = "wasm32", target_feature = "simd128"))]
mod vector {
    use std::arch::wasm32::{f32x4_add, f32x4_mul, f32x4_splat, v128, v128_load, v128_store};

    /// Four lanes.
    #[derive(Debug, Clone, Copy)]
    pub struct F4(v128);

    impl F4 {
        /// The four elements.
        #[inline]
        #[allow(unsafe_code, reason = "wasm's vector load takes a pointer")]
        pub fn load(x: &[f32; 4]) -> Self {
            // SAFETY: the reference is to 16 readable bytes, and a wasm load needs no alignment.
            F4(unsafe { v128_load(x.as_ptr().cast()) })
        }

        /// Writes the lanes to the first four elements.
        ///
        /// # Panics
        /// If there are fewer.
        #[inline]
        #[allow(unsafe_code, reason = "wasm's vector store takes a pointer")]
        pub fn store(self, to: &mut [f32]) {
            let to = &mut to[..4];
            // SAFETY: the slice holds 16 writable bytes, and a wasm store needs no alignment.
            unsafe { v128_store(to.as_mut_ptr().cast(), self.0) }
        }

        /// The same value four times.
        #[inline]
        pub fn splat(x: f32) -> Self {
            F4(f32x4_splat(x))
        }

        /// Lane by lane.
        #[inline]
        pub fn plus(self, other: Self) -> Self {
            F4(f32x4_add(self.0, other.0))
        }

        /// Lane by lane.
        #[inline]
        pub fn times(self, other: Self) -> Self {
            F4(f32x4_mul(self.0, other.0))
        }
    }
}

#[cfg(not(all(target_arch = "wasm32", target_feature = "simd128")))]
mod vector {
    /// Four lanes.
    #[derive(Debug, Clone, Copy)]
    pub struct F4([f32; 4]);

    impl F4 {
        /// The four elements.
        #[inline]
        pub fn load(x: &[f32; 4]) -> Self {
            F4(*x)
        }

        /// Writes the lanes to the first four elements.
        ///
        /// # Panics
        /// If there are fewer.
        #[inline]
        pub fn store(self, to: &mut [f32]) {
            to[..4].copy_from_slice(&self.0);
        }

        /// The same value four times.
        #[inline]
        pub fn splat(x: f32) -> Self {
            F4([x; 4])
        }

        /// Lane by lane.
        #[inline]
        pub fn plus(self, other: Self) -> Self {
            F4(std::array::from_fn(|i| self.0[i] + other.0[i]))
        }

        /// Lane by lane.
        #[inline]
        pub fn times(self, other: Self) -> Self {
            F4(std::array::from_fn(|i| self.0[i] * other.0[i]))
        }
    }
}

pub use vector::F4;
