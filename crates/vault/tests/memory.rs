//! Nothing readable holds a key or a value, with the vault open or closed.
//!
//! A child process stores and reads values; this process, as root, reads all of the child's memory.
//! Value and keys reach the child as two halves each, so that only their combination is looked for.
//! What a decrypted page holds is looked for as well: it is no secret by itself (values are sealed
//! within it), but it shows whether SQLite's memory is where it should be.
#![allow(clippy::unwrap_used)] // clippy.toml allows it in test functions, not in their helpers

mod common;

use std::fs::File;
use std::io::{BufRead, BufReader, Write};
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::process::Stdio;

use common::{child, context, place};
use secret_memory::{Backing, Secret, SecretBytes};
use vault::{Keys, Vault};

/// Secrets are looked for in pieces of this size: a fragment on a stack counts as well.
const PIECE: usize = 16;
const CONTROL: &[u8; 32] = b"in an ordinary Vec, and be found";

#[test]
fn no_copy_of_a_key_or_value_is_readable() {
    let place = place();
    let halves: Vec<[Vec<u8>; 2]> = [64, 32, 32].map(|n| [random(n), random(n)]).into();
    let [value, database, rows] =
        [0, 1, 2].map(|i| combine(&halves[i][0], &halves[i][1]).expose().to_vec());
    let page = sealed_by_this_process(&place.path, &value, &database, &rows);
    let hex: String = database.iter().map(|byte| format!("{byte:02x}")).collect();
    let argument = halves
        .iter()
        .flatten()
        .map(|half| half.iter().map(|byte| format!("{byte:02x}")).collect::<String>())
        .collect::<Vec<_>>()
        .join(" ");

    let mut holder = child("hold_a_vault_open")
        .env("VAULT", &place.path)
        .env("HALVES", argument)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut orders = holder.stdin.take().unwrap();
    let mut lines = BufReader::new(holder.stdout.take().unwrap()).lines();
    let mut next = || loop {
        let line = lines.next().unwrap().unwrap();
        // The harness writes the name of the test into the first line.
        if let Some((_, state)) = line.split_once("STATE ") {
            return state.to_owned();
        }
    };
    let secrets: [(&str, &[u8]); 5] = [
        ("decrypted page", &page),
        ("value", &value),
        ("database key", &database),
        ("database key in hexadecimal", hex.as_bytes()),
        ("row key", &rows),
    ];
    let mut state = next();
    while state != "end" {
        if state.starts_with("skip") {
            println!("skipped: no memfd_secret(2) here ({state})");
            break;
        }
        let Some(memory) = readable_memory(holder.id()) else {
            println!("skipped: not allowed to read another process's memory");
            break;
        };
        let total: usize = memory.iter().map(|(_, bytes)| bytes.len()).sum();
        assert!(total > 1 << 20, "{total} bytes were readable");
        // Inverted, since the constant itself is part of the child's binary.
        let control = found(&memory, &[("control", &CONTROL.map(|byte| byte ^ 0xff))]);
        assert!(!control.is_empty(), "{state}: the search finds what is there");
        let places = found(&memory, &secrets);
        assert!(places.is_empty(), "{state}: {places:#?}");
        println!("{state}: {total} bytes of readable memory, nothing found");
        writeln!(orders, "go on").unwrap();
        state = next();
    }
    drop(orders);
    holder.kill().unwrap();
    holder.wait().unwrap();
}

/// Creates a vault with one value, and returns that value as it lies in the database.
fn sealed_by_this_process(path: &Path, value: &[u8], database: &[u8], rows: &[u8]) -> Vec<u8> {
    let secret = |key: &[u8]| Secret::copy_of(key.try_into().unwrap());
    let keys = Keys { database: secret(database), rows: secret(rows) };
    let vault = Vault::create(path, keys, context("work")).unwrap();
    vault.set("earlier", value).unwrap();
    vault.close().unwrap();
    common::insider(path, database)
        .query_row("SELECT sealed FROM secret", [], |row| row.get(0))
        .unwrap()
}

#[test]
#[ignore = "the other process of the test above"]
fn hold_a_vault_open() {
    let Some(path) = std::env::var_os("VAULT") else { return };
    if secret_memory::init(secret_memory::Policy::Prefer, 4 << 20, 0).unwrap()
        != Backing::MemfdSecret
    {
        pause("skip");
        return;
    }
    vault::install_allocators().unwrap();
    let control: Vec<u8> = CONTROL.iter().map(|byte| byte ^ 0xff).collect();
    let halves: Vec<Vec<u8>> = std::env::var("HALVES").unwrap().split(' ').map(from_hex).collect();
    let key = |i: usize| {
        let bytes = combine(&halves[i], &halves[i + 1]);
        Secret::from_fn(|key: &mut [u8; 32]| key.copy_from_slice(bytes.expose()))
    };
    let keys = || Keys { database: key(2), rows: key(4) };
    let read = |vault: &Vault, name: &str| {
        let expected = combine(&halves[0], &halves[1]);
        assert!(vault.get(name).unwrap().unwrap().expose() == expected.expose());
    };

    let second = Path::new(&path).with_extension("second");
    let vault = Vault::create(&second, keys(), context("work")).unwrap();
    vault.set("planted", combine(&halves[0], &halves[1]).expose()).unwrap();
    pause("created and written");
    vault.close().unwrap();
    let vault = Vault::open(path.as_ref(), keys(), context("work")).unwrap();
    read(&vault, "earlier");
    pause("opened and read");
    vault.set("planted", combine(&halves[0], &halves[1]).expose()).unwrap();
    pause("written");
    read(&vault, "planted");
    pause("read from the cache");
    vault.close().unwrap();
    pause("closed");
    let vault = Vault::open(path.as_ref(), keys(), context("work")).unwrap();
    read(&vault, "planted");
    vault.verify().unwrap();
    pause("read from disk and verified");
    vault.set("planted", b"replaced").unwrap();
    vault.delete("planted").unwrap();
    vault.close().unwrap();
    pause("deleted and closed");
    let mut wrong = keys();
    wrong.database.expose_mut()[31] ^= 1;
    assert!(Vault::open(path.as_ref(), wrong, context("work")).is_err());
    pause("refused a wrong key");
    println!("arena: {:?}", secret_memory::usage());
    drop(std::hint::black_box(control));
    pause("end");
}

fn pause(state: &str) {
    let mut output = std::io::stdout();
    writeln!(output, "STATE {state}").unwrap();
    output.flush().unwrap();
    let mut line = String::new();
    std::io::stdin().read_line(&mut line).unwrap();
}

/// Byte by byte, and straight into secret memory.
fn combine(left: &[u8], right: &[u8]) -> SecretBytes {
    let mut bytes = SecretBytes::zeroed(left.len()).unwrap();
    for ((byte, left), right) in bytes.expose_mut().iter_mut().zip(left).zip(right) {
        *byte = left ^ right;
    }
    bytes
}

fn random(bytes: usize) -> Vec<u8> {
    let mut random = vec![0; bytes];
    getrandom::fill(&mut random).unwrap();
    random
}

fn from_hex(text: &str) -> Vec<u8> {
    let digit = |index: usize| u8::from_str_radix(&text[index..index + 2], 16).unwrap();
    (0..text.len()).step_by(2).map(digit).collect()
}

/// Every mapping of the process that can be read, with its line of /proc/PID/maps.
fn readable_memory(pid: u32) -> Option<Vec<(String, Vec<u8>)>> {
    let maps = std::fs::read_to_string(format!("/proc/{pid}/maps")).ok()?;
    let memory = File::open(format!("/proc/{pid}/mem")).ok()?;
    let mut all = Vec::new();
    for line in maps.lines().filter(|line| !line.contains("[vvar")) {
        let (start, end) = line.split_once(' ')?.0.split_once('-')?;
        let (start, end) =
            (u64::from_str_radix(start, 16).ok()?, u64::from_str_radix(end, 16).ok()?);
        // Page by page: one that cannot be read must not hide its neighbours.
        let mut bytes = Vec::new();
        for page in (start..end).step_by(4096) {
            let mut content = [0; 4096];
            if memory.read_exact_at(&mut content, page).is_ok() && content != [0; 4096] {
                bytes.extend_from_slice(&content);
            }
        }
        if !bytes.is_empty() {
            all.push((line.to_owned(), bytes));
        }
    }
    Some(all)
}

/// Where any piece of any of the `secrets` lies.
fn found(memory: &[(String, Vec<u8>)], secrets: &[(&str, &[u8])]) -> Vec<String> {
    let mut pieces = Vec::new();
    let mut starts = [false; 256];
    for (what, secret) in secrets {
        for (index, piece) in secret.chunks_exact(PIECE).enumerate() {
            starts[usize::from(piece[0])] = true;
            pieces.push((what, index, piece));
        }
    }
    let mut places = Vec::new();
    for (line, bytes) in memory {
        for (offset, &byte) in bytes.iter().enumerate() {
            if !starts[usize::from(byte)] {
                continue;
            }
            let rest = &bytes[offset..];
            if let Some((what, index, _)) =
                pieces.iter().find(|(.., piece)| rest.starts_with(piece))
            {
                places.push(format!("piece {index} of the {what} at {offset:#x} of {line}"));
            }
        }
    }
    places
}
