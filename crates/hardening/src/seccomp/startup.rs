//! The second table: what a daemon calls before its own filter is on, from its first instruction. A
//! filter that somebody else puts around the whole process (a container runtime) must allow it beside
//! [`super::SERVICE`].

use super::rule::{Rule, Test, int, is, long};

use Test::{AllOf, NoneOf};

/// Memory is code or can be written, and never both.
const CODE_OR_DATA: &[Test] = &[NoneOf(libc::PROT_EXEC as u64), NoneOf(libc::PROT_WRITE as u64)];

/// A thread of this process. The kernel refuses a user or PID namespace with it, and every other one
/// without CAP_SYS_ADMIN.
const THREAD: &[Test] =
    &[AllOf((libc::CLONE_VM | libc::CLONE_SIGHAND | libc::CLONE_THREAD) as u64)];

const GIVEN_UP: &[Test] = &[
    is(libc::PR_SET_NO_NEW_PRIVS),
    is(libc::PR_SET_DUMPABLE),
    is(libc::PR_CAP_AMBIENT),
    is(libc::PR_CAPBSET_DROP),
];

/// The start of a daemon that comes without capabilities.
pub const STARTUP: &[Rule] = &[
    // The program
    allow!(SYS_execve, "the container runtime becomes the daemon"),
    #[cfg(target_arch = "x86_64")]
    allow!(SYS_arch_prctl, "the dynamic linker gives the first thread its storage"),
    allow!(SYS_set_tid_address, "glibc learns when the first thread ends"),
    allow!(SYS_mmap, long(2, CODE_OR_DATA), "the dynamic linker maps libraries"),
    allow!(SYS_clone, long(0, THREAD), "the workers; they exist before the filter"),
    // What the daemon gives up
    allow!(SYS_prctl, int(0, GIVEN_UP), "no new privileges, no dumps, no capabilities"),
    allow!(SYS_prlimit64, "no core dumps"),
    allow!(SYS_umask, "what it makes is its own"),
    allow!(SYS_landlock_create_ruleset, "the sandbox that it puts on itself"),
    allow!(SYS_landlock_add_rule, "the sandbox that it puts on itself"),
    allow!(SYS_landlock_restrict_self, "the sandbox that it puts on itself"),
    allow!(SYS_seccomp, "the filter that it puts on itself"),
    // Its socket
    allow!(SYS_bind, "its one socket"),
    allow!(SYS_listen, "its one socket"),
    #[cfg(target_arch = "x86_64")]
    allow!(SYS_chmod, "the mode of the socket"),
];

/// What must fail as if the kernel had no such call, for the C library to take the older one, whose
/// arguments a filter can read.
pub const UNKNOWN: &[Rule] = &[allow!(SYS_clone3, "glibc takes clone(2) then")];

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::super::{SERVICE, compile};
    use super::*;
    use crate::seccomp::rule::Allowed;

    #[test]
    fn every_rule_has_a_reason_and_an_alternative() {
        for rule in STARTUP.iter().chain(UNKNOWN) {
            assert!(rule.reason.len() > 3, "{} needs a reason", rule.name);
            if let Allowed::When { any_of, argument, .. } = rule.allowed {
                assert!(!any_of.is_empty() && argument < 6, "{}", rule.name);
            }
        }
    }

    #[test]
    fn the_table_is_a_filter_too() {
        let length = compile(STARTUP).unwrap().len();
        assert!(length < 1024, "{length} instructions, of 4096");
    }

    /// What both phases may do without a condition stands in one table only.
    #[test]
    fn nothing_is_said_twice() {
        let always = |rule: &&Rule| rule.allowed == Allowed::Always;
        let service: BTreeSet<&str> = SERVICE.iter().filter(always).map(|rule| rule.name).collect();
        let twice: Vec<&str> =
            STARTUP.iter().map(|rule| rule.name).filter(|name| service.contains(name)).collect();
        assert_eq!(twice, Vec::<&str>::new());
    }

    #[test]
    fn nothing_privileged_is_needed_to_start() {
        for name in
            ["capset", "chown", "fchownat", "setuid", "setgid", "unshare", "mount", "clone3"]
        {
            assert!(STARTUP.iter().all(|rule| rule.name != name), "{name}");
        }
    }
}
