//! The identities that a program has to do with.

use audit_log::Operation;
use ipc::trail::Trail;
use serde::Serialize;
use site_config::names::IdentityName;

use crate::conversation::Caller;
use crate::error::Refused;
use crate::record::{note_refused, record_of};
use crate::reply::Reply;
use crate::service::{Cicada, now, time};

#[derive(Serialize)]
struct Listing {
    identities: Vec<Entry>,
}

#[derive(Serialize)]
struct Entry {
    identity: IdentityName,
    version: Option<u32>,
    created: String,
    readable: Vec<u32>,
    revoked: Option<String>,
    operations: Vec<&'static str>,
}

pub fn handle(service: &Cicada, trail: &mut Trail, caller: &Caller) -> Result<Reply, Refused> {
    let record = record_of(Operation::IdentityList, caller, None);
    match listing(service, caller) {
        Ok(listing) => {
            trail.record(record)?;
            Ok(Reply::of(&listing))
        }
        Err(refused) => {
            note_refused(service, trail, record, &refused);
            Err(refused)
        }
    }
}

fn listing(service: &Cicada, caller: &Caller) -> Result<Listing, Refused> {
    let keyring = service.keyring();
    let now = now();
    let mut identities = Vec::new();
    for (name, identity) in &keyring.unlocked()?.identities {
        let operations: Vec<_> =
            caller.grants.on(Some(name)).iter().map(|operation| operation.as_str()).collect();
        if operations.is_empty() {
            continue;
        }
        let readable = identity.versions.iter().filter(|version| !version.is_over(now));
        identities.push(Entry {
            identity: name.clone(),
            version: identity.current().map(|version| version.number),
            created: time(identity.created),
            readable: readable.map(|version| version.number).collect(),
            revoked: identity.revoked.map(time),
            operations,
        });
    }
    Ok(Listing { identities })
}
