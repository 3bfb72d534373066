//! Cryptography for snow whose keys live in secret memory and are wiped behind it.

use aes_gcm::Aes256Gcm;
use blake2::Blake2s256;
use chacha20poly1305::ChaCha20Poly1305;
use chacha20poly1305::aead::inout::InOutBuf;
use chacha20poly1305::aead::{AeadInOut, KeyInit};
use secret_memory::{Secret, with_clean_stack};
use sha2::{Digest, Sha256};
use snow::Error;
use snow::params::{CipherChoice, DHChoice, HashChoice};
use snow::resolvers::CryptoResolver;
use snow::types::{Cipher, Dh, Hash, Random};
use x25519_dalek::{PublicKey, StaticSecret};

/// Resolves X25519, ChaCha20-Poly1305, AES-256-GCM, BLAKE2s and SHA-256; nothing else.
pub struct SecretMemoryResolver;

impl CryptoResolver for SecretMemoryResolver {
    fn resolve_rng(&self) -> Option<Box<dyn Random>> {
        Some(Box::new(KernelRandom))
    }

    fn resolve_dh(&self, choice: &DHChoice) -> Option<Box<dyn Dh>> {
        match choice {
            DHChoice::Curve25519 => {
                Some(Box::new(X25519 { private: Secret::zeroed(), public: [0; 32] }))
            }
            _ => None,
        }
    }

    fn resolve_hash(&self, choice: &HashChoice) -> Option<Box<dyn Hash>> {
        match choice {
            HashChoice::Blake2s => Some(Box::new(DigestHash::<Blake2s256>::new("BLAKE2s"))),
            HashChoice::SHA256 => Some(Box::new(DigestHash::<Sha256>::new("SHA256"))),
            _ => None,
        }
    }

    fn resolve_cipher(&self, choice: &CipherChoice) -> Option<Box<dyn Cipher>> {
        match choice {
            CipherChoice::ChaChaPoly => Some(Box::new(ChaChaPoly(Secret::zeroed()))),
            CipherChoice::AESGCM => Some(Box::new(AesGcm(Secret::zeroed()))),
        }
    }
}

struct KernelRandom;

impl Random for KernelRandom {
    fn try_fill_bytes(&mut self, out: &mut [u8]) -> Result<(), Error> {
        getrandom::fill(out).map_err(|_| Error::Rng)
    }
}

struct X25519 {
    private: Secret<32>,
    public: [u8; 32],
}

impl X25519 {
    fn derive_public(&mut self) {
        self.public = public_key(&self.private);
    }
}

/// The public key of a private one (RFC 7748; clamping happens inside).
pub(crate) fn public_key(private: &Secret<32>) -> [u8; 32] {
    with_clean_stack(|| PublicKey::from(&StaticSecret::from(*private.expose())).to_bytes())
}

impl Dh for X25519 {
    fn name(&self) -> &'static str {
        "25519"
    }

    fn pub_len(&self) -> usize {
        32
    }

    fn priv_len(&self) -> usize {
        32
    }

    fn set(&mut self, private: &[u8]) {
        self.private.expose_mut().copy_from_slice(private);
        self.derive_public();
    }

    fn generate(&mut self, rng: &mut dyn Random) -> Result<(), Error> {
        rng.try_fill_bytes(self.private.expose_mut())?;
        self.derive_public();
        Ok(())
    }

    fn pubkey(&self) -> &[u8] {
        &self.public
    }

    fn privkey(&self) -> &[u8] {
        self.private.expose()
    }

    fn dh(&self, public: &[u8], out: &mut [u8]) -> Result<(), Error> {
        let public =
            <[u8; 32]>::try_from(public.get(..32).ok_or(Error::Dh)?).map_err(|_| Error::Dh)?;
        let shared =
            StaticSecret::from(*self.private.expose()).diffie_hellman(&PublicKey::from(public));
        // A low-order point would make the secret known to everybody.
        if !shared.was_contributory() {
            return Err(Error::Dh);
        }
        out.get_mut(..32).ok_or(Error::Dh)?.copy_from_slice(shared.as_bytes());
        Ok(())
    }
}

struct ChaChaPoly(Secret<32>);
struct AesGcm(Secret<32>);

/// Encrypts `plaintext` to `out` followed by the tag; the plaintext is never copied.
fn seal<A>(aead: &A, nonce: [u8; 12], ad: &[u8], plaintext: &[u8], out: &mut [u8]) -> usize
where
    A: AeadInOut<NonceSize = aes_gcm::aead::consts::U12, TagSize = aes_gcm::aead::consts::U16>,
{
    let (body, rest) = out.split_at_mut(plaintext.len());
    let buffer = InOutBuf::new(plaintext, body).expect("both have the plaintext's length");
    let tag = aead
        .encrypt_inout_detached(&nonce.into(), ad, buffer)
        .expect("a Noise message is shorter than either cipher's limit");
    rest[..16].copy_from_slice(&tag);
    plaintext.len() + 16
}

fn open<A>(
    aead: &A,
    nonce: [u8; 12],
    ad: &[u8],
    ciphertext: &[u8],
    out: &mut [u8],
) -> Result<usize, Error>
where
    A: AeadInOut<NonceSize = aes_gcm::aead::consts::U12, TagSize = aes_gcm::aead::consts::U16>,
{
    let (body, tag) = ciphertext.split_last_chunk::<16>().ok_or(Error::Decrypt)?;
    let out = out.get_mut(..body.len()).ok_or(Error::Decrypt)?;
    let buffer = InOutBuf::new(body, out).map_err(|_| Error::Decrypt)?;
    aead.decrypt_inout_detached(&nonce.into(), ad, buffer, &(*tag).into())
        .map_err(|_| Error::Decrypt)?;
    Ok(body.len())
}

/// Noise, section 12.3: 32 zero bits and the little-endian counter.
fn chacha_nonce(counter: u64) -> [u8; 12] {
    let mut nonce = [0; 12];
    nonce[4..].copy_from_slice(&counter.to_le_bytes());
    nonce
}

/// Noise, section 12.4: 32 zero bits and the big-endian counter.
fn aesgcm_nonce(counter: u64) -> [u8; 12] {
    let mut nonce = [0; 12];
    nonce[4..].copy_from_slice(&counter.to_be_bytes());
    nonce
}

impl Cipher for ChaChaPoly {
    fn name(&self) -> &'static str {
        "ChaChaPoly"
    }

    fn set(&mut self, key: &[u8; 32]) {
        self.0.expose_mut().copy_from_slice(key);
    }

    fn encrypt(&self, nonce: u64, ad: &[u8], plaintext: &[u8], out: &mut [u8]) -> usize {
        let aead = ChaCha20Poly1305::new(self.0.expose().into());
        seal(&aead, chacha_nonce(nonce), ad, plaintext, out)
    }

    fn decrypt(&self, n: u64, ad: &[u8], sealed: &[u8], out: &mut [u8]) -> Result<usize, Error> {
        let aead = ChaCha20Poly1305::new(self.0.expose().into());
        open(&aead, chacha_nonce(n), ad, sealed, out)
    }
}

impl Cipher for AesGcm {
    fn name(&self) -> &'static str {
        "AESGCM"
    }

    fn set(&mut self, key: &[u8; 32]) {
        self.0.expose_mut().copy_from_slice(key);
    }

    fn encrypt(&self, nonce: u64, ad: &[u8], plaintext: &[u8], out: &mut [u8]) -> usize {
        let aead = Aes256Gcm::new(self.0.expose().into());
        seal(&aead, aesgcm_nonce(nonce), ad, plaintext, out)
    }

    fn decrypt(&self, n: u64, ad: &[u8], sealed: &[u8], out: &mut [u8]) -> Result<usize, Error> {
        let aead = Aes256Gcm::new(self.0.expose().into());
        open(&aead, aesgcm_nonce(n), ad, sealed, out)
    }
}

struct DigestHash<D> {
    name: &'static str,
    state: D,
}

impl<D: Digest> DigestHash<D> {
    fn new(name: &'static str) -> Self {
        Self { name, state: D::new() }
    }
}

impl<D: Digest + Send + Sync> Hash for DigestHash<D> {
    fn name(&self) -> &'static str {
        self.name
    }

    fn block_len(&self) -> usize {
        64
    }

    fn hash_len(&self) -> usize {
        32
    }

    fn reset(&mut self) {
        self.state = D::new();
    }

    fn input(&mut self, data: &[u8]) {
        self.state.update(data);
    }

    fn result(&mut self, out: &mut [u8]) {
        let state = std::mem::replace(&mut self.state, D::new());
        out[..32].copy_from_slice(&state.finalize());
    }
}
