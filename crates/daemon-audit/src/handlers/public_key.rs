//! The keys that sign the next checkpoint.

use ipc::audit::AuditReply;
use ipc::codec;
use secret_memory::SecretBytes;

use crate::commit::Refused;
use crate::service::{AuditService, unavailable};

pub fn handle(service: &AuditService) -> Option<SecretBytes> {
    let keys = service.commit.trail().as_ref().map(|writer| writer.public_keys().to_string());
    match keys {
        Some(keys) => codec::encode(&AuditReply::PublicKey(&keys)).ok(),
        None => codec::encode(&AuditReply::Fault(unavailable(Refused::NoTrail))).ok(),
    }
}
