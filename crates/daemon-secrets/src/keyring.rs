//! What is held of unlocked profiles. Dropping an entry wipes its keys and closes its vault.

use std::collections::BTreeMap;
use std::sync::Arc;

use ipc::secrets::ProfileState;
use key_hierarchy::{Derivation, MasterKey, Metadata};
use site_config::ProfileName;
use vault::{Keys, Vault};

/// The keys of one profile, and its vault while that is active.
pub struct Held {
    master: MasterKey,
    derivation: Derivation,
    vault: Option<Arc<Vault>>,
}

/// All unlocked profiles.
#[derive(Default)]
pub struct Keyring(BTreeMap<String, Held>);

impl Held {
    /// With the vault closed.
    pub fn closed(master: MasterKey, derivation: Derivation) -> Self {
        Self { master, derivation, vault: None }
    }

    pub fn new(master: MasterKey, derivation: Derivation, vault: Vault) -> Self {
        Self { master, derivation, vault: Some(Arc::new(vault)) }
    }
}

/// The keys of a profile's vault.
pub fn vault_keys(master: &MasterKey, derivation: Derivation, profile: &ProfileName) -> Keys {
    Keys {
        database: master.vault_key(derivation, profile.as_str()),
        rows: master.row_key(derivation, profile.as_str()),
    }
}

impl Keyring {
    pub fn state(&self, profile: &ProfileName) -> ProfileState {
        match self.0.get(profile.as_str()) {
            None => ProfileState::Locked,
            Some(Held { vault: None, .. }) => ProfileState::Unlocked,
            Some(Held { vault: Some(_), .. }) => ProfileState::Active,
        }
    }

    /// The vault of an active profile.
    pub fn vault(&self, profile: &ProfileName) -> Option<Arc<Vault>> {
        self.0.get(profile.as_str())?.vault.clone()
    }

    pub fn insert(&mut self, profile: &ProfileName, held: Held) {
        self.0.insert(profile.as_str().to_owned(), held);
    }

    /// Keys to open the vault of an unlocked profile with.
    pub fn keys(&self, profile: &ProfileName) -> Option<Keys> {
        let held = self.0.get(profile.as_str())?;
        Some(vault_keys(&held.master, held.derivation, profile))
    }

    pub fn activate(&mut self, profile: &ProfileName, vault: Vault) {
        if let Some(held) = self.0.get_mut(profile.as_str()) {
            held.vault = Some(Arc::new(vault));
        }
    }

    pub fn deactivate(&mut self, profile: &ProfileName) {
        if let Some(held) = self.0.get_mut(profile.as_str()) {
            held.vault = None;
        }
    }

    /// Whether an unlocked profile's master key sealed this metadata.
    pub fn authenticates(&self, profile: &ProfileName, metadata: &Metadata) -> bool {
        self.0.get(profile.as_str()).is_some_and(|held| metadata.is_authentic(&held.master))
    }

    /// Takes the vault of an active profile away, and what is held of it stays.
    pub fn take_vault(&mut self, profile: &ProfileName) -> Option<Arc<Vault>> {
        self.0.get_mut(profile.as_str())?.vault.take()
    }

    /// Puts back what [`Keyring::take_vault`] took.
    pub fn put_vault(&mut self, profile: &ProfileName, vault: Arc<Vault>) {
        if let Some(held) = self.0.get_mut(profile.as_str()) {
            held.vault = Some(vault);
        }
    }

    /// Forgets one profile; whether it was unlocked.
    pub fn remove(&mut self, profile: &ProfileName) -> bool {
        self.0.remove(profile.as_str()).is_some()
    }

    /// Forgets all; the names of those that were unlocked.
    pub fn clear(&mut self) -> Vec<String> {
        std::mem::take(&mut self.0).into_keys().collect()
    }

    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}
