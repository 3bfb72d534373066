//! Full and read-only disks: an error that says so, nothing lost, and all well when they mend.

#![allow(clippy::unwrap_used, reason = "helpers of tests, which may")]

use std::fs;
use std::path::PathBuf;

use audit_log::{Operation, Outcome};
use site_config::Daemon;
use testbed::mounted::{ReadOnly, SmallDisk};
use testbed::{Host, PASSWORD, ask, is_root_or_skip, snapshot};

/// Small segments, so that a full disk is met in the middle of one and at the beginning of the next.
const SMALL_SEGMENTS: &str = "[audit]\nsegment_bytes = 65536\n";

/// Values before the disk is filled.
const WRITTEN: u32 = 10;

fn profile(host: &Host) -> PathBuf {
    host.layout.secrets_state().join("installation/profiles/default")
}

#[test]
fn on_a_full_vault_disk_a_write_fails_and_what_was_written_stays() {
    if !is_root_or_skip("mounting a small disk") {
        return;
    }
    let mut host = Host::builder().provision();
    let disk = SmallDisk::over(host.layout.secrets_state(), 1024);
    host.start();
    host.init();
    host.unlock();
    let mut client = host.connect(Daemon::Secrets).unwrap();
    let value = |count: u32| count.to_le_bytes().repeat(5000);
    for count in 0..WRITTEN {
        ask::set(&mut client, &format!("{count}"), &value(count)).unwrap();
    }
    disk.fill();
    let said = host.sesame(["secret", "set", "a"]).stdin(vec![1; 60_000]).fail(25);
    assert!(said.contains("no space left"), "{said}");
    let said = host.sesame(["secret", "set", "0"]).stdin(vec![1; 60_000]).fail(25);
    assert!(said.contains("nothing was changed"), "{said}");
    let create = ["profile", "create", "p", "--password-stdin"];
    host.sesame(create).stdin(PASSWORD).fail(25);
    assert_eq!(host.sesame(["profile", "list"]).succeed().lines().count(), 1);
    assert!(!host.entries_of(Operation::SecretSet, Outcome::Failed).is_empty());
    for count in 0..WRITTEN {
        assert_eq!(ask::get(&mut client, &format!("{count}")).unwrap(), value(count));
    }
    // A wrong try could not be counted, so none is made.
    host.sesame(["lock"]).succeed();
    host.sesame(["unlock", "--password-stdin"]).stdin(PASSWORD).fail(25);
    disk.make_room();
    host.unlock();
    host.sesame(["secret", "delete", "0"]).succeed();
    host.sesame(["secret", "set", "0"]).stdin("small").succeed();
    host.stop();
    host.start();
    host.unlock();
    assert_eq!(host.sesame(["secret", "get", "0"]).succeed(), "small");
    let mut client = host.connect(Daemon::Secrets).unwrap();
    for count in 1..WRITTEN {
        assert_eq!(ask::get(&mut client, &format!("{count}")).unwrap(), value(count));
    }
    host.sesame(["audit", "verify"]).succeed();
}

#[test]
fn an_init_on_a_full_disk_leaves_nothing_and_can_be_repeated() {
    if !is_root_or_skip("mounting a small disk") {
        return;
    }
    for victim in [Daemon::Secrets, Daemon::Audit] {
        let mut host = Host::builder().provision();
        let disk = SmallDisk::over(host.layout.state(victim), 256);
        host.start();
        disk.fill();
        let code = if victim == Daemon::Secrets { 25 } else { 22 };
        host.sesame(["init", "--password-stdin"]).stdin(PASSWORD).fail(code);
        let left = snapshot(host.layout.secrets_state());
        assert!(!left.keys().any(|path| path.ends_with("unlock.json")), "{:?}", left.keys());
        disk.make_room();
        host.init();
        host.unlock();
        host.sesame(["secret", "set", "a"]).stdin("value").succeed();
        host.stop();
        host.start();
        host.unlock();
        assert_eq!(host.sesame(["secret", "get", "a"]).succeed(), "value");
        host.sesame(["audit", "verify"]).succeed();
    }
}

#[test]
fn while_the_trails_disk_is_full_nothing_happens_and_then_it_goes_on() {
    if !is_root_or_skip("mounting a small disk") {
        return;
    }
    let mut host = Host::builder().config(SMALL_SEGMENTS).provision();
    let disk = SmallDisk::over(host.layout.audit_state(), 256);
    host.start();
    host.init();
    host.unlock();
    let mut client = host.connect(Daemon::Secrets).unwrap();
    ask::set(&mut client, "a", b"1").unwrap();
    for room in [true, false] {
        disk.fill();
        // What the last page of the segment still holds.
        let last = (0..100).find_map(|_| ask::get(&mut client, "a").err());
        assert_eq!(last.unwrap().kind(), Some(ipc::FaultKind::AuditUnavailable));
        let before = snapshot(host.layout.secrets_state());
        for command in [["secret", "get", "a"].as_slice(), &["secret", "list"]] {
            let said = host.sesame(command).fail(22);
            assert!(said.contains("nothing was done"), "{said}");
        }
        host.sesame(["secret", "set", "a"]).stdin("2").fail(22);
        host.sesame(["secret", "delete", "a"]).fail(22);
        host.sesame(["unlock", "--password-stdin"]).stdin(PASSWORD).fail(22);
        host.sesame(["lock"]).succeed();
        host.sesame(["unlock", "--password-stdin"]).stdin(PASSWORD).fail(22);
        assert!(snapshot(host.layout.secrets_state()) == before, "a file was changed");
        disk.make_room();
        if room {
            host.unlock();
        } else {
            host.stop();
            host.start();
            host.unlock();
        }
        client = host.connect(Daemon::Secrets).unwrap();
        assert_eq!(ask::get(&mut client, "a").unwrap(), b"1");
        host.sesame(["audit", "verify"]).succeed();
    }
}

/// The disk fills up by the trail itself, in the middle of entries of all lengths.
#[test]
fn a_trail_that_fills_its_disk_stays_sound() {
    if !is_root_or_skip("mounting a small disk") {
        return;
    }
    let mut host = Host::builder().config(SMALL_SEGMENTS).provision();
    let disk = SmallDisk::over(host.layout.audit_state(), 200);
    host.start();
    host.init();
    host.unlock();
    let mut client = host.connect(Daemon::Secrets).unwrap();
    let name = |count: usize| "n".repeat(1 + count * 37 % 256);
    let done = (0..2000).take_while(|count| ask::set(&mut client, &name(*count), b"x").is_ok());
    let done = done.count();
    assert!((50..2000).contains(&done), "{done} entries fit");
    assert!(host.entries_of(Operation::SecretSet, Outcome::Authorised).len() >= done);
    host.sesame(["audit", "verify"]).succeed();
    drop(disk);
}

#[test]
fn a_read_only_vault_is_read_and_not_written() {
    if !is_root_or_skip("mounting read-only") {
        return;
    }
    let mut host = Host::unlocked();
    host.sesame(["secret", "set", "a"]).stdin("1").succeed();
    // What is open already stays writable, the journal of earlier writes for instance.
    host.stop();
    host.start();
    host.unlock();
    let read_only = ReadOnly::over(&profile(&host));
    let said = host.sesame(["secret", "set", "a"]).stdin("2").fail(25);
    assert!(said.contains("read-only; nothing was changed"), "{said}");
    assert_eq!(host.sesame(["secret", "get", "a"]).succeed(), "1");
    host.sesame(["lock"]).succeed();
    host.sesame(["unlock", "--password-stdin"]).stdin(PASSWORD).fail(25);
    drop(read_only);
    host.unlock();
    host.sesame(["secret", "set", "a"]).stdin("2").succeed();
    assert_eq!(host.sesame(["secret", "get", "a"]).succeed(), "2");
    host.sesame(["audit", "verify"]).succeed();
}

#[test]
fn on_a_read_only_disk_no_daemon_starts_and_it_says_why() {
    if !is_root_or_skip("mounting read-only") {
        return;
    }
    let mut host = Host::unlocked();
    host.sesame(["secret", "set", "a"]).stdin("1").succeed();
    host.end(Daemon::Secrets, nix::sys::signal::Signal::SIGTERM);
    let read_only = ReadOnly::over(host.layout.secrets_state());
    let said = host.try_start(Daemon::Secrets).unwrap_err();
    assert!(said.contains("Read-only file system"), "{said}");
    drop(read_only);
    host.stop();
    let read_only = ReadOnly::over(host.layout.audit_state());
    let said = host.try_start(Daemon::Audit).unwrap_err();
    assert!(said.contains("Read-only file system"), "{said}");
    drop(read_only);
    host.start();
    host.unlock();
    assert_eq!(host.sesame(["secret", "get", "a"]).succeed(), "1");
}

/// A power cut in the middle of a write.
#[test]
fn a_torn_last_line_is_repaired_by_an_entry_that_says_so() {
    let mut host = Host::unlocked();
    host.sesame(["secret", "set", "a"]).stdin("1").succeed();
    host.kill(Daemon::Secrets);
    host.kill(Daemon::Audit);
    let trail = host.layout.audit_state().join("trail");
    let segment = fs::read_dir(trail).unwrap().map(|entry| entry.unwrap().path());
    let segment = segment.filter(|path| path.extension().is_some_and(|end| end == "jsonl"));
    let segment = segment.max().unwrap();
    for torn in ["{\"seq\":", "{", "\0\0\0\0\0\0\0\0"] {
        let entries = host.entries().len();
        let mut text = fs::read(&segment).unwrap();
        text.extend_from_slice(torn.as_bytes());
        fs::write(&segment, text).unwrap();
        host.start();
        assert!(host.log(Daemon::Audit).contains("torn last line"));
        let repairs = host.entries_of(Operation::Repair, Outcome::Done);
        assert_eq!(repairs.last().unwrap().detail["bytes"], torn.len().to_string());
        assert_eq!(host.entries()[entries].operation, Operation::Repair);
        host.sesame(["audit", "verify"]).succeed();
        host.stop();
    }
}
