//! The lanes by wasm's intrinsics.

#![allow(unsafe_code, reason = "wasm's vector loads and stores take pointers")]

use std::arch::wasm32::{
    f32x4, f32x4_add, f32x4_convert_i32x4, f32x4_div, f32x4_eq, f32x4_extract_lane, f32x4_le, f32x4_lt, f32x4_mul,
    f32x4_pmax, f32x4_pmin, f32x4_splat, f32x4_sqrt, f32x4_sub, i8x16_gt, i8x16_narrow_i16x8, i8x16_shuffle,
    i8x16_splat, i16x8_narrow_i32x4, i16x8_shuffle, i32x4_add, i32x4_bitmask, i32x4_dot_i16x8, i32x4_max, i32x4_shl,
    i32x4_shr, i32x4_shuffle, i32x4_splat, i32x4_sub, v128, v128_and, v128_andnot, v128_bitselect, v128_load,
    v128_load32_splat, v128_not, v128_or, v128_store,
};

/// Four lanes of f32.
#[derive(Debug, Clone, Copy)]
pub struct F4(v128);

/// Four lanes of i32; arithmetic wraps.
#[derive(Debug, Clone, Copy)]
pub struct I4(v128);

/// Four truth values.
#[derive(Debug, Clone, Copy)]
pub struct M4(v128);

impl F4 {
    /// The four elements.
    #[inline(always)]
    pub fn load(x: &[f32; 4]) -> Self {
        // SAFETY: the reference is to 16 readable bytes, and a wasm load needs no alignment.
        unsafe { Self::load_at(x.as_ptr()) }
    }

    /// The four values: to load four that were just stored one by one waits for the stores.
    #[inline(always)]
    pub fn of(x: [f32; 4]) -> Self {
        F4(f32x4(x[0], x[1], x[2], x[3]))
    }

    /// The four elements from `x` on.
    ///
    /// # Safety
    /// They are readable.
    #[inline(always)]
    pub unsafe fn load_at(x: *const f32) -> Self {
        // SAFETY: the caller's promise; a wasm load needs no alignment.
        F4(unsafe { v128_load(x.cast()) })
    }

    /// The element at `x`, four times.
    ///
    /// # Safety
    /// It is readable.
    #[inline(always)]
    pub unsafe fn splat_at(x: *const f32) -> Self {
        // SAFETY: the caller's promise; a wasm load needs no alignment.
        F4(unsafe { v128_load32_splat(x.cast()) })
    }

    /// Writes the four elements from `to` on.
    ///
    /// # Safety
    /// They are writable.
    #[inline(always)]
    pub unsafe fn store_at(self, to: *mut f32) {
        // SAFETY: the caller's promise; a wasm store needs no alignment.
        unsafe { v128_store(to.cast(), self.0) }
    }

    /// The lanes.
    #[inline(always)]
    pub fn lanes(self) -> [f32; 4] {
        [
            f32x4_extract_lane::<0>(self.0),
            f32x4_extract_lane::<1>(self.0),
            f32x4_extract_lane::<2>(self.0),
            f32x4_extract_lane::<3>(self.0),
        ]
    }

    /// The same value four times.
    #[inline(always)]
    pub fn splat(x: f32) -> Self {
        F4(f32x4_splat(x))
    }

    /// Lane by lane.
    #[inline(always)]
    pub fn plus(self, other: Self) -> Self {
        F4(f32x4_add(self.0, other.0))
    }

    /// Lane by lane.
    #[inline(always)]
    pub fn minus(self, other: Self) -> Self {
        F4(f32x4_sub(self.0, other.0))
    }

    /// Lane by lane.
    #[inline(always)]
    pub fn times(self, other: Self) -> Self {
        F4(f32x4_mul(self.0, other.0))
    }

    /// Lane by lane.
    #[inline(always)]
    pub fn over(self, other: Self) -> Self {
        F4(f32x4_div(self.0, other.0))
    }

    /// Lane by lane.
    #[inline(always)]
    pub fn sqrt(self) -> Self {
        F4(f32x4_sqrt(self.0))
    }

    /// Where `self < other`; false for NaN.
    #[inline(always)]
    pub fn less(self, other: Self) -> M4 {
        M4(f32x4_lt(self.0, other.0))
    }

    /// `self`, or `least` where that is not less than `self`.
    #[inline(always)]
    pub fn or_more(self, least: Self) -> Self {
        F4(f32x4_pmax(least.0, self.0))
    }

    /// `self`, or `most` where `self` is not less than that.
    #[inline(always)]
    pub fn or_less(self, most: Self) -> Self {
        F4(f32x4_pmin(most.0, self.0))
    }

    /// Where `self <= other`; false for NaN.
    #[inline(always)]
    pub fn at_most(self, other: Self) -> M4 {
        M4(f32x4_le(self.0, other.0))
    }

    /// Where `self == other`; false for NaN.
    #[inline(always)]
    pub fn equals(self, other: Self) -> M4 {
        M4(f32x4_eq(self.0, other.0))
    }

    /// The bits of the lanes.
    #[inline(always)]
    pub fn bits(self) -> I4 {
        I4(self.0)
    }

    /// Rows and columns of a 4 x 4 matrix exchanged.
    #[inline(always)]
    pub fn transpose([a, b, c, d]: [Self; 4]) -> [Self; 4] {
        let ab_low = i32x4_shuffle::<0, 4, 1, 5>(a.0, b.0);
        let ab_high = i32x4_shuffle::<2, 6, 3, 7>(a.0, b.0);
        let cd_low = i32x4_shuffle::<0, 4, 1, 5>(c.0, d.0);
        let cd_high = i32x4_shuffle::<2, 6, 3, 7>(c.0, d.0);
        [
            F4(i32x4_shuffle::<0, 1, 4, 5>(ab_low, cd_low)),
            F4(i32x4_shuffle::<2, 3, 6, 7>(ab_low, cd_low)),
            F4(i32x4_shuffle::<0, 1, 4, 5>(ab_high, cd_high)),
            F4(i32x4_shuffle::<2, 3, 6, 7>(ab_high, cd_high)),
        ]
    }
}

impl I4 {
    /// The same value four times.
    #[inline(always)]
    pub fn splat(x: i32) -> Self {
        I4(i32x4_splat(x))
    }

    /// Lane by lane.
    #[inline(always)]
    pub fn plus(self, other: Self) -> Self {
        I4(i32x4_add(self.0, other.0))
    }

    /// Lane by lane.
    #[inline(always)]
    pub fn minus(self, other: Self) -> Self {
        I4(i32x4_sub(self.0, other.0))
    }

    /// The greater, lane by lane.
    #[inline(always)]
    pub fn greater(self, other: Self) -> Self {
        I4(i32x4_max(self.0, other.0))
    }

    /// Bit by bit.
    #[inline(always)]
    pub fn and(self, other: Self) -> Self {
        I4(v128_and(self.0, other.0))
    }

    /// Bit by bit.
    #[inline(always)]
    pub fn or(self, other: Self) -> Self {
        I4(v128_or(self.0, other.0))
    }

    /// The bits that `other` lacks.
    #[inline(always)]
    pub fn without(self, other: Self) -> Self {
        I4(v128_andnot(self.0, other.0))
    }

    /// The four elements' bits.
    #[inline(always)]
    pub fn load(x: &[u32; 4]) -> Self {
        // SAFETY: the reference is to 16 readable bytes, and a wasm load needs no alignment.
        I4(unsafe { v128_load(x.as_ptr().cast()) })
    }

    /// Each lane to the left by `N` bits.
    #[inline(always)]
    pub fn left<const N: u32>(self) -> Self {
        I4(i32x4_shl(self.0, N))
    }

    /// Each lane to the right by `N` bits, its sign kept.
    #[inline(always)]
    pub fn right<const N: u32>(self) -> Self {
        I4(i32x4_shr(self.0, N))
    }

    /// Writes the bits of the lanes.
    #[inline(always)]
    pub fn store(self, to: &mut [u32; 4]) {
        // SAFETY: the reference is to 16 writable bytes, and a wasm store needs no alignment.
        unsafe { v128_store(to.as_mut_ptr().cast(), self.0) }
    }

    /// The lanes' values as f32, rounded to nearest even.
    #[inline(always)]
    pub fn to_f4(self) -> F4 {
        F4(f32x4_convert_i32x4(self.0))
    }

    /// The lanes' bits as f32.
    #[inline(always)]
    pub fn as_f4(self) -> F4 {
        F4(self.0)
    }
}

impl M4 {
    /// The lanes of `yes` where true, else of `no`.
    #[inline(always)]
    pub fn pick(self, yes: F4, no: F4) -> F4 {
        F4(v128_bitselect(yes.0, no.0, self.0))
    }

    /// All bits where true, else none.
    #[inline(always)]
    pub fn bits(self) -> I4 {
        I4(self.0)
    }

    /// A bit for each lane, the first the lowest.
    #[inline(always)]
    pub fn mask(self) -> u32 {
        u32::from(i32x4_bitmask(self.0))
    }

    /// How many are true.
    #[inline(always)]
    pub fn count(self) -> u32 {
        i32x4_bitmask(self.0).count_ones()
    }
}

/// Eight lanes of i16.
#[derive(Debug, Clone, Copy)]
pub struct H8(v128);

impl H8 {
    /// The eight elements from `x` on.
    ///
    /// # Safety
    /// They are readable.
    #[inline(always)]
    pub unsafe fn load_at(x: *const i16) -> Self {
        // SAFETY: the caller's promise; a wasm load needs no alignment.
        H8(unsafe { v128_load(x.cast()) })
    }

    /// The two elements from `x` on, four times.
    ///
    /// # Safety
    /// They are readable.
    #[inline(always)]
    pub unsafe fn splat_pair_at(x: *const i16) -> Self {
        // SAFETY: the caller's promise; a wasm load needs no alignment.
        H8(unsafe { v128_load32_splat(x.cast()) })
    }

    /// The lanes of both, each brought into the range of i16.
    #[inline(always)]
    pub fn narrow(low: I4, high: I4) -> Self {
        H8(i16x8_narrow_i32x4(low.0, high.0))
    }

    /// Writes the lanes.
    #[inline(always)]
    pub fn store(self, to: &mut [i16; 8]) {
        // SAFETY: the reference is to 16 writable bytes, and a wasm store needs no alignment.
        unsafe { v128_store(to.as_mut_ptr().cast(), self.0) }
    }

    /// The products of the lanes, each two neighbours summed.
    #[inline(always)]
    pub fn dot(self, other: Self) -> I4 {
        I4(i32x4_dot_i16x8(self.0, other.0))
    }
}

/// Sixteen lanes of i8.
#[derive(Debug, Clone, Copy)]
pub struct B16(v128);

impl B16 {
    /// The sixteen elements.
    #[inline(always)]
    pub fn load(x: &[i8; 16]) -> Self {
        // SAFETY: the reference is to 16 readable bytes, and a wasm load needs no alignment.
        B16(unsafe { v128_load(x.as_ptr().cast()) })
    }

    /// Each four of the elements, four times.
    #[inline(always)]
    pub fn splat_fours(x: &[[i8; 4]; 4]) -> [Self; 4] {
        // SAFETY: the reference is to 16 readable bytes, and a wasm load needs no alignment.
        let x = unsafe { v128_load(x.as_ptr().cast()) };
        [
            B16(i32x4_shuffle::<0, 0, 0, 0>(x, x)),
            B16(i32x4_shuffle::<1, 1, 1, 1>(x, x)),
            B16(i32x4_shuffle::<2, 2, 2, 2>(x, x)),
            B16(i32x4_shuffle::<3, 3, 3, 3>(x, x)),
        ]
    }

    /// The same value sixteen times.
    #[inline(always)]
    pub fn splat(x: i8) -> Self {
        B16(i8x16_splat(x))
    }

    /// The lanes of all four, each brought into the range of i8.
    #[inline(always)]
    pub fn narrow([a, b, c, d]: [I4; 4]) -> Self {
        B16(i8x16_narrow_i16x8(i16x8_narrow_i32x4(a.0, b.0), i16x8_narrow_i32x4(c.0, d.0)))
    }

    /// All bits where `self > other`, else none.
    #[inline(always)]
    pub fn above(self, other: Self) -> Self {
        B16(i8x16_gt(self.0, other.0))
    }

    /// Bit by bit.
    #[inline(always)]
    pub fn and(self, other: Self) -> Self {
        B16(v128_and(self.0, other.0))
    }

    /// Bit by bit.
    #[inline(always)]
    pub fn or(self, other: Self) -> Self {
        B16(v128_or(self.0, other.0))
    }

    /// Bit by bit.
    #[inline(always)]
    pub fn flipped(self) -> Self {
        B16(v128_not(self.0))
    }

    /// Writes the lanes.
    #[inline(always)]
    pub fn store(self, to: &mut [i8; 16]) {
        // SAFETY: the reference is to 16 writable bytes, and a wasm store needs no alignment.
        unsafe { v128_store(to.as_mut_ptr().cast(), self.0) }
    }

    /// Words whose bytes, the lowest first, are the lanes of the four.
    #[inline(always)]
    pub fn words([a, b, c, d]: [Self; 4]) -> [I4; 4] {
        fn low(a: v128, b: v128) -> v128 {
            i8x16_shuffle::<0, 16, 1, 17, 2, 18, 3, 19, 4, 20, 5, 21, 6, 22, 7, 23>(a, b)
        }
        fn high(a: v128, b: v128) -> v128 {
            i8x16_shuffle::<8, 24, 9, 25, 10, 26, 11, 27, 12, 28, 13, 29, 14, 30, 15, 31>(a, b)
        }
        let join = |ab, cd| {
            [
                I4(i16x8_shuffle::<0, 8, 1, 9, 2, 10, 3, 11>(ab, cd)),
                I4(i16x8_shuffle::<4, 12, 5, 13, 6, 14, 7, 15>(ab, cd)),
            ]
        };
        let ([w, x], [y, z]) = (join(low(a.0, b.0), low(c.0, d.0)), join(high(a.0, b.0), high(c.0, d.0)));
        [w, x, y, z]
    }
}
