//! Replies: one JSON object each, without white space or delimiter.

use data_encoding::BASE64;
use identity_keys::PublicKeys;
use secret_memory::{OutOfSecretMemory, Secret, SecretBytes, with_clean_stack};
use serde::Serialize;
use site_config::names::IdentityName;

use crate::error::Refused;

/// What a WireGuard key with an ML-KEM-768 key beside it has always been called here.
pub const KEY_TYPE: &str = "x25519+kyber768";
/// What ML-DSA-65 has always been called here.
pub const SIGNATURE_ALGORITHM: &str = "dilithium3";
/// What ML-KEM-768 has always been called here.
pub const KEM_ALGORITHM: &str = "kyber768";

/// A reply on its way.
pub enum Reply {
    /// Nothing secret.
    Public(Vec<u8>),
    /// In secret memory until it is in the socket.
    Secret(SecretBytes),
}

impl Reply {
    /// The bytes to send.
    #[must_use]
    pub fn bytes(&self) -> &[u8] {
        match self {
            Self::Public(bytes) => bytes,
            Self::Secret(bytes) => bytes.expose(),
        }
    }

    /// Any reply without a secret.
    #[must_use]
    pub fn of(reply: &impl Serialize) -> Self {
        Self::Public(serde_json::to_vec(reply).expect("strings and numbers are JSON"))
    }

    /// `{"error":{"code":…,"message":…}}`
    #[must_use]
    pub fn error(error: &Refused) -> Self {
        #[derive(Serialize)]
        struct Error<'a> {
            error: &'a Refused,
        }
        Self::of(&Error { error })
    }

    /// `{"state":…}`
    #[must_use]
    pub fn state(state: &'static str) -> Self {
        #[derive(Serialize)]
        struct State {
            state: &'static str,
        }
        Self::of(&State { state })
    }

    /// `{"key":…,"type":…}`, with a private key.
    ///
    /// # Errors
    /// [`OutOfSecretMemory`].
    pub fn private_key(key: &Secret<32>) -> Result<Self, OutOfSecretMemory> {
        let parts: [&[u8]; 4] = [br#"{"key":""#, br#"","type":""#, KEY_TYPE.as_bytes(), br#""}"#];
        Ok(Self::Secret(with_secret(&parts, 1, key)?))
    }

    /// `{"key":…,"type":…}`, with a public key.
    #[must_use]
    pub fn wireguard_public_key(key: &[u8; 32]) -> Self {
        #[derive(Serialize)]
        struct Key {
            key: String,
            r#type: &'static str,
        }
        Self::of(&Key { key: BASE64.encode(key), r#type: KEY_TYPE })
    }

    /// The public keys of one version of an identity.
    #[must_use]
    pub fn public_keys(identity: &IdentityName, version: u32, keys: &PublicKeys) -> Self {
        #[derive(Serialize)]
        struct Public<'a> {
            identity: &'a IdentityName,
            version: u32,
            r#type: &'static str,
            algorithm: &'static str,
            x25519: String,
            ml_kem_768: String,
            ml_dsa_65: String,
        }
        Self::of(&Public {
            identity,
            version,
            r#type: KEY_TYPE,
            algorithm: SIGNATURE_ALGORITHM,
            x25519: BASE64.encode(&keys.x25519),
            ml_kem_768: BASE64.encode(&keys.ml_kem_768[..]),
            ml_dsa_65: BASE64.encode(&keys.ml_dsa_65[..]),
        })
    }

    /// `{"signature":…,"algorithm":…}`
    #[must_use]
    pub fn signature(signature: &[u8]) -> Self {
        #[derive(Serialize)]
        struct Signature {
            signature: String,
            algorithm: &'static str,
        }
        let signature = BASE64.encode(signature);
        Self::of(&Signature { signature, algorithm: SIGNATURE_ALGORITHM })
    }

    /// `{"ciphertext":…,"shared_secret":…,"algorithm":…}`
    ///
    /// # Errors
    /// [`OutOfSecretMemory`].
    pub fn encapsulated(ciphertext: &[u8], secret: &Secret<32>) -> Result<Self, OutOfSecretMemory> {
        let ciphertext = BASE64.encode(ciphertext);
        let parts: [&[u8]; 6] = [
            br#"{"ciphertext":""#,
            ciphertext.as_bytes(),
            br#"","shared_secret":""#,
            br#"","algorithm":""#,
            KEM_ALGORITHM.as_bytes(),
            br#""}"#,
        ];
        Ok(Self::Secret(with_secret(&parts, 3, secret)?))
    }

    /// `{"shared_secret":…,"algorithm":…}`
    ///
    /// # Errors
    /// [`OutOfSecretMemory`].
    pub fn decapsulated(secret: &Secret<32>) -> Result<Self, OutOfSecretMemory> {
        let parts: [&[u8]; 4] =
            [br#"{"shared_secret":""#, br#"","algorithm":""#, KEM_ALGORITHM.as_bytes(), br#""}"#];
        Ok(Self::Secret(with_secret(&parts, 1, secret)?))
    }
}

/// The parts, one after the other, and before part `position` the secret in base64: written where it
/// stays, so that no copy of it is anywhere else.
fn with_secret(
    parts: &[&[u8]],
    position: usize,
    secret: &Secret<32>,
) -> Result<SecretBytes, OutOfSecretMemory> {
    let length = BASE64.encode_len(32);
    let total: usize = parts.iter().map(|part| part.len()).sum();
    let mut bytes = SecretBytes::with_capacity(total + length)?;
    for (index, part) in parts.iter().enumerate() {
        if index == position {
            let start = bytes.len();
            bytes.resize(start + length)?;
            let place = &mut bytes.expose_mut()[start..];
            with_clean_stack(|| BASE64.encode_mut(secret.expose(), place));
        }
        bytes.extend_from_slice(part)?;
    }
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(reply: &Reply) -> String {
        String::from_utf8(reply.bytes().to_vec()).unwrap()
    }

    /// Byte for byte what programs expect.
    #[test]
    fn replies_have_the_form_that_they_always_had() {
        let secret = Secret::from_fn(|bytes: &mut [u8; 32]| bytes.fill(7));
        let base64 = BASE64.encode(&[7; 32]);
        let reply = Reply::private_key(&secret).unwrap();
        assert_eq!(text(&reply), format!(r#"{{"key":"{base64}","type":"x25519+kyber768"}}"#));
        let reply = Reply::signature(b"abc");
        assert_eq!(text(&reply), r#"{"signature":"YWJj","algorithm":"dilithium3"}"#);
        let reply = Reply::encapsulated(b"abc", &secret).unwrap();
        let expected =
            format!(r#"{{"ciphertext":"YWJj","shared_secret":"{base64}","algorithm":"kyber768"}}"#);
        assert_eq!(text(&reply), expected);
        let reply = Reply::decapsulated(&secret).unwrap();
        assert_eq!(
            text(&reply),
            format!(r#"{{"shared_secret":"{base64}","algorithm":"kyber768"}}"#)
        );
        let reply = Reply::error(&Refused::new(crate::error::Code::UnknownIdentity, "none \"x\""));
        let expected = r#"{"error":{"code":"unknown_identity","message":"none \"x\""}}"#;
        assert_eq!(text(&reply), expected);
    }

    #[test]
    fn a_secret_goes_into_secret_memory_only() {
        let secret = Secret::from_fn(|bytes: &mut [u8; 32]| bytes.fill(7));
        for reply in [
            Reply::private_key(&secret).unwrap(),
            Reply::encapsulated(b"abc", &secret).unwrap(),
            Reply::decapsulated(&secret).unwrap(),
        ] {
            assert!(matches!(reply, Reply::Secret(_)));
        }
    }
}
