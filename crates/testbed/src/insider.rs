//! Somebody who has the disk and the password: the keys of a profile, computed without a daemon.

use std::fs;

use key_hierarchy::{Binding, FactorSecret, Metadata, Pieces, WorkingMemory};
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
    /// The piece of the master key that the factor gave.
    pub piece: Secret<32>,
}

impl Host {
    /// The keys of a profile that its first factor opens alone.
    ///
    /// # Panics
    /// When there is no such profile, or that is another password.
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
        let (enrolment, derivation) = (metadata.enrolment(), metadata.enrolment().derivation());
        let factor = enrolment.factors().first().expect("a factor");
        let secret =
            FactorSecret::new(&factor.parameters, derivation, password.as_bytes(), &mut memory);
        let piece = metadata.piece(factor.id, &secret.expect("it is stretched"));
        let piece = piece.expect("its password").expect("a factor that counts");
        let pieces = Pieces::from([(factor.id, Secret::copy_of(piece.expose()))]);
        let master = metadata.open(&pieces).expect("one factor suffices");
        ProfileKeys {
            database: master.vault_key(derivation, profile),
            rows: master.row_key(derivation, profile),
            piece,
            metadata,
        }
    }
}
