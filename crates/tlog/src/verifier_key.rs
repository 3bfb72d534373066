//! Public keys in one line: the verifier keys (vkeys) of C2SP signed-note.

use std::fmt;
use std::hash::{Hash, Hasher};
use std::str::FromStr;
use std::sync::{Arc, OnceLock};

use ml_dsa::MlDsa44;

use crate::encoding::{from_base64, to_base64};
use crate::name::{KeyId, KeyName, KeyNameError};

/// What a key signs, and how: the type byte of C2SP signed-note. Only those that we use.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum SignatureType {
    /// Ed25519 over the text of a note (C2SP signed-note): what a log signs.
    Ed25519 = 0x01,
    /// Ed25519 over a checkpoint and a time (C2SP tlog-cosignature): what a witness signs.
    CosignatureEd25519 = 0x04,
    /// ML-DSA-44 over a checkpoint and a time (C2SP tlog-cosignature): what both sign.
    CosignatureMlDsa44 = 0x06,
}

impl SignatureType {
    const ALL: [Self; 3] = [Self::Ed25519, Self::CosignatureEd25519, Self::CosignatureMlDsa44];

    /// The length of a public key, in bytes: 32 (RFC 8032) or 1312 (FIPS 204).
    #[must_use]
    pub const fn public_key_len(self) -> usize {
        match self {
            Self::Ed25519 | Self::CosignatureEd25519 => 32,
            Self::CosignatureMlDsa44 => 1312,
        }
    }
}

impl fmt::Display for SignatureType {
    /// The algorithm, as a person knows it.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Ed25519 | Self::CosignatureEd25519 => "Ed25519",
            Self::CosignatureMlDsa44 => "ML-DSA-44",
        })
    }
}

/// A public key with its name and what it signs.
///
/// An Ed25519 key is a point in its one encoding and not of small order. For ML-DSA-44 every value
/// of the right length is a key (FIPS 204 §7.2).
#[derive(Clone)]
pub struct VerifierKey {
    name: KeyName,
    id: KeyId,
    signature_type: SignatureType,
    public_key: Vec<u8>,
    /// The ML-DSA-44 key ready for use, which takes as long as a third of a verification.
    expanded: OnceLock<Arc<ml_dsa::VerifyingKey<MlDsa44>>>,
}

/// Why something is not a verifier key.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum VerifierKeyError {
    /// Not three parts with a `+` between them.
    #[error("a verifier key is a name, an id and a key, with a plus sign between them")]
    Parts,
    /// The first part.
    #[error(transparent)]
    Name(#[from] KeyNameError),
    /// The third part is not base64 in its canonical form.
    #[error("the public key is not in canonical base64")]
    Base64,
    /// A type that we don't use, or none.
    #[error("a key of a type that is not supported")]
    Type,
    /// Too short or too long for its type.
    #[error("a public key of {0} has {len} bytes", len = .0.public_key_len())]
    Length(SignatureType),
    /// No point, a second encoding of one, or one of small order.
    #[error("the Ed25519 key is not a valid point")]
    Point,
    /// Not the eight lower-case digits that belong to the name, the type and the key.
    #[error("the key id is {given:?}, and by the name and the key it is {computed}")]
    Id {
        /// The second part.
        given: String,
        /// What it should be.
        computed: KeyId,
    },
}

impl VerifierKey {
    /// A key from its parts.
    ///
    /// # Errors
    /// [`VerifierKeyError::Length`] and [`VerifierKeyError::Point`].
    pub fn new(
        name: KeyName,
        signature_type: SignatureType,
        public_key: &[u8],
    ) -> Result<Self, VerifierKeyError> {
        if public_key.len() != signature_type.public_key_len() {
            return Err(VerifierKeyError::Length(signature_type));
        }
        match signature_type {
            SignatureType::Ed25519 | SignatureType::CosignatureEd25519 => {
                point(public_key).ok_or(VerifierKeyError::Point)?;
            }
            SignatureType::CosignatureMlDsa44 => {}
        }
        let id = KeyId::of(&name, signature_type, public_key);
        let public_key = public_key.to_vec();
        Ok(Self { name, id, signature_type, public_key, expanded: OnceLock::new() })
    }

    /// Whose key it is.
    #[must_use]
    pub fn name(&self) -> &KeyName {
        &self.name
    }

    /// The id that its signatures carry.
    #[must_use]
    pub fn id(&self) -> KeyId {
        self.id
    }

    /// What it signs, and how.
    #[must_use]
    pub fn signature_type(&self) -> SignatureType {
        self.signature_type
    }

    /// The key, encoded as in RFC 8032 or FIPS 204.
    #[must_use]
    pub fn public_key(&self) -> &[u8] {
        &self.public_key
    }

    /// Whether this key signed `message`. The message is what the algorithm signs, and not yet a note
    /// or a checkpoint: see [`cosignature`](crate::cosignature).
    pub(crate) fn signed(&self, message: &[u8], signature: &[u8]) -> bool {
        match self.signature_type {
            SignatureType::Ed25519 | SignatureType::CosignatureEd25519 => {
                let signature = ed25519_dalek::Signature::from_slice(signature);
                // Strict: a second signature can't be made out of a first one.
                point(&self.public_key)
                    .zip(signature.ok())
                    .is_some_and(|(key, signature)| key.verify_strict(message, &signature).is_ok())
            }
            SignatureType::CosignatureMlDsa44 => {
                let signature = ml_dsa::Signature::try_from(signature).ok();
                self.ml_dsa_44().zip(signature).is_some_and(|(key, signature)| {
                    key.verify_with_context(message, &[], &signature)
                })
            }
        }
    }

    fn ml_dsa_44(&self) -> Option<&ml_dsa::VerifyingKey<MlDsa44>> {
        let bytes = self.public_key.as_slice().try_into().ok()?;
        let expand = || Arc::new(ml_dsa::VerifyingKey::decode(bytes));
        Some(self.expanded.get_or_init(expand))
    }
}

/// All that a key is; what it expands to follows from it.
impl PartialEq for VerifierKey {
    fn eq(&self, other: &Self) -> bool {
        (&self.name, self.id, self.signature_type, &self.public_key)
            == (&other.name, other.id, other.signature_type, &other.public_key)
    }
}

impl Eq for VerifierKey {}

impl Hash for VerifierKey {
    fn hash<H: Hasher>(&self, state: &mut H) {
        (&self.name, self.id, self.signature_type, &self.public_key).hash(state);
    }
}

fn point(public_key: &[u8]) -> Option<ed25519_dalek::VerifyingKey> {
    let key = ed25519_dalek::VerifyingKey::from_bytes(public_key.try_into().ok()?).ok()?;
    // The library takes coordinates beyond the prime; RFC 8032 §5.1.3 does not.
    let canonical = key.to_edwards().compress().as_bytes() == public_key;
    (canonical && !key.is_weak()).then_some(key)
}

impl FromStr for VerifierKey {
    type Err = VerifierKeyError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        // Base64 may have a `+` of its own.
        let mut parts = text.splitn(3, '+');
        let (Some(name), Some(id), Some(key)) = (parts.next(), parts.next(), parts.next()) else {
            return Err(VerifierKeyError::Parts);
        };
        let name = KeyName::try_from(name)?;
        let key = from_base64(key).ok_or(VerifierKeyError::Base64)?;
        let (type_byte, public_key) = key.split_first().ok_or(VerifierKeyError::Type)?;
        let signature_type = SignatureType::ALL
            .into_iter()
            .find(|known| *known as u8 == *type_byte)
            .ok_or(VerifierKeyError::Type)?;
        let key = Self::new(name, signature_type, public_key)?;
        if key.id.to_string() != id {
            return Err(VerifierKeyError::Id { given: id.to_owned(), computed: key.id });
        }
        Ok(key)
    }
}

impl fmt::Display for VerifierKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let key = [&[self.signature_type as u8], self.public_key.as_slice()].concat();
        write!(f, "{}+{}+{}", self.name, self.id, to_base64(&key))
    }
}

impl fmt::Debug for VerifierKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "VerifierKey({}+{}, {:?})", self.name, self.id, self.signature_type)
    }
}
