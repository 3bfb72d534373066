//! A network namespace with nothing in it but a loopback interface that is down.

use std::fs;
use std::io;

use nix::errno::Errno;
use nix::sched::{CloneFlags, unshare};
use nix::sys::wait::{WaitStatus, waitpid};
use nix::unistd::{ForkResult, fork, getegid, geteuid};

const DEVICES: &str = "/proc/self/net/dev";

/// How the process stands to the network after [`isolate`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Isolation {
    /// There was only `lo`: the service manager (`PrivateNetwork=yes`) or the image had seen to it.
    AlreadyIsolated,
    /// The process made itself a network namespace.
    Namespace,
    /// The process made itself a network namespace inside a user namespace.
    UserNamespace,
    /// Nobody isolated the process. What keeps it off the network is seccomp, which leaves it
    /// `AF_UNIX` sockets only; the posture says so.
    Shared {
        /// The interfaces it sees, other than `lo`.
        interfaces: Vec<String>,
    },
}

/// Why [`isolate`] gave up; that there was no isolation to be had is not among the reasons.
#[derive(Debug, thiserror::Error)]
pub enum IsolateError {
    /// Namespaces belong to threads, and some threads would have stayed outside.
    #[error("the process has {0} threads already; isolate comes before the first of them")]
    Threads(usize),
    /// The interfaces can't be listed, so that nothing can be said about them.
    #[error("cannot read {DEVICES}")]
    Proc(#[from] io::Error),
    /// What a child had just done successfully failed here, and may be half done.
    #[error("cannot {step} after a trial of it succeeded")]
    UserNamespace {
        /// What was tried.
        step: &'static str,
        /// The errno of the attempt.
        #[source]
        source: io::Error,
    },
}

/// Leaves every network interface behind, if the process may.
///
/// This comes first, before [`crate::process::lock_down`]: `unshare(2)` needs capabilities, and a
/// process that isn't dumpable can't write its `uid_map`.
///
/// With `user_namespace`, a process without `CAP_SYS_ADMIN` may try a user namespace of its own, in
/// which it keeps its uid and gid. Every *other* uid and gid looks like 65534 from there, that of
/// a peer (`SO_PEERCRED`) and that of root's files (`policy.toml`) too: this is for a daemon in a
/// user's session, which has read the policy already and whose peers are the same user.
///
/// # Errors
/// [`IsolateError`]. A process that may not isolate itself gets [`Isolation::Shared`] instead.
pub fn isolate(user_namespace: bool) -> Result<Isolation, IsolateError> {
    let interfaces = foreign_interfaces()?;
    if interfaces.is_empty() {
        return Ok(Isolation::AlreadyIsolated);
    }
    match crate::threads::total()? {
        1 => {}
        threads => return Err(IsolateError::Threads(threads)),
    }
    match unshare(CloneFlags::CLONE_NEWNET) {
        Ok(()) => return Ok(Isolation::Namespace),
        Err(Errno::EPERM) if user_namespace && trial_succeeds() => {}
        Err(_) => return Ok(Isolation::Shared { interfaces }),
    }
    enter_user_namespace()
        .map_err(|(step, source)| IsolateError::UserNamespace { step, source })?;
    Ok(Isolation::UserNamespace)
}

/// The names of the network interfaces that this process sees, `lo` among them.
///
/// # Errors
/// When `/proc/self/net/dev` can't be read.
pub fn interfaces() -> io::Result<Vec<String>> {
    Ok(parse(&fs::read_to_string(DEVICES)?))
}

/// The interfaces other than `lo`.
pub(crate) fn foreign_interfaces() -> io::Result<Vec<String>> {
    Ok(interfaces()?.into_iter().filter(|name| name != "lo").collect())
}

/// Two lines of headings, then `name: counters`.
fn parse(devices: &str) -> Vec<String> {
    let name = |line: &str| Some(line.rsplit_once(':')?.0.trim().to_owned());
    devices.lines().skip(2).filter_map(name).collect()
}

/// Enters the namespaces in a child first. Where a security module lets a process create a user
/// namespace but not use it (Ubuntu's AppArmor), a failure after the first step would leave the
/// process with no uid at all.
fn trial_succeeds() -> bool {
    // SAFETY: the process has one thread, so that the child may go on like an ordinary process.
    match unsafe { fork() } {
        Ok(ForkResult::Child) => {
            let status = i32::from(enter_user_namespace().is_err());
            // SAFETY: ends the child without running what the parent registered for its own exit.
            unsafe { libc::_exit(status) }
        }
        Ok(ForkResult::Parent { child }) => loop {
            match waitpid(child, None) {
                Err(Errno::EINTR) => {}
                result => return matches!(result, Ok(WaitStatus::Exited(_, 0))),
            }
        },
        Err(_) => false,
    }
}

fn enter_user_namespace() -> Result<(), (&'static str, io::Error)> {
    let (uid, gid) = (geteuid(), getegid());
    unshare(CloneFlags::CLONE_NEWUSER | CloneFlags::CLONE_NEWNET)
        .map_err(|errno| ("create a user and a network namespace", errno.into()))?;
    // The kernel wants setgroups(2) given up before an unprivileged process maps its gid.
    fs::write("/proc/self/setgroups", "deny").map_err(|error| ("deny setgroups", error))?;
    fs::write("/proc/self/uid_map", format!("{uid} {uid} 1"))
        .map_err(|error| ("map the uid", error))?;
    fs::write("/proc/self/gid_map", format!("{gid} {gid} 1"))
        .map_err(|error| ("map the gid", error))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_what_comes_before_the_counters() {
        let text = "Inter-|   Receive                |  Transmit\n face |bytes    packets|bytes\n    \
                    lo:     100       1\n eth0: 0 0\neth0.5:0 0\n a:b: 0 0\n";
        assert_eq!(parse(text), ["lo", "eth0", "eth0.5", "a:b"]);
        assert!(parse("").is_empty());
    }
}
