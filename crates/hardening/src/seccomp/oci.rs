//! The tables as the `seccomp` object of the OCI runtime specification 1.0 (config-linux, Seccomp):
//! for a container runtime, which filters the whole life of a process.

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;

use super::MISMATCH_ERRNO;
use super::rule::{Allowed, Rule, Test, Width};

const ALLOW: &str = "SCMP_ACT_ALLOW";
const ERRNO: &str = "SCMP_ACT_ERRNO";

/// An OCI seccomp profile; serialise it as JSON.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Profile {
    default_action: &'static str,
    default_errno_ret: i32,
    architectures: [&'static str; 1],
    syscalls: Vec<Entry>,
}

/// System calls by name, and what becomes of them; alternatives are entries of their own, because
/// runtimes disagree about two conditions on one argument.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "camelCase")]
struct Entry {
    names: Vec<&'static str>,
    action: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    errno_ret: Option<i32>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    args: Vec<Condition>,
}

/// `SCMP_CMP_EQ`: the argument is `value`. `SCMP_CMP_MASKED_EQ`: the argument, masked with `value`, is
/// `value_two` (seccomp_rule_add(3)).
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "camelCase")]
struct Condition {
    index: u8,
    value: u64,
    value_two: u64,
    op: &'static str,
}

/// What any of `tables` allows is allowed, what is `unknown` fails with ENOSYS, and everything else
/// with the errno of our own filter. For the architecture this was built for.
#[must_use]
pub fn profile(tables: &[&[Rule]], unknown: &[Rule]) -> Profile {
    let mut allowed: BTreeMap<&str, BTreeSet<Condition>> = BTreeMap::new();
    let rules = || tables.iter().copied().flatten();
    let always: BTreeSet<&str> =
        rules().filter(|rule| rule.allowed == Allowed::Always).map(|rule| rule.name).collect();
    for rule in rules().filter(|rule| !always.contains(rule.name)) {
        allowed.entry(rule.name).or_default().extend(conditions(&rule.allowed));
    }
    let entry = |names, action, errno_ret, args| Entry { names, action, errno_ret, args };
    let mut syscalls = vec![entry(always.into_iter().collect(), ALLOW, None, Vec::new())];
    for (name, alternatives) in allowed {
        let alternatives = alternatives.into_iter();
        syscalls.extend(alternatives.map(|one| entry(vec![name], ALLOW, None, vec![one])));
    }
    let names: Vec<&str> = unknown.iter().map(|rule| rule.name).collect();
    syscalls.push(entry(names, ERRNO, Some(libc::ENOSYS), Vec::new()));
    let architectures = [ARCHITECTURE];
    Profile { default_action: ERRNO, default_errno_ret: MISMATCH_ERRNO, architectures, syscalls }
}

#[cfg(target_arch = "x86_64")]
const ARCHITECTURE: &str = "SCMP_ARCH_X86_64";
#[cfg(target_arch = "aarch64")]
const ARCHITECTURE: &str = "SCMP_ARCH_AARCH64";

fn conditions(allowed: &Allowed) -> Vec<Condition> {
    let Allowed::When { argument, width, any_of } = allowed else { return Vec::new() };
    any_of.iter().map(|test| condition(*argument, *width, test)).collect()
}

/// libseccomp compares all 64 bits, and the kernel reads 32 of an `int`.
fn condition(index: u8, width: Width, test: &Test) -> Condition {
    let masked = |value, value_two| Condition { index, value, value_two, op: "SCMP_CMP_MASKED_EQ" };
    match (*test, width) {
        (Test::Equals(value), Width::Int) => masked(u64::from(u32::MAX), value),
        (Test::Equals(value), Width::Long) => {
            Condition { index, value, value_two: 0, op: "SCMP_CMP_EQ" }
        }
        (Test::NoneOf(mask), _) => masked(mask, 0),
        (Test::AllOf(mask), _) => masked(mask, mask),
    }
}

#[cfg(test)]
mod tests {
    use crate::seccomp::{SERVICE, STARTUP, UNKNOWN};

    use super::*;

    fn entries(name: &str) -> Vec<Entry> {
        let profile = profile(&[SERVICE, STARTUP], UNKNOWN);
        profile.syscalls.into_iter().filter(|entry| entry.names.contains(&name)).collect()
    }

    #[test]
    fn a_call_without_a_condition_has_one_entry() {
        let read = entries("read");
        assert!(read.len() == 1 && read[0].args.is_empty());
        // With a condition in one table, and without in the other.
        let limit = entries("prlimit64");
        assert!(limit.len() == 1 && limit[0].args.is_empty());
    }

    #[test]
    fn an_int_is_compared_as_the_kernel_reads_it() {
        let [socket] = &entries("socket")[..] else { panic!("one family") };
        let unix = Condition {
            index: 0,
            value: 0xffff_ffff,
            value_two: libc::AF_UNIX as u64,
            op: "SCMP_CMP_MASKED_EQ",
        };
        assert_eq!(socket.args, [unix]);
    }

    #[test]
    fn alternatives_are_entries_of_their_own() {
        let mmap = entries("mmap");
        assert_eq!(mmap.len(), 2, "code or data: {mmap:?}");
        assert!(mmap.iter().all(|entry| entry.args.len() == 1));
        let questions_and_what_is_given_up = entries("prctl").len();
        assert!(questions_and_what_is_given_up > 10);
    }

    #[test]
    fn no_call_is_allowed_twice_and_unknown_as_well() {
        let [clone3] = &entries("clone3")[..] else { panic!("one entry") };
        assert_eq!((clone3.action, clone3.errno_ret), (ERRNO, Some(libc::ENOSYS)));
    }

    #[test]
    fn what_no_table_has_is_not_there() {
        for name in ["ptrace", "mount", "bpf", "unshare", "io_uring_setup", "capset", "chown"] {
            assert_eq!(entries(name), [], "{name}");
        }
    }
}
