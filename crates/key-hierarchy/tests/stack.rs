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
use shake::{ExtendableOutput, Update, XofReader};
use site_config::{AuthMode, FactorKind};
use x_wing::{Ciphertext, Decapsulate, DecapsulationKey};

use common::{DERIVATIONS, Plan, pieces, policy, simple, unlock};

const PAINT: u8 = 0xa5;
const CANVAS: usize = 1 << 20;
/// As deep as kem.rs wipes.
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

const NOTHING: [&str; 0] = [];

/// The names of those that are there.
fn found(stack: &[u8], secrets: &[(&'static str, [u8; 32])]) -> Vec<&'static str> {
    secrets.iter().filter(|(_, secret)| contains(stack, secret)).map(|(name, _)| *name).collect()
}

fn on_a_large_stack(test: impl FnOnce() + Send + 'static) {
    thread::Builder::new().stack_size(32 << 20).spawn(test).unwrap().join().unwrap();
}

/// Deep enough for what reads the stack afterwards not to come there.
#[inline(never)]
fn leave(secret: &[u8; 32]) {
    let mut area = [0; 4096];
    area[..32].copy_from_slice(secret);
    black_box(&mut area);
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

/// What an attacker would look for in one sealed key, by name: what kem.rs has in its hands, and what
/// X-Wing expands the private key to (draft-connolly-cfrg-xwing-kem §5.2; FIPS 203 §7.1 names them).
fn secrets_of(
    sealed: &SealedKey,
    private: &[u8; 32],
    derivation: Derivation,
) -> Vec<(&'static str, [u8; 32])> {
    let ciphertext = Ciphertext::try_from(sealed.encapsulated.as_slice()).unwrap();
    let shared: [u8; 32] = DecapsulationKey::from(*private).decapsulate(&ciphertext).into();
    let kek = *derivation.derive("pds v2 factor-kek", &shared).expose();

    let mut expanded = [0; 96];
    let mut shake = shake::Shake256::default();
    shake.update(private);
    shake.finalize_xof().read(&mut expanded);
    let part = |at: usize| *expanded[at..].first_chunk::<32>().unwrap();
    let seed: [u8; 64] = *expanded.first_chunk().unwrap();
    let lattice = ml_kem::ml_kem_768::DecapsulationKey::from_seed(seed.into());
    let (of_lattice, of_curve) = sealed.encapsulated.split_at(1088);
    let of_lattice = lattice.decapsulate(&of_lattice.try_into().unwrap());
    let of_curve = x25519_dalek::x25519(part(64), of_curve.try_into().unwrap());
    let mut secrets = vec![
        ("a private key", *private),
        ("a shared secret", shared),
        ("a piece's KEK", kek),
        ("d of ML-KEM", part(0)),
        ("z of ML-KEM", part(32)),
        ("a private key of X25519", part(64)),
        ("a shared secret of ML-KEM", of_lattice.into()),
        ("a shared secret of X25519", of_curve),
    ];
    secrets.extend(polynomials(&lattice).map(|polynomial| ("s of ML-KEM", polynomial)));
    secrets
}

/// The first sixteen coefficients of each polynomial of s, as the library has them in memory: 16 bits
/// each.
fn polynomials(key: &ml_kem::ml_kem_768::DecapsulationKey) -> impl Iterator<Item = [u8; 32]> {
    #[allow(deprecated, reason = "the only way to a value that decapsulating uses")]
    let expanded = ml_kem::ExpandedKeyEncoding::to_expanded_bytes(key);
    (0..3).map(move |polynomial| {
        let mut coefficients = [0; 32];
        // Two coefficients in three bytes.
        let packed = expanded[polynomial * 384..].as_chunks::<3>().0;
        for ([a, b, c], pair) in packed.iter().zip(coefficients.as_chunks_mut::<4>().0) {
            *pair = [*a, b & 15, b >> 4 | c << 4, c >> 4];
        }
        coefficients
    })
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
            secrets.push(("piece", *piece.expose()));
            let found = |stack: &[u8]| found(stack, &secrets);

            // The search finds what is there.
            let ciphertext = Ciphertext::try_from(sealed.encapsulated.as_slice()).unwrap();
            let forgot = stack_after(|| decapsulate_and_forget(private.expose(), &ciphertext));
            assert!(!found(&forgot).is_empty(), "the search finds what was left");
            // What is wiped, by zeros in place of the paint, is to be deeper by half than that.
            let encapsulating = stack_after(|| encapsulate_and_forget(private.expose()));
            let least = depth(&forgot).max(depth(&encapsulating)) / 2 * 3;
            let clean = stack_after(|| {
                with_clean_deep_stack::<DEPTH, _>(|| {
                    decapsulate_and_forget(private.expose(), &ciphertext);
                });
            });
            assert_eq!(found(&clean), NOTHING, "the wipe reaches what the library left");

            let clean = stack_after(|| drop(black_box(PublicKey::of(&private))));
            assert_eq!(found(&clean), NOTHING, "making the public key");
            assert!(depth(&clean) > least, "making the public key: not {least} bytes");
            let opened = stack_after(|| {
                drop(black_box(sealed.open(derivation, &private, b"bound").unwrap()));
            });
            assert_eq!(found(&opened), NOTHING, "opening");
            assert!(depth(&opened) > least, "opening: not {least} bytes");

            let mut again = None;
            let stack =
                stack_after(|| again = Some(public.seal(derivation, &piece, b"bound").unwrap()));
            let mut secrets = secrets_of(&again.unwrap(), private.expose(), derivation);
            secrets.push(("piece", *piece.expose()));
            assert_eq!(self::found(&stack, &secrets), NOTHING, "sealing");
            assert!(depth(&stack) > least, "sealing: not {least} bytes");
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
    let left = stack_after(|| leave(&secrets[0].1));
    assert!(contains(&left, &secrets[0].1), "the search finds what was left");
    assert_eq!(found(&sealing, &secrets), NOTHING, "{policy}: sealing");

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
    assert_eq!(found(&opening, &secrets), NOTHING, "{policy}: opening");
    // And from the people's answers on.
    let answering = stack_after(|| drop(black_box(unlock(&sealed, &scene.evidence).unwrap())));
    // tests/common hands pieces out as arrays.
    let left = found(&answering, &secrets);
    assert!(left.iter().all(|name| *name == "piece"), "{policy}: answering left {left:?}");
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
        secrets.extend(secrets_of(&sealed, private.expose(), derivation));
    }
    let stored = String::from_utf8(metadata.render()).unwrap();
    assert!(secrets.iter().all(|(_, key)| !stored.contains(&hex::encode(key))), "it is stored");
    secrets
}
