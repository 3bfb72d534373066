//! Which profile is meant when none is named.

use audit_log::{Operation, Outcome};
use ipc::secrets::SecretsReply;
use ipc::{Fault, Peer};

use crate::faults;
use crate::record::{record_of, recording_failure};
use crate::service::SecretsService;
use ipc::trail::Trail;

pub fn handle<'a>(
    service: &SecretsService,
    trail: &mut Trail,
    peer: &Peer,
    profile: &str,
) -> Result<SecretsReply<'a>, Fault> {
    let profile = service.profile(Some(profile))?;
    let record = record_of(Operation::ProfileDefault, Outcome::Authorised, peer, Some(&profile));
    trail.record(record.clone())?;
    let written = service
        .store
        .set_default_profile(&profile)
        .map_err(|error| faults::from_storage("the default profile stays as it was", &error));
    service.forget_default_profile();
    recording_failure(trail, &record, written.map(|()| SecretsReply::Done))
}
