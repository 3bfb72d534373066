//! What a process that uses an identity has of its private keys where others can read: nothing.
//!
//! The keys are put to use in a process of its own, which gets the seeds over a pipe. Its memory is
//! then searched for pieces of everything private, as root would with `/proc/PID/mem`.
#![allow(clippy::unwrap_used, reason = "a test that panics has failed")]

use std::fs::{self, File};
use std::io::{BufRead, BufReader, Write};
use std::os::fd::AsFd;
use std::os::unix::fs::FileExt;
use std::process::{Command, Stdio};
use std::sync::Barrier;
use std::thread;

use fips204::ml_dsa_65::KG;
use fips204::traits::{KeyGen, SerDes, Signer};
use identity_keys::{CIPHERTEXT_BYTES, Ciphertext, IdentityKeys, SEED_BYTES, Seeds, encapsulate};
use memchr::memmem;
use ml_kem::kem::Decapsulate;
use ml_kem::ml_kem_768::DecapsulationKey;
use secret_memory::{Policy, Secret, SecretBytes, WipingAllocator};

/// As the daemons have it.
#[global_allocator]
static ALLOCATOR: WipingAllocator = WipingAllocator;

const ROLE: &str = "IDENTITY_KEYS_TEST_ROLE";
/// What the other process has in its memory for certain, and the search must find there.
const KNOWN: &str = "IDENTITY_KEYS_TEST_ROLE=";
const READY: &str = "the keys were used";
/// Long enough not to occur by chance.
const PIECE: usize = 16;

#[test]
fn keys_in_use_are_in_no_readable_memory() {
    let name = "keys_in_use_are_in_no_readable_memory";
    let found = what_is_left_after(name, |seeds, ciphertext| {
        let keys = IdentityKeys::expand(seeds).unwrap();
        let barrier = Barrier::new(3);
        thread::scope(|scope| {
            for _ in 0..2 {
                scope.spawn(|| {
                    for _ in 0..10 {
                        keys.sign(b"x").unwrap();
                        encapsulate(&keys.public().ml_kem_768).unwrap();
                        let _ = (keys.wireguard_private_key(), keys.decapsulate(ciphertext));
                    }
                    barrier.wait();
                    thread::park();
                });
            }
            barrier.wait();
            wait_to_be_searched();
        });
    });
    assert_eq!(found, Some(Vec::new()));
}

#[test]
fn keys_that_are_gone_leave_nothing_behind() {
    let name = "keys_that_are_gone_leave_nothing_behind";
    let found = what_is_left_after(name, |seeds, ciphertext| {
        for _ in 0..3 {
            let keys = IdentityKeys::expand(seeds).unwrap();
            keys.sign(b"x").unwrap();
            let _ = keys.decapsulate(ciphertext);
        }
        wait_to_be_searched();
    });
    assert_eq!(found, Some(Vec::new()));
}

/// The libraries wipe what they drop, but not what they moved. What finds nothing after them would find
/// nothing after anybody.
#[test]
fn the_libraries_alone_leave_keys_on_the_stack() {
    let name = "the_libraries_alone_leave_keys_on_the_stack";
    let found = what_is_left_after(name, |seeds, ciphertext| {
        let (_, signing) = expand_signing_key(seeds.expose());
        std::hint::black_box(signing.try_sign_with_seed(&[0; 32], b"x", &[]).unwrap());
        let kem = expand_decapsulation_key(seeds.expose());
        std::hint::black_box(kem.decapsulate(ciphertext.into()));
        drop((signing, kem));
        wait_to_be_searched();
    });
    let found = found.unwrap();
    for private in ["ML-DSA-65", "ML-KEM-768", "shared secret"] {
        let found = found.iter().any(|name| name.contains(private));
        assert!(found, "nothing of {private} was found");
    }
}

/// Lets another process do `work` with seeds and a ciphertext, searches its memory, and says what was
/// found there. Nothing comes back in that process.
fn what_is_left_after(name: &str, work: impl FnOnce(&Seeds, &Ciphertext)) -> Option<Vec<String>> {
    if std::env::var(ROLE).is_ok_and(|role| role == name) {
        secret_memory::init(Policy::Require, 1 << 20, 0).unwrap();
        let mut pipe = File::from(std::io::stdin().as_fd().try_clone_to_owned().unwrap());
        let bytes = SecretBytes::read_from(&mut pipe, SEED_BYTES + CIPHERTEXT_BYTES).unwrap();
        let (seeds, ciphertext) = bytes.expose().split_first_chunk().unwrap();
        work(&Seeds::from_bytes(Secret::copy_of(seeds)), ciphertext.try_into().unwrap());
        unreachable!("it ends while it waits");
    }
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args(["--exact", name, "--nocapture"]).env(ROLE, name);
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    let seeds = Seeds::generate().unwrap();
    let mut pieces = private_pieces(seeds.expose());
    let message = Secret::<32>::try_from_fn(|message| getrandom::fill(message)).unwrap();
    let (ciphertext, shared) = expand_decapsulation_key(seeds.expose())
        .encapsulation_key()
        .encapsulate_deterministic(message.expose().into());
    let shared: [u8; 32] = shared.into();
    for (name, bytes) in [("encapsulated message", message.expose()), ("shared secret", &shared)] {
        pieces.extend(bytes.chunks(PIECE).map(|piece| (format!("the {name}"), piece.to_vec())));
    }
    let mut pipe = child.stdin.take().unwrap();
    pipe.write_all(&[seeds.expose().as_slice(), &ciphertext].concat()).unwrap();
    drop(pipe);
    let lines = BufReader::new(child.stdout.take().unwrap()).lines();
    assert!(lines.map_while(Result::ok).any(|line| line.contains(READY)), "it ended early");
    let found = search(child.id(), &pieces);
    child.kill().unwrap();
    child.wait().unwrap();
    Some(found)
}

fn wait_to_be_searched() {
    println!("{READY}");
    loop {
        thread::park();
    }
}

/// Names of the pieces that are in readable memory of the process.
fn search(process: u32, pieces: &[(String, Vec<u8>)]) -> Vec<String> {
    let memory = File::open(format!("/proc/{process}/mem")).unwrap();
    let maps = fs::read_to_string(format!("/proc/{process}/maps")).unwrap();
    let mut found = Vec::new();
    let mut knows = false;
    for line in maps.lines() {
        let (range, rest) = line.split_once(' ').unwrap();
        let (start, end) = range.split_once('-').unwrap();
        let [start, end] = [start, end].map(|text| u64::from_str_radix(text, 16).unwrap());
        let mut content = vec![0; usize::try_from(end - start).unwrap()];
        if !rest.starts_with('r') || memory.read_exact_at(&mut content, start).is_err() {
            continue;
        }
        knows |= memmem::find(&content, KNOWN.as_bytes()).is_some();
        for (name, piece) in pieces {
            if memmem::find(&content, piece).is_some() {
                let place = rest.split_whitespace().nth(4).unwrap_or("no name");
                found.push(format!("{name} in {place}"));
            }
        }
    }
    assert!(knows, "the search is blind");
    found
}

/// Everything that grows from the seeds and is private, as the libraries have it in memory and as the
/// standards encode it.
fn private_pieces(seeds: &[u8; SEED_BYTES]) -> Vec<(String, Vec<u8>)> {
    let mut pieces = Vec::new();
    let mut add = |name: &str, bytes: &[u8], public: &[u8]| {
        for (number, piece) in bytes.chunks_exact(PIECE).enumerate() {
            let is_known = memmem::find(public, piece).is_some();
            let is_padding = piece.iter().all(|byte| *byte == 0);
            if !is_known && !is_padding {
                pieces.push((format!("{name}, piece {number}"), piece.to_vec()));
            }
        }
    };
    add("the seeds", seeds, &[]);
    let mut scalar: [u8; 32] = *seeds.first_chunk().unwrap();
    scalar[0] &= 248;
    scalar[31] = scalar[31] & 127 | 64;
    add("the X25519 scalar", &scalar, &[]);

    let (_, signing) = expand_signing_key(seeds);
    let as_it_is = memory_of(&signing);
    let encoded = signing.into_bytes();
    // FIPS 204 §7.2: ρ, K, tr, s1, s2, t0.
    let public = [&encoded[..32], &encoded[64..128]].concat();
    add("the ML-DSA-65 key", &as_it_is, &public);
    add("the ML-DSA-65 key, encoded", &encoded, &public);
    let numbers = small_numbers(&encoded[128..][..11 * 128]);

    #[allow(deprecated, reason = "the only way to what it encodes to")]
    let decapsulation = expand_decapsulation_key(seeds);
    let public = memory_of(decapsulation.encapsulation_key());
    add("the ML-KEM-768 key", &memory_of(&decapsulation), &public);
    #[allow(deprecated, reason = "the only way to what it encodes to")]
    let encoded = ml_kem::ExpandedKeyEncoding::to_expanded_bytes(&decapsulation);
    // FIPS 203 §6.1: the first 1152 bytes are private.
    add("the ML-KEM-768 key, encoded", &encoded[..1152], &[]);
    // A piece of few such numbers may occur by chance.
    let numbers = numbers.chunks_exact(4 * PIECE).map(<[u8]>::to_vec);
    pieces.extend(numbers.map(|piece| ("numbers of s1 and s2 of ML-DSA-65".to_owned(), piece)));
    pieces
}

/// The numbers of s1 and s2, of 32 bits each; encoded, each is 4 minus itself in 4 bits.
fn small_numbers(encoded: &[u8]) -> Vec<u8> {
    let numbers = encoded.iter().flat_map(|byte| [byte & 15, byte >> 4]);
    numbers.flat_map(|number| (4 - i32::from(number)).to_le_bytes()).collect()
}

fn expand_signing_key(
    seeds: &[u8; SEED_BYTES],
) -> (fips204::ml_dsa_65::PublicKey, fips204::ml_dsa_65::PrivateKey) {
    KG::keygen_from_seed(seeds.last_chunk().unwrap())
}

fn expand_decapsulation_key(seeds: &[u8; SEED_BYTES]) -> DecapsulationKey {
    let seed: [u8; 64] = seeds[32..96].try_into().unwrap();
    DecapsulationKey::from_seed(seed.into())
}

/// The bytes of a value, with its padding.
fn memory_of<T>(value: &T) -> Vec<u8> {
    let mut bytes = vec![0; size_of::<T>()];
    let memory = File::open("/proc/self/mem").unwrap();
    memory.read_exact_at(&mut bytes, std::ptr::from_ref(value).addr() as u64).unwrap();
    bytes
}
