//! Closing the vault of a profile and keeping its keys.

use audit_log::{Operation, Outcome};
use ipc::secrets::SecretsReply;
use ipc::{Fault, Peer};

use crate::record::record_of;
use crate::service::SecretsService;
use ipc::trail::Trail;

pub fn handle<'a>(
    service: &SecretsService,
    trail: &mut Trail,
    peer: &Peer,
    profile: &str,
) -> Result<SecretsReply<'a>, Fault> {
    let profile = service.profile(Some(profile))?;
    trail.record(record_of(
        Operation::ProfileDeactivate,
        Outcome::Authorised,
        peer,
        Some(&profile),
    ))?;
    service.keyring_mut().deactivate(&profile);
    Ok(SecretsReply::Done)
}
