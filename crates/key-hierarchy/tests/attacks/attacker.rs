//! An attacker who has the file, the source, and what some of the people know, and runs his own code.
//!
//! He uses the ciphers directly and no function of this crate that could refuse him, but for the
//! stretching of a password and the text that wraps are bound to, which he would only write anew.

use std::collections::{BTreeMap, BTreeSet, HashSet};

use aes_gcm::aead::{Aead, Payload};
use aes_gcm::{Aes256Gcm, KeyInit};
use key_hierarchy::hex;
use key_hierarchy::kdf::{KdfParameters, WorkingMemory};
use key_hierarchy::{Derivation, Metadata, Parameters};
use serde_json::Value;
use site_config::FactorKind;
use x_wing::{Ciphertext, Decapsulate, DecapsulationKey};

use crate::common::{DERIVATIONS, Evidence};
use crate::guesses::{guesses, orders};

pub type Key = [u8; 32];

/// What came of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Prize {
    Master(Key),
    /// A piece of a factor that he does not hold.
    Piece(u32),
}

/// One blob of the file that something may open.
struct Wrap {
    /// Which factor's piece; `None` for the master key.
    factor: Option<u32>,
    nonce: [u8; 12],
    /// With its tag.
    ciphertext: Vec<u8>,
    bound_to: Vec<u8>,
}

/// What one person's evidence opens by itself.
#[derive(Clone, Default)]
struct Haul {
    pieces: BTreeMap<u32, Key>,
    /// Factor secrets, private keys, shared secrets.
    others: Vec<Key>,
}

pub struct Attacker {
    profile: String,
    metadata: Metadata,
    factors: u8,
    wraps: Vec<Wrap>,
    encapsulated: Vec<(u32, Ciphertext)>,
    hauls: BTreeMap<u32, Haul>,
    /// Keys from elsewhere: old files, earlier days.
    known: Vec<Key>,
    /// By which he knows the right master key.
    vault_key: Key,
    /// What was tried in vain, so that no two crews try the same.
    tried: HashSet<Key>,
    /// The same for each wrap with its tag.
    tried_on: Vec<HashSet<Key>>,
}

impl Attacker {
    /// Reads the file, and what each of the factors opens by itself. He has the vault as well, and so
    /// can tell whether a key is `vault_key`.
    pub fn new(file: &[u8], evidence: &Evidence, vault_key: Key) -> Self {
        let metadata = Metadata::parse_any(file).unwrap();
        let json: Value = serde_json::from_slice(file).unwrap();
        let wraps = wraps(&json, &metadata);
        let encapsulated = encapsulated(&json);
        let mut attacker = Self {
            profile: metadata.enrolment().binding.profile.clone(),
            factors: u8::try_from(metadata.enrolment().factors().len()).unwrap(),
            metadata,
            tried_on: wraps.iter().map(|_| HashSet::new()).collect(),
            wraps,
            encapsulated,
            hauls: BTreeMap::new(),
            known: Vec::new(),
            vault_key,
            tried: HashSet::new(),
        };
        attacker.hauls =
            evidence.iter().map(|(id, answer)| (*id, attacker.open_alone(answer))).collect();
        attacker
    }

    /// Tells him keys that are not of this file.
    pub fn learn(&mut self, keys: impl IntoIterator<Item = Key>) {
        self.known.extend(keys);
    }

    /// The pieces that the evidence of these factors opens.
    pub fn pieces(&self, crew: &BTreeSet<u32>) -> BTreeMap<u32, Key> {
        let hauls = self.hauls.iter().filter(|(id, _)| crew.contains(id));
        hauls.flat_map(|(_, haul)| haul.pieces.clone()).collect()
    }

    /// How many different keys were tried in vain.
    pub fn tried(&self) -> usize {
        self.tried.len() + self.tried_on.iter().map(HashSet::len).sum::<usize>()
    }

    /// Tries all that he can think of with what this crew knows.
    pub fn attack(&mut self, crew: &BTreeSet<u32>) -> Option<Prize> {
        let pieces: Vec<Key> = self.pieces(crew).into_values().collect();
        let held = self.hauls.iter().filter(|(id, _)| crew.contains(id));
        let mut others: Vec<Key> = held.flat_map(|(_, haul)| haul.others.clone()).collect();
        others.extend(&self.known);
        for guess in guesses(&pieces, self.factors) {
            if let Some(master) = self.try_on_master(&guess) {
                return Some(master);
            }
        }
        for other in &others {
            let with = |key: &Key| [[*other, *key].concat(), [*key, *other].concat()];
            for pair in others.iter().chain(&pieces).flat_map(with) {
                if let Some(master) = self.try_on_master(&pair) {
                    return Some(master);
                }
            }
        }
        let few = orders(&pieces).into_iter().filter(|order| order.len() < 3);
        let few = few.chain(others.iter().map(|other| vec![*other]));
        few.into_iter().find_map(|keys| self.try_everywhere(crew, &keys.concat()))
    }

    /// Tries a KEK from this material on the master key, whose tag he does not look at: a key is the
    /// right one when it opens the vault, whatever it was bound to.
    fn try_on_master(&mut self, material: &[u8]) -> Option<Prize> {
        let derivation = self.metadata.enrolment().derivation();
        let kek =
            derive(derivation, &format!("pds v2 combined-master-key {}", self.profile), material);
        if !self.tried.insert(kek) {
            return None;
        }
        let master = decrypted(&kek, &self.wraps[0]);
        let vault_key = derive(derivation, &format!("pds v2 vault-key {}", self.profile), &master);
        (vault_key == self.vault_key).then(|| {
            self.tried.remove(&kek);
            Prize::Master(master)
        })
    }

    /// Tries KEKs from this material, under each context and both functions, on every blob that the
    /// crew can't open anyway.
    fn try_everywhere(&mut self, crew: &BTreeSet<u32>, material: &[u8]) -> Option<Prize> {
        let derived = self.contexts().into_iter().flat_map(|context| {
            DERIVATIONS.map(|derivation| derive(derivation, &context, material))
        });
        for key in derived.chain(material.try_into().ok()) {
            for (wrap, tried) in self.wraps.iter().zip(&mut self.tried_on) {
                if wrap.factor.is_some_and(|id| crew.contains(&id)) || !tried.insert(key) {
                    continue;
                }
                if let Some(opened) = open(&key, wrap) {
                    tried.remove(&key);
                    return Some(wrap.factor.map_or(Prize::Master(opened), Prize::Piece));
                }
            }
        }
        None
    }

    /// Takes one answer as that of any kind of factor here, with any salt, and tries it on every blob.
    fn open_alone(&self, answer: &[u8]) -> Haul {
        let mut haul = Haul::default();
        let mut secrets = BTreeSet::new();
        for factor in self.metadata.enrolment().factors() {
            let password = match &factor.parameters {
                Parameters::Password(password) => Some(stretched(&password.kdf, answer)),
                _ => None,
            };
            let context = format!("pds v2 factor-secret {}", factor.parameters.kind());
            secrets.extend(DERIVATIONS.map(|derivation| {
                (password.unwrap_or_else(|| derive(derivation, &context, answer)), derivation as u8)
            }));
        }
        for (secret, derivation) in secrets {
            let derivation = DERIVATIONS[usize::from(derivation)];
            for factor in self.metadata.enrolment().factors() {
                let material = [&secret[..], &factor.salt].concat();
                let private = derive(derivation, "pds v2 factor-private-key", &material);
                let key = DecapsulationKey::from(private);
                for (id, ciphertext) in &self.encapsulated {
                    let shared: Key = key.decapsulate(ciphertext).into();
                    let kek = derive(derivation, "pds v2 factor-kek", &shared);
                    let of = |wrap: &&Wrap| wrap.factor == Some(*id);
                    if let Some(piece) = self.wraps.iter().find(of).and_then(|it| open(&kek, it)) {
                        haul.pieces.insert(*id, piece);
                        haul.others.extend([secret, private, shared, kek]);
                    }
                }
            }
        }
        haul
    }

    /// Every context of the source.
    fn contexts(&self) -> Vec<String> {
        let profile = &self.profile;
        let purposes = ["combined-master-key", "vault-key", "row-key", "metadata-key"];
        let of_profile = purposes.map(|purpose| format!("pds v2 {purpose} {profile}"));
        let others =
            ["factor-kek", "factor-check", "factor-private-key", "share-check", "share-salt"];
        let of_factors = others.map(|purpose| format!("pds v2 {purpose}"));
        let kinds = FactorKind::ALL.iter().map(|kind| format!("pds v2 factor-secret {kind}"));
        of_profile.into_iter().chain(of_factors).chain(kinds).chain([String::new()]).collect()
    }
}

/// A key from a context and the material for it, without this crate.
pub fn derive(derivation: Derivation, context: &str, material: &[u8]) -> Key {
    match derivation {
        Derivation::Blake3 => blake3::derive_key(context, material),
        Derivation::HkdfSha256 => {
            let mut key = Key::default();
            let hkdf = hkdf::Hkdf::<sha2::Sha256>::new(None, material);
            hkdf.expand(context.as_bytes(), &mut key).unwrap();
            key
        }
    }
}

/// The text that a piece, or the master key, is bound to.
pub fn bound_to(metadata: &Metadata, factor: Option<u32>) -> Vec<u8> {
    let enrolment = serde_json::to_string(metadata.enrolment()).unwrap();
    let factor = factor.map_or("null".to_owned(), |id| id.to_string());
    let text = format!(
        r#"{{"domain":"pds v2 unlock","version":2,"factor":{factor},"enrolment":{enrolment}}}"#
    );
    text.into_bytes()
}

fn stretched(kdf: &KdfParameters, answer: &[u8]) -> Key {
    *kdf.stretch(answer, &mut WorkingMemory::new()).unwrap().expose()
}

fn open(key: &Key, wrap: &Wrap) -> Option<Key> {
    let payload = Payload { msg: &wrap.ciphertext, aad: &wrap.bound_to };
    let opened = Aes256Gcm::new(key.into()).decrypt(&wrap.nonce.into(), payload).ok()?;
    opened.try_into().ok()
}

/// What is wrapped, if this is the key: GCM is a stream cipher, so encrypting it again decrypts it.
fn decrypted(key: &Key, wrap: &Wrap) -> Key {
    let again = Aes256Gcm::new(key.into()).encrypt(&wrap.nonce.into(), &wrap.ciphertext[..32]);
    *again.unwrap().first_chunk().unwrap()
}

/// Every wrap of the file, that of the master key first.
fn wraps(json: &Value, metadata: &Metadata) -> Vec<Wrap> {
    let wrap = |value: &Value, factor| {
        let field = |name| hex::decode_vec(value[name].as_str().unwrap()).unwrap();
        Wrap {
            factor,
            nonce: field("nonce").try_into().unwrap(),
            ciphertext: [field("ciphertext"), field("tag")].concat(),
            bound_to: bound_to(metadata, factor),
        }
    };
    let pieces = json["pieces"].as_object().unwrap().iter();
    let pieces = pieces.map(|(id, piece)| wrap(&piece["wrapped"], Some(id.parse().unwrap())));
    [wrap(&json["master"], None)].into_iter().chain(pieces).collect()
}

fn encapsulated(json: &Value) -> Vec<(u32, Ciphertext)> {
    let pieces = json["pieces"].as_object().unwrap().iter();
    let ciphertexts = pieces.map(|(id, piece)| {
        let bytes = hex::decode_vec(piece["encapsulated"].as_str().unwrap()).unwrap();
        (id.parse().unwrap(), Ciphertext::try_from(bytes.as_slice()).unwrap())
    });
    ciphertexts.collect()
}
