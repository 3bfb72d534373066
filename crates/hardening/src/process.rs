//! What a daemon gives up for good before it does anything else.

use std::io;

use nix::sys::prctl;
use nix::sys::resource::{Resource, getrlimit, setrlimit};
use nix::sys::stat::{Mode, umask};

/// Why a process could not be locked down.
#[derive(Debug, thiserror::Error)]
pub enum LockDownError {
    /// Capabilities and `no_new_privs` belong to threads, and some threads would have kept theirs.
    #[error("the process has {0} threads already; lock_down comes before the first of them")]
    Threads(usize),
    /// The kernel refused a step.
    #[error("cannot {step}")]
    Refused {
        /// What was tried.
        step: &'static str,
        /// The errno of the attempt.
        #[source]
        source: io::Error,
    },
    /// Every step succeeded, and yet the process is not as it should be.
    #[error("after the lock-down the process still has {0}")]
    NotInForce(&'static str),
}

/// Sets `no_new_privs`, drops every capability, forbids core dumps and debuggers, and sets the
/// umask to 077.
///
/// Works as root and as an ordinary user, and a second time as well. Root without capabilities
/// still owns its files, and nothing else. The bounding set is emptied where the process may do so
/// (`CAP_SETPCAP`); where it may not, `no_new_privs` keeps it from mattering.
///
/// [`crate::network::isolate`] comes before this, and is impossible after it.
///
/// # Errors
/// [`LockDownError`]; the process must not go on then.
pub fn lock_down() -> Result<(), LockDownError> {
    match crate::threads::total() {
        Ok(1) => {}
        Ok(threads) => return Err(LockDownError::Threads(threads)),
        Err(source) => return Err(refused("count the threads of the process", source)),
    }
    prctl::set_no_new_privs().map_err(|errno| refused("set no_new_privs", errno.into()))?;
    capabilities::drop_all()?;
    setrlimit(Resource::RLIMIT_CORE, 0, 0)
        .map_err(|errno| refused("set the limit of core dumps to 0", errno.into()))?;
    // Also hands /proc/PID to root, and keeps processes of the same user from tracing this one.
    prctl::set_dumpable(false).map_err(|errno| refused("forbid dumps", errno.into()))?;
    umask(Mode::from_bits_truncate(0o077));
    confirm()
}

/// Asks the kernel for the result, instead of trusting that no step was ignored.
fn confirm() -> Result<(), LockDownError> {
    if prctl::get_no_new_privs() != Ok(true) {
        return Err(LockDownError::NotInForce("no no_new_privs"));
    }
    if !capabilities::are_empty()? {
        return Err(LockDownError::NotInForce("capabilities"));
    }
    if prctl::get_dumpable() != Ok(false) {
        return Err(LockDownError::NotInForce("the dumpable flag"));
    }
    if getrlimit(Resource::RLIMIT_CORE) != Ok((0, 0)) {
        return Err(LockDownError::NotInForce("a limit of core dumps above 0"));
    }
    Ok(())
}

fn refused(step: &'static str, source: io::Error) -> LockDownError {
    LockDownError::Refused { step, source }
}

mod capabilities {
    //! capset(2) and its prctl(2) relatives, which neither libc nor nix wrap.

    use std::io;

    use super::{LockDownError, refused};

    /// The layout with 64 capabilities in two halves, since Linux 2.6.26.
    const VERSION_3: u32 = 0x2008_0522;

    #[repr(C)]
    struct Header {
        version: u32,
        /// 0 is the calling thread.
        pid: i32,
    }

    #[repr(C)]
    #[derive(Clone, Copy, Default, PartialEq, Eq)]
    struct Half {
        effective: u32,
        permitted: u32,
        inheritable: u32,
    }

    pub(super) fn drop_all() -> Result<(), LockDownError> {
        clear_ambient()?;
        // Comes before the others: it takes CAP_SETPCAP, which goes with them.
        empty_bounding_set()?;
        // The filter of a unit that gives none need not allow the call.
        if are_empty()? {
            return Ok(());
        }
        let header = Header { version: VERSION_3, pid: 0 };
        let none = [Half::default(); 2];
        // SAFETY: capset(2) reads a header and, for version 3, two halves.
        match unsafe { libc::syscall(libc::SYS_capset, &raw const header, none.as_ptr()) } {
            0 => Ok(()),
            _ => Err(refused("drop the capabilities", io::Error::last_os_error())),
        }
    }

    pub(super) fn are_empty() -> Result<bool, LockDownError> {
        let header = Header { version: VERSION_3, pid: 0 };
        let mut sets = [Half::default(); 2];
        // SAFETY: capget(2) reads a header and, for version 3, writes two halves.
        match unsafe { libc::syscall(libc::SYS_capget, &raw const header, sets.as_mut_ptr()) } {
            0 => Ok(sets == [Half::default(); 2]),
            _ => Err(refused("read the capabilities", io::Error::last_os_error())),
        }
    }

    fn clear_ambient() -> Result<(), LockDownError> {
        let clear = libc::PR_CAP_AMBIENT_CLEAR_ALL;
        // SAFETY: no pointer is passed.
        match unsafe { libc::prctl(libc::PR_CAP_AMBIENT, clear, 0, 0, 0) } {
            0 => Ok(()),
            _ => Err(refused("clear the ambient capabilities", io::Error::last_os_error())),
        }
    }

    fn empty_bounding_set() -> Result<(), LockDownError> {
        for capability in 0..64_u64 {
            // SAFETY: no pointer is passed.
            if unsafe { libc::prctl(libc::PR_CAPBSET_DROP, capability, 0, 0, 0) } == 0 {
                continue;
            }
            let error = io::Error::last_os_error();
            return match error.raw_os_error() {
                // EINVAL: past the last capability of this kernel. EPERM: no CAP_SETPCAP.
                Some(libc::EINVAL | libc::EPERM) => Ok(()),
                _ => Err(refused("empty the bounding set of capabilities", error)),
            };
        }
        Ok(())
    }
}
