//! A new profile with its first factor: what `init` and `profile create` share.

use ipc::Fault;
use key_hierarchy::{Derivation, KdfParameters, MasterKey, Metadata};
use site_config::{Hkdf, Installation, Kdf, ProfileName};
use vault::Keys;

use crate::faults;
use crate::keyring::vault_keys;
use crate::service::SecretsService;
use crate::store::{self, StoreError};

/// A fresh master key, wrapped for `password`, and the keys of the profile's vault.
pub fn new_profile(
    service: &SecretsService,
    installation: &Installation,
    profile: &ProfileName,
    password: &[u8],
) -> Result<(Metadata, Keys), Fault> {
    let crypto = &service.settings.crypto;
    let derivation = match crypto.hkdf {
        Hkdf::Blake3 => Derivation::Blake3,
        Hkdf::HkdfSha256 => Derivation::HkdfSha256,
    };
    let kdf = match crypto.kdf {
        Kdf::Argon2id => KdfParameters::argon2id(),
        Kdf::Pbkdf2Sha256 => KdfParameters::pbkdf2_sha256(),
    };
    let kdf = kdf.map_err(|error| faults::from_kdf(&error))?;
    let master = MasterKey::generate().map_err(|error| faults::from_kdf(&error))?;
    let binding = store::binding(installation, profile);
    let mut memory = service.working_memory();
    let metadata =
        Metadata::with_password(binding, derivation, &master, kdf, password, &mut memory)
            .map_err(|error| faults::from_kdf(&error))?;
    Ok((metadata, vault_keys(&master, derivation, profile)))
}

pub fn not_stored(error: &StoreError) -> Fault {
    match error {
        StoreError::Io(error) => faults::from_storage("nothing was stored", error),
        StoreError::Vault(error) => faults::from_vault(error),
    }
}
