//! The trail leaves the machine: onto sound media it is whole and checked, onto others nothing is
//! left that could be taken for it, and the trail says which.

#![allow(clippy::unwrap_used, reason = "helpers of tests, which may")]

#[path = "common/stick.rs"]
mod stick;

use std::fs;
use std::os::unix::fs::{PermissionsExt, chown};
use std::path::Path;
use std::process::Command;

use audit_log::{Operation, Outcome};
use nix::unistd::Uid;
use site_config::Daemon;
use stick::Stick;
use testbed::mounted::{FailingDisk, SmallDisk};
use testbed::{Host, is_root_or_skip, snapshot};

/// A host with something to export, unlocked, and its key in a file.
fn host() -> (Host, Stick, String) {
    let host = Host::unlocked();
    for name in ["a", "b", "c"] {
        host.sesame(["secret", "set", name]).stdin("value").succeed();
    }
    let stick = Stick::new(&host);
    let key = host.save_key("the-key").to_str().unwrap().to_owned();
    (host, stick, key)
}

/// What the trail says of exports, oldest first.
fn recorded(host: &Host) -> Vec<(Outcome, String)> {
    let entries = host.entries().into_iter();
    let exports = entries.filter(|entry| entry.operation == Operation::AuditExport);
    exports.map(|entry| (entry.outcome, entry.subject.unwrap())).collect()
}

fn tar(args: &[&str]) {
    assert!(Command::new("tar").args(args).status().unwrap().success(), "{args:?}");
}

#[test]
fn a_directory_and_a_tar_file_hold_the_same_sealed_trail() {
    let (host, stick, key) = host();
    let pinned = ["--key", &key, "--require-sealed"];
    let directory = stick.export(&host, "directory");
    let file = stick.export(&host, "file.tar");
    for path in [&directory, &file] {
        let outcome = stick.verify(path, &pinned);
        assert_eq!(outcome.code, 0, "{}{}", outcome.text(), outcome.error());
        let shown = path.to_str().unwrap().to_owned();
        let told = recorded(&host).into_iter().filter(|(_, subject)| *subject == shown);
        let told: Vec<Outcome> = told.map(|(outcome, _)| outcome).collect();
        assert_eq!(told, [Outcome::Authorised, Outcome::Done]);
    }
    // As people handle them: unpacked, and packed by another program.
    let [place, packed] = ["unpacked", "packed.tar"].map(|name| stick.path(name));
    fs::create_dir(&place).unwrap();
    tar(&["-xf", file.to_str().unwrap(), "-C", place.to_str().unwrap()]);
    assert_eq!(stick.verify(&place, &pinned).code, 0);
    let parent = stick.place.path().to_str().unwrap();
    tar(&["-cf", packed.to_str().unwrap(), "-C", parent, "directory"]);
    let outcome = stick.verify(&packed, &pinned);
    assert_eq!(outcome.code, 0, "{}", outcome.text());
    // The key that comes with it is the trail's.
    assert_eq!(fs::read(directory.join("public-key.txt")).unwrap(), fs::read(&key).unwrap());
}

#[test]
fn what_is_there_already_is_not_touched() {
    let (host, stick, _) = host();
    let [full, file] = ["full", "file.tar"].map(|name| stick.path(name));
    fs::create_dir(&full).unwrap();
    fs::write(full.join("thesis.txt"), "years of work").unwrap();
    fs::write(&file, "more work").unwrap();
    for path in [&full, &file] {
        let said = host.sesame(["audit", "export"]).args([path]).fail(9);
        assert!(said.contains("is there already"), "{said}");
        assert_eq!(recorded(&host).last().unwrap().0, Outcome::Failed);
    }
    assert_eq!(fs::read_to_string(full.join("thesis.txt")).unwrap(), "years of work");
    assert_eq!(fs::read_dir(&full).unwrap().count(), 1);
    assert_eq!(fs::read_to_string(&file).unwrap(), "more work");
    // An empty directory is as good as none.
    let empty = stick.path("empty");
    fs::create_dir(&empty).unwrap();
    chown(&empty, Some(host.users.operator), None).unwrap();
    stick.export(&host, "empty");
    assert_eq!(stick.verify(&empty, &[]).code, 0);
}

/// The medium is full after the first page, after the second, and so on.
#[test]
fn a_medium_that_fills_up_leaves_nothing_that_passes() {
    if !is_root_or_skip("mounting a small disk") {
        return;
    }
    let (host, stick, _) = host();
    let medium = stick.path("medium");
    fs::create_dir(&medium).unwrap();
    chown(&medium, Some(host.users.operator), None).unwrap();
    for name in ["bundle", "bundle.tar"] {
        let mut failures = 0;
        for pages in (1..200).step_by(3) {
            let disk = SmallDisk::over(&medium, pages * 4);
            let path = medium.join(name);
            let outcome = host.sesame(["audit", "export"]).args([&path]).run();
            if outcome.code == 0 {
                assert_eq!(stick.verify(&path, &["--require-sealed"]).code, 0);
                break;
            }
            failures += 1;
            assert_eq!(outcome.code, 25, "{pages} pages: {}", outcome.error());
            assert!(outcome.error().contains("No space left"), "{}", outcome.error());
            assert_eq!(recorded(&host).last().unwrap().0, Outcome::Failed);
            for left in [path.clone(), medium.join("bundle.tar.partial")] {
                let found = stick.verify(&left, &[]);
                assert_ne!(found.code, 0, "{pages} pages: {}", found.text());
                let said = [13, 16, 18].contains(&found.code);
                assert!(said, "{pages} pages: {}{}", found.text(), found.error());
            }
            assert!(!medium.join("bundle.tar").exists());
            drop(disk);
        }
        assert!(failures > 2, "{name}: {failures} media were too small");
        let reasons = host.entries_of(Operation::AuditExport, Outcome::Failed);
        assert!(reasons.iter().all(|entry| entry.detail["reason"].contains("No space left")));
    }
    host.sesame(["audit", "verify"]).succeed();
}

#[test]
fn a_stick_with_a_file_system_of_its_own_works_until_it_fails() {
    if !is_root_or_skip("mounting a disk that fails") {
        return;
    }
    let (host, stick, key) = host();
    let medium = stick.path("medium");
    fs::create_dir(&medium).unwrap();
    chown(&medium, Some(host.users.operator), None).unwrap();
    let disk = match FailingDisk::over(&medium) {
        Ok(disk) => disk,
        Err(reason) => return eprintln!("skipped, for there is no disk that could fail: {reason}"),
    };
    let pinned = ["--key", &key, "--require-sealed"];
    for name in ["medium/bundle", "medium/bundle.tar"] {
        let path = stick.export(&host, name);
        // Taken out and put in again.
        disk.mend();
        assert_eq!(stick.verify(&path, &pinned).code, 0, "{name}");
    }
    disk.fail();
    for name in ["medium/later", "medium/later.tar"] {
        let said = host.sesame(["audit", "export"]).args([stick.path(name)]).fail(25);
        assert!(said.contains("Read-only file system"), "{said}");
        assert_eq!(recorded(&host).last().unwrap().0, Outcome::Failed);
        assert_eq!(stick.verify(&stick.path(name), &[]).code, 16);
    }
}

/// Whoever can copy the directory needs no export.
#[test]
fn a_plain_copy_of_the_directory_verifies() {
    let (mut host, stick, key) = host();
    let copy = |host: &Host, name: &str| {
        let copy = stick.path(name);
        let from = host.layout.audit_state();
        let copied = Command::new("cp").arg("-r").args([from, &copy]).status().unwrap();
        assert!(copied.success());
        copy
    };
    let (key, sealed) = (["--key", key.as_str()], ["--key", key.as_str(), "--require-sealed"]);
    // The daemon runs, and nobody asks it for anything.
    let running = copy(&host, "running");
    assert_eq!(stick.verify(&running, &key).code, 0);
    assert_eq!(stick.verify(&running, &sealed).code, 19);
    host.sesame(["lock"]).succeed();
    let locked = copy(&host, "locked");
    assert_eq!(stick.verify(&locked, &sealed).code, 0);
    host.stop();
    for path in [copy(&host, "stopped"), copy(&host, "stopped-too").join("trail")] {
        let outcome = stick.verify(&path, &sealed);
        assert_eq!(outcome.code, 0, "{}{}", outcome.text(), outcome.error());
    }
}

/// The trail is asked first: without its entry nothing leaves.
#[test]
fn an_export_that_can_not_be_recorded_is_none() {
    let (mut host, stick, _) = host();
    host.kill(Daemon::Audit);
    let path = stick.path("bundle");
    host.sesame(["audit", "export"]).args([&path]).fail(3);
    assert!(!path.exists());
    host.try_start(Daemon::Audit).unwrap();
    let long = "n".repeat(1100);
    host.sesame(["audit", "export", &long]).fail(24);
    host.sesame(["audit", "export", "line\nfeed"]).fail(24);
    assert_eq!(recorded(&host), []);
    // Root may do it too, and it is root who did.
    if Uid::effective().is_root() && host.users.are_separate() {
        let closed = stick.path("closed");
        fs::create_dir(&closed).unwrap();
        fs::set_permissions(&closed, fs::Permissions::from_mode(0o700)).unwrap();
        host.sesame(["audit", "export"]).args([closed.join("x")]).fail(25);
        assert_eq!(recorded(&host).last().unwrap().0, Outcome::Failed);
    }
    assert_eq!(snapshot(Path::new(&path.parent().unwrap())).len(), 1, "the program alone");
}
