//! The only way to destroy an installation. Its trail is kept.

use audit_log::{Operation, Outcome};
use daemon_runtime::log;
use ipc::secrets::SecretsReply;
use ipc::{Fault, FaultKind, Peer};
use uuid::Uuid;

use crate::faults;
use crate::record::{record_of, recording_failure};
use crate::service::SecretsService;
use ipc::trail::Trail;

pub fn handle<'a>(
    service: &SecretsService,
    trail: &mut Trail,
    peer: &Peer,
    installation: Uuid,
) -> Result<SecretsReply<'a>, Fault> {
    let _changing = service.changing();
    let Some(present) = service.installation().map(|present| present.id) else {
        return Err(Fault::new(FaultKind::NotInitialised, "there is no installation to wipe"));
    };
    if present != installation {
        let mut record = record_of(Operation::Wipe, Outcome::Refused, peer, None);
        record.detail.insert("reason".to_owned(), "another installation was named".to_owned());
        trail.record(record)?;
        let text = format!(
            "this is installation {present}, and {installation} was to be wiped; nothing was touched"
        );
        return Err(Fault::new(FaultKind::InvalidInput, text));
    }
    let mut record = record_of(Operation::Wipe, Outcome::Authorised, peer, None);
    record.subject = Some(present.to_string());
    trail.record(record.clone())?;
    service.forget_keys(None);
    service.attempts().forget();
    service.forget_default_profile();
    let wiped = service.store.wipe();
    // The rename decides: once it is done there is no installation, even if a file resisted.
    let still_there = service.store.installation().is_ok_and(|found| found.is_some());
    if !still_there {
        service.set_installation(None);
    }
    let wiped = wiped.map_err(|error| faults::from_storage("the wipe is incomplete", &error));
    recording_failure(trail, &record, wiped)?;
    record.outcome = Outcome::Done;
    if let Err(error) = trail.record(record) {
        log::warning(format_args!("the end of a wipe could not be recorded: {error}"));
    }
    service.forget_recorded_start();
    Ok(SecretsReply::Done)
}
