//! Recovery shares as custodians hold them: on paper, as words or a QR code.
//!
//! A recovery secret is random, split by [`threshold`](crate::threshold), and kept nowhere. Put
//! together again it is the evidence of one factor. A share says to which installation and split it
//! belongs, so that a wrong one is told before anything is put together, and may be locked with a
//! passphrase of its custodian.
//!
//! ```text
//! lock (1) ‖ installation (4) ‖ split (8) ‖ number (1) ‖ threshold (1) ‖ part (32) or locked part (48)
//! ```

use secret_memory::{OutOfSecretMemory, Secret, SecretBytes};
use uuid::Uuid;

use crate::derive::Derivation;
use crate::factor::check_of;
use crate::kdf::{KdfError, KdfParameters, SALT_BYTES, WorkingMemory, random, random_key};
use crate::parameters::{Check, ShareParameters};
use crate::threshold::{self, InvalidThreshold};
use crate::wrap::{WrappedOnce, unwrap_once, wrap_once};

/// Bytes before the part.
const HEADER_BYTES: usize = 15;
/// Bytes of a share without a passphrase.
pub const PLAIN_BYTES: usize = HEADER_BYTES + 32;
/// Bytes of a share with one: the part grows by a tag.
pub const LOCKED_BYTES: usize = PLAIN_BYTES + 16;

/// How a part is locked. The costs belong to the number: a stronger set would be another number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lock {
    /// Not at all.
    None,
    /// Argon2id, 19456 KiB, two passes, one lane.
    Argon2id,
    /// PBKDF2-HMAC-SHA256, 600 000 rounds.
    Pbkdf2Sha256,
}

/// What a share says of itself. Nothing of it is secret.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Header {
    /// How its part is locked.
    pub lock: Lock,
    /// The first bytes of the installation's UUID.
    pub installation: [u8; 4],
    /// Which split it is of.
    pub split: [u8; 8],
    /// Which share, from 1.
    pub number: u8,
    /// How many shares give the secret back.
    pub threshold: u8,
}

/// A share that was read. Its part may still be locked.
pub struct Share {
    /// What it says of itself.
    pub header: Header,
    body: SecretBytes,
}

/// One custodian's part of the recovery secret.
pub struct Part(Secret<32>);

/// A recovery secret that was just split.
pub struct Split {
    /// What is stored of it.
    pub parameters: ShareParameters,
    /// The secret: the evidence of the new factor.
    pub recovery: Secret<32>,
    /// The parts, for shares 1, 2, and so on.
    pub parts: Vec<Part>,
}

/// Why a share is not accepted.
#[derive(Debug, thiserror::Error)]
pub enum ShareError {
    /// Not a share.
    #[error("that is no recovery share of this program")]
    Malformed,
    /// Of another installation.
    #[error("share {number} belongs to another installation")]
    OtherInstallation {
        /// Which share it says it is.
        number: u8,
    },
    /// Of another split.
    #[error(
        "share {number} is of another split, and can't be combined with the shares of this one"
    )]
    OtherSplit {
        /// Which share it says it is.
        number: u8,
    },
    /// Its header is right and its part is not.
    #[error("share {number} is damaged: it is not what was handed out")]
    Damaged {
        /// Which share it says it is.
        number: u8,
    },
    /// It is locked.
    #[error("share {number} is locked with its custodian's passphrase")]
    PassphraseNeeded {
        /// Which share it says it is.
        number: u8,
    },
    /// The passphrase does not open it.
    #[error("the passphrase of share {number} is wrong, or the share is damaged")]
    WrongPassphrase {
        /// Which share it says it is.
        number: u8,
    },
    /// The passphrase could not be tried.
    #[error(transparent)]
    Kdf(#[from] KdfError),
}

impl Split {
    /// A new recovery secret in `shares` parts, of which `threshold` give it back.
    ///
    /// # Errors
    /// [`SplitError`].
    pub fn new(
        installation: &Uuid,
        derivation: Derivation,
        threshold: u8,
        shares: u8,
    ) -> Result<Self, SplitError> {
        let [a, b, c, d, ..] = *installation.as_bytes();
        let installation = [a, b, c, d];
        let recovery = random_key()?;
        let split = random()?;
        let parts = threshold::split(&recovery, threshold, shares)?;
        let parts: Vec<Part> = parts.into_iter().map(Part).collect();
        let checks = (1..).zip(&parts).map(|(number, part)| part.check(derivation, split, number));
        let checks = checks.collect::<Result<_, KdfError>>()?;
        let parameters = ShareParameters { installation, split, threshold, checks };
        Ok(Self { parameters, recovery, parts })
    }
}

/// Why nothing was split.
#[derive(Debug, thiserror::Error)]
pub enum SplitError {
    /// The numbers can't be.
    #[error(transparent)]
    Threshold(#[from] InvalidThreshold),
    /// No keys could be made.
    #[error(transparent)]
    Kdf(#[from] KdfError),
}

impl ShareParameters {
    /// The header of a share of this split.
    #[must_use]
    pub const fn header(&self, number: u8, lock: Lock) -> Header {
        let Self { installation, split, threshold, .. } = *self;
        Header { lock, installation, split, number, threshold }
    }

    /// Accepts a share of this split, and no other: its part, checked by itself.
    ///
    /// # Errors
    /// [`ShareError`], which says what is wrong with it.
    pub fn accept(
        &self,
        derivation: Derivation,
        share: &Share,
        passphrase: Option<&[u8]>,
        memory: &mut WorkingMemory,
    ) -> Result<Part, ShareError> {
        let number = share.header.number;
        let expected = self.header(number, share.header.lock);
        if share.header.installation != expected.installation {
            return Err(ShareError::OtherInstallation { number });
        }
        if share.header.split != expected.split {
            return Err(ShareError::OtherSplit { number });
        }
        let check = number.checked_sub(1).and_then(|at| self.checks.get(usize::from(at)));
        let Some(check) = check.filter(|_| share.header == expected) else {
            return Err(ShareError::Damaged { number });
        };
        let part = share.part(passphrase, memory)?;
        if part.check(derivation, self.split, number)?.matches(check) {
            Ok(part)
        } else {
            Err(ShareError::Damaged { number })
        }
    }

    /// The recovery secret, out of exactly as many parts as are needed. `None` for another number of
    /// them, or one twice.
    #[must_use]
    pub fn combine(&self, parts: &[(u8, &Part)]) -> Option<Secret<32>> {
        let parts: Vec<(u8, &Secret<32>)> =
            parts.iter().map(|(number, part)| (*number, &part.0)).collect();
        threshold::combine(self.threshold, &parts)
    }
}

impl Part {
    /// The share as its custodian gets it, locked with a passphrase if one is given.
    ///
    /// # Errors
    /// [`KdfError`].
    pub fn write(
        &self,
        header: Header,
        passphrase: &[u8],
        memory: &mut WorkingMemory,
    ) -> Result<SecretBytes, KdfError> {
        let head = header.bytes();
        let mut share = SecretBytes::copy_of(&head).map_err(out_of_memory)?;
        match header.lock.kdf(&head) {
            None => share.extend_from_slice(self.0.expose()).map_err(out_of_memory)?,
            Some(kdf) => {
                let key = kdf.stretch(passphrase, memory)?;
                let WrappedOnce { ciphertext, tag } = wrap_once(&key, &self.0, &head);
                share.extend_from_slice(&ciphertext).map_err(out_of_memory)?;
                share.extend_from_slice(&tag).map_err(out_of_memory)?;
            }
        }
        Ok(share)
    }

    /// Tells this part from every other one. It is random, so its check value says nothing of it.
    fn check(&self, derivation: Derivation, split: [u8; 8], number: u8) -> Result<Check, KdfError> {
        let mut material = SecretBytes::copy_of(self.0.expose()).map_err(out_of_memory)?;
        material.extend_from_slice(&split).map_err(out_of_memory)?;
        material.extend_from_slice(&[number]).map_err(out_of_memory)?;
        Ok(check_of(&derivation.derive("pds v2 share-check", material.expose())))
    }
}

impl Share {
    /// Reads a share.
    ///
    /// # Errors
    /// [`ShareError::Malformed`], [`ShareError::Kdf`]; bytes of any length and content are safe.
    pub fn parse(bytes: &[u8]) -> Result<Self, ShareError> {
        let (head, body) =
            bytes.split_first_chunk::<HEADER_BYTES>().ok_or(ShareError::Malformed)?;
        let header = Header::parse(*head).ok_or(ShareError::Malformed)?;
        let expected = if header.lock == Lock::None { PLAIN_BYTES } else { LOCKED_BYTES };
        if bytes.len() != expected {
            return Err(ShareError::Malformed);
        }
        let body = SecretBytes::copy_of(body).map_err(out_of_memory)?;
        Ok(Self { header, body })
    }

    fn part(
        &self,
        passphrase: Option<&[u8]>,
        memory: &mut WorkingMemory,
    ) -> Result<Part, ShareError> {
        let number = self.header.number;
        let (part, tag) =
            self.body.expose().split_first_chunk::<32>().ok_or(ShareError::Malformed)?;
        let head = self.header.bytes();
        let Some(kdf) = self.header.lock.kdf(&head) else { return Ok(Part(Secret::copy_of(part))) };
        let passphrase = passphrase.ok_or(ShareError::PassphraseNeeded { number })?;
        let tag = tag.try_into().map_err(|_| ShareError::Malformed)?;
        let key = kdf.stretch(passphrase, memory)?;
        unwrap_once(&key, WrappedOnce { ciphertext: *part, tag }, &head)
            .map(Part)
            .map_err(|_| ShareError::WrongPassphrase { number })
    }
}

impl Header {
    fn bytes(&self) -> [u8; HEADER_BYTES] {
        let mut bytes = [0; HEADER_BYTES];
        bytes[0] = self.lock as u8;
        bytes[1..5].copy_from_slice(&self.installation);
        bytes[5..13].copy_from_slice(&self.split);
        bytes[13] = self.number;
        bytes[14] = self.threshold;
        bytes
    }

    fn parse(bytes: [u8; HEADER_BYTES]) -> Option<Self> {
        let [lock, i0, i1, i2, i3, s0, s1, s2, s3, s4, s5, s6, s7, number, threshold] = bytes;
        let lock = match lock {
            0 => Lock::None,
            1 => Lock::Argon2id,
            2 => Lock::Pbkdf2Sha256,
            _ => return None,
        };
        let (installation, split) = ([i0, i1, i2, i3], [s0, s1, s2, s3, s4, s5, s6, s7]);
        Some(Self { lock, installation, split, number, threshold })
    }
}

impl Lock {
    /// The salt derives from the header, which no other share has, so that paper need not carry it.
    fn kdf(self, header: &[u8; HEADER_BYTES]) -> Option<KdfParameters> {
        let key = Derivation::Blake3.derive("pds v2 share-salt", header);
        let (salt, _) = key.expose().split_first_chunk::<SALT_BYTES>().expect("16 of 32 bytes");
        let salt = *salt;
        match self {
            Self::None => None,
            Self::Argon2id => Some(KdfParameters::Argon2id {
                memory_kib: 19456,
                iterations: 2,
                parallelism: 1,
                salt,
            }),
            Self::Pbkdf2Sha256 => Some(KdfParameters::Pbkdf2Sha256 { iterations: 600_000, salt }),
        }
    }
}

fn out_of_memory(_: OutOfSecretMemory) -> KdfError {
    KdfError::OutOfMemory
}
