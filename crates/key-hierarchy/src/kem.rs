//! A piece sealed to a factor's public key, so that a policy can change while the factor is absent.
//!
//! X-Wing (draft-connolly-cfrg-xwing-kem): X25519 with ML-KEM-768 (FIPS 203), then [`wrap`]. The private
//! key is 32 bytes that derive from the factor's secret; nothing else of it is stored anywhere.

use getrandom::SysRng;
use getrandom::rand_core::UnwrapErr;
use secret_memory::{Secret, with_clean_deep_stack};
use serde::{Deserialize, Serialize};
use x_wing::{
    Ciphertext, Decapsulate, DecapsulationKey, Decapsulator, Encapsulate, EncapsulationKey,
    KeyExport, KeyInit,
};

use crate::derive::Derivation;
use crate::kdf::KdfError;
use crate::wrap::{self, DoesNotOpen, WrappedKey};

/// Bytes of a public key.
pub const PUBLIC_KEY_BYTES: usize = x_wing::ENCAPSULATION_KEY_SIZE;
/// How much stack ML-KEM takes, in bytes, with a margin; unoptimised code takes the most.
const DEPTH: usize = 256 << 10;
const PURPOSE: &str = "pds v2 factor-kek";

/// An X-Wing public key: 1216 bytes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct PublicKey(#[serde(with = "crate::hex::vec")] Vec<u8>);

/// A key that only the holder of the private key opens.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SealedKey {
    /// The X-Wing ciphertext, 1120 bytes.
    #[serde(with = "crate::hex::vec")]
    pub encapsulated: Vec<u8>,
    /// The key under what it encapsulates.
    pub wrapped: WrappedKey,
}

impl PublicKey {
    /// The public key of a private one.
    #[must_use]
    pub fn of(private: &Secret<32>) -> Self {
        with_clean_deep_stack::<DEPTH, _>(|| {
            let key = DecapsulationKey::new(private.expose().into());
            Self(key.encapsulation_key().to_bytes().to_vec())
        })
    }

    /// Seals `key` to this public key, bound to `associated_data`.
    ///
    /// # Errors
    /// [`KdfError::Parameters`] when these bytes are no public key; [`KdfError::Random`].
    pub fn seal(
        &self,
        derivation: Derivation,
        key: &Secret<32>,
        associated_data: &[u8],
    ) -> Result<SealedKey, KdfError> {
        let public =
            EncapsulationKey::try_from(self.0.as_slice()).map_err(|_| KdfError::Parameters)?;
        let mut encapsulated = Vec::new();
        let shared: Secret<32> = Secret::from_fn(|shared| {
            with_clean_deep_stack::<DEPTH, _>(|| {
                let (ciphertext, key) = public.encapsulate_with_rng(&mut UnwrapErr(SysRng));
                encapsulated = ciphertext.to_vec();
                shared.copy_from_slice(&key);
            });
        });
        let kek = derivation.derive(PURPOSE, shared.expose());
        Ok(SealedKey { encapsulated, wrapped: wrap::wrap(&kek, key, associated_data)? })
    }
}

impl SealedKey {
    /// Opens what [`PublicKey::seal`] made.
    ///
    /// # Errors
    /// [`DoesNotOpen`]: another private key, other associated data, or damage.
    pub fn open(
        &self,
        derivation: Derivation,
        private: &Secret<32>,
        associated_data: &[u8],
    ) -> Result<Secret<32>, DoesNotOpen> {
        let ciphertext =
            Ciphertext::try_from(self.encapsulated.as_slice()).map_err(|_| DoesNotOpen)?;
        let shared: Secret<32> = Secret::from_fn(|shared| {
            with_clean_deep_stack::<DEPTH, _>(|| {
                let key = DecapsulationKey::new(private.expose().into());
                shared.copy_from_slice(&key.decapsulate(&ciphertext));
            });
        });
        let kek = derivation.derive(PURPOSE, shared.expose());
        wrap::unwrap(&kek, &self.wrapped, associated_data)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sealed_key_opens_with_its_private_key_and_data_only() {
        let [private, other, key] = [1, 2, 3].map(|byte| Secret::copy_of(&[byte; 32]));
        let sealed = PublicKey::of(&private).seal(Derivation::Blake3, &key, b"here").unwrap();
        let open = |private, data: &[u8]| {
            sealed.open(Derivation::Blake3, private, data).map(|key| *key.expose())
        };
        assert_eq!(open(&private, b"here"), Ok([3; 32]));
        assert_eq!(open(&private, b"there"), Err(DoesNotOpen));
        assert_eq!(open(&other, b"here"), Err(DoesNotOpen));
    }

    #[test]
    fn what_is_no_public_key_is_refused() {
        let key = Secret::copy_of(&[3; 32]);
        for bytes in [vec![], vec![0; PUBLIC_KEY_BYTES - 1], vec![0xff; PUBLIC_KEY_BYTES]] {
            let sealed = PublicKey(bytes).seal(Derivation::Blake3, &key, b"");
            assert!(matches!(sealed, Err(KdfError::Parameters)));
        }
    }
}
