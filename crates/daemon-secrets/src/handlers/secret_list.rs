//! The names of all secrets of a profile.

use audit_log::{Operation, Outcome};
use ipc::secrets::SecretsReply;
use ipc::{Fault, Peer};

use crate::faults;
use crate::record::{record_of, recording_failure};
use crate::service::SecretsService;
use ipc::trail::Trail;

/// Bytes of names in one reply.
const PAGE_BYTES: usize = 60_000;

pub fn handle<'a>(
    service: &SecretsService,
    trail: &mut Trail,
    peer: &Peer,
    profile: Option<&str>,
    after: Option<&str>,
) -> Result<SecretsReply<'a>, Fault> {
    let profile = service.profile(profile)?;
    let record = record_of(Operation::SecretList, Outcome::Authorised, peer, Some(&profile));
    let locks = service.locks();
    let vault = service.vault(trail, &profile, &record)?;
    trail.record(record.clone())?;
    recording_failure(trail, &record, service.still_unlocked(locks))?;
    let names = vault.list().map_err(|error| faults::from_vault(&error));
    let names = names.map(|names| SecretsReply::Names(page(names, after)));
    recording_failure(trail, &record, names)
}

/// What comes behind `after` and fits into a reply.
fn page(names: Vec<String>, after: Option<&str>) -> Vec<String> {
    let mut room = PAGE_BYTES;
    let behind = names.into_iter().filter(|name| after.is_none_or(|after| name.as_str() > after));
    let fits = |name: &String| {
        room = room.saturating_sub(name.len() + 4);
        room > 0
    };
    behind.take_while(fits).collect()
}
