//! One mapping between two guard pages: the pages that the arena and the large slices live on.

use std::fs::File;
use std::io;
use std::os::fd::{AsRawFd, FromRawFd};
use std::ptr::NonNull;

use crate::policy::{InitError, Policy};

/// What kind of pages hold the secrets of this process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Backing {
    /// Pages from `memfd_secret(2)`, off the kernel's direct map.
    MemfdSecret,
    /// Ordinary pages, locked into memory and left out of core dumps.
    Locked,
    /// Ordinary pages that could not even be locked; left out of core dumps.
    Plain,
}

impl Backing {
    /// The name shown in posture reports and in the audit trail.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::MemfdSecret => "memfd_secret",
            Self::Locked => "mlock",
            Self::Plain => "ordinary",
        }
    }
}

/// Tries `memfd_secret(2)` for real: creates one, maps a page, writes and reads it back.
///
/// # Errors
/// The errno of the step that failed (`ENOSYS` where the kernel has no secret memory).
pub fn probe_memfd_secret() -> io::Result<()> {
    let mapping = Mapping::memfd_secret(page_size())?;
    // SAFETY: the mapping is one writable page that only this function knows.
    unsafe {
        mapping.base.as_ptr().write_volatile(0x5a);
        if mapping.base.as_ptr().read_volatile() != 0x5a {
            return Err(io::Error::other("a secret page did not keep its content"));
        }
    }
    Ok(())
}

/// A writable range with an inaccessible page on either side. Unmapped, wiped, on drop.
pub(crate) struct Mapping {
    pub(crate) base: NonNull<u8>,
    /// Bytes, a multiple of the page size.
    pub(crate) len: usize,
    pub(crate) backing: Backing,
}

// SAFETY: a mapping is plain memory; whoever holds it synchronises the access.
unsafe impl Send for Mapping {}
// SAFETY: as above; `&Mapping` gives out the address and nothing more.
unsafe impl Sync for Mapping {}

impl Mapping {
    /// Maps at least `bytes` (rounded up to pages) as the policy says.
    pub(crate) fn new(bytes: usize, policy: Policy) -> Result<Self, InitError> {
        let len = bytes.max(1).next_multiple_of(page_size());
        if policy != Policy::Off {
            match Self::memfd_secret(len) {
                Ok(mapping) => return Ok(mapping),
                Err(error) if policy == Policy::Require => return Err(refusal(len, error)),
                Err(_) => {}
            }
        }
        Self::ordinary(len).map_err(|source| InitError::Map { bytes: len, source })
    }

    fn memfd_secret(len: usize) -> io::Result<Self> {
        // SAFETY: no pointer is passed; the kernel returns a new descriptor or an error.
        let raw = unsafe { libc::syscall(libc::SYS_memfd_secret, libc::O_CLOEXEC) };
        if raw < 0 {
            return Err(io::Error::last_os_error());
        }
        let raw = i32::try_from(raw).map_err(|_| io::Error::other("descriptor out of range"))?;
        // SAFETY: the kernel just gave us this descriptor, and nobody else owns it.
        let file = unsafe { File::from_raw_fd(raw) };
        file.set_len(len as u64)?;
        let mapping = Self::guarded(len, libc::MAP_SHARED, file.as_raw_fd(), Backing::MemfdSecret)?;
        // The descriptor closes here: root could take it with pidfd_getfd(2) otherwise.
        drop(file);
        mapping.keep_out_of_children()?;
        Ok(mapping)
    }

    fn ordinary(len: usize) -> io::Result<Self> {
        let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS;
        let mut mapping = Self::guarded(len, flags, -1, Backing::Plain)?;
        mapping.keep_out_of_children()?;
        let base = mapping.base.as_ptr().cast();
        // SAFETY: the range is our own mapping.
        if unsafe { libc::madvise(base, len, libc::MADV_DONTDUMP) } != 0 {
            return Err(io::Error::last_os_error());
        }
        // A few large pages instead of thousands of faults. Failing is no loss.
        // SAFETY: as above.
        unsafe { libc::madvise(base, len, libc::MADV_HUGEPAGE) };
        // SAFETY: as above. Failing (RLIMIT_MEMLOCK) leaves `Plain`, which the posture reports.
        if unsafe { libc::mlock(base, len) } == 0 {
            mapping.backing = Backing::Locked;
        }
        Ok(mapping)
    }

    /// Reserves `len` and a page on either side, then puts the real pages into the middle.
    fn guarded(len: usize, flags: i32, fd: i32, backing: Backing) -> io::Result<Self> {
        let page = page_size();
        let anonymous = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_NORESERVE;
        // SAFETY: a fresh reservation at an address of the kernel's choice.
        let outer = unsafe {
            libc::mmap(std::ptr::null_mut(), len + 2 * page, libc::PROT_NONE, anonymous, -1, 0)
        };
        if outer == libc::MAP_FAILED {
            return Err(io::Error::last_os_error());
        }
        // SAFETY: one page into a reservation of `len` and two pages.
        let inner = unsafe { outer.cast::<u8>().add(page) };
        let protection = libc::PROT_READ | libc::PROT_WRITE;
        // SAFETY: MAP_FIXED replaces pages of the reservation above, which nobody else has seen.
        let mapped =
            unsafe { libc::mmap(inner.cast(), len, protection, flags | libc::MAP_FIXED, fd, 0) };
        let failed = mapped == libc::MAP_FAILED;
        let error = io::Error::last_os_error();
        if let (false, Some(base)) = (failed, NonNull::new(inner)) {
            return Ok(Self { base, len, backing });
        }
        // SAFETY: removes the reservation made above.
        unsafe { libc::munmap(outer, len + 2 * page) };
        Err(error)
    }

    /// A forked child would share the pages and could read them (`MADV_WIPEONFORK` is refused).
    fn keep_out_of_children(&self) -> io::Result<()> {
        // SAFETY: the range is our own mapping.
        match unsafe { libc::madvise(self.base.as_ptr().cast(), self.len, libc::MADV_DONTFORK) } {
            0 => Ok(()),
            _ => Err(io::Error::last_os_error()),
        }
    }

    /// Forbids any later unmapping or change of protection, where the kernel has `mseal(2)` (6.10).
    pub(crate) fn seal(&self) {
        const SYS_MSEAL: libc::c_long = 462;
        // SAFETY: sealing changes no content; an older kernel answers ENOSYS, which is as before.
        unsafe { libc::syscall(SYS_MSEAL, self.base.as_ptr(), self.len, 0) };
    }
}

impl Drop for Mapping {
    fn drop(&mut self) {
        let page = page_size();
        // SAFETY: the range is ours and nobody uses it any more. For a sealed mapping munmap fails
        // and the pages stay until the process ends. The kernel zeroes secret pages when it frees
        // them (mm/secretmem.c), so only ordinary ones are wiped here.
        unsafe {
            if self.backing != Backing::MemfdSecret {
                crate::wipe(self.base.as_ptr(), self.len);
            }
            libc::munmap(self.base.as_ptr().sub(page).cast(), self.len + 2 * page);
        }
    }
}

/// Tells "no such kernel feature" from "not allowed to lock so much".
fn refusal(needed: usize, source: io::Error) -> InitError {
    let limit = locked_memory_limit();
    let locking = matches!(source.raw_os_error(), Some(libc::EAGAIN | libc::ENOMEM | libc::EPERM));
    if locking && limit < needed as u64 {
        return InitError::LockedMemoryLimit { needed, limit };
    }
    InitError::Unavailable { source }
}

/// Whether so many bytes may be locked at once.
pub(crate) fn check_locked_memory_limit(needed: usize) -> Result<(), InitError> {
    let limit = locked_memory_limit();
    if limit < needed as u64 {
        return Err(InitError::LockedMemoryLimit { needed, limit });
    }
    Ok(())
}

fn locked_memory_limit() -> u64 {
    let mut limit = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    // SAFETY: getrlimit(2) writes one rlimit, and `limit` is one.
    unsafe { libc::getrlimit(libc::RLIMIT_MEMLOCK, &raw mut limit) };
    limit.rlim_cur
}

pub(crate) fn page_size() -> usize {
    // SAFETY: sysconf(3) only reads; _SC_PAGESIZE always has a value.
    usize::try_from(unsafe { libc::sysconf(libc::_SC_PAGESIZE) }).unwrap_or(4096)
}
