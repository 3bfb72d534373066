//! The trail is about to leave the machine.

use audit_log::{Draft, Operation, Outcome};
use ipc::audit::AuditReply;
use ipc::{Fault, FaultKind, Peer};

use crate::service::{AuditService, unavailable};

/// Longest destination that is recorded, in bytes.
const MAX_DESTINATION_BYTES: usize = 1024;

pub fn handle(service: &AuditService, peer: &Peer, destination: &str) -> AuditReply<'static> {
    let has_controls = destination.chars().any(char::is_control);
    if destination.len() > MAX_DESTINATION_BYTES || has_controls {
        let text = format!(
            "a destination has at most {MAX_DESTINATION_BYTES} bytes and no control characters"
        );
        return AuditReply::Fault(Fault::new(FaultKind::InvalidInput, text));
    }
    let draft = Draft::new(Operation::AuditExport, Outcome::Authorised)
        .actor(peer.recorded().into_actor())
        .subject(destination);
    match service.commit.append(draft) {
        Ok(appended) => AuditReply::Appended { sequence: appended.seq },
        Err(refused) => AuditReply::Fault(unavailable(refused)),
    }
}
