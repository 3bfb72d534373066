//! The configuration the running kernel was built with, from wherever this system keeps it.

use std::fs::{self, File};
use std::io::{self, Read};

use flate2::read::GzDecoder;

/// More than any kernel's configuration, so that a damaged file can't fill the memory.
const LIMIT: u64 = 8 << 20;

/// The text of a kernel's `.config`.
pub(super) struct KernelConfig(String);

impl KernelConfig {
    /// The first of `/proc/config.gz`, `/boot/config-RELEASE` and `/lib/modules/RELEASE/config`
    /// that can be read.
    pub(super) fn read(release: &str) -> Option<Self> {
        let text = compressed("/proc/config.gz")
            .or_else(|_| plain(&format!("/boot/config-{release}")))
            .or_else(|_| plain(&format!("/lib/modules/{release}/config")));
        text.ok().map(Self)
    }

    /// The value of `option` (`y`, `m`, …); `None` where it is not set.
    pub(super) fn value(&self, option: &str) -> Option<&str> {
        let value = |line| str::strip_prefix(line, option)?.strip_prefix('=');
        self.0.lines().find_map(value)
    }
}

fn compressed(path: &str) -> io::Result<String> {
    text(GzDecoder::new(File::open(path)?))
}

fn plain(path: &str) -> io::Result<String> {
    text(File::open(path)?)
}

fn text(source: impl Read) -> io::Result<String> {
    let mut text = String::new();
    source.take(LIMIT).read_to_string(&mut text)?;
    Ok(text)
}

/// The release of the running kernel, as `uname -r` prints it.
pub(super) fn release() -> Option<String> {
    let release = fs::read_to_string("/proc/sys/kernel/osrelease").ok()?;
    Some(release.trim().to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_option_is_matched_whole() {
        let config = KernelConfig("CONFIG_SECCOMP_FILTER=y\n# CONFIG_SECCOMP is not set\n".into());
        assert_eq!(config.value("CONFIG_SECCOMP_FILTER"), Some("y"));
        assert_eq!(config.value("CONFIG_SECCOMP"), None);
    }
}
