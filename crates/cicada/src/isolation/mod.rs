//! What holds this process away from everything else, as the kernel tells it: from inside (the
//! daemon about itself) and from outside (root about the daemon).
//!
//! Each check says what it found. In the system layout, what can't be told counts as missing. In a
//! layout without the unit, what only the unit gives is skipped, and never passed.

mod cgroup;
mod common;
mod confinement;
mod inside;
mod mounts;
mod network;
mod nftables;
mod outside;
mod process;
mod socket;

use serde::{Deserialize, Serialize};

pub use inside::inside;
pub use outside::{Daemon, DaemonError, outside};

use std::path::PathBuf;

/// What was looked at, whether it is as it should be, and what was found.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct IsolationCheck {
    /// A short name that stays the same across versions, such as `capabilities`.
    pub check: String,
    /// Whether it is as it should be.
    pub status: Status,
    /// What was found, in words and numbers.
    pub found: String,
}

/// Whether what an [`IsolationCheck`] found is as it should be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Status {
    /// It is.
    Pass,
    /// It is not, or can't be told.
    Fail,
    /// It isn't asked for here: no unit, no `nft`.
    Skip,
}

impl Status {
    /// The word at the beginning of a line.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Pass => "pass",
            Self::Fail => "fail",
            Self::Skip => "skip",
        }
    }
}

/// How this daemon is run, and so what may be expected.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    /// Whether `cicada.service` (or a container with its settings) runs it: the system layout.
    pub unit: bool,
    /// The state directory, which the daemon may write.
    pub state: PathBuf,
    /// The one other directory that it may write, as it sees it.
    pub runtime: PathBuf,
    /// The socket, as the caller sees it.
    pub socket: PathBuf,
    /// The group whose the socket is, by its name or number.
    pub group: String,
}

/// Whether none of `checks` failed.
///
/// Says nothing about checks that are not there: an empty list holds.
#[must_use]
pub fn holds(checks: &[IsolationCheck]) -> bool {
    !checks.iter().any(|check| check.status == Status::Fail)
}

/// What a check came to: what it found, or what is wrong.
type Judgement = Result<String, String>;

/// Makes checks for one [`Place`].
struct Judge {
    unit: bool,
}

impl Judge {
    /// A check of what the daemon does itself, wherever it runs.
    fn own(&self, check: &str, judgement: Judgement) -> IsolationCheck {
        let (status, found) = match judgement {
            Ok(found) => (Status::Pass, found),
            Err(found) => (Status::Fail, found),
        };
        IsolationCheck { check: check.to_owned(), status, found }
    }

    /// A check of what only the unit gives.
    fn of_the_unit(&self, check: &str, judgement: Judgement) -> IsolationCheck {
        if self.unit {
            return self.own(check, judgement);
        }
        let (Ok(found) | Err(found)) = judgement;
        let found = format!("given by cicada.service only; here: {found}");
        IsolationCheck { check: check.to_owned(), status: Status::Skip, found }
    }

    /// A check of what the daemon does itself where it may, and the unit does for it elsewhere.
    fn of_either(&self, check: &str, judgement: Judgement) -> IsolationCheck {
        match judgement {
            Ok(_) => self.own(check, judgement),
            Err(_) => self.of_the_unit(check, judgement),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_only_the_unit_gives_is_never_passed_without_it() {
        let judge = Judge { unit: false };
        for judgement in [Ok("10 MiB".to_owned()), Err("none".to_owned())] {
            let check = judge.of_the_unit("tmp", judgement);
            assert_eq!(check.status, Status::Skip, "{check:?}");
        }
        assert_eq!(judge.of_either("interfaces", Err("eth0".into())).status, Status::Skip);
        assert_eq!(judge.of_either("interfaces", Ok("lo".into())).status, Status::Pass);
        assert_eq!(judge.own("seccomp", Err("0 of 1".into())).status, Status::Fail);
    }

    #[test]
    fn a_unit_has_no_excuse() {
        let judge = Judge { unit: true };
        assert_eq!(judge.of_the_unit("tmp", Err("none".into())).status, Status::Fail);
        assert_eq!(judge.of_either("interfaces", Err("eth0".into())).status, Status::Fail);
    }

    #[test]
    fn one_failure_is_enough() {
        let judge = Judge { unit: true };
        let mut checks = vec![judge.own("a", Ok(String::new()))];
        assert!(holds(&checks));
        checks.push(judge.own("b", Err(String::new())));
        assert!(!holds(&checks));
    }

    #[test]
    fn a_check_is_written_as_status_reports_it() {
        let check = Judge { unit: true }.own("threads", Ok("17 of 17".into()));
        let json = serde_json::to_string(&check).unwrap();
        assert_eq!(json, r#"{"check":"threads","status":"pass","found":"17 of 17"}"#);
    }
}
