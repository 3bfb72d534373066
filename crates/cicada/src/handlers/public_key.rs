//! The public keys of an identity.

use audit_log::Operation;
use ipc::trail::Trail;
use site_config::names::IdentityName;

use crate::conversation::Caller;
use crate::error::Refused;
use crate::record::{answer_if_still_there, record_of, version_to_use};
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
    answer_if_still_there(service, trail, record, identity, &version, || {
        let keys = version.keys()?;
        let keys = keys.public();
        Ok(match wireguard {
            true => Reply::wireguard_public_key(&keys.x25519),
            false => Reply::public_keys(identity, version.number, keys),
        })
    })
}
