//! A new profile with its first factor: what `init` and `profile create` share, and what must hold
//! before either.

use audit_log::{Operation, Outcome};
use ipc::{Fault, FaultKind, Peer};
use key_hierarchy::{Derivation, KdfParameters, MasterKey, Metadata};
use site_config::{Hkdf, Installation, Kdf, ProfileName};
use vault::Keys;

use crate::faults;
use crate::keyring::vault_keys;
use crate::record::record_of;
use crate::service::SecretsService;
use crate::store::{self, StoreError};
use crate::trail::Trail;

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

/// What an enrolment that may go on stands on.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Floor {
    /// The floor holds.
    Holds,
    /// It does not, and the site allows that by name.
    AllowedBelow,
}

impl Floor {
    /// Records that an enrolment goes on below the floor, if it does.
    pub fn note(self, trail: &mut Trail, peer: &Peer, profile: &ProfileName) -> Result<(), Fault> {
        match self {
            Self::Holds => Ok(()),
            Self::AllowedBelow => {
                let operation = Operation::EnrolmentBelowFloor;
                trail.record(record_of(operation, Outcome::Authorised, peer, Some(profile)))
            }
        }
    }
}

/// Refuses enrolment when either daemon is below the floor, unless the site allows it by name;
/// both are recorded, where there is a trail.
pub fn check_floor(
    service: &SecretsService,
    trail: &mut Trail,
    peer: &Peer,
) -> Result<Floor, Fault> {
    if service.posture.floor_holds() && trail.floor_holds()? {
        return Ok(Floor::Holds);
    }
    if service.settings.enrolment.allow_below_floor {
        return Ok(Floor::AllowedBelow);
    }
    if service.installation().is_some() {
        let operation = Operation::EnrolmentBelowFloor;
        trail.record(record_of(operation, Outcome::Refused, peer, None))?;
    }
    Err(Fault::new(
        FaultKind::BelowFloor,
        "this machine is below the security floor, so nothing was enrolled; see `sesame status \
         --security-posture`. Only enrolment.allow_below_floor = true, in the configuration, \
         allows it; that choice would be recorded",
    ))
}

pub fn check_password(service: &SecretsService, password: &[u8]) -> Result<(), Fault> {
    let minimum = service.settings.unlock.minimum_password_length;
    if password.len() >= minimum {
        return Ok(());
    }
    let text = format!("a password has at least {minimum} bytes; nothing was enrolled");
    Err(Fault::new(FaultKind::InvalidInput, text))
}

pub fn not_stored(error: &StoreError) -> Fault {
    match error {
        StoreError::Io(error) => faults::from_storage("nothing was stored", error),
        StoreError::Vault(error) => faults::from_vault(error),
    }
}
