//! The lanes as plain arrays.

#![allow(unsafe_code, reason = "loads and stores take pointers, as those of wasm do")]

use std::array::from_fn;

/// Four lanes of f32.
#[derive(Debug, Clone, Copy)]
pub struct F4([f32; 4]);

/// Four lanes of i32; arithmetic wraps.
#[derive(Debug, Clone, Copy)]
pub struct I4([i32; 4]);

/// Four truth values.
#[derive(Debug, Clone, Copy)]
pub struct M4([bool; 4]);

impl F4 {
    /// The four elements.
    #[inline(always)]
    pub fn load(x: &[f32; 4]) -> Self {
        F4(*x)
    }

    /// The four values: to load four that were just stored one by one waits for the stores.
    #[inline(always)]
    pub fn of(x: [f32; 4]) -> Self {
        F4(x)
    }

    /// The four elements from `x` on.
    ///
    /// # Safety
    /// They are readable.
    #[inline(always)]
    pub unsafe fn load_at(x: *const f32) -> Self {
        // SAFETY: the caller's promise; an array of f32 is aligned as f32 is.
        F4(unsafe { x.cast::<[f32; 4]>().read() })
    }

    /// The element at `x`, four times.
    ///
    /// # Safety
    /// It is readable.
    #[inline(always)]
    pub unsafe fn splat_at(x: *const f32) -> Self {
        // SAFETY: the caller's promise.
        F4([unsafe { x.read() }; 4])
    }

    /// Writes the four elements from `to` on.
    ///
    /// # Safety
    /// They are writable.
    #[inline(always)]
    pub unsafe fn store_at(self, to: *mut f32) {
        // SAFETY: the caller's promise; an array of f32 is aligned as f32 is.
        unsafe { to.cast::<[f32; 4]>().write(self.0) }
    }

    /// The lanes.
    #[inline(always)]
    pub fn lanes(self) -> [f32; 4] {
        self.0
    }

    /// The same value four times.
    #[inline(always)]
    pub fn splat(x: f32) -> Self {
        F4([x; 4])
    }

    /// Lane by lane.
    #[inline(always)]
    pub fn plus(self, other: Self) -> Self {
        F4(from_fn(|i| self.0[i] + other.0[i]))
    }

    /// Lane by lane.
    #[inline(always)]
    pub fn minus(self, other: Self) -> Self {
        F4(from_fn(|i| self.0[i] - other.0[i]))
    }

    /// Lane by lane.
    #[inline(always)]
    pub fn times(self, other: Self) -> Self {
        F4(from_fn(|i| self.0[i] * other.0[i]))
    }

    /// Lane by lane.
    #[inline(always)]
    pub fn over(self, other: Self) -> Self {
        F4(from_fn(|i| self.0[i] / other.0[i]))
    }

    /// Lane by lane.
    #[inline(always)]
    pub fn sqrt(self) -> Self {
        F4(self.0.map(f32::sqrt))
    }

    /// Where `self < other`; false for NaN.
    #[inline(always)]
    pub fn less(self, other: Self) -> M4 {
        M4(from_fn(|i| self.0[i] < other.0[i]))
    }

    /// `self`, or `least` where that is not less than `self`.
    #[inline(always)]
    pub fn or_more(self, least: Self) -> Self {
        least.less(self).pick(self, least)
    }

    /// `self`, or `most` where `self` is not less than that.
    #[inline(always)]
    pub fn or_less(self, most: Self) -> Self {
        self.less(most).pick(self, most)
    }

    /// Where `self <= other`; false for NaN.
    #[inline(always)]
    pub fn at_most(self, other: Self) -> M4 {
        M4(from_fn(|i| self.0[i] <= other.0[i]))
    }

    /// Where `self == other`; false for NaN.
    #[inline(always)]
    pub fn equals(self, other: Self) -> M4 {
        M4(from_fn(|i| self.0[i] == other.0[i]))
    }

    /// The bits of the lanes.
    #[inline(always)]
    pub fn bits(self) -> I4 {
        I4(self.0.map(|x| x.to_bits() as i32))
    }

    /// Rows and columns of a 4 x 4 matrix exchanged.
    #[inline(always)]
    pub fn transpose(rows: [Self; 4]) -> [Self; 4] {
        from_fn(|i| F4(from_fn(|j| rows[j].0[i])))
    }
}

impl I4 {
    /// The same value four times.
    #[inline(always)]
    pub fn splat(x: i32) -> Self {
        I4([x; 4])
    }

    /// Lane by lane.
    #[inline(always)]
    pub fn plus(self, other: Self) -> Self {
        I4(from_fn(|i| self.0[i].wrapping_add(other.0[i])))
    }

    /// Lane by lane.
    #[inline(always)]
    pub fn minus(self, other: Self) -> Self {
        I4(from_fn(|i| self.0[i].wrapping_sub(other.0[i])))
    }

    /// The greater, lane by lane.
    #[inline(always)]
    pub fn greater(self, other: Self) -> Self {
        I4(from_fn(|i| if self.0[i] > other.0[i] { self.0[i] } else { other.0[i] }))
    }

    /// Bit by bit.
    #[inline(always)]
    pub fn and(self, other: Self) -> Self {
        I4(from_fn(|i| self.0[i] & other.0[i]))
    }

    /// Bit by bit.
    #[inline(always)]
    pub fn or(self, other: Self) -> Self {
        I4(from_fn(|i| self.0[i] | other.0[i]))
    }

    /// The bits that `other` lacks.
    #[inline(always)]
    pub fn without(self, other: Self) -> Self {
        I4(from_fn(|i| self.0[i] & !other.0[i]))
    }

    /// The four elements' bits.
    #[inline(always)]
    pub fn load(x: &[u32; 4]) -> Self {
        I4(x.map(|lane| lane as i32))
    }

    /// Each lane to the left by `N` bits.
    #[inline(always)]
    pub fn left<const N: u32>(self) -> Self {
        I4(self.0.map(|x| x << N))
    }

    /// Each lane to the right by `N` bits, its sign kept.
    #[inline(always)]
    pub fn right<const N: u32>(self) -> Self {
        I4(self.0.map(|x| x >> N))
    }

    /// Writes the bits of the lanes.
    #[inline(always)]
    pub fn store(self, to: &mut [u32; 4]) {
        *to = self.0.map(|x| x as u32);
    }

    /// The lanes' values as f32, rounded to nearest even.
    #[inline(always)]
    pub fn to_f4(self) -> F4 {
        F4(self.0.map(|x| x as f32))
    }

    /// The lanes' bits as f32.
    #[inline(always)]
    pub fn as_f4(self) -> F4 {
        F4(self.0.map(|x| f32::from_bits(x as u32)))
    }
}

impl M4 {
    /// The lanes of `yes` where true, else of `no`.
    #[inline(always)]
    pub fn pick(self, yes: F4, no: F4) -> F4 {
        F4(from_fn(|i| if self.0[i] { yes.0[i] } else { no.0[i] }))
    }

    /// All bits where true, else none.
    #[inline(always)]
    pub fn bits(self) -> I4 {
        I4(self.0.map(|b| -i32::from(b)))
    }

    /// A bit for each lane, the first the lowest.
    #[inline(always)]
    pub fn mask(self) -> u32 {
        self.0.iter().rev().fold(0, |mask, &lane| mask << 1 | u32::from(lane))
    }

    /// How many are true.
    #[inline(always)]
    pub fn count(self) -> u32 {
        self.0.map(u32::from).iter().sum()
    }
}

/// Eight lanes of i16.
#[derive(Debug, Clone, Copy)]
pub struct H8([i16; 8]);

impl H8 {
    /// The eight elements from `x` on.
    ///
    /// # Safety
    /// They are readable.
    #[inline(always)]
    pub unsafe fn load_at(x: *const i16) -> Self {
        // SAFETY: the caller's promise; an array of i16 is aligned as i16 is.
        H8(unsafe { x.cast::<[i16; 8]>().read() })
    }

    /// The two elements from `x` on, four times.
    ///
    /// # Safety
    /// They are readable.
    #[inline(always)]
    pub unsafe fn splat_pair_at(x: *const i16) -> Self {
        // SAFETY: the caller's promise; vectors of 16 bytes, whose bits may be any.
        unsafe { H8(std::mem::transmute::<[i32; 4], [i16; 8]>([x.cast::<i32>().read_unaligned(); 4])) }
    }

    /// The lanes of both, each brought into the range of i16.
    #[inline(always)]
    pub fn narrow(low: I4, high: I4) -> Self {
        H8(from_fn(|i| {
            let lane = if i < 4 { low.0[i] } else { high.0[i - 4] };
            lane.clamp(i16::MIN.into(), i16::MAX.into()) as i16
        }))
    }

    /// Writes the lanes.
    #[inline(always)]
    pub fn store(self, to: &mut [i16; 8]) {
        *to = self.0;
    }

    /// The products of the lanes, each two neighbours summed.
    #[inline(always)]
    #[cfg(target_arch = "x86_64")]
    pub fn dot(self, other: Self) -> I4 {
        use std::arch::x86_64::{__m128i, _mm_madd_epi16};
        use std::mem::transmute;
        // From the loop below LLVM makes 15 GFLOP/s instead of 70.
        // SAFETY: arrays and vectors of 16 bytes, whose bits may be any; every x86-64 has SSE2.
        unsafe {
            let [a, b] = [self.0, other.0].map(|x| transmute::<[i16; 8], __m128i>(x));
            I4(transmute::<__m128i, [i32; 4]>(_mm_madd_epi16(a, b)))
        }
    }

    /// The products of the lanes, each two neighbours summed.
    #[inline(always)]
    #[cfg(not(target_arch = "x86_64"))]
    pub fn dot(self, other: Self) -> I4 {
        let product = |i: usize| i32::from(self.0[i]) * i32::from(other.0[i]);
        I4(from_fn(|i| product(2 * i).wrapping_add(product(2 * i + 1))))
    }
}

/// Sixteen lanes of i8.
#[derive(Debug, Clone, Copy)]
pub struct B16([i8; 16]);

impl B16 {
    /// The sixteen elements.
    #[inline(always)]
    pub fn load(x: &[i8; 16]) -> Self {
        B16(*x)
    }

    /// Each four of the elements, four times.
    #[inline(always)]
    pub fn splat_fours(x: &[[i8; 4]; 4]) -> [Self; 4] {
        x.map(|four| B16(from_fn(|i| four[i % 4])))
    }

    /// The same value sixteen times.
    #[inline(always)]
    pub fn splat(x: i8) -> Self {
        B16([x; 16])
    }

    /// The lanes of all four, each brought into the range of i8.
    #[inline(always)]
    pub fn narrow(lanes: [I4; 4]) -> Self {
        B16(from_fn(|i| lanes[i / 4].0[i % 4].clamp(i8::MIN.into(), i8::MAX.into()) as i8))
    }

    /// All bits where `self > other`, else none.
    #[inline(always)]
    pub fn above(self, other: Self) -> Self {
        B16(from_fn(|i| -i8::from(self.0[i] > other.0[i])))
    }

    /// Bit by bit.
    #[inline(always)]
    pub fn and(self, other: Self) -> Self {
        B16(from_fn(|i| self.0[i] & other.0[i]))
    }

    /// Bit by bit.
    #[inline(always)]
    pub fn or(self, other: Self) -> Self {
        B16(from_fn(|i| self.0[i] | other.0[i]))
    }

    /// Bit by bit.
    #[inline(always)]
    pub fn flipped(self) -> Self {
        B16(self.0.map(|lane| !lane))
    }

    /// Writes the lanes.
    #[inline(always)]
    pub fn store(self, to: &mut [i8; 16]) {
        *to = self.0;
    }

    /// Words whose bytes, the lowest first, are the lanes of the four.
    #[inline(always)]
    pub fn words([a, b, c, d]: [Self; 4]) -> [I4; 4] {
        let word = |i: usize| i32::from_le_bytes([a.0[i], b.0[i], c.0[i], d.0[i]].map(|lane| lane as u8));
        from_fn(|quarter| I4(from_fn(|i| word(4 * quarter + i))))
    }
}
