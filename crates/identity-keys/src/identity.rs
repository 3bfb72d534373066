//! The keys of an identity, expanded from its seeds.

use std::fmt;
use std::sync::OnceLock;

use fips204::ml_dsa_65::PrivateKey;
use ml_kem::ml_kem_768::DecapsulationKey;
use secret_memory::{InitError, Secret, SecretBox};
use x25519_dalek::{PublicKey, StaticSecret};

use crate::kem::{self, Ciphertext, EncapsulationKey};
use crate::seeds::Seeds;
use crate::signature::{self, DEPTH, SecondOpinion, SignError, Signature, VerifyingKey};
use crate::stack::with_clean_stack;
use crate::{ENCAPSULATION_KEY_BYTES, SHARED_SECRET_BYTES, VERIFYING_KEY_BYTES, X25519_BYTES};

/// The public keys of an identity.
#[derive(Clone, PartialEq, Eq)]
pub struct PublicKeys {
    /// RFC 7748 §6.1: the public key of a WireGuard interface.
    pub x25519: [u8; X25519_BYTES],
    /// FIPS 203 §7.1.
    pub ml_kem_768: Box<EncapsulationKey>,
    /// FIPS 204 §5.1.
    pub ml_dsa_65: Box<VerifyingKey>,
}

/// Why seeds could not be expanded.
#[derive(Debug, thiserror::Error)]
pub enum KeyError {
    /// No room for the expanded keys.
    #[error(
        "no secret memory for the keys of another identity, and no other is affected; raise \
         LimitMEMLOCK= of the unit, or `ulimit -l`"
    )]
    Memory(#[from] InitError),
}

/// The private keys of an identity, ready for use by any number of threads, and the public ones.
///
/// They take six pages of secret memory (24 KiB) in a mapping of their own, 32 bytes of the arena, and
/// 3 KiB of ordinary memory for what is public; 46 KiB once something was signed. A thread that expands
/// or signs needs 200 KiB of stack (700 KiB unoptimised), and has them wiped afterwards.
pub struct IdentityKeys {
    x25519: Secret<X25519_BYTES>,
    expanded: SecretBox<Expanded>,
    public: PublicKeys,
    /// Made when something is to be signed: an older key only decapsulates.
    second: OnceLock<SecondOpinion>,
}

pub(crate) struct Expanded {
    ml_kem_768: DecapsulationKey,
    ml_dsa_65: PrivateKey,
}

impl Expanded {
    pub(crate) fn grow(
        seeds: &Seeds,
        x25519: &Secret<X25519_BYTES>,
    ) -> Result<(SecretBox<Self>, PublicKeys), InitError> {
        let mut public = PublicKeys {
            x25519: [0; X25519_BYTES],
            ml_kem_768: Box::new([0; ENCAPSULATION_KEY_BYTES]),
            ml_dsa_65: Box::new([0; VERIFYING_KEY_BYTES]),
        };
        let expanded = with_clean_stack::<DEPTH, _>(|| {
            public.x25519 = PublicKey::from(&StaticSecret::from(*x25519.expose())).to_bytes();
            SecretBox::try_new(|| {
                let (verifying_key, ml_dsa_65) = signature::expand(seeds.ml_dsa_65());
                *public.ml_dsa_65 = verifying_key;
                let ml_kem_768 = kem::expand(seeds.ml_kem_768());
                *public.ml_kem_768 = kem::encapsulation_key(&ml_kem_768);
                Self { ml_kem_768, ml_dsa_65 }
            })
        })?;
        Ok((expanded, public))
    }
}

impl IdentityKeys {
    /// Expands the seeds: ML-KEM.KeyGen_internal (FIPS 203 §6.1), ML-DSA.KeyGen_internal (FIPS 204
    /// §6.1), and the X25519 scalar clamped (RFC 7748 §5).
    ///
    /// # Errors
    /// [`KeyError`]; what there was of the keys is wiped.
    pub fn expand(seeds: &Seeds) -> Result<Self, KeyError> {
        let x25519 = Secret::from_fn(|scalar| clamp(scalar, seeds.x25519()));
        let (expanded, public) = Expanded::grow(seeds, &x25519)?;
        Ok(Self { x25519, expanded, public, second: OnceLock::new() })
    }

    /// The public keys.
    #[must_use]
    pub fn public(&self) -> &PublicKeys {
        &self.public
    }

    /// The X25519 private key as wg(8) has it: clamped (RFC 7748 §5), as `wg genkey` does.
    #[must_use]
    pub fn wireguard_private_key(&self) -> Secret<X25519_BYTES> {
        Secret::copy_of(self.x25519.expose())
    }

    /// Signs with ML-DSA-65: hedged (FIPS 204 §5.2), with an empty context.
    ///
    /// # Errors
    /// [`SignError`]; no part of a signature leaves then.
    pub fn sign(&self, message: &[u8]) -> Result<Box<Signature>, SignError> {
        let second = self.second.get_or_init(|| SecondOpinion::new(&self.public.ml_dsa_65));
        signature::sign(&self.expanded.expose().ml_dsa_65, second, message)
    }

    /// What the sender of `ciphertext` has as shared secret too (FIPS 203 §7.3). When it was made for
    /// another key, or damaged, the secret is one that nobody else has: ML-KEM rejects implicitly.
    #[must_use]
    pub fn decapsulate(&self, ciphertext: &Ciphertext) -> Secret<SHARED_SECRET_BYTES> {
        kem::decapsulate(&self.expanded.expose().ml_kem_768, ciphertext)
    }
}

impl fmt::Debug for PublicKeys {
    /// The shortest of them, which tells identities apart.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PublicKeys").field("x25519", &self.x25519).finish_non_exhaustive()
    }
}

impl fmt::Debug for IdentityKeys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("IdentityKeys").field("public", &self.public).finish_non_exhaustive()
    }
}

fn clamp(scalar: &mut [u8; X25519_BYTES], seed: &[u8; X25519_BYTES]) {
    scalar.copy_from_slice(seed);
    scalar[0] &= 248;
    scalar[31] = scalar[31] & 127 | 64;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_expanded_keys_take_six_pages() {
        assert_eq!(size_of::<Expanded>().div_ceil(4096), 6);
    }
}
