//! Everything that is private about an identity, computed once more from its seeds: what no search may
//! find.

#![allow(dead_code, clippy::unwrap_used, reason = "helpers of tests, of which each uses a part")]

use std::collections::BTreeSet;
use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::Path;

use data_encoding::BASE64;
use fips204::ml_dsa_65::KG;
use fips204::traits::{KeyGen, SerDes};
use memchr::memmem;
use ml_kem::ml_kem_768::DecapsulationKey;
use testbed::hunt::Hunt;
use testbed::identity_file::StoredVersion;
use testbed::snapshot;

const PIECE: usize = 16;
/// Of a large key, so many pieces are searched for: all over it.
const SAMPLES: usize = 12;

/// Secrets by name.
#[derive(Default)]
pub struct Secrets(pub Vec<(String, Vec<u8>)>);

impl Secrets {
    /// As it is, and as a request or a reply has it.
    pub fn add(&mut self, name: &str, secret: &[u8]) {
        self.0.push((name.to_owned(), secret.to_vec()));
        self.0.push((format!("{name}, in base64"), BASE64.encode(secret).into_bytes()));
    }

    /// Pieces of something large, but for what is public or no secret.
    fn sample(&mut self, name: &str, secret: &[u8], public: &[u8]) {
        let is_private = |piece: &&[u8]| {
            let distinct = piece.iter().collect::<BTreeSet<_>>().len();
            distinct > 4 && memmem::find(public, piece).is_none()
        };
        let pieces: Vec<_> = secret.chunks_exact(PIECE).filter(is_private).collect();
        assert!(pieces.len() >= SAMPLES, "{} pieces of {name}", pieces.len());
        for piece in pieces.iter().step_by(pieces.len() / SAMPLES) {
            self.0.push((name.to_owned(), piece.to_vec()));
        }
    }

    /// Everything that grows from a version's seeds.
    pub fn add_version(&mut self, name: &str, version: &StoredVersion) {
        self.add(&format!("{name}, the seeds"), &version.seeds);
        // Base64 of a part that begins elsewhere is different text.
        for (part, range) in [("d", 32..64), ("z", 64..96), ("xi", 96..128)] {
            self.add(&format!("{name}, {part}"), &version.seeds[range]);
        }
        self.add(&format!("{name}, the WireGuard key"), &version.wireguard_key());
        let (_, signing) = KG::keygen_from_seed(version.seeds.last_chunk().unwrap());
        let as_it_is = memory_of(&signing);
        let encoded = signing.into_bytes();
        // FIPS 204 §7.2: ρ, K, tr, s1, s2, t0; ρ and tr are public.
        let public = [&encoded[..32], &encoded[64..128]].concat();
        self.sample(&format!("{name}, the expanded ML-DSA-65 key"), &as_it_is, &public);
        self.sample(&format!("{name}, the ML-DSA-65 key encoded"), &encoded[128..1536], &public);
        let seed: [u8; 64] = version.seeds[32..96].try_into().unwrap();
        let decapsulation = DecapsulationKey::from_seed(seed.into());
        let public = memory_of(decapsulation.encapsulation_key());
        let as_it_is = memory_of(&decapsulation);
        self.sample(&format!("{name}, the expanded ML-KEM-768 key"), &as_it_is, &public);
    }

    pub fn hunt(&self) -> Hunt {
        self.0.iter().fold(Hunt::default(), |hunt, (name, secret)| hunt.with(name, secret))
    }

    /// Names of those of which a piece is in a file below `directory`.
    pub fn found_below(&self, directory: &Path) -> Vec<String> {
        let files = snapshot(directory);
        assert!(!files.is_empty(), "{} has no files", directory.display());
        let mut found = Vec::new();
        for (path, content) in files {
            for (name, secret) in &self.0 {
                if secret.chunks_exact(PIECE).any(|piece| memmem::find(&content, piece).is_some()) {
                    found.push(format!("{name} in {}", path.display()));
                }
            }
        }
        found
    }
}

/// The bytes of a value as it lies in memory.
fn memory_of<T>(value: &T) -> Vec<u8> {
    let mut bytes = vec![0; size_of::<T>()];
    let memory = File::open("/proc/self/mem").unwrap();
    memory.read_exact_at(&mut bytes, std::ptr::from_ref(value).addr() as u64).unwrap();
    bytes
}
