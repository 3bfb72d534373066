//! The signing key gives way to another, and whenever that is interrupted, the next start completes
//! it: no moment has no key, and whoever knows the first key ever can verify all that follows.

#![allow(clippy::unwrap_used, reason = "helpers of tests, which may")]

use std::fs;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use audit_log::{Expectation, Operation, Outcome, Report, Verdict, verify_bundle};
use ipc::FaultKind;
use site_config::Daemon;
use testbed::mounted::SmallDisk;
use testbed::random::Random;
use testbed::{Host, Users, audit, is_root_or_skip, snapshot};
use tlog::{PublicKeys, Role, SignedCheckpoint, SigningKeys};

const ROUNDS: u32 = 40;

fn host() -> Host {
    Host::builder().config("[audit]\ncheckpoint_entries = 10\n").with_a_trail()
}

/// The two key files: the one that signs, and the one that comes next.
fn key_files(host: &Host) -> [PathBuf; 2] {
    ["signing.key", "signing.next"].map(|name| host.layout.audit_state().join(name))
}

fn public_key(host: &Host) -> PublicKeys {
    audit::public_key(&mut host.connect(Daemon::Audit).unwrap()).unwrap()
}

fn verified(host: &Host, key: &PublicKeys) -> Report {
    let expectation = Expectation { key: Some(key.clone()), ..Expectation::default() };
    verify_bundle(&host.trail(), &expectation).unwrap()
}

/// One key, the trail's own, and it signs the next checkpoint; `first` is as good as ever.
#[track_caller]
fn assert_whole(host: &Host, first: &PublicKeys) {
    let [current, next] = key_files(host);
    assert!(!next.exists(), "signing.next is left");
    let name = first.name().clone();
    let on_disk = SigningKeys::load(&current, name, Role::Log).unwrap();
    assert_eq!(*on_disk.public(), public_key(host));
    let size = audit::seal(&mut host.connect(Daemon::Audit).unwrap()).unwrap();
    let note = SignedCheckpoint::parse(&fs::read(host.checkpoint(size)).unwrap()).unwrap();
    note.verify(on_disk.public()).expect("the newest key signs");
    let report = verified(host, first);
    assert_eq!((report.verdict, report.sealed), (Verdict::Sound, Some(size)), "{report}");
}

#[test]
fn rotations_that_are_killed_at_any_instant_are_completed_or_never_were() {
    let mut host = host();
    let first = public_key(&host);
    let mut random = Random::seeded();
    let (rotations, entries) = (AtomicU64::new(0), AtomicU64::new(0));
    for round in 1..=ROUNDS {
        let stop = AtomicBool::new(false);
        let until = random.up_to(Duration::from_millis(60));
        let (mut writer, mut rotator) =
            (host.reporter().unwrap(), host.connect(Daemon::Audit).unwrap());
        std::thread::scope(|scope| {
            scope.spawn(|| {
                while !stop.load(Ordering::Relaxed) && audit::append(&mut writer, "x").is_ok() {
                    entries.fetch_add(1, Ordering::Relaxed);
                }
            });
            scope.spawn(|| {
                while !stop.load(Ordering::Relaxed) && audit::rotate(&mut rotator).is_ok() {
                    rotations.fetch_add(1, Ordering::Relaxed);
                }
            });
            // A slow machine would be killed before its first rotation every time.
            let before = rotations.load(Ordering::Relaxed);
            let limit = Instant::now() + Duration::from_secs(60);
            let none_yet = || rotations.load(Ordering::Relaxed) == before && Instant::now() < limit;
            while round % 2 == 0 && none_yet() {
                std::thread::sleep(Duration::from_millis(1));
            }
            std::thread::sleep(until);
            host.kill(Daemon::Audit);
            stop.store(true, Ordering::Relaxed);
        });
        host.try_start(Daemon::Audit).unwrap_or_else(|said| panic!("round {round}: {said}"));
        assert_whole(&host, &first);
        let made = host.entries_of(Operation::AuditKeyRotate, Outcome::Done).len() as u64;
        let written = host.entries_of(Operation::SecretGet, Outcome::Authorised).len() as u64;
        assert!(made >= rotations.load(Ordering::Relaxed), "an acknowledged rotation is lost");
        assert!(written >= entries.load(Ordering::Relaxed), "an acknowledged entry is lost");
    }
    let (rotations, entries) = (rotations.into_inner(), entries.into_inner());
    assert!(
        rotations >= u64::from(ROUNDS) / 2 && entries > 0,
        "{rotations} rotations, {entries} entries"
    );
    eprintln!("{ROUNDS} kills, {rotations} rotations, {entries} entries");
}

/// A host that was killed after a rotation, and what its key was before.
fn rotated() -> (Host, PublicKeys, Vec<u8>) {
    let mut host = host();
    let first = public_key(&host);
    let old = fs::read(&key_files(&host)[0]).unwrap();
    let mut client = host.connect(Daemon::Audit).unwrap();
    let new = audit::rotate(&mut client).unwrap();
    assert_eq!(new, public_key(&host));
    assert_ne!(new, first);
    host.kill(Daemon::Audit);
    assert_ne!(fs::read(&key_files(&host)[0]).unwrap(), old, "the old key is gone");
    (host, first, old)
}

/// Puts the files back as they were before the new key took the place of the old one.
fn undo_the_rename(host: &Host, old: &[u8]) {
    let [current, next] = key_files(host);
    fs::rename(&current, next).unwrap();
    fs::write(current, old).unwrap();
}

#[test]
fn a_crash_before_the_trail_knows_the_next_key_leaves_the_old_one() {
    let mut host = host();
    let first = public_key(&host);
    host.kill(Daemon::Audit);
    let [current, next] = key_files(&host);
    let old = fs::read(&current).unwrap();
    fs::write(&next, [7; 64]).unwrap();
    host.try_start(Daemon::Audit).unwrap();
    assert_eq!(fs::read(&current).unwrap(), old);
    assert_whole(&host, &first);
    // Torn, because it was not renamed yet.
    host.kill(Daemon::Audit);
    fs::write(host.layout.audit_state().join(".signing.next.tmp"), [7; 10]).unwrap();
    host.try_start(Daemon::Audit).unwrap();
    assert_whole(&host, &first);
}

#[test]
fn a_crash_before_the_checkpoint_of_a_rotation_is_made_up_for() {
    let (mut host, first, old) = rotated();
    let new = fs::read(&key_files(&host)[0]).unwrap();
    let last = *host.checkpoints().last().unwrap();
    fs::remove_file(host.checkpoint(last)).unwrap();
    undo_the_rename(&host, &old);
    // Until the daemon has run, it looks as if somebody had taken it away.
    assert_eq!(verified(&host, &first).verdict, Verdict::Truncated);
    host.try_start(Daemon::Audit).unwrap();
    assert_eq!(*host.checkpoints().last().unwrap(), last);
    assert_eq!(fs::read(&key_files(&host)[0]).unwrap(), new);
    assert_whole(&host, &first);
}

#[test]
fn a_crash_before_the_new_key_has_its_name_is_made_up_for() {
    let (mut host, first, old) = rotated();
    let new = fs::read(&key_files(&host)[0]).unwrap();
    undo_the_rename(&host, &old);
    host.try_start(Daemon::Audit).unwrap();
    assert_eq!(fs::read(&key_files(&host)[0]).unwrap(), new);
    assert_whole(&host, &first);
}

#[test]
fn with_another_key_or_none_it_does_not_start_and_changes_nothing() {
    let (mut host, first, old) = rotated();
    let key = &key_files(&host)[0];
    let own = fs::read(key).unwrap();
    for foreign in [Some(old.as_slice()), Some(&[7; 64]), Some(&own[..63]), Some(b""), None] {
        match foreign {
            Some(bytes) => fs::write(key, bytes).unwrap(),
            None => fs::remove_file(key).unwrap(),
        }
        let before = snapshot(host.layout.audit_state());
        let said = host.try_start(Daemon::Audit).unwrap_err();
        assert!(said.contains(&key.display().to_string()), "{said}");
        let length = foreign.map(<[u8]>::len);
        assert!(length != Some(64) || said.contains("put back the file that belongs"), "{said}");
        assert!(snapshot(host.layout.audit_state()) == before, "a file was changed");
    }
    fs::write(key, own).unwrap();
    host.try_start(Daemon::Audit).unwrap();
    assert_whole(&host, &first);
}

/// There may be room for the key, for the entry too, and not for the checkpoint.
#[test]
fn a_rotation_that_finds_no_room_is_none_or_is_completed_later() {
    if !is_root_or_skip("mounting a small disk") {
        return;
    }
    let mut host = Host::builder().users(Users::only_me()).provision();
    let disk = SmallDisk::over(host.layout.audit_state(), 512);
    host.begin_trail();
    let first = public_key(&host);
    let mut operator = host.connect(Daemon::Audit).unwrap();
    let mut owed = 0;
    for pages in [0, 1, 2, 3].into_iter().cycle().take(24) {
        let before = public_key(&host);
        disk.leave(pages);
        let rotated = audit::rotate(&mut operator);
        let entries = host.entries();
        let tail = entries.iter().rev().take(2);
        let announced = tail.clone().any(|entry| entry.operation == Operation::AuditKeyRotate);
        disk.make_room();
        match rotated {
            Ok(key) => assert_eq!(key, public_key(&host)),
            Err(refused) => {
                // Nothing was done, or it is under way: the person must not take one for the other.
                let kind = if announced { FaultKind::Storage } else { FaultKind::AuditUnavailable };
                assert_eq!(refused.kind(), Some(kind), "{refused:?}");
                assert_eq!(public_key(&host), before, "until there is a checkpoint");
                owed += u32::from(announced);
                assert_eq!(key_files(&host)[1].exists(), announced);
            }
        }
        audit::seal(&mut operator).expect("the first seal completes it");
        assert_whole(&host, &first);
        assert_eq!(public_key(&host) == before, !announced, "{pages} pages");
    }
    assert!(owed > 0, "every rotation was completed or never began: the test tested little");
    drop(disk);
}

#[test]
fn who_knows_the_first_key_follows_ten_rotations_and_who_knows_the_last_one_too() {
    let host = host();
    let mut client = host.connect(Daemon::Audit).unwrap();
    let mut keys = vec![public_key(&host)];
    for _ in 0..10 {
        keys.push(audit::rotate(&mut client).unwrap());
        audit::seal(&mut client).unwrap();
    }
    for key in &keys {
        let report = verified(&host, key);
        assert_eq!(report.verdict, Verdict::Sound, "{report}");
        assert_eq!(report.keys.as_ref(), keys.last());
    }
    let name = keys[0].name().clone();
    let other = SigningKeys::generate(name, Role::Log).unwrap();
    assert_eq!(verified(&host, other.public()).verdict, Verdict::Signature);
}
