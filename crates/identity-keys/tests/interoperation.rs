//! With aws-lc, an implementation of other authors in another language.
#![allow(clippy::unwrap_used, reason = "a test that panics has failed")]

use aws_lc_rs::kem::{self, ML_KEM_768};
use aws_lc_rs::signature::{
    KeyPair, ML_DSA_65, ML_DSA_65_SIGNING, PqdsaKeyPair, UnparsedPublicKey,
};
use identity_keys::{IdentityKeys, SIGNATURE_BYTES, Seeds, encapsulate, verify};

const MESSAGES: [&[u8]; 3] = [b"", b"a message", &[0xa5; 70_000]];

fn identity() -> (Seeds, IdentityKeys) {
    let seeds = Seeds::generate().unwrap();
    let keys = IdentityKeys::expand(&seeds).unwrap();
    (seeds, keys)
}

#[test]
fn the_same_seed_is_the_same_signing_key() {
    let (seeds, keys) = identity();
    let theirs = PqdsaKeyPair::from_seed(&ML_DSA_65_SIGNING, &seeds.expose()[96..]).unwrap();
    assert_eq!(theirs.public_key().as_ref(), keys.public().ml_dsa_65.as_slice());
}

#[test]
fn they_verify_our_signatures() {
    let (_, keys) = identity();
    let theirs = UnparsedPublicKey::new(&ML_DSA_65, keys.public().ml_dsa_65.as_slice());
    for message in MESSAGES {
        let mut signature = keys.sign(message).unwrap();
        assert!(theirs.verify(message, signature.as_slice()).is_ok());
        signature[1000] ^= 1;
        assert!(theirs.verify(message, signature.as_slice()).is_err());
    }
}

#[test]
fn we_verify_their_signatures() {
    let theirs = PqdsaKeyPair::generate(&ML_DSA_65_SIGNING).unwrap();
    let key = theirs.public_key().as_ref().try_into().unwrap();
    for message in MESSAGES {
        let mut signature = [0; SIGNATURE_BYTES];
        assert_eq!(theirs.sign(message, &mut signature).unwrap(), SIGNATURE_BYTES);
        assert!(verify(key, message, &signature));
        assert!(!verify(key, b"another message", &signature));
        signature[1000] ^= 1;
        assert!(!verify(key, message, &signature));
    }
}

#[test]
fn they_open_what_we_encapsulate() {
    let theirs = kem::DecapsulationKey::generate(&ML_KEM_768).unwrap();
    let public = theirs.encapsulation_key().unwrap().key_bytes().unwrap();
    let (ciphertext, shared) = encapsulate(public.as_ref().try_into().unwrap()).unwrap();
    let opened = theirs.decapsulate(ciphertext.as_slice().into()).unwrap();
    assert_eq!(opened.as_ref(), shared.expose());
}

#[test]
fn we_open_what_they_encapsulate() {
    let (_, keys) = identity();
    let public = kem::EncapsulationKey::new(&ML_KEM_768, &*keys.public().ml_kem_768).unwrap();
    let (ciphertext, shared) = public.encapsulate().unwrap();
    let opened = keys.decapsulate(ciphertext.as_ref().try_into().unwrap());
    assert_eq!(opened.expose(), shared.as_ref());
}

/// A rejected ciphertext has a secret too (FIPS 203 §6.3), which is the same everywhere.
#[test]
fn they_reject_a_ciphertext_with_the_secret_that_we_do() {
    #![allow(deprecated, reason = "they take a decapsulation key in no other form")]
    use ml_kem::ExpandedKeyEncoding;

    let (seeds, keys) = identity();
    let seed: [u8; 64] = seeds.expose()[32..96].try_into().unwrap();
    let expanded = ml_kem::ml_kem_768::DecapsulationKey::from_seed(seed.into()).to_expanded_bytes();
    let theirs = kem::DecapsulationKey::new(&ML_KEM_768, &expanded).unwrap();

    let (mut ciphertext, shared) = encapsulate(&keys.public().ml_kem_768).unwrap();
    for damage in [0, 1] {
        ciphertext[500] ^= damage;
        let (ours, theirs) =
            (keys.decapsulate(&ciphertext), theirs.decapsulate(ciphertext.as_slice().into()));
        assert_eq!(ours.expose(), theirs.unwrap().as_ref());
        assert_eq!(ours.expose() == shared.expose(), damage == 0);
    }
}
