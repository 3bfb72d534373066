//! A copy of an identity as it lies on disk: the unlock key opens it, and nothing else does.

use audit_log::Operation;
use data_encoding::BASE64;
use ipc::trail::Trail;
use serde::Serialize;
use site_config::names::IdentityName;

use crate::conversation::Caller;
use crate::error::Refused;
use crate::record::{note_failed, note_refused, record_of};
use crate::reply::Reply;
use crate::service::Cicada;

#[derive(Serialize)]
struct Backup<'a> {
    identity: &'a IdentityName,
    backup: String,
}

pub fn handle(
    service: &Cicada,
    trail: &mut Trail,
    caller: &Caller,
    name: &IdentityName,
) -> Result<Reply, Refused> {
    let record = record_of(Operation::IdentityBackup, caller, Some(name));
    let _changing = service.changing();
    let found = service.present(name);
    found.inspect_err(|refused| note_refused(service, trail, record.clone(), refused))?;
    trail.record(record.clone())?;
    let backup = service.store.backup(name).map_err(Refused::from);
    let backup = backup.inspect_err(|refused| note_failed(trail, record, refused))?;
    Ok(Reply::of(&Backup { identity: name, backup: BASE64.encode(&backup) }))
}
