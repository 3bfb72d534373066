//! A global allocator that wipes what it frees.

use std::alloc::{GlobalAlloc, Layout, System};

/// The system's allocator, with every block wiped before it is given back.
///
/// Secrets belong in the arena. This is for what libraries put on the heap in passing (a Noise
/// chaining key, a codec's scratch): it is gone as soon as they drop it.
///
/// ```
/// #[global_allocator]
/// static ALLOCATOR: secret_memory::WipingAllocator = secret_memory::WipingAllocator;
/// ```
pub struct WipingAllocator;

// SAFETY: every call is passed to `System` with the layout it came with. `realloc` keeps the
// trait's own definition (allocate, copy, deallocate), so that the old block is wiped as well.
unsafe impl GlobalAlloc for WipingAllocator {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        // SAFETY: the caller's promise is System's.
        unsafe { System.alloc(layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        // SAFETY: the caller's promise is System's.
        unsafe { System.alloc_zeroed(layout) }
    }

    unsafe fn dealloc(&self, ptr: *mut u8, layout: Layout) {
        // SAFETY: the block is the caller's to give up, and has the size of its layout.
        unsafe {
            crate::wipe(ptr, layout.size());
            System.dealloc(ptr, layout);
        }
    }
}
