//! What was given of factors is forgotten, and a backup that was to become a profile with it.
//!
//! As with a lock it happens first, and whether or not it can be recorded: it takes something away.

use audit_log::{Operation, Outcome};
use daemon_runtime::log;
use ipc::factors::Source;
use ipc::secrets::SecretsReply;
use ipc::{Fault, Peer};

use crate::faults;
use crate::record::record_of;
use crate::service::SecretsService;
use crate::target::Target;
use ipc::trail::Trail;

pub fn handle<'a>(
    service: &SecretsService,
    trail: &mut Trail,
    peer: &Peer,
    source: Source<'_>,
) -> Result<SecretsReply<'a>, Fault> {
    let _changing = service.changing();
    let target = Target::new(service, source)?;
    let pending = service.collections.pending(&target.key());
    service.collections.lock().remove(&target.key());
    if let Source::Restore(_) = source {
        service
            .store
            .unstage(&target.profile)
            .map_err(|error| faults::from_storage("the backup could not be removed", &error))?;
    }
    let mut record = record_of(Operation::FactorCancel, Outcome::Done, peer, Some(&target.profile));
    if let Some(pending) = pending {
        let change = pending.change.unwrap_or_else(|| "unlock".to_owned());
        record.detail.insert("for".to_owned(), change);
    }
    if let Err(error) = trail.record(record) {
        log::warning(format_args!("a cancellation could not be recorded: {error}"));
    }
    Ok(SecretsReply::Done)
}
