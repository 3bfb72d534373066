//! The writer with a clock and a disk that do as they are told.

use std::fs::{self, File};
use std::io;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, LazyLock};

use tlog::{Role, SigningKeys};

use super::{AppendError, System, Writer};
use crate::entry::{Actor, Draft, Outcome};
use crate::genesis::{Genesis, origin};
use crate::hash::HashAlgorithm;
use crate::line::parse_line;
use crate::operation::Operation;
use crate::timestamp::Timestamp;
use crate::verdict::Verdict;
use crate::verify::{Expectation, verify};

/// 2026-11-22T15:00:00.123456Z.
const NOON: u64 = 1_795_359_600_123_456;

const SEGMENT: u64 = 1 << 20;

const INSTALLATION: &str = "5f0c3b52-7f0e-4f0a-9d38-0a54a1f0b7c1";

/// The keys that 64 bytes of 7 make.
fn keys() -> &'static SigningKeys {
    static KEYS: LazyLock<SigningKeys> = LazyLock::new(|| {
        let file = tempfile::NamedTempFile::new().unwrap();
        fs::write(file.path(), [7; 64]).unwrap();
        SigningKeys::load(file.path(), origin(INSTALLATION).parse().unwrap(), Role::Log).unwrap()
    });
    &KEYS
}

/// A writer, and the microseconds that its clock shows.
fn writer(path: &Path, hash: HashAlgorithm) -> (Writer, Arc<AtomicU64>) {
    let clock = Arc::new(AtomicU64::new(NOON));
    let shown = Arc::clone(&clock);
    let now = move || Timestamp::from_micros(shown.load(Ordering::Relaxed));
    let system = System { now: Box::new(now), ..System::default() };
    let genesis = Genesis {
        hash,
        installation: INSTALLATION.to_owned(),
        org: Some("example.org".to_owned()),
        machine_binding: Some("tpm".to_owned()),
        keys: keys().public().clone(),
    };
    let reporter = Some(Actor::new(990, 7).with_name("daemon-audit"));
    let writer = Writer::create_with(path, &genesis, reporter, SEGMENT, keys(), system);
    (writer.unwrap(), clock)
}

fn unlock() -> Draft {
    Draft::new(Operation::Unlock, Outcome::Done)
        .profile("default")
        .subject("password")
        .actor(Actor::new(1000, 42).with_key([7; 32]).with_name("alice"))
        .reporter(Actor::new(991, 8).with_name("daemon-secrets"))
        .detail("policy", "any")
}

/// A change here is a change of the format, and needs another number in the genesis.
#[test]
fn the_canonical_lines_are_fixed() {
    for hash in HashAlgorithm::ALL {
        let dir = tempfile::tempdir().unwrap();
        let (mut writer, _) = writer(&dir.path().join("trail"), hash);
        writer.append(&[unlock(), Draft::new(Operation::Lock, Outcome::Failed)]).unwrap();
        let lines = String::from_utf8(writer.read(0, 1 << 20).unwrap()).unwrap();
        insta::assert_snapshot!(format!("canonical_lines_{hash}"), lines);
    }
}

#[test]
fn a_clock_that_goes_back_is_an_entry() {
    let dir = tempfile::tempdir().unwrap();
    let (mut writer, clock) = writer(&dir.path().join("trail"), HashAlgorithm::Blake3);
    clock.store(NOON + 1, Ordering::Relaxed);
    writer.append(&[unlock()]).unwrap();
    // Standing still is not going back.
    writer.append(&[unlock()]).unwrap();
    assert_eq!(writer.size(), 3);
    clock.store(NOON - 1_000_000, Ordering::Relaxed);
    let appended = writer.append(&[unlock(), unlock()]).unwrap();
    assert_eq!(appended.iter().map(|entry| entry.seq).collect::<Vec<_>>(), [4, 5]);
    let step = parse_line(&writer.read(3, 1).unwrap()).unwrap();
    assert_eq!(step.operation, Operation::ClockStep);
    assert_eq!(step.detail["from"], "2026-11-22T15:00:00.123457Z");
    assert_eq!(step.detail["to"], "2026-11-22T14:59:59.123456Z");
    assert_eq!(step.time.to_string(), step.detail["to"]);
    writer.append(&[unlock()]).unwrap();
    assert_eq!(writer.size(), 7);
    let report = verify(writer.path(), &Expectation::default()).unwrap();
    assert_eq!((report.verdict, report.entries), (Verdict::Sound, 7));
}

#[test]
fn a_clock_that_went_back_while_nobody_wrote_is_an_entry_too() {
    let dir = tempfile::tempdir().unwrap();
    let (writer, _) = writer(&dir.path().join("trail"), HashAlgorithm::Blake3);
    let path = writer.path().to_owned();
    drop(writer);
    let system = System { now: Box::new(|| Timestamp::from_micros(1)), ..System::default() };
    let (mut writer, _) = Writer::open_with(&path, SEGMENT, system).unwrap();
    assert_eq!(writer.append(&[unlock()]).unwrap()[0].seq, 2);
}

#[test]
fn after_a_failed_sync_nothing_is_promised_any_more() {
    let dir = tempfile::tempdir().unwrap();
    let (mut writer, _) = writer(&dir.path().join("trail"), HashAlgorithm::Blake3);
    writer.append(&[unlock()]).unwrap();
    let head = writer.head();
    writer.system.sync = |_| Err(io::Error::from_raw_os_error(nix::errno::Errno::EIO as i32));
    assert!(matches!(writer.append(&[unlock()]), Err(AppendError::Durability { .. })));
    writer.system.sync = File::sync_data;
    assert!(matches!(writer.append(&[unlock()]), Err(AppendError::Poisoned)));
    // What was durable before can still be read, and nothing else.
    assert_eq!(writer.head(), head);
    let lines = writer.read(0, 1 << 20).unwrap();
    assert_eq!(lines.iter().filter(|byte| **byte == b'\n').count(), 2);
}

#[test]
fn one_batch_is_one_sync() {
    static SYNCS: AtomicU64 = AtomicU64::new(0);
    let dir = tempfile::tempdir().unwrap();
    let (mut writer, _) = writer(&dir.path().join("trail"), HashAlgorithm::Blake3);
    writer.system.sync = |file| {
        SYNCS.fetch_add(1, Ordering::Relaxed);
        file.sync_data()
    };
    writer.append(&vec![unlock(); 64]).unwrap();
    assert_eq!(SYNCS.load(Ordering::Relaxed), 1);
}
