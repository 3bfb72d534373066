//! What is stored of an identity, and all its keys grow from.

use secret_memory::Secret;

use crate::SEED_BYTES;

const ML_KEM: usize = 32;
const ML_DSA: usize = ML_KEM + 64;

/// The seeds of an identity: the X25519 scalar before it is clamped (RFC 7748 §5), d and z of
/// ML-KEM-768 (FIPS 203 §7.1), and ξ of ML-DSA-65 (FIPS 204 §5.1), in this order.
#[derive(Debug)]
pub struct Seeds(Secret<SEED_BYTES>);

/// The kernel gave no random bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the kernel gave no random bytes, so there is no new key; nothing was changed, try again")]
pub struct NoRandomBytes;

impl Seeds {
    /// New seeds, straight from getrandom(2) into secret memory.
    ///
    /// # Errors
    /// [`NoRandomBytes`].
    pub fn generate() -> Result<Self, NoRandomBytes> {
        Secret::try_from_fn(|seeds| getrandom::fill(seeds)).map(Self).map_err(|_| NoRandomBytes)
    }

    /// The seeds as they were stored. Any bytes are seeds; whether they are those that were stored is
    /// for the storage to tell.
    #[must_use]
    pub fn from_bytes(bytes: Secret<SEED_BYTES>) -> Self {
        Self(bytes)
    }

    /// The seeds, to store, encrypted.
    #[must_use]
    pub fn expose(&self) -> &[u8; SEED_BYTES] {
        self.0.expose()
    }

    pub(crate) fn x25519(&self) -> &[u8; 32] {
        self.part(0)
    }

    pub(crate) fn ml_kem_768(&self) -> &[u8; 64] {
        self.part(ML_KEM)
    }

    pub(crate) fn ml_dsa_65(&self) -> &[u8; 32] {
        self.part(ML_DSA)
    }

    fn part<const N: usize>(&self, start: usize) -> &[u8; N] {
        self.expose()[start..].first_chunk().expect("the parts fill the seeds")
    }
}
