//! The power fails in the middle of everything: what was acknowledged is on the disk, and what is on
//! the disk is a trail.
//!
//! `kill -9` shows nothing of the kind, since the kernel keeps what was written. Here it is lost,
//! unless it was synced: see [`testbed::cut`].

#![allow(clippy::unwrap_used, reason = "helpers of tests, which may")]

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, RwLock};
use std::time::Duration;

use audit_log::{Expectation, Operation, Verdict, parse_line, verify_bundle};
use site_config::Daemon;
use testbed::cut::Disk;
use testbed::random::Random;
use testbed::{Host, audit, is_root_or_skip, snapshot};
use tlog::{PublicKeys, Role, SigningKeys};

const ROUNDS: u32 = 24;
const WRITERS: u32 = 4;

/// What was acknowledged: the subjects of entries by their numbers, the sizes of checkpoints, and
/// keys that were to sign from then on.
#[derive(Clone, Default)]
struct Acknowledged {
    entries: BTreeMap<u64, String>,
    seals: Vec<u64>,
    keys: Vec<PublicKeys>,
}

#[test]
fn a_power_cut_at_any_instant_loses_nothing_that_was_acknowledged() {
    if !is_root_or_skip("mounting a file system") {
        return;
    }
    let place = tempfile::tempdir_in("/tmp").unwrap();
    let mut disk = match Disk::below(place.path()) {
        Ok(disk) => disk,
        Err(reason) => return eprintln!("skipped, for there is no disk to cut off: {reason}"),
    };
    let config = "[audit]\ncheckpoint_entries = 5\nsegment_bytes = 65536\n";
    let host = Host::builder().config(config).below(&disk.mounted()).with_a_trail();
    let key = audit::public_key(&mut host.connect(Daemon::Audit).unwrap()).unwrap();
    let told: Mutex<Acknowledged> = Mutex::default();
    let load = Load::default();
    let mut random = Random::seeded();
    let (mut torn, mut owed) = (0, 0);
    std::thread::scope(|scope| {
        // However this ends, the writers do too.
        let _end = EndAtDrop(&load);
        for number in 0..WRITERS {
            let mut reporter = host.reporter().unwrap();
            let (told, load) = (&told, &load);
            scope.spawn(move || {
                load.keep(Duration::from_millis(2), |count| {
                    let length = (97 * count) % 1500;
                    let subject = format!("{number}/{count}/{}", "n".repeat(length));
                    let seq = audit::append(&mut reporter, &subject).unwrap();
                    told.lock().unwrap().entries.insert(seq, subject);
                });
            });
        }
        let mut operator = host.connect(Daemon::Audit).unwrap();
        let (told_too, load_too) = (&told, &load);
        scope.spawn(move || {
            load_too.keep(Duration::from_millis(20), |count| {
                let size = audit::seal(&mut operator).unwrap();
                told_too.lock().unwrap().seals.push(size);
                if count % 4 == 3 {
                    let key = audit::rotate(&mut operator).unwrap();
                    told_too.lock().unwrap().keys.push(key);
                }
            });
        });
        for round in 1..=ROUNDS {
            std::thread::sleep(random.up_to(Duration::from_millis(250)));
            let known = told.lock().unwrap().clone();
            let remains = disk.cut();
            let _pause = load.pause.write().unwrap();
            let state = remains.mounted().join(host.dir().file_name().unwrap()).join("audit");
            let (was_torn, was_owed) = assert_whole(&state, &key, &known, round);
            torn += u32::from(was_torn);
            owed += u32::from(was_owed);
        }
    });
    let told = told.into_inner().unwrap();
    let (entries, seals, keys) = (told.entries.len(), told.seals.len(), told.keys.len());
    assert!(entries > 200 && keys > 3, "{entries} entries, {keys} rotations: too few");
    eprintln!(
        "{ROUNDS} cuts, {entries} entries, {seals} seals, {keys} rotations; {torn} torn ends, {owed} \
         checkpoints owed"
    );
}

/// Nothing is written after the last thing that was acknowledged, so that no later sync makes it
/// durable by the way.
#[test]
fn what_was_acknowledged_last_is_on_the_disk_when_nothing_follows() {
    if !is_root_or_skip("mounting a file system") {
        return;
    }
    let place = tempfile::tempdir_in("/tmp").unwrap();
    let mut disk = match Disk::below(place.path()) {
        Ok(disk) => disk,
        Err(reason) => return eprintln!("skipped, for there is no disk to cut off: {reason}"),
    };
    let config = "audit.segment_bytes = 65536\n";
    let host = Host::builder().config(config).below(&disk.mounted()).with_a_trail();
    let (mut reporter, mut operator) =
        (host.reporter().unwrap(), host.connect(Daemon::Audit).unwrap());
    let key = audit::public_key(&mut operator).unwrap();
    let mut told = Acknowledged::default();
    for round in 0..20 {
        match round % 4 {
            0 => told.seals.push(audit::seal(&mut operator).unwrap()),
            1 => told.keys.push(audit::rotate(&mut operator).unwrap()),
            2 => {
                let subject = format!("{round}");
                told.entries.insert(audit::append(&mut reporter, &subject).unwrap(), subject);
            }
            _ => {
                // Until a new segment begins.
                let segments = || snapshot(&host.trail()).len();
                let before = segments();
                while segments() == before {
                    let subject = format!("{round}/{}", "n".repeat(2000));
                    told.entries.insert(audit::append(&mut reporter, &subject).unwrap(), subject);
                }
            }
        }
        let remains = disk.cut();
        let state = remains.mounted().join(host.dir().file_name().unwrap()).join("audit");
        let found = assert_whole(&state, &key, &told, round);
        assert_eq!(found, (false, false), "round {round}: nothing was under way");
        let name = key.name().clone();
        let signing = SigningKeys::load(&state.join("signing.key"), name, Role::Log).unwrap();
        assert_eq!(*signing.public(), audit::public_key(&mut operator).unwrap(), "round {round}");
    }
}

/// Work that goes on until it is stopped, and pauses while somebody writes to `pause`.
#[derive(Default)]
struct Load {
    pause: RwLock<()>,
    is_over: AtomicBool,
}

impl Load {
    fn keep(&self, interval: Duration, mut work: impl FnMut(usize)) {
        let mut count = 0;
        while !self.is_over.load(Ordering::Relaxed) {
            let Ok(going) = self.pause.read() else { break };
            work(count);
            drop(going);
            count += 1;
            std::thread::sleep(interval);
        }
    }
}

struct EndAtDrop<'a>(&'a Load);

impl Drop for EndAtDrop<'_> {
    fn drop(&mut self) {
        self.0.is_over.store(true, Ordering::Relaxed);
    }
}

/// Puts a daemon's eyes on what is left; whether the last line was torn, and a checkpoint owed.
fn assert_whole(state: &Path, key: &PublicKeys, told: &Acknowledged, round: u32) -> (bool, bool) {
    let trail = state.join("trail");
    let before = snapshot(&trail);
    let opened = audit_log::Writer::open(&trail, 1 << 16);
    let (mut writer, repair) = opened.unwrap_or_else(|error| panic!("round {round}: {error}"));
    let is_owed = writer.owes_checkpoint();
    let signs = |name: &str| {
        let keys = SigningKeys::load(&state.join(name), key.name().clone(), Role::Log).ok()?;
        (keys.public() == writer.public_keys()).then_some(keys)
    };
    // As daemon-audit does when it starts.
    let keys = signs("signing.key").or_else(|| signs("signing.next"));
    writer.settle(&keys.unwrap_or_else(|| panic!("round {round}: the key is lost"))).unwrap();
    drop(writer);
    let expectation = Expectation { key: Some(key.clone()), ..Expectation::default() };
    let report = verify_bundle(&trail, &expectation).unwrap();
    assert_eq!(report.verdict, Verdict::Sound, "round {round}: {report}");

    let after = snapshot(&trail);
    let is_segment = |path: &&std::path::PathBuf| path.extension().is_some_and(|it| it == "jsonl");
    let lines = after.iter().filter(|(path, _)| is_segment(path));
    let lines: Vec<&[u8]> =
        lines.flat_map(|(_, bytes)| bytes.split_inclusive(|byte| *byte == b'\n')).collect();
    for (seq, subject) in &told.entries {
        let line = lines.get(*seq as usize);
        let line = line.unwrap_or_else(|| panic!("round {round}: entry {seq} is lost"));
        assert_eq!(parse_line(line).unwrap().subject.as_ref(), Some(subject));
    }
    for size in &told.seals {
        let path = trail.join(format!("checkpoint-{size:020}.note"));
        assert!(before.contains_key(&path), "round {round}: the checkpoint over {size} is lost");
    }
    let rotations: Vec<String> = lines
        .iter()
        .map(|line| parse_line(line).unwrap())
        .filter(|entry| entry.operation == Operation::AuditKeyRotate)
        .map(|entry| entry.detail["key_ed25519"].clone())
        .collect();
    for key in &told.keys {
        let ed25519 = key.to_string().lines().next().unwrap().to_owned();
        assert!(rotations.contains(&ed25519), "round {round}: a rotation is lost");
    }
    (repair.is_some(), is_owed)
}
