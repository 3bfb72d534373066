//! Changes on full and read-only disks: a clear fault, and the old state stands.

#![allow(clippy::unwrap_used, reason = "helpers of tests, which may")]

use std::fs;
use std::path::{Path, PathBuf};

use ipc::factors::{Cause, Change, Source};
use ipc::secrets::SecretsRequest;
use ipc::{Client, Fault, FaultKind};
use site_config::AuthMode;
use testbed::ask::{self, Refused, ask};
use testbed::factors::{self, PATIENT, authorise, authorised, give, mode, password, unlock_with};
use testbed::mounted::{ReadOnly, SmallDisk};
use testbed::{Host, is_root_or_skip};

const A: (u32, &str) = (1, "the first password");
const B: (u32, &str) = (2, "the second password");
const TWO: [(&str, &str); 2] = [("alice", A.1), ("bob", B.1)];
const VALUES: u32 = 10;

fn value(number: u32) -> Vec<u8> {
    number.to_le_bytes().repeat(5000)
}

fn filled(host: &Host) -> Client {
    let mut client = host.client();
    let passwords = TWO.map(|(label, text)| password(label, text));
    factors::init(&mut client, passwords.into()).unwrap();
    unlock_with(&mut client, &[A]).unwrap();
    for number in 0..VALUES {
        ask::set(&mut client, &number.to_string(), &value(number)).unwrap();
    }
    client
}

fn profiles(host: &Host) -> PathBuf {
    host.layout.secrets_state().join("installation/profiles")
}

fn metadata(host: &Host) -> Vec<u8> {
    fs::read(profiles(host).join("default/unlock.json")).unwrap()
}

fn changes() -> [Change<'static>; 6] {
    [
        factors::enrolment("carol"),
        Change::Revoke { factor: 2 },
        Change::Rename { factor: 2, label: "robert" },
        Change::Policy(mode(AuthMode::All)),
        Change::Split { label: "recovery", threshold: 2, shares: 3 },
        Change::RotateKey,
    ]
}

fn carry_out(client: &mut Client, which: &Change<'_>) -> Result<(), Refused> {
    match which {
        Change::Enroll { label, .. } => {
            factors::enroll(client, password(label, "the third password")).map(drop)
        }
        other => factors::change(client, other),
    }
}

#[track_caller]
fn storage<T: std::fmt::Debug>(result: Result<T, Refused>) -> Fault {
    match result {
        Err(Refused::Fault(fault)) if fault.kind == FaultKind::Storage => fault,
        other => panic!("{other:?}"),
    }
}

fn all_is_there(client: &mut Client, given: &[(u32, &str)]) {
    factors::lock(client).unwrap();
    unlock_with(client, given).unwrap();
    for number in 0..VALUES {
        assert_eq!(ask::get(client, &number.to_string()).unwrap(), value(number), "{number}");
    }
}

fn leftovers(directory: &Path) -> Vec<PathBuf> {
    let paths = fs::read_dir(directory).unwrap().flatten().map(|entry| entry.path());
    paths.filter(|path| path.file_name().unwrap().as_encoded_bytes().starts_with(b".")).collect()
}

/// A try needs room for its count, so the disk fills up between the authorisation and the change.
#[test]
fn on_a_full_disk_no_change_is_made_and_the_old_state_stands() {
    if !is_root_or_skip("mounting a small disk") {
        return;
    }
    let mut host = Host::builder().config(PATIENT).provision();
    let disk = SmallDisk::over(host.layout.secrets_state(), 2048);
    host.start();
    let mut client = filled(&host);
    for pages in [0, 1, 8] {
        for which in changes() {
            let rotates = matches!(which, Change::Revoke { .. } | Change::RotateKey);
            if pages > 0 && !rotates {
                continue;
            }
            authorise(&mut client, &which, &[A]).unwrap();
            let before = metadata(&host);
            disk.leave(pages);
            let fault = storage(carry_out(&mut client, &which));
            assert!(
                fault.message.contains("space") || fault.message.contains("stands"),
                "{which}: {fault}"
            );
            assert_eq!(metadata(&host), before, "{which}");
            assert_eq!(ask::get(&mut client, "3").unwrap(), value(3), "{which}: the vault is open");
            disk.make_room();
            assert_eq!(leftovers(&profiles(&host)), Vec::<PathBuf>::new(), "{which}");
            all_is_there(&mut client, &[B]);
        }
    }
    storage_of_backups(&host, &mut client, &disk);
    // With room everything goes.
    for which in [Change::Revoke { factor: 2 }, Change::RotateKey, changes()[0], changes()[4]] {
        authorise(&mut client, &which, &[A]).unwrap();
        carry_out(&mut client, &which).unwrap_or_else(|refused| panic!("{which}: {refused:?}"));
    }
    all_is_there(&mut client, &[A]);
    host.stop();
    host.start();
    host.sesame(["audit", "verify"]).succeed();
}

fn storage_of_backups(host: &Host, client: &mut Client, disk: &SmallDisk) {
    let backup = factors::backup(client, None).unwrap();
    disk.leave(1);
    storage(factors::backup(client, None));
    let bytes = &backup[..60_000];
    let write = SecretsRequest::VaultRestoreWrite { profile: "copy", offset: 0, bytes };
    storage(ask::done(client, &write));
    disk.make_room();
    factors::stage(client, "copy", &backup).unwrap();
    let text = factors::restoration(client, "copy").unwrap();
    give(client, Source::Restore("copy"), Cause::Change(&text), &[B]).unwrap();
    disk.leave(4);
    storage(ask::done(client, &SecretsRequest::VaultRestore { profile: "copy" }));
    assert_eq!(ask::status(client).unwrap().profiles.len(), 1);
    disk.make_room();
    give(client, Source::Restore("copy"), Cause::Change(&text), &[A]).unwrap();
    ask::done(client, &SecretsRequest::VaultRestore { profile: "copy" }).unwrap();
    assert_eq!(ask::status(client).unwrap().profiles.len(), 2);
    assert_eq!(leftovers(&profiles(host)), Vec::<PathBuf>::new());
    all_is_there(client, &[A]);
}

#[test]
fn on_a_read_only_disk_no_change_is_made_and_the_old_state_stands() {
    if !is_root_or_skip("mounting read-only") {
        return;
    }
    let mut host = Host::builder().config(PATIENT).provision();
    host.start();
    let mut client = filled(&host);
    for which in changes() {
        authorise(&mut client, &which, &[A]).unwrap();
        let before = metadata(&host);
        let read_only = ReadOnly::over(&profiles(&host));
        let fault = storage(carry_out(&mut client, &which));
        assert!(fault.message.to_lowercase().contains("read-only"), "{which}: {fault}");
        // Nor is a try made that could not be counted.
        storage(factors::test(&mut client, 2, B.1));
        drop(read_only);
        assert_eq!(metadata(&host), before, "{which}");
        all_is_there(&mut client, &[B]);
    }
    authorised(&mut client, &Change::RotateKey, &[A]).unwrap();
    all_is_there(&mut client, &[A]);
    let request = SecretsRequest::FactorList { source: Source::Profile(None) };
    ask(&mut client, &request, |_| Some(())).unwrap();
    host.sesame(["audit", "verify"]).succeed();
}
