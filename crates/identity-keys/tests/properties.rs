//! What holds for any seeds and any message.
#![allow(clippy::unwrap_used, reason = "a test that panics has failed")]

use std::thread;

use identity_keys::{EncapsulateError, IdentityKeys, SEED_BYTES, Seeds, encapsulate, verify};
use proptest::prelude::*;
use secret_memory::Secret;

fn expand(seeds: &[u8; SEED_BYTES]) -> IdentityKeys {
    IdentityKeys::expand(&Seeds::from_bytes(Secret::copy_of(seeds))).unwrap()
}

fn seeds() -> impl Strategy<Value = [u8; SEED_BYTES]> {
    prop::collection::vec(any::<u8>(), SEED_BYTES).prop_map(|seeds| seeds.try_into().unwrap())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]

    #[test]
    fn what_is_signed_verifies_with_that_key_and_message_only(
        seeds in seeds(),
        other in seeds(),
        message in prop::collection::vec(any::<u8>(), 0..2000),
        changed in any::<prop::sample::Index>(),
        bit in 0..8_u8,
    ) {
        let (keys, other) = (expand(&seeds), expand(&other));
        let signature = keys.sign(&message).unwrap();
        prop_assert!(verify(&keys.public().ml_dsa_65, &message, &signature));
        prop_assert!(!verify(&other.public().ml_dsa_65, &message, &signature));

        let mut longer = message.clone();
        longer.push(0);
        prop_assert!(!verify(&keys.public().ml_dsa_65, &longer, &signature));

        let mut flipped = signature.clone();
        flipped[changed.index(signature.len())] ^= 1_u8 << bit;
        prop_assert!(!verify(&keys.public().ml_dsa_65, &message, &flipped));
    }

    #[test]
    fn what_is_encapsulated_opens_with_that_key_and_undamaged_only(
        seeds in seeds(),
        other in seeds(),
        changed in any::<prop::sample::Index>(),
        bit in 0..8_u8,
    ) {
        let (keys, other) = (expand(&seeds), expand(&other));
        let (mut ciphertext, shared) = encapsulate(&keys.public().ml_kem_768).unwrap();
        let opened = keys.decapsulate(&ciphertext);
        prop_assert_eq!(opened.expose(), shared.expose());
        let rejected = other.decapsulate(&ciphertext);
        prop_assert_ne!(rejected.expose(), shared.expose());

        let at = changed.index(ciphertext.len());
        ciphertext[at] ^= 1_u8 << bit;
        let [rejected, again] = [(); 2].map(|()| keys.decapsulate(&ciphertext));
        prop_assert_ne!(rejected.expose(), shared.expose());
        prop_assert_eq!(rejected.expose(), again.expose());
    }

    /// FIPS 203 §7.2: each number of the key is less than q = 3329.
    #[test]
    fn a_key_with_too_large_a_number_is_refused(
        seeds in seeds(),
        which in 0..768_usize,
        number in 3328..4096_u16,
    ) {
        let mut key = expand(&seeds).public().ml_kem_768.clone();
        // Two numbers of 12 bits in three bytes.
        let bytes = &mut key[which / 2 * 3..][..3];
        let [low, high] = number.to_le_bytes();
        if which.is_multiple_of(2) {
            (bytes[0], bytes[1]) = (low, bytes[1] & 0xf0 | high);
        } else {
            (bytes[1], bytes[2]) = (bytes[1] & 0x0f | low << 4, high << 4 | low >> 4);
        }
        let refused = encapsulate(&key).err();
        prop_assert_eq!(refused, (number >= 3329).then_some(EncapsulateError::BadKey));
    }

    #[test]
    fn seeds_are_all_there_is(seeds in seeds()) {
        let (first, second) = (expand(&seeds), expand(&seeds));
        prop_assert_eq!(first.public(), second.public());
        let signature = first.sign(b"x").unwrap();
        prop_assert!(verify(&second.public().ml_dsa_65, b"x", &signature));
        let (ciphertext, shared) = encapsulate(&second.public().ml_kem_768).unwrap();
        let opened = first.decapsulate(&ciphertext);
        prop_assert_eq!(opened.expose(), shared.expose());
    }
}

#[test]
fn signatures_of_one_message_differ_for_they_are_hedged() {
    let keys = expand(&[7; SEED_BYTES]);
    assert_ne!(keys.sign(b"x").unwrap(), keys.sign(b"x").unwrap());
}

#[test]
fn encapsulations_to_one_key_differ() {
    let keys = expand(&[7; SEED_BYTES]);
    let [(first, shared), (second, other)] =
        [(); 2].map(|()| encapsulate(&keys.public().ml_kem_768).unwrap());
    assert_ne!(first, second);
    assert_ne!(shared.expose(), other.expose());
}

#[test]
fn generated_seeds_differ() {
    let [first, second] = [(); 2].map(|()| Seeds::generate().unwrap());
    assert_ne!(first.expose(), second.expose());
    assert!(first.expose().chunks(16).all(|piece| piece != [0; 16]), "all of it is filled");
}

#[test]
fn threads_share_the_keys() {
    let keys = expand(&[7; SEED_BYTES]);
    let (ciphertext, shared) = encapsulate(&keys.public().ml_kem_768).unwrap();
    thread::scope(|scope| {
        for thread in 0..8_u8 {
            let (keys, ciphertext, shared) = (&keys, &ciphertext, &shared);
            scope.spawn(move || {
                for round in 0..8 {
                    let message = [thread, round];
                    let signature = keys.sign(&message).unwrap();
                    assert!(verify(&keys.public().ml_dsa_65, &message, &signature));
                    assert_eq!(keys.decapsulate(ciphertext).expose(), shared.expose());
                }
            });
        }
    });
}

#[test]
fn debug_shows_nothing_private() {
    let seeds = Seeds::from_bytes(Secret::copy_of(&[0xa7; SEED_BYTES]));
    assert_eq!(format!("{seeds:?}"), "Seeds(Secret(128 bytes))");
    let keys = IdentityKeys::expand(&seeds).unwrap();
    let public = format!("{:?}", keys.public());
    assert_eq!(format!("{keys:?}"), format!("IdentityKeys {{ public: {public}, .. }}"));
}
