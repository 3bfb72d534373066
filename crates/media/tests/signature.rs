//! Signatures of manifests, by keys that are made here.

#![allow(clippy::unwrap_used, reason = "a test that panics has failed")]

use media::Digest;
use media::signature::{SignatureError, Signer};
use openssl::asn1::Asn1Time;
use openssl::ec::{EcGroup, EcKey};
use openssl::hash::MessageDigest;
use openssl::nid::Nid;
use openssl::pkey::{PKey, Private};
use openssl::rsa::Rsa;
use openssl::sign::Signer as Sign;
use openssl::x509::X509;

const MANIFEST: &[u8] = b"{ a manifest }";

fn rsa(bits: u32) -> PKey<Private> {
    PKey::from_rsa(Rsa::generate(bits).unwrap()).unwrap()
}

fn ec(curve: Nid) -> PKey<Private> {
    let group = EcGroup::from_curve_name(curve).unwrap();
    PKey::from_ec_key(EcKey::generate(&group).unwrap()).unwrap()
}

fn public(key: &PKey<Private>) -> Vec<u8> {
    key.public_key_to_pem().unwrap()
}

fn sign(key: &PKey<Private>, digest: MessageDigest) -> Vec<u8> {
    Sign::new(digest, key).unwrap().sign_oneshot_to_vec(MANIFEST).unwrap()
}

#[test]
fn a_signature_counts_for_its_key_and_its_bytes_alone() {
    let keys = [rsa(2048), ec(Nid::X9_62_PRIME256V1)];
    for (key, other) in [(&keys[0], &keys[1]), (&keys[1], &keys[0])] {
        let signer = Signer::parse(&public(key)).unwrap();
        let good = sign(key, MessageDigest::sha256());
        assert_eq!(signer.verify(MANIFEST, &good), Ok(()));
        assert_eq!(signer.certificate_sha256(), None);
        assert_eq!(signer.verify(b"{ b manifest }", &good), Err(SignatureError::Wrong));
        for at in 0..good.len() {
            let mut bad = good.clone();
            bad[at] ^= 1;
            assert_eq!(signer.verify(MANIFEST, &bad), Err(SignatureError::Wrong), "{at}");
        }
        for bad in [&good[..good.len() - 1], &[], &[0; 5000]] {
            assert_eq!(signer.verify(MANIFEST, bad), Err(SignatureError::Wrong));
        }
        let stranger = sign(other, MessageDigest::sha256());
        assert_eq!(signer.verify(MANIFEST, &stranger), Err(SignatureError::Wrong));
        let weak = sign(key, MessageDigest::sha1());
        assert_eq!(signer.verify(MANIFEST, &weak), Err(SignatureError::Wrong));
    }
}

#[test]
fn a_certificate_is_a_key_with_a_digest() {
    let key = rsa(2048);
    let mut builder = X509::builder().unwrap();
    builder.set_pubkey(&key).unwrap();
    builder.set_not_before(&Asn1Time::days_from_now(0).unwrap()).unwrap();
    builder.set_not_after(&Asn1Time::days_from_now(1).unwrap()).unwrap();
    builder.sign(&key, MessageDigest::sha256()).unwrap();
    let certificate = builder.build();
    let signer = Signer::parse(&certificate.to_pem().unwrap()).unwrap();
    let digest = Digest::of(&certificate.to_der().unwrap());
    assert_eq!(signer.certificate_sha256(), Some(digest));
    assert_eq!(signer.verify(MANIFEST, &sign(&key, MessageDigest::sha256())), Ok(()));
}

#[test]
fn other_kinds_of_keys_are_refused() {
    let ed25519 = PKey::generate_ed25519().unwrap();
    for key in [rsa(1024), ec(Nid::SECP384R1), ed25519] {
        assert!(matches!(Signer::parse(&public(&key)), Err(SignatureError::Kind)));
    }
    let secret = rsa(2048).private_key_to_pem_pkcs8().unwrap();
    for bytes in [b"".as_slice(), b"-----BEGIN PUBLIC KEY-----", &secret, &[b'-'; 70_000]] {
        assert!(matches!(Signer::parse(bytes), Err(SignatureError::NoKey)));
    }
}
