//! Forgetting keys. It always happens, whether or not it can be recorded: it is the brake.

use audit_log::{Operation, Outcome};
use daemon_runtime::log;
use ipc::audit::Record;
use ipc::secrets::SecretsReply;
use ipc::{Fault, Peer};

use crate::service::{SecretsService, record_of};
use crate::trail::Trail;

pub fn handle<'a>(
    service: &SecretsService,
    trail: &mut Trail,
    peer: &Peer,
    profile: Option<&str>,
) -> Result<SecretsReply<'a>, Fault> {
    service.initialised()?;
    let Some(name) = profile else {
        lock_all(service, trail, Some(peer), "asked");
        return Ok(SecretsReply::Done);
    };
    let profile = service.profile(Some(name))?;
    service.keyring_mut().remove(&profile);
    note(trail, record_of(Operation::Lock, Outcome::Done, peer, Some(&profile)));
    Ok(SecretsReply::Done)
}

/// Locks every profile, for a peer or for the clock.
pub fn lock_all(service: &SecretsService, trail: &mut Trail, peer: Option<&Peer>, reason: &str) {
    let locked = service.keyring_mut().clear();
    let mut record = Record::new(Operation::Lock, Outcome::Done);
    record.actor = peer.map(Peer::recorded);
    record.detail.insert("reason".to_owned(), reason.to_owned());
    record.detail.insert("profiles".to_owned(), locked.join(" "));
    note(trail, record);
}

fn note(trail: &mut Trail, record: Record) {
    if let Err(error) = trail.record(record) {
        log::warning(format_args!("locked, and that could not be recorded: {error}"));
    }
}
