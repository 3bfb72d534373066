//! A signature. It is made while its entry becomes durable, and leaves after that.

use audit_log::Operation;
use data_encoding::HEXLOWER;
use ipc::trail::Trail;
use sha2::{Digest, Sha256};
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
    data: &[u8],
) -> Result<Reply, Refused> {
    let mut record = record_of(Operation::IdentitySign, caller, Some(identity));
    // So that the trail can tell later what was signed.
    record.detail.insert("bytes".to_owned(), data.len().to_string());
    record.detail.insert("sha256".to_owned(), HEXLOWER.encode(&Sha256::digest(data)));
    let (version, record) = version_to_use(service, trail, record, identity, None)?;
    let entry = trail.begin(record.clone())?;
    let signature = version
        .keys()
        .map_err(Refused::from)
        .and_then(|keys| keys.sign(data).map_err(Refused::from));
    entry.durable()?;
    answer_if_still_there(service, trail, record, identity, &version, || {
        Ok(Reply::signature(&signature?[..]))
    })
}
