//! One more entry, reported by daemon-secrets.

use audit_log::{Operation, Outcome};
use ipc::audit::{AuditReply, Record};
use ipc::{Fault, FaultKind, Peer};

use crate::service::{AuditService, unavailable};

/// Bytes of text in a record, all fields together: escaped, it stays below the limit of a line.
const MAX_TEXT_BYTES: usize = 2400;

pub fn handle(service: &AuditService, peer: &Peer, record: Record) -> AuditReply<'static> {
    if text_bytes(&record) > MAX_TEXT_BYTES {
        let text = format!("an audit record has at most {MAX_TEXT_BYTES} bytes of text");
        return AuditReply::Fault(Fault::new(FaultKind::InvalidInput, text));
    }
    let wipes = record.operation == Operation::Wipe && record.outcome == Outcome::Authorised;
    match service.commit.append(record.into_draft(peer.recorded().into_actor())) {
        Ok(appended) => {
            if wipes && let Some(fault) = mark_wiped(service) {
                return AuditReply::Fault(fault);
            }
            AuditReply::Appended { sequence: appended.seq }
        }
        Err(refused) => AuditReply::Fault(unavailable(refused)),
    }
}

/// From here on a genesis may put this trail aside.
fn mark_wiped(service: &AuditService) -> Option<Fault> {
    let trail = service.commit.trail();
    let installation = &trail.as_ref()?.genesis().installation;
    let error = service.store.mark_wiped(installation).err()?;
    let text = format!("the wipe could not be noted, so nothing was wiped: {error}");
    Some(Fault::new(FaultKind::AuditUnavailable, text))
}

fn text_bytes(record: &Record) -> usize {
    let detail = record.detail.iter().map(|(key, value)| key.len() + value.len() + 6);
    let optional = [&record.profile, &record.subject].into_iter().flatten().map(String::len);
    detail.chain(optional).sum()
}
