//! What every thread of this process says about its own confinement.
//!
//! Seccomp filters, `no_new_privs`, capabilities and Landlock domains belong to threads, and
//! `/proc/self/status` shows those of the first thread only. These probes read all of them.

use std::fs;
use std::io::{self, ErrorKind};

/// How many threads there are, and how many of them are confined in which way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ThreadReport {
    /// Threads of the process.
    pub total: usize,
    /// Threads under as many seccomp filters as were asked for (`Seccomp_filters`).
    pub seccomp: usize,
    /// Threads that can't gain privileges (`NoNewPrivs: 1`).
    pub no_new_privs: usize,
    /// Threads whose effective, permitted, inheritable and ambient capabilities are all empty.
    pub no_capabilities: usize,
}

/// What [`verify`] asks of every thread. What a site has switched off by name is left out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Expected {
    /// So many seccomp filters: those that were there before (a service manager's), and our own.
    /// `Seccomp: 2` alone would be satisfied by somebody else's filter.
    pub seccomp_filters: u32,
    /// `no_new_privs`.
    pub no_new_privs: bool,
    /// Empty sets of capabilities.
    pub no_capabilities: bool,
}

impl Expected {
    /// The sandbox with nothing switched off, and no filter but our own.
    pub const ALL: Self = Self { seccomp_filters: 1, no_new_privs: true, no_capabilities: true };
}

/// Why [`verify`] did not confirm the sandbox.
#[derive(Debug, thiserror::Error)]
pub enum ThreadsError {
    /// A thread lacks what every thread must have.
    #[error("thread {id} (\"{name}\") has {lacks}; the sandbox must cover every thread")]
    Unconfined {
        /// The kernel's number of the thread.
        id: String,
        /// Its name.
        name: String,
        /// What is missing, in words.
        lacks: &'static str,
    },
    /// The threads could not be listed.
    #[error("cannot read the threads of this process from /proc/self/task")]
    Proc(#[from] io::Error),
}

/// Counts the threads of this process and how each is confined; under seccomp counts who has at
/// least `seccomp_filters`.
///
/// # Errors
/// When `/proc/self/task` can't be read; under Landlock the caller must have allowed `/proc/self`.
pub fn report(seccomp_filters: u32) -> io::Result<ThreadReport> {
    Ok(count(&threads()?, seccomp_filters))
}

/// How many seccomp filters every thread has at least.
///
/// # Errors
/// As for [`report`].
pub fn seccomp_filters() -> io::Result<u32> {
    Ok(threads()?.iter().map(|thread| thread.seccomp_filters).min().unwrap_or(0))
}

/// Checks that every thread has what is `expected`.
///
/// # Errors
/// [`ThreadsError::Unconfined`] names the first thread that lacks something.
pub fn verify(expected: Expected) -> Result<ThreadReport, ThreadsError> {
    let threads = threads()?;
    for thread in &threads {
        let lacks = if thread.seccomp_filters < expected.seccomp_filters {
            "no seccomp filter"
        } else if expected.no_new_privs && !thread.no_new_privs {
            "no no_new_privs"
        } else if expected.no_capabilities && !thread.no_capabilities {
            "capabilities left"
        } else {
            continue;
        };
        let (id, name) = (thread.id.clone(), thread.name.clone());
        return Err(ThreadsError::Unconfined { id, name, lacks });
    }
    Ok(count(&threads, expected.seccomp_filters))
}

/// How many threads this process has.
pub(crate) fn total() -> io::Result<usize> {
    Ok(fs::read_dir("/proc/self/task")?.count())
}

struct Thread {
    id: String,
    name: String,
    seccomp_filters: u32,
    no_new_privs: bool,
    no_capabilities: bool,
}

impl Thread {
    fn parse(id: String, status: &str) -> Self {
        let is = |key, value| field(status, key) == Some(value);
        // Kernels before 5.9 don't count the filters; one there is at least.
        let counted = field(status, "Seccomp_filters").and_then(|text| text.parse().ok());
        let seccomp_filters = if is("Seccomp", "2") { counted.unwrap_or(1) } else { 0 };
        let empty = |key| hexadecimal(status, key) == Some(0);
        Self {
            id,
            name: field(status, "Name").unwrap_or("?").to_owned(),
            seccomp_filters,
            no_new_privs: is("NoNewPrivs", "1"),
            no_capabilities: ["CapEff", "CapPrm", "CapInh", "CapAmb"].into_iter().all(empty),
        }
    }
}

fn threads() -> io::Result<Vec<Thread>> {
    let mut threads = Vec::new();
    for entry in fs::read_dir("/proc/self/task")? {
        let entry = entry?;
        match fs::read_to_string(entry.path().join("status")) {
            Ok(status) => {
                threads.push(Thread::parse(entry.file_name().to_string_lossy().into(), &status));
            }
            // A thread that has ended since needs no sandbox.
            Err(error) if error.kind() == ErrorKind::NotFound => {}
            Err(error) if error.raw_os_error() == Some(libc::ESRCH) => {}
            Err(error) => return Err(error),
        }
    }
    Ok(threads)
}

fn count(threads: &[Thread], filters: u32) -> ThreadReport {
    let count = |has: &dyn Fn(&Thread) -> bool| threads.iter().filter(|thread| has(thread)).count();
    ThreadReport {
        total: threads.len(),
        seccomp: count(&|thread| thread.seccomp_filters >= filters.max(1)),
        no_new_privs: count(&|thread| thread.no_new_privs),
        no_capabilities: count(&|thread| thread.no_capabilities),
    }
}

/// The value of `key` in the text of a `/proc/…/status`.
pub(crate) fn field<'a>(status: &'a str, key: &str) -> Option<&'a str> {
    let value = |line: &'a str| line.strip_prefix(key)?.strip_prefix(':');
    status.lines().find_map(value).map(str::trim)
}

/// As [`field`], for a set of capabilities.
pub(crate) fn hexadecimal(status: &str, key: &str) -> Option<u64> {
    u64::from_str_radix(field(status, key)?, 16).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    const CONFINED: &str = "Name:\tworker\nCapInh:\t0000000000000000\nCapPrm:\t0000000000000000\n\
        CapEff:\t0000000000000000\nCapAmb:\t0000000000000000\nNoNewPrivs:\t1\nSeccomp:\t2\n\
        Seccomp_filters:\t1\n";

    #[test]
    fn a_confined_thread_is_told_from_an_unconfined_one() {
        let confined = Thread::parse("7".into(), CONFINED);
        assert_eq!(confined.name, "worker");
        let all = ThreadReport { total: 1, seccomp: 1, no_new_privs: 1, no_capabilities: 1 };
        assert_eq!(count(&[confined], 1), all);

        let other = CONFINED
            .replace("Seccomp:\t2", "Seccomp:\t0")
            .replace("NoNewPrivs:\t1", "NoNewPrivs:\t0")
            .replace("CapPrm:\t0000000000000000", "CapPrm:\t0000000000000400");
        let none = ThreadReport { total: 1, seccomp: 0, no_new_privs: 0, no_capabilities: 0 };
        assert_eq!(count(&[Thread::parse("8".into(), &other)], 1), none);
    }

    #[test]
    fn what_the_kernel_does_not_say_counts_as_missing() {
        let none = ThreadReport { total: 1, seccomp: 0, no_new_privs: 0, no_capabilities: 0 };
        assert_eq!(count(&[Thread::parse("9".into(), "Name:\tx\n")], 1), none);
    }

    /// A service manager's filter is on every thread before ours: `Seccomp: 2` proves nothing then.
    #[test]
    fn somebody_elses_filter_is_not_ours() {
        let status = "Name:\tx\nNoNewPrivs:\t1\nSeccomp:\t2\nSeccomp_filters:\t1\nCapEff:\t0\n";
        let thread = || [Thread::parse("7".into(), status)];
        assert_eq!(count(&thread(), 1).seccomp, 1);
        assert_eq!(count(&thread(), 2).seccomp, 0);
    }
}
