//! A new identity.

use std::sync::Arc;

use audit_log::Operation;
use ipc::trail::Trail;
use site_config::names::IdentityName;

use crate::conversation::Caller;
use crate::error::Refused;
use crate::identity::{Identity, Version};
use crate::record::{carry_out, note_refused, record_of};
use crate::reply::Reply;
use crate::service::{Cicada, now};

pub fn handle(
    service: &Cicada,
    trail: &mut Trail,
    caller: &Caller,
    name: &IdentityName,
) -> Result<Reply, Refused> {
    let record = record_of(Operation::IdentityCreate, caller, Some(name));
    let _changing = service.changing();
    let unlock_key = service.key_for_new(name).inspect_err(|refused| {
        note_refused(service, trail, record.clone(), refused);
    })?;
    carry_out(trail, record, |_| {
        let created = now();
        let version = Arc::new(Version::generate(1, created).map_err(Refused::internal)?);
        // Before it is stored: keys that can't be used are no identity.
        let reply = Reply::public_keys(name, 1, version.keys()?.public());
        let versions = vec![version];
        let identity =
            Identity { name: name.clone(), created, versions, last_version: 1, revoked: None };
        service.put(identity, &unlock_key)?;
        Ok(reply)
    })
}
