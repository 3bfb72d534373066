//! Somebody who has the disk and the password: the keys of a profile, computed without a daemon.

use std::fs;

use key_hierarchy::{Binding, Metadata, WorkingMemory};
use secret_memory::Secret;
use site_config::Installation;

use crate::host::Host;

/// What the daemon computes of a profile while it unlocks it.
pub struct ProfileKeys {
    /// What is stored of its factors.
    pub metadata: Metadata,
    /// The key of its database.
    pub database: Secret<32>,
    /// The key of the rows in it.
    pub rows: Secret<32>,
}

impl Host {
    /// The keys of a profile.
    ///
    /// # Panics
    /// When there is no such profile, or it has another password.
    #[must_use]
    pub fn profile_keys(&self, profile: &str, password: &str) -> ProfileKeys {
        let directory = self.layout.secrets_state().join("installation");
        let installation = Installation::load(&directory.join("installation.toml"));
        let installation = installation.expect("an installation").id;
        let file = directory.join("profiles").join(profile).join("unlock.json");
        let binding = Binding { installation, profile: profile.to_owned() };
        let metadata = fs::read(file).expect("a profile");
        let metadata = Metadata::parse(&metadata, &binding).expect("its metadata");
        let mut memory = WorkingMemory::default();
        let master = metadata.unlock_with_password(password.as_bytes(), &mut memory);
        let master = master.expect("its password");
        let derivation = metadata.derivation();
        ProfileKeys {
            database: master.vault_key(derivation, profile),
            rows: master.row_key(derivation, profile),
            metadata,
        }
    }
}
