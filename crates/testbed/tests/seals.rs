//! When the trail is sealed: a signed checkpoint fixes the past at each of these moments.

#![allow(clippy::unwrap_used, reason = "helpers of tests, which may")]

use std::path::Path;
use std::time::{Duration, Instant};

use audit_log::{Entry, Expectation, Operation, Outcome, Verdict, verify_bundle};
use ipc::FaultKind;
use ipc::secrets::SecretsRequest;
use nix::sys::signal::Signal;
use site_config::Daemon;
use testbed::mounted::SmallDisk;
use testbed::{Host, PASSWORD, Users, ask, audit, is_root_or_skip};
use tlog::PublicKeys;

/// The newest seal, and what it says about why it was made.
fn newest(host: &Host) -> (Entry, String) {
    let entry = host.entries_of(Operation::AuditSeal, Outcome::Done).pop().expect("a seal");
    let reason = entry.detail["reason"].clone();
    (entry, reason)
}

/// The last entry is a seal with this reason, and its checkpoint is there.
#[track_caller]
fn assert_sealed(host: &Host, reason: &str) {
    let (entry, found) = newest(host);
    assert_eq!(found, reason);
    assert_eq!(host.entries().len() as u64, entry.seq + 1, "nothing follows it");
    assert_eq!(host.checkpoints().last(), Some(&(entry.seq + 1)));
}

/// What somebody finds who gets the files and knows the key.
fn sealed_for(trail: &Path, key: &PublicKeys) -> Verdict {
    let expectation =
        Expectation { key: Some(key.clone()), require_sealed: true, ..Expectation::default() };
    verify_bundle(trail, &expectation).unwrap().verdict
}

fn key_of(host: &Host) -> PublicKeys {
    audit::public_key(&mut host.connect(Daemon::Audit).unwrap()).unwrap()
}

#[test]
fn a_lock_a_request_and_a_stop_seal_the_trail() {
    let mut host = Host::unlocked();
    let key = key_of(&host);
    let live = |host: &Host| host.sesame(["audit", "verify", "--require-sealed"]).run().code;
    assert_eq!(live(&host), 19, "an unlock does not");
    host.sesame(["lock"]).succeed();
    assert_sealed(&host, "lock");
    assert_eq!(live(&host), 0);

    host.unlock();
    let said = host.sesame(["audit", "seal"]).succeed();
    assert_sealed(&host, "request");
    assert!(said.contains(&format!("all {} entries", host.entries().len())), "{said}");
    assert_eq!(newest(&host).0.actor.unwrap().name.as_deref(), Some("operator"));

    host.sesame(["secret", "list"]).succeed();
    host.end(Daemon::Secrets, Signal::SIGTERM);
    host.end(Daemon::Audit, Signal::SIGTERM);
    assert_sealed(&host, "stop");
    assert_eq!(sealed_for(&host.trail(), &key), Verdict::Sound);
    let entries = host.entries();
    assert_eq!(entries[entries.len() - 2].operation, Operation::DaemonStop);
}

#[test]
fn a_profile_that_locks_itself_seals_the_trail() {
    let mut host = Host::builder().config("[unlock]\nauto_lock_seconds = 1\n").provision();
    host.start();
    host.init();
    host.unlock();
    let deadline = Instant::now() + Duration::from_secs(20);
    // The first one is that of the genesis.
    while host.checkpoints().len() < 2 {
        assert!(Instant::now() < deadline, "it was never sealed");
        std::thread::sleep(Duration::from_millis(50));
    }
    assert_sealed(&host, "lock");
    let locks = host.entries_of(Operation::Lock, Outcome::Done);
    assert_eq!(locks.last().unwrap().detail["reason"], "idle");
}

#[test]
fn a_wiped_trail_is_sealed_to_its_end_and_stays_verifiable_by_its_key() {
    let host = Host::unlocked();
    let key = key_of(&host);
    let mut client = host.connect(Daemon::Secrets).unwrap();
    let installation = ask::status(&mut client).unwrap().installation.unwrap().id;
    ask::done(&mut client, &SecretsRequest::Wipe { installation }).unwrap();
    host.init();
    let old = host.layout.audit_state().join(format!("wiped-{installation}"));
    assert_eq!(sealed_for(&old, &key), Verdict::Sound);
    // A new installation has a key of its own.
    assert_ne!(key_of(&host), key);
    assert_eq!(sealed_for(&host.trail(), &key), Verdict::Signature);
    host.sesame(["audit", "verify"]).succeed();
}

/// Put aside with an end that nobody signed, it would look cut off for ever: its key is gone then.
#[test]
fn a_wiped_trail_is_put_aside_sealed_or_not_at_all() {
    if !is_root_or_skip("mounting a small disk") {
        return;
    }
    let mut host = Host::builder().users(Users::only_me()).provision();
    let disk = SmallDisk::over(host.layout.audit_state(), 256);
    host.start();
    host.init();
    let key = key_of(&host);
    let mut client = host.connect(Daemon::Secrets).unwrap();
    let installation = ask::status(&mut client).unwrap().installation.unwrap().id;
    ask::done(&mut client, &SecretsRequest::Wipe { installation }).unwrap();
    disk.fill();
    let said = host.sesame(["init", "--password-stdin"]).stdin(PASSWORD).run();
    assert!(matches!(said.code, 22 | 25), "{}: {}", said.code, said.error());
    let old = host.layout.audit_state().join(format!("wiped-{installation}"));
    assert!(!old.exists(), "{}", said.error());
    disk.make_room();
    host.init();
    assert_eq!(sealed_for(&old, &key), Verdict::Sound);
    drop(disk);
}

/// No stretch of the trail is longer than it may be, whoever writes.
fn distances(host: &Host) -> Vec<u64> {
    host.checkpoints().windows(2).map(|pair| pair[1] - pair[0]).collect()
}

#[test]
fn every_few_entries_there_is_a_seal() {
    let host = Host::builder().config("audit.checkpoint_entries = 7\n").with_a_trail();
    let mut reporter = host.reporter().unwrap();
    for _ in 0..100 {
        audit::append(&mut reporter, "x").unwrap();
    }
    let distances = distances(&host);
    assert_eq!(newest(&host).1, "entries");
    assert!(distances.len() > 10 && distances.iter().all(|n| *n == 8), "{distances:?}");
    let unsealed = host.entries().len() as u64 - host.checkpoints().last().unwrap();
    assert!(unsealed < 7, "{unsealed}");
}

#[test]
fn thirty_two_writers_at_once_get_good_seals_at_bounded_distances() {
    const WRITERS: u64 = 32;
    let host = Host::builder().config("audit.checkpoint_entries = 20\n").with_a_trail();
    let key = key_of(&host);
    std::thread::scope(|scope| {
        for _ in 0..WRITERS {
            let mut reporter = host.reporter().unwrap();
            scope.spawn(move || {
                for _ in 0..30 {
                    audit::append(&mut reporter, "x").unwrap();
                }
            });
        }
    });
    let written = host.entries_of(Operation::SecretGet, Outcome::Authorised).len() as u64;
    assert_eq!(written, WRITERS * 30);
    // While a seal is made, the others go on up to twice the number, and one entry each.
    let distances = distances(&host);
    assert!(distances.iter().all(|n| *n <= 2 * 20 + 1 + WRITERS), "{distances:?}");
    assert!(distances.len() > 10, "{distances:?}");
    audit::seal(&mut host.connect(Daemon::Audit).unwrap()).unwrap();
    assert_eq!(sealed_for(&host.trail(), &key), Verdict::Sound);
}

/// Entries are small and a checkpoint takes a page: there may be room for the one and not the other.
#[test]
fn a_seal_that_finds_no_room_is_owed_and_made_as_soon_as_there_is_some() {
    if !is_root_or_skip("mounting a small disk") {
        return;
    }
    let mut host = Host::builder().users(Users::only_me()).provision();
    let disk = SmallDisk::over(host.layout.audit_state(), 256);
    host.begin_trail();
    let key = key_of(&host);
    let (mut reporter, mut operator) =
        (host.reporter().unwrap(), host.connect(Daemon::Audit).unwrap());
    let mut owed = 0;
    for round in 0..12 {
        // At different places in the last page of the segment.
        for _ in 0..round {
            audit::append(&mut reporter, "x").unwrap();
        }
        disk.fill();
        let before = host.checkpoints();
        // Again and again: a second one must not be announced before the first is there.
        for _ in 0..3 {
            let refused = audit::seal(&mut operator).unwrap_err();
            let announced = host.entries().last().unwrap().operation == Operation::AuditSeal;
            let kind = if announced { FaultKind::Storage } else { FaultKind::AuditUnavailable };
            assert_eq!(refused.kind(), Some(kind), "{refused:?}");
        }
        assert_eq!(host.checkpoints(), before);
        let announced = host.entries().last().unwrap().operation == Operation::AuditSeal;
        owed += u32::from(announced);
        // What there is room for still goes in, and the trail is what it was.
        let _ = audit::append(&mut reporter, "small");
        disk.make_room();
        if announced && owed == 1 {
            // The daemon sees to it by itself; nobody has to ask.
            let deadline = Instant::now() + Duration::from_secs(20);
            while host.checkpoints() == before {
                assert!(Instant::now() < deadline, "it was never made");
                std::thread::sleep(Duration::from_millis(50));
            }
        }
        audit::append(&mut reporter, "large").unwrap();
        let size = audit::seal(&mut operator).unwrap();
        assert_eq!(host.entries().len() as u64, size);
        let seals =
            host.entries().iter().filter(|entry| entry.operation.announces_checkpoint()).count();
        assert_eq!(host.checkpoints().len(), seals, "one for each entry that announces one");
        assert_eq!(sealed_for(&host.trail(), &key), Verdict::Sound);
    }
    assert!(owed > 0, "the entry of a seal never found room: the test tested little");
    drop(disk);
}
