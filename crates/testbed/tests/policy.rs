//! Fault 8: the policy binds every daemon and every command, and is really in effect.

use std::fs;
use std::io::Read;
use std::os::unix::fs::{PermissionsExt, chown};
use std::os::unix::net::UnixListener;
use std::time::{Duration, Instant};

use audit_log::{Operation, Outcome};
use ipc::suite::PREAMBLE_BYTES;
use ipc::{ClientError, Suite};
use serde_json::Value;
use site_config::keys::Kind;
use site_config::{Daemon, Key};
use testbed::{Host, PASSWORD, Users, is_root_or_skip};

const DAEMONS: [Daemon; 2] = [Daemon::Audit, Daemon::Secrets];
const SOURCE: &str = "the ceremony of 2026-03-01, page 4";

/// policy.toml that locks these, values as TOML.
fn policy(entries: &[(&str, &str)]) -> String {
    let entry = |(key, value): &(&str, &str)| {
        format!("[[policy]]\nkey = \"{key}\"\nvalue = {value}\nsource = \"{SOURCE}\"\n\n")
    };
    entries.iter().map(entry).collect()
}

/// A host with a policy and nothing configured; not started.
fn locked_with(entries: &[(&str, &str)]) -> Host {
    let host = Host::builder().provision();
    fs::write(host.layout.policy_file(), policy(entries)).expect("policy.toml");
    host
}

fn initialised_under(entries: &[(&str, &str)]) -> Host {
    let mut host = locked_with(entries);
    host.start();
    host.init();
    host
}

/// Both daemons and a command refuse, and say all of `words`.
fn assert_refused(host: &mut Host, words: &[&str]) {
    let command = host.sesame(["config", "check"]).fail(20);
    let status = host.sesame(["status"]).fail(20);
    let daemons = DAEMONS.map(|daemon| {
        let said = host.try_start(daemon).expect_err("it does not start");
        assert!(said.starts_with("78: ERROR: "), "{said}");
        said
    });
    for said in daemons.iter().chain([&command, &status]) {
        for word in words {
            assert!(said.contains(word), "{word:?} is missing in: {said}");
        }
    }
    assert_eq!(host.trail_lines(), Vec::<String>::new());
}

/// Two different values of a key, as TOML.
fn two_values(key: Key) -> [String; 2] {
    match key.spec().kind {
        Kind::Choice(names) => [format!("{:?}", names[0]), format!("{:?}", names[1])],
        Kind::Set(_) => ["[]".to_owned(), "[\"password\"]".to_owned()],
        Kind::Bool => ["false".to_owned(), "true".to_owned()],
        Kind::Integer { min, max } => [min.to_string(), max.to_string()],
    }
}

#[test]
fn a_setting_that_contradicts_the_policy_stops_everything_for_every_key() {
    for key in Key::all() {
        let [locked, configured] = two_values(key);
        let config = format!("{key} = {configured}\n");
        let mut host = Host::builder().config(&config).provision();
        let text = policy(&[(&key.to_string(), &locked)]);
        fs::write(host.layout.policy_file(), text).expect("policy.toml");
        let file = format!("{}:1", host.layout.config_file().display());
        // For crypto.profile the first key that differs is named.
        let words: &[&str] = match key {
            Key::CryptoProfile => &["crypto.profile", SOURCE, &file],
            _ => &[&key.to_string(), &locked, &configured, SOURCE, &file],
        };
        assert_refused(&mut host, words);
        // The same file without the contradiction is fine.
        fs::write(host.layout.config_file(), format!("{key} = {locked}\n")).expect("config.toml");
        host.sesame(["config", "check"]).succeed();
    }
}

#[test]
fn a_typo_in_a_policy_is_not_silent() {
    let mut host = locked_with(&[("crypto.kdff", "\"argon2id\"")]);
    assert_refused(&mut host, &["crypto.kdff", "did you mean crypto.kdf?", "must not be silent"]);
    for (text, words) in [
        ("", ["policy.toml", "empty"]),
        ("[[polcy]]\nkey = \"crypto.kdf\"\n", ["policy.toml", "polcy"]),
        ("[[policy]]\nkey = \"crypto.kdf\"\nvalue = \"argon2id\"\n", ["source", "policy.toml"]),
        ("[[policy]]\nkey = \"crypto.kdf\"\nvalue = 1\nsource = \"x\"\n", ["crypto.kdf", "1"]),
    ] {
        let mut host = Host::builder().provision();
        fs::write(host.layout.policy_file(), text).expect("policy.toml");
        assert_refused(&mut host, &words);
    }
    let mut host = locked_with(&[
        ("crypto.profile", "\"governance-compatible\""),
        ("crypto.kdf", "\"argon2id\""),
    ]);
    assert_refused(&mut host, &["crypto.profile", "crypto.kdf", SOURCE]);
}

#[test]
fn a_policy_that_others_could_have_written_is_refused() {
    let fine = policy(&[("crypto.kdf", "\"argon2id\"")]);
    for mode in [0o664, 0o646, 0o666] {
        let mut host = Host::builder().provision();
        fs::write(host.layout.policy_file(), &fine).expect("policy.toml");
        let mode = fs::Permissions::from_mode(mode);
        fs::set_permissions(host.layout.policy_file(), mode).expect("chmod");
        assert_refused(&mut host, &["policy.toml", "can be written by its group or by others"]);
        let mode = fs::Permissions::from_mode(0o644);
        fs::set_permissions(host.layout.policy_file(), mode).expect("chmod");
        host.sesame(["config", "check"]).succeed();
    }
    let mut host = Host::builder().provision();
    std::os::unix::fs::symlink("/nonexistent", host.layout.policy_file()).expect("a link");
    assert_refused(&mut host, &["policy.toml"]);
    if !is_root_or_skip("giving a file away") {
        return;
    }
    let mut host = locked_with(&[("crypto.kdf", "\"argon2id\"")]);
    let stranger = host.users.stranger;
    chown(host.layout.policy_file(), Some(stranger), None).expect("chown");
    assert_refused(&mut host, &["policy.toml", &stranger.to_string()]);
}

fn metadata(host: &Host) -> Value {
    let file = host.layout.secrets_state().join("installation/profiles/default/unlock.json");
    serde_json::from_slice(&fs::read(file).expect("there")).expect("JSON")
}

#[test]
fn locked_key_derivation_is_what_the_vault_is_made_with() {
    for (kdf, hkdf) in [("pbkdf2-sha256", "blake3"), ("argon2id", "hkdf-sha256")] {
        let (kdf_value, hkdf_value) = (format!("{kdf:?}"), format!("{hkdf:?}"));
        let host = initialised_under(&[("crypto.kdf", &kdf_value), ("crypto.hkdf", &hkdf_value)]);
        let metadata = metadata(&host);
        assert_eq!(
            metadata["enrolment"]["factors"][0]["parameters"]["password"]["kdf"]["algorithm"],
            kdf
        );
        assert_eq!(metadata["enrolment"]["derivation"], hkdf);
        host.unlock();
    }
}

#[test]
fn a_locked_profile_locks_all_that_it_picks() {
    let host = initialised_under(&[("crypto.profile", "\"governance-compatible\"")]);
    let metadata = metadata(&host);
    assert_eq!(
        metadata["enrolment"]["factors"][0]["parameters"]["password"]["kdf"]["algorithm"],
        "pbkdf2-sha256"
    );
    assert_eq!(metadata["enrolment"]["derivation"], "hkdf-sha256");
    assert_eq!(host.entries()[0].detail["hash"], "sha256");
    let shown = host.sesame(["config", "show"]).succeed();
    let line = format!("crypto.noise_cipher = \"aesgcm\"  # policy ({SOURCE})");
    assert!(shown.lines().any(|shown| shown == line), "{shown}");
}

#[test]
fn a_locked_audit_hash_chains_the_trail() {
    for hash in ["sha256", "blake3"] {
        let host = initialised_under(&[("crypto.audit_hash", &format!("{hash:?}"))]);
        let genesis = host.entries_of(Operation::Genesis, Outcome::Done);
        assert_eq!(genesis[0].detail["hash"], hash);
        host.sesame(["audit", "verify"]).succeed();
    }
}

/// The suite that a client speaks is in its first bytes.
#[test]
fn locked_noise_algorithms_are_what_commands_and_daemons_speak() {
    for suite in Suite::ALL {
        let mut host = Host::builder().users(Users::only_me()).provision();
        let text = policy(&[
            ("crypto.noise_cipher", &format!("{:?}", suite.cipher.as_str())),
            ("crypto.noise_hash", &format!("{:?}", suite.hash.as_str())),
        ]);
        fs::write(host.layout.policy_file(), text).expect("policy.toml");
        for (daemon, start) in [(Daemon::Secrets, false), (Daemon::Audit, true)] {
            let listener = UnixListener::bind(host.layout.socket(daemon)).expect("a socket");
            let heard = std::thread::spawn(move || {
                let mut preamble = [0; PREAMBLE_BYTES];
                let (mut peer, _) = listener.accept().expect("a peer");
                peer.read_exact(&mut preamble).expect("its first bytes");
                preamble
            });
            if start {
                host.try_start(Daemon::Secrets).expect_err("nobody answers it");
            } else {
                let _ = host.sesame(["status"]).run();
            }
            assert_eq!(heard.join().expect("it was heard"), suite.preamble(), "{suite:?}");
            fs::remove_file(host.layout.socket(daemon)).expect("removed");
        }
        // And with each other, of course.
        host.start();
        host.init();
    }
}

#[test]
fn a_locked_minimum_turns_weaker_peers_away() {
    let all = |host: &Host, daemon| {
        Suite::ALL.map(|suite| match host.connect_as(daemon, &host.tester, suite) {
            Ok(_) => true,
            Err(ClientError::Refused) => false,
            Err(error) => panic!("{error}"),
        })
    };
    for (minimum, expected) in [
        ("custom", [true, true, true, true]),
        ("governance-compatible", [true, true, false, false]),
        ("leading-edge", [true, false, false, false]),
    ] {
        let host = initialised_under(&[("crypto.minimum_peer_profile", &format!("{minimum:?}"))]);
        for daemon in DAEMONS {
            assert_eq!(all(&host, daemon), expected, "{minimum}, {daemon:?}");
        }
    }
    let mut host = locked_with(&[
        ("crypto.minimum_peer_profile", "\"leading-edge\""),
        ("crypto.noise_cipher", "\"aesgcm\""),
    ]);
    assert_refused(&mut host, &["crypto.minimum_peer_profile", "leading-edge", SOURCE]);
}

#[test]
fn locked_memory_protection_is_in_effect() {
    let kind = |host: &Host| {
        let starts = host.entries_of(Operation::DaemonStart, Outcome::Done);
        starts.last().expect("a start").detail["secret-memory"].clone()
    };
    let below = ("enrolment.allow_below_floor", "true");
    let host = initialised_under(&[("memory.protection", "\"off\""), below]);
    assert!(kind(&host).starts_with("fail: mlock"), "{}", kind(&host));
    let host = initialised_under(&[("memory.protection", "\"prefer\""), below]);
    assert!(kind(&host).starts_with("pass: memfd_secret"), "{}", kind(&host));
    let mut host = Host::builder().wrapped_in("without-memfd-secret").provision();
    let text = policy(&[("memory.protection", "\"require\"")]);
    fs::write(host.layout.policy_file(), text).expect("policy.toml");
    for daemon in DAEMONS {
        let said = host.try_start(daemon).expect_err("no start");
        assert!(said.starts_with("71: ERROR: memfd_secret unavailable"), "{said}");
    }
}

#[test]
fn locked_unlock_rules_are_in_effect() {
    let mut host = locked_with(&[
        ("unlock.minimum_password_length", "12"),
        ("unlock.free_attempts", "0"),
        ("unlock.backoff_base_seconds", "30"),
        ("unlock.backoff_max_seconds", "31"),
        ("unlock.auto_lock_seconds", "1"),
    ]);
    host.start();
    host.sesame(["init", "--password-stdin"]).stdin("11 bytes ab").fail(24);
    host.sesame(["init", "--password-stdin"]).stdin(PASSWORD).succeed();
    host.unlock();
    let deadline = Instant::now() + Duration::from_secs(20);
    let locks = || host.entries_of(Operation::Lock, Outcome::Done);
    while locks().is_empty() {
        assert!(Instant::now() < deadline, "it never locks");
        std::thread::sleep(Duration::from_millis(200));
    }
    assert_eq!(locks()[0].detail["reason"], "idle");
    let unlock = |password: &str| {
        let command = host.sesame(["--json", "unlock", "--password-stdin"]).stdin(password);
        let outcome = command.run();
        let error: Value = serde_json::from_str(&outcome.error()).expect("JSON");
        (outcome.code, error["error"]["retry_after_seconds"].as_u64().unwrap_or(0))
    };
    let (code, wait) = unlock("not the password");
    assert!(code == 6 && (20..=31).contains(&wait), "{code}, {wait} s");
    assert_eq!(unlock(PASSWORD).0, 7);
}

#[test]
fn a_locked_segment_size_cuts_the_trail() {
    let host = initialised_under(&[("audit.segment_bytes", "65536")]);
    host.unlock();
    let mut client = host.connect(Daemon::Secrets).expect("a connection");
    testbed::ask::set(&mut client, "name", b"value").expect("written");
    for _ in 0..250 {
        testbed::ask::get(&mut client, "name").expect("read");
    }
    let trail = fs::read_dir(host.layout.audit_state().join("trail")).expect("a trail").flatten();
    let sizes: Vec<u64> = trail
        .filter(|entry| entry.path().extension().is_some_and(|end| end == "jsonl"))
        .map(|entry| entry.metadata().expect("its size").len())
        .collect();
    assert!(sizes.iter().all(|size| *size <= 65_536 + 4096), "{sizes:?}");
    assert!(sizes.len() > 1 && sizes.iter().any(|size| *size > 60_000), "{sizes:?}");
    host.sesame(["audit", "verify"]).succeed();
}

fn restart(host: &mut Host) {
    host.stop();
    host.start();
}

/// Whoever edits the files, the entry comes before anything is served under them, and what was before
/// is taken from the trail.
#[test]
fn a_change_of_the_site_is_an_entry_of_its_own() {
    let mut host = Host::initialised();
    let changes = |host: &Host| host.entries_of(Operation::SiteChange, Outcome::Done);
    restart(&mut host);
    assert_eq!(changes(&host), [], "nothing changed");
    fs::write(host.layout.policy_file(), policy(&[("crypto.kdf", "\"argon2id\"")]))
        .expect("policy");
    restart(&mut host);
    let [change] = &changes(&host)[..] else { panic!("one change") };
    assert_eq!(change.subject.as_deref(), Some("policy"));
    assert_eq!(change.detail["policy_before"], "none");
    assert_eq!(change.detail["locked"], "crypto.kdf=\"argon2id\"");
    let start = host.entries_of(Operation::DaemonStart, Outcome::Done);
    let start = start.iter().find(|entry| entry.seq > change.seq).expect("a start after it");
    assert_eq!(start.detail["policy"], change.detail["policy"]);
    // The config as well; and nothing beside the trail can make it forget.
    fs::write(host.layout.config_file(), "#").expect("config.toml");
    restart(&mut host);
    restart(&mut host);
    let subjects: Vec<_> = changes(&host).into_iter().map(|entry| entry.subject).collect();
    assert_eq!(subjects, [Some("policy".to_owned()), Some("config".to_owned())]);
}

#[test]
fn the_trail_tells_which_policy_and_configuration_a_daemon_started_with() {
    let mut host = Host::initialised();
    let digests = |host: &Host| {
        DAEMONS.map(|daemon| {
            let starts = host.entries_of(Operation::DaemonStart, Outcome::Done);
            let mut of = starts.iter().rev();
            let start = of.find(|entry| entry.subject.as_deref() == Some(daemon.as_str()));
            let detail = &start.expect("a start").detail;
            (detail["config"].clone(), detail["policy"].clone())
        })
    };
    let first = digests(&host);
    assert!(first.iter().all(|(config, policy)| config.len() == 64 && policy == "none"));
    let mut text = policy(&[("crypto.kdf", "\"argon2id\"")]);
    fs::write(host.layout.policy_file(), &text).expect("policy.toml");
    restart(&mut host);
    let second = digests(&host);
    assert!(second.iter().all(|(_, policy)| policy.len() == 64));
    assert_eq!(second[0], second[1], "both daemons read the same");
    assert_eq!(first[0].0, second[0].0);
    // One byte, and not one that means anything.
    text.push('#');
    fs::write(host.layout.policy_file(), &text).expect("policy.toml");
    fs::write(host.layout.config_file(), "#").expect("config.toml");
    restart(&mut host);
    let third = digests(&host);
    assert_ne!(third[0].1, second[0].1);
    assert_ne!(third[0].0, second[0].0);
}

#[test]
fn policy_lock_writes_once_and_never_a_contradiction() {
    let host = Host::builder().config("crypto.kdf = \"argon2id\"\n").provision();
    let me = Users::only_me().operator;
    let file = host.layout.policy_file();
    let lock = |settings: &[&str]| {
        let command = host.sesame(["policy", "lock", "--source", SOURCE]).user(me);
        command.args(settings.iter().copied())
    };
    let said = lock(&["crypto.kdf=pbkdf2-sha256"]).fail(20);
    assert!(said.contains("argon2id") && said.contains("Nothing was locked"), "{said}");
    lock(&["crypto.profile=leading-edge", "crypto.hkdf=hkdf-sha256"]).fail(20);
    lock(&["crypto.kdff"]).fail(2);
    lock(&["crypto.kdf=rot13"]).fail(2);
    lock(&["unlock.free_attempts=11"]).fail(2);
    assert!(!file.exists(), "nothing was written");

    // The present value of the first, a given value of the second.
    lock(&["crypto.kdf", "unlock.free_attempts=1"]).succeed();
    let written = fs::read(file).expect("it is there");
    assert_eq!(fs::metadata(file).expect("there").permissions().mode() & 0o777, 0o644);
    let shown = host.sesame(["policy", "show"]).succeed();
    assert!(shown.contains(&format!("crypto.kdf = \"argon2id\"  # {SOURCE}")), "{shown}");
    let effective = host.sesame(["config", "show"]).succeed();
    let line = format!("unlock.free_attempts = 1  # policy ({SOURCE})");
    assert!(effective.contains(&line), "{effective}");
    let checked = host.sesame(["config", "check"]).succeed();
    assert!(checked.contains("2 settings are locked"), "{checked}");

    lock(&["unlock.free_attempts=2"]).fail(9);
    lock(&["unlock.free_attempts=1"]).fail(9);
    assert_eq!(fs::read(file).expect("still there"), written);
    let keys = host.sesame(["config", "keys"]).succeed();
    assert!(Key::all().all(|key| keys.contains(&format!("| `{key}` |"))), "{keys}");
}
