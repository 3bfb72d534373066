//! What lies on disk: AES-256-GCM (NIST SP 800-38D) under a key that derives from the unlock key, one
//! for each name.

use aes_gcm::aead::AeadInOut;
use aes_gcm::{Aes256Gcm, KeyInit};
use data_encoding::BASE64;
use key_hierarchy::Derivation;
use secret_memory::{Secret, SecretBytes, with_clean_stack};
use serde::{Deserialize, Serialize};

/// The present format.
const FORMAT: u32 = 1;
const NONCE_BYTES: usize = 12;
const TAG_BYTES: usize = 16;

/// A sealed text, as JSON. What says what it is stands outside, and can't be changed either.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Sealed {
    format: u32,
    /// What it is: `store`, or the name of an identity.
    name: String,
    /// What the sealing key was derived with.
    derivation: Derivation,
    /// Base64 of the nonce, the ciphertext and the tag.
    sealed: String,
}

/// Why something can't be sealed or opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SealError {
    /// Not JSON of this format.
    #[error("is not a file of this version of cicada")]
    Malformed,
    /// Another key, another name, or damage.
    #[error("does not open: it was sealed with another unlock key, or it was changed")]
    DoesNotOpen,
    /// No room for what is in it.
    #[error("does not fit into secret memory")]
    OutOfMemory,
    /// The kernel gave no nonce.
    #[error("can't be sealed: no random bytes from the kernel")]
    Random,
}

impl Sealed {
    /// Seals `plain` as the thing called `name`.
    ///
    /// # Errors
    /// [`SealError::Random`] and [`SealError::OutOfMemory`].
    pub fn seal(
        name: &str,
        derivation: Derivation,
        unlock_key: &Secret<32>,
        plain: &[u8],
    ) -> Result<Self, SealError> {
        // A key seals a handful of texts in its life, so a random nonce suffices.
        let mut nonce = [0; NONCE_BYTES];
        getrandom::fill(&mut nonce).map_err(|_| SealError::Random)?;
        let mut room = SecretBytes::copy_of(plain).map_err(|_| SealError::OutOfMemory)?;
        let key = sealing_key(name, derivation, unlock_key);
        let tag = with_clean_stack(|| {
            let cipher = Aes256Gcm::new(key.expose().into());
            let associated = associated_data(name, derivation);
            cipher.encrypt_inout_detached(&nonce.into(), &associated, room.expose_mut().into())
        });
        let tag = tag.map_err(|_| SealError::OutOfMemory)?;
        let sealed = BASE64.encode(&[&nonce, room.expose(), &tag[..]].concat());
        Ok(Self { format: FORMAT, name: name.to_owned(), derivation, sealed })
    }

    /// What is in it.
    ///
    /// # Errors
    /// [`SealError`]; nothing of the content was revealed.
    pub fn open(&self, unlock_key: &Secret<32>) -> Result<SecretBytes, SealError> {
        let bytes = BASE64.decode(self.sealed.as_bytes()).map_err(|_| SealError::Malformed)?;
        let (nonce, rest) = bytes.split_first_chunk().ok_or(SealError::Malformed)?;
        let (text, tag) = rest.split_last_chunk::<TAG_BYTES>().ok_or(SealError::Malformed)?;
        let nonce: [u8; NONCE_BYTES] = *nonce;
        let mut plain = SecretBytes::copy_of(text).map_err(|_| SealError::OutOfMemory)?;
        let key = sealing_key(&self.name, self.derivation, unlock_key);
        let opened = with_clean_stack(|| {
            let cipher = Aes256Gcm::new(key.expose().into());
            let associated = associated_data(&self.name, self.derivation);
            let text = plain.expose_mut().into();
            cipher.decrypt_inout_detached(&nonce.into(), &associated, text, &(*tag).into())
        });
        opened.map_err(|_| SealError::DoesNotOpen)?;
        Ok(plain)
    }

    /// What it is called.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// As a file has it.
    #[must_use]
    pub fn to_json(&self) -> Vec<u8> {
        let mut json = serde_json::to_vec(self).expect("strings and numbers are JSON");
        json.push(b'\n');
        json
    }

    /// From a file.
    ///
    /// # Errors
    /// [`SealError::Malformed`].
    pub fn from_json(json: &[u8]) -> Result<Self, SealError> {
        let sealed: Self = serde_json::from_slice(json).map_err(|_| SealError::Malformed)?;
        if sealed.format == FORMAT { Ok(sealed) } else { Err(SealError::Malformed) }
    }
}

fn sealing_key(name: &str, derivation: Derivation, unlock_key: &Secret<32>) -> Secret<32> {
    derivation.derive(&format!("cicada v1 sealing-key {name}"), unlock_key.expose())
}

fn associated_data(name: &str, derivation: Derivation) -> Vec<u8> {
    let derivation = match derivation {
        Derivation::Blake3 => "blake3",
        Derivation::HkdfSha256 => "hkdf-sha256",
    };
    format!("cicada sealed {FORMAT} {derivation} {name}").into_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(byte: u8) -> Secret<32> {
        Secret::from_fn(|key: &mut [u8; 32]| key.fill(byte))
    }

    #[test]
    fn what_was_sealed_opens_with_its_key_only() {
        for derivation in [Derivation::Blake3, Derivation::HkdfSha256] {
            let sealed = Sealed::seal("a", derivation, &key(1), b"text").unwrap();
            let read = Sealed::from_json(&sealed.to_json()).unwrap();
            assert_eq!(read.open(&key(1)).unwrap().expose(), b"text");
            assert_eq!(read.open(&key(2)).unwrap_err(), SealError::DoesNotOpen);
        }
    }

    #[test]
    fn neither_name_nor_derivation_nor_a_byte_can_be_changed() {
        let sealed = Sealed::seal("a", Derivation::Blake3, &key(1), b"text").unwrap();
        let opens = |changed: Sealed| changed.open(&key(1)).is_ok();
        assert!(opens(sealed.clone()));
        assert!(!opens(Sealed { name: "b".to_owned(), ..sealed.clone() }));
        assert!(!opens(Sealed { derivation: Derivation::HkdfSha256, ..sealed.clone() }));
        let bytes = BASE64.decode(sealed.sealed.as_bytes()).unwrap();
        for index in 0..bytes.len() {
            let mut changed = bytes.clone();
            changed[index] ^= 1;
            assert!(
                !opens(Sealed { sealed: BASE64.encode(&changed), ..sealed.clone() }),
                "{index}"
            );
            let cut = BASE64.encode(&bytes[..index]);
            assert!(!opens(Sealed { sealed: cut, ..sealed.clone() }), "{index}");
        }
    }

    #[test]
    fn another_format_is_not_guessed_at() {
        let sealed = Sealed::seal("a", Derivation::Blake3, &key(1), b"text").unwrap();
        let text = String::from_utf8(sealed.to_json()).unwrap();
        for changed in [
            text.replace("\"format\":1", "\"format\":2"),
            text.replace("blake3", "md5"),
            text.replace("{\"", "{\"more\":1,\""),
            String::new(),
        ] {
            assert_eq!(Sealed::from_json(changed.as_bytes()).unwrap_err(), SealError::Malformed);
        }
    }
}
