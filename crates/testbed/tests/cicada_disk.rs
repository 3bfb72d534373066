//! Full, read-only and damaged disks: a clear error, nothing lost, and no key under another name.

#![allow(clippy::unwrap_used, reason = "helpers of tests, which may")]

use std::fs;
use std::path::PathBuf;

use audit_log::{Operation, Outcome};
use site_config::Daemon;
use testbed::cicada::{UNLOCK_KEY, about, allow_me_everything, code, sign, text, with_key};
use testbed::mounted::{ReadOnly, SmallDisk};
use testbed::{Host, is_root_or_skip, snapshot};

const UNLOCKED: &str = r#"{"state":"unlocked"}"#;

#[test]
fn on_a_full_disk_a_change_fails_and_what_there_was_stays() {
    if !is_root_or_skip("mounting a small disk") {
        return;
    }
    let mut host = Host::builder().cicada(&allow_me_everything()).provision();
    let disk = SmallDisk::over(host.layout.state(Daemon::Cicada), 64);
    host.start();
    host.init();
    host.start_cicada();
    let mut program = host.program();
    disk.fill();
    let reply = program.ask(with_key("init", &UNLOCK_KEY));
    assert!(code(&reply).as_deref() == Some("internal") && reply.contains("No space"), "{reply}");
    assert_eq!(text(&program.ask(r#"{"op":"status"}"#), "state"), "uninitialised");
    disk.make_room();
    assert_eq!(program.ask(with_key("init", &UNLOCK_KEY)), UNLOCKED);
    let public = program.ask(about("create", "cloud-sync"));
    disk.fill();
    let before = snapshot(&host.cicada_keys());
    for request in
        [about("create", "other"), about("rotate", "cloud-sync"), about("revoke", "cloud-sync")]
    {
        let reply = program.ask(&request);
        assert!(code(&reply).as_deref() == Some("internal"), "{request}: {reply}");
        assert!(reply.contains("No space left"), "{request}: {reply}");
    }
    assert!(snapshot(&host.cicada_keys()) == before, "something was changed");
    assert_eq!(program.ask(about("public_key", "cloud-sync")), public);
    assert_eq!(code(&program.ask(sign("cloud-sync", b"data"))), None);
    assert_eq!(code(&program.ask(about("get_key", "other"))).as_deref(), Some("unknown_identity"));
    for operation in
        [Operation::IdentityCreate, Operation::IdentityRotate, Operation::IdentityRevoke]
    {
        assert_eq!(host.entries_of(operation, Outcome::Failed).len(), 1, "{operation}");
    }
    disk.make_room();
    assert_eq!(code(&program.ask(about("rotate", "cloud-sync"))), None);
    assert_eq!(code(&program.ask(about("create", "other"))), None);
    host.kill(Daemon::Cicada);
    host.start_cicada();
    host.assert_no_leftovers_of_cicada();
    let mut program = host.program();
    program.ask(with_key("unlock", &UNLOCK_KEY));
    let request = r#"{"op":"public_key","identity":"cloud-sync","version":1}"#;
    assert_eq!(program.ask(request), public);
    drop((host, disk));
}

#[test]
fn on_a_read_only_disk_keys_are_used_and_not_changed() {
    if !is_root_or_skip("mounting read-only") {
        return;
    }
    let mut host = Host::with_identities(&allow_me_everything(), &["cloud-sync"]);
    let before = snapshot(&host.cicada_keys());
    let read_only = ReadOnly::over(&host.cicada_keys());
    let mut program = host.program();
    for request in
        [about("create", "other"), about("rotate", "cloud-sync"), about("revoke", "cloud-sync")]
    {
        let reply = program.ask(&request);
        assert_eq!(code(&reply).as_deref(), Some("internal"), "{request}: {reply}");
        assert!(reply.contains("Read-only file system"), "{request}: {reply}");
    }
    assert_eq!(code(&program.ask(sign("cloud-sync", b"data"))), None);
    program.ask(r#"{"op":"lock"}"#);
    assert_eq!(program.ask(with_key("unlock", &UNLOCK_KEY)), UNLOCKED);
    assert_eq!(code(&program.ask(sign("cloud-sync", b"data"))), None);
    drop(read_only);
    assert!(snapshot(&host.cicada_keys()) == before);
    assert_eq!(code(&program.ask(about("rotate", "cloud-sync"))), None);
    host.end(Daemon::Cicada, nix::sys::signal::Signal::SIGTERM);
    let read_only = ReadOnly::over(host.layout.state(Daemon::Cicada));
    let said = host.try_start(Daemon::Cicada).unwrap_err();
    assert!(said.contains("Read-only file system"), "{said}");
    drop(read_only);
    host.start_cicada();
}

fn identity_file(host: &Host, name: &str) -> PathBuf {
    host.cicada_keys().join(format!("{name}.identity"))
}

#[test]
fn one_damaged_identity_does_not_keep_the_others_from_being_used() {
    let host = Host::with_identities(&allow_me_everything(), &["a", "b"]);
    let mut program = host.program();
    let whole = fs::read(identity_file(&host, "a")).unwrap();
    let public = program.ask(about("public_key", "a"));
    let flipped = |at: usize| {
        let mut bytes = whole.clone();
        bytes[at] ^= 1;
        bytes
    };
    let with = |from: &str, to: &str| {
        let text = String::from_utf8(whole.clone()).unwrap();
        assert!(text.contains(from), "{text}");
        text.replacen(from, to, 1).into_bytes()
    };
    let damages: Vec<(&str, Vec<u8>)> = vec![
        ("empty", Vec::new()),
        ("cut", whole[..whole.len() / 2].to_vec()),
        ("one byte", flipped(whole.len() - 10)),
        ("no JSON", b"\0".repeat(500)),
        ("another format", with("\"format\":1", "\"format\":2")),
        ("another name", with("identity a", "identity b")),
        ("another derivation", with("blake3", "hkdf-sha256")),
        ("far too large", vec![b' '; 1 << 20]),
        ("another identity's", fs::read(identity_file(&host, "b")).unwrap()),
    ];
    for (what, content) in damages {
        fs::write(identity_file(&host, "a"), &content).unwrap();
        program.ask(r#"{"op":"lock"}"#);
        assert_eq!(program.ask(with_key("unlock", &UNLOCK_KEY)), UNLOCKED, "{what}");
        assert_eq!(code(&program.ask(about("get_key", "b"))), None, "{what}");
        let reply = program.ask(about("get_key", "a"));
        assert_eq!(code(&reply).as_deref(), Some("unknown_identity"), "{what}: {reply}");
        // What is damaged is not written over: it may be mended.
        let reply = program.ask(about("create", "a"));
        assert_eq!(code(&reply).as_deref(), Some("exists"), "{what}: {reply}");
        assert!(fs::read(identity_file(&host, "a")).unwrap() == content, "{what}");
        let said = host.log(Daemon::Cicada);
        assert!(said.lines().last().unwrap().contains("a.identity"), "{what}: {said}");
        fs::write(identity_file(&host, "a"), &whole).unwrap();
        program.ask(with_key("unlock", &UNLOCK_KEY));
        assert_eq!(program.ask(about("public_key", "a")), public, "{what}");
    }
}

#[test]
fn a_backup_takes_the_place_of_a_damaged_identity_and_keeps_what_was_there() {
    let host = Host::with_identities(&allow_me_everything(), &["a"]);
    let mut program = host.program();
    let public = program.ask(about("public_key", "a"));
    let backup = text(&program.ask(about("backup", "a")), "backup");
    let restore = format!(r#"{{"op":"restore","backup":"{backup}"}}"#);
    assert_eq!(code(&program.ask(&restore)).as_deref(), Some("exists"), "it is not damaged");
    fs::write(identity_file(&host, "a"), b"damage").unwrap();
    program.ask(r#"{"op":"lock"}"#);
    assert_eq!(program.ask(with_key("unlock", &UNLOCK_KEY)), UNLOCKED);
    assert_eq!(program.ask(&restore), public);
    let aside: Vec<_> = fs::read_dir(host.cicada_keys())
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.to_string_lossy().contains("a.identity.damaged-"))
        .collect();
    assert_eq!(aside.len(), 1, "{aside:?}");
    assert_eq!(fs::read(&aside[0]).unwrap(), b"damage");
    // From the disk again, where the copy aside is nobody's identity.
    program.ask(r#"{"op":"lock"}"#);
    program.ask(with_key("unlock", &UNLOCK_KEY));
    assert_eq!(program.ask(about("public_key", "a")), public);
    assert!(program.ask(r#"{"op":"status"}"#).contains(r#""identities":1,"#));
}

#[test]
fn identities_can_not_be_exchanged_or_copied_under_another_name() {
    let host = Host::with_identities(&allow_me_everything(), &["a", "b"]);
    let mut program = host.program();
    let (a, b) = (identity_file(&host, "a"), identity_file(&host, "b"));
    let spare = host.dir().join("spare");
    fs::rename(&a, &spare).unwrap();
    fs::rename(&b, &a).unwrap();
    fs::rename(&spare, &b).unwrap();
    fs::copy(&a, identity_file(&host, "c")).unwrap();
    program.ask(r#"{"op":"lock"}"#);
    assert_eq!(program.ask(with_key("unlock", &UNLOCK_KEY)), UNLOCKED);
    for name in ["a", "b", "c"] {
        let reply = program.ask(about("get_key", name));
        assert_eq!(code(&reply).as_deref(), Some("unknown_identity"), "{name}: {reply}");
    }
    assert!(program.ask(r#"{"op":"status"}"#).contains(r#""identities":0,"#));
}

#[test]
fn a_damaged_store_opens_with_no_key_and_nothing_is_written_over_it() {
    let mut host = Host::with_identities(&allow_me_everything(), &["a"]);
    let path = host.cicada_keys().join("store.json");
    let whole = fs::read(&path).unwrap();
    let mut flipped = whole.clone();
    let at = flipped.len() - 10;
    flipped[at] ^= 1;
    let identity = fs::read(identity_file(&host, "a")).unwrap();
    for content in [Vec::new(), whole[..40].to_vec(), flipped, identity, b"{}".to_vec()] {
        host.kill(Daemon::Cicada);
        fs::write(&path, &content).unwrap();
        host.start_cicada();
        let mut program = host.program();
        assert_eq!(text(&program.ask(r#"{"op":"status"}"#), "state"), "locked");
        let reply = program.ask(with_key("unlock", &UNLOCK_KEY));
        assert!(["internal", "wrong_key"].contains(&code(&reply).unwrap().as_str()), "{reply}");
        assert_eq!(code(&program.ask(about("get_key", "a"))).as_deref(), Some("locked"));
        let reply = program.ask(with_key("init", &UNLOCK_KEY));
        assert_eq!(code(&reply).as_deref(), Some("exists"), "{reply}");
        assert!(fs::read(&path).unwrap() == content);
    }
    fs::write(&path, &whole).unwrap();
    let mut program = host.program();
    assert_eq!(program.ask(with_key("unlock", &UNLOCK_KEY)), UNLOCKED);
    assert_eq!(code(&program.ask(about("get_key", "a"))), None);
}
