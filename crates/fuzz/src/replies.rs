//! Replies of every kind, made of a fuzzer's bytes.

use hardening::posture::{Check, Status as Found};
use ipc::audit::{AuditReply, TrailStatus};
use ipc::factors::{Enrolled, EnrolledFactor, Need, Pending, Progress};
use ipc::secrets::{InstallationStatus, ProfileState, ProfileStatus, SecretsReply, Status};
use ipc::{Fault, FaultKind};
use serde_bytes::Bytes;
use site_config::{AuditHash, FactorKind};

use crate::requests::{number, policy, text, uuid};
use crate::shape::Source;

pub(crate) fn secrets_reply<'a>(from: &mut Source<'a>) -> SecretsReply<'a> {
    match from.byte() % 14 {
        0 => SecretsReply::Done,
        1 => SecretsReply::Status(status(from)),
        2 => SecretsReply::Posture(from.some(check)),
        3 => SecretsReply::Initialised { installation: uuid(from), resumed: from.flag() },
        4 => SecretsReply::Value(from.bytes()),
        5 => SecretsReply::Written { replaced: from.flag() },
        6 => SecretsReply::Names(from.some(text)),
        7 => SecretsReply::Enrolled(enrolled(from)),
        8 => SecretsReply::Progress(progress(from)),
        9 => SecretsReply::Factor(number(from)),
        10 => SecretsReply::Shares(from.some(|from| Bytes::new(from.bytes()))),
        11 => SecretsReply::Share {
            factor: number(from),
            number: from.byte(),
            shares: from.byte(),
            threshold: from.byte(),
        },
        12 => SecretsReply::Piece { total: from.number(), bytes: from.bytes() },
        _ => SecretsReply::Fault(fault(from)),
    }
}

pub(crate) fn audit_reply<'a>(from: &mut Source<'a>) -> AuditReply<'a> {
    match from.byte() % 10 {
        0 => AuditReply::Status(from.maybe(trail_status)),
        1 => AuditReply::Posture(from.some(check)),
        2 => AuditReply::Genesis(uuid(from)),
        3 => AuditReply::Appended { sequence: from.number() },
        4 => AuditReply::Lines(from.bytes()),
        5 => AuditReply::Checkpoint { size: from.number(), note: from.bytes() },
        6 => AuditReply::NoCheckpoint,
        7 => AuditReply::Sealed { size: from.number() },
        8 => AuditReply::PublicKey(from.text()),
        _ => AuditReply::Fault(fault(from)),
    }
}

fn status(from: &mut Source<'_>) -> Status {
    let states = [ProfileState::Locked, ProfileState::Unlocked, ProfileState::Active];
    Status {
        version: text(from),
        installation: from.maybe(|from| InstallationStatus {
            id: uuid(from),
            org: from.maybe(text),
            created: text(from),
            machine_bound: from.flag(),
            machine_tpm: from.flag(),
        }),
        profiles: from.some(|from| ProfileStatus {
            name: text(from),
            default: from.flag(),
            state: from.choice(&states),
            factors: from.some(text),
            policy: text(from),
            pending: from.maybe(|from| (text(from), from.number())),
            failures: number(from),
            retry_after_seconds: from.number(),
        }),
        auto_lock_seconds: from.number(),
    }
}

fn enrolled(from: &mut Source<'_>) -> Enrolled {
    Enrolled {
        profile: text(from),
        policy: policy(from),
        generation: from.number(),
        factors: from.some(|from| EnrolledFactor {
            id: number(from),
            label: text(from),
            kind: from.choice(FactorKind::ALL),
            machine: from.flag(),
            parameters: text(from),
            failures: number(from),
            retry_after_seconds: from.number(),
        }),
        pending: from.maybe(|from| Pending {
            change: from.maybe(text),
            owner: text(from),
            progress: progress(from),
        }),
        needs: from.some(need),
        backup: from.maybe(Source::array),
    }
}

fn progress(from: &mut Source<'_>) -> Progress {
    Progress {
        given: from.some(number),
        shares: from.some(|from| (number(from), from.some(Source::byte))),
        missing: from.some(need),
        seconds_left: from.number(),
    }
}

fn need(from: &mut Source<'_>) -> Need {
    Need { count: from.byte(), of: from.some(number) }
}

fn trail_status(from: &mut Source<'_>) -> TrailStatus {
    TrailStatus {
        installation: uuid(from),
        size: from.number(),
        root: from.array(),
        sealed: from.number(),
        hash: from.choice(&[AuditHash::Blake3, AuditHash::Sha256]),
        has_vaults: from.flag(),
    }
}

fn check(from: &mut Source<'_>) -> Check {
    Check {
        id: text(from),
        subject: text(from),
        status: from.choice(&[Found::Pass, Found::Warn, Found::Fail]),
        found: text(from),
        floor: from.flag(),
        controls: from.some(text),
    }
}

fn fault(from: &mut Source<'_>) -> Fault {
    let kinds = [FaultKind::Locked, FaultKind::RateLimited, FaultKind::Internal];
    let mut fault = Fault::new(from.choice(&kinds), text(from));
    fault.retry_after_seconds = from.maybe(Source::number);
    fault
}
