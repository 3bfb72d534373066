//! What exactly is signed, and whether a signature is right: C2SP tlog-cosignature.

use crate::checkpoint::Checkpoint;
use crate::keys::{PublicKeys, Role};
use crate::name::KeyName;
use crate::note::Signature;
use crate::verifier_key::{SignatureType, VerifierKey};

/// The latest time of a signature, in POSIX seconds: 2^63 - 1.
pub const MAX_TIME: u64 = i64::MAX as u64;

/// Begins what ML-DSA-44 signs, so that it is nothing else that such a key could sign.
const SUBTREE_LABEL: &[u8; 12] = b"subtree/v1\n\0";

/// Why a checkpoint is not signed as it should be.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SignatureError {
    /// Of two signatures that must be there, one is not.
    #[error("{name} has not signed with {algorithm}")]
    Missing {
        /// Whose.
        name: KeyName,
        /// By which of its keys.
        algorithm: SignatureType,
    },
    /// A signature is not one of this key over this checkpoint.
    #[error("the {algorithm} signature of {name} is wrong")]
    Wrong {
        /// Whose.
        name: KeyName,
        /// By which of its keys.
        algorithm: SignatureType,
    },
    /// Two lines claim to be of one key. Which time would hold?
    #[error("{name} has signed twice with {algorithm}")]
    Duplicate {
        /// Whose.
        name: KeyName,
        /// By which of its keys.
        algorithm: SignatureType,
    },
    /// A time of 0, which states nothing, or beyond [`MAX_TIME`].
    #[error("the {algorithm} signature of {name} has {time} for its time")]
    Time {
        /// Whose.
        name: KeyName,
        /// By which of its keys.
        algorithm: SignatureType,
        /// In POSIX seconds.
        time: u64,
    },
    /// The two signatures of a witness are of two times.
    #[error("{name} has signed at {ed25519} with Ed25519 and at {ml_dsa_44} with ML-DSA-44")]
    TimesDiffer {
        /// Whose.
        name: KeyName,
        /// In POSIX seconds.
        ed25519: u64,
        /// In POSIX seconds.
        ml_dsa_44: u64,
    },
    /// A checkpoint of another log than the one that these keys are of.
    #[error("the checkpoint is of {origin}, and the keys are those of {name}")]
    OriginMismatch {
        /// Whose checkpoint.
        origin: KeyName,
        /// Whose keys.
        name: KeyName,
    },
}

impl SignatureError {
    pub(crate) fn missing(key: &VerifierKey) -> Self {
        Self::Missing { name: key.name().clone(), algorithm: key.signature_type() }
    }

    fn wrong(key: &VerifierKey) -> Self {
        Self::Wrong { name: key.name().clone(), algorithm: key.signature_type() }
    }
}

/// The bytes that `key` signs, so as to sign this checkpoint at this time (in POSIX seconds).
#[must_use]
pub fn message(key: &VerifierKey, checkpoint: &Checkpoint, time: u64) -> Vec<u8> {
    match key.signature_type() {
        SignatureType::Ed25519 => checkpoint.text().into_bytes(),
        SignatureType::CosignatureEd25519 => {
            format!("cosignature/v1\ntime {time}\n{}", checkpoint.text()).into_bytes()
        }
        SignatureType::CosignatureMlDsa44 => cosigned_message(key.name(), checkpoint, time),
    }
}

/// The structure `cosigned_message`, in the encoding of RFC 8446 §3.
fn cosigned_message(cosigner: &KeyName, checkpoint: &Checkpoint, time: u64) -> Vec<u8> {
    let start = 0_u64; // a checkpoint is the subtree from the first leaf on
    [
        SUBTREE_LABEL.as_slice(),
        &[length(cosigner)],
        cosigner.as_str().as_bytes(),
        &time.to_be_bytes(),
        &[length(&checkpoint.origin)],
        checkpoint.origin.as_str().as_bytes(),
        &start.to_be_bytes(),
        &checkpoint.size.to_be_bytes(),
        &checkpoint.root,
    ]
    .concat()
}

fn length(name: &KeyName) -> u8 {
    u8::try_from(name.as_str().len()).expect("a name has 255 bytes at most")
}

/// The bytes of a signature line behind the key id: what the algorithm gave, and before it the time
/// for those types that have one.
pub(crate) fn with_time(key: &VerifierKey, time: u64, signature: &[u8]) -> Vec<u8> {
    match key.signature_type() {
        SignatureType::Ed25519 => signature.to_vec(),
        SignatureType::CosignatureEd25519 | SignatureType::CosignatureMlDsa44 => {
            [&time.to_be_bytes(), signature].concat()
        }
    }
}

/// When the holder of `keys` signed with both, in POSIX seconds; `None` when neither signature is
/// there.
pub(crate) fn time_of(
    checkpoint: &Checkpoint,
    signatures: &[Signature],
    keys: &PublicKeys,
) -> Result<Option<u64>, SignatureError> {
    if keys.role() == Role::Log && keys.name() != &checkpoint.origin {
        let (origin, name) = (checkpoint.origin.clone(), keys.name().clone());
        return Err(SignatureError::OriginMismatch { origin, name });
    }
    let found = (find(signatures, keys.ed25519())?, find(signatures, keys.ml_dsa_44())?);
    let (first, second) = match found {
        (None, None) => return Ok(None),
        (None, Some(_)) => return Err(SignatureError::missing(keys.ed25519())),
        (Some(_), None) => return Err(SignatureError::missing(keys.ml_dsa_44())),
        (Some(first), Some(second)) => (first, second),
    };
    let first = check(checkpoint, first, keys.ed25519())?;
    let second = check(checkpoint, second, keys.ml_dsa_44())?;
    match (first, second) {
        (Some(ed25519), Some(ml_dsa_44)) if ed25519 != ml_dsa_44 => {
            let name = keys.name().clone();
            Err(SignatureError::TimesDiffer { name, ed25519, ml_dsa_44 })
        }
        // A log's Ed25519 signature has no time.
        (_, second) => Ok(second),
    }
}

/// The one signature of this key.
fn find<'a>(
    signatures: &'a [Signature],
    key: &VerifierKey,
) -> Result<Option<&'a Signature>, SignatureError> {
    let mut of_key = signatures.iter().filter(|s| (s.name(), s.id()) == (key.name(), key.id()));
    let found = of_key.next();
    if of_key.next().is_some() {
        let (name, algorithm) = (key.name().clone(), key.signature_type());
        return Err(SignatureError::Duplicate { name, algorithm });
    }
    Ok(found)
}

/// Verifies one signature; its time, for those types that have one.
fn check(
    checkpoint: &Checkpoint,
    signature: &Signature,
    key: &VerifierKey,
) -> Result<Option<u64>, SignatureError> {
    let wrong = || SignatureError::wrong(key);
    let (time, bytes) = match key.signature_type() {
        SignatureType::Ed25519 => (None, signature.bytes()),
        SignatureType::CosignatureEd25519 | SignatureType::CosignatureMlDsa44 => {
            let (time, bytes) = signature.bytes().split_first_chunk().ok_or_else(wrong)?;
            (Some(u64::from_be_bytes(*time)), bytes)
        }
    };
    if !key.signed(&message(key, checkpoint, time.unwrap_or(0)), bytes) {
        return Err(wrong());
    }
    match time {
        Some(time) if time == 0 || time > MAX_TIME => {
            let (name, algorithm) = (key.name().clone(), key.signature_type());
            Err(SignatureError::Time { name, algorithm, time })
        }
        time => Ok(time),
    }
}
