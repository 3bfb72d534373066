//! Opening the vault of an unlocked profile.

use audit_log::{Operation, Outcome};
use ipc::secrets::{ProfileState, SecretsReply};
use ipc::{Fault, FaultKind, Peer};

use crate::opening::open_vault_with;
use crate::record::{record_of, recording_failure};
use crate::service::SecretsService;
use crate::target::Target;
use ipc::trail::Trail;

pub fn handle<'a>(
    service: &SecretsService,
    trail: &mut Trail,
    peer: &Peer,
    profile: &str,
) -> Result<SecretsReply<'a>, Fault> {
    let _changing = service.changing();
    let installation = service.initialised()?;
    let profile = service.profile(Some(profile))?;
    let record = record_of(Operation::ProfileActivate, Outcome::Authorised, peer, Some(&profile));
    trail.record(record.clone())?;
    let mut keyring = service.keyring_mut();
    if keyring.state(&profile) == ProfileState::Active {
        return Ok(SecretsReply::Done);
    }
    let opened = match keyring.keys(&profile) {
        Some(keys) => Target::profile(service, Some(profile.as_str()))
            .and_then(|target| target.metadata(service))
            .and_then(|metadata| {
                open_vault_with(service, &installation, &profile, &metadata, keys)
            }),
        None => {
            let text =
                format!("profile {profile} is locked; run `sesame unlock --profile {profile}`");
            Err(Fault::new(FaultKind::Locked, text))
        }
    };
    if let Ok(vault) = opened {
        keyring.activate(&profile, vault);
        service.touch();
        return Ok(SecretsReply::Done);
    }
    drop(keyring);
    recording_failure(trail, &record, opened.map(|_| SecretsReply::Done))
}
