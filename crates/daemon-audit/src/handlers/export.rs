//! The trail leaves the machine, and what came of it.

use audit_log::{Draft, Operation, Outcome};
use ipc::audit::AuditReply;
use ipc::{Fault, FaultKind, Peer};

use crate::sealer;
use crate::service::{AuditService, unavailable};

/// Longest text of an exporter that is recorded, in bytes.
const MAX_TEXT_BYTES: usize = 1024;

/// Records that it is about to, and seals all of it: an export has no loose end.
pub fn begin(service: &AuditService, peer: &Peer, destination: &str) -> AuditReply<'static> {
    if let Some(fault) = unfit(destination) {
        return AuditReply::Fault(fault);
    }
    if let Err(refused) = service.append(draft(Outcome::Authorised, peer, destination)) {
        return AuditReply::Fault(unavailable(refused));
    }
    match service.sealer.seal(&service.commit, sealer::draft("export")) {
        Ok(appended) => AuditReply::Sealed { size: appended.seq + 1 },
        Err(refused) => {
            let failed = draft(Outcome::Failed, peer, destination);
            // The disk is full or failing: it may not take this either.
            let _ = service.append(failed.detail("reason", "the trail could not be sealed"));
            AuditReply::Fault(unavailable(refused))
        }
    }
}

/// Records that it has, or why it has not.
pub fn finish(
    service: &AuditService,
    peer: &Peer,
    destination: &str,
    failure: Option<&str>,
) -> AuditReply<'static> {
    if let Some(fault) = unfit(destination).or_else(|| failure.and_then(unfit)) {
        return AuditReply::Fault(fault);
    }
    let draft = match failure {
        None => draft(Outcome::Done, peer, destination),
        Some(reason) => draft(Outcome::Failed, peer, destination).detail("reason", reason),
    };
    match service.append(draft) {
        Ok(appended) => AuditReply::Appended { sequence: appended.seq },
        Err(refused) => AuditReply::Fault(unavailable(refused)),
    }
}

fn draft(outcome: Outcome, peer: &Peer, destination: &str) -> Draft {
    Draft::new(Operation::AuditExport, outcome)
        .actor(peer.recorded().into_actor())
        .subject(destination)
}

fn unfit(text: &str) -> Option<Fault> {
    let is_unfit = text.len() > MAX_TEXT_BYTES || text.chars().any(char::is_control);
    is_unfit.then(|| {
        let text =
            format!("a destination has at most {MAX_TEXT_BYTES} bytes and no control characters");
        Fault::new(FaultKind::InvalidInput, text)
    })
}
