//! What holds for the calling daemon, thread by thread where it belongs to threads.

use std::fs;

use nix::sys::prctl;
use nix::sys::resource::{Resource, getrlimit};
use nix::unistd::geteuid;
use secret_memory::Backing;

use super::{Check, Finding, Status, pass_or_fail};
use crate::filesystem::ABI;
use crate::network;
use crate::threads::{self, ThreadReport, field, hexadecimal};

const OFF: &str = "off by configuration";

/// What a daemon knows about its sandbox that can't be measured from inside one thread.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Facts {
    /// Whether the configuration asks for seccomp.
    pub seccomp: Switch,
    /// Filters that every thread must have: our own, and those that were there before.
    pub seccomp_filters: u32,
    /// Bytes of secret memory that the daemon maps for a while besides what it holds all the time.
    pub working_memory: u64,
    /// Whether the configuration asks for Landlock.
    pub landlock: Switch,
    /// The ABI that [`crate::filesystem::restrict`] enforced ([`ABI`]), if it was called.
    pub landlock_abi: Option<u32>,
    /// Of how many threads, asked one by one, how many found
    /// [`crate::filesystem::is_denied_here`] true: `(confirmed, asked)`.
    pub landlock_threads: (usize, usize),
}

/// Whether a part of the sandbox is wanted at all.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Switch {
    /// It is; not having it is a failure.
    On,
    /// The site has switched it off, by name. That is a failure too, and says why.
    Off,
}

/// Reports the confinement of this process, which is the daemon called `name`.
///
/// To be called in the service phase; it needs `/proc/self` below [`crate::filesystem::Access`]
/// and no system call that [`crate::seccomp::SERVICE`] lacks.
#[must_use]
pub fn process(name: &str, facts: &Facts) -> Vec<Check> {
    let threads = threads::report(facts.seccomp_filters).ok();
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let findings = [
        secret_memory(secret_memory::backing()).in_the_floor(),
        locked_memory(&status, facts.working_memory, secret_memory::backing()),
        seccomp(facts, threads).in_the_floor(),
        no_new_privs(threads).in_the_floor(),
        landlock(facts, threads).in_the_floor(),
        capabilities(&status, threads, geteuid().is_root()).in_the_floor(),
        dumpable().in_the_floor(),
        core_limit().in_the_floor(),
        network(),
    ];
    findings.into_iter().map(|finding| finding.about(name)).collect()
}

fn secret_memory(backing: Backing) -> Finding {
    let found = match backing {
        Backing::MemfdSecret => "memfd_secret: off the kernel's direct map",
        Backing::Locked => "mlock: on the kernel's direct map",
        Backing::Plain => "ordinary: on the kernel's direct map, and may be swapped",
    };
    Finding::new("secret-memory", pass_or_fail(backing == Backing::MemfdSecret), found)
}

fn locked_memory(status: &str, working_memory: u64, backing: Backing) -> Finding {
    let locked = field(status, "VmLck").and_then(|value| value.split(' ').next()?.parse().ok());
    let limit = getrlimit(Resource::RLIMIT_MEMLOCK).map_or(0, |(soft, _)| soft);
    let allowed = match limit {
        nix::libc::RLIM_INFINITY => "without a limit".to_owned(),
        bytes => format!("of {} kB allowed", bytes / 1024),
    };
    match locked {
        // Since Linux 6.12 pages of memfd_secret, which are never swapped, may not be counted here.
        Some(0_u64) if backing == Backing::MemfdSecret => {
            let text = format!("by memfd_secret, which this kernel doesn't count; {allowed}");
            Finding::new("locked-memory", Status::Pass, text)
        }
        Some(0_u64) => Finding::new("locked-memory", Status::Warn, format!("nothing, {allowed}")),
        Some(kilobytes) if limit < kilobytes * 1024 + working_memory => {
            let needed = working_memory / 1024;
            let text = format!(
                "{kilobytes} kB, {allowed}: {needed} kB more, for a while at each unlock, lie in \
                 ordinary memory; raise LimitMEMLOCK to 64M"
            );
            Finding::new("locked-memory", Status::Warn, text)
        }
        Some(kilobytes) => {
            Finding::new("locked-memory", Status::Pass, format!("{kilobytes} kB, {allowed}"))
        }
        None => Finding::new("locked-memory", Status::Warn, "can't be read"),
    }
}

fn seccomp(facts: &Facts, threads: Option<ThreadReport>) -> Finding {
    if facts.seccomp == Switch::Off {
        return Finding::new("seccomp", Status::Fail, OFF);
    }
    of_all("seccomp", threads, |threads| threads.seccomp)
}

fn no_new_privs(threads: Option<ThreadReport>) -> Finding {
    of_all("no-new-privs", threads, |threads| threads.no_new_privs)
}

fn of_all(
    id: &'static str,
    threads: Option<ThreadReport>,
    count: fn(&ThreadReport) -> usize,
) -> Finding {
    let Some(threads) = threads else {
        return Finding::new(id, Status::Fail, "the threads can't be read");
    };
    let (count, total) = (count(&threads), threads.total);
    Finding::new(id, pass_or_fail(count == total), format!("{count} of {total} threads"))
}

fn landlock(facts: &Facts, threads: Option<ThreadReport>) -> Finding {
    let finding = |status, found| Finding::new("landlock", status, found);
    if facts.landlock == Switch::Off {
        return finding(Status::Fail, OFF.to_owned());
    }
    let Some(abi) = facts.landlock_abi else {
        return finding(Status::Fail, "not in force".to_owned());
    };
    let (confirmed, asked) = facts.landlock_threads;
    // A thread that was not asked has not confirmed.
    let total = threads.map_or(asked, |threads| threads.total.max(asked));
    let holds = abi >= ABI && total > 0 && confirmed == total;
    finding(pass_or_fail(holds), format!("ABI {abi}, {confirmed} of {total} threads"))
}

/// The bounding set only limits what execve(2) could add, and `no_new_privs` lets it add nothing.
/// Root could have emptied it, so that a full one shows a step left out.
fn capabilities(status: &str, threads: Option<ThreadReport>, root: bool) -> Finding {
    let finding = |status, found| Finding::new("capabilities", status, found);
    let set = |key| hexadecimal(status, key);
    let (Some(effective), Some(permitted), Some(bounding), Some(threads)) =
        (set("CapEff"), set("CapPrm"), set("CapBnd"), threads)
    else {
        return finding(Status::Fail, "can't be read".to_owned());
    };
    let found = format!(
        "effective {effective:#x}, permitted {permitted:#x}, bounding {bounding:#x}; {} of {} \
         threads have none",
        threads.no_capabilities, threads.total
    );
    let none = (effective, permitted) == (0, 0) && threads.no_capabilities == threads.total;
    match (none, bounding) {
        (true, 0) => finding(Status::Pass, found),
        (true, _) if !root => finding(Status::Warn, found),
        _ => finding(Status::Fail, found),
    }
}

fn dumpable() -> Finding {
    let (status, found) = match prctl::get_dumpable() {
        Ok(false) => (Status::Pass, "no"),
        Ok(true) => (Status::Fail, "yes: what it has in memory can be dumped or traced"),
        Err(_) => (Status::Fail, "can't be read"),
    };
    Finding::new("dumpable", status, found)
}

fn core_limit() -> Finding {
    match getrlimit(Resource::RLIMIT_CORE) {
        Ok((soft, hard)) => {
            let found = format!("soft {soft}, hard {hard} bytes");
            Finding::new("core-limit", pass_or_fail((soft, hard) == (0, 0)), found)
        }
        Err(errno) => Finding::new("core-limit", Status::Fail, format!("can't be read: {errno}")),
    }
}

fn network() -> Finding {
    let (status, found) = match network::foreign_interfaces() {
        Ok(interfaces) if interfaces.is_empty() => (Status::Pass, "only lo".to_owned()),
        Ok(interfaces) => {
            let interfaces = interfaces.join(", ");
            (Status::Warn, format!("sees {interfaces}; seccomp leaves AF_UNIX sockets only"))
        }
        Err(error) => (Status::Warn, format!("the interfaces can't be listed: {error}")),
    };
    Finding::new("network", status, found)
}

#[cfg(test)]
mod tests {
    use super::*;

    const FOUR: ThreadReport =
        ThreadReport { total: 4, seccomp: 4, no_new_privs: 4, no_capabilities: 4 };
    const ON: Facts = Facts {
        seccomp_filters: 1,
        working_memory: 0,
        seccomp: Switch::On,
        landlock: Switch::On,
        landlock_abi: Some(ABI),
        landlock_threads: (4, 4),
    };

    #[test]
    fn one_thread_too_few_fails() {
        assert_eq!(seccomp(&ON, Some(FOUR)).status, Status::Pass);
        let three = ThreadReport { seccomp: 3, no_new_privs: 3, ..FOUR };
        assert_eq!(seccomp(&ON, Some(three)).status, Status::Fail);
        assert_eq!(no_new_privs(Some(three)).found, "3 of 4 threads");
        assert_eq!(no_new_privs(None).status, Status::Fail);
    }

    #[test]
    fn off_by_configuration_is_a_failure_that_says_so() {
        let off = Facts { seccomp: Switch::Off, landlock: Switch::Off, ..ON };
        for finding in [seccomp(&off, Some(FOUR)), landlock(&off, Some(FOUR))] {
            assert_eq!((finding.status, &*finding.found), (Status::Fail, OFF));
        }
    }

    #[test]
    fn landlock_needs_every_thread_and_the_whole_abi() {
        assert_eq!(landlock(&ON, Some(FOUR)).found, "ABI 6, 4 of 4 threads");
        let cases = [
            (Facts { landlock_abi: None, ..ON }, FOUR),
            (Facts { landlock_abi: Some(ABI - 1), ..ON }, FOUR),
            (Facts { landlock_threads: (3, 4), ..ON }, FOUR),
            (Facts { landlock_threads: (0, 0), ..ON }, ThreadReport { total: 0, ..FOUR }),
            // A fifth thread that nobody asked.
            (ON, ThreadReport { total: 5, ..FOUR }),
        ];
        assert_eq!(landlock(&ON, Some(FOUR)).status, Status::Pass);
        for (facts, threads) in cases {
            assert_eq!(landlock(&facts, Some(threads)).status, Status::Fail, "{facts:?}");
        }
    }

    #[test]
    fn memory_that_a_kernel_does_not_count_is_locked_only_by_memfd_secret() {
        let judge = |kilobytes, backing| {
            locked_memory(&format!("VmLck:\t{kilobytes} kB\n"), 0, backing).status
        };
        assert_eq!(judge(0, Backing::MemfdSecret), Status::Pass);
        assert_eq!(judge(0, Backing::Locked), Status::Warn);
        assert_eq!(judge(4, Backing::Locked), Status::Pass);
    }

    #[test]
    fn a_bounding_set_matters_to_root_only() {
        let status = |bounding| format!("CapPrm:\t0\nCapEff:\t0\nCapBnd:\t{bounding}\n");
        let judge = |status: &str, root| capabilities(status, Some(FOUR), root).status;
        assert_eq!(judge(&status("0"), true), Status::Pass);
        assert_eq!(judge(&status("ff"), true), Status::Fail);
        assert_eq!(judge(&status("ff"), false), Status::Warn);
        assert_eq!(judge("CapPrm:\t1\nCapEff:\t0\nCapBnd:\t0\n", false), Status::Fail);
        assert_eq!(judge("", false), Status::Fail);
        let three = ThreadReport { no_capabilities: 3, ..FOUR };
        assert_eq!(capabilities(&status("0"), Some(three), false).status, Status::Fail);
    }
}
