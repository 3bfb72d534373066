//! Who runs what.

use nix::unistd::{Gid, Uid};

/// The users of a host. Plain numbers do: nothing here looks names up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Users {
    /// Runs daemon-audit.
    pub audit: u32,
    /// Runs daemon-secrets.
    pub secrets: u32,
    /// Runs `sesame`.
    pub operator: u32,
    /// Runs attacks; known to nobody.
    pub stranger: u32,
}

impl Users {
    /// Four different users as root, this one four times otherwise.
    #[must_use]
    pub fn available() -> Self {
        let own = Uid::effective();
        if own.is_root() {
            return Self { audit: 54_001, secrets: 54_002, operator: 54_003, stranger: 54_004 };
        }
        let own = own.as_raw();
        Self { audit: own, secrets: own, operator: own, stranger: own }
    }

    /// This process's user in all roles, root or not.
    #[must_use]
    pub fn only_me() -> Self {
        let own = Uid::effective().as_raw();
        Self { audit: own, secrets: own, operator: own, stranger: own }
    }

    /// Whether the roles are really different users.
    #[must_use]
    pub fn are_separate(&self) -> bool {
        self.audit != self.secrets
    }
}

/// The group that goes with a user here: root's for root, one of the same number otherwise.
pub(crate) fn group_of(uid: u32) -> u32 {
    if uid == Uid::effective().as_raw() { Gid::effective().as_raw() } else { uid }
}
