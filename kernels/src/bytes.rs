//! Elements of four bytes, little-endian, as a file holds them. Here and not with the reader of files, so that the loops are
//! built for speed: a page's weights pass through them before its engine has optimised anything.

/// Each f32, bit for bit.
///
/// # Panics
/// If the lengths differ.
pub fn decode_f32(from: &[u8], to: &mut [f32]) {
    let (words, rest) = from.as_chunks();
    assert!(rest.is_empty() && words.len() == to.len());
    for (to, word) in to.iter_mut().zip(words) {
        *to = f32::from_le_bytes(*word);
    }
}

/// Each i32.
///
/// # Panics
/// If the lengths differ.
pub fn decode_i32(from: &[u8], to: &mut [i32]) {
    let (words, rest) = from.as_chunks();
    assert!(rest.is_empty() && words.len() == to.len());
    for (to, word) in to.iter_mut().zip(words) {
        *to = i32::from_le_bytes(*word);
    }
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
