//! What the pages keep out, each policy in a process of its own: a policy is chosen once.

#![allow(clippy::unwrap_used, reason = "helpers of tests, which may")]

use std::fs;
use std::io;
use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::{Command, ExitStatus};
use std::ptr::null_mut;

use seccompiler::{BpfProgram, SeccompAction, SeccompFilter, TargetArch};
use secret_memory::{Backing, InitError, Policy, Secret, SecretBytes};

const ROLE: &str = "SECRET_MEMORY_TEST_ROLE";
const ARENA_BYTES: usize = 1 << 20;
const PAGE: usize = 4096;
/// Written out: logs are searched for it, so no word of it changes unnoticed.
const UNAVAILABLE: &str = "memfd_secret unavailable: secrets remain on kernel direct map. \
    Compliance impact: does not meet IL5/IL6, DISA STIG, PCI-DSS requirements for memory \
    isolation. Remediation: enable CONFIG_SECRETMEM=y in kernel config.";

/// Runs `body` in a process of its own, in `directory`, that knows the `role`; the test `name` calls
/// it again there, with any role, and gets nothing for all but its own.
fn process(directory: &Path, name: &str, role: &str, body: impl FnOnce()) -> Option<ExitStatus> {
    match std::env::var(ROLE) {
        Ok(own) if own == role => {
            body();
            std::process::exit(0);
        }
        Ok(_) => None,
        Err(_) => {
            let mut command = Command::new(std::env::current_exe().unwrap());
            command.args(["--exact", name, "--nocapture"]).env(ROLE, role).current_dir(directory);
            Some(command.output().unwrap().status)
        }
    }
}

/// As [`process`], and the body succeeds.
fn alone(name: &str, role: &str, body: impl FnOnce()) {
    if let Some(status) = process(Path::new("/"), name, role, body) {
        assert!(status.success(), "{name}, {role}: {status}");
    }
}

/// Makes memfd_secret(2) answer ENOSYS from here on, as a kernel without it does.
fn take_memfd_secret_away() {
    let rules = [(libc::SYS_memfd_secret, Vec::new())].into();
    let absent = SeccompAction::Errno(libc::ENOSYS as u32);
    let architecture = TargetArch::try_from(std::env::consts::ARCH).unwrap();
    let filter = SeccompFilter::new(rules, SeccompAction::Allow, absent, architecture).unwrap();
    seccompiler::apply_filter(&BpfProgram::try_from(filter).unwrap()).unwrap();
}

/// The policies, and what they come to on a kernel that has memfd_secret(2).
const POLICIES: [(Policy, Backing); 3] = [
    (Policy::Require, Backing::MemfdSecret),
    (Policy::Prefer, Backing::MemfdSecret),
    (Policy::Off, Backing::Locked),
];

/// A line of `/proc/self/smaps` and what belongs to it: first and last address, and the rest.
fn mapping_of(address: usize) -> (usize, usize, String) {
    let smaps = fs::read_to_string("/proc/self/smaps").unwrap();
    let mut found = None;
    for line in smaps.lines() {
        let range = line.split(' ').next().and_then(|range| {
            let (start, end) = range.split_once('-')?;
            let address = |text| usize::from_str_radix(text, 16).ok();
            Some((address(start)?, address(end)?))
        });
        match (range, &mut found) {
            (Some(_), Some(_)) => break,
            (Some((start, end)), None) if (start..end).contains(&address) => {
                found = Some((start, end, line.to_owned()));
            }
            (None, Some((_, _, text))) => {
                text.push('\n');
                text.push_str(line);
            }
            _ => {}
        }
    }
    found.unwrap_or_else(|| panic!("{address:x} is not mapped"))
}

fn address_of(secret: &Secret<32>) -> usize {
    secret.expose().as_ptr() as usize
}

/// The wait status of a forked child that reads one byte.
fn read_in_a_child(address: usize) -> ExitStatus {
    // SAFETY: the child does nothing but read and end.
    let child = unsafe { libc::fork() };
    if child == 0 {
        // SAFETY: an address that is not there ends this child, which is what is asked.
        unsafe {
            // The standard library's handler would write about it.
            libc::signal(libc::SIGSEGV, libc::SIG_DFL);
            std::ptr::with_exposed_provenance::<u8>(address).read_volatile();
            libc::_exit(0);
        }
    }
    let mut status = -1;
    // SAFETY: waitpid(2) writes one int, and `status` is one.
    assert_eq!(unsafe { libc::waitpid(child, &raw mut status, 0) }, child);
    ExitStatus::from_raw(status)
}

#[test]
fn each_policy_gets_the_pages_it_names_and_no_forked_child_does() {
    for (policy, backing) in POLICIES {
        let name = "each_policy_gets_the_pages_it_names_and_no_forked_child_does";
        alone(name, policy.as_str(), || {
            assert_eq!(secret_memory::init(policy, ARENA_BYTES, 0).unwrap(), backing);
            let secret = Secret::copy_of(&[0x5a; 32]);
            let (_, _, mapping) = mapping_of(address_of(&secret));
            assert_eq!(mapping.contains("/secretmem"), backing == Backing::MemfdSecret);
            let ordinary = Box::new(7_u8);
            let control = read_in_a_child((&raw const *ordinary).expose_provenance());
            assert!(control.success(), "a child reads what is ordinary: {control}");
            let status = read_in_a_child(address_of(&secret));
            assert_eq!(status.signal(), Some(libc::SIGSEGV), "{policy}: {status}");
            assert_eq!(secret.expose(), &[0x5a; 32]);
        });
    }
}

#[test]
fn a_step_out_of_the_arena_ends_the_process() {
    for (policy, _) in POLICIES {
        for (place, fatal) in [("first", false), ("last", false), ("below", true), ("above", true)]
        {
            let role = format!("{policy}, {place}");
            let touch = || {
                secret_memory::init(policy, ARENA_BYTES, 0).unwrap();
                let secret = Secret::<32>::zeroed();
                let (start, end, _) = mapping_of(address_of(&secret));
                assert_eq!(end - start, ARENA_BYTES);
                let address = match place {
                    "first" => start,
                    "last" => end - 1,
                    "below" => start - 1,
                    _ => end,
                };
                // SAFETY: no core file of this; an inaccessible page ends the process, as it should.
                unsafe {
                    let none = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
                    libc::setrlimit(libc::RLIMIT_CORE, &raw const none);
                    std::ptr::with_exposed_provenance::<u8>(address).read_volatile();
                }
            };
            let name = "a_step_out_of_the_arena_ends_the_process";
            if let Some(status) = process(Path::new("/"), name, &role, touch) {
                let signal = fatal.then_some(libc::SIGSEGV);
                assert!(status.signal() == signal && status.success() != fatal, "{role}: {status}");
            }
        }
    }
}

#[test]
fn a_core_dump_holds_no_secret() {
    let pattern = fs::read_to_string("/proc/sys/kernel/core_pattern").unwrap();
    let name = "a_core_dump_holds_no_secret";
    let planted = |start: u8| -> [u8; 32] { std::array::from_fn(|at| start ^ (at as u8 * 7)) };
    for (policy, _) in POLICIES {
        // A process dumps where it stands; that process has no use for another place.
        let place = std::env::var_os(ROLE).is_none().then(|| tempfile::tempdir().unwrap());
        let place = place.as_ref().map_or(Path::new("/"), tempfile::TempDir::path);
        let ended = process(place, name, policy.as_str(), || {
            secret_memory::init(policy, ARENA_BYTES, 0).unwrap();
            let secret = Secret::<32>::from_fn(|bytes| {
                for (at, byte) in bytes.iter_mut().enumerate() {
                    *byte = 0xa5 ^ (at as u8 * 7);
                }
            });
            let (_, _, mapping) = mapping_of(address_of(&secret));
            let flags = mapping.lines().find(|line| line.starts_with("VmFlags")).unwrap();
            for (flag, what) in [("dd", "undumpable"), ("dc", "not for children"), ("lo", "locked")]
            {
                assert!(flags.split(' ').any(|word| word == flag), "not {what}: {flags}");
            }
            let control = Box::new(planted(0x3c));
            std::hint::black_box((&secret, &control));
            // SAFETY: a limit of our own, and the end of this process.
            unsafe {
                let all =
                    libc::rlimit { rlim_cur: libc::RLIM_INFINITY, rlim_max: libc::RLIM_INFINITY };
                libc::setrlimit(libc::RLIMIT_CORE, &raw const all);
                libc::abort();
            }
        });
        let Some(status) = ended else { continue };
        assert_eq!(status.signal(), Some(libc::SIGABRT), "{policy}: {status}");
        if pattern.trim() != "core" {
            eprintln!("core dumps go elsewhere here ({pattern}); only the flags were looked at");
            continue;
        }
        let core = fs::read_dir(place).unwrap().flatten().next().expect("a core file");
        let core = fs::read(core.path()).unwrap();
        let holds = |needle: [u8; 32]| core.windows(32).any(|window| window == needle);
        assert!(holds(planted(0x3c)), "what is ordinary is in it");
        assert!(!holds(planted(0xa5)), "{policy}: the secret is in it");
    }
}

#[test]
fn a_sealed_arena_stays_what_and_where_it_is() {
    const MSEAL: libc::c_long = 462;
    // SAFETY: sealing nothing; only the errno is asked for.
    if unsafe { libc::syscall(MSEAL, 0, 0, 0) } != 0 {
        eprintln!("skipped, for this kernel has no mseal(2)");
        return;
    }
    for (policy, _) in POLICIES {
        alone("a_sealed_arena_stays_what_and_where_it_is", policy.as_str(), || {
            secret_memory::init(policy, ARENA_BYTES, 0).unwrap();
            let secret = Secret::copy_of(&[0x5a; 32]);
            let page = (address_of(&secret) & !(PAGE - 1)) as *mut libc::c_void;
            let fixed = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_FIXED;
            let (read, write) = (libc::PROT_READ, libc::PROT_WRITE);
            // SAFETY: each would change pages of this process that the seal protects; one that gets
            // through is noticed below, or ends it.
            let attempts: [(&str, bool); 5] = unsafe {
                [
                    ("munmap", libc::munmap(page, PAGE) == 0),
                    ("mprotect", libc::mprotect(page, PAGE, libc::PROT_NONE) == 0),
                    ("mprotect to execute", libc::mprotect(page, PAGE, libc::PROT_EXEC) == 0),
                    ("mmap over it", libc::mmap(page, PAGE, read | write, fixed, -1, 0) == page),
                    (
                        "mremap",
                        libc::mremap(page, PAGE, 2 * PAGE, libc::MREMAP_MAYMOVE)
                            != libc::MAP_FAILED,
                    ),
                ]
            };
            for (what, succeeded) in attempts {
                assert!(!succeeded, "{policy}: {what}");
            }
            assert_eq!(secret.expose(), &[0x5a; 32]);
            // The same on a page of nobody's: what fails above fails for the seal.
            // SAFETY: a fresh page, unmapped again.
            let gone = unsafe {
                let page = libc::mmap(null_mut(), PAGE, read, fixed & !libc::MAP_FIXED, -1, 0);
                libc::mprotect(page, PAGE, libc::PROT_NONE) == 0 && libc::munmap(page, PAGE) == 0
            };
            assert!(gone);
        });
    }
}

#[test]
fn without_memfd_secret_require_refuses_in_these_words() {
    alone("without_memfd_secret_require_refuses_in_these_words", "require", || {
        take_memfd_secret_away();
        assert_eq!(
            secret_memory::probe_memfd_secret().unwrap_err().raw_os_error(),
            Some(libc::ENOSYS)
        );
        for _ in 0..2 {
            let error = secret_memory::init(Policy::Require, ARENA_BYTES, 0).unwrap_err();
            assert_eq!(error.to_string(), UNAVAILABLE);
            let InitError::Unavailable { source } = error else { panic!("{error:?}") };
            assert_eq!(source.raw_os_error(), Some(libc::ENOSYS));
        }
    });
}

#[test]
fn without_memfd_secret_the_other_policies_lock_ordinary_pages() {
    for policy in [Policy::Prefer, Policy::Off] {
        let name = "without_memfd_secret_the_other_policies_lock_ordinary_pages";
        alone(name, policy.as_str(), || {
            take_memfd_secret_away();
            let backing = secret_memory::init(policy, ARENA_BYTES, 0).unwrap();
            assert_eq!((backing, secret_memory::backing()), (Backing::Locked, Backing::Locked));
            let secret = Secret::copy_of(&[1; 32]);
            let status = read_in_a_child(address_of(&secret));
            assert_eq!(status.signal(), Some(libc::SIGSEGV));
            // What is ordinary can't become more later on.
            let late = secret_memory::init(Policy::Require, ARENA_BYTES, 0).unwrap_err();
            assert!(matches!(late, InitError::TooLate), "{late}");
        });
    }
}

#[test]
fn too_low_a_limit_is_told_from_a_kernel_without_secret_memory() {
    alone("too_low_a_limit_is_told_from_a_kernel_without_secret_memory", "require", || {
        let low = libc::rlimit { rlim_cur: 64 << 10, rlim_max: 64 << 10 };
        // SAFETY: a limit of our own, from a valid struct.
        let lowered = unsafe { libc::setrlimit(libc::RLIMIT_MEMLOCK, &raw const low) };
        assert_eq!(lowered, 0, "{}", io::Error::last_os_error());
        let error = secret_memory::init(Policy::Require, ARENA_BYTES, 0).unwrap_err();
        assert!(matches!(error, InitError::LockedMemoryLimit { limit: 65_536, .. }), "{error}");
        assert!(error.to_string().contains("LimitMEMLOCK"), "{error}");
    });
}

#[test]
fn a_full_arena_refuses_buffers_and_keeps_its_reserve_for_keys() {
    alone("a_full_arena_refuses_buffers_and_keeps_its_reserve_for_keys", "prefer", || {
        secret_memory::init(Policy::Prefer, ARENA_BYTES, 0).unwrap();
        let mut buffers = Vec::new();
        while let Ok(buffer) = SecretBytes::with_capacity(4096) {
            buffers.push(buffer);
        }
        assert!(buffers.len() * 4096 <= ARENA_BYTES / 16 * 15);
        let keys: Vec<Secret<32>> = (0..1000).map(|_| Secret::zeroed()).collect();
        let usage = secret_memory::usage();
        assert_eq!(usage.used, buffers.len() * 4096 + keys.len() * 32);
    });
}
