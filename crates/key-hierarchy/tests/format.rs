//! Known answers: what is stored, and what it is derived by.

#![allow(clippy::unwrap_used, reason = "a test that panics has failed")]

mod common;

use aes_gcm::aead::{Aead, Payload};
use aes_gcm::{Aes256Gcm, KeyInit};
use insta::assert_snapshot;
use key_hierarchy::kem::{PublicKey, SealedKey};
use key_hierarchy::{Derivation, Metadata, hex, wrap};
use secret_memory::Secret;
use serde_json::Value;
use site_config::{AuthMode, FactorKind};
use x_wing::{DecapsulationKey, Decapsulator};

use common::{DERIVATIONS, Plan, Scene, parameters, pieces, policy, simple};

fn scene(derivation: Derivation, policy: site_config::UnlockPolicy) -> Scene {
    let kinds = [FactorKind::Share, FactorKind::Password, FactorKind::Fido2];
    let factors = kinds.map(|kind| (kind, false)).to_vec();
    Plan { derivation, policy, factors }.set()
}

/// The master key's wrap of a file, opened under this KEK without this crate.
fn master(metadata: &Metadata, kek: &[u8; 32]) -> Option<Vec<u8>> {
    let file: Value = serde_json::from_slice(&metadata.render()).unwrap();
    let field = |name: &str| hex::decode_vec(file["master"][name].as_str().unwrap()).unwrap();
    let bound_to = format!(
        r#"{{"domain":"pds v2 unlock","version":2,"factor":null,"enrolment":{}}}"#,
        serde_json::to_string(metadata.enrolment()).unwrap()
    );
    let sealed = [field("ciphertext"), field("tag")].concat();
    let payload = Payload { msg: &sealed, aad: bound_to.as_bytes() };
    let nonce: [u8; 12] = field("nonce").try_into().unwrap();
    Aes256Gcm::new(kek.into()).decrypt(&nonce.into(), payload).ok()
}

/// From the pieces to the vault's key, with nothing but BLAKE3.
#[test]
fn the_kek_of_all_factors_derives_from_their_pieces_sorted_by_id() {
    let scene = scene(Derivation::Blake3, simple(AuthMode::All));
    let pieces = pieces(&scene.metadata, &scene.evidence).unwrap();
    let sorted: Vec<u8> = [1, 2, 3].iter().flat_map(|id| *pieces[id].expose()).collect();
    let kek = blake3::derive_key("pds v2 combined-master-key default", &sorted);
    let master = master(&scene.metadata, &kek).expect("the KEK made here opens the master key");
    let vault_key = blake3::derive_key("pds v2 vault-key default", &master);
    assert_eq!(vault_key, scene.vault_key());
    let unsorted: Vec<u8> = [2, 1, 3].iter().flat_map(|id| *pieces[id].expose()).collect();
    let kek = blake3::derive_key("pds v2 combined-master-key default", &unsorted);
    assert!(self::master(&scene.metadata, &kek).is_none());
}

#[test]
fn the_kek_of_any_factor_derives_from_the_piece_that_all_have() {
    let scene = scene(Derivation::HkdfSha256, simple(AuthMode::Any));
    for piece in pieces(&scene.metadata, &scene.evidence).unwrap().values() {
        let hkdf = hkdf::Hkdf::<sha2::Sha256>::new(None, piece.expose());
        let mut kek = [0; 32];
        hkdf.expand(b"pds v2 combined-master-key default", &mut kek).unwrap();
        assert_eq!(master(&scene.metadata, &kek).map(|master| master.len()), Some(32));
    }
}

/// X-Wing with fixed randomness, by the crate that has the draft's vectors among its tests; all around
/// it by hand.
#[test]
fn a_piece_is_sealed_by_x_wing_and_a_kek_that_derives_from_its_shared_secret() {
    let private = [0x11; 32];
    let key = DecapsulationKey::from(private);
    let randomness: [u8; 64] = std::array::from_fn(|at| at as u8);
    let (ciphertext, shared) =
        key.encapsulation_key().encapsulate_deterministic(&randomness.into());
    let public = serde_json::to_value(PublicKey::of(&Secret::copy_of(&private))).unwrap();
    let public = hex::decode_vec(public.as_str().unwrap()).unwrap();
    let piece = Secret::copy_of(&[0x22; 32]);
    let mut lines = format!(
        "public key: {} bytes, {}\nciphertext: {} bytes, {}\nshared secret: {}\n",
        public.len(),
        blake3::hash(&public),
        ciphertext.len(),
        blake3::hash(&ciphertext),
        hex::encode(&shared)
    );
    for derivation in DERIVATIONS {
        let kek = derivation.derive("pds v2 factor-kek", &shared);
        let wrapped = wrap::wrap(&kek, &piece, b"bound").unwrap();
        let sealed = SealedKey { encapsulated: ciphertext.to_vec(), wrapped };
        let opened = sealed.open(derivation, &Secret::copy_of(&private), b"bound").unwrap();
        assert_eq!(opened.expose(), piece.expose());
        lines += &format!("KEK by {derivation:?}: {}\n", hex::encode(kek.expose()));
    }
    assert_snapshot!(lines);
}

/// From what a factor answers to its check value and its public key.
#[test]
fn a_factor_s_keys_derive_as_they_are_documented() {
    let mut lines = String::new();
    for derivation in DERIVATIONS {
        for kind in FactorKind::ALL {
            let scene =
                Plan { derivation, policy: simple(AuthMode::Any), factors: vec![(*kind, false)] }
                    .set();
            let factor = &scene.metadata.enrolment().factors()[0];
            let answer = &scene.evidence[&1];
            let secret = match parameters(*kind) {
                key_hierarchy::Parameters::Password(password) => {
                    password.kdf.stretch(answer, &mut Default::default()).unwrap()
                }
                _ => derivation.derive(&format!("pds v2 factor-secret {kind}"), answer),
            };
            let material = [&secret.expose()[..], &factor.salt].concat();
            let check = derivation.derive("pds v2 factor-check", &material);
            assert_eq!(check.expose()[..16], factor.check.0, "{kind}");
            let private = derivation.derive("pds v2 factor-private-key", &material);
            assert_eq!(PublicKey::of(&private), factor.public_key, "{kind}");
            lines += &format!("{kind} by {derivation:?}: {}\n", hex::encode(secret.expose()));
        }
    }
    assert_snapshot!(lines);
}

/// Hexadecimal texts of eight bytes and more show as their length: most are random.
fn shape(value: &mut Value) {
    match value {
        Value::String(text) => {
            if let Some(bytes) = hex::decode_vec(text).filter(|bytes| bytes.len() >= 8) {
                *text = format!("<{} bytes>", bytes.len());
            }
        }
        Value::Array(values) => values.iter_mut().for_each(shape),
        Value::Object(fields) => fields.values_mut().for_each(shape),
        _ => {}
    }
}

#[test]
fn the_stored_file_has_this_shape() {
    let people = FactorKind::ALL.iter().map(|kind| (*kind, *kind == FactorKind::Tpm));
    let plan = Plan {
        derivation: Derivation::HkdfSha256,
        policy: policy(&[FactorKind::Password], 2),
        factors: people.collect(),
    };
    let mut file: Value = serde_json::from_slice(&plan.set().file()).unwrap();
    shape(&mut file);
    assert_snapshot!(serde_json::to_string_pretty(&file).unwrap());
}

/// The order of the fields is part of what everything secret is bound to.
#[test]
fn the_order_of_the_fields_is_fixed() {
    let scene = scene(Derivation::Blake3, simple(AuthMode::All));
    let file = String::from_utf8(scene.file()).unwrap();
    let names = file.lines().filter_map(|line| line.trim().strip_prefix('"')?.split_once("\":"));
    let names: Vec<&str> = names.map(|(name, _)| name).collect();
    assert_snapshot!(names.join(" "));
}

#[test]
fn bytes_have_one_spelling() {
    assert_eq!(hex::decode_vec("00ff").as_deref(), Some(&[0, 255][..]));
    for other in ["00FF", "00f", "00fg", " 00ff", "0x00", "00\u{ff}"] {
        assert_eq!(hex::decode_vec(other), None, "{other:?}");
    }
    assert_eq!(hex::decode::<2>("00ff"), Some([0, 255]));
    assert_eq!(hex::decode::<3>("00ff"), None);
}
