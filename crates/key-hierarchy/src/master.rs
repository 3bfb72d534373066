//! The master key of a profile and what hangs from it.

use secret_memory::Secret;

use crate::derive::Derivation;
use crate::kdf::{KdfError, random_key};

/// 32 random bytes; every key of a profile derives from them.
pub struct MasterKey(Secret<32>);

impl MasterKey {
    /// A new one, straight from the kernel into secret memory.
    ///
    /// # Errors
    /// [`KdfError::Random`].
    pub fn generate() -> Result<Self, KdfError> {
        random_key().map(Self)
    }

    pub(crate) fn from_secret(secret: Secret<32>) -> Self {
        Self(secret)
    }

    pub(crate) fn secret(&self) -> &Secret<32> {
        &self.0
    }

    /// The raw SQLCipher key of the profile's vault.
    #[must_use]
    pub fn vault_key(&self, derivation: Derivation, profile: &str) -> Secret<32> {
        self.derive(derivation, "vault-key", profile)
    }

    /// The key that seals each row of the vault to its name.
    #[must_use]
    pub fn row_key(&self, derivation: Derivation, profile: &str) -> Secret<32> {
        self.derive(derivation, "row-key", profile)
    }

    /// The key that authenticates the profile's metadata.
    #[must_use]
    pub(crate) fn metadata_key(&self, derivation: Derivation, profile: &str) -> Secret<32> {
        self.derive(derivation, "metadata-key", profile)
    }

    fn derive(&self, derivation: Derivation, purpose: &str, profile: &str) -> Secret<32> {
        derivation.derive(&format!("pds v2 {purpose} {profile}"), self.0.expose())
    }
}
