//! What is inside the frames: requests from peers that proved a key, and replies.

use std::collections::BTreeMap;
use std::sync::LazyLock;

use audit_log::{Operation, Outcome};
use hardening::posture::{Check, Status as Found};
use ipc::audit::{AuditReply, AuditRequest, Record, RecordedActor, TrailStatus};
use ipc::codec::{decode, encode};
use ipc::secrets::{
    InstallationStatus, ProfileState, ProfileStatus, Purpose, SecretsReply, SecretsRequest, Status,
};
use ipc::{Fault, FaultKind};
use serde::Serialize;
use site_config::AuditHash;
use uuid::Uuid;

use crate::shape::{Source, shape};

/// One of each message, encoded: the generator's first bytes choose the variant.
static SAMPLES: LazyLock<Vec<Vec<u8>>> = LazyLock::new(|| {
    let mut samples = Vec::new();
    for variant in 0..14 {
        let mut orders = vec![variant];
        orders.extend((1..=255).map(|n: u8| if n.is_multiple_of(7) { 3 } else { n | 1 }));
        samples.extend(all(&orders));
    }
    samples
});

/// Bytes that are no message are refused; those that are one mean the same when written again.
///
/// # Panics
/// When they don't.
pub fn messages(orders: &[u8]) {
    let bytes = shape(&SAMPLES, orders);
    stable::<SecretsRequest<'_>>(&bytes);
    stable::<AuditRequest<'_>>(&bytes);
    stable::<SecretsReply<'_>>(&bytes);
    stable::<AuditReply<'_>>(&bytes);
}

/// What is sent is what is received, and nothing follows it.
///
/// # Panics
/// When it isn't.
pub fn round_trip(orders: &[u8]) {
    let [secrets_request, audit_request, secrets_reply, audit_reply] = all(orders);
    same::<SecretsRequest<'_>>(&secrets_request);
    same::<AuditRequest<'_>>(&audit_request);
    same::<SecretsReply<'_>>(&secrets_reply);
    same::<AuditReply<'_>>(&audit_reply);
}

/// A message that borrows from the bytes it was read from.
trait Message {
    /// The message in `bytes`, written again.
    fn rewritten(bytes: &[u8]) -> Option<Vec<u8>>;
}

macro_rules! messages {
    ($($type:ident),+) => {
        $(impl Message for $type<'_> {
            fn rewritten(bytes: &[u8]) -> Option<Vec<u8>> {
                decode::<$type<'_>>(bytes).ok().map(|message| written(&message))
            }
        })+
    };
}

messages!(SecretsRequest, AuditRequest, SecretsReply, AuditReply);

fn written(message: &impl Serialize) -> Vec<u8> {
    encode(message).expect("room in secret memory").expose().to_vec()
}

fn stable<M: Message>(bytes: &[u8]) {
    let Some(once) = M::rewritten(bytes) else { return };
    // Not the same bytes: a map may come unsorted, with one key twice. But never more of them, and
    // from then on always the same.
    assert!(once.len() <= bytes.len(), "it grew: {bytes:?}");
    assert_eq!(M::rewritten(&once), Some(once));
}

fn same<M: Message>(bytes: &[u8]) {
    assert_eq!(M::rewritten(bytes).as_deref(), Some(bytes));
    assert_eq!(M::rewritten(&[bytes, &[0]].concat()), None, "something followed: {bytes:?}");
    assert_eq!(M::rewritten(&bytes[..bytes.len() - 1]), None, "something is missing: {bytes:?}");
}

/// One message of each kind.
fn all(orders: &[u8]) -> [Vec<u8>; 4] {
    [
        written(&secrets_request(&mut Source(orders))),
        written(&audit_request(&mut Source(orders))),
        written(&secrets_reply(&mut Source(orders))),
        written(&audit_reply(&mut Source(orders))),
    ]
}

fn secrets_request<'a>(from: &mut Source<'a>) -> SecretsRequest<'a> {
    match from.byte() % 14 {
        0 => SecretsRequest::Status,
        1 => SecretsRequest::Posture,
        2 => SecretsRequest::Init {
            org: from.maybe(Source::text),
            bind_machine: from.flag(),
            profile: from.text(),
            password: from.bytes(),
        },
        3 => SecretsRequest::Wipe { installation: uuid(from) },
        4 => SecretsRequest::Unlock { profile: from.maybe(Source::text), password: from.bytes() },
        5 => SecretsRequest::Lock { profile: from.maybe(Source::text) },
        6 => SecretsRequest::ProfileCreate { profile: from.text(), password: from.bytes() },
        7 => SecretsRequest::ProfileActivate { profile: from.text() },
        8 => SecretsRequest::ProfileDeactivate { profile: from.text() },
        9 => SecretsRequest::ProfileDefault { profile: from.text() },
        10 => SecretsRequest::SecretSet {
            profile: from.maybe(Source::text),
            name: from.text(),
            value: from.bytes(),
        },
        11 => SecretsRequest::SecretGet {
            profile: from.maybe(Source::text),
            name: from.text(),
            purpose: from.choice(&[Purpose::Read, Purpose::Run]),
        },
        12 => SecretsRequest::SecretList {
            profile: from.maybe(Source::text),
            after: from.maybe(Source::text),
        },
        _ => SecretsRequest::SecretDelete { profile: from.maybe(Source::text), name: from.text() },
    }
}

fn audit_request<'a>(from: &mut Source<'a>) -> AuditRequest<'a> {
    match from.byte() % 11 {
        0 => AuditRequest::Status,
        1 => AuditRequest::Posture,
        2 => AuditRequest::Genesis {
            installation: uuid(from),
            org: from.maybe(Source::text),
            machine_binding: from.maybe(Source::array),
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

fn secrets_reply<'a>(from: &mut Source<'a>) -> SecretsReply<'a> {
    match from.byte() % 8 {
        0 => SecretsReply::Done,
        1 => SecretsReply::Status(status(from)),
        2 => SecretsReply::Posture(from.some(check)),
        3 => SecretsReply::Initialised { installation: uuid(from), resumed: from.flag() },
        4 => SecretsReply::Value(from.bytes()),
        5 => SecretsReply::Written { replaced: from.flag() },
        6 => SecretsReply::Names(from.some(text)),
        _ => SecretsReply::Fault(fault(from)),
    }
}

fn audit_reply<'a>(from: &mut Source<'a>) -> AuditReply<'a> {
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

fn status(from: &mut Source<'_>) -> Status {
    let states = [ProfileState::Locked, ProfileState::Unlocked, ProfileState::Active];
    Status {
        version: text(from),
        installation: from.maybe(|from| InstallationStatus {
            id: uuid(from),
            org: from.maybe(text),
            created: text(from),
            machine_bound: from.flag(),
        }),
        profiles: from.some(|from| ProfileStatus {
            name: text(from),
            default: from.flag(),
            state: from.choice(&states),
            factors: from.some(text),
            failures: number(from),
            retry_after_seconds: from.number(),
        }),
        auto_lock_seconds: from.number(),
    }
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

fn text(from: &mut Source<'_>) -> String {
    from.text().to_owned()
}

fn uuid(from: &mut Source<'_>) -> Uuid {
    Uuid::from_bytes(from.array())
}

fn number(from: &mut Source<'_>) -> u32 {
    u32::try_from(from.number()).unwrap_or(u32::MAX)
}
