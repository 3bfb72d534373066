//! The names of all secrets of a profile.

use audit_log::{Operation, Outcome};
use ipc::secrets::SecretsReply;
use ipc::{Fault, Peer};

use crate::faults;
use crate::service::{SecretsService, record_of, recording_failure};
use crate::trail::Trail;

pub fn handle<'a>(
    service: &SecretsService,
    trail: &mut Trail,
    peer: &Peer,
    profile: Option<&str>,
) -> Result<SecretsReply<'a>, Fault> {
    let profile = service.profile(profile)?;
    let record = record_of(Operation::SecretList, Outcome::Authorised, peer, Some(&profile));
    let vault = service.vault(trail, &profile, &record)?;
    trail.record(record.clone())?;
    let names = vault.list().map_err(|error| faults::from_vault(&error));
    recording_failure(trail, &record, names.map(SecretsReply::Names))
}
