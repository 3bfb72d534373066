//! A 32-byte key under another: AES-256-GCM (NIST SP 800-38D) with associated data.

use aes_gcm::aead::inout::InOutBuf;
use aes_gcm::{Aes256Gcm, KeyInit, aead::AeadInOut};
use secret_memory::{Secret, with_clean_stack};
use serde::{Deserialize, Serialize};

use crate::kdf::{KdfError, random};

/// A wrapped key as it lies on disk. The wrapping key is used once, so a random nonce suffices.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct WrappedKey {
    /// 96-bit nonce.
    #[serde(with = "crate::hex")]
    pub nonce: [u8; 12],
    /// The encrypted key.
    #[serde(with = "crate::hex")]
    pub ciphertext: [u8; 32],
    /// The authentication tag.
    #[serde(with = "crate::hex")]
    pub tag: [u8; 16],
}

/// The wrap does not open: another key, other associated data, or damage.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the wrapped key does not open")]
pub struct DoesNotOpen;

/// Wraps `key` under `wrapping_key`, bound to `associated_data`.
///
/// # Errors
/// [`KdfError::Random`] when the kernel gave no nonce.
pub fn wrap(
    wrapping_key: &Secret<32>,
    key: &Secret<32>,
    associated_data: &[u8],
) -> Result<WrappedKey, KdfError> {
    Ok(encrypt(wrapping_key, key, random()?, associated_data))
}

fn encrypt(
    wrapping_key: &Secret<32>,
    key: &Secret<32>,
    nonce: [u8; 12],
    associated_data: &[u8],
) -> WrappedKey {
    let mut ciphertext = [0; 32];
    let buffer = InOutBuf::new(key.expose(), &mut ciphertext).expect("both are 32 bytes");
    let tag = with_clean_stack(|| {
        Aes256Gcm::new(wrapping_key.expose().into())
            .encrypt_inout_detached(&nonce.into(), associated_data, buffer)
            .expect("32 bytes are within what AES-GCM can encrypt")
    });
    WrappedKey { nonce, ciphertext, tag: tag.into() }
}

/// A wrap without its nonce: for a wrapping key that is used once in its life.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WrappedOnce {
    /// The encrypted key.
    pub ciphertext: [u8; 32],
    /// The authentication tag.
    pub tag: [u8; 16],
}

/// As [`wrap`], for a wrapping key that never wraps anything else.
#[must_use]
pub fn wrap_once(
    wrapping_key: &Secret<32>,
    key: &Secret<32>,
    associated_data: &[u8],
) -> WrappedOnce {
    let WrappedKey { ciphertext, tag, .. } = encrypt(wrapping_key, key, [0; 12], associated_data);
    WrappedOnce { ciphertext, tag }
}

/// Opens what [`wrap_once`] made.
///
/// # Errors
/// [`DoesNotOpen`]; nothing of the key was revealed.
pub fn unwrap_once(
    wrapping_key: &Secret<32>,
    WrappedOnce { ciphertext, tag }: WrappedOnce,
    associated_data: &[u8],
) -> Result<Secret<32>, DoesNotOpen> {
    unwrap(wrapping_key, &WrappedKey { nonce: [0; 12], ciphertext, tag }, associated_data)
}

/// Opens what [`wrap`] made.
///
/// # Errors
/// [`DoesNotOpen`]; nothing of the key was revealed.
pub fn unwrap(
    wrapping_key: &Secret<32>,
    wrapped: &WrappedKey,
    associated_data: &[u8],
) -> Result<Secret<32>, DoesNotOpen> {
    Secret::try_from_fn(|key| {
        let buffer = InOutBuf::new(&wrapped.ciphertext, key).expect("both are 32 bytes");
        let (nonce, tag) = (wrapped.nonce.into(), wrapped.tag.into());
        with_clean_stack(|| {
            Aes256Gcm::new(wrapping_key.expose().into())
                .decrypt_inout_detached(&nonce, associated_data, buffer, &tag)
                .map_err(|_| DoesNotOpen)
        })
    })
}
