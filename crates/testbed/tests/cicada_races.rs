//! cicada when several things happen at once: whoever locks or revokes wins, one program's flood or
//! patience is nobody else's, and of two inits one makes the store.

#![allow(clippy::unwrap_used, reason = "helpers of tests, which may")]

use std::io::{ErrorKind, Read};
use std::process::{Child, Stdio};
use std::time::Duration;

use audit_log::{Operation, Outcome};
use serde_json::Value;
use site_config::Daemon;
use testbed::cicada::{Program, about, allow, allow_me_everything, code, eventually, sign};
use testbed::{Host, Users, is_root_or_skip};

/// Programs with no rule about locking, and one with no rule at all.
const PROGRAM: u32 = 54_011;
const OTHER: u32 = 54_012;
const THIRD: u32 = 54_014;
const STRANGER: u32 = 54_013;

const ADMINISTRATION: [&str; 4] = ["init", "lock", "status", "unlock"];
const USES: [&str; 4] = ["get_key", "sign", "encapsulate", "status"];

fn host() -> Host {
    let rule = |uid: u32| allow(&format!("uid = {uid}"), "cloud-sync", &USES);
    let text = [allow_me_everything(), rule(PROGRAM), rule(OTHER), rule(THIRD)].concat();
    Host::with_identities(&text, &["cloud-sync", "other"])
}

/// Nothing has come, for as long as a reply takes a hundred times.
fn is_silent(program: &mut Program) -> bool {
    std::thread::sleep(Duration::from_millis(300));
    program.stream.set_nonblocking(true).unwrap();
    let read = program.stream.read(&mut [0; 1]).map_err(|error| error.kind());
    program.stream.set_nonblocking(false).unwrap();
    read == Err(ErrorKind::WouldBlock)
}

fn state(host: &Host) -> String {
    let status: Value = serde_json::from_str(&host.program().ask(r#"{"op":"status"}"#)).unwrap();
    status["state"].as_str().unwrap().to_owned()
}

#[test]
fn a_lock_beats_uses_that_wait_for_their_entry_and_waits_for_nobody() {
    if !is_root_or_skip("programs of other users") {
        return;
    }
    let host = host();
    let uses = [about("get_key", "cloud-sync"), sign("cloud-sync", b"data")];
    let mut waiting: Vec<Program> =
        (0..40).map(|_| host.program_of(PROGRAM, PROGRAM, &[])).collect();
    host.hang_audit();
    for (program, request) in waiting.iter_mut().zip(uses.iter().cycle()) {
        program.send(request).unwrap();
    }
    assert!(waiting.iter_mut().take(2).all(is_silent), "an answer left without its entry");
    let mut lock = host.program();
    lock.send(r#"{"op":"lock"}"#).unwrap();
    assert!(is_silent(&mut lock), "the lock's entry can't be durable");
    host.resume_audit();
    assert_eq!(lock.receive().unwrap(), r#"{"state":"locked"}"#);
    assert_eq!(state(&host), "locked");
    for mut program in waiting {
        let reply = program.receive().unwrap();
        let refused = code(&reply);
        assert!(
            matches!(refused.as_deref(), Some("locked" | "audit_unavailable")),
            "a key or signature left after the lock: {reply}"
        );
    }
}

#[test]
fn a_lock_acts_though_the_trail_hangs_and_whoever_locks_waits_elsewhere() {
    let host = Host::with_identities(&allow_me_everything(), &["cloud-sync"]);
    host.warm_up("cloud-sync");
    let mut waiting: Vec<Program> = (0..6).map(|_| host.program()).collect();
    host.hang_audit();
    for program in &mut waiting {
        program.send(about("get_key", "cloud-sync")).unwrap();
    }
    let mut lock = host.program();
    lock.send(r#"{"op":"lock"}"#).unwrap();
    // Others come in and are answered meanwhile, and what they are told is that it is locked.
    eventually("it is locked", || state(&host) == "locked");
    assert!(is_silent(&mut lock), "the lock's entry can't be durable");
    host.resume_audit();
    assert_eq!(lock.receive().unwrap(), r#"{"state":"locked"}"#);
    for mut program in waiting {
        let reply = program.receive().unwrap();
        assert!(!reply.contains("\"key\""), "a key left after the lock: {reply}");
    }
}

#[test]
fn no_key_leaves_once_the_revocation_is_done() {
    let host = Host::with_identities(&allow_me_everything(), &["other"]);
    let mut late = 0;
    for round in 0..20 {
        let name = format!("short-lived-{round}");
        let mut admin = host.program();
        assert_eq!(code(&admin.ask(about("create", &name))), None);
        std::thread::scope(|scope| {
            for _ in 0..8 {
                scope.spawn(|| {
                    let mut program = host.program();
                    while code(&program.ask(about("get_key", &name))).is_none() {}
                });
            }
            std::thread::sleep(Duration::from_millis(20));
            assert_eq!(code(&admin.ask(about("revoke", &name))), None);
        });
        let entries = host.entries();
        let is_done = |entry: &&audit_log::Entry| {
            entry.operation == Operation::IdentityRevoke && entry.outcome == Outcome::Done
        };
        let done = entries.iter().rev().find(is_done).unwrap().seq;
        let after = |outcome| {
            let uses = entries.iter().filter(|entry| {
                entry.operation == Operation::IdentityGetKey && entry.outcome == outcome
            });
            uses.filter(|entry| entry.seq > done).count()
        };
        // Authorised before the revocation was known, perhaps; then each of them failed.
        assert!(after(Outcome::Authorised) <= after(Outcome::Failed), "round {round}");
        late += after(Outcome::Failed);
    }
    eprintln!("{late} uses came too late");
}

#[test]
fn a_flood_of_one_hides_nobody() {
    if !is_root_or_skip("programs of other users") {
        return;
    }
    let host = host();
    let before = host.entries().len();
    let stop = std::sync::atomic::AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            while !stop.load(std::sync::atomic::Ordering::Relaxed) {
                let _ = host.program_of(STRANGER, STRANGER, &[]).rest();
            }
        });
        std::thread::sleep(Duration::from_millis(300));
        let mut program = host.program_of(PROGRAM, PROGRAM, &[]);
        let reply = program.ask(about("get_key", "other"));
        assert_eq!(code(&reply).as_deref(), Some("denied"));
        assert!(reply.contains("the attempt was recorded"), "{reply}");
        stop.store(true, std::sync::atomic::Ordering::Relaxed);
    });
    let entries = host.entries();
    let of = |uid: u32| {
        entries[before..].iter().any(|entry| {
            entry.operation == Operation::PeerRefused
                && entry.actor.as_ref().is_some_and(|actor| actor.uid == uid)
        })
    };
    assert!(of(STRANGER) && of(PROGRAM), "{:?}", &entries[before..]);
}

#[test]
fn a_refusal_that_can_not_be_recorded_does_not_say_it_was() {
    if !is_root_or_skip("programs of other users") {
        return;
    }
    let mut host = host();
    host.kill(Daemon::Audit);
    let mut program = host.program_of(PROGRAM, PROGRAM, &[]);
    let reply = program.ask(about("get_key", "other"));
    assert_eq!(code(&reply).as_deref(), Some("denied"));
    assert!(reply.contains("could not be recorded"), "{reply}");
    let said = host.program_of(STRANGER, STRANGER, &[]).rest().unwrap();
    let said = String::from_utf8(said).unwrap();
    assert!(said.contains("denied") && said.contains("could not be recorded"), "{said}");
}

#[test]
fn programs_that_wait_leave_room_for_whoever_may_lock() {
    if !is_root_or_skip("programs of other users") {
        return;
    }
    let host = host();
    let held: Vec<Program> = [PROGRAM, OTHER, THIRD]
        .into_iter()
        .flat_map(|uid| (0..250).map(move |_| uid))
        .map(|uid| host.program_of(uid, uid, &[]))
        .collect();
    assert_eq!(host.program().ask(r#"{"op":"lock"}"#), r#"{"state":"locked"}"#);
    drop(held);
}

#[test]
fn of_many_inits_one_makes_the_store_and_its_key_is_kept() {
    let operator = allow(&format!("uid = {}", Users::available().operator), "*", &ADMINISTRATION);
    let host = Host::with_cicada(&operator);
    host.unlock();
    let init = || {
        let mut command = host.sesame(["cicada", "init"]).into_command();
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        command.spawn().unwrap()
    };
    let children: Vec<Child> = (0..8).map(|_| init()).collect();
    let done = children.into_iter().map(|mut child| child.wait().unwrap());
    assert_eq!(done.filter(std::process::ExitStatus::success).count(), 1);
    host.sesame(["cicada", "lock"]).succeed();
    host.sesame(["cicada", "unlock"]).succeed();
}
