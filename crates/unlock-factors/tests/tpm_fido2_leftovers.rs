//! What the drivers and the C libraries under them leave in a process's ordinary memory: nothing.
//!
//! A program of its own, because of its allocator, and because what another test frees isn't looked for.

#![cfg(all(feature = "tpm", feature = "fido2"))]
#![allow(clippy::unwrap_used, reason = "a test that panics has failed")]

#[allow(dead_code, reason = "the tests of the driver use the rest")]
#[path = "soft_token/mod.rs"]
mod soft_token;
#[allow(dead_code, reason = "the tests of the driver use the rest")]
#[path = "tpm/swtpm.rs"]
mod swtpm;

use std::fs::{File, read_to_string};
use std::hint::black_box;
use std::os::unix::fs::FileExt;

use secret_memory::{Secret, SecretBytes, with_clean_stack};
use sha2::{Digest, Sha256};
use soft_token::{Options, SoftToken};
use swtpm::Swtpm;
use unlock_factors::{fido2, tpm};

/// As every program of Sesame has it.
#[global_allocator]
static ALLOCATOR: secret_memory::WipingAllocator = secret_memory::WipingAllocator;

const PIN: &str = "a PIN that is looked for";

#[test]
fn neither_piece_nor_pin_is_left_in_ordinary_memory() {
    let pin = SecretBytes::copy_of(PIN.as_bytes()).unwrap();
    hunt_finds_what_is_there();
    the_tpm_driver_leaves_nothing(&pin);
    the_fido2_driver_leaves_nothing(&pin);
}

fn the_tpm_driver_leaves_nothing(pin: &SecretBytes) {
    let Some(tpm) = Swtpm::start_or_skip() else { return };
    let (parameters, piece) = tpm::enroll(&tpm.tcti(), &[7], Some(pin)).unwrap();
    assert_nothing_of("the piece, sealed", piece.expose());
    tpm::evidence(&tpm.tcti(), &parameters, Some(pin)).unwrap();
    let wrong = SecretBytes::copy_of(b"a wrong PIN to look for").unwrap();
    tpm::evidence(&tpm.tcti(), &parameters, Some(&wrong)).unwrap_err();
    assert_nothing_of("the piece", piece.expose());
    assert_nothing_of("the PIN", pin.expose());
    for pin in [pin, &wrong] {
        let digest = Secret::<32>::from_fn(|digest| {
            with_clean_stack(|| Sha256::new_with_prefix(pin.expose()).finalize_into(digest.into()));
        });
        assert_nothing_of("what stands for the PIN", digest.expose());
    }
}

fn the_fido2_driver_leaves_nothing(pin: &SecretBytes) {
    let token = SoftToken::plug_in(Options { pin: Some(PIN), ..Options::default() });
    let (parameters, evidence) = fido2::enroll(token.path(), Some(pin)).unwrap();
    fido2::evidence(token.path(), &parameters, Some(pin)).unwrap();
    let wrong = SecretBytes::copy_of(b"a wrong PIN to look for").unwrap();
    fido2::evidence(token.path(), &parameters, Some(&wrong)).unwrap_err();
    // The token has its secrets in ordinary memory.
    drop(token);
    assert_nothing_of("the evidence", evidence.expose());
    assert_nothing_of("the PIN", pin.expose());
    assert_nothing_of("the wrong PIN", wrong.expose());
}

fn hunt_finds_what_is_there() {
    let secret = Secret::<32>::from_fn(|bytes| getrandom::fill(bytes).unwrap());
    assert_eq!(copies(secret.expose()), 0);
    let copy = black_box(secret.expose().to_vec());
    assert_eq!(copies(secret.expose()), 2, "two halves of {} bytes", copy.len());
}

fn assert_nothing_of(what: &str, secret: &[u8]) {
    assert_eq!(copies(secret), 0, "copies of {what}");
}

/// How often the first or the last 12 bytes of a secret lie in writable memory outside of the arena. An
/// allocator writes over the beginning of what is freed, so that one of them alone says too little.
fn copies(secret: &[u8]) -> usize {
    const CHUNK: usize = 1 << 16;
    const PART: usize = 12;
    let memory = File::open("/proc/self/mem").unwrap();
    let parts = [&secret[..PART], &secret[secret.len() - PART..]];
    let mut buffer = vec![0; CHUNK + PART - 1];
    let own = buffer.as_ptr().addr() as u64;
    let own = own..own + buffer.len() as u64;
    let mut found = 0;
    for range in writable(secret.as_ptr().addr() as u64) {
        for start in range.clone().step_by(CHUNK) {
            let length = buffer.len().min((range.end - start) as usize);
            let Ok(length) = memory.read_at(&mut buffer[..length], start) else { continue };
            for part in parts {
                let hits = memchr::memmem::find_iter(&buffer[..length], part);
                found += hits.filter(|at| !own.contains(&(start + *at as u64))).count();
            }
        }
    }
    buffer.fill(0);
    found
}

/// The writable mappings (proc_pid_maps(5)) but the one with this address.
fn writable(but: u64) -> Vec<std::ops::Range<u64>> {
    let maps = read_to_string("/proc/self/maps").unwrap();
    let range = |line: &str| {
        let (range, rest) = line.split_once(' ')?;
        let (start, end) = range.split_once('-')?;
        let number = |text| u64::from_str_radix(text, 16).ok();
        let range = number(start)?..number(end)?;
        (rest.starts_with("rw") && !range.contains(&but)).then_some(range)
    };
    maps.lines().filter_map(range).collect()
}
