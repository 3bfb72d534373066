//! The end of an identity: its keys are destroyed, and its name is not given again.

use audit_log::Operation;
use ipc::trail::Trail;
use serde::Serialize;
use site_config::names::IdentityName;

use crate::conversation::Caller;
use crate::error::Refused;
use crate::identity::Identity;
use crate::record::{carry_out, note_refused, record_of};
use crate::reply::Reply;
use crate::service::{Cicada, now, time};

#[derive(Serialize)]
struct Revoked<'a> {
    identity: &'a IdentityName,
    revoked: String,
}

pub fn handle(
    service: &Cicada,
    trail: &mut Trail,
    caller: &Caller,
    name: &IdentityName,
) -> Result<Reply, Refused> {
    let record = record_of(Operation::IdentityRevoke, caller, Some(name));
    let _changing = service.changing();
    let found = service.present(name);
    let (identity, unlock_key) = found.inspect_err(|refused| {
        note_refused(service, trail, record.clone(), refused);
    })?;
    let revoked = now();
    carry_out(trail, record, |_| {
        let identity =
            Identity { versions: Vec::new(), revoked: Some(revoked), ..(*identity).clone() };
        service.put(identity, &unlock_key)
    })?;
    Ok(Reply::of(&Revoked { identity: name, revoked: time(revoked) }))
}
