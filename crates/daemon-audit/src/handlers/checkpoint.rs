//! Checkpoints, one by one.

use ipc::audit::AuditReply;
use ipc::{Fault, FaultKind, codec};
use secret_memory::SecretBytes;

use crate::service::AuditService;

pub fn handle(service: &AuditService, size: u64) -> Option<SecretBytes> {
    let next = match service.commit.trail().as_ref() {
        Some(writer) => writer.read_checkpoint(size),
        None => Ok(None),
    };
    match next {
        Ok(Some((size, note))) => codec::encode(&AuditReply::Checkpoint { size, note: &note }).ok(),
        Ok(None) => codec::encode(&AuditReply::NoCheckpoint).ok(),
        Err(error) => {
            let text = format!("the trail can't be read: {error}");
            codec::encode(&AuditReply::Fault(Fault::new(FaultKind::Storage, text))).ok()
        }
    }
}
