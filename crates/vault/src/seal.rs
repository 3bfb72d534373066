//! The seal of one value: AES-256-GCM, bound to where the value belongs.

use aes_gcm::aead::inout::InOutBuf;
use aes_gcm::{AeadInOut, Aes256Gcm, KeyInit, Nonce};
use secret_memory::{OutOfSecretMemory, Secret, SecretBytes, with_clean_stack};

use crate::keys::Context;

/// Bytes of a nonce: 96 random bits, so that 2^32 values under one key stay safe (SP 800-38D, 8.3).
pub(crate) const NONCE_BYTES: usize = 12;
/// Bytes of the tag at the end of a sealed value.
pub(crate) const TAG_BYTES: usize = 16;

const DOMAIN: &[u8] = b"pds v2 vault row";

/// A value as it is stored. Nothing in it is secret.
pub(crate) struct Sealed {
    pub(crate) nonce: [u8; NONCE_BYTES],
    /// Ciphertext and tag.
    pub(crate) bytes: Vec<u8>,
}

/// Why a value could not be sealed.
pub(crate) enum SealError {
    /// The kernel gave no random nonce.
    NoRandomness(getrandom::Error),
    /// Longer than AES-GCM can seal.
    TooLong,
}

/// Why a sealed value did not open.
pub(crate) enum OpenError {
    /// It was not sealed with this key for this name in this context.
    Tampered,
    /// There is no room for the value.
    NoMemory,
}

impl From<OutOfSecretMemory> for OpenError {
    fn from(_: OutOfSecretMemory) -> Self {
        Self::NoMemory
    }
}

/// The key of the values and what they are bound to.
pub(crate) struct Sealer {
    key: Secret<32>,
    /// Associated data of every value, up to the name.
    prefix: Vec<u8>,
}

impl Sealer {
    pub(crate) fn new(key: Secret<32>, context: &Context) -> Self {
        let mut prefix = Vec::with_capacity(128);
        for field in [DOMAIN, &context.installation, context.profile.as_bytes()] {
            append(&mut prefix, field);
        }
        Self { key, prefix }
    }

    pub(crate) fn seal(&self, name: &str, value: &[u8]) -> Result<Sealed, SealError> {
        let mut nonce = [0; NONCE_BYTES];
        getrandom::fill(&mut nonce).map_err(SealError::NoRandomness)?;
        let mut bytes = vec![0; value.len() + TAG_BYTES];
        let (ciphertext, tag) = bytes.split_at_mut(value.len());
        let data = self.associated_data(name);
        let sealed = with_clean_stack(|| {
            let buffer = InOutBuf::new(value, ciphertext).map_err(|_| SealError::TooLong)?;
            self.cipher()
                .encrypt_inout_detached(&Nonce::from(nonce), &data, buffer)
                .map_err(|_| SealError::TooLong)
        })?;
        tag.copy_from_slice(&sealed);
        Ok(Sealed { nonce, bytes })
    }

    pub(crate) fn open(
        &self,
        name: &str,
        nonce: &[u8],
        sealed: &[u8],
    ) -> Result<SecretBytes, OpenError> {
        let nonce: [u8; NONCE_BYTES] = nonce.try_into().map_err(|_| OpenError::Tampered)?;
        let (ciphertext, tag) =
            sealed.split_last_chunk::<TAG_BYTES>().ok_or(OpenError::Tampered)?;
        let data = self.associated_data(name);
        // Decrypted from SQLite's buffer straight into place; nothing is written before the tag
        // has been checked.
        let mut value = SecretBytes::zeroed(ciphertext.len())?;
        with_clean_stack(|| {
            let buffer =
                InOutBuf::new(ciphertext, value.expose_mut()).map_err(|_| OpenError::Tampered)?;
            self.cipher()
                .decrypt_inout_detached(&Nonce::from(nonce), &data, buffer, &(*tag).into())
                .map_err(|_| OpenError::Tampered)
        })?;
        Ok(value)
    }

    /// The key schedule is made anew for each value: it is a second form of the key, and kept in a
    /// `Vault` it would lie in ordinary memory. It takes a fraction of a microsecond.
    fn cipher(&self) -> Aes256Gcm {
        Aes256Gcm::new(self.key.expose().into())
    }

    fn associated_data(&self, name: &str) -> Vec<u8> {
        let mut data = Vec::with_capacity(self.prefix.len() + 8 + name.len());
        data.extend_from_slice(&self.prefix);
        append(&mut data, name.as_bytes());
        data
    }
}

/// Length first, so that no two lists of fields have the same bytes.
fn append(data: &mut Vec<u8>, field: &[u8]) {
    data.extend_from_slice(&(field.len() as u64).to_le_bytes());
    data.extend_from_slice(field);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sealer(profile: &str) -> Sealer {
        let context = Context { installation: [7; 16], profile: profile.to_owned() };
        Sealer::new(Secret::copy_of(&[1; 32]), &context)
    }

    fn seal(profile: &str, name: &str) -> Sealed {
        let Ok(sealed) = sealer(profile).seal(name, b"value") else { panic!("sealing works") };
        sealed
    }

    #[test]
    fn fields_cannot_flow_into_each_other() {
        let sealed = seal("ab", "c");
        assert!(sealer("ab").open("c", &sealed.nonce, &sealed.bytes).is_ok());
        for (profile, name) in [("a", "bc"), ("abc", ""), ("", "abc"), ("ab", "c\0"), ("ab", "")] {
            let opened = sealer(profile).open(name, &sealed.nonce, &sealed.bytes);
            assert!(matches!(opened, Err(OpenError::Tampered)), "{profile:?} {name:?}");
        }
    }

    #[test]
    fn any_changed_bit_is_noticed() {
        let sealed = seal("p", "n");
        for bit in 0..sealed.bytes.len() * 8 {
            let mut bytes = sealed.bytes.clone();
            bytes[bit / 8] ^= 1 << (bit % 8);
            assert!(sealer("p").open("n", &sealed.nonce, &bytes).is_err(), "bit {bit}");
        }
        for cut in 0..sealed.bytes.len() {
            assert!(sealer("p").open("n", &sealed.nonce, &sealed.bytes[..cut]).is_err());
        }
        assert!(sealer("p").open("n", &sealed.nonce[..11], &sealed.bytes).is_err());
    }

    #[test]
    fn the_same_value_never_looks_the_same() {
        let (first, second) = (seal("p", "n"), seal("p", "n"));
        assert_ne!(first.nonce, second.nonce);
        assert_ne!(first.bytes, second.bytes);
    }

    /// Computed once by an independent implementation (Python's `cryptography`), so that a change
    /// of the format, of the domain string or of a field's order does not go unnoticed.
    #[test]
    fn the_format_is_the_documented_one() {
        let sealed = hex("ac7a49baab4234d30e4272316e8888ae2e8ada41918363");
        let opened = sealer("work").open("db/password", &[9; NONCE_BYTES], &sealed);
        let Ok(value) = opened else { panic!("the documented format opens") };
        assert_eq!(value.expose(), b"hunter2");
    }

    fn hex(text: &str) -> Vec<u8> {
        let digits: Vec<u32> = text.chars().filter_map(|digit| digit.to_digit(16)).collect();
        digits.chunks_exact(2).map(|pair| (pair[0] * 16 + pair[1]) as u8).collect()
    }
}
