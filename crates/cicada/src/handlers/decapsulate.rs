//! The shared secret in a ciphertext.

use audit_log::Operation;
use data_encoding::HEXLOWER;
use identity_keys::Ciphertext;
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
    number: Option<u32>,
    ciphertext: &Ciphertext,
) -> Result<Reply, Refused> {
    let mut record = record_of(Operation::IdentityDecapsulate, caller, Some(identity));
    let digest = HEXLOWER.encode(&Sha256::digest(ciphertext));
    record.detail.insert("ciphertext-sha256".to_owned(), digest);
    let (version, record) = version_to_use(service, trail, record, identity, number)?;
    trail.record(record.clone())?;
    answer_if_still_there(service, trail, record, identity, &version, || {
        let secret = version.keys()?.decapsulate(ciphertext);
        Reply::decapsulated(&secret).map_err(|_| Refused::out_of_memory())
    })
}
