//! The two public keys that one signer has, and the file that holds them.

use std::fmt;
use std::str::FromStr;

use crate::name::KeyName;
use crate::verifier_key::{SignatureType, VerifierKey, VerifierKeyError};

/// The largest key file, in bytes. The two keys have some 2400 with the longest name.
pub const MAX_KEY_FILE: usize = 16 << 10;

/// What a signer states by signing a checkpoint.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Role {
    /// That this is its log.
    Log,
    /// That it saw this state of somebody's log, and none that contradicts it.
    Witness,
}

impl Role {
    /// What an Ed25519 key of this role signs. ML-DSA-44 keys of both sign the same.
    #[must_use]
    pub const fn ed25519_type(self) -> SignatureType {
        match self {
            Self::Log => SignatureType::Ed25519,
            Self::Witness => SignatureType::CosignatureEd25519,
        }
    }
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Log => "log",
            Self::Witness => "witness",
        })
    }
}

/// The public keys of a log or a witness: Ed25519 and ML-DSA-44, under one name.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct PublicKeys {
    role: Role,
    ed25519: VerifierKey,
    ml_dsa_44: VerifierKey,
}

/// Why a text does not hold the public keys of a signer.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum KeyFileError {
    /// Longer than [`MAX_KEY_FILE`].
    #[error("a key file has {MAX_KEY_FILE} bytes at most")]
    TooLong,
    /// Not UTF-8.
    #[error("the key file is not in UTF-8")]
    Utf8,
    /// Written by an editor that ends lines with two characters.
    #[error("the key file has carriage returns: save it with Unix line ends")]
    CarriageReturn,
    /// Not two lines with a key each.
    #[error("a key file has two verifier keys, and this one has {0}")]
    Count(usize),
    /// One of the lines is not a verifier key.
    #[error("line {line} of the key file is not a verifier key: {reason}")]
    Key {
        /// Counted from 1.
        line: usize,
        /// Why.
        reason: VerifierKeyError,
    },
    /// Two keys, but not one of either algorithm.
    #[error("the two keys are not one for Ed25519 and one for ML-DSA-44")]
    Algorithms,
    /// Two keys of two signers.
    #[error("the two keys have two names, {ed25519} and {ml_dsa_44}")]
    Names {
        /// The name of the first.
        ed25519: KeyName,
        /// The name of the second.
        ml_dsa_44: KeyName,
    },
}

impl PublicKeys {
    /// The keys of one signer, whose role follows from what its Ed25519 key signs.
    ///
    /// # Errors
    /// [`KeyFileError::Algorithms`] and [`KeyFileError::Names`].
    pub fn new(ed25519: VerifierKey, ml_dsa_44: VerifierKey) -> Result<Self, KeyFileError> {
        let role = match (ed25519.signature_type(), ml_dsa_44.signature_type()) {
            (SignatureType::Ed25519, SignatureType::CosignatureMlDsa44) => Role::Log,
            (SignatureType::CosignatureEd25519, SignatureType::CosignatureMlDsa44) => Role::Witness,
            _ => return Err(KeyFileError::Algorithms),
        };
        if ed25519.name() != ml_dsa_44.name() {
            let (ed25519, ml_dsa_44) = (ed25519.name().clone(), ml_dsa_44.name().clone());
            return Err(KeyFileError::Names { ed25519, ml_dsa_44 });
        }
        Ok(Self { role, ed25519, ml_dsa_44 })
    }

    /// Reads a key file: one verifier key a line, in either order. Blank lines and lines that begin
    /// with `#` are ignored.
    ///
    /// # Errors
    /// [`KeyFileError`]; bytes of any length and content are safe to pass.
    pub fn parse(bytes: &[u8]) -> Result<Self, KeyFileError> {
        if bytes.len() > MAX_KEY_FILE {
            return Err(KeyFileError::TooLong);
        }
        let text = std::str::from_utf8(bytes).map_err(|_| KeyFileError::Utf8)?;
        if text.contains('\r') {
            return Err(KeyFileError::CarriageReturn);
        }
        let lines = text.split('\n').zip(1..);
        let mut keys = lines
            .filter(|(text, _)| !text.trim().is_empty() && !text.starts_with('#'))
            .map(|(text, line)| text.parse().map_err(|reason| KeyFileError::Key { line, reason }))
            .collect::<Result<Vec<VerifierKey>, _>>()?;
        keys.sort_by_key(|key| key.signature_type() == SignatureType::CosignatureMlDsa44);
        let [ed25519, ml_dsa_44] =
            keys.try_into().map_err(|keys: Vec<_>| KeyFileError::Count(keys.len()))?;
        Self::new(ed25519, ml_dsa_44)
    }

    /// Whether they are the keys of a log or of a witness.
    #[must_use]
    pub fn role(&self) -> Role {
        self.role
    }

    /// The name of both; for a log it is the origin of its checkpoints.
    #[must_use]
    pub fn name(&self) -> &KeyName {
        self.ed25519.name()
    }

    /// The Ed25519 key.
    #[must_use]
    pub fn ed25519(&self) -> &VerifierKey {
        &self.ed25519
    }

    /// The ML-DSA-44 key.
    #[must_use]
    pub fn ml_dsa_44(&self) -> &VerifierKey {
        &self.ml_dsa_44
    }
}

impl FromStr for PublicKeys {
    type Err = KeyFileError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::parse(text.as_bytes())
    }
}

impl fmt::Display for PublicKeys {
    /// A key file: Ed25519 first, each line with its newline.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}\n{}", self.ed25519, self.ml_dsa_44)
    }
}

impl fmt::Debug for PublicKeys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (ed25519, ml_dsa_44) = (self.ed25519.id(), self.ml_dsa_44.id());
        write!(f, "PublicKeys({} {}, {ed25519}, {ml_dsa_44})", self.role, self.name())
    }
}
