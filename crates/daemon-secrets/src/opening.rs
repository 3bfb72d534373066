//! From enough pieces to an open vault.

use std::sync::Arc;

use audit_log::{Operation, Outcome};
use daemon_runtime::log;
use ipc::secrets::ProfileState;
use ipc::{Fault, FaultKind, Peer};
use key_hierarchy::{MasterKey, Metadata};
use site_config::{Installation, ProfileName};
use vault::{Keys, Vault, VaultError};

use crate::collection::Collection;
use crate::faults;
use crate::keyring::{Held, vault_keys};
use crate::record::{record_of, recording_failure};
use crate::service::SecretsService;
use crate::target::Target;
use ipc::trail::Trail;

/// Unlocks a profile with what was collected, unless there was a lock since `locks`.
pub fn unlock(
    service: &SecretsService,
    trail: &mut Trail,
    peer: &Peer,
    installation: &Arc<Installation>,
    profile: &ProfileName,
    collection: &Collection,
    locks: u64,
) -> Result<(), Fault> {
    // No change of this profile, and no second unlock, while its vault is opened.
    let _changing = service.changing();
    // A change in between has made another vault than the one that these pieces open.
    if Target::profile(service, Some(profile.as_str()))?.metadata(service)? != collection.metadata {
        let text = "the profile's factors were changed meanwhile; nothing was unlocked. Try again";
        return Err(Fault::new(FaultKind::Busy, text));
    }
    let mut record = record_of(Operation::Unlock, Outcome::Authorised, peer, Some(profile));
    let ids: Vec<String> = collection.pieces.keys().map(u32::to_string).collect();
    record.detail.insert("factors".to_owned(), ids.join(" "));
    let enrolment = collection.metadata.enrolment();
    record.detail.insert("policy".to_owned(), enrolment.policy.to_string());
    record.detail.insert("generation".to_owned(), enrolment.generation().to_string());
    trail.record(record.clone())?;
    let opened = open(service, installation, profile, collection);
    // Nobody learns the result before it is in the trail.
    let held = recording_failure(trail, &record, opened)?;
    let mut done = record.clone();
    done.outcome = Outcome::Done;
    trail.record(done)?;
    service.touch();
    if let Some(held) = held {
        let kept = service.keep_keys(profile, held, locks);
        recording_failure(trail, &record, kept)?;
    }
    Ok(())
}

/// `None` when the vault is open already: unlocking again proves the factors and changes nothing.
fn open(
    service: &SecretsService,
    installation: &Installation,
    profile: &ProfileName,
    collection: &Collection,
) -> Result<Option<Held>, Fault> {
    let metadata = &collection.metadata;
    let master = metadata.open(&collection.pieces).map_err(|error| faults::from_open(&error))?;
    let keyring = service.keyring();
    let is_held = keyring.state(profile) != ProfileState::Locked;
    if is_held && !keyring.authenticates(profile, metadata) {
        let text = "the unlock metadata on disk is not what this profile was unlocked with: somebody \
                    replaced it. Nothing was unlocked; put the right one back";
        return Err(Fault::new(FaultKind::Tampered, text));
    }
    if keyring.state(profile) == ProfileState::Active {
        return Ok(None);
    }
    drop(keyring);
    let vault = open_vault(service, installation, profile, metadata, &master)?;
    Ok(Some(Held::new(master, metadata.enrolment().derivation(), vault)))
}

/// Opens the vault of a profile that is not active, and sees that it belongs to this metadata.
pub fn open_vault(
    service: &SecretsService,
    installation: &Installation,
    profile: &ProfileName,
    metadata: &Metadata,
    master: &MasterKey,
) -> Result<Vault, Fault> {
    let keys = vault_keys(master, metadata.enrolment().derivation(), profile);
    open_vault_with(service, installation, profile, metadata, keys)
}

/// As [`open_vault`], with the keys of a profile that is unlocked.
pub fn open_vault_with(
    service: &SecretsService,
    installation: &Installation,
    profile: &ProfileName,
    metadata: &Metadata,
    keys: Keys,
) -> Result<Vault, Fault> {
    let vault = service.store.open_vault(installation, profile, keys);
    let vault = vault.map_err(|error| match error {
        VaultError::WrongKeyOrDamaged => {
            let text = "the factors are right, and vault.db does not belong to unlock.json: one of \
                        them was damaged, or an old or foreign copy was put in its place. Nothing \
                        was unlocked; a backup comes back under another name: `sesame vault restore \
                        FILE --profile NAME`";
            Fault::new(FaultKind::Tampered, text)
        }
        error => faults::from_vault(&error),
    })?;
    check_generation(&vault, metadata)?;
    Ok(vault)
}

/// The vault knows the generation of the metadata that it was last changed with. The metadata may be
/// one ahead: a change was interrupted between the two, and is finished here.
pub fn check_generation(vault: &Vault, metadata: &Metadata) -> Result<(), Fault> {
    let generation = metadata.enrolment().generation();
    let noted = vault.generation().map_err(|error| faults::from_vault(&error))?;
    if noted == generation {
        return Ok(());
    }
    if noted.checked_add(1) == Some(generation) {
        log::warning(format_args!("finishing a change of factors that was interrupted"));
        return vault.set_generation(generation).map_err(|error| faults::from_vault(&error));
    }
    let (older, file) =
        if noted > generation { (generation, "unlock.json") } else { (noted, "vault.db") };
    let text = format!(
        "{file} is of generation {older}, and the other file of the profile is newer: an old copy \
         was put back. Nothing was done; a backup comes back under another name: `sesame vault \
         restore FILE --profile NAME`"
    );
    Err(Fault::new(FaultKind::Tampered, text))
}
