//! Elements of four bytes, little-endian, as a file holds them. On a little-endian machine one copy: a page's weights pass
//! through here before its engine has optimised any loop.

#![allow(unsafe_code, reason = "words are copied as bytes")]

/// Each f32, bit for bit.
///
/// # Panics
/// If the lengths differ.
pub fn decode_f32(from: &[u8], to: &mut [f32]) {
    assert_eq!(from.len(), size_of_val(to));
    // SAFETY: `to` has as many bytes, which any will do for, and is borrowed alone.
    unsafe { std::ptr::copy_nonoverlapping(from.as_ptr(), to.as_mut_ptr().cast(), from.len()) }
    #[cfg(target_endian = "big")]
    to.iter_mut().for_each(|word| *word = f32::from_bits(word.to_bits().swap_bytes()));
}

/// Each i32.
///
/// # Panics
/// If the lengths differ.
pub fn decode_i32(from: &[u8], to: &mut [i32]) {
    assert_eq!(from.len(), size_of_val(to));
    // SAFETY: as of `decode_f32`.
    unsafe { std::ptr::copy_nonoverlapping(from.as_ptr(), to.as_mut_ptr().cast(), from.len()) }
    #[cfg(target_endian = "big")]
    to.iter_mut().for_each(|word| *word = word.swap_bytes());
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn every_word_keeps_its_bits(words in prop::collection::vec(any::<u32>(), 0..40)) {
            let bytes: Vec<u8> = words.iter().flat_map(|word| word.to_le_bytes()).collect();
            let (mut floats, mut ints) = (vec![0.0; words.len()], vec![0; words.len()]);
            decode_f32(&bytes, &mut floats);
            decode_i32(&bytes, &mut ints);
            prop_assert!(words.iter().zip(&floats).all(|(word, float)| *word == float.to_bits()));
            prop_assert!(words.iter().zip(&ints).all(|(word, int)| *word as i32 == *int));
        }
    }
}
