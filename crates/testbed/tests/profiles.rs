//! Profiles and their passwords: what enrols, opens, closes and forgets.

use std::fs;
use std::thread::sleep;
use std::time::{Duration, Instant};

use audit_log::{Operation, Outcome};
use ipc::FaultKind;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::Value;
use site_config::Daemon;
use testbed::{Host, PASSWORD, ask};

fn host_with(config: &str) -> Host {
    let mut host = Host::builder().config(config).provision();
    host.start();
    host.init();
    host
}

fn create(host: &Host, name: &str, password: &str) -> i32 {
    let arguments = ["profile", "create", name, "--password-stdin"];
    host.sesame(arguments).stdin(password).run().code
}

fn unlock(host: &Host, name: &str, password: &str) -> i32 {
    let arguments = ["unlock", "--profile", name, "--password-stdin"];
    host.sesame(arguments).stdin(password).run().code
}

fn get(host: &Host, arguments: &[&str]) -> (i32, String) {
    let outcome = host.sesame(["secret", "get", "name"]).args(arguments).run();
    (outcome.code, outcome.text())
}

/// What `sesame profile list` shows: name, state, whether it is the default.
fn list(host: &Host) -> Vec<(String, String, bool)> {
    let text = host.sesame(["--json", "profile", "list"]).succeed();
    let list: Value = serde_json::from_str(&text).expect("JSON");
    let word = |value: &Value| value.as_str().expect("a word").to_owned();
    let profiles = list["profiles"].as_array().expect("a list").iter();
    profiles.map(|one| (word(&one["name"]), word(&one["state"]), one["default"] == true)).collect()
}

fn row(name: &str, state: &str, default: bool) -> (String, String, bool) {
    (name.to_owned(), state.to_owned(), default)
}

#[test]
fn each_profile_has_a_vault_and_a_state_of_its_own() {
    let host = Host::unlocked();
    assert_eq!(create(&host, "second", "another password"), 0);
    assert_eq!(list(&host), [row("default", "active", true), row("second", "locked", false)]);
    assert_eq!(unlock(&host, "second", "another password"), 0);
    host.sesame(["secret", "set", "name"]).stdin("first").succeed();
    host.sesame(["secret", "set", "name", "--profile", "second"]).stdin("second").succeed();
    assert_eq!(get(&host, &[]), (0, "first".to_owned()));
    assert_eq!(get(&host, &["--profile", "second"]), (0, "second".to_owned()));

    host.sesame(["profile", "default", "second"]).succeed();
    assert_eq!(get(&host, &[]), (0, "second".to_owned()));
    assert_eq!(list(&host), [row("default", "active", false), row("second", "active", true)]);

    // Closed, its keys kept: opened again without a password.
    host.sesame(["profile", "deactivate", "second"]).succeed();
    assert_eq!(list(&host)[1], row("second", "unlocked", true));
    assert_eq!(get(&host, &[]).0, 5);
    host.sesame(["profile", "activate", "second"]).succeed();
    assert_eq!(get(&host, &[]), (0, "second".to_owned()));

    // Locked, its keys forgotten: only the password opens it, and the other stays as it was.
    host.sesame(["lock", "--profile", "second"]).succeed();
    assert_eq!(list(&host), [row("default", "active", false), row("second", "locked", true)]);
    host.sesame(["profile", "activate", "second"]).fail(5);
    assert_eq!(get(&host, &[]).0, 5);
    assert_eq!(unlock(&host, "second", PASSWORD), 6);
    host.sesame(["lock"]).succeed();
    assert_eq!(list(&host), [row("default", "locked", false), row("second", "locked", true)]);
}

#[test]
fn what_is_no_profile_is_refused_by_name() {
    let host = Host::unlocked();
    assert_eq!(create(&host, "default", PASSWORD), 9, "one that is there stays as it is");
    assert_eq!(unlock(&host, "default", PASSWORD), 0);
    assert_eq!(unlock(&host, "absent", PASSWORD), 8);
    for verb in ["activate", "deactivate", "default"] {
        let said = host.sesame(["profile", verb, "absent"]).fail(8);
        assert!(said.contains("absent"), "{said}");
    }
    for name in ["../default", "", ".hidden", "a/b", "a\nb"] {
        assert_eq!(create(&host, name, PASSWORD), 24, "{name:?}");
        assert_eq!(unlock(&host, name, PASSWORD), 24, "{name:?}");
    }
    assert_eq!(list(&host), [row("default", "active", true)]);
}

#[test]
fn before_init_there_is_nothing_to_unlock() {
    let host = Host::started();
    assert_eq!(unlock(&host, "default", PASSWORD), 23);
    assert_eq!(create(&host, "second", PASSWORD), 23);
    host.sesame(["lock"]).fail(23);
}

#[test]
fn an_unused_profile_locks_itself_and_a_used_one_does_not() {
    let host = host_with("unlock.auto_lock_seconds = 3\n");
    host.unlock();
    host.sesame(["secret", "set", "name"]).stdin("value").succeed();
    let until = Instant::now() + Duration::from_secs(5);
    while Instant::now() < until {
        assert_eq!(get(&host, &[]), (0, "value".to_owned()), "it is in use");
        sleep(Duration::from_millis(300));
    }
    // Looking at it is no use.
    let until = Instant::now() + Duration::from_secs(20);
    while list(&host)[0].1 != "locked" {
        assert!(Instant::now() < until, "it never locks");
        sleep(Duration::from_millis(300));
    }
    assert_eq!(get(&host, &[]).0, 5);
    let locks = host.entries_of(Operation::Lock, Outcome::Done);
    let last = locks.last().expect("it is in the trail");
    assert_eq!((&*last.detail["reason"], &*last.detail["profiles"]), ("idle", "default"));
    assert!(last.actor.is_none(), "nobody asked for it");
}

#[test]
fn a_machine_that_slept_too_long_answers_nobody_before_it_has_locked() {
    let host = host_with("unlock.auto_lock_seconds = 2\n");
    let daemon = Pid::from_raw(host.pid(Daemon::Secrets));
    for _ in 0..5 {
        host.unlock();
        let mut client = host.connect(Daemon::Secrets).unwrap();
        ask::set(&mut client, "name", b"value").unwrap();
        kill(daemon, Signal::SIGSTOP).unwrap();
        sleep(Duration::from_millis(200));
        // What is asked meanwhile is the first thing that it sees when it goes on.
        let asked = std::thread::spawn(move || ask::get(&mut client, "name"));
        sleep(Duration::from_secs(4));
        kill(daemon, Signal::SIGCONT).unwrap();
        let refused = asked.join().unwrap().unwrap_err();
        assert_eq!(refused.kind(), Some(FaultKind::Locked));
    }
}

#[test]
fn a_short_password_enrols_nothing() {
    let mut host = Host::builder().provision();
    host.start();
    host.sesame(["init", "--password-stdin"]).stdin("7 bytes").fail(24);
    assert!(!host.layout.secrets_state().join("installation").exists());
    host.sesame(["init", "--password-stdin"]).stdin("8 bytes!").succeed();

    let host = host_with("unlock.minimum_password_length = 15\n");
    assert_eq!(create(&host, "second", "fourteen bytes"), 24);
    assert_eq!(create(&host, "second", "fifteen bytes !"), 0);
}

#[test]
fn a_password_comes_from_a_credential() {
    let host = Host::initialised();
    let credentials = tempfile::tempdir_in("/tmp").expect("a directory");
    fs::write(credentials.path().join("password"), format!("{PASSWORD}\n")).expect("written");
    fs::write(credentials.path().join("other"), "not the password").expect("written");
    let mode = std::os::unix::fs::PermissionsExt::from_mode(0o755);
    fs::set_permissions(credentials.path(), mode).expect("chmod");
    let directory = credentials.path().to_str().expect("UTF-8");
    let unlock = |name| {
        let command = host.sesame(["unlock", "--password-credential", name]);
        command.env("CREDENTIALS_DIRECTORY", directory).run().code
    };
    assert_eq!(unlock("other"), 6);
    assert_eq!(unlock("absent"), 24);
    assert_eq!(unlock("../password"), 2);
    assert_eq!(unlock("password"), 0);
    let none = host.sesame(["unlock", "--password-credential", "password"]);
    assert_eq!(none.run().code, 2, "there are no credentials");
}

#[test]
fn what_was_made_with_one_set_of_algorithms_opens_under_another() {
    let mut host = host_with("crypto.profile = \"leading-edge\"\n");
    host.unlock();
    host.sesame(["secret", "set", "name"]).stdin("value").succeed();
    let metadata = |host: &Host, profile: &str| -> Value {
        let file = format!("installation/profiles/{profile}/unlock.json");
        let text = fs::read(host.layout.secrets_state().join(file)).expect("there");
        serde_json::from_slice(&text).expect("JSON")
    };
    let before = metadata(&host, "default");
    host.stop();
    let config = "crypto.profile = \"governance-compatible\"\n";
    fs::write(host.layout.config_file(), config).expect("config.toml");
    host.start();
    host.unlock();
    assert_eq!(get(&host, &[]), (0, "value".to_owned()));
    assert_eq!(metadata(&host, "default"), before, "what is there stays as it was made");
    assert_eq!(create(&host, "second", PASSWORD), 0);
    assert_eq!(unlock(&host, "second", PASSWORD), 0);
    host.sesame(["secret", "set", "name", "--profile", "second"]).stdin("second").succeed();
    let both = [metadata(&host, "default"), metadata(&host, "second")];
    let used = both.map(|one| {
        let one = &one["enrolment"];
        let kdf = one["factors"][0]["parameters"]["password"]["kdf"]["algorithm"].clone();
        (kdf, one["derivation"].clone())
    });
    assert_eq!(used[0], ("argon2id".into(), "blake3".into()));
    assert_eq!(used[1], ("pbkdf2-sha256".into(), "hkdf-sha256".into()));
    host.sesame(["audit", "verify"]).succeed();
    assert_eq!(get(&host, &["--profile", "second"]), (0, "second".to_owned()));
}
