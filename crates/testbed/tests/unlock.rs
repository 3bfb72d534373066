//! Fault 6: wrong passwords are counted, recorded and slowed down, whatever is killed when.

use std::fs;
use std::process::{Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use audit_log::{Operation, Outcome};
use serde_json::Value;
use site_config::Daemon;
use testbed::{Host, PASSWORD, is_root_or_skip};

/// Long enough for no test to wait for its end.
const SLOW: &str = "unlock.free_attempts = 0\nunlock.backoff_base_seconds = 60\n";
/// A try takes long enough to be interrupted, and no delay gets into the way.
const LONG_TRIES: &str = "crypto.kdf = \"pbkdf2-sha256\"\nunlock.free_attempts = 10\n\
                          unlock.backoff_base_seconds = 60\n";

fn host_with(config: &str) -> Host {
    let mut host = Host::builder().config(config).provision();
    host.start();
    host.init();
    host
}

/// Exit code, and seconds until the next try counts as the JSON has them.
fn try_unlock(host: &Host, profile: &str, password: &str) -> (i32, Option<u64>) {
    let arguments = ["--json", "unlock", "--profile", profile, "--password-stdin"];
    let outcome = host.sesame(arguments).stdin(password).run();
    let error: Value = serde_json::from_str(&outcome.error()).unwrap_or_default();
    if outcome.code != 0 {
        assert_eq!(error["error"]["exit_code"], outcome.code, "{}", outcome.error());
    }
    (outcome.code, error["error"]["retry_after_seconds"].as_u64())
}

fn wrong(host: &Host) -> (i32, Option<u64>) {
    try_unlock(host, "default", "not the password")
}

fn right(host: &Host) -> (i32, Option<u64>) {
    try_unlock(host, "default", PASSWORD)
}

/// What `sesame status` says of a profile.
fn profile(host: &Host, name: &str) -> Value {
    let text = host.sesame(["--json", "status"]).succeed();
    let status: Value = serde_json::from_str(&text).expect("JSON");
    let profiles = status["profiles"].as_array().expect("a list");
    profiles.iter().find(|profile| profile["name"] == name).expect("the profile").clone()
}

fn state(host: &Host, name: &str) -> String {
    profile(host, name)["state"].as_str().expect("a word").to_owned()
}

fn tries(host: &Host, outcome: Outcome) -> usize {
    host.entries_of(Operation::FactorTry, outcome).len()
}

fn restart_secrets(host: &mut Host) {
    host.kill(Daemon::Secrets);
    host.try_start(Daemon::Secrets).expect("it starts again");
}

#[test]
fn wrong_passwords_are_recorded_and_the_wait_doubles_until_a_success() {
    let host = host_with("unlock.free_attempts = 1\nunlock.backoff_base_seconds = 2\n");
    assert_eq!(wrong(&host), (6, None), "the first one is free");
    let mut waits = Vec::new();
    for _ in 0..2 {
        let (code, wait) = wrong(&host);
        assert_eq!(code, 6);
        let wait = wait.expect("from now on there is a wait");
        waits.push(wait);
        // Too soon, with the right password: not even tried.
        let started = Instant::now();
        let (code, left) = right(&host);
        assert_eq!(code, 7);
        assert!(left.is_some_and(|left| left <= wait), "{left:?} of {wait}");
        assert_eq!(state(&host, "default"), "locked");
        sleep(Duration::from_secs(wait).saturating_sub(started.elapsed()));
    }
    // Of 2 and 4 seconds the try itself took its part.
    assert!((1..=2).contains(&waits[0]) && (3..=4).contains(&waits[1]), "{waits:?}");
    assert_eq!(tries(&host, Outcome::Failed), 3);
    assert_eq!(tries(&host, Outcome::Refused), 2);
    let failed = host.entries_of(Operation::FactorTry, Outcome::Failed);
    assert_eq!(failed[2].detail["failures"], "3");
    assert_eq!(failed[2].actor.as_ref().map(|actor| actor.uid), Some(host.users.operator));
    assert_eq!(profile(&host, "default")["failures"], 3);
    assert_eq!(right(&host), (0, None));
    assert_eq!(tries(&host, Outcome::Done), 1);
    assert_eq!(host.entries_of(Operation::Unlock, Outcome::Done).len(), 1);
    assert_eq!(profile(&host, "default")["failures"], 0, "a success starts anew");
    host.sesame(["lock"]).succeed();
    assert_eq!(wrong(&host), (6, None), "and the first one is free again");
    host.sesame(["audit", "verify"]).succeed();
}

#[test]
fn nothing_shortens_the_wait() {
    let mut host = host_with(SLOW);
    assert_eq!(wrong(&host).0, 6);
    let refused = |host: &Host, after: &str| {
        let (code, left) = right(host);
        assert_eq!(code, 7, "after {after}");
        assert!(left.is_some_and(|left| left > 40), "{left:?} s after {after}");
    };
    refused(&host, "nothing");
    host.sesame(["lock"]).succeed();
    refused(&host, "lock");
    restart_secrets(&mut host);
    refused(&host, "kill -9 of daemon-secrets");
    host.kill(Daemon::Secrets);
    host.kill(Daemon::Audit);
    host.start();
    refused(&host, "kill -9 of both");
    host.stop();
    host.start();
    refused(&host, "a restart in good order");
    host.sesame(["init", "--password-stdin"]).stdin(PASSWORD).fail(9);
    refused(&host, "a refused init");
    assert_eq!(profile(&host, "default")["failures"], 1, "refusals are no tries");
    assert_eq!(tries(&host, Outcome::Refused), 6);
}

#[test]
fn a_damaged_count_is_the_longest_wait_and_not_none() {
    let mut host = host_with("unlock.backoff_max_seconds = 500\n");
    let file = attempts_file(&host);
    wrong(&host);
    assert!(file.is_file());
    host.kill(Daemon::Secrets);
    fs::write(&file, "{\"1\":{}}").expect("written");
    host.try_start(Daemon::Secrets).expect("it starts");
    let (code, left) = right(&host);
    assert!(code == 7 && left.is_some_and(|left| left > 480), "{code} {left:?}");
}

fn attempts_file(host: &Host) -> std::path::PathBuf {
    host.layout.secrets_state().join("installation/profiles/default/attempts.json")
}

/// What is counted on the disk.
fn counted(host: &Host) -> u64 {
    let text = fs::read_to_string(attempts_file(host)).unwrap_or_default();
    let tries: Value = serde_json::from_str(&text).unwrap_or_default();
    tries["1"]["failures"].as_u64().unwrap_or(0)
}

/// Begins a try and returns as soon as it is counted; fails when its result came first.
fn begin_try(host: &Host, password: &str) -> std::process::Child {
    let (before, results) = (counted(host), results(host));
    let mut command: Command = host.sesame(["unlock", "--password-stdin"]).into_command();
    command.stdin(Stdio::piped()).stderr(Stdio::piped());
    let mut client = command.spawn().expect("sesame starts");
    let mut stdin = client.stdin.take().expect("a pipe");
    std::io::Write::write_all(&mut stdin, password.as_bytes()).expect("it listens");
    drop(stdin);
    let deadline = Instant::now() + Duration::from_secs(20);
    // In this order: a count that came after the result must not look as if it came before.
    let is_told_uncounted = || self::results(host) > results && counted(host) == before;
    while counted(host) == before {
        assert!(!is_told_uncounted(), "the result of a try came before it was counted");
        assert!(Instant::now() < deadline, "the try is never counted");
        sleep(Duration::from_millis(1));
    }
    client
}

fn results(host: &Host) -> usize {
    tries(host, Outcome::Failed) + tries(host, Outcome::Done)
}

#[test]
fn killing_the_daemon_in_the_middle_of_a_try_gives_no_free_try() {
    if !is_root_or_skip("looking at the daemon's files while it works") {
        return;
    }
    let mut host = host_with(LONG_TRIES);
    for round in 1..=5 {
        let mut client = begin_try(&host, "not the password");
        host.kill(Daemon::Secrets);
        assert_eq!(client.wait().expect("it ends").code(), Some(3), "nobody is told anything");
        assert_eq!(tries(&host, Outcome::Failed), 0, "the kill came in the middle");
        host.try_start(Daemon::Secrets).expect("it starts again");
        assert_eq!(counted(&host), round);
        assert_eq!(profile(&host, "default")["failures"], round);
    }
    // Killed tries count like any: six of them, and four that are told, use the free ones up.
    for _ in 0..5 {
        assert_eq!(wrong(&host), (6, None));
    }
    assert_eq!(wrong(&host).0, 6);
    assert_eq!(right(&host).0, 7);
}

#[test]
fn nobody_learns_a_result_that_is_not_in_the_trail() {
    if !is_root_or_skip("looking at the daemon's files while it works") {
        return;
    }
    let mut host = host_with(LONG_TRIES);
    for (round, password) in [(1, PASSWORD), (2, "not the password")] {
        let client = begin_try(&host, password);
        host.kill(Daemon::Audit);
        let output = client.wait_with_output().expect("it ends");
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(22), "{said}");
        assert!(!said.contains("password"), "{said}");
        host.try_start(Daemon::Audit).expect("it starts again");
        assert_eq!(results(&host), 0);
        assert_eq!(state(&host, "default"), "locked");
        assert_eq!(counted(&host), round, "not counted as a success");
    }
    assert_eq!(right(&host).0, 0);
}

#[test]
fn without_a_trail_nothing_is_tried() {
    let mut host = Host::initialised();
    host.kill(Daemon::Audit);
    for password in [PASSWORD, "not the password"] {
        assert_eq!(try_unlock(&host, "default", password), (22, None));
    }
    host.try_start(Daemon::Audit).expect("it starts again");
    assert_eq!(profile(&host, "default")["failures"], 0);
    assert_eq!(state(&host, "default"), "locked");
    assert_eq!(right(&host).0, 0);
}

#[test]
fn tries_at_one_profile_do_not_slow_another() {
    let host = host_with(SLOW);
    let create = ["profile", "create", "second", "--password-stdin"];
    host.sesame(create).stdin("another password").succeed();
    assert_eq!(wrong(&host).0, 6);
    assert_eq!(try_unlock(&host, "second", PASSWORD).0, 6, "its password is its own");
    assert_eq!(right(&host).0, 7);
    let create = ["profile", "create", "third", "--password-stdin"];
    host.sesame(create).stdin("a third password").succeed();
    assert_eq!(try_unlock(&host, "third", "a third password").0, 0);
    assert_eq!(state(&host, "default"), "locked");
    for (name, failures) in [("default", 1), ("second", 1), ("third", 0)] {
        assert_eq!(profile(&host, name)["failures"], failures, "{name}");
    }
}

#[test]
fn many_tries_at_once_are_counted_one_by_one() {
    let host = host_with("unlock.free_attempts = 2\nunlock.backoff_base_seconds = 60\n");
    let codes: Vec<i32> = std::thread::scope(|scope| {
        let tries: Vec<_> = (0..12).map(|_| scope.spawn(|| wrong(&host).0)).collect();
        tries.into_iter().map(|one| one.join().expect("it ends")).collect()
    });
    assert_eq!(codes.iter().filter(|code| **code == 6).count(), 3, "{codes:?}");
    assert_eq!(codes.iter().filter(|code| **code == 7).count(), 9, "{codes:?}");
    assert_eq!((tries(&host, Outcome::Failed), tries(&host, Outcome::Refused)), (3, 9));
}
