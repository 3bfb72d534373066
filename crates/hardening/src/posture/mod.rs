//! What a daemon can say about its own confinement, each statement measured and none assumed.

mod controls;
mod kernel;
mod kernel_config;
mod process;

use serde::{Deserialize, Serialize};

pub use kernel::kernel;
pub use process::{Facts, Switch, process};

/// One statement, what it was made about, and what it counts for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Check {
    /// A short name that stays the same across versions, such as `seccomp`.
    pub id: String,
    /// `kernel`, or the name of a daemon.
    pub subject: String,
    /// Whether what was found is as it should be.
    pub status: Status,
    /// What was found, in words and numbers.
    pub found: String,
    /// Whether a daemon must not run without it.
    pub floor: bool,
    /// The controls it serves: NIST SP 800-53 Rev. 5, and DISA's general purpose operating system
    /// requirements (SRG).
    pub controls: Vec<String>,
}

/// Whether what a [`Check`] found is as it should be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Status {
    /// It is.
    Pass,
    /// It is not, or can't be told, and something else makes up for it.
    Warn,
    /// It is not.
    Fail,
}

impl Status {
    /// The name shown in reports and in the audit trail.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Pass => "pass",
            Self::Warn => "warn",
            Self::Fail => "fail",
        }
    }
}

/// Whether no part of the floor has failed.
///
/// Says nothing about checks that are not there: an empty list holds.
#[must_use]
pub fn floor_holds(checks: &[Check]) -> bool {
    !checks.iter().any(|check| check.floor && check.status == Status::Fail)
}

/// A check as the two reports build it.
struct Finding {
    id: &'static str,
    status: Status,
    found: String,
    floor: bool,
}

impl Finding {
    fn new(id: &'static str, status: Status, found: impl Into<String>) -> Self {
        Self { id, status, found: found.into(), floor: false }
    }

    fn in_the_floor(self) -> Self {
        Self { floor: true, ..self }
    }

    fn about(self, subject: &str) -> Check {
        let Self { id, status, found, floor } = self;
        let controls = controls::of(id).iter().map(|&control| control.to_owned()).collect();
        Check { id: id.to_owned(), subject: subject.to_owned(), status, found, floor, controls }
    }
}

/// `Pass` where it `holds`, `Fail` where not.
const fn pass_or_fail(holds: bool) -> Status {
    if holds { Status::Pass } else { Status::Fail }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(status: Status, floor: bool) -> Check {
        let finding = Finding { id: "seccomp", status, found: "4 of 4 threads".into(), floor };
        finding.about("daemon-audit")
    }

    #[test]
    fn only_a_failure_in_the_floor_breaks_it() {
        let harmless = [check(Status::Fail, false), check(Status::Warn, true)];
        assert!(floor_holds(&harmless));
        assert!(!floor_holds(&[check(Status::Pass, true), check(Status::Fail, true)]));
    }

    #[test]
    fn a_check_survives_the_codec_of_the_transport() {
        let before = check(Status::Warn, true);
        let bytes = postcard::to_allocvec(&before).unwrap();
        assert_eq!(postcard::from_bytes::<Check>(&bytes).unwrap(), before);
    }
}
