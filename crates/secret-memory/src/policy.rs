//! What a process does when `memfd_secret(2)` is not there.

use std::fmt;
use std::str::FromStr;

/// Size of the arena that [`crate::init`] maps when the caller has no opinion: 4 MiB.
///
/// Half of the default `RLIMIT_MEMLOCK` (8 MiB), which secret memory counts against.
pub const DEFAULT_ARENA_BYTES: usize = 4 << 20;

/// The line that is logged at ERROR when secret memory is unavailable.
pub const UNAVAILABLE: &str = "memfd_secret unavailable: secrets remain on kernel direct map. \
Compliance impact: does not meet IL5/IL6, DISA STIG, PCI-DSS requirements for memory isolation. \
Remediation: enable CONFIG_SECRETMEM=y in kernel config.";

/// What to do when `memfd_secret(2)` is unavailable.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Policy {
    /// Do not start. The default of the system units.
    Require,
    /// Use locked, undumpable, ordinary pages, and say so. The default of a user session.
    Prefer,
    /// Do not even try. Only ever chosen by name.
    Off,
}

impl Policy {
    /// The name used in configuration.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Require => "require",
            Self::Prefer => "prefer",
            Self::Off => "off",
        }
    }
}

impl fmt::Display for Policy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// The text is none of `require`, `prefer`, `off`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("memory protection is one of \"require\", \"prefer\", \"off\"")]
pub struct ParsePolicyError;

impl FromStr for Policy {
    type Err = ParsePolicyError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text {
            "require" => Ok(Self::Require),
            "prefer" => Ok(Self::Prefer),
            "off" => Ok(Self::Off),
            _ => Err(ParsePolicyError),
        }
    }
}

/// Why secret memory could not be set up.
#[derive(Debug, thiserror::Error)]
pub enum InitError {
    /// The kernel has no usable `memfd_secret(2)` and the policy is [`Policy::Require`].
    #[error("{UNAVAILABLE}")]
    Unavailable {
        /// The errno of the attempt.
        #[source]
        source: std::io::Error,
    },
    /// The pages exist, but the process may not lock so many.
    #[error(
        "secret memory needs {needed} bytes of RLIMIT_MEMLOCK, and the limit is {limit}; raise it \
         with LimitMEMLOCK=64M in the unit, or `ulimit -l`"
    )]
    LockedMemoryLimit {
        /// Bytes the mapping needs.
        needed: usize,
        /// The soft limit, in bytes.
        limit: u64,
    },
    /// An ordinary mapping failed too.
    #[error("cannot map {bytes} bytes of memory for secrets")]
    Map {
        /// Bytes asked for.
        bytes: usize,
        /// The errno of the attempt.
        #[source]
        source: std::io::Error,
    },
    /// Something allocated a secret before `init`, and what it got does not satisfy the policy.
    #[error("secret memory was used before its policy was chosen")]
    TooLate,
}
