//! The one arena of the process: a buddy allocator over one guarded mapping.

use std::ptr::NonNull;
use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};

use crate::buddy::Buddy;
use crate::mapping::{Backing, Mapping, check_locked_memory_limit};
use crate::policy::{DEFAULT_ARENA_BYTES, InitError, Policy};

static ARENA: OnceLock<Arena> = OnceLock::new();

pub(crate) struct Arena {
    pub(crate) policy: Policy,
    mapping: Mapping,
    blocks: Mutex<Buddy>,
}

/// How much of the arena is in use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Usage {
    /// Size of the arena, in bytes.
    pub total: usize,
    /// Bytes in blocks that are in use.
    pub used: usize,
}

/// Maps the arena of `bytes` (rounded up to a power of two) as `policy` says.
///
/// `working_bytes` is what the process will map besides, for a while, in a
/// [`SecretSlice`](crate::SecretSlice): with [`Policy::Require`] it must fit into `RLIMIT_MEMLOCK`
/// together with the arena, so that a process that starts can also do its work.
///
/// To be called once, before the first secret exists. A process that allocates a secret without it
/// gets [`Policy::Prefer`] and [`DEFAULT_ARENA_BYTES`].
///
/// # Errors
/// [`InitError`]; nothing was mapped then.
pub fn init(policy: Policy, bytes: usize, working_bytes: usize) -> Result<Backing, InitError> {
    let mut fresh = false;
    if ARENA.get().is_none() {
        let arena = Arena::new(policy, bytes)?;
        fresh = ARENA.set(arena).is_ok();
    }
    let arena = arena();
    if !fresh && policy == Policy::Require && arena.mapping.backing != Backing::MemfdSecret {
        return Err(InitError::TooLate);
    }
    if policy == Policy::Require {
        check_locked_memory_limit(arena.mapping.len.saturating_add(working_bytes))?;
    }
    Ok(arena.mapping.backing)
}

/// What kind of pages the arena lives on.
#[must_use]
pub fn backing() -> Backing {
    arena().mapping.backing
}

/// How full the arena is.
#[must_use]
pub fn usage() -> Usage {
    let arena = arena();
    let total = arena.mapping.len;
    Usage { total, used: total - arena.lock().free_bytes() }
}

pub(crate) fn arena() -> &'static Arena {
    ARENA.get_or_init(|| {
        Arena::new(Policy::Prefer, DEFAULT_ARENA_BYTES)
            .expect("ordinary memory for the secret arena can be mapped")
    })
}

impl Arena {
    fn new(policy: Policy, bytes: usize) -> Result<Self, InitError> {
        let bytes = bytes.max(1 << 16).next_power_of_two();
        let mapping = Mapping::new(bytes, policy)?;
        mapping.seal();
        Ok(Self { policy, mapping, blocks: Mutex::new(Buddy::new(bytes)) })
    }

    fn lock(&self) -> MutexGuard<'_, Buddy> {
        self.blocks.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A zeroed block of at least `bytes`, aligned to its own size up to a page.
    ///
    /// The last sixteenth of the arena is kept for keys: with `reserve` false a request that would
    /// cut into it is refused, so that a flood of large requests can't starve a lock or an unlock.
    pub(crate) fn allocate(&self, bytes: usize, reserve: bool) -> Option<NonNull<u8>> {
        let mut blocks = self.lock();
        if !reserve && blocks.free_bytes() < bytes.saturating_add(self.mapping.len / 16) {
            return None;
        }
        let offset = blocks.allocate(bytes)?;
        // SAFETY: the buddy hands out offsets inside the mapping only.
        Some(unsafe { self.mapping.base.add(offset) })
    }

    /// Size of the block that starts at `ptr`, or 0 when none does.
    pub(crate) fn block_size(&self, ptr: NonNull<u8>) -> usize {
        self.offset(ptr).and_then(|offset| self.lock().block_size(offset)).unwrap_or(0)
    }

    /// Wipes the block at `ptr` and gives it back.
    ///
    /// # Safety
    /// `ptr` must have come from [`Arena::allocate`], and nothing may use the block any more.
    pub(crate) unsafe fn free(&self, ptr: NonNull<u8>) {
        let offset = self.offset(ptr).expect("freed address lies in the arena");
        let size = self.block_size(ptr);
        // SAFETY: the caller gives up a block of this size; wiping comes before it is free again.
        unsafe { crate::wipe(ptr.as_ptr(), size) };
        self.lock().free(offset);
    }

    fn offset(&self, ptr: NonNull<u8>) -> Option<usize> {
        let offset = (ptr.as_ptr() as usize).checked_sub(self.mapping.base.as_ptr() as usize)?;
        (offset < self.mapping.len).then_some(offset)
    }
}
