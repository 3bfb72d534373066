//! The life of a store and of an identity: made, unlocked by a person or a credential, rotated, revoked,
//! brought back, over restarts of the real daemon.

#![allow(clippy::unwrap_used, reason = "helpers of tests, which may")]

use std::fs;
use std::os::unix::fs::{PermissionsExt, chown};
use std::path::PathBuf;
use std::process::{Child, Stdio};
use std::time::Duration;

use audit_log::{Operation, Outcome};
use data_encoding::BASE64;
use identity_keys::verify;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use site_config::Daemon;
use testbed::Host;
use testbed::cicada::{
    Program, UNLOCK_KEY, about, allow_me_everything, bytes, code, eventually, sign, text, with_key,
};

const UNLOCKED: &str = r#"{"state":"unlocked"}"#;

fn host() -> Host {
    Host::with_identities(&allow_me_everything(), &["cloud-sync"])
}

fn get_key(version: u32) -> String {
    format!(r#"{{"op":"get_key","identity":"cloud-sync","version":{version}}}"#)
}

fn rotate(grace_seconds: u64) -> String {
    format!(r#"{{"op":"rotate","identity":"cloud-sync","grace_seconds":{grace_seconds}}}"#)
}

/// The numbers of the versions on the disk.
fn numbers(host: &Host) -> Vec<u32> {
    let identity = host.stored_identity("cloud-sync", &UNLOCK_KEY);
    identity.versions.iter().map(|version| version.number).collect()
}

#[track_caller]
fn assert_signs_with(program: &mut Program, public: &str) {
    let signature = bytes(&program.ask(sign("cloud-sync", b"data")), "signature");
    let key = bytes(public, "ml_dsa_65").try_into().unwrap();
    assert!(verify(&key, b"data", &signature.try_into().unwrap()));
}

#[test]
fn after_a_rotation_the_new_keys_sign_and_the_old_ones_can_be_read() {
    let host = host();
    let mut program = host.program();
    let first = program.ask(about("public_key", "cloud-sync"));
    let old_key = program.ask(get_key(1));
    let sent = program.ask(about("encapsulate", "cloud-sync"));
    let second = program.ask(about("rotate", "cloud-sync"));
    assert!(second.starts_with(r#"{"identity":"cloud-sync","version":2,"type":"#), "{second}");
    for member in ["x25519", "ml_kem_768", "ml_dsa_65"] {
        assert_ne!(text(&first, member), text(&second, member), "{member}");
    }
    assert_signs_with(&mut program, &second);
    assert_eq!(program.ask(about("public_key", "cloud-sync")), second);
    let request = r#"{"op":"public_key","identity":"cloud-sync","version":1}"#;
    assert_eq!(program.ask(request), first);
    assert_eq!(program.ask(get_key(1)), old_key);
    assert_eq!(program.ask(about("get_key", "cloud-sync")), program.ask(get_key(2)));
    assert_ne!(program.ask(get_key(2)), old_key);
    let ciphertext = text(&sent, "ciphertext");
    let request = format!(
        r#"{{"op":"decapsulate","identity":"cloud-sync","ciphertext":"{ciphertext}","version":1}}"#
    );
    let received = program.ask(request);
    assert_eq!(text(&received, "shared_secret"), text(&sent, "shared_secret"));
    let week = host.stored_identity("cloud-sync", &UNLOCK_KEY).versions[0].readable_until.unwrap();
    let now = std::time::UNIX_EPOCH.elapsed().unwrap().as_secs();
    assert!((now + 6 * 86400..now + 8 * 86400).contains(&week), "{week} from {now}");
}

#[test]
fn after_its_time_of_grace_a_version_is_gone_and_so_are_its_seeds() {
    let host = host();
    let mut program = host.program();
    let old_key = program.ask(get_key(1));
    let old = host.stored_identity("cloud-sync", &UNLOCK_KEY).versions.remove(0);
    program.ask(rotate(3));
    let gone = |program: &mut Program| match program.ask(get_key(1)) {
        reply if reply == old_key => false,
        reply => code(&reply).as_deref() == Some("unknown_version"),
    };
    eventually("version 1 can't be read", || gone(&mut program));
    eventually("version 1 is not stored", || numbers(&host) == [2]);
    let stored = host.stored_identity("cloud-sync", &UNLOCK_KEY);
    assert!(stored.versions.iter().all(|version| version.seeds != old.seeds));
    let expired = || host.entries_of(Operation::IdentityExpire, Outcome::Done);
    eventually("an entry says so", || expired().len() == 1);
    assert_eq!(expired()[0].detail["versions"], "1");
    // Without any grace there is not a moment of it, and a number is not given twice.
    program.ask(rotate(0));
    assert_eq!(numbers(&host), [3]);
    assert_eq!(code(&program.ask(get_key(2))).as_deref(), Some("unknown_version"));
    assert!(gone(&mut program));
}

#[test]
fn what_expired_while_it_was_locked_is_destroyed_when_it_is_unlocked() {
    let host = host();
    let mut program = host.program();
    program.ask(rotate(2));
    program.ask(r#"{"op":"lock"}"#);
    std::thread::sleep(Duration::from_secs(4));
    assert_eq!(numbers(&host), [1, 2]);
    assert_eq!(program.ask(with_key("unlock", &UNLOCK_KEY)), UNLOCKED);
    assert_eq!(code(&program.ask(get_key(1))).as_deref(), Some("unknown_version"));
    eventually("version 1 is not stored", || numbers(&host) == [2]);
}

#[test]
fn a_revoked_identity_has_no_keys_and_its_name_is_not_given_again() {
    let mut host = host();
    let mut program = host.program();
    program.ask(about("rotate", "cloud-sync"));
    let backup = text(&program.ask(about("backup", "cloud-sync")), "backup");
    let reply = program.ask(about("revoke", "cloud-sync"));
    let revoked = text(&reply, "revoked");
    assert_eq!(reply, format!(r#"{{"identity":"cloud-sync","revoked":"{revoked}"}}"#));
    let stored = host.stored_identity("cloud-sync", &UNLOCK_KEY);
    assert!(stored.revoked.is_some() && stored.versions.is_empty());
    let assert_gone = |program: &mut Program| {
        for request in [get_key(1), get_key(2), sign("cloud-sync", b"x")] {
            assert_eq!(code(&program.ask(request)).as_deref(), Some("revoked"));
        }
        for operation in ["rotate", "revoke", "backup", "encapsulate", "public_key"] {
            let reply = program.ask(about(operation, "cloud-sync"));
            assert_eq!(code(&reply).as_deref(), Some("revoked"), "{operation}: {reply}");
        }
        let restore = format!(r#"{{"op":"restore","backup":"{backup}"}}"#);
        for request in [about("create", "cloud-sync"), restore] {
            assert_eq!(code(&program.ask(request)).as_deref(), Some("exists"));
        }
        let listed = program.ask(r#"{"op":"identities"}"#);
        assert!(listed.contains(r#""version":null,"#), "{listed}");
        assert!(listed.contains(&format!(r#""readable":[],"revoked":"{revoked}""#)), "{listed}");
    };
    assert_gone(&mut program);
    host.kill(Daemon::Cicada);
    host.start_cicada();
    let mut program = host.program();
    program.ask(with_key("unlock", &UNLOCK_KEY));
    assert_gone(&mut program);
}

#[test]
fn the_same_keys_are_there_after_a_restart() {
    let mut host = host();
    let mut program = host.program();
    program.ask(about("rotate", "cloud-sync"));
    program.ask(about("create", "other"));
    let requests =
        [get_key(1), get_key(2), about("public_key", "cloud-sync"), about("get_key", "other")];
    let before = requests.clone().map(|request| program.ask(request));
    for signal in [Signal::SIGTERM, Signal::SIGKILL] {
        host.end(Daemon::Cicada, signal);
        host.start_cicada();
        let mut program = host.program();
        assert_eq!(code(&program.ask(get_key(1))).as_deref(), Some("locked"));
        assert_eq!(program.ask(with_key("unlock", &UNLOCK_KEY)), UNLOCKED);
        assert_eq!(requests.clone().map(|request| program.ask(request)), before, "{signal}");
    }
}

#[test]
fn a_backup_brings_an_identity_to_another_host_with_another_unlock_key() {
    let first = host();
    let mut program = first.program();
    program.ask(about("rotate", "cloud-sync"));
    let requests = [get_key(1), get_key(2), about("public_key", "cloud-sync")];
    let before = requests.clone().map(|request| program.ask(request));
    let reply = program.ask(about("backup", "cloud-sync"));
    let backup = text(&reply, "backup");
    assert_eq!(reply, format!(r#"{{"identity":"cloud-sync","backup":"{backup}"}}"#));
    let file = fs::read(first.cicada_keys().join("cloud-sync.identity")).unwrap();
    assert_eq!(bytes(&reply, "backup"), file);
    drop(first);

    let second = Host::with_cicada(&allow_me_everything());
    let mut program = second.program();
    program.ask(with_key("init", &[9; 32]));
    let with = |key: Option<&[u8; 32]>| {
        let key = key.map(|key| format!(r#","unlock_key":"{}""#, BASE64.encode(key)));
        format!(r#"{{"op":"restore","backup":"{backup}"{}}}"#, key.unwrap_or_default())
    };
    for wrong in [None, Some(&[9; 32]), Some(&[8; 32])] {
        assert_eq!(code(&program.ask(with(wrong))).as_deref(), Some("wrong_key"));
    }
    assert!(!second.cicada_keys().join("cloud-sync.identity").exists());
    assert_eq!(program.ask(with(Some(&UNLOCK_KEY))), before[2]);
    assert_eq!(requests.clone().map(|request| program.ask(request)), before);
    // Sealed anew: the old key opens nothing here.
    assert_eq!(second.stored_identity("cloud-sync", &[9; 32]).versions.len(), 2);
    program.ask(r#"{"op":"lock"}"#);
    assert_eq!(code(&program.ask(with_key("unlock", &UNLOCK_KEY))).as_deref(), Some("wrong_key"));
    assert_eq!(program.ask(with_key("unlock", &[9; 32])), UNLOCKED);
    assert_eq!(requests.map(|request| program.ask(request)), before);
}

/// cicada as a service manager starts it, with credentials; killed when dropped.
struct WithCredential(Child);

impl Drop for WithCredential {
    fn drop(&mut self) {
        let _ = kill(Pid::from_raw(self.0.id().cast_signed()), Signal::SIGTERM);
        let _ = self.0.wait();
    }
}

/// Starts it with an unlock key of these bytes.
fn with_credential(host: &Host, unlock_key: &[u8]) -> WithCredential {
    let owner = host.users.cicada;
    let directory = host.dir().join("credentials");
    let _ = fs::create_dir(&directory);
    let noise_key = fs::read(host.layout.daemon_key(Daemon::Cicada)).unwrap();
    for (name, content) in [("noise.key", &noise_key[..]), ("cicada.unlock-key", unlock_key)] {
        let path: PathBuf = directory.join(name);
        fs::write(&path, content).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
        chown(&path, Some(owner), None).unwrap();
    }
    let log = fs::File::create(host.dir().join("cicada.log")).unwrap();
    let mut command = host.daemon_command(Daemon::Cicada);
    command.env("CREDENTIALS_DIRECTORY", directory).stderr(Stdio::from(log));
    let _ = fs::remove_file(host.layout.cicada_socket());
    WithCredential(command.spawn().unwrap())
}

/// The state that it says it is in, once it answers.
fn state(host: &Host) -> String {
    eventually("cicada listens", || {
        std::os::unix::net::UnixStream::connect(host.layout.cicada_socket()).is_ok()
    });
    text(&host.program().ask(r#"{"op":"status"}"#), "state")
}

#[test]
fn a_credential_makes_a_store_and_unlocks_it_at_each_start() {
    let mut host = Host::builder().cicada(&allow_me_everything()).provision();
    host.start();
    host.init();
    let key = [5; 32];
    let running = with_credential(&host, &key);
    assert_eq!(state(&host), "unlocked");
    let public = host.program().ask(about("create", "cloud-sync"));
    drop(running);
    assert_eq!(host.stored_identity("cloud-sync", &key).last_version, 1);
    let running = with_credential(&host, &key);
    assert_eq!(state(&host), "unlocked");
    assert_eq!(host.program().ask(about("public_key", "cloud-sync")), public);
    drop(running);
    for operation in [Operation::CicadaInit, Operation::CicadaUnlock] {
        let entries = host.entries_of(operation, Outcome::Done);
        assert_eq!(entries.len(), 1, "{operation}");
        assert_eq!(entries[0].detail["with"], "credential");
    }
}

#[test]
fn a_wrong_credential_leaves_it_locked_and_says_so() {
    let mut host = host();
    host.end(Daemon::Cicada, Signal::SIGTERM);
    let running = with_credential(&host, &[6; 32]);
    assert_eq!(state(&host), "locked");
    let said = host.log(Daemon::Cicada);
    assert!(said.contains("cannot unlock with the credential cicada.unlock-key"), "{said}");
    assert!(said.contains("this is not the unlock key of this store"), "{said}");
    let failed = host.entries_of(Operation::CicadaUnlock, Outcome::Failed);
    assert_eq!(failed.len(), 1);
    assert_eq!(failed[0].detail["reason"], "wrong_key");
    let mut program = host.program();
    assert_eq!(code(&program.ask(get_key(1))).as_deref(), Some("locked"));
    assert_eq!(program.ask(with_key("unlock", &UNLOCK_KEY)), UNLOCKED);
    assert_eq!(code(&program.ask(get_key(1))), None);
    drop(running);
    for wrong in [&[6; 31][..], &[6; 33], b""] {
        let mut running = with_credential(&host, wrong);
        assert_eq!(running.0.wait().unwrap().code(), Some(78), "{} bytes", wrong.len());
        let said = host.log(Daemon::Cicada);
        assert!(said.contains("cicada.unlock-key: ") && said.contains("32 bytes"), "{said}");
    }
}
