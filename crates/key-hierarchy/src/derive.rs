//! One key from another, by BLAKE3's key derivation mode or HKDF-SHA256 (RFC 5869).

use hkdf::Hkdf;
use secret_memory::{Secret, with_clean_stack};
use serde::{Deserialize, Serialize};
use sha2::Sha256;
use zeroize::Zeroize;

/// Which function derives keys. Stored with each profile.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Derivation {
    /// `BLAKE3 derive_key(context, key material)`.
    #[serde(rename = "blake3")]
    Blake3,
    /// HKDF-SHA256 without salt, the context as `info`.
    #[serde(rename = "hkdf-sha256")]
    HkdfSha256,
}

impl Derivation {
    /// Derives 32 bytes for one purpose. `context` names the purpose and is never secret.
    #[must_use]
    pub fn derive(self, context: &str, material: &[u8]) -> Secret<32> {
        Secret::from_fn(|out| {
            with_clean_stack(|| match self {
                Self::Blake3 => {
                    let mut hasher = blake3::Hasher::new_derive_key(context);
                    hasher.update(material);
                    let mut reader = hasher.finalize_xof();
                    reader.fill(out);
                    hasher.zeroize();
                    reader.zeroize();
                }
                Self::HkdfSha256 => Hkdf::<Sha256>::new(None, material)
                    .expand(context.as_bytes(), out)
                    .expect("32 bytes are within what HKDF-SHA256 can expand to"),
            })
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::hex;

    #[test]
    fn blake3_is_derive_key() {
        let context = "pds v2 vault-key default";
        let key = Derivation::Blake3.derive(context, &[7; 32]);
        assert_eq!(key.expose(), &blake3::derive_key(context, &[7; 32]));
    }

    /// RFC 5869, test case 3 (no salt), its first 32 bytes, with info "".
    #[test]
    fn hkdf_sha256_agrees_with_rfc_5869() {
        let key = Derivation::HkdfSha256.derive("", &[0x0b; 22]);
        let expected = "8da4e775a563c18f715f802a063c5a31b8a11f5c5ee1879ec3454e5f3c738d2d";
        assert_eq!(hex::encode(key.expose()), expected);
    }
}
