//! What is inside the frames: requests from peers that proved a key, and replies.

use std::sync::LazyLock;

use ipc::audit::{AuditReply, AuditRequest};
use ipc::codec::{decode, encode};
use ipc::secrets::{SecretsReply, SecretsRequest};
use serde::Serialize;

use crate::replies::{audit_reply, secrets_reply};
use crate::requests::{audit_request, secrets_request};
use crate::shape::{Source, shape};

/// At least as many as the enum with most variants has.
const VARIANTS: u8 = 32;

/// One of each message, encoded: the generator's first bytes choose the variant.
static SAMPLES: LazyLock<Vec<Vec<u8>>> = LazyLock::new(|| {
    let mut samples = Vec::new();
    for variant in 0..VARIANTS {
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

/// Names every variant of an enum, and fails to compile when there is one more.
#[cfg(test)]
macro_rules! variants {
    ($message:ident: $($variant:ident)+) => {
        (
            &[$(stringify!($variant)),+],
            |message: $message<'_>| match message {
                $($message::$variant { .. } => stringify!($variant),)+
            },
        )
    };
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    /// Whether the generator, told so by its first byte, makes each of these.
    fn makes<'a, M>(
        generator: fn(&mut Source<'a>) -> M,
        (names, name): (&[&'static str], fn(M) -> &'static str),
    ) {
        let orders: &'static [u8] = Vec::from_iter(0..VARIANTS).leak();
        let made = orders.chunks(1).map(|orders| name(generator(&mut Source(orders))));
        assert_eq!(made.collect::<BTreeSet<_>>(), names.iter().copied().collect());
    }

    #[test]
    fn every_variant_of_every_message_is_made() {
        makes(
            secrets_request,
            variants!(SecretsRequest:
                Status Posture Init Wipe Lock ProfileCreate ProfileActivate ProfileDeactivate
                ProfileDefault SecretSet SecretGet SecretList SecretDelete FactorList FactorBegin
                FactorSubmit FactorCancel FactorTest FactorEnroll FactorRevoke FactorRename
                FactorPolicy ShareSplit ShareVerify KeyRotate VaultBackup VaultRestoreWrite VaultRestore),
        );
        makes(
            audit_request,
            variants!(AuditRequest:
                Status Posture Genesis Append Read Checkpoint Seal BeginExport FinishExport
                PublicKey RotateKey),
        );
        makes(
            secrets_reply,
            variants!(SecretsReply:
                Done Status Posture Initialised Value Written Names Enrolled Progress Factor Shares
                Share Piece Fault),
        );
        makes(
            audit_reply,
            variants!(AuditReply:
                Status Posture Genesis Appended Lines Checkpoint NoCheckpoint Sealed PublicKey
                Fault),
        );
    }
}
