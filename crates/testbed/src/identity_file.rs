//! Somebody who has cicada's disk and the unlock key: what a sealed identity holds, found out without a
//! daemon and without its code.

use std::fs;

use aes_gcm::aead::AeadInOut;
use aes_gcm::{Aes256Gcm, KeyInit};
use data_encoding::BASE64;
use ipc::codec;
use key_hierarchy::Derivation;
use serde::Deserialize;

use crate::host::Host;

const NONCE_BYTES: usize = 12;
const TAG_BYTES: usize = 16;

/// What a file holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredIdentity {
    /// The number of the last version that there ever was.
    pub last_version: u32,
    /// When it was revoked; seconds since 1970.
    pub revoked: Option<u64>,
    /// Oldest first.
    pub versions: Vec<StoredVersion>,
}

/// One version in it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredVersion {
    /// Counted from 1.
    pub number: u32,
    /// Until when it can be read; seconds since 1970.
    pub readable_until: Option<u64>,
    /// The X25519 scalar before it is clamped, d and z of ML-KEM-768, ξ of ML-DSA-65.
    pub seeds: [u8; 128],
}

impl StoredVersion {
    /// The X25519 private key, clamped (RFC 7748 §5), as `wg genkey` has it.
    #[must_use]
    pub fn wireguard_key(&self) -> [u8; 32] {
        let mut key: [u8; 32] = *self.seeds.first_chunk().expect("it has 128 bytes");
        key[0] &= 248;
        key[31] = key[31] & 127 | 64;
        key
    }
}

#[derive(Deserialize)]
struct File {
    format: u32,
    name: String,
    derivation: Derivation,
    sealed: String,
}

#[derive(Deserialize)]
struct Plain<'a> {
    _created: u64,
    last_version: u32,
    revoked: Option<u64>,
    #[serde(borrow)]
    versions: Vec<PlainVersion<'a>>,
}

#[derive(Deserialize)]
struct PlainVersion<'a> {
    number: u32,
    _created: u64,
    readable_until: Option<u64>,
    #[serde(borrow, with = "serde_bytes")]
    seeds: &'a [u8],
}

impl Host {
    /// What the file of an identity holds.
    ///
    /// # Panics
    /// When there is no such file, or the key doesn't open it.
    #[must_use]
    #[track_caller]
    pub fn stored_identity(&self, name: &str, unlock_key: &[u8; 32]) -> StoredIdentity {
        let file = fs::read(self.cicada_keys().join(format!("{name}.identity")));
        let file: File = serde_json::from_slice(&file.expect("a file")).expect("JSON");
        assert_eq!((file.format, file.name.as_str()), (1, format!("identity {name}").as_str()));
        let plain = open(&file, unlock_key);
        let plain: Plain<'_> = codec::decode(&plain).expect("what cicada wrote");
        let versions = plain.versions.into_iter().map(|version| StoredVersion {
            number: version.number,
            readable_until: version.readable_until,
            seeds: version.seeds.try_into().expect("128 bytes"),
        });
        StoredIdentity {
            last_version: plain.last_version,
            revoked: plain.revoked,
            versions: versions.collect(),
        }
    }
}

fn open(file: &File, unlock_key: &[u8; 32]) -> Vec<u8> {
    let File { format, name, derivation, sealed } = file;
    let word = match derivation {
        Derivation::Blake3 => "blake3",
        Derivation::HkdfSha256 => "hkdf-sha256",
    };
    let key = derivation.derive(&format!("cicada v1 sealing-key {name}"), unlock_key);
    let associated = format!("cicada sealed {format} {word} {name}");
    let sealed = BASE64.decode(sealed.as_bytes()).expect("base64");
    let (nonce, rest) = sealed.split_first_chunk::<NONCE_BYTES>().expect("a nonce");
    let (text, tag) = rest.split_last_chunk::<TAG_BYTES>().expect("a tag");
    let mut plain = text.to_vec();
    let room = plain.as_mut_slice().into();
    Aes256Gcm::new(key.expose().into())
        .decrypt_inout_detached(&(*nonce).into(), associated.as_bytes(), room, &(*tag).into())
        .expect("the right unlock key");
    plain
}
