//! X25519, with the vectors of RFC 7748.
#![allow(clippy::unwrap_used, reason = "a test that panics has failed")]

use data_encoding::HEXLOWER;
use identity_keys::{IdentityKeys, SEED_BYTES, Seeds};
use secret_memory::Secret;
use x25519_dalek::x25519;

fn bytes(hexadecimal: &str) -> [u8; 32] {
    HEXLOWER.decode(hexadecimal.as_bytes()).unwrap().try_into().unwrap()
}

/// The keys of an identity with this scalar.
fn keys(scalar: &[u8; 32]) -> IdentityKeys {
    let seeds = Secret::from_fn(|seeds: &mut [u8; SEED_BYTES]| {
        seeds[..32].copy_from_slice(scalar);
    });
    IdentityKeys::expand(&Seeds::from_bytes(seeds)).unwrap()
}

#[test]
fn scalar_multiplication_is_that_of_section_5_2() {
    for (scalar, point, result) in [
        (
            "a546e36bf0527c9d3b16154b82465edd62144c0ac1fc5a18506a2244ba449ac4",
            "e6db6867583030db3594c1a424b15f7c726624ec26b3353b10a903a6d0ab1c4c",
            "c3da55379de9c6908e94ea4df28d084f32eccf03491c71f754b4075577a28552",
        ),
        (
            "4b66e9d4d1b4673c5ad22691957d6af5c11b6421e0ea01d42ca4169e7918ba0d",
            "e5210f12786811d3f4b7959d0538ae2c31dbe7106fc03c3efc4cd549c715a493",
            "95cbde9476e8907d7aade45cb4b873f88b595a68799fa152e6f8f7647aac7957",
        ),
    ] {
        assert_eq!(x25519(bytes(scalar), bytes(point)), bytes(result));
        // What WireGuard gets is clamped already, and is the same scalar.
        let clamped = *keys(&bytes(scalar)).wireguard_private_key().expose();
        assert_eq!(x25519(clamped, bytes(point)), bytes(result));
    }
}

#[test]
fn a_thousand_iterations_end_where_section_5_2_says() {
    let (mut scalar, mut point) = ([0; 32], [0; 32]);
    (scalar[0], point[0]) = (9, 9);
    for iteration in 1..=1000 {
        (scalar, point) = (x25519(scalar, point), scalar);
        match iteration {
            1 => assert_eq!(
                scalar,
                bytes("422c8e7a6227d7bca1350b3e2bb7279f7897b87bb6854b783c60e80311ae3079")
            ),
            1000 => assert_eq!(
                scalar,
                bytes("684cf59ba83309552800ef566f2f4d3c1c3887c49360e3875f2eb94d99532c51")
            ),
            _ => {}
        }
    }
}

#[test]
fn key_pairs_and_their_shared_secret_are_those_of_section_6_1() {
    let [alice, bob] = [
        "77076d0a7318a57d3c16c17251b26645df4c2f87ebc0992ab177fba51db92c2a",
        "5dab087e624a8a4b79e17f8b83800ee66f3bb1292618b6fd1c2f8b27ff88e0eb",
    ]
    .map(|private| keys(&bytes(private)));
    let [alice_public, bob_public] = [
        "8520f0098930a754748b7ddcb43ef75a0dbf3a0d26381af4eba4a98eaa9b4e6a",
        "de9edb7d7b7dc1b4d35b61c2ece435373f8343c85b78674dadfc7e146f882b4f",
    ]
    .map(bytes);
    assert_eq!((alice.public().x25519, bob.public().x25519), (alice_public, bob_public));

    let shared = bytes("4a5d9d5ba4ce2de1728e3bf480350f25e07e21c947d19e3376f09b3c1e161742");
    assert_eq!(x25519(*alice.wireguard_private_key().expose(), bob_public), shared);
    assert_eq!(x25519(*bob.wireguard_private_key().expose(), alice_public), shared);
}

#[test]
fn the_private_key_is_clamped_as_wg_genkey_does() {
    for byte in [0x00, 0x55, 0xaa, 0xff] {
        let key = *keys(&[byte; 32]).wireguard_private_key().expose();
        assert_eq!(key[0], byte & 0xf8);
        assert_eq!(key[1..31], [byte; 30]);
        assert_eq!(key[31], byte & 0x3f | 0x40);
    }
}
