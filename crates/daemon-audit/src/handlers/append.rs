//! One more entry, reported by a daemon that acts.

use audit_log::{Operation, Outcome};
use ipc::audit::{AuditReply, Record};
use ipc::{Fault, FaultKind, Peer};
use site_config::{Daemon, Role};

use crate::service::{AuditService, unavailable};

/// Bytes of text in a record, all fields together: escaped, it stays below the limit of a line.
const MAX_TEXT_BYTES: usize = 2400;

pub fn handle(service: &AuditService, peer: &Peer, record: Record) -> AuditReply<'static> {
    if text_bytes(&record) > MAX_TEXT_BYTES {
        let text = format!("an audit record has at most {MAX_TEXT_BYTES} bytes of text");
        return AuditReply::Fault(Fault::new(FaultKind::InvalidInput, text));
    }
    if !may_report(peer.role, &record) {
        let text = format!("{} is not for {} to record", record.operation, peer.role);
        return AuditReply::Fault(Fault::new(FaultKind::InvalidInput, text));
    }
    let milestone = Milestone::of(&record);
    let seal = seal_after(&record);
    match service.append(record.into_draft(peer.recorded().into_actor())) {
        Ok(appended) => match milestone.and_then(|milestone| milestone.note(service)) {
            Some(fault) => AuditReply::Fault(fault),
            None => {
                if let Some(reason) = seal {
                    service.seal(reason);
                }
                AuditReply::Appended { sequence: appended.seq }
            }
        },
        Err(refused) => AuditReply::Fault(unavailable(refused)),
    }
}

/// After what the past is fixed at once, and the word for it: people lock when they leave.
fn seal_after(record: &Record) -> Option<&'static str> {
    match (record.operation, record.outcome) {
        (Operation::Lock, _) => Some("lock"),
        (Operation::Wipe, Outcome::Done) => Some("wipe"),
        _ => None,
    }
}

/// Each daemon reports what it does, and none what another does: a daemon that was taken over can't
/// put a wipe or a signature into another's mouth. Some entries only daemon-audit makes, of what it
/// knows by itself.
fn may_report(role: Role, record: &Record) -> bool {
    let operation = record.operation;
    let own = operation.is_the_writers_own()
        || matches!(operation, Operation::AuditExport | Operation::SiteChange);
    let common = matches!(
        operation,
        Operation::DaemonStart | Operation::DaemonStop | Operation::PeerRefused
    );
    match role {
        Role::Cicada if common => record.subject.as_deref() == Some(Daemon::Cicada.as_str()),
        Role::Cicada => operation.is_cicadas(),
        _ => !own && !operation.is_cicadas(),
    }
}

/// What this daemon has to know of its own trail without reading all of it.
#[derive(Clone, Copy)]
enum Milestone {
    /// From here on there are vaults, and losing them is not an interrupted `init`.
    Initialised,
    /// From here on a genesis may put this trail aside.
    WipeAuthorised,
}

impl Milestone {
    fn of(record: &Record) -> Option<Self> {
        match (record.operation, record.outcome) {
            (Operation::Init, Outcome::Done) => Some(Self::Initialised),
            (Operation::Wipe, Outcome::Authorised) => Some(Self::WipeAuthorised),
            _ => None,
        }
    }

    fn note(self, service: &AuditService) -> Option<Fault> {
        let trail = service.commit.trail();
        let installation = &trail.as_ref()?.genesis().installation;
        let noted = match self {
            Self::Initialised => service.store.mark_initialised(installation),
            Self::WipeAuthorised => service.store.mark_wiped(installation),
        };
        let text = format!("the entry is written, and could not be noted: {}", noted.err()?);
        Some(Fault::new(FaultKind::AuditUnavailable, text))
    }
}

fn text_bytes(record: &Record) -> usize {
    let detail = record.detail.iter().map(|(key, value)| key.len() + value.len() + 6);
    let optional = [&record.profile, &record.subject].into_iter().flatten().map(String::len);
    detail.chain(optional).sum()
}
