//! New signing keys.

use audit_log::{Draft, Operation, Outcome};
use ipc::audit::AuditReply;
use ipc::{Peer, codec};
use secret_memory::SecretBytes;

use crate::service::{AuditService, unavailable};

pub fn handle(service: &AuditService, peer: &Peer) -> Option<SecretBytes> {
    let draft =
        Draft::new(Operation::AuditKeyRotate, Outcome::Done).actor(peer.recorded().into_actor());
    match service.sealer.rotate(&service.commit, draft) {
        Ok(keys) => codec::encode(&AuditReply::PublicKey(&keys)).ok(),
        Err(refused) => codec::encode(&AuditReply::Fault(unavailable(refused))).ok(),
    }
}
