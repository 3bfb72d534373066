//! The PIN/UV auth protocols (CTAP 2.1 §6.5.6 and §6.5.7), on the token's side.

use aes::Aes256;
use cbc::cipher::{BlockModeDecrypt, BlockModeEncrypt, KeyIvInit, block_padding::NoPadding};
use ciborium::Value;
use hkdf::Hkdf;
use hmac::{Hmac, KeyInit, Mac};
use p256::elliptic_curve::sec1::{FromSec1Point, ToSec1Point};
use p256::{PublicKey, Sec1Point, SecretKey};
use sha2::{Digest, Sha256};

use super::ctap::{bytes, integer, map};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Protocol {
    One,
    Two,
}

/// What both sides have after the key agreement.
pub struct Shared {
    protocol: Protocol,
    hmac_key: [u8; 32],
    aes_key: [u8; 32],
}

impl Protocol {
    pub fn number(self) -> i128 {
        match self {
            Self::One => 1,
            Self::Two => 2,
        }
    }

    pub fn agree(self, own: &SecretKey, peer: &Value) -> Shared {
        let peer = from_cose(peer);
        let point = p256::ecdh::diffie_hellman(own.to_nonzero_scalar(), peer.as_affine());
        let point = point.raw_secret_bytes();
        let (mut hmac_key, mut aes_key) = ([0; 32], [0; 32]);
        match self {
            Self::One => {
                hmac_key.copy_from_slice(&Sha256::digest(point));
                aes_key = hmac_key;
            }
            Self::Two => {
                let kdf = Hkdf::<Sha256>::new(Some(&[0; 32]), point);
                kdf.expand(b"CTAP2 HMAC key", &mut hmac_key).expect("32 bytes");
                kdf.expand(b"CTAP2 AES key", &mut aes_key).expect("32 bytes");
            }
        }
        Shared { protocol: self, hmac_key, aes_key }
    }

    /// `authenticate` of the specification.
    pub fn tag(self, key: &[u8], message: &[u8]) -> Vec<u8> {
        let mut tag = hmac(key, &[message]).to_vec();
        if self == Self::One {
            tag.truncate(16);
        }
        tag
    }
}

impl Shared {
    pub fn tag(&self, message: &[u8]) -> Vec<u8> {
        self.protocol.tag(&self.hmac_key, message)
    }

    pub fn encrypt(&self, plain: &[u8]) -> Vec<u8> {
        // Random in a real token; here no two messages have the same key.
        let vector = match self.protocol {
            Protocol::One => [0; 16],
            Protocol::Two => [0x33; 16],
        };
        let mut text = plain.to_vec();
        let cipher = cbc::Encryptor::<Aes256>::new(&self.aes_key.into(), &vector.into());
        let length = text.len();
        cipher.encrypt_padded::<NoPadding>(&mut text, length).expect("whole blocks");
        match self.protocol {
            Protocol::One => text,
            Protocol::Two => [&vector[..], &text].concat(),
        }
    }

    pub fn decrypt(&self, text: &[u8]) -> Vec<u8> {
        let (vector, text) = match self.protocol {
            Protocol::One => ([0; 16], text),
            Protocol::Two => {
                let (vector, text) = text.split_first_chunk().expect("an initial vector");
                (*vector, text)
            }
        };
        let mut plain = text.to_vec();
        let cipher = cbc::Decryptor::<Aes256>::new(&self.aes_key.into(), &vector.into());
        cipher.decrypt_padded::<NoPadding>(&mut plain).expect("whole blocks");
        plain
    }
}

pub fn hmac(key: &[u8], parts: &[&[u8]]) -> [u8; 32] {
    let mut mac = Hmac::<Sha256>::new_from_slice(key).expect("any length");
    for part in parts {
        mac.update(part);
    }
    mac.finalize().into_bytes().into()
}

/// A COSE_Key (RFC 9052 §7) of this algorithm.
pub fn to_cose(key: &PublicKey, algorithm: i128) -> Value {
    let point = key.to_sec1_point(false);
    let coordinate = |value: Option<&p256::FieldBytes>| {
        Value::Bytes(value.expect("a point has coordinates").to_vec())
    };
    map([
        (1, integer(2)),
        (3, integer(algorithm)),
        (-1, integer(1)),
        (-2, coordinate(point.x())),
        (-3, coordinate(point.y())),
    ])
}

fn from_cose(key: &Value) -> PublicKey {
    let (x, y) = (bytes(key, -2), bytes(key, -3));
    let point = [&[4], &x[..], &y[..]].concat();
    let point = Sec1Point::from_bytes(point).expect("an uncompressed point");
    PublicKey::from_sec1_point(&point).expect("a point on the curve")
}
