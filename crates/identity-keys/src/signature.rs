//! ML-DSA-65, FIPS 204, in two implementations: fips204 signs, and ml-dsa verifies what it signed.
//!
//! The one that signs takes two thirds of the time of the other and a quarter of the secret memory;
//! the one that verifies keeps the public matrix, and so is the faster one at that. They have no
//! lattice code in common, only the ancestors of their SHAKE.

use fips204::ml_dsa_65::{KG, PrivateKey, PublicKey};
use fips204::traits::{KeyGen, SerDes, Signer, Verifier};
use ml_dsa::MlDsa65;

use crate::stack::with_clean_stack;
use crate::{SIGNATURE_BYTES, VERIFYING_KEY_BYTES};

/// A public key.
pub type VerifyingKey = [u8; VERIFYING_KEY_BYTES];
/// A signature.
pub type Signature = [u8; SIGNATURE_BYTES];

/// FIPS 204 §5.2: what is signed here has no context.
const CONTEXT: &[u8] = &[];
/// How deep key generation and signing go, in bytes, with a margin. A test measures it.
pub(crate) const DEPTH: usize = if cfg!(debug_assertions) { 640 << 10 } else { 192 << 10 };

/// Why there is no signature.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SignError {
    /// No random bytes to hedge with.
    #[error("the kernel gave no random bytes, so nothing was signed; try again")]
    NoRandomBytes,
    /// Signing did not end within the bound of FIPS 204, Appendix C.
    #[error(
        "signing with ML-DSA-65 found no signature, which happens with a damaged key only; nothing \
         was signed: lock and unlock to read the key again, and check the machine"
    )]
    NoSignature,
    /// A signature was made that the second implementation does not verify: a fault of the machine,
    /// or of one of the two. It was thrown away, for it may tell of the key.
    #[error(
        "the two implementations of ML-DSA-65 disagree about a new signature, so it was discarded; \
         the stored key is untouched: check the machine before you sign again"
    )]
    Disagreement,
}

/// Whether both implementations find that `signature` is that of `message` (FIPS 204 §5.3, with an
/// empty context) by the owner of `key`.
#[must_use]
pub fn verify(key: &VerifyingKey, message: &[u8], signature: &Signature) -> bool {
    BothOpinions::new(key).is_some_and(|both| both.verify(message, signature))
}

/// ML-DSA.KeyGen_internal (FIPS 204 §6.1); the key is for secret memory.
pub(crate) fn expand(seed: &[u8; 32]) -> (VerifyingKey, PrivateKey) {
    let (public, private) = KG::keygen_from_seed(seed);
    (public.into_bytes(), private)
}

/// Signs, hedged (FIPS 204 §5.2), and has it verified.
pub(crate) fn sign(
    key: &PrivateKey,
    second: &SecondOpinion,
    message: &[u8],
) -> Result<Box<Signature>, SignError> {
    second.agrees(message, || sign_hedged(key, message))
}

pub(crate) fn sign_hedged(key: &PrivateKey, message: &[u8]) -> Result<Box<Signature>, SignError> {
    with_clean_stack::<DEPTH, _>(|| {
        let mut random = [0; 32];
        getrandom::fill(&mut random).map_err(|_| SignError::NoRandomBytes)?;
        sign_with(key, message, &random)
    })
}

pub(crate) fn sign_with(
    key: &PrivateKey,
    message: &[u8],
    random: &[u8; 32],
) -> Result<Box<Signature>, SignError> {
    let signature = key.try_sign_with_seed(random, message, CONTEXT);
    signature.map(Box::new).map_err(|_| SignError::NoSignature)
}

/// A public key in the implementation that does not sign with it.
pub(crate) struct SecondOpinion(Box<ml_dsa::VerifyingKey<MlDsa65>>);

impl SecondOpinion {
    pub(crate) fn new(key: &VerifyingKey) -> Self {
        Self(Box::new(ml_dsa::VerifyingKey::decode(key.into())))
    }

    /// Lets a signature leave that is valid.
    fn agrees(
        &self,
        message: &[u8],
        sign: impl FnOnce() -> Result<Box<Signature>, SignError>,
    ) -> Result<Box<Signature>, SignError> {
        let signature = sign()?;
        if self.verifies(message, &signature) {
            return Ok(signature);
        }
        Err(SignError::Disagreement)
    }

    fn verifies(&self, message: &[u8], signature: &Signature) -> bool {
        ml_dsa::Signature::<MlDsa65>::decode(signature.into())
            .is_some_and(|signature| self.0.verify_with_context(message, CONTEXT, &signature))
    }
}

/// A public key in both.
struct BothOpinions {
    first: PublicKey,
    second: SecondOpinion,
}

impl BothOpinions {
    fn new(key: &VerifyingKey) -> Option<Self> {
        let first = PublicKey::try_from_bytes(*key).ok()?;
        Some(Self { first, second: SecondOpinion::new(key) })
    }

    fn verify(&self, message: &[u8], signature: &Signature) -> bool {
        self.first.verify(message, signature, CONTEXT) && self.second.verifies(message, signature)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test that panics has failed")]

    use super::*;

    /// The encoded key is ρ, K, tr, s1 (from 128), s2 (from 768) and t0 (from 1536), FIPS 204 §7.2.
    fn damaged(key: &PrivateKey, damage: impl FnOnce(&mut [u8; 4032])) -> PrivateKey {
        let mut bytes = key.clone().into_bytes();
        damage(&mut bytes);
        PrivateKey::try_from_bytes(bytes).unwrap()
    }

    #[test]
    fn a_signature_that_does_not_verify_never_leaves() {
        let (public, key) = expand(&[1; 32]);
        let second = SecondOpinion::new(&public);
        let signature = sign(&key, &second, b"x").unwrap();
        assert_eq!(second.agrees(b"x", || Ok(signature.clone())), Ok(signature.clone()));

        for at in (0..SIGNATURE_BYTES).step_by(61) {
            let mut faulty = signature.clone();
            faulty[at] ^= 0x10;
            let verdict = second.agrees(b"x", || Ok(faulty)).err();
            assert_eq!(verdict, Some(SignError::Disagreement), "byte {at}");
        }
        let verdict = second.agrees(b"y", || Ok(signature)).err();
        assert_eq!(verdict, Some(SignError::Disagreement), "of another message");
    }

    #[test]
    fn the_signature_of_a_damaged_key_never_leaves() {
        let (public, key) = expand(&[1; 32]);
        let second = SecondOpinion::new(&public);
        assert!(sign(&damaged(&key, |_| {}), &second, b"x").is_ok());
        // With one number of s2 wrong, most signatures would be right all the same: it only rounds.
        for (part, range) in [("the matrix", 0..1), ("s1", 128..129), ("t0", 1536..4032)] {
            let faulty = damaged(&key, |bytes| bytes[range].fill(0));
            let verdict = sign(&faulty, &second, b"x").err();
            assert_eq!(verdict, Some(SignError::Disagreement), "{part}");
        }
        let (_, other) = expand(&[2; 32]);
        let verdict = sign(&other, &second, b"x").err();
        assert_eq!(verdict, Some(SignError::Disagreement), "another key");
    }

    #[test]
    fn an_error_of_the_signer_is_passed_on() {
        let (public, _) = expand(&[1; 32]);
        let second = SecondOpinion::new(&public);
        let verdict = second.agrees(b"x", || Err(SignError::NoRandomBytes));
        assert_eq!(verdict, Err(SignError::NoRandomBytes));
    }

    #[test]
    fn one_implementation_that_accepts_is_not_enough() {
        let [(one, key), (other, other_key)] = [1, 2].map(|seed| expand(&[seed; 32]));
        let [both, others] = [one, other].map(|key| BothOpinions::new(&key).unwrap());
        let [signature, another] =
            [key, other_key].map(|key| sign_with(&key, b"x", &[0; 32]).unwrap());
        assert!(both.verify(b"x", &signature) && others.verify(b"x", &another));
        // Each as if one of the two accepted what it should refuse.
        let mixed = BothOpinions { first: both.first, second: others.second };
        assert!(!mixed.verify(b"x", &signature) && !mixed.verify(b"x", &another));
    }

    #[test]
    fn each_implementation_alone_refuses_every_flipped_byte() {
        let (public, key) = expand(&[1; 32]);
        let BothOpinions { first, second } = BothOpinions::new(&public).unwrap();
        let mut signature = *sign_with(&key, b"x", &[0; 32]).unwrap();
        assert!(first.verify(b"x", &signature, CONTEXT) && second.verifies(b"x", &signature));
        for at in (0..SIGNATURE_BYTES).step_by(61) {
            signature[at] ^= 0x10;
            assert!(!first.verify(b"x", &signature, CONTEXT), "byte {at}");
            assert!(!second.verifies(b"x", &signature), "byte {at}");
            signature[at] ^= 0x10;
        }
    }
}
