//! Public keys as people and programs get them.

use std::fmt::Write;

use audit_log::printable;
use cicada_client::{KEY_TYPE, PublicKey, SIGNATURE_ALGORITHM};
use data_encoding::{BASE64, HEXLOWER};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

/// The key that WireGuard takes, and fingerprints of the long ones.
pub fn text(keys: &PublicKey) -> String {
    let mut text = String::new();
    let _ = writeln!(text, "identity    {}, version {}", printable(&keys.identity), keys.version);
    let _ = writeln!(text, "X25519      {}", BASE64.encode(&keys.x25519));
    let _ = writeln!(text, "ML-KEM-768  SHA-256 {}", fingerprint(&keys.ml_kem_768[..]));
    let _ = writeln!(text, "ML-DSA-65   SHA-256 {}", fingerprint(&keys.ml_dsa_65[..]));
    text
}

/// The reply as the protocol has it, and the fingerprints.
pub fn json(keys: &PublicKey) -> Value {
    json!({
        "identity": keys.identity,
        "version": keys.version,
        "type": KEY_TYPE,
        "algorithm": SIGNATURE_ALGORITHM,
        "x25519": BASE64.encode(&keys.x25519),
        "ml_kem_768": BASE64.encode(&keys.ml_kem_768[..]),
        "ml_dsa_65": BASE64.encode(&keys.ml_dsa_65[..]),
        "sha256": {
            "ml_kem_768": fingerprint(&keys.ml_kem_768[..]),
            "ml_dsa_65": fingerprint(&keys.ml_dsa_65[..]),
        },
    })
}

/// SHA-256 of the key's bytes: `base64 -d | sha256sum` finds the same.
fn fingerprint(key: &[u8]) -> String {
    HEXLOWER.encode(&Sha256::digest(key))
}

#[cfg(test)]
pub mod tests {
    use super::*;

    /// Keys of nobody.
    pub fn keys() -> PublicKey {
        PublicKey {
            identity: "cloud-sync".to_owned(),
            version: 2,
            x25519: [1; 32],
            ml_kem_768: Box::new([2; 1184]),
            ml_dsa_65: Box::new([3; 1952]),
        }
    }

    #[test]
    fn people_get_the_short_key_and_fingerprints_of_the_long_ones() {
        insta::assert_snapshot!(text(&keys()));
    }

    #[test]
    fn programs_get_everything() {
        let json = json(&keys());
        let of = |name: &str| BASE64.decode(json[name].as_str().unwrap().as_bytes()).unwrap();
        assert_eq!((of("x25519"), of("ml_kem_768")), (vec![1; 32], vec![2; 1184]));
        assert_eq!(of("ml_dsa_65"), vec![3; 1952]);
        // printf '\1\1\1' | sha256sum
        assert_eq!(
            fingerprint(&[1, 1, 1]),
            "75c8fd04ad916aec3e3d5cb76a452b116b3d4d0912a0a485e9fb8e3d240e210c"
        );
    }
}
