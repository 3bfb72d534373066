//! Reading a secret. The value goes from the vault to the reply in secret memory.

use audit_log::{Operation, Outcome};
use ipc::secrets::Purpose;
use ipc::{Fault, FaultKind, Peer};
use secret_memory::SecretBytes;
use site_config::SecretName;

use crate::faults;
use crate::record::{record_of, recording_failure};
use crate::service::SecretsService;
use ipc::trail::Trail;

pub fn handle(
    service: &SecretsService,
    trail: &mut Trail,
    peer: &Peer,
    profile: Option<&str>,
    name: &str,
    purpose: Purpose,
) -> Result<SecretBytes, Fault> {
    let profile = service.profile(profile)?;
    let name = SecretName::try_from(name).map_err(|error| faults::from_name(&error))?;
    let mut record = record_of(Operation::SecretGet, Outcome::Authorised, peer, Some(&profile));
    record.subject = Some(name.as_str().to_owned());
    if purpose == Purpose::Run {
        record.detail.insert("purpose".to_owned(), "run".to_owned());
    }
    let locks = service.locks();
    let vault = service.vault(trail, &profile, &record)?;
    trail.record(record.clone())?;
    recording_failure(trail, &record, service.still_unlocked(locks))?;
    let value = match vault.get(name.as_str()) {
        Ok(Some(value)) => return Ok(value),
        Ok(None) => {
            let text =
                format!("no secret {name} in profile {profile}; `sesame secret list` shows all");
            Err(Fault::new(FaultKind::NotFound, text))
        }
        Err(error) => Err(faults::from_vault(&error)),
    };
    recording_failure(trail, &record, value)
}
