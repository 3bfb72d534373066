//! A fresh shared secret, and the ciphertext that brings it to whoever has the private key.

use audit_log::Operation;
use data_encoding::HEXLOWER;
use identity_keys::{EncapsulateError, EncapsulationKey};
use ipc::trail::Trail;
use sha2::{Digest, Sha256};
use site_config::names::IdentityName;

use crate::conversation::Caller;
use crate::error::{Code, Refused};
use crate::identity::Version;
use crate::record::{answer_if_still_there, record_of, version_to_use};
use crate::reply::Reply;
use crate::service::Cicada;

pub fn handle(
    service: &Cicada,
    trail: &mut Trail,
    caller: &Caller,
    identity: &IdentityName,
    to: Option<&EncapsulationKey>,
) -> Result<Reply, Refused> {
    let mut record = record_of(Operation::IdentityEncapsulate, caller, Some(identity));
    if let Some(key) = to {
        record.detail.insert("to-sha256".to_owned(), HEXLOWER.encode(&Sha256::digest(key)));
    }
    let (version, record) = version_to_use(service, trail, record, identity, None)?;
    trail.record(record.clone())?;
    answer_if_still_there(service, trail, record, identity, &version, || encapsulate(&version, to))
}

fn encapsulate(version: &Version, to: Option<&EncapsulationKey>) -> Result<Reply, Refused> {
    let own;
    let key = match to {
        Some(key) => key,
        None => {
            own = version.keys()?;
            &*own.public().ml_kem_768
        }
    };
    let (ciphertext, secret) = identity_keys::encapsulate(key).map_err(|error| match error {
        EncapsulateError::BadKey => Refused::new(Code::BadRequest, format!("public_key: {error}")),
        EncapsulateError::NoRandomBytes => Refused::internal(error),
    })?;
    Reply::encapsulated(&ciphertext[..], &secret).map_err(|_| Refused::out_of_memory())
}
