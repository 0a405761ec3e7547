//! The page's allocator: two-level segregated fit (TLSF; Masmano, Ripoll, Crespo and Real, ECRTS 2004). Every call takes
//! constant time, and free neighbours are joined at once, so that memory is used again whatever sizes come after. The
//! standard library's allocator on this target is three times the code.
//!
//! A block is a header word, then what the caller gets, which is aligned to four words. The header holds the block's
//! bytes, a multiple of four words, and two flags. A free block holds its neighbours in its list after the header, and its
//! bytes again in its last word, where the block behind it finds them. Memory ends in a used block of no bytes.
#![allow(unsafe_code, reason = "an allocator hands out addresses")]

/// Bytes of an address.
const WORD: usize = size_of::<usize>();
/// What sizes and addresses are multiples of.
const UNIT: usize = 4 * WORD;
/// Bytes that memory grows by.
const PAGE: usize = 1 << 16;

/// The block is free.
const FREE: usize = 1;
/// The block before it is.
const AFTER_FREE: usize = 2;

/// Below so many units a list holds one size; above, an eighth of a power of two.
const EXACT: usize = 8;
/// Of all blocks of less than 2^32 bytes.
const LISTS: usize = 7 * 32;

/// Where memory comes from.
pub(crate) trait Pages {
    /// The address of so many more pages that nobody else uses; None if there are none.
    fn grow(&mut self, pages: usize) -> Option<usize>;
}

/// Blocks of memory by size.
pub(crate) struct Heap<P> {
    pages: P,
    /// Where the last pages end.
    end: usize,
    /// First free block of each list; 0 for none.
    lists: [usize; LISTS],
    /// Which lists have one, a bit each.
    filled: [u32; LISTS / 32],
}

fn get(at: usize) -> usize {
    // SAFETY: every address here is that of a block, or lies within a free one; blocks lie in pages that are ours, and
    // are aligned to words.
    unsafe { *std::ptr::with_exposed_provenance::<usize>(at) }
}

fn set(at: usize, word: usize) {
    // SAFETY: as of `get`; nothing of a used block but its header is written.
    unsafe { *std::ptr::with_exposed_provenance_mut::<usize>(at) = word }
}

/// Bytes of a block.
fn size(block: usize) -> usize {
    get(block) & !(FREE | AFTER_FREE)
}

/// Bytes of the block that holds `bytes`; None for 2^31 and more, which no type of Rust has on this target.
fn fitting(bytes: usize) -> Option<usize> {
    (bytes < 1 << 31).then(|| (bytes + WORD).next_multiple_of(UNIT))
}

/// The list of a block.
fn list(size: usize) -> usize {
    let units = size / UNIT;
    if units < EXACT {
        return units;
    }
    let power = units.ilog2() as usize;
    (power - 2) * EXACT + (units >> (power - 3)) % EXACT
}

/// The first list whose blocks are all as large.
fn list_above(size: usize) -> usize {
    let units = size / UNIT;
    list(if units < EXACT { size } else { size + (UNIT << (units.ilog2() - 3)) - UNIT })
}

impl<P: Pages> Heap<P> {
    pub const fn new(pages: P) -> Self {
        Heap { pages, end: 0, lists: [0; LISTS], filled: [0; LISTS / 32] }
    }

    /// The address of `bytes` bytes, aligned to [`UNIT`]; None if there is no memory.
    pub fn take(&mut self, bytes: usize) -> Option<usize> {
        let size = fitting(bytes)?;
        let block = match self.found(list_above(size)) {
            Some(block) => block,
            None => self.grow(size)?,
        };
        self.unlink(block);
        set(block, self::size(block));
        self.cut(block, size);
        Some(block + WORD)
    }

    /// Gives back what [`take`](Self::take) gave.
    pub fn give(&mut self, address: usize) {
        self.free(address - WORD);
    }

    /// Whether what [`take`](Self::take) gave now holds `bytes` bytes, where it lies.
    pub fn resize(&mut self, address: usize, bytes: usize) -> bool {
        let block = address - WORD;
        let Some(wanted) = fitting(bytes) else { return false };
        let next = block + size(block);
        if size(block) < wanted {
            if get(next) & FREE == 0 || size(block) + size(next) < wanted {
                return false;
            }
            self.unlink(next);
            set(block, get(block) + size(next));
        }
        self.cut(block, wanted);
        true
    }

    /// The first free block of this list or of one above.
    fn found(&self, list: usize) -> Option<usize> {
        let mut bits = self.filled[list / 32] >> (list % 32) << (list % 32);
        let mut word = list / 32;
        while bits == 0 {
            word += 1;
            bits = *self.filled.get(word)?;
        }
        Some(self.lists[word * 32 + bits.trailing_zeros() as usize])
    }

    /// A free block of `size` bytes or more, of new pages.
    fn grow(&mut self, size: usize) -> Option<usize> {
        let pages = (size + UNIT).div_ceil(PAGE);
        let start = self.pages.grow(pages)?;
        // The used block at the end becomes the first of the new pages, if these follow.
        let block = if start == self.end { start - WORD } else { start + UNIT - WORD };
        let flags = if start == self.end { get(block) } else { 0 };
        self.end = start + pages * PAGE;
        set(block, (self.end - WORD - block) | flags);
        set(self.end - WORD, 0);
        Some(self.free(block))
    }

    /// Cuts a used block to `size` bytes; the rest is free.
    fn cut(&mut self, block: usize, size: usize) {
        let rest = self::size(block) - size;
        if rest == 0 {
            let next = block + size;
            return set(next, get(next) & !AFTER_FREE);
        }
        set(block, get(block) - rest);
        set(block + size, rest);
        self.free(block + size);
    }

    /// Frees a used block: joined with its free neighbours, it is where it says.
    fn free(&mut self, mut block: usize) -> usize {
        let mut size = size(block);
        let next = block + size;
        if get(next) & FREE != 0 {
            self.unlink(next);
            size += self::size(next);
        }
        if get(block) & AFTER_FREE != 0 {
            let before = get(block - WORD);
            block -= before;
            size += before;
            self.unlink(block);
        }
        let end = block + size;
        // What is before it is used.
        set(block, size | FREE);
        set(end - WORD, size);
        set(end, get(end) | AFTER_FREE);
        let list = list(size);
        let first = std::mem::replace(&mut self.lists[list], block);
        self.filled[list / 32] |= 1 << (list % 32);
        set(block + WORD, first);
        set(block + 2 * WORD, 0);
        if first != 0 {
            set(first + 2 * WORD, block);
        }
        block
    }

    /// Takes a free block out of its list.
    fn unlink(&mut self, block: usize) {
        let (next, before) = (get(block + WORD), get(block + 2 * WORD));
        if next != 0 {
            set(next + 2 * WORD, before);
        }
        if before != 0 {
            return set(before + WORD, next);
        }
        let list = list(size(block));
        self.lists[list] = next;
        if next == 0 {
            self.filled[list / 32] &= !(1 << (list % 32));
        }
    }
}

// The compile module answers nothing of the kind.
#[cfg(all(target_arch = "wasm32", not(feature = "compile")))]
pub(crate) use page::refused;

#[cfg(target_arch = "wasm32")]
mod page {
    use super::{Heap, Pages, UNIT, WORD, get, set};
    use std::alloc::{GlobalAlloc, Layout};
    use std::cell::UnsafeCell;
    use std::ptr::{copy_nonoverlapping, null_mut, with_exposed_provenance_mut};
    use std::sync::atomic::{AtomicBool, Ordering};

    /// Where memory is refused the program ends in `unreachable`, as after any panic; the flag outlives it and tells the two
    /// apart.
    static REFUSED: AtomicBool = AtomicBool::new(false);

    #[cfg(not(feature = "compile"))]
    /// Whether memory was ever refused. It only reads the flag, so it may be asked after a trap.
    pub(crate) fn refused() -> bool {
        REFUSED.load(Ordering::Relaxed)
    }

    /// The module's one memory.
    struct Linear;

    impl Pages for Linear {
        fn grow(&mut self, pages: usize) -> Option<usize> {
            let before = core::arch::wasm32::memory_grow::<0>(pages);
            // Addresses are words: pages that end at 2^32 have no end.
            (before != usize::MAX && before + pages < 1 << 16).then(|| before * super::PAGE)
        }
    }

    struct Global(UnsafeCell<Heap<Linear>>);

    // SAFETY: the target has no threads.
    unsafe impl Sync for Global {}

    #[global_allocator]
    static GLOBAL: Global = Global(UnsafeCell::new(Heap::new(Linear)));

    impl Global {
        #[allow(clippy::mut_from_ref, reason = "as the target has no threads")]
        fn heap(&self) -> &mut Heap<Linear> {
            // SAFETY: no call of the heap makes another, and there are no threads.
            unsafe { &mut *self.0.get() }
        }
    }

    // SAFETY: blocks that are in use do not overlap, hold as many bytes as were asked for, and are aligned to `UNIT`, or,
    // by a larger block, to what was asked for.
    unsafe impl GlobalAlloc for Global {
        #[inline(never)]
        unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
            let (bytes, align) = (layout.size(), layout.align());
            let extra = if align > UNIT { align } else { 0 };
            let Some(mut address) = self.heap().take(bytes + extra) else {
                REFUSED.store(true, Ordering::Relaxed);
                return null_mut();
            };
            if extra > 0 {
                let start = address;
                address = (start + align) & !(align - 1);
                // At least a unit lies before it.
                set(address - WORD, start);
            }
            with_exposed_provenance_mut(address)
        }

        #[inline(never)]
        unsafe fn dealloc(&self, ptr: *mut u8, layout: Layout) {
            let address = ptr.expose_provenance();
            self.heap().give(if layout.align() > UNIT { get(address - WORD) } else { address });
        }

        #[inline(never)]
        unsafe fn realloc(&self, ptr: *mut u8, layout: Layout, bytes: usize) -> *mut u8 {
            if layout.align() <= UNIT && self.heap().resize(ptr.expose_provenance(), bytes) {
                return ptr;
            }
            // SAFETY: the caller keeps to `GlobalAlloc::realloc`: `bytes` is a size for this alignment.
            let moved = unsafe { self.alloc(Layout::from_size_align_unchecked(bytes, layout.align())) };
            if !moved.is_null() {
                let kept = if bytes < layout.size() { bytes } else { layout.size() };
                // SAFETY: both blocks hold as many bytes, and one is new.
                unsafe { copy_nonoverlapping(ptr, moved, kept) };
                // SAFETY: the caller's block, which nobody holds any more.
                unsafe { self.dealloc(ptr, layout) };
            }
            moved
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// An arena of 64 pages; after each growth so many pages are somebody else's.
    struct Arena {
        words: Vec<u128>,
        used: usize,
        gap: usize,
    }

    impl Arena {
        const PAGES: usize = 64;

        fn new(gap: usize) -> Self {
            Arena { words: vec![u128::MAX; (Self::PAGES + 1) * PAGE / 16], used: 0, gap }
        }

        /// Bytes of all blocks where pages follow each other up to `end`.
        fn given(&mut self, end: usize) -> usize {
            end.saturating_sub(self.start() + UNIT)
        }

        fn start(&mut self) -> usize {
            self.words.as_mut_ptr().expose_provenance().next_multiple_of(PAGE)
        }
    }

    impl Pages for Arena {
        fn grow(&mut self, pages: usize) -> Option<usize> {
            let at = self.used;
            self.used = at.checked_add(pages)?.checked_add(self.gap)?;
            (at + pages <= Self::PAGES).then(|| self.start() + at * PAGE)
        }
    }

    fn bytes(address: usize, count: usize) -> &'static mut [u8] {
        // SAFETY: the heap gave as many bytes at this address, and they are looked at while they are used alone.
        unsafe { std::slice::from_raw_parts_mut(std::ptr::with_exposed_provenance_mut(address), count) }
    }

    /// What each used block must hold: its number, all over.
    fn holds(address: usize, count: usize, number: u8) -> bool {
        bytes(address, count).iter().all(|&b| b == number)
    }

    /// Free bytes in the lists; every block is in the list of its size, and is told from used ones.
    fn free_bytes<P>(heap: &Heap<P>) -> usize {
        let mut total = 0;
        for (i, &first) in heap.lists.iter().enumerate() {
            assert_eq!(first != 0, heap.filled[i / 32] >> (i % 32) & 1 == 1);
            let (mut block, mut before) = (first, 0);
            while block != 0 {
                assert_eq!((list(size(block)), get(block + 2 * WORD), get(block) & AFTER_FREE), (i, before, 0));
                let next = block + size(block);
                assert_eq!((get(block) & FREE, get(next - WORD)), (FREE, size(block)));
                // Free neighbours are joined.
                assert_eq!(get(next) & (FREE | AFTER_FREE), AFTER_FREE);
                total += size(block);
                (before, block) = (block, get(block + WORD));
            }
        }
        total
    }

    proptest! {
        #[test]
        fn blocks_keep_what_they_hold_and_come_together_again(
            steps in prop::collection::vec((0usize..4, any::<prop::sample::Index>(), 0u32..18, any::<u32>()), 1..200),
            gap in 0usize..2,
        ) {
            let mut heap = Heap::new(Arena::new(gap));
            let mut used: Vec<(usize, usize, u8)> = Vec::new();
            for (number, (what, which, power, noise)) in steps.into_iter().enumerate() {
                let count = (1 << power) + noise as usize % (1 << power);
                let number = number as u8;
                match (what, used.is_empty()) {
                    (2, false) => {
                        let (address, count, number) = used.swap_remove(which.index(used.len()));
                        prop_assert!(holds(address, count, number));
                        heap.give(address);
                    }
                    (3, false) => {
                        let at = which.index(used.len());
                        let (address, before, number) = used[at];
                        if heap.resize(address, count) {
                            prop_assert!(holds(address, before.min(count), number));
                            bytes(address, count).fill(number);
                            used[at].1 = count;
                        } else {
                            prop_assert!(count > before);
                        }
                    }
                    _ => {
                        let Some(address) = heap.take(count) else { continue };
                        prop_assert_eq!(address % UNIT, 0);
                        bytes(address, count).fill(number);
                        used.push((address, count, number));
                    }
                }
                free_bytes(&heap);
            }
            for (address, count, number) in used {
                prop_assert!(holds(address, count, number));
                heap.give(address);
            }
            // All that was taken is one block again, or one for each growth where others' pages lie between.
            let free = free_bytes(&heap);
            let blocks = heap.lists.iter().filter(|&&block| block != 0).count();
            if gap == 0 {
                prop_assert_eq!((blocks, free), (usize::from(heap.end > 0), heap.pages.given(heap.end)));
            }
        }
    }

    #[test]
    fn a_list_holds_what_is_asked_of_it() {
        for units in 1..5000 {
            let bytes = units * UNIT;
            assert!(list(bytes) <= list_above(bytes) && list_above(bytes) < LISTS);
            // The smallest block of the list above is large enough.
            let smallest = (1..6000).find(|&u| list(u * UNIT) == list_above(bytes)).expect("a size of that list");
            assert!(smallest >= units, "{units}");
            assert!(units == 1 || list(bytes - UNIT) <= list(bytes));
        }
        assert!(list((1 << 32) - UNIT) < LISTS && list_above(1 << 31) < LISTS);
    }

    #[test]
    fn a_block_grows_in_place_and_freed_memory_is_used_again() {
        let mut heap = Heap::new(Arena::new(0));
        let a = heap.take(100).expect("memory");
        assert!(heap.resize(a, 40_000) && heap.resize(a, 50));
        let b = heap.take(10).expect("memory");
        assert!(b < a + 1000 && !heap.resize(a, 40_000));
        let before = heap.pages.used;
        for size in (1..400).map(|i| i * 997) {
            let c = heap.take(size).expect("memory");
            heap.give(c);
        }
        assert!(heap.pages.used - before <= 14, "{}", heap.pages.used);
    }

    #[test]
    fn without_memory_nothing_is_given() {
        let mut heap = Heap::new(Arena::new(0));
        assert!(heap.take(usize::MAX).is_none() && heap.take(1 << 31).is_none() && heap.take((1 << 31) - 1).is_none());
        assert!(heap.take(100).is_none(), "the arena was asked for too much and is at its end");
        let address = Heap::new(Arena::new(0)).take(100);
        assert!(address.is_some_and(|address| address % UNIT == 0));
    }
}
