//! ML-KEM-768, FIPS 203.

use ml_kem::kem::{Decapsulate, KeyExport};
use ml_kem::ml_kem_768;
use secret_memory::Secret;

use crate::stack::with_clean_stack;
use crate::{CIPHERTEXT_BYTES, ENCAPSULATION_KEY_BYTES, SHARED_SECRET_BYTES};

/// An encapsulation key, which is public.
pub type EncapsulationKey = [u8; ENCAPSULATION_KEY_BYTES];
/// What the holder of an encapsulation key sends to its owner.
pub type Ciphertext = [u8; CIPHERTEXT_BYTES];

/// How deep encapsulation and decapsulation go, in bytes, with a margin. A test measures it;
/// unoptimised code goes deepest.
pub(crate) const DEPTH: usize = if cfg!(debug_assertions) { 192 << 10 } else { 64 << 10 };

/// Why nothing was encapsulated.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum EncapsulateError {
    /// The bytes are no encapsulation key.
    #[error(
        "these bytes are no ML-KEM-768 encapsulation key: a number in them is too large (FIPS 203, \
         7.2); nothing was encapsulated: ask its owner for the key again"
    )]
    BadKey,
    /// No random bytes to make a secret of.
    #[error("the kernel gave no random bytes, so nothing was encapsulated; try again")]
    NoRandomBytes,
}

/// A new shared secret, and the ciphertext that tells it to the owner of `key` (FIPS 203 §7.2).
///
/// # Errors
/// [`EncapsulateError`].
pub fn encapsulate(
    key: &EncapsulationKey,
) -> Result<(Box<Ciphertext>, Secret<SHARED_SECRET_BYTES>), EncapsulateError> {
    let message = Secret::try_from_fn(|message| getrandom::fill(message))
        .map_err(|_| EncapsulateError::NoRandomBytes)?;
    encapsulate_message(key, &message)
}

/// ML-KEM.Encaps_internal (FIPS 203 §6.2), after the modulus check of §7.2.
pub(crate) fn encapsulate_message(
    key: &EncapsulationKey,
    message: &Secret<32>,
) -> Result<(Box<Ciphertext>, Secret<SHARED_SECRET_BYTES>), EncapsulateError> {
    let key =
        ml_kem_768::EncapsulationKey::new(key.into()).map_err(|_| EncapsulateError::BadKey)?;
    let mut ciphertext = Box::new([0; CIPHERTEXT_BYTES]);
    let shared = Secret::from_fn(|shared: &mut [u8; SHARED_SECRET_BYTES]| {
        with_clean_stack::<DEPTH, _>(|| {
            let (sent, secret) = key.encapsulate_deterministic(message.expose().into());
            ciphertext.copy_from_slice(&sent);
            shared.copy_from_slice(&secret);
        });
    });
    Ok((ciphertext, shared))
}

/// ML-KEM.KeyGen_internal (FIPS 203 §6.1); the key is for secret memory.
pub(crate) fn expand(seed: &[u8; 64]) -> ml_kem_768::DecapsulationKey {
    ml_kem_768::DecapsulationKey::from_seed((*seed).into())
}

pub(crate) fn encapsulation_key(key: &ml_kem_768::DecapsulationKey) -> EncapsulationKey {
    key.encapsulation_key().to_bytes().into()
}

/// ML-KEM.Decaps (FIPS 203 §7.3).
pub(crate) fn decapsulate(
    key: &ml_kem_768::DecapsulationKey,
    ciphertext: &Ciphertext,
) -> Secret<SHARED_SECRET_BYTES> {
    Secret::from_fn(|shared: &mut [u8; SHARED_SECRET_BYTES]| {
        with_clean_stack::<DEPTH, _>(|| {
            shared.copy_from_slice(&key.decapsulate(ciphertext.into()));
        });
    })
}
