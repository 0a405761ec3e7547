//! Copies of rows.

#![allow(unsafe_code, reason = "the hot loop checks its bounds once")]

use crate::lanes::{F4, WIDTH};

/// Copies `rows` rows of `width` elements: row r from `r * from_stride` to `r * to_stride`.
///
/// A copy whose length is not known is a call in wasm (30 ns in V8), for rows of some ten elements: here it is a loop.
///
/// # Panics
/// If a row lies outside its slice, or an element is not made of whole words of 32 bits.
pub fn copy_rows<T: Copy>(from: &[T], from_stride: usize, to: &mut [T], to_stride: usize, width: usize, rows: usize) {
    const { assert!(size_of::<T>().is_multiple_of(4)) };
    let words = size_of::<T>() / 4;
    // SAFETY: each address is that of so many readable or writable words, of which one is borrowed alone.
    unsafe {
        copy_words(
            (from.as_ptr().cast(), from.len() * words, from_stride * words),
            (to.as_mut_ptr().cast(), to.len() * words, to_stride * words),
            width * words,
            rows,
        );
    }
}

/// Rows of words: where they begin, how many there are in all, and how many from row to row.
///
/// # Safety
/// All are readable, and those of `to` writable and apart from the others.
#[inline(never)]
unsafe fn copy_words(from: (*const f32, usize, usize), to: (*mut f32, usize, usize), width: usize, rows: usize) {
    let holds = |len: usize, stride: usize| {
        let last = stride.checked_mul(rows.saturating_sub(1)).and_then(|last| last.checked_add(width));
        rows == 0 || last.is_some_and(|last| last <= len)
    };
    assert!(holds(from.1, from.2) && holds(to.1, to.2));
    for row in 0..rows {
        // SAFETY: the caller's promise; the last row lies within both.
        unsafe {
            let (from, to) = (from.0.add(row * from.2), to.0.add(row * to.2));
            let mut at = 0;
            while at + WIDTH <= width {
                F4::load_at(from.add(at)).store_at(to.add(at));
                at += WIDTH;
            }
            while at < width {
                to.add(at).cast::<u32>().write(from.add(at).cast::<u32>().read());
                at += 1;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn rows_are_copied_and_nothing_else(
            rows in 0usize..5, width in 0usize..21, gaps in [0usize..3, 0usize..3], repeated: bool,
        ) {
            let from_stride = if repeated { 0 } else { width + gaps[0] };
            let to_stride = width + gaps[1];
            let last = |stride: usize| if rows == 0 { 0 } else { (rows - 1) * stride + width };
            let from: Vec<i64> = (0..last(from_stride) as i64).map(|i| i << 20 | 1).collect();
            let (mut to, mut expected) = (vec![-1; last(to_stride)], vec![-1; last(to_stride)]);
            copy_rows(&from, from_stride, &mut to, to_stride, width, rows);
            for (r, c) in (0..rows).flat_map(|r| (0..width).map(move |c| (r, c))) {
                expected[r * to_stride + c] = from[r * from_stride + c];
            }
            prop_assert_eq!(to, expected);
        }
    }
}
