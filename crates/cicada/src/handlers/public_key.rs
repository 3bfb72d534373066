//! The public keys of an identity.

use audit_log::Operation;
use ipc::trail::Trail;
use site_config::names::IdentityName;

use crate::conversation::Caller;
use crate::error::Refused;
use crate::record::{note_failed, record_of, version_to_use};
use crate::reply::Reply;
use crate::service::Cicada;

pub fn handle(
    service: &Cicada,
    trail: &mut Trail,
    caller: &Caller,
    identity: &IdentityName,
    number: Option<u32>,
    wireguard: bool,
) -> Result<Reply, Refused> {
    let record = record_of(Operation::IdentityPublicKey, caller, Some(identity));
    let (version, record) = version_to_use(service, trail, record, identity, number)?;
    trail.record(record.clone())?;
    let keys = version.keys().map_err(Refused::from);
    let keys = keys.inspect_err(|refused| note_failed(trail, record, refused))?.public();
    Ok(match wireguard {
        true => Reply::wireguard_public_key(&keys.x25519),
        false => Reply::public_keys(identity, version.number, keys),
    })
}
