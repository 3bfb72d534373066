//! Memory for secrets, and nothing else.
//!
//! Secrets live in pages from `memfd_secret(2)`: the kernel takes them off its direct map, so that
//! neither `/proc/PID/mem`, `process_vm_readv(2)`, `ptrace(2)` nor a kernel read primitive reaches
//! them, as root too. One [arena](crate::arena) between two guard pages serves every small secret of
//! the process; [`SecretSlice`] gives a large working area a mapping of its own.
//!
//! - [`init`] chooses the [`Policy`] once, before the first secret exists.
//! - [`Secret`] holds a key of fixed size, [`SecretBytes`] a buffer that grows.
//! - [`c_allocator`] hands the same arena to C libraries (SQLite, OpenSSL).
//! - [`WipingAllocator`] wipes what ordinary heap memory a library frees behind our back, and
//!   [`with_clean_stack`] what it leaves on the stack.
//!
//! None of the types implements `Clone`, `Display` or `Serialize`; `Debug` prints sizes only.
//! This crate is one of the three places where `unsafe` is allowed.

mod allocator;
mod arena;
mod boxed;
mod buddy;
mod bytes;
pub mod c_allocator;
mod clean_stack;
mod mapping;
mod policy;
mod slice;

pub use allocator::WipingAllocator;
pub use arena::{Usage, backing, init, usage};
pub use boxed::SecretBox;
pub use bytes::{OutOfSecretMemory, Secret, SecretBytes};
pub use clean_stack::{with_clean_deep_stack, with_clean_stack};
pub use mapping::{Backing, probe_memfd_secret};
pub use policy::{DEFAULT_ARENA_BYTES, InitError, ParsePolicyError, Policy, UNAVAILABLE};
pub use slice::{SecretSlice, Zeroed};

/// Overwrites `len` bytes at `ptr` with zeros in a way that the optimiser keeps.
///
/// # Safety
/// `ptr` must be valid for writes of `len` bytes, and nothing else may be reading them.
pub(crate) unsafe fn wipe(ptr: *mut u8, len: usize) {
    // SAFETY: the caller promises that the range is writable and unshared.
    unsafe { std::ptr::write_bytes(ptr, 0, len) };
    // The pointer escapes here, so that the store above cannot be removed as dead.
    std::hint::black_box(ptr);
    std::sync::atomic::compiler_fence(std::sync::atomic::Ordering::SeqCst);
}
