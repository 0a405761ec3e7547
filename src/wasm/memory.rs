//! The allocator of a page's module: the standard library's, and a flag that outlives a failure.
//!
//! Where memory is refused the program ends in `unreachable`, as after any panic; the flag tells the two apart.

// Every method is the standard allocator's own, called as it was called.
#![expect(unsafe_code, reason = "an allocator's methods are unsafe by their signature")]

use std::alloc::{GlobalAlloc, Layout, System};
use std::sync::atomic::{AtomicBool, Ordering};

static REFUSED: AtomicBool = AtomicBool::new(false);

struct Watched;

#[global_allocator]
static ALLOCATOR: Watched = Watched;

/// Whether memory was ever refused. It only reads the flag, so it may be asked after a trap.
pub(super) fn refused() -> bool {
    REFUSED.load(Ordering::Relaxed)
}

#[cold]
fn refuse() {
    REFUSED.store(true, Ordering::Relaxed);
}

fn watched(block: *mut u8) -> *mut u8 {
    if block.is_null() {
        refuse();
    }
    block
}

// SAFETY: each method hands its arguments to the standard allocator and its answer back, unchanged.
unsafe impl GlobalAlloc for Watched {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        // SAFETY: the caller keeps the contract, which is the same.
        watched(unsafe { System.alloc(layout) })
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        // SAFETY: the caller keeps the contract, which is the same.
        watched(unsafe { System.alloc_zeroed(layout) })
    }

    unsafe fn realloc(&self, block: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        // SAFETY: the caller keeps the contract, which is the same.
        watched(unsafe { System.realloc(block, layout, size) })
    }

    unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
        // SAFETY: the caller keeps the contract, which is the same.
        unsafe { System.dealloc(block, layout) }
    }
}
