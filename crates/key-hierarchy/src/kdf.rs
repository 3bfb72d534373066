//! Passwords to factor secrets: Argon2id (RFC 9106) and PBKDF2-HMAC-SHA256 (RFC 8018).

use argon2::{Algorithm, Argon2, Block, Params, Version};
use secret_memory::{Secret, SecretSlice, with_clean_stack};
use serde::{Deserialize, Serialize};

/// Bytes of salt, random for each wrap.
pub const SALT_BYTES: usize = 16;

/// Which function, with which costs and salt. Stored with the blob that it made, so that a change
/// of configuration locks nobody out.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "algorithm", deny_unknown_fields)]
pub enum KdfParameters {
    /// Argon2id version 0x13.
    #[serde(rename = "argon2id")]
    Argon2id {
        /// Memory, in KiB.
        memory_kib: u32,
        /// Passes over the memory.
        iterations: u32,
        /// Lanes.
        parallelism: u32,
        /// The salt.
        #[serde(with = "crate::hex")]
        salt: [u8; SALT_BYTES],
    },
    /// PBKDF2 with HMAC-SHA256, for sites that may use NIST functions only (SP 800-132).
    #[serde(rename = "pbkdf2-sha256")]
    Pbkdf2Sha256 {
        /// Rounds.
        iterations: u32,
        /// The salt.
        #[serde(with = "crate::hex")]
        salt: [u8; SALT_BYTES],
    },
}

/// Argon2id's blocks, in secret memory, kept from one use to the next.
///
/// The first touch of a secret page costs the kernel a change of its own page tables (some 20 us
/// in a virtual machine, times 4864), so an area that was just used is worth keeping for a while.
/// It is wiped after each use.
#[derive(Debug, Default)]
pub struct WorkingMemory(Option<SecretSlice<Block>>);

impl WorkingMemory {
    /// None yet; it comes with the first use.
    #[must_use]
    pub const fn new() -> Self {
        Self(None)
    }

    /// Gives the memory back.
    pub fn release(&mut self) {
        self.0 = None;
    }

    fn blocks(&mut self, count: usize) -> Result<&mut SecretSlice<Block>, KdfError> {
        if self.0.as_ref().is_some_and(|blocks| blocks.len() < count) {
            self.0 = None;
        }
        match &mut self.0 {
            Some(blocks) => Ok(blocks),
            none => Ok(none.insert(SecretSlice::new(count)?)),
        }
    }
}

/// Why a password could not be stretched. Nothing about the password itself.
#[derive(Debug, thiserror::Error)]
pub enum KdfError {
    /// Costs outside what this program accepts: a file that asks for them was not written by it.
    #[error("key derivation parameters are out of range")]
    Parameters,
    /// No room for Argon2id's working memory.
    #[error(transparent)]
    Memory(#[from] secret_memory::InitError),
    /// No room for a key.
    #[error("out of secret memory")]
    OutOfMemory,
    /// The kernel gave no random bytes.
    #[error("no random bytes from the kernel")]
    Random,
}

impl KdfParameters {
    /// Argon2id with 19456 KiB, two passes, one lane (OWASP's recommendation), and a fresh salt.
    ///
    /// # Errors
    /// [`KdfError::Random`].
    pub fn argon2id() -> Result<Self, KdfError> {
        Ok(Self::Argon2id { memory_kib: 19456, iterations: 2, parallelism: 1, salt: random()? })
    }

    /// PBKDF2-HMAC-SHA256 with 600 000 rounds (OWASP's recommendation), and a fresh salt.
    ///
    /// # Errors
    /// [`KdfError::Random`].
    pub fn pbkdf2_sha256() -> Result<Self, KdfError> {
        Ok(Self::Pbkdf2Sha256 { iterations: 600_000, salt: random()? })
    }

    /// Stretches `password` to a 32-byte factor secret.
    ///
    /// # Errors
    /// [`KdfError`].
    pub fn stretch(
        &self,
        password: &[u8],
        memory: &mut WorkingMemory,
    ) -> Result<Secret<32>, KdfError> {
        match self {
            Self::Argon2id { memory_kib, iterations, parallelism, salt } => {
                // Bounds for what a file may ask of us: 1 GiB and 64 passes.
                if *memory_kib > 1 << 20 || *iterations > 64 {
                    return Err(KdfError::Parameters);
                }
                let params = Params::new(*memory_kib, *iterations, *parallelism, Some(32))
                    .map_err(|_| KdfError::Parameters)?;
                let blocks = memory.blocks(params.block_count())?;
                let argon2 = Argon2::new(Algorithm::Argon2id, Version::V0x13, params);
                let secret = Secret::try_from_fn(|out| {
                    with_clean_stack(|| {
                        argon2.hash_password_into_with_memory(password, salt, out, &mut *blocks)
                    })
                });
                // The last blocks give the result away.
                blocks.wipe();
                secret.map_err(|_| KdfError::Parameters)
            }
            Self::Pbkdf2Sha256 { iterations, salt } => {
                if !(1..=10_000_000).contains(iterations) {
                    return Err(KdfError::Parameters);
                }
                Ok(Secret::from_fn(|out| {
                    with_clean_stack(|| {
                        pbkdf2::pbkdf2_hmac::<sha2::Sha256>(password, salt, *iterations, out);
                    });
                }))
            }
        }
    }
}

/// `N` random bytes that are no secret (salts, nonces).
pub(crate) fn random<const N: usize>() -> Result<[u8; N], KdfError> {
    let mut bytes = [0; N];
    getrandom::fill(&mut bytes).map_err(|_| KdfError::Random)?;
    Ok(bytes)
}

/// A new key, straight from the kernel into secret memory.
///
/// # Errors
/// [`KdfError::Random`].
pub fn random_key() -> Result<Secret<32>, KdfError> {
    Secret::try_from_fn(|key| getrandom::fill(key)).map_err(|_| KdfError::Random)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Our blocks in secret memory give what the crate gives with its own (which is tested against
    /// RFC 9106).
    #[test]
    fn argon2id_in_secret_memory_is_argon2id() {
        let parameters = KdfParameters::Argon2id {
            memory_kib: 65536,
            iterations: 2,
            parallelism: 1,
            salt: *b"somesaltsomesalt",
        };
        let argon2 = Argon2::new(
            Algorithm::Argon2id,
            Version::V0x13,
            Params::new(65536, 2, 1, Some(32)).unwrap(),
        );
        let mut expected = [0; 32];
        argon2.hash_password_into(b"password", b"somesaltsomesalt", &mut expected).unwrap();
        assert_eq!(
            parameters.stretch(b"password", &mut WorkingMemory::new()).unwrap().expose(),
            &expected
        );
    }

    /// The expected value was computed with Python's hashlib (OpenSSL).
    #[test]
    fn pbkdf2_agrees_with_hashlib() {
        let parameters =
            KdfParameters::Pbkdf2Sha256 { iterations: 1000, salt: *b"somesaltsomesalt" };
        let expected = "b392d051e00465432e155ae7985dce30d3d7b374169c5f123bfe415e60a3e904";
        let secret = parameters.stretch(b"password", &mut WorkingMemory::new()).unwrap();
        assert_eq!(crate::hex::encode(secret.expose()), expected);
    }

    #[test]
    fn absurd_costs_from_a_file_are_refused() {
        let salt = [0; SALT_BYTES];
        let absurd = [
            KdfParameters::Argon2id { memory_kib: u32::MAX, iterations: 2, parallelism: 1, salt },
            KdfParameters::Argon2id { memory_kib: 64, iterations: u32::MAX, parallelism: 1, salt },
            KdfParameters::Argon2id { memory_kib: 64, iterations: 1, parallelism: 0, salt },
            KdfParameters::Pbkdf2Sha256 { iterations: 0, salt },
            KdfParameters::Pbkdf2Sha256 { iterations: u32::MAX, salt },
        ];
        for parameters in absurd {
            assert!(matches!(
                parameters.stretch(b"x", &mut WorkingMemory::new()),
                Err(KdfError::Parameters)
            ));
        }
    }
}
