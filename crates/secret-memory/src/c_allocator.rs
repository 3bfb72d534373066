//! The arena as `malloc`, `realloc` and `free`, for C libraries that take such hooks.
//!
//! SQLite takes them with `SQLITE_CONFIG_MALLOC`, OpenSSL with `CRYPTO_set_mem_functions`. Blocks are
//! zeroed when they come and wiped when they go. Alignment is the block's size, at least 32 bytes.

use std::ffi::c_void;
use std::ptr::{self, NonNull};

use crate::arena::arena;

/// `malloc(3)` from the arena: null when it is full (the last sixteenth is reserved for keys).
#[must_use]
pub fn allocate(bytes: usize) -> *mut c_void {
    arena().allocate(bytes, false).map_or(ptr::null_mut(), |block| block.as_ptr().cast())
}

/// Usable size of a block, in bytes; 0 for null.
#[must_use]
pub fn usable_size(block: *mut c_void) -> usize {
    NonNull::new(block.cast()).map_or(0, |block| arena().block_size(block))
}

/// `realloc(3)`: moves when the block is too small; null, and the old block untouched, when full.
///
/// # Safety
/// `block` is null or came from [`allocate`] or [`reallocate`] and was not released.
#[must_use]
pub unsafe fn reallocate(block: *mut c_void, bytes: usize) -> *mut c_void {
    let size = usable_size(block);
    if bytes <= size && size > 0 {
        return block;
    }
    let bigger = allocate(bytes);
    if !bigger.is_null() && size > 0 {
        // SAFETY: both blocks are live, distinct, and at least `size` bytes long.
        unsafe {
            ptr::copy_nonoverlapping(block.cast::<u8>(), bigger.cast::<u8>(), size);
            release(block);
        }
    }
    bigger
}

/// `free(3)`: wipes and gives back; null is ignored.
///
/// # Safety
/// As for [`reallocate`].
pub unsafe fn release(block: *mut c_void) {
    if let Some(block) = NonNull::new(block.cast()) {
        // SAFETY: the caller gives up a block of the arena.
        unsafe { arena().free(block) };
    }
}
