//! Who runs what.

use nix::unistd::{Gid, Uid};
use site_config::Daemon;

/// The users of a host. Plain numbers do: nothing here looks names up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Users {
    /// Runs daemon-audit.
    pub audit: u32,
    /// Runs daemon-secrets.
    pub secrets: u32,
    /// Runs cicada.
    pub cicada: u32,
    /// Runs `sesame`.
    pub operator: u32,
    /// Runs attacks; known to nobody.
    pub stranger: u32,
}

impl Users {
    /// Five different users as root, this one five times otherwise.
    #[must_use]
    pub fn available() -> Self {
        let own = Uid::effective();
        if own.is_root() {
            return Self {
                audit: 54_001,
                secrets: 54_002,
                operator: 54_003,
                stranger: 54_004,
                cicada: 54_005,
            };
        }
        let own = own.as_raw();
        Self { audit: own, secrets: own, cicada: own, operator: own, stranger: own }
    }

    /// This process's user in all roles, root or not.
    #[must_use]
    pub fn only_me() -> Self {
        let own = Uid::effective().as_raw();
        Self { audit: own, secrets: own, cicada: own, operator: own, stranger: own }
    }

    /// Who runs this daemon.
    #[must_use]
    pub fn of(&self, daemon: Daemon) -> u32 {
        match daemon {
            Daemon::Audit => self.audit,
            Daemon::Secrets => self.secrets,
            Daemon::Cicada => self.cicada,
        }
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
