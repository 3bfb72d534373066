//! What sealing and opening leave on the stack: nothing of any key.

#![allow(clippy::unwrap_used, reason = "a test that panics has failed")]

mod common;

use std::fs::File;
use std::hint::black_box;
use std::mem::ManuallyDrop;
use std::os::unix::fs::FileExt;
use std::thread;

use key_hierarchy::kem::{PublicKey, SealedKey};
use key_hierarchy::{Derivation, Metadata, hex};
use memchr::memmem;
use secret_memory::{Secret, with_clean_deep_stack};
use serde_json::Value;
use site_config::{AuthMode, FactorKind};
use x_wing::{Ciphertext, Decapsulate, DecapsulationKey};

use common::{DERIVATIONS, Plan, pieces, policy, simple, unlock};

const PAINT: u8 = 0xa5;
const CANVAS: usize = 1 << 20;
/// What kem.rs wipes.
const DEPTH: usize = 256 << 10;

/// What `work` left in the stack below this frame, which was paint before.
#[inline(never)]
fn stack_after(work: impl FnOnce()) -> Vec<u8> {
    let local = black_box(0_u8);
    let here = std::ptr::from_ref(&local).addr();
    let memory = File::open("/proc/self/mem").unwrap();
    let mut stack = vec![0; CANVAS];
    paint();
    work();
    memory.read_exact_at(&mut stack, (here - CANVAS) as u64).unwrap();
    stack
}

#[inline(never)]
fn paint() {
    black_box(&mut [PAINT; CANVAS]);
}

fn depth(stack: &[u8]) -> usize {
    CANVAS - stack.iter().position(|byte| *byte != PAINT).unwrap()
}

/// Either half of it, at any place.
fn contains(stack: &[u8], secret: &[u8; 32]) -> bool {
    secret.chunks_exact(16).any(|half| memmem::find(stack, half).is_some())
}

fn on_a_large_stack(test: impl FnOnce() + Send + 'static) {
    thread::Builder::new().stack_size(32 << 20).spawn(test).unwrap().join().unwrap();
}

/// As kem.rs does, with a library that wipes nothing.
#[inline(never)]
fn decapsulate_and_forget(private: &[u8; 32], ciphertext: &Ciphertext) {
    let key = ManuallyDrop::new(DecapsulationKey::from(*private));
    black_box(ManuallyDrop::new(key.decapsulate(ciphertext)));
    black_box(&key);
}

#[inline(never)]
fn encapsulate_and_forget(private: &[u8; 32]) {
    use x_wing::Decapsulator;
    let key = ManuallyDrop::new(DecapsulationKey::from(*private));
    let randomness = black_box([0x3c; 64]);
    black_box(key.encapsulation_key().encapsulate_deterministic(&randomness.into()));
}

/// What an attacker would look for in one sealed key: the private key, the shared secret, the KEK, and
/// the key itself.
fn secrets_of(sealed: &SealedKey, private: &[u8; 32], derivation: Derivation) -> Vec<[u8; 32]> {
    let ciphertext = Ciphertext::try_from(sealed.encapsulated.as_slice()).unwrap();
    let shared: [u8; 32] = DecapsulationKey::from(*private).decapsulate(&ciphertext).into();
    let kek = *derivation.derive("pds v2 factor-kek", &shared).expose();
    vec![*private, shared, kek]
}

#[test]
fn x_wing_stays_within_what_is_wiped_and_leaves_no_key() {
    on_a_large_stack(|| {
        let private: [u8; 32] = std::array::from_fn(|at| at as u8 ^ 0x77);
        let private = Secret::copy_of(&private);
        let piece = Secret::copy_of(&std::array::from_fn(|at| at as u8 ^ 0x99));
        let public = PublicKey::of(&private);
        for derivation in DERIVATIONS {
            let sealed = public.seal(derivation, &piece, b"bound").unwrap();
            let mut secrets = secrets_of(&sealed, private.expose(), derivation);
            secrets.push(*piece.expose());
            let found = |stack: &[u8]| secrets.iter().any(|secret| contains(stack, secret));

            // The search finds what is there, and the library is not deeper than what is wiped.
            let ciphertext = Ciphertext::try_from(sealed.encapsulated.as_slice()).unwrap();
            let forgot = stack_after(|| decapsulate_and_forget(private.expose(), &ciphertext));
            assert!(found(&forgot), "the search finds what was left");
            assert!(depth(&forgot) < DEPTH / 4 * 3, "decapsulating: {} bytes", depth(&forgot));
            let forgot = stack_after(|| encapsulate_and_forget(private.expose()));
            assert!(depth(&forgot) < DEPTH / 4 * 3, "encapsulating: {} bytes", depth(&forgot));
            let clean = stack_after(|| {
                with_clean_deep_stack::<DEPTH, _>(|| {
                    decapsulate_and_forget(private.expose(), &ciphertext);
                });
            });
            assert!(!found(&clean), "the wipe reaches what the library left");

            let clean = stack_after(|| drop(black_box(PublicKey::of(&private))));
            assert!(!found(&clean), "making the public key");
            let opened = stack_after(|| {
                drop(black_box(sealed.open(derivation, &private, b"bound").unwrap()));
            });
            assert!(!found(&opened), "opening");

            let mut again = None;
            let stack =
                stack_after(|| again = Some(public.seal(derivation, &piece, b"bound").unwrap()));
            let mut secrets = secrets_of(&again.unwrap(), private.expose(), derivation);
            secrets.push(*piece.expose());
            assert!(!secrets.iter().any(|secret| contains(&stack, secret)), "sealing");
        }
    });
}

#[test]
fn sealing_and_opening_a_profile_leave_no_key() {
    on_a_large_stack(|| {
        for derivation in DERIVATIONS {
            for policy in [simple(AuthMode::All), policy(&[FactorKind::Password], 2)] {
                sealing_and_opening(derivation, policy);
            }
        }
    });
}

fn sealing_and_opening(derivation: Derivation, policy: site_config::UnlockPolicy) {
    let kinds = [FactorKind::Password, FactorKind::Tpm, FactorKind::Fido2, FactorKind::Share];
    let factors = kinds.map(|kind| (kind, false)).to_vec();
    let scene = Plan { derivation, policy, factors }.set();

    let mut sealed = None;
    let enrolment = scene.metadata.enrolment().clone();
    let sealing = stack_after(|| sealed = Some(Metadata::seal(enrolment, &scene.master).unwrap()));
    let sealed = sealed.unwrap();
    let secrets = all_secrets(&sealed, &scene.evidence, derivation);
    assert!(secrets.len() > 20);
    // One that is left there is found.
    let left = stack_after(|| _ = black_box(black_box(secrets[0].1).map(|byte| byte)));
    assert!(contains(&left, &secrets[0].1), "the search finds what was left");
    for (name, secret) in &secrets {
        assert!(!contains(&sealing, secret), "{policy}: sealing left {name}");
    }

    let secret_of = |id: u32| {
        let factor = sealed.enrolment().factor(id).unwrap();
        common::secret(&factor.parameters, derivation, &scene.evidence[&id])
    };
    let factor_secrets = [1, 2, 3, 4].map(secret_of);
    let opening = stack_after(|| {
        let mut pieces = key_hierarchy::Pieces::new();
        for (id, secret) in (1..).zip(&factor_secrets) {
            pieces.insert(id, sealed.piece(id, secret).unwrap().unwrap());
        }
        drop(black_box(sealed.open(&pieces).unwrap()));
    });
    for (name, secret) in &secrets {
        assert!(!contains(&opening, secret), "{policy}: opening left {name}");
    }
    // And from the people's answers on.
    let answering = stack_after(|| drop(black_box(unlock(&sealed, &scene.evidence).unwrap())));
    let common_copies = ["piece"]; // tests/common hands pieces out as arrays
    for (name, secret) in secrets.iter().filter(|(name, _)| !common_copies.contains(name)) {
        assert!(!contains(&answering, secret), "{policy}: answering left {name}");
    }
}

/// Every key between the people's answers and the master key, by name.
fn all_secrets(
    metadata: &Metadata,
    evidence: &common::Evidence,
    derivation: Derivation,
) -> Vec<(&'static str, [u8; 32])> {
    let mut secrets = Vec::new();
    let file: Value = serde_json::from_slice(&metadata.render()).unwrap();
    let pieces = pieces(metadata, evidence).unwrap();
    let context = "pds v2 combined-master-key default";
    let material = metadata.tree().combine(&pieces).unwrap().unwrap();
    let kek = derivation.derive(context, material.expose());
    secrets.push(("the KEK", *kek.expose()));
    for key in material.expose().chunks_exact(32) {
        secrets.push(("a group's key", key.try_into().unwrap()));
    }
    let bound_to = format!(
        r#"{{"domain":"pds v2 unlock","version":2,"factor":null,"enrolment":{}}}"#,
        serde_json::to_string(metadata.enrolment()).unwrap()
    );
    let wrapped = serde_json::from_value(file["master"].clone()).unwrap();
    let master = key_hierarchy::wrap::unwrap(&kek, &wrapped, bound_to.as_bytes()).unwrap();
    secrets.push(("the master key", *master.expose()));
    let metadata_key = derivation.derive("pds v2 metadata-key default", master.expose());
    secrets.push(("the metadata key", *metadata_key.expose()));
    for (id, piece) in &pieces {
        secrets.push(("piece", *piece.expose()));
        let factor = metadata.enrolment().factor(*id).unwrap();
        let answer = &evidence[id];
        let secret = match &factor.parameters {
            key_hierarchy::Parameters::Password(password) => {
                password.kdf.stretch(answer, &mut Default::default()).unwrap()
            }
            other => derivation.derive(&format!("pds v2 factor-secret {}", other.kind()), answer),
        };
        let salted = [&secret.expose()[..], &factor.salt].concat();
        let private = derivation.derive("pds v2 factor-private-key", &salted);
        let sealed: SealedKey =
            serde_json::from_value(file["pieces"][id.to_string()].clone()).unwrap();
        secrets.push(("a factor's secret", *secret.expose()));
        let names = ["a private key", "a shared secret", "a piece's KEK"];
        secrets.extend(names.into_iter().zip(secrets_of(&sealed, private.expose(), derivation)));
    }
    let stored = String::from_utf8(metadata.render()).unwrap();
    assert!(secrets.iter().all(|(_, key)| !stored.contains(&hex::encode(key))), "it is stored");
    secrets
}
