//! How deep lattice code goes, what of the keys it leaves on the stack, and that it is wiped.
#![allow(clippy::unwrap_used, reason = "a test that panics has failed")]

use std::fs::File;
use std::hint::black_box;
use std::os::unix::fs::FileExt;
use std::thread;

use fips204::traits::SerDes;
use memchr::memmem;
use ml_kem::kem::Decapsulate;
use secret_memory::Secret;
use x25519_dalek::{PublicKey, StaticSecret};

use crate::identity::Expanded;
use crate::{Seeds, kem, signature};

const PAINT: u8 = 0xa5;
const CANVAS: usize = 2 << 20;
/// Long enough not to occur by chance.
const PIECE: usize = 16;

/// What is below this frame after `work`, which was paint before.
#[inline(never)]
fn stack_after<T>(work: impl FnOnce() -> T) -> Vec<u8> {
    let local = black_box(0_u8);
    let here = std::ptr::from_ref(&local).addr();
    let memory = File::open("/proc/self/mem").unwrap();
    let mut stack = vec![0; CANVAS];
    paint();
    black_box(work());
    memory.read_exact_at(&mut stack, (here - CANVAS) as u64).unwrap();
    stack
}

#[inline(never)]
fn paint() {
    black_box(&mut [PAINT; CANVAS]);
}

fn depth<T>(work: impl FnOnce() -> T) -> usize {
    let stack = stack_after(work);
    CANVAS - stack.iter().position(|byte| *byte != PAINT).unwrap()
}

fn on_a_large_stack(test: impl FnOnce() + Send + 'static) {
    thread::Builder::new().stack_size(16 << 20).spawn(test).unwrap().join().unwrap();
}

/// How many pieces of the secrets are there.
fn pieces(stack: &[u8], secrets: &[Vec<u8>]) -> usize {
    let pieces = secrets.iter().flat_map(|secret| secret.chunks_exact(PIECE));
    pieces.filter(|piece| memmem::find(stack, piece).is_some()).count()
}

/// The bytes of a value, with its padding.
fn memory_of<T>(value: &T) -> Vec<u8> {
    let mut bytes = vec![0; size_of::<T>()];
    let memory = File::open("/proc/self/mem").unwrap();
    memory.read_exact_at(&mut bytes, std::ptr::from_ref(value).addr() as u64).unwrap();
    bytes
}

#[test]
fn expanding_and_signing_stay_within_what_is_wiped() {
    on_a_large_stack(|| {
        let expanding = depth(|| {
            let keys = (signature::expand(&[1; 32]), kem::expand(&[1; 64]));
            (keys, PublicKey::from(&StaticSecret::from([1; 32])))
        });
        let (_, key) = signature::expand(&[1; 32]);
        let signing =
            depth(|| [1; 8].map(|round| signature::sign_with(&key, b"x", &[round; 32]).unwrap()));
        let deepest = expanding.max(signing);
        assert!(deepest < signature::DEPTH / 8 * 7, "{expanding} and {signing} bytes");
    });
}

#[test]
fn encapsulating_and_decapsulating_stay_within_what_is_wiped() {
    on_a_large_stack(|| {
        let key = kem::expand(&[1; 64]);
        let encapsulating =
            depth(|| key.encapsulation_key().encapsulate_deterministic(&[1; 32].into()));
        let decapsulating = depth(|| key.decapsulate(&[1; 1088].into()));
        let deepest = encapsulating.max(decapsulating);
        assert!(deepest < kem::DEPTH / 4 * 3, "{encapsulating} and {decapsulating} bytes");
    });
}

#[test]
fn the_whole_depth_is_wiped() {
    const DEPTH: usize = 64 << 10;
    #[inline(never)]
    fn dirty() -> u8 {
        black_box(&mut [0x5c_u8; DEPTH - (4 << 10)])[7]
    }
    on_a_large_stack(|| {
        let dirt = |stack: &[u8]| stack.iter().filter(|byte| **byte == 0x5c).count();
        assert!(dirt(&stack_after(dirty)) > DEPTH / 2, "the search finds what was left");
        let clean = stack_after(|| super::with_clean_stack::<DEPTH, _>(dirty));
        assert!(dirt(&clean) < 64);
    });
}

#[test]
fn expanding_leaves_nothing_of_the_keys() {
    on_a_large_stack(|| {
        let seeds = Seeds::generate().unwrap();
        let x25519 = Secret::copy_of(seeds.x25519());
        let secrets = private_parts(&seeds);
        let left = stack_after(|| {
            let (_, signing) = signature::expand(seeds.ml_dsa_65());
            (signing, kem::expand(seeds.ml_kem_768()))
        });
        assert!(pieces(&left, &secrets) > 0, "the search finds what was left");
        let left = stack_after(|| Expanded::grow(&seeds, &x25519).unwrap());
        assert_eq!(pieces(&left, &secrets), 0);
    });
}

#[test]
fn encapsulating_and_decapsulating_leave_nothing_of_the_shared_secret() {
    on_a_large_stack(|| {
        let key = kem::expand(&[1; 64]);
        let public = kem::encapsulation_key(&key);
        let message = Secret::<32>::try_from_fn(|message| getrandom::fill(message)).unwrap();
        let (ciphertext, shared) = kem::encapsulate_message(&public, &message).unwrap();
        let secrets = [message.expose().to_vec(), shared.expose().to_vec()];

        let left = stack_after(|| key.decapsulate((&*ciphertext).into()));
        assert!(pieces(&left, &secrets) > 0, "the search finds what was left");
        let left = stack_after(|| kem::decapsulate(&key, &ciphertext));
        assert_eq!(pieces(&left, &secrets), 0);
        let left = stack_after(|| kem::encapsulate_message(&public, &message).unwrap());
        assert_eq!(pieces(&left, &secrets), 0);
    });
}

/// Of signing the library wipes what one could search for; what is in between, it may not.
#[test]
fn signing_leaves_nothing_at_all() {
    on_a_large_stack(|| {
        let (_, key) = signature::expand(&[1; 32]);
        let left = |stack: &[u8]| stack.iter().filter(|byte| ![0, PAINT].contains(byte)).count();
        let bare = left(&stack_after(|| signature::sign_with(&key, b"x", &[7; 32]).unwrap()));
        assert!(bare > 20_000, "{bare} bytes");
        let wiped = left(&stack_after(|| signature::sign_hedged(&key, b"x").unwrap()));
        assert!(wiped < 500, "{wiped} bytes");
    });
}

/// The seeds, and the expanded keys as they are in memory, without what is public of them.
fn private_parts(seeds: &Seeds) -> Vec<Vec<u8>> {
    let (_, signing) = signature::expand(seeds.ml_dsa_65());
    let decapsulating = kem::expand(seeds.ml_kem_768());
    // FIPS 204 §7.2: the private key begins with ρ, K and tr.
    let encoded = signing.clone().into_bytes();
    let public = memory_of(decapsulating.encapsulation_key());
    let public = [&public, &encoded[..32], &encoded[64..128]].concat();
    let all = [seeds.expose(), memory_of(&signing).as_slice(), &memory_of(&decapsulating)].concat();
    let private = |piece: &&[u8]| {
        memmem::find(&public, piece).is_none() && piece.iter().any(|byte| *byte != 0)
    };
    all.chunks_exact(PIECE).filter(private).map(<[u8]>::to_vec).collect()
}
