//! Elements of four bytes, little-endian, as a file holds them: used where they lie, if they lie well. A page's weights pass
//! through here, and a copy of a megabyte costs it more than its first score: 2 us for each fresh 4 KB.

#![allow(unsafe_code, reason = "bytes are read as the words that they are")]

use std::fmt;
use std::ops::{Deref, DerefMut, Range};
use std::sync::Arc;

/// A file's bytes, for as long as anything in it is used.
pub type File = Arc<Box<[u8]>>;

mod sealed {
    /// Of four bytes, and of four bytes' alignment; every pattern of bits is one.
    pub trait Word: Copy + Default {
        fn swapped(self) -> Self;
    }

    impl Word for f32 {
        fn swapped(self) -> Self {
            f32::from_bits(self.to_bits().swap_bytes())
        }
    }

    impl Word for i32 {
        fn swapped(self) -> Self {
            self.swap_bytes()
        }
    }
}
use sealed::Word;

/// Elements of their own, or a file's; a copy of either is the same elements. They are read as a slice, and what is written
/// to is a vector of its own first.
pub struct Words<T> {
    at: *const T,
    len: usize,
    owner: Owner<T>,
}

/// Who frees what the words point to.
#[derive(Clone)]
enum Owner<T> {
    Vector(Arc<Vec<T>>),
    File(File),
}

// SAFETY: what is shared is read alone, whoever reads it.
unsafe impl<T: Send + Sync> Send for Words<T> {}
// SAFETY: as above.
unsafe impl<T: Send + Sync> Sync for Words<T> {}

impl<T: Word> Words<T> {
    /// The elements of these bytes of a file; what is left of the last is dropped. Where they are not aligned, or the machine
    /// has another order of bytes, they are copied.
    ///
    /// # Panics
    /// If the range is not in the file.
    #[inline(never)]
    pub fn of(file: &File, bytes: Range<usize>) -> Self {
        let bytes = &file[bytes];
        let (at, len) = (bytes.as_ptr().cast::<T>(), bytes.len() / size_of::<T>());
        if cfg!(target_endian = "little") && at.is_aligned() {
            return Words { at, len, owner: Owner::File(file.clone()) };
        }
        let mut words = vec![T::default(); len];
        // SAFETY: `words` has as many bytes, for which any will do, and is borrowed alone.
        unsafe { std::ptr::copy_nonoverlapping(at.cast::<u8>(), words.as_mut_ptr().cast(), size_of_val(&words[..])) }
        if cfg!(target_endian = "big") {
            words.iter_mut().for_each(|word| *word = word.swapped());
        }
        words.into()
    }
}

impl<T: Clone> Words<T> {
    /// For a constant that may be the only thing of a file that is used where it lies: a copy, where that is less than an
    /// eighth of it. Otherwise all of it would stay for that.
    pub fn kept(self) -> Self {
        match &self.owner {
            Owner::File(file) if 8 * size_of_val(&self[..]) < file.len() => self.to_vec().into(),
            _ => self,
        }
    }
}

impl<T> Deref for Words<T> {
    type Target = [T];

    #[inline(always)]
    fn deref(&self) -> &[T] {
        // SAFETY: so many aligned words lie there, any bits are a word, and nobody writes to what the owner shares: as long
        // as this one lives, nobody else can have it alone.
        unsafe { std::slice::from_raw_parts(self.at, self.len) }
    }
}

impl<T: Clone> DerefMut for Words<T> {
    fn deref_mut(&mut self) -> &mut [T] {
        // Or else a file, or a vector that others have.
        let is_own = match &mut self.owner {
            Owner::Vector(words) => Arc::get_mut(words).is_some(),
            Owner::File(_) => false,
        };
        if !is_own {
            *self = self.to_vec().into();
        }
        match &mut self.owner {
            Owner::Vector(words) => Arc::get_mut(words).expect("nobody else has it"),
            Owner::File(_) => unreachable!("it was made a vector"),
        }
    }
}

impl<T: Clone> Clone for Words<T> {
    fn clone(&self) -> Self {
        Words { at: self.at, len: self.len, owner: self.owner.clone() }
    }
}

impl<T> From<Vec<T>> for Words<T> {
    fn from(words: Vec<T>) -> Self {
        Words { at: words.as_ptr(), len: words.len(), owner: Owner::Vector(Arc::new(words)) }
    }
}

impl<T> FromIterator<T> for Words<T> {
    fn from_iter<I: IntoIterator<Item = T>>(words: I) -> Self {
        Vec::from_iter(words).into()
    }
}

impl<T: fmt::Debug> fmt::Debug for Words<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self[..].fmt(f)
    }
}

impl<T: PartialEq> PartialEq for Words<T> {
    fn eq(&self, other: &Self) -> bool {
        self[..] == other[..]
    }
}

impl<'a, T> IntoIterator for &'a Words<T> {
    type Item = &'a T;
    type IntoIter = std::slice::Iter<'a, T>;

    fn into_iter(self) -> Self::IntoIter {
        self.iter()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn file(bytes: &[u8]) -> File {
        Arc::new(bytes.into())
    }

    proptest! {
        #[test]
        fn every_word_keeps_its_bits_wherever_it_lies(words in prop::collection::vec(any::<u32>(), 0..40), before in 0usize..9, behind in 0usize..5) {
            let mut bytes = vec![7; before];
            bytes.extend(words.iter().flat_map(|word| word.to_le_bytes()));
            bytes.extend(vec![7; behind % 4]);
            let file = file(&bytes);
            let floats = Words::<f32>::of(&file, before..bytes.len());
            let ints = Words::<i32>::of(&file, before..bytes.len());
            prop_assert_eq!(floats.len(), words.len());
            prop_assert!(words.iter().zip(&floats).all(|(word, float)| *word == float.to_bits()));
            prop_assert!(words.iter().zip(&ints).all(|(word, int)| *word as i32 == *int));
        }
    }

    #[test]
    fn aligned_words_are_used_where_they_lie_and_others_are_not() {
        let file = file(&[0; 1024]);
        let first = file.as_ptr().align_offset(4);
        let inside = |words: &Words<f32>| file.as_ptr_range().contains(&words.as_ptr().cast());
        let (placed, copied) = (Words::of(&file, first..first + 128), Words::of(&file, first + 1..first + 129));
        assert_eq!((inside(&placed), inside(&placed.clone()), inside(&copied)), (true, true, false));
        // An eighth of the file, and less.
        assert!(inside(&placed.kept()) && !inside(&Words::of(&file, first..first + 124).kept()));
    }

    #[test]
    fn words_outlive_their_file_and_its_other_words() {
        let file = file(&[1, 0, 0, 0, 2, 0, 0, 0]);
        let (first, both) = (Words::<i32>::of(&file, 0..4), Words::<i32>::of(&file, 0..8));
        drop(file);
        let copy = both.clone();
        drop((first, both));
        assert_eq!(copy[..], [1, 2]);
    }

    #[test]
    fn what_is_written_to_is_nobody_elses() {
        let file = file(&[1, 0, 0, 0, 2, 0, 0, 0]);
        let mut mine = Words::<i32>::of(&file, 0..8);
        let theirs = mine.clone();
        mine[0] = 5;
        let mine_again = mine.clone();
        mine[1] = 6;
        assert_eq!((&mine[..], &theirs[..], &mine_again[..]), (&[5, 6][..], &[1, 2][..], &[5, 2][..]));
        assert_eq!(file[..], [1, 0, 0, 0, 2, 0, 0, 0]);
    }
}
