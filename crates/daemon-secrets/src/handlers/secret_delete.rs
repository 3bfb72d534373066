//! Removing a secret.

use audit_log::{Operation, Outcome};
use ipc::secrets::SecretsReply;
use ipc::{Fault, FaultKind, Peer};
use site_config::SecretName;

use crate::faults;
use crate::record::{record_of, recording_failure};
use crate::service::SecretsService;
use ipc::trail::Trail;

pub fn handle<'a>(
    service: &SecretsService,
    trail: &mut Trail,
    peer: &Peer,
    profile: Option<&str>,
    name: &str,
) -> Result<SecretsReply<'a>, Fault> {
    let profile = service.profile(profile)?;
    let name = SecretName::try_from(name).map_err(|error| faults::from_name(&error))?;
    let mut record = record_of(Operation::SecretDelete, Outcome::Authorised, peer, Some(&profile));
    record.subject = Some(name.as_str().to_owned());
    let locks = service.locks();
    let vault = service.vault(trail, &profile, &record)?;
    trail.record(record.clone())?;
    recording_failure(trail, &record, service.still_unlocked(locks))?;
    let deleted = match vault.delete(name.as_str()) {
        Ok(true) => Ok(SecretsReply::Done),
        Ok(false) => {
            let text = format!("no secret {name} in profile {profile}; nothing was deleted");
            Err(Fault::new(FaultKind::NotFound, text))
        }
        Err(error) => Err(faults::from_vault(&error)),
    };
    recording_failure(trail, &record, deleted)
}
