//! NIST's ACVP vectors for ML-KEM-768 and ML-DSA-65; `tests/vectors/README.md` says where they come
//! from. What the interface of this crate has no place for (a private key that is not a seed, a
//! context) goes to the libraries below it.
#![allow(clippy::unwrap_used, reason = "a test that panics has failed")]
#![allow(deprecated, reason = "the only way from and to the expanded keys that NIST gives")]

use std::io::Read;
use std::sync::LazyLock;

use data_encoding::HEXLOWER;
use fips204::ml_dsa_65::{PrivateKey, PublicKey};
use fips204::traits::{SerDes, Signer, Verifier};
use flate2::read::GzDecoder;
use ml_dsa::MlDsa65;
use ml_kem::ExpandedKeyEncoding;
use ml_kem::ml_kem_768::DecapsulationKey;
use secret_memory::Secret;
use serde::{Deserialize, Deserializer};
use sha2::{Digest, Sha256};

use crate::kem::{EncapsulateError, decapsulate, encapsulate_message};
use crate::{IdentityKeys, SEED_BYTES, Seeds, encapsulate, kem, signature, verify};

static VECTORS: LazyLock<Vectors> = LazyLock::new(|| {
    let mut json = Vec::new();
    let packed: &[u8] = include_bytes!("../tests/vectors/acvp.json.gz");
    GzDecoder::new(packed).read_to_end(&mut json).unwrap();
    serde_json::from_slice(&json).unwrap()
});

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Vectors {
    ml_kem_key_gen: Vec<KemKeyGen>,
    ml_kem_encapsulation: Vec<Encapsulation>,
    ml_kem_decapsulation: Vec<Decapsulation>,
    ml_kem_encapsulation_key_check: Vec<EncapsulationKeyCheck>,
    ml_kem_decapsulation_key_check: Vec<DecapsulationKeyCheck>,
    ml_dsa_key_gen: Vec<DsaKeyGen>,
    ml_dsa_signature_generation: Vec<SignatureGeneration>,
    ml_dsa_signature_verification: Vec<SignatureVerification>,
}

#[derive(Deserialize)]
struct KemKeyGen {
    d: Hex,
    z: Hex,
    ek_sha256: Hex,
    dk_sha256: Hex,
}

#[derive(Deserialize)]
struct Encapsulation {
    ek: Hex,
    m: Hex,
    c_sha256: Hex,
    k: Hex,
}

#[derive(Deserialize)]
struct Decapsulation {
    dk: Hex,
    c: Hex,
    k: Hex,
}

#[derive(Deserialize)]
struct EncapsulationKeyCheck {
    ek: Hex,
    test_passed: bool,
}

#[derive(Deserialize)]
struct DecapsulationKeyCheck {
    dk: Hex,
    test_passed: bool,
}

#[derive(Deserialize)]
struct DsaKeyGen {
    seed: Hex,
    pk_sha256: Hex,
    sk_sha256: Hex,
}

#[derive(Deserialize)]
struct SignatureGeneration {
    sk: Hex,
    message: Hex,
    context: Hex,
    rnd: Hex,
    signature_sha256: Hex,
}

#[derive(Deserialize)]
struct SignatureVerification {
    pk: Hex,
    message: Hex,
    context: Hex,
    signature: Hex,
    test_passed: bool,
}

/// Bytes that the file has in hexadecimal.
struct Hex(Vec<u8>);

impl<'de> Deserialize<'de> for Hex {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        HEXLOWER.decode(text.as_bytes()).map(Self).map_err(serde::de::Error::custom)
    }
}

impl Hex {
    fn array<const N: usize>(&self) -> &[u8; N] {
        self.0.as_slice().try_into().unwrap()
    }

    fn is_sha256_of(&self, bytes: &[u8]) -> bool {
        self.0 == Sha256::digest(bytes).as_slice()
    }
}

/// The keys of seeds of which only one part matters.
fn keys(start: usize, part: &[&[u8]]) -> IdentityKeys {
    let seeds = Secret::from_fn(|seeds: &mut [u8; SEED_BYTES]| {
        let part = part.concat();
        seeds[start..start + part.len()].copy_from_slice(&part);
    });
    IdentityKeys::expand(&Seeds::from_bytes(seeds)).unwrap()
}

#[test]
fn ml_kem_key_generation_is_that_of_nist() {
    assert_eq!(VECTORS.ml_kem_key_gen.len(), 25);
    for test in &VECTORS.ml_kem_key_gen {
        let keys = keys(32, &[&test.d.0, &test.z.0]);
        assert!(test.ek_sha256.is_sha256_of(&*keys.public().ml_kem_768));
        let seed: Vec<u8> = [test.d.0.as_slice(), &test.z.0].concat();
        let expanded = kem::expand(seed.as_slice().try_into().unwrap()).to_expanded_bytes();
        assert!(test.dk_sha256.is_sha256_of(&expanded));
    }
}

#[test]
fn encapsulation_is_that_of_nist() {
    assert_eq!(VECTORS.ml_kem_encapsulation.len(), 25);
    for test in &VECTORS.ml_kem_encapsulation {
        let message = Secret::copy_of(test.m.array());
        let (ciphertext, shared) = encapsulate_message(test.ek.array(), &message).unwrap();
        assert!(test.c_sha256.is_sha256_of(&*ciphertext));
        assert_eq!(shared.expose(), test.k.array());
    }
}

#[test]
fn decapsulation_is_that_of_nist_with_ciphertexts_to_be_rejected_among_them() {
    assert_eq!(VECTORS.ml_kem_decapsulation.len(), 10);
    for test in &VECTORS.ml_kem_decapsulation {
        let key = DecapsulationKey::from_expanded(test.dk.array::<2400>().into()).unwrap();
        assert_eq!(decapsulate(&key, test.c.array()).expose(), test.k.array());
    }
}

#[test]
fn encapsulation_keys_that_nist_refuses_are_refused() {
    let refused = VECTORS.ml_kem_encapsulation_key_check.iter().filter(|test| !test.test_passed);
    assert_eq!((refused.count(), VECTORS.ml_kem_encapsulation_key_check.len()), (5, 10));
    for test in &VECTORS.ml_kem_encapsulation_key_check {
        let error = encapsulate(test.ek.array()).err();
        assert_eq!(error, (!test.test_passed).then_some(EncapsulateError::BadKey));
    }
}

#[test]
fn decapsulation_keys_that_nist_refuses_are_refused() {
    let refused = VECTORS.ml_kem_decapsulation_key_check.iter().filter(|test| !test.test_passed);
    assert_eq!((refused.count(), VECTORS.ml_kem_decapsulation_key_check.len()), (5, 10));
    for test in &VECTORS.ml_kem_decapsulation_key_check {
        let key = DecapsulationKey::from_expanded(test.dk.array::<2400>().into());
        assert_eq!(key.is_ok(), test.test_passed);
    }
}

#[test]
fn ml_dsa_key_generation_is_that_of_nist() {
    assert_eq!(VECTORS.ml_dsa_key_gen.len(), 25);
    for test in &VECTORS.ml_dsa_key_gen {
        let keys = keys(96, &[&test.seed.0]);
        assert!(test.pk_sha256.is_sha256_of(&*keys.public().ml_dsa_65));
        let (_, private) = signature::expand(test.seed.array());
        assert!(test.sk_sha256.is_sha256_of(&private.into_bytes()));
    }
}

#[test]
fn signatures_are_those_of_nist_deterministic_and_hedged() {
    let hedged =
        VECTORS.ml_dsa_signature_generation.iter().filter(|test| test.rnd.array() != &[0; 32]);
    assert_eq!((hedged.count(), VECTORS.ml_dsa_signature_generation.len()), (15, 30));
    for test in &VECTORS.ml_dsa_signature_generation {
        let key = PrivateKey::try_from_bytes(*test.sk.array()).unwrap();
        let signature =
            key.try_sign_with_seed(test.rnd.array(), &test.message.0, &test.context.0).unwrap();
        assert!(test.signature_sha256.is_sha256_of(&signature));
        if test.context.0.is_empty() {
            let ours = signature::sign_with(&key, &test.message.0, test.rnd.array()).unwrap();
            assert_eq!(*ours, signature);
        }
    }
}

#[test]
fn both_implementations_accept_and_refuse_the_signatures_that_nist_does() {
    let accepted = VECTORS.ml_dsa_signature_verification.iter().filter(|test| test.test_passed);
    assert_eq!((accepted.count(), VECTORS.ml_dsa_signature_verification.len()), (3, 15));
    for test in &VECTORS.ml_dsa_signature_verification {
        let (message, context) = (test.message.0.as_slice(), test.context.0.as_slice());
        let first = PublicKey::try_from_bytes(*test.pk.array()).unwrap();
        assert_eq!(first.verify(message, test.signature.array(), context), test.test_passed);

        let second = ml_dsa::VerifyingKey::<MlDsa65>::decode(test.pk.array::<1952>().into());
        let decoded = ml_dsa::Signature::decode(test.signature.array::<3309>().into());
        let verifies = |signature| second.verify_with_context(message, context, &signature);
        assert_eq!(decoded.is_some_and(verifies), test.test_passed);

        if context.is_empty() {
            let verdict = verify(test.pk.array(), message, test.signature.array());
            assert_eq!(verdict, test.test_passed);
        }
    }
}
