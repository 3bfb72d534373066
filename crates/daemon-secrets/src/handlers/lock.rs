//! Forgetting keys. It comes first and always happens, whether or not it can be recorded: it is the
//! brake.

use audit_log::{Operation, Outcome};
use daemon_runtime::log;
use ipc::audit::Record;
use ipc::secrets::SecretsReply;
use ipc::{Fault, Peer};
use site_config::ProfileName;

use crate::faults;
use crate::record::record_of;
use crate::service::SecretsService;
use ipc::trail::Trail;

pub fn handle<'a>(
    service: &SecretsService,
    trail: &mut Trail,
    peer: &Peer,
    profile: Option<&str>,
) -> Result<SecretsReply<'a>, Fault> {
    let Some(name) = profile else {
        lock_all(service, trail, Some(peer), "asked");
        return service.initialised().map(|_| SecretsReply::Done);
    };
    let profile = ProfileName::try_from(name).map_err(|error| faults::from_name(&error))?;
    service.forget_keys(Some(&profile));
    service.profile(Some(name))?;
    note(trail, record_of(Operation::Lock, Outcome::Done, peer, Some(&profile)));
    Ok(SecretsReply::Done)
}

/// Locks every profile, for a peer or for the clock.
pub fn lock_all(service: &SecretsService, trail: &mut Trail, peer: Option<&Peer>, reason: &str) {
    let locked = service.forget_keys(None);
    if service.installation().is_none() {
        return;
    }
    let mut record = Record::new(Operation::Lock, Outcome::Done);
    record.actor = peer.map(Peer::recorded);
    record.detail.insert("reason".to_owned(), reason.to_owned());
    // A record has room for some forty long names.
    let names: Vec<&str> = locked.iter().map(String::as_str).take(24).collect();
    record.detail.insert("profiles".to_owned(), names.join(" "));
    record.detail.insert("count".to_owned(), locked.len().to_string());
    note(trail, record);
}

fn note(trail: &mut Trail, record: Record) {
    if let Err(error) = trail.record(record) {
        log::warning(format_args!("locked, and that could not be recorded: {error}"));
    }
}
