//! The table of system calls, as data.

use std::collections::BTreeMap;
use std::fs;

use hardening::seccomp::{Allowed, Rule, SERVICE, SeccompError, Test, compile};

#[test]
fn every_rule_has_a_reason() {
    for rule in SERVICE {
        assert!(rule.reason.len() > 3, "{} needs a reason", rule.name);
    }
}

#[test]
fn no_call_has_two_rules() {
    let mut seen = BTreeMap::new();
    for rule in SERVICE {
        assert_eq!(seen.insert(rule.number, rule.name), None, "{}", rule.name);
    }
    let twice = [SERVICE[0], SERVICE[0]];
    assert!(matches!(compile(&twice), Err(SeccompError::Duplicate(_))));
}

#[test]
fn a_condition_has_an_alternative() {
    for rule in SERVICE {
        // An empty list would compile to "any argument".
        if let Allowed::When { any_of, argument, .. } = rule.allowed {
            assert!(!any_of.is_empty() && argument < 6, "{}", rule.name);
        }
    }
}

/// Against the kernel's own list, where its headers are installed.
#[test]
fn numbers_are_those_of_the_names() {
    let headers = [
        "/usr/include/x86_64-linux-gnu/asm/unistd_64.h",
        "/usr/include/asm/unistd_64.h",
        "/usr/include/asm-generic/unistd.h",
    ];
    let usable = if cfg!(target_arch = "x86_64") { &headers[..2] } else { &headers[2..] };
    let text = usable.iter().find_map(|path| fs::read_to_string(path).ok()).unwrap_or_default();
    let mut numbers: BTreeMap<&str, i64> = text
        .lines()
        .filter_map(|line| {
            let (name, number) = line.strip_prefix("#define __NR")?.split_once(' ')?;
            // The generic list has names such as __NR3264_fstat.
            let name = name.trim_start_matches("3264").strip_prefix('_')?;
            Some((name, number.trim().parse().ok()?))
        })
        .collect();
    // Younger than the headers of Debian 12, and the same on every architecture.
    numbers.insert("mseal", 462);
    let compared = SERVICE.iter().filter(|rule| numbers.contains_key(rule.name));
    let wrong: Vec<_> = compared.filter(|rule| numbers[rule.name] != rule.number).collect();
    assert_eq!(wrong, Vec::<&Rule>::new());
    if cfg!(target_arch = "x86_64") && !text.is_empty() {
        let unknown = SERVICE.iter().find(|rule| !numbers.contains_key(rule.name));
        assert_eq!(unknown, None, "not a name of the kernel's");
    }
}

#[test]
fn what_must_never_be_there_is_not() {
    let never = [
        "clone",
        "clone3",
        "fork",
        "vfork",
        "execve",
        "execveat",
        "ptrace",
        "process_vm_readv",
        "process_vm_writev",
        "pidfd_open",
        "pidfd_getfd",
        "kill",
        "tkill",
        "bpf",
        "perf_event_open",
        "io_uring_setup",
        "io_uring_enter",
        "userfaultfd",
        "keyctl",
        "add_key",
        "mount",
        "unshare",
        "setns",
        "chroot",
        "pivot_root",
        "setuid",
        "setgid",
        "capset",
        "seccomp",
        "personality",
        "memfd_create",
        "pkey_mprotect",
        "shmat",
        "remap_file_pages",
        "mknod",
        "mknodat",
        "bind",
        "listen",
        "open_by_handle_at",
        "init_module",
        "kexec_load",
    ];
    for rule in SERVICE {
        assert!(!never.contains(&rule.name), "{}", rule.name);
    }
}

#[test]
fn sockets_are_local_and_memory_is_not_code() {
    let allowed = |name| SERVICE.iter().find(|rule| rule.name == name).unwrap().allowed;
    let only = |allowed, test| match allowed {
        Allowed::When { any_of, .. } => any_of == [test],
        Allowed::Always => false,
    };
    assert!(only(allowed("socket"), Test::Equals(libc::AF_UNIX as u64)));
    for name in ["mmap", "mprotect"] {
        assert!(only(allowed(name), Test::NoneOf(libc::PROT_EXEC as u64)), "{name}");
    }
}

#[test]
fn the_filter_is_well_below_the_kernels_limit() {
    let length = compile(SERVICE).unwrap().len();
    assert!(length < 1024, "{length} instructions, of 4096");
}
