//! Who may do what at cicada's socket: by uid, by group, by identity, by operation; and what is recorded
//! of those who may not.

#![allow(clippy::unwrap_used, reason = "helpers of tests, which may")]

use std::fs;
use std::os::unix::fs::{PermissionsExt, chown};

use audit_log::{Entry, Operation, Outcome};
use data_encoding::{BASE64, HEXLOWER};
use nix::unistd::Uid;
use sha2::{Digest, Sha256};
use site_config::Daemon;
use testbed::cicada::{
    OPERATIONS, Program, UNLOCK_KEY, about, allow, allow_me_everything, code, eventually, sign,
    text, with_key,
};
use testbed::{Host, is_root_or_skip};

const USES: [&str; 5] = ["get_key", "sign", "public_key", "encapsulate", "decapsulate"];

/// A group of programs, and one that has no rule.
const GROUP: u32 = 54_100;
const OTHER_GROUP: u32 = 54_101;

/// Each request that names an identity, well formed.
fn request(operation: &str, identity: &str) -> String {
    let more = match operation {
        "sign" => r#","data":"AAAA""#.to_owned(),
        "decapsulate" => format!(r#","ciphertext":"{}""#, BASE64.encode(&[7; 1088])),
        _ => String::new(),
    };
    format!(r#"{{"op":"{operation}","identity":"{identity}"{more}}}"#)
}

fn state(host: &Host) -> String {
    text(&host.program().ask(r#"{"op":"status"}"#), "state")
}

fn denied(reply: &str) -> bool {
    code(reply).as_deref() == Some("denied")
}

/// Which of the uses of an identity a program is not denied.
fn allowed(program: &mut Program, identity: &str) -> Vec<&'static str> {
    let asked = USES.into_iter().filter(|use_| !denied(&program.ask(request(use_, identity))));
    asked.collect()
}

#[test]
fn a_program_may_do_what_its_uid_or_one_of_its_groups_gives_it_and_nothing_else() {
    if !is_root_or_skip("programs of other users") {
        return;
    }
    let rules = allow_me_everything()
        + &allow(&format!("gid = {GROUP}"), "cloud-sync", &["get_key", "public_key"])
        + &allow("uid = 54201", "cloud-sync", &["sign"])
        + &allow("uid = 54201", "*", &["public_key"])
        + &allow("uid = 54202", "other", &USES);
    let host = Host::with_identities(&rules, &["cloud-sync", "other"]);
    type Line<'a> = ((u32, u32, &'a [u32]), &'a [&'a str], &'a [&'a str]);
    let table: &[Line<'_>] = &[
        // uid, group, further groups          may do with cloud-sync                 with other
        ((54_200, GROUP, &[]), &["get_key", "public_key"], &[]),
        ((54_200, OTHER_GROUP, &[GROUP]), &["get_key", "public_key"], &[]),
        ((54_200, OTHER_GROUP, &[1, 2, 3, GROUP, 5]), &["get_key", "public_key"], &[]),
        ((54_201, OTHER_GROUP, &[]), &["sign", "public_key"], &["public_key"]),
        ((54_201, GROUP, &[]), &["get_key", "sign", "public_key"], &["public_key"]),
        ((54_202, OTHER_GROUP, &[]), &[], &USES),
        ((54_202, OTHER_GROUP, &[GROUP]), &["get_key", "public_key"], &USES),
        ((0, 0, &[]), &USES, &USES),
    ];
    for ((uid, gid, groups), ours, others) in table {
        let mut program = host.program_of(*uid, *gid, groups);
        let who = format!("{uid} in {gid} and {groups:?}");
        assert_eq!(allowed(&mut program, "cloud-sync"), *ours, "{who} with cloud-sync");
        assert_eq!(allowed(&mut program, "other"), *others, "{who} with other");
        let unknown = allowed(&mut program, "unknown");
        let star = if *uid == 54_201 { vec!["public_key"] } else { vec![] };
        assert_eq!(unknown, if *uid == 0 { USES.to_vec() } else { star }, "{who} with none");
        if *uid != 0 {
            for operation in ["create", "rotate", "revoke", "backup"] {
                assert!(denied(&program.ask(about(operation, "cloud-sync"))), "{who}: {operation}");
            }
            for operation in ["init", "unlock"] {
                assert!(denied(&program.ask(with_key(operation, &UNLOCK_KEY))), "{who}");
            }
            for operation in ["lock", "status", "identities"] {
                let reply = program.ask(format!(r#"{{"op":"{operation}"}}"#));
                assert!(denied(&reply), "{who}: {operation}: {reply}");
            }
        }
    }
    // A uid of a group's number, and a group of a uid's, are nobody.
    for (uid, gid) in [(GROUP, OTHER_GROUP), (54_200, 54_201), (54_200, 0), (54_200, 54_200)] {
        let mut program = host.program_of(uid, gid, &[]);
        assert!(denied(&program.receive().unwrap()), "{uid} in {gid}");
    }
    assert_eq!(state(&host), "unlocked");
}

/// One program for each operation, which may do that alone.
#[test]
fn one_operation_does_not_give_another() {
    if !is_root_or_skip("programs of other users") {
        return;
    }
    let uid = |number: usize| 54_300 + u32::try_from(number).unwrap();
    let rule = |(number, operation): (usize, &&str)| {
        allow(&format!("uid = {}", uid(number)), "a", &[operation])
    };
    let rules: String = OPERATIONS.iter().enumerate().map(rule).collect();
    let host = Host::with_identities(&(allow_me_everything() + &rules), &["a"]);
    let backup = text(&host.program().ask(about("backup", "a")), "backup");
    let backup_of_b = {
        let mut program = host.program();
        program.ask(about("create", "b"));
        text(&program.ask(about("backup", "b")), "backup")
    };
    let restore = |backup: &str| format!(r#"{{"op":"restore","backup":"{backup}"}}"#);
    let requests = |operation: &str| match operation {
        "init" | "unlock" => with_key(operation, &UNLOCK_KEY),
        "identities" | "status" | "lock" => format!(r#"{{"op":"{operation}"}}"#),
        "restore" => restore(&backup),
        // The first that comes through.
        "revoke" => about("revoke", "a"),
        _ => request(operation, "a"),
    };
    for (number, may) in OPERATIONS.iter().enumerate() {
        let mut program = host.program_of(uid(number), OTHER_GROUP, &[]);
        for operation in OPERATIONS {
            let reply = program.ask(requests(operation));
            assert_eq!(
                denied(&reply),
                operation != *may,
                "may {may}, asks for {operation}: {reply}"
            );
            if operation == "lock" && *may == "lock" {
                host.program().ask(with_key("unlock", &UNLOCK_KEY));
            }
        }
        // A backup names its identity inside.
        assert!(denied(&program.ask(restore(&backup_of_b))), "may {may} of a, restores b");
        assert!(denied(&program.ask(request(may, "b"))) || requests(may) != request(may, "a"));
    }
}

#[test]
fn a_wrong_uid_hears_one_word_and_is_in_the_trail() {
    if !is_root_or_skip("a program of another user") {
        return;
    }
    let host = Host::with_identities(&allow_me_everything(), &["cloud-sync"]);
    let mut program = host.program_of(host.users.stranger, host.users.stranger, &[1000, 1001]);
    // Whatever it says.
    let _ = program.send(request("get_key", "cloud-sync").repeat(10));
    let said = String::from_utf8(program.rest().unwrap()).unwrap();
    assert!(denied(&said), "one JSON object: {said}");
    assert!(said.contains(&host.users.stranger.to_string()), "{said}");
    let ours = || of_cicada(host.refusals()).collect::<Vec<_>>();
    eventually("it is recorded", || !ours().is_empty());
    let ours = ours();
    assert_eq!(ours.len(), 1);
    assert_eq!(ours[0].actor.as_ref().unwrap().uid, host.users.stranger);
    assert_eq!(ours[0].reporter.as_ref().unwrap().name.as_deref(), Some("cicada"));
}

fn of_cicada(entries: Vec<Entry>) -> impl Iterator<Item = Entry> {
    entries.into_iter().filter(|entry| entry.subject.as_deref() == Some("cicada"))
}

#[test]
fn a_flood_of_refusals_becomes_an_entry_now_and_then_with_a_count() {
    if !is_root_or_skip("a program of another user") {
        return;
    }
    let me = format!("uid = {}", Uid::effective());
    let rules = allow(&me, "*", &["status"]);
    let mut host = Host::with_cicada(&rules);
    let mut program = host.program();
    for _ in 0..2000 {
        assert!(denied(&program.ask(request("get_key", "cloud-sync"))));
    }
    let strangers = host.streams_of(host.users.stranger, Daemon::Cicada, 300);
    for stream in strangers.streams {
        assert!(denied(&Program::on(stream).receive().unwrap()));
    }
    // What is not recorded yet is recorded at the latest now.
    host.end(Daemon::Cicada, nix::sys::signal::Signal::SIGTERM);
    let mut recorded = 0;
    let mut counted = 0;
    for entry in of_cicada(host.refusals()) {
        recorded += 1;
        counted += 1 + entry.detail.get("unrecorded").map_or(0, |count| count.parse().unwrap());
    }
    assert_eq!(counted, 2300);
    assert!(recorded < 300, "{recorded} entries");
    host.sesame(["audit", "verify"]).succeed();
}

#[test]
fn each_use_is_in_the_trail_with_who_and_what() {
    if !is_root_or_skip("a program of another user") {
        return;
    }
    let rules = allow_me_everything() + &allow("uid = 54201", "cloud-sync", &OPERATIONS);
    let host = Host::with_identities(&rules, &["cloud-sync"]);
    let mut program = host.program_of(54_201, 54_201, &[]);
    let before = host.entries().len();
    program.ask(about("get_key", "cloud-sync"));
    program.ask(sign("cloud-sync", b"a message"));
    program.ask(about("public_key", "cloud-sync"));
    let sent = program.ask(about("encapsulate", "cloud-sync"));
    let ciphertext = text(&sent, "ciphertext");
    program.ask(format!(
        r#"{{"op":"decapsulate","identity":"cloud-sync","ciphertext":"{ciphertext}"}}"#
    ));
    program.ask(r#"{"op":"identities"}"#);
    program.ask(about("get_key", "unknown"));
    program.ask(about("backup", "cloud-sync"));
    program.ask(about("rotate", "cloud-sync"));
    program.ask(r#"{"op":"lock"}"#);
    program.ask(with_key("unlock", &[3; 32]));
    program.ask(with_key("unlock", &UNLOCK_KEY));
    program.ask(about("revoke", "cloud-sync"));
    use Outcome::{Authorised, Done, Failed, Refused};
    let expected = [
        (Operation::IdentityGetKey, Authorised),
        (Operation::IdentitySign, Authorised),
        (Operation::IdentityPublicKey, Authorised),
        (Operation::IdentityEncapsulate, Authorised),
        (Operation::IdentityDecapsulate, Authorised),
        (Operation::IdentityList, Authorised),
        (Operation::PeerRefused, Refused),
        (Operation::IdentityBackup, Authorised),
        (Operation::IdentityRotate, Authorised),
        (Operation::IdentityRotate, Done),
        (Operation::CicadaLock, Done),
        (Operation::CicadaUnlock, Authorised),
        (Operation::CicadaUnlock, Failed),
        (Operation::CicadaUnlock, Authorised),
        (Operation::CicadaUnlock, Done),
        (Operation::IdentityRevoke, Authorised),
        (Operation::IdentityRevoke, Done),
    ];
    let entries = &host.entries()[before..];
    let found: Vec<_> = entries.iter().map(|entry| (entry.operation, entry.outcome)).collect();
    assert_eq!(found, expected);
    for entry in entries {
        assert_eq!(entry.actor.as_ref().unwrap().uid, 54_201, "{entry:?}");
        assert_eq!(entry.reporter.as_ref().unwrap().name.as_deref(), Some("cicada"));
    }
    let digest = |bytes: &[u8]| HEXLOWER.encode(&Sha256::digest(bytes));
    assert_eq!(entries[1].detail["sha256"], digest(b"a message"));
    let ciphertext = BASE64.decode(ciphertext.as_bytes()).unwrap();
    assert_eq!(entries[4].detail["ciphertext-sha256"], digest(&ciphertext));
    assert!(entries[..5].iter().all(|entry| entry.detail["version"] == "1"));
    host.sesame(["audit", "verify"]).succeed();
}

#[test]
fn rules_that_others_can_change_or_that_say_what_nobody_knows_are_no_rules() {
    let rules = allow_me_everything();
    let mut host = Host::builder().cicada(&rules).provision();
    host.start();
    host.init();
    let path = host.layout.cicada_config().to_owned();
    let refused = |host: &mut Host, expected: &str| {
        let said = host.try_start(Daemon::Cicada).unwrap_err();
        assert!(said.starts_with("78: "), "{expected}: {said}");
        assert!(said.contains("cicada.toml") && said.contains(expected), "{expected}: {said}");
    };
    for mode in [0o666, 0o664, 0o646] {
        fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
        refused(&mut host, "can be written by");
    }
    fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).unwrap();
    if Uid::effective().is_root() {
        for owner in [host.users.cicada, host.users.stranger] {
            chown(&path, Some(owner), None).unwrap();
            refused(&mut host, "not to root");
        }
        chown(&path, Some(0), None).unwrap();
    }
    for (wrong, expected) in [
        (format!("{rules}more = 1\n"), "more"),
        (format!("grace = 1\n{rules}"), "grace"),
        (rules.replace("\"sign\"", "\"sing\""), "the operation is one of"),
        (rules.replace("identity = ", "identities = "), "identit"),
        (rules.replace("uid = ", "gid = 0\nuid = "), "either a uid or a gid"),
        (rules.replace("\"*\"", "\"cloud*\""), "identity name"),
        ("[[allow".to_owned(), ""),
    ] {
        fs::write(&path, wrong).unwrap();
        refused(&mut host, expected);
    }
    fs::remove_file(&path).unwrap();
    refused(&mut host, "does not exist");
    fs::write(&path, &rules).unwrap();
    host.start_cicada();
    assert_eq!(state(&host), "uninitialised");
}
