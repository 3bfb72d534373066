//! Writing a secret.

use audit_log::{Operation, Outcome};
use ipc::secrets::SecretsReply;
use ipc::{Fault, FaultKind, Peer};
use site_config::{MAX_SECRET_VALUE_BYTES, SecretName};

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
    value: &[u8],
    only_new: bool,
) -> Result<SecretsReply<'a>, Fault> {
    let profile = service.profile(profile)?;
    let name = SecretName::try_from(name).map_err(|error| faults::from_name(&error))?;
    if value.len() > MAX_SECRET_VALUE_BYTES {
        let text =
            format!("a value has at most {MAX_SECRET_VALUE_BYTES} bytes; nothing was written");
        return Err(Fault::new(FaultKind::InvalidInput, text));
    }
    let mut record = record_of(Operation::SecretSet, Outcome::Authorised, peer, Some(&profile));
    record.subject = Some(name.as_str().to_owned());
    let locks = service.locks();
    let vault = service.vault(trail, &profile, &record)?;
    trail.record(record.clone())?;
    recording_failure(trail, &record, service.still_unlocked(locks))?;
    let replaced = match only_new {
        false => vault.set(name.as_str(), value).map(|written| written.replaced),
        true => vault.insert(name.as_str(), value).map(|written| !written),
    };
    let replaced = match replaced {
        Ok(true) if only_new => {
            let text = format!("there is a secret {name} already; it was not touched");
            Err(Fault::new(FaultKind::Exists, text))
        }
        replaced => replaced.map_err(|error| faults::from_vault(&error)),
    };
    Ok(SecretsReply::Written { replaced: recording_failure(trail, &record, replaced)? })
}
