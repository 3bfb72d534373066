//! What the kernel offers, tried before believed.

use std::fs;
use std::io;

use super::kernel_config::{KernelConfig, release};
use super::{Check, Finding, Status, pass_or_fail};
use crate::filesystem::ABI;
use crate::threads::field;

/// Reports the features of the kernel that the sandbox and secret memory stand on.
///
/// A daemon calls this before [`crate::filesystem::restrict`] and keeps the answer: from inside the
/// sandbox neither the kernel's configuration nor Landlock's version can be read.
#[must_use]
pub fn kernel() -> Vec<Check> {
    let secret_memory = secret_memory::probe_memfd_secret();
    let landlock = landlock_abi();
    // The kernel prints each of these lines only where it was built with the feature.
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let works = [
        ("kernel-config-secretmem", "CONFIG_SECRETMEM", secret_memory.is_ok()),
        ("kernel-config-landlock", "CONFIG_SECURITY_LANDLOCK", landlock.is_ok()),
        ("kernel-config-seccomp", "CONFIG_SECCOMP", field(&status, "Seccomp").is_some()),
        (
            "kernel-config-seccomp-filter",
            "CONFIG_SECCOMP_FILTER",
            field(&status, "Seccomp_filters").is_some(),
        ),
    ];
    let config = release().and_then(|release| KernelConfig::read(&release));
    let configured =
        works.map(|(id, option, works)| configured(id, option, config.as_ref(), works));

    let tried = [tried_secret_memory(&secret_memory), tried_landlock(&landlock)];
    tried.into_iter().chain(configured).map(|finding| finding.about("kernel")).collect()
}

fn tried_secret_memory(result: &io::Result<()>) -> Finding {
    let found = match result {
        Ok(()) => "memfd_secret(2) works".to_owned(),
        Err(error) => format!("memfd_secret(2) fails: {error}; {}", remedy(error)),
    };
    Finding::new("kernel-memfd-secret", pass_or_fail(result.is_ok()), found).in_the_floor()
}

fn remedy(error: &io::Error) -> &'static str {
    match error.raw_os_error() {
        Some(libc::ENOSYS) => {
            "the kernel needs CONFIG_SECRETMEM=y, and before 6.5 secretmem.enable=1"
        }
        Some(libc::EAGAIN | libc::ENOMEM) => "the limit of locked memory (ulimit -l) is too low",
        _ => "something between the process and the kernel forbids it",
    }
}

fn tried_landlock(result: &io::Result<u32>) -> Finding {
    let (status, found) = match result {
        Ok(abi) => (pass_or_fail(*abi >= ABI), format!("ABI {abi}, and ABI {ABI} is needed")),
        // A seccomp filter answered, not the kernel.
        Err(error) if error.raw_os_error() == Some(libc::EPERM) => {
            (Status::Warn, "can't be asked from inside the sandbox".to_owned())
        }
        Err(error) => (Status::Fail, format!("not available: {error}")),
    };
    Finding::new("kernel-landlock", status, found)
}

fn configured(
    id: &'static str,
    option: &str,
    config: Option<&KernelConfig>,
    works: bool,
) -> Finding {
    let Some(config) = config else {
        return Finding::new(id, Status::Warn, "no kernel config readable");
    };
    match (config.value(option), works) {
        (Some(value), _) => Finding::new(id, Status::Pass, format!("{option}={value}")),
        (None, true) => {
            Finding::new(id, Status::Pass, format!("{option} is not in the config, but it works"))
        }
        (None, false) => Finding::new(id, Status::Fail, format!("{option} is not set")),
    }
}

/// The version of Landlock in the running kernel, whatever part of it this crate asks for.
fn landlock_abi() -> io::Result<u32> {
    const VERSION: libc::c_ulong = 1;
    let no_attributes = std::ptr::null::<libc::c_void>();
    // SAFETY: with the VERSION flag the kernel takes a null pointer and a size of 0, and only
    // returns a number.
    let abi = unsafe {
        libc::syscall(libc::SYS_landlock_create_ruleset, no_attributes, 0_usize, VERSION)
    };
    u32::try_from(abi).map_err(|_| io::Error::last_os_error())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_unreadable_config_is_no_failure() {
        let finding = configured("kernel-config-seccomp", "CONFIG_SECCOMP", None, false);
        assert_eq!((finding.status, &*finding.found), (Status::Warn, "no kernel config readable"));
    }

    #[test]
    fn landlock_below_the_pinned_abi_fails() {
        assert_eq!(tried_landlock(&Ok(ABI)).status, Status::Pass);
        assert_eq!(tried_landlock(&Ok(ABI - 1)).status, Status::Fail);
        let missing = io::Error::from_raw_os_error(libc::EOPNOTSUPP);
        assert_eq!(tried_landlock(&Err(missing)).status, Status::Fail);
    }

    #[test]
    fn a_missing_memfd_secret_breaks_the_floor() {
        let missing = tried_secret_memory(&Err(io::Error::from_raw_os_error(libc::ENOSYS)));
        assert!(missing.found.contains("CONFIG_SECRETMEM=y"));
        assert!(!super::super::floor_holds(&[missing.about("kernel")]));
    }
}
