//! Trails to forge, and a forger's tools.

#![allow(clippy::unwrap_used, reason = "a test that panics has failed")]
#![allow(dead_code, reason = "no test file uses all of it")]

pub mod forged;

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::LazyLock;

use audit_log::line::hash_of;
use audit_log::{
    Actor, Draft, Expectation, Exporter, Genesis, Hash, HashAlgorithm, Manifest, Operation,
    Outcome, Report, Writer, origin, parse_line, verify,
};
use tlog::{Role, SigningKeys};

/// Small enough that a few entries cross it; the genesis alone takes more than half.
pub const SEGMENT: u64 = 4000;

const INSTALLATION: &str = "5f0c3b52-7f0e-4f0a-9d38-0a54a1f0b7c1";

/// The key of every trail here, made once.
pub fn keys() -> &'static SigningKeys {
    static KEYS: LazyLock<SigningKeys> = LazyLock::new(|| fixed_keys(1));
    &KEYS
}

/// The key that 64 of these bytes make: what snapshots show of it stays the same.
pub fn fixed_keys(byte: u8) -> SigningKeys {
    let file = tempfile::NamedTempFile::new().unwrap();
    fs::write(file.path(), [byte; 64]).unwrap();
    SigningKeys::load(file.path(), origin(INSTALLATION).parse().unwrap(), Role::Log).unwrap()
}

/// Another key of the same name.
pub fn new_keys() -> SigningKeys {
    SigningKeys::generate(origin(INSTALLATION).parse().unwrap(), Role::Log).unwrap()
}

pub fn genesis(hash: HashAlgorithm) -> Genesis {
    Genesis {
        hash,
        installation: INSTALLATION.to_owned(),
        org: Some("example.org".to_owned()),
        machine_binding: None,
        keys: keys().public().clone(),
    }
}

/// The draft of number `n`, no two of which have the same line.
pub fn draft(n: u64) -> Draft {
    Draft::new(Operation::SecretGet, Outcome::Authorised)
        .profile("default")
        .subject(format!("db/password-{n}"))
        .actor(Actor::new(1000, 42).with_key([7; 32]).with_name("alice"))
        .reporter(Actor::new(990, 7).with_name("daemon-secrets"))
        .detail("n", n.to_string())
}

/// Makes a trail of `entries`, genesis included.
pub fn make(dir: &Path, hash: HashAlgorithm, entries: u64) -> Writer {
    let mut writer = Writer::create(dir, &genesis(hash), None, SEGMENT, keys()).unwrap();
    for n in 1..entries {
        writer.append(&[draft(n)]).unwrap();
    }
    writer
}

/// The draft of an entry that seals.
pub fn seal() -> Draft {
    Draft::new(Operation::AuditSeal, Outcome::Done)
}

/// Makes a trail of `entries`, with a seal at each of these numbers.
pub fn make_sealed(dir: &Path, hash: HashAlgorithm, entries: u64, seals: &[u64]) -> Writer {
    let mut writer = Writer::create(dir, &genesis(hash), None, SEGMENT, keys()).unwrap();
    for n in 1..entries {
        if seals.contains(&n) {
            writer.seal(seal(), keys()).unwrap();
        } else {
            writer.append(&[draft(n)]).unwrap();
        }
    }
    writer
}

/// Exports a trail as it is, in pages, with its checkpoints.
pub fn export(writer: &Writer, to: &Path) -> Manifest {
    let mut exporter = Exporter::create(to).unwrap();
    let mut from = 0;
    while from < writer.size() {
        let page = writer.read(from, 1000).unwrap();
        from += page.iter().filter(|byte| **byte == b'\n').count() as u64;
        exporter.push(&page).unwrap();
    }
    push_checkpoints(writer, &mut exporter);
    exporter.finish().unwrap()
}

pub fn push_checkpoints(writer: &Writer, exporter: &mut Exporter) {
    let mut covered = 0;
    while let Some((size, note)) = writer.read_checkpoint(covered).unwrap() {
        exporter.push_checkpoint(size, &note).unwrap();
        covered = size;
    }
}

/// The segments of a trail, in order.
pub fn segments(dir: &Path) -> Vec<PathBuf> {
    let mut paths: Vec<_> = fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().path()).collect();
    paths.retain(|path| path.extension().is_some_and(|extension| extension == "jsonl"));
    paths.sort();
    paths
}

/// The lines of every segment.
pub fn load(dir: &Path) -> Vec<Vec<Vec<u8>>> {
    let lines = |path: &PathBuf| {
        let text = fs::read(path).unwrap();
        text.split_inclusive(|byte| *byte == b'\n').map(<[u8]>::to_vec).collect()
    };
    segments(dir).iter().map(lines).collect()
}

/// Writes the lines into the segments that there are, and leaves out those that have none.
pub fn store(dir: &Path, lines: &[Vec<Vec<u8>>]) {
    for (path, lines) in segments(dir).iter().zip(lines) {
        if lines.is_empty() {
            fs::remove_file(path).unwrap();
        } else {
            fs::write(path, lines.concat()).unwrap();
        }
    }
}

/// Changes what line `n` says, and nothing else.
pub fn edit(lines: &mut [Vec<Vec<u8>>], n: usize, from: &str, to: &str) {
    let line = nth(lines, n);
    let text = String::from_utf8(line.clone()).unwrap();
    assert!(text.contains(from), "{from} is in {text}");
    *line = text.replacen(from, to, 1).into_bytes();
}

/// Line `n` of the trail.
pub fn nth(lines: &mut [Vec<Vec<u8>>], n: usize) -> &mut Vec<u8> {
    lines.iter_mut().flatten().nth(n).unwrap()
}

/// Gives the lines from number `first` on the hashes that they should have: what a forger does who
/// knows the format.
pub fn hash_anew(
    lines: &mut [Vec<Vec<u8>>],
    algorithm: HashAlgorithm,
    numbers: impl std::ops::RangeBounds<usize>,
) {
    let mut previous = Hash::ZERO;
    for (n, line) in lines.iter_mut().flatten().enumerate() {
        let entry = parse_line(line).unwrap();
        if numbers.contains(&n) {
            let text = String::from_utf8(line.clone()).unwrap();
            let text = text.replace(&entry.prev_hash.to_string(), &previous.to_string());
            let hash = hash_of(text.as_bytes(), algorithm).unwrap();
            *line = text.replace(&entry.hash.to_string(), &hash.to_string()).into_bytes();
            previous = hash;
        } else {
            previous = entry.hash;
        }
    }
}

pub fn check(dir: &Path) -> Report {
    verify(dir, &Expectation::default()).unwrap()
}

/// `code verdict: sentence`, as a program would end.
pub fn outcome(report: &Report) -> String {
    format!("{} {}: {report}", report.verdict.exit_code(), report.verdict.as_str())
}

/// Copies a directory with all that is in it, as `cp -r` does.
pub fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let (path, to) = (entry.as_ref().unwrap().path(), to.join(entry.unwrap().file_name()));
        if path.is_dir() {
            copy(&path, &to);
        } else {
            fs::copy(&path, &to).unwrap();
        }
    }
}
