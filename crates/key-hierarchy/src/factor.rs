//! One enrolled factor, and the secret that it gives.

use std::fmt;

use secret_memory::{Secret, SecretBytes};
use serde::{Deserialize, Serialize};
use subtle::ConstantTimeEq;

use crate::derive::Derivation;
use crate::kdf::{KdfError, WorkingMemory, random};
use crate::kem::PublicKey;
use crate::parameters::{Check, Parameters};
use crate::policy_tree::Leaf;

/// The longest label, in bytes.
pub const MAX_LABEL_BYTES: usize = 64;

/// What people call a factor: one line of at most [`MAX_LABEL_BYTES`] bytes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Label(String);

/// A text that is no label.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "a label has 1 to {MAX_LABEL_BYTES} bytes, no control characters, and no space at its ends"
)]
pub struct InvalidLabel;

/// What is stored of a factor beside its piece. Nothing of it is secret.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Factor {
    /// Its number within the profile; never given to another.
    pub id: u32,
    /// What people call it.
    pub label: Label,
    /// Whether it binds the profile to a machine, and so is demanded whatever the policy says.
    pub machine: bool,
    /// How to ask for it.
    pub parameters: Parameters,
    /// Random; keeps two factors of one secret apart.
    #[serde(with = "crate::hex")]
    pub salt: [u8; 16],
    /// Tells a right secret from a wrong one without the other factors.
    pub check: Check,
    /// What its pieces are sealed to.
    pub public_key: PublicKey,
}

/// What a factor gives when it is asked, after its derivation: 32 bytes that nobody has without it.
pub struct FactorSecret(Secret<32>);

impl FactorSecret {
    /// Stretches a password; condenses what the others answered.
    ///
    /// # Errors
    /// [`KdfError`].
    pub fn new(
        parameters: &Parameters,
        derivation: Derivation,
        evidence: &[u8],
        memory: &mut WorkingMemory,
    ) -> Result<Self, KdfError> {
        match parameters {
            Parameters::Password(password) => password.kdf.stretch(evidence, memory).map(Self),
            _ => {
                let context = format!("pds v2 factor-secret {}", parameters.kind());
                Ok(Self(derivation.derive(&context, evidence)))
            }
        }
    }

    /// Half of a key that is derived for nothing else; it reveals nothing of the private key.
    fn check(&self, derivation: Derivation, salt: &[u8; 16]) -> Result<Check, KdfError> {
        self.derive(derivation, "pds v2 factor-check", salt).map(|key| check_of(&key))
    }

    /// The private key that the factor's pieces are sealed to.
    pub(crate) fn private_key(
        &self,
        derivation: Derivation,
        salt: &[u8; 16],
    ) -> Result<Secret<32>, KdfError> {
        self.derive(derivation, "pds v2 factor-private-key", salt)
    }

    fn derive(
        &self,
        derivation: Derivation,
        context: &str,
        salt: &[u8; 16],
    ) -> Result<Secret<32>, KdfError> {
        let mut material =
            SecretBytes::copy_of(self.0.expose()).map_err(|_| KdfError::OutOfMemory)?;
        material.extend_from_slice(salt).map_err(|_| KdfError::OutOfMemory)?;
        Ok(derivation.derive(context, material.expose()))
    }
}

/// The half of a key that may be stored as a check value.
pub(crate) fn check_of(key: &Secret<32>) -> Check {
    let (check, _) = key.expose().split_first_chunk().expect("16 of 32 bytes");
    Check(*check)
}

impl Check {
    /// Compares in constant time.
    #[must_use]
    pub fn matches(&self, other: &Self) -> bool {
        self.0.ct_eq(&other.0).into()
    }
}

impl Factor {
    pub(crate) fn new(
        id: u32,
        label: Label,
        machine: bool,
        parameters: Parameters,
        derivation: Derivation,
        secret: &FactorSecret,
    ) -> Result<Self, KdfError> {
        let salt = random()?;
        let check = secret.check(derivation, &salt)?;
        let public_key = PublicKey::of(&secret.private_key(derivation, &salt)?);
        Ok(Self { id, label, machine, parameters, salt, check, public_key })
    }

    /// Whether this is the secret that the factor gave when it was enrolled.
    ///
    /// # Errors
    /// [`KdfError::OutOfMemory`].
    pub fn accepts(&self, derivation: Derivation, secret: &FactorSecret) -> Result<bool, KdfError> {
        Ok(secret.check(derivation, &self.salt)?.matches(&self.check))
    }

    /// What the policy tree has to know of it.
    #[must_use]
    pub fn leaf(&self) -> Leaf {
        Leaf { id: self.id, kind: self.parameters.kind(), machine: self.machine }
    }
}

impl Label {
    /// The text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl TryFrom<&str> for Label {
    type Error = InvalidLabel;

    fn try_from(text: &str) -> Result<Self, InvalidLabel> {
        let fits = (1..=MAX_LABEL_BYTES).contains(&text.len()) && text.trim() == text;
        if fits && !text.contains(char::is_control) {
            return Ok(Self(text.to_owned()));
        }
        Err(InvalidLabel)
    }
}

impl TryFrom<String> for Label {
    type Error = InvalidLabel;

    fn try_from(text: String) -> Result<Self, InvalidLabel> {
        Self::try_from(text.as_str())
    }
}

impl From<Label> for String {
    fn from(label: Label) -> Self {
        label.0
    }
}

impl fmt::Display for Label {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}
