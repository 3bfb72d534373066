//! Requests of every kind, made of a fuzzer's bytes.

use std::collections::BTreeMap;

use audit_log::{Operation, Outcome};
use ipc::audit::{AuditRequest, Record, RecordedActor};
use ipc::factors::{self, Cause, NewFactor};
use ipc::secrets::{BindTo, Purpose, SecretsRequest};
use serde_bytes::Bytes;
use site_config::{AuthMode, FactorKind, FactorKinds, UnlockPolicy};
use uuid::Uuid;

use crate::shape::Source;

pub(crate) fn secrets_request<'a>(from: &mut Source<'a>) -> SecretsRequest<'a> {
    match from.byte() % 28 {
        0 => SecretsRequest::Status,
        1 => SecretsRequest::Posture,
        2 => SecretsRequest::Init {
            org: from.maybe(Source::text),
            binding: from.choice(&[BindTo::Nothing, BindTo::MachineId, BindTo::Tpm]),
            profile: from.text(),
            factors: from.some(new_factor),
        },
        3 => SecretsRequest::Wipe { installation: uuid(from) },
        4 => SecretsRequest::Lock { profile: profile(from) },
        5 => SecretsRequest::ProfileCreate { profile: from.text(), factors: from.some(new_factor) },
        6 => SecretsRequest::ProfileActivate { profile: from.text() },
        7 => SecretsRequest::ProfileDeactivate { profile: from.text() },
        8 => SecretsRequest::ProfileDefault { profile: from.text() },
        9 => SecretsRequest::SecretSet {
            profile: profile(from),
            name: from.text(),
            value: from.bytes(),
            only_new: from.choice(&[true, false]),
        },
        10 => SecretsRequest::SecretGet {
            profile: profile(from),
            name: from.text(),
            purpose: from.choice(&[Purpose::Read, Purpose::Run]),
        },
        11 => {
            SecretsRequest::SecretList { profile: profile(from), after: from.maybe(Source::text) }
        }
        12 => SecretsRequest::SecretDelete { profile: profile(from), name: from.text() },
        13 => SecretsRequest::FactorList { source: source(from) },
        14 => SecretsRequest::FactorSubmit {
            source: source(from),
            cause: if from.flag() { Cause::Change(from.text()) } else { Cause::Unlock },
            factors: from.some(number),
            evidence: from.bytes(),
            passphrase: from.maybe(Source::bytes),
        },
        15 => SecretsRequest::FactorCancel { source: source(from) },
        16 => SecretsRequest::FactorTest {
            profile: profile(from),
            factors: from.some(number),
            evidence: from.bytes(),
        },
        17 => SecretsRequest::FactorEnroll { profile: profile(from), factor: new_factor(from) },
        18 => SecretsRequest::FactorRevoke { profile: profile(from), factor: number(from) },
        19 => SecretsRequest::FactorRename {
            profile: profile(from),
            factor: number(from),
            label: from.text(),
        },
        20 => SecretsRequest::FactorPolicy { profile: profile(from), policy: policy(from) },
        21 => SecretsRequest::ShareSplit {
            profile: profile(from),
            label: from.text(),
            threshold: from.byte(),
            shares: from.byte(),
            passphrases: from.some(|from| Bytes::new(from.bytes())),
        },
        22 => SecretsRequest::ShareVerify {
            profile: profile(from),
            share: from.bytes(),
            passphrase: from.maybe(Source::bytes),
        },
        23 => SecretsRequest::KeyRotate { profile: profile(from) },
        24 => SecretsRequest::VaultBackup { profile: profile(from), offset: from.number() },
        25 => SecretsRequest::VaultRestoreWrite {
            profile: from.text(),
            offset: from.number(),
            bytes: from.bytes(),
        },
        26 => SecretsRequest::VaultRestore { profile: from.text() },
        _ => SecretsRequest::FactorBegin { source: source(from), change: from.text() },
    }
}

pub(crate) fn audit_request<'a>(from: &mut Source<'a>) -> AuditRequest<'a> {
    match from.byte() % 11 {
        0 => AuditRequest::Status,
        1 => AuditRequest::Posture,
        2 => AuditRequest::Genesis {
            installation: uuid(from),
            org: from.maybe(Source::text),
            machine_binding: from.maybe(Source::text),
        },
        3 => AuditRequest::Append(record(from)),
        4 => AuditRequest::Read { from: from.number() },
        5 => AuditRequest::BeginExport { destination: from.text() },
        6 => AuditRequest::Checkpoint { size: from.number() },
        7 => AuditRequest::Seal,
        8 => AuditRequest::FinishExport {
            destination: from.text(),
            failure: from.maybe(Source::text),
        },
        9 => AuditRequest::PublicKey,
        _ => AuditRequest::RotateKey,
    }
}

fn profile<'a>(from: &mut Source<'a>) -> Option<&'a str> {
    from.maybe(Source::text)
}

fn source<'a>(from: &mut Source<'a>) -> factors::Source<'a> {
    if from.flag() {
        factors::Source::Restore(from.text())
    } else {
        factors::Source::Profile(profile(from))
    }
}

fn new_factor<'a>(from: &mut Source<'a>) -> NewFactor<'a> {
    NewFactor {
        label: from.text(),
        kind: from.choice(FactorKind::ALL),
        parameters: from.text(),
        machine: from.flag(),
        evidence: from.bytes(),
    }
}

/// Only one that can be: others don't decode.
pub(crate) fn policy(from: &mut Source<'_>) -> UnlockPolicy {
    let required: FactorKinds =
        from.some(|from| from.choice(FactorKind::ALL)).into_iter().collect();
    let any =
        UnlockPolicy { mode: AuthMode::Any, required: FactorKinds::EMPTY, additional_required: 0 };
    match from.byte() % 4 {
        0 => any,
        1 => UnlockPolicy { mode: AuthMode::All, ..any },
        _ => UnlockPolicy::new(AuthMode::Policy, required, from.byte() % 17).unwrap_or(any),
    }
}

fn record(from: &mut Source<'_>) -> Record {
    let outcomes = [Outcome::Authorised, Outcome::Done, Outcome::Failed, Outcome::Refused];
    let mut record = Record::new(from.choice(Operation::ALL), from.choice(&outcomes));
    record.profile = from.maybe(text);
    record.subject = from.maybe(text);
    record.actor = from.maybe(|from| RecordedActor {
        uid: number(from),
        pid: number(from).cast_signed(),
        key: from.maybe(Source::array),
        name: from.maybe(text),
    });
    record.detail = BTreeMap::from_iter(from.some(|from| (text(from), text(from))));
    record
}

pub(crate) fn text(from: &mut Source<'_>) -> String {
    from.text().to_owned()
}

pub(crate) fn uuid(from: &mut Source<'_>) -> Uuid {
    Uuid::from_bytes(from.array())
}

pub(crate) fn number(from: &mut Source<'_>) -> u32 {
    u32::try_from(from.number()).unwrap_or(u32::MAX)
}
