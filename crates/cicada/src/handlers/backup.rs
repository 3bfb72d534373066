//! A copy of an identity as it lies on disk: the unlock key opens it, and nothing else does.

use audit_log::Operation;
use data_encoding::{BASE64, HEXLOWER};
use ipc::trail::Trail;
use serde::Serialize;
use sha2::{Digest, Sha256};
use site_config::names::IdentityName;

use crate::conversation::Caller;
use crate::error::Refused;
use crate::record::{note_refused, record_of};
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
    let mut record = record_of(Operation::IdentityBackup, caller, Some(name));
    let _changing = service.changing();
    let copied = service
        .present(name)
        .and_then(|(identity, _)| Ok((identity.last_version, service.store.backup(name)?)));
    let (version, backup) =
        copied.inspect_err(|refused| note_refused(service, trail, record.clone(), refused))?;
    record.detail.insert("version".to_owned(), version.to_string());
    record.detail.insert("sha256".to_owned(), HEXLOWER.encode(&Sha256::digest(&backup)));
    trail.record(record)?;
    Ok(Reply::of(&Backup { identity: name, backup: BASE64.encode(&backup) }))
}
