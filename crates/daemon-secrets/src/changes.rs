//! Changes of a profile's enrolment. Each needs the policy satisfied anew, for exactly this change.
//!
//! A change of the metadata alone replaces `unlock.json` and then notes the new generation in the
//! vault; a kill in between is finished by the next unlock. A new master key needs a new vault: a
//! whole directory is built aside and exchanged with the old one in one step.

use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use audit_log::{Operation, Outcome};
use daemon_runtime::log;
use ipc::audit::Record;
use ipc::factors::Change;
use ipc::secrets::ProfileState;
use ipc::{Fault, FaultKind, Peer};
use key_hierarchy::{Enrolment, MasterKey, Metadata};
use vault::Vault;

use crate::faults;
use crate::handlers::enrol::not_stored;
use crate::keyring::{Held, Keyring, vault_keys};
use crate::opening::{check_generation, open_vault};
use crate::record::{self, record_of};
use crate::service::SecretsService;
use crate::target::Target;
use ipc::trail::Trail;

/// How long a rotation waits for requests that are using the vault.
const PATIENCE: Duration = Duration::from_secs(5);

/// What a satisfied policy gives.
pub struct Authorised {
    pub metadata: Metadata,
    pub master: MasterKey,
}

/// The master key for a change that this peer asked for, and that enough factors were given for.
///
/// A change that was carried out makes another generation, for which nothing was given; so this can be
/// used once, and again only where nothing was changed.
///
/// What the change was made of is `seen`; it must be what the factors opened, or somebody edited it
/// in between.
pub fn authorised(
    service: &SecretsService,
    peer: &Peer,
    target: &Target,
    seen: &Metadata,
    change: &Change<'_>,
) -> Result<Authorised, Fault> {
    let text = change.to_string();
    let collections = service.collections.lock();
    let collection = collections.get(&target.key()).filter(|there| {
        there.change() == Some(&text)
            && !there.is_overdue()
            && there.metadata == *seen
            && there.progress().missing.is_empty()
    });
    let Some(collection) = collection else {
        let text = format!(
            "to {text}, enough factors must be given first; nothing was changed. Type the command \
             again, or let others type `sesame factor approve`"
        );
        return Err(Fault::new(FaultKind::Incomplete, text));
    };
    collection.check_owner(peer)?;
    let master = collection.metadata.open(&collection.pieces);
    let master = master.map_err(|error| faults::from_open(&error))?;
    Ok(Authorised { metadata: collection.metadata.clone(), master })
}

/// Records and carries out a change; what was given for it is then used up.
pub fn carry_out<T>(
    service: &SecretsService,
    trail: &mut Trail,
    target: &Target,
    record: Record,
    work: impl FnOnce(&mut Trail) -> Result<T, Fault>,
) -> Result<T, Fault> {
    let done = record::carry_out(trail, record, work)?;
    service.collections.lock().remove(&target.key());
    Ok(done)
}

/// The record of a change. The generation that it makes shows an auditor who reads on whether an old
/// state was put back.
pub fn record_change(operation: Operation, peer: &Peer, old: &Authorised) -> Record {
    let enrolment = old.metadata.enrolment();
    let mut record = record_of(operation, Outcome::Authorised, peer, None);
    record.profile = Some(enrolment.binding.profile.clone());
    let generation = enrolment.generation().saturating_add(1);
    record.detail.insert("generation".to_owned(), generation.to_string());
    record
}

/// Seals the enrolment anew under the same master key.
pub fn reseal(
    service: &SecretsService,
    target: &Target,
    enrolment: Enrolment,
    old: &Authorised,
) -> Result<(), Fault> {
    let metadata = Metadata::seal(enrolment, &old.master);
    let metadata = metadata.map_err(|error| faults::from_enrolment(&error))?;
    // Before anything is written: a vault that does not open must not lose its metadata, and an old
    // policy that was put back must not authorise a new one.
    check_authentic(&service.keyring(), target, old)?;
    let open = service.keyring().vault(&target.profile);
    let vault = match open {
        Some(vault) => {
            check_generation(&vault, &old.metadata)?;
            vault
        }
        None => {
            let (installation, profile) = (&target.installation, &target.profile);
            Arc::new(open_vault(service, installation, profile, &old.metadata, &old.master)?)
        }
    };
    service.store.replace_metadata(&target.profile, &metadata).map_err(|error| {
        faults::from_storage("the change may not be on disk; the next unlock shows it", &error)
    })?;
    if let Err(error) = vault.set_generation(metadata.enrolment().generation()) {
        log::warning(format_args!("the next unlock finishes this change: {error}"));
    }
    Ok(())
}

/// Seals the enrolment under a new master key, with a copy of the vault under it.
pub fn rotate(
    service: &SecretsService,
    target: &Target,
    enrolment: Enrolment,
    old: &Authorised,
) -> Result<(), Fault> {
    let profile = &target.profile;
    let master = MasterKey::generate().map_err(|error| faults::from_kdf(&error))?;
    let metadata = Metadata::seal(enrolment, &master);
    let metadata = metadata.map_err(|error| faults::from_enrolment(&error))?;
    let derivation = metadata.enrolment().derivation();
    // To the end: nobody tries a factor meanwhile, for the counts of wrong tries are copied; and
    // nobody reads or writes the vault.
    let _attempts = service.attempts();
    let mut keyring = service.keyring_mut();
    check_authentic(&keyring, target, old)?;
    let state = keyring.state(profile);
    let vault = match alone_with_vault(&mut keyring, target)? {
        Some(vault) => vault,
        None => open_vault(service, &target.installation, profile, &old.metadata, &old.master)?,
    };
    let keys = vault_keys(&master, derivation, profile);
    let current = check_generation(&vault, &old.metadata);
    let next = current.and_then(|()| {
        let installation = &target.installation;
        let next = service.store.prepare_next(installation, profile, &metadata, &vault, keys);
        next.map_err(|error| not_stored(&error))
    });
    if let Err(fault) = next {
        if state == ProfileState::Active {
            keyring.put_vault(profile, Arc::new(vault));
        }
        return Err(fault);
    }
    drop(vault);
    let exchanged = service.store.exchange(profile);
    // Whatever happened, what is on disk now is opened again.
    let (metadata, master) = match &exchanged {
        Ok(()) => (metadata, Some(master)),
        Err(_) => (old.metadata.clone(), None),
    };
    if state != ProfileState::Locked {
        let key = master.as_ref().unwrap_or(&old.master);
        match open_vault(service, &target.installation, profile, &metadata, key) {
            Ok(vault) if state == ProfileState::Active => match master {
                Some(master) => keyring.insert(profile, Held::new(master, derivation, vault)),
                None => keyring.put_vault(profile, Arc::new(vault)),
            },
            Ok(_) => {
                if let Some(master) = master {
                    keyring.insert(profile, Held::closed(master, derivation));
                }
            }
            Err(error) => {
                keyring.remove(profile);
                log::warning(format_args!("the vault is locked after a rotation: {error}"));
            }
        }
    }
    exchanged.map_err(|error| {
        faults::from_storage("the new vault could not take its place; the old stands", &error)
    })
}

/// What was opened must be of the master key that is held. Whoever can write the file can make up a
/// whole one, under a master key of their own, that honest factors open too: their public keys are in
/// it. A closed vault does not open with that key; an open one must not be given to it.
fn check_authentic(keyring: &Keyring, target: &Target, old: &Authorised) -> Result<(), Fault> {
    let profile = &target.profile;
    let is_held = keyring.state(profile) != ProfileState::Locked;
    if !is_held || keyring.authenticates(profile, &old.metadata) {
        return Ok(());
    }
    let text = "the unlock metadata on disk is not what this profile was unlocked with: somebody \
                replaced it. Nothing was changed; put the right one back";
    Err(Fault::new(FaultKind::Tampered, text))
}

/// The vault of an active profile, once nobody else is using it.
fn alone_with_vault(keyring: &mut Keyring, target: &Target) -> Result<Option<Vault>, Fault> {
    let profile = &target.profile;
    let Some(mut shared) = keyring.take_vault(profile) else { return Ok(None) };
    let start = Instant::now();
    loop {
        match Arc::try_unwrap(shared) {
            Ok(vault) => return Ok(Some(vault)),
            Err(still) => shared = still,
        }
        if start.elapsed() > PATIENCE {
            keyring.put_vault(profile, shared);
            let text = format!("profile {profile} is in use; nothing was changed. Try again");
            return Err(Fault::new(FaultKind::Busy, text));
        }
        thread::sleep(Duration::from_millis(1));
    }
}
