//! A page's memory: blocks by size, each size with a list of free ones.
//!
//! 2.4 KB of brotli less than the standard library's allocator for this target. Sizes go up in quarters of powers of two, so
//! at most a fifth of a large block is not used; a free block waits for the next request of its size and is neither split
//! nor joined. What a session asks for is the same from call to call, so its memory grows to a peak and stays there.

#![allow(unsafe_code, reason = "an allocator hands out addresses")]

use std::alloc::{GlobalAlloc, Layout};
use std::cell::UnsafeCell;
use std::ptr::null_mut;

/// Blocks are multiples of this, and so are their addresses: no type here needs more.
const STEP: usize = 16;
/// Sizes of which there can be blocks.
const CLASSES: usize = 4 * (usize::BITS as usize - 5);
/// What memory grows by.
const PAGE: usize = 1 << 16;

/// More memory, at least so many bytes of it: where it begins, a multiple of 16, or null.
pub type Grow = fn(usize) -> *mut u8;

struct State {
    /// Of each class the free block that was freed last; it begins with the address of the one before.
    free: [*mut u8; CLASSES],
    /// What was never given out.
    next: usize,
    end: usize,
}

/// The allocator, for one thread.
pub struct Memory {
    state: UnsafeCell<State>,
    grow: Grow,
}

// SAFETY: it is used on one thread alone: wasm without atomics has no other, and the tests keep theirs to themselves.
unsafe impl Sync for Memory {}

impl Memory {
    /// Without any memory yet.
    pub const fn new(grow: Grow) -> Self {
        Memory { state: UnsafeCell::new(State { free: [null_mut(); CLASSES], next: 0, end: 0 }), grow }
    }
}

/// The class of a request and the bytes of its blocks: one to eight steps, then five to eight of twice as many, and so on.
fn class(size: usize) -> (usize, usize) {
    let last = size.saturating_sub(1);
    let shift = (last | 1).ilog2().saturating_sub(2).max(STEP.ilog2());
    let quarter = last >> shift;
    ((shift - STEP.ilog2()) as usize * 4 + quarter, (quarter + 1) << shift)
}

// SAFETY: a block is given to one owner: it comes from its list, which it leaves, or from what was never given out. It has
// the bytes of its class, which are no fewer than were asked for, and its address is a multiple of 16.
unsafe impl GlobalAlloc for Memory {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        if layout.align() > STEP || layout.size() > isize::MAX as usize / 2 {
            return null_mut();
        }
        // SAFETY: nothing else holds the state while this runs, since it calls nothing that allocates.
        let state = unsafe { &mut *self.state.get() };
        let (class, bytes) = class(layout.size());
        let block = state.free[class];
        if !block.is_null() {
            // SAFETY: a free block begins with the address of the one before.
            state.free[class] = unsafe { block.cast::<*mut u8>().read() };
            return block;
        }
        if state.end - state.next < bytes {
            let more = bytes.next_multiple_of(PAGE);
            let start = (self.grow)(more) as usize;
            if start == 0 {
                return null_mut();
            }
            // A rest that the new memory does not join is left.
            if start != state.end {
                state.next = start;
            }
            state.end = start + more;
        }
        let block = state.next;
        state.next += bytes;
        block as *mut u8
    }

    unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
        // SAFETY: as above.
        let state = unsafe { &mut *self.state.get() };
        let first = &mut state.free[class(layout.size()).0];
        // SAFETY: the caller gives the block back, which has room for an address.
        unsafe { block.cast::<*mut u8>().write(*first) };
        *first = block;
    }

    unsafe fn realloc(&self, block: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        if class(layout.size()).0 == class(size).0 {
            return block;
        }
        // SAFETY: the caller's promises; the new block is another one, and the bytes copied are in both.
        unsafe {
            let new = self.alloc(Layout::from_size_align_unchecked(size, layout.align()));
            if !new.is_null() {
                new.copy_from_nonoverlapping(block, if size < layout.size() { size } else { layout.size() });
                self.dealloc(block, layout);
            }
            new
        }
    }
}

#[cfg(target_arch = "wasm32")]
fn grow(bytes: usize) -> *mut u8 {
    match core::arch::wasm32::memory_grow(0, bytes / PAGE) {
        usize::MAX => null_mut(),
        before => (before * PAGE) as *mut u8,
    }
}

#[cfg(target_arch = "wasm32")]
impl Memory {
    /// The module's own memory.
    pub const fn of_module() -> Self {
        Self::new(grow)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Never freed: a test's memory is a page's.
    fn leak(bytes: usize) -> *mut u8 {
        vec![0u128; bytes / 16].leak().as_mut_ptr().cast()
    }

    fn layout(size: usize) -> Layout {
        Layout::from_size_align(size, 16).expect("a small size")
    }

    #[test]
    fn classes_are_dense_and_blocks_fit() {
        let mut before = (0, STEP);
        for size in 1..1 << 20 {
            let (class, bytes) = class(size);
            assert!(bytes >= size && bytes.is_multiple_of(STEP));
            assert!((class, bytes) == before || (class == before.0 + 1 && bytes > before.1));
            assert!(size < 128 || bytes * 4 <= size * 5 + 8);
            before = (class, bytes);
        }
        assert!(class(isize::MAX as usize / 2).0 < CLASSES);
    }

    proptest! {
        #[test]
        fn blocks_do_not_overlap_and_keep_what_is_in_them(
            steps in prop::collection::vec((0usize..3, 0usize..20, 1usize..5000), 1..200),
        ) {
            let memory = Memory::new(leak);
            let mut held: Vec<(*mut u8, usize, u8)> = Vec::new();
            // SAFETY: here and below, blocks are held, have the size they were asked for with, and are freed once.
            let fill = |block: *mut u8, size: usize, mark: u8| unsafe { block.write_bytes(mark, size) };
            let is_whole = |&(block, size, mark): &(*mut u8, usize, u8)| {
                // SAFETY: as above.
                (0..size).all(|i| unsafe { block.add(i).read() } == mark)
            };
            for (n, (what, which, size)) in steps.into_iter().enumerate() {
                let mark = n as u8;
                match what {
                    1 if !held.is_empty() => {
                        let (block, size, _) = held.swap_remove(which % held.len());
                        // SAFETY: as above.
                        unsafe { memory.dealloc(block, layout(size)) };
                    }
                    2 if !held.is_empty() => {
                        let at = which % held.len();
                        let (block, old, mark) = held[at];
                        // SAFETY: as above.
                        let block = unsafe { memory.realloc(block, layout(old), size) };
                        prop_assert!(is_whole(&(block, old.min(size), mark)));
                        fill(block, size, mark);
                        held[at] = (block, size, mark);
                    }
                    _ => {
                        // SAFETY: as above.
                        let block = unsafe { memory.alloc(layout(size)) };
                        prop_assert!((block as usize).is_multiple_of(STEP));
                        fill(block, size, mark);
                        held.push((block, size, mark));
                    }
                }
                prop_assert!(held.iter().all(is_whole));
            }
        }
    }

    #[test]
    fn a_freed_block_is_used_again() {
        let memory = Memory::new(leak);
        // SAFETY: the block is freed with the layout it was asked for with.
        unsafe {
            let first = memory.alloc(layout(100));
            memory.dealloc(first, layout(100));
            assert_eq!(memory.alloc(layout(110)), first);
            assert!(memory.alloc(Layout::from_size_align(8, 64).expect("a layout")).is_null());
        }
    }
}
