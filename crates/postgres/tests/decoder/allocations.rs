//! An allocator that counts, so that a test can say how much memory a piece of work took at its peak.

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;

/// More than this at once is refused, which ends the process: no bound of these tests comes near it, and a machine
/// should not suffer from what they are here to find.
const CEILING_BYTES: isize = 1 << 30;

/// Counts per thread what is held and what was held at most. Decoding runs on one thread.
pub(crate) struct Counting;

thread_local! {
    static HELD: Cell<isize> = const { Cell::new(0) };
    static PEAK: Cell<isize> = const { Cell::new(0) };
}

/// Counts `bytes` more; says whether that is within the ceiling.
fn count(bytes: isize) -> bool {
    let held = HELD.get().wrapping_add(bytes);
    if bytes > 0 && held > CEILING_BYTES {
        return false;
    }
    HELD.set(held);
    PEAK.set(PEAK.get().max(held));
    true
}

fn signed(bytes: usize) -> isize {
    isize::try_from(bytes).unwrap_or(isize::MAX)
}

// SAFETY: every call is the system allocator's, with the caller's arguments; counting allocates nothing.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        if !count(signed(layout.size())) {
            return std::ptr::null_mut();
        }
        // SAFETY: the caller's layout.
        unsafe { System.alloc(layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        if !count(signed(layout.size())) {
            return std::ptr::null_mut();
        }
        // SAFETY: the caller's layout.
        unsafe { System.alloc_zeroed(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        count(-signed(layout.size()));
        // SAFETY: the caller's pointer and layout.
        unsafe { System.dealloc(pointer, layout) };
    }

    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        if !count(signed(size) - signed(layout.size())) {
            return std::ptr::null_mut();
        }
        // SAFETY: the caller's pointer, layout and size.
        unsafe { System.realloc(pointer, layout, size) }
    }
}

/// Runs `work` and says how many bytes this thread held at most beyond what it held before.
pub(crate) fn peak<T>(work: impl FnOnce() -> T) -> (T, usize) {
    let before = HELD.get();
    let outer = PEAK.replace(before);
    let value = work();
    let peak = PEAK.get();
    PEAK.set(peak.max(outer));
    (value, usize::try_from(peak - before).unwrap_or_default())
}
