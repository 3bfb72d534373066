//! A backup becomes a profile: under a new master key, bound to where it is now, and opened by the
//! policy that it was made with.

use audit_log::{Operation, Outcome};
use ipc::factors::{Change, Source};
use ipc::secrets::SecretsReply;
use ipc::{Fault, FaultKind, Peer};
use key_hierarchy::{MasterKey, Metadata};
use site_config::{MachineBinding, ProfileName};
use vault::{Context, Keys};

use crate::changes::{Authorised, authorised, carry_out};
use crate::collection::Key;
use crate::faults;
use crate::handlers::enrol::{check_floor, check_policy, not_stored};
use crate::keyring::vault_keys;
use crate::opening::check_generation;
use crate::record::record_of;
use crate::service::SecretsService;
use crate::store::{self, NewProfile};
use crate::target::Target;
use ipc::trail::Trail;

/// Takes a piece of the backup.
pub fn write<'a>(
    service: &SecretsService,
    trail: &mut Trail,
    peer: &Peer,
    profile: &str,
    offset: u64,
    bytes: &[u8],
) -> Result<SecretsReply<'a>, Fault> {
    let _changing = service.changing();
    service.initialised()?;
    let profile = free_name(service, profile)?;
    if offset == 0 {
        let mut record =
            record_of(Operation::VaultRestore, Outcome::Authorised, peer, Some(&profile));
        record.detail.insert("step".to_owned(), "the backup is read".to_owned());
        trail.record(record)?;
    }
    service.store.stage(&profile, offset, bytes)?;
    // Another backup, to which nobody gave anything yet.
    service.collections.lock().remove(&Key::Restore(profile.to_string()));
    // What was counted for another backup of this name does not count for this one.
    if offset == 0 {
        service.attempts().forget();
    }
    Ok(SecretsReply::Done)
}

pub fn handle<'a>(
    service: &SecretsService,
    trail: &mut Trail,
    peer: &Peer,
    profile: &str,
) -> Result<SecretsReply<'a>, Fault> {
    let _changing = service.changing();
    let name = free_name(service, profile)?;
    let target = Target::new(service, Source::Restore(profile))?;
    let floor = check_floor(service, trail, peer)?;
    let seen = target.metadata(service)?;
    check_policy(service, seen.enrolment().policy)?;
    let bound = target.installation.machine_binding == MachineBinding::Tpm;
    if bound && seen.enrolment().factors().iter().all(|factor| !factor.machine) {
        let text = "the installation is bound to this machine's TPM, and the backup has no factor of \
                    it; nothing was restored";
        return Err(Fault::new(FaultKind::InvalidInput, text));
    }
    let backup = service.store.staged_digest(&name)?;
    let change = Change::Restore { profile, backup };
    let old = authorised(service, peer, &target, &seen, &change)?;
    let mut record = record_of(Operation::VaultRestore, Outcome::Authorised, peer, Some(&name));
    let origin = old.metadata.enrolment();
    record.subject = Some(change.to_string());
    record.detail.insert("origin".to_owned(), origin.binding.installation.to_string());
    record.detail.insert("profile".to_owned(), origin.binding.profile.clone());
    record.detail.insert("generation".to_owned(), origin.generation().to_string());
    carry_out(service, trail, &target, record, |trail| {
        floor.note(trail, peer, &name)?;
        restore(service, &target, &old)
    })?;
    if let Err(error) = service.store.unstage(&name) {
        daemon_runtime::log::warning(format_args!("the next start removes the backup: {error}"));
    }
    Ok(SecretsReply::Done)
}

fn restore(service: &SecretsService, target: &Target, old: &Authorised) -> Result<(), Fault> {
    let Target { installation, profile, .. } = target;
    let origin = &old.metadata.enrolment().binding;
    let derivation = old.metadata.enrolment().derivation();
    let keys = Keys {
        database: old.master.vault_key(derivation, &origin.profile),
        rows: old.master.row_key(derivation, &origin.profile),
    };
    let context =
        Context { installation: *origin.installation.as_bytes(), profile: origin.profile.clone() };
    let vault = service.store.open_staged_vault(profile, keys, context);
    let vault = vault?;
    check_generation(&vault, &old.metadata)?;

    let mut enrolment = old.metadata.enrolment().clone();
    enrolment.binding = store::binding(installation, profile);
    let master = MasterKey::generate().map_err(|error| faults::from_kdf(&error))?;
    let metadata =
        Metadata::seal(enrolment, &master).map_err(|error| faults::from_enrolment(&error))?;
    let keys = vault_keys(&master, derivation, profile);
    let new = NewProfile { name: profile, metadata: &metadata, keys };
    let created = service.store.create_profile_from(installation, new, &vault);
    created.map_err(|error| not_stored(&error))
}

/// Nothing is ever restored over something.
fn free_name(service: &SecretsService, name: &str) -> Result<ProfileName, Fault> {
    let name = ProfileName::try_from(name).map_err(|error| faults::from_name(&error))?;
    if !service.store.profile_exists(&name) {
        return Ok(name);
    }
    let text = format!("profile {name} exists and was not touched; restore under another name");
    Err(Fault::new(FaultKind::Exists, text))
}
