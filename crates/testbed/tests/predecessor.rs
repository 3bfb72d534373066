//! What the predecessor got wrong, each fault end to end, and where more is tested of it:
//!
//! | fault | here | more |
//! | --- | --- | --- |
//! | 1: one factor of `all` opened the vault | with the first second factor | |
//! | 2: anybody of the same uid read secrets | `a_process_of_the_same_uid…` | trust.rs, frames.rs |
//! | 3: four of five threads had no filter | `the_filter_is_on_every_thread` | sandbox.rs, posture.rs |
//! | 4: a second `init` destroyed the vault | `a_second_init_…` | interrupted.rs |
//! | 5: the trail convicted nobody | `an_audit_log_that_was_…`, and three below | cli.rs, crash.rs |
//! | 6: wrong passwords cost nothing | `wrong_passwords_are_…` | unlock.rs |
//! | 7: plaintext stayed after lock | `nothing_of_a_secret_stays_…` | memory.rs |
//! | 8: the policy was never read | `the_policy_is_read_…` | policy.rs |
//! | 9: values could be swapped | `values_that_were_swapped_…` | the vault's tampering.rs |

#[path = "../../audit-log/tests/common/forged.rs"]
#[allow(dead_code, clippy::unwrap_used, reason = "helpers of tests, of which we use a part")]
mod forged;

use std::fs;
use std::io::Write;
use std::os::unix::fs::chown;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use audit_log::{Hash, HashAlgorithm, Manifest, Operation, Outcome, parse_line};
use forged::Forged;
use ipc::Identity;
use ipc::factors::Cause;
use key_hierarchy::{FactorSecret, Metadata, OpenError, Pieces, WorkingMemory};
use site_config::{AuthMode, Daemon};
use testbed::hunt::{Hunt, random_text};
use testbed::{Host, PASSWORD, ask, binary, factors, is_root_or_skip};
use tlog::{PublicKeys, Role, SigningKeys};

/// Fault 1: of a profile that takes all factors, one had the master key.
#[test]
fn one_of_all_factors_opens_nothing() {
    let config = factors::auth(&factors::mode(AuthMode::All));
    let passwords = [("alice", "the first password"), ("bob", "the second password")];
    let host = Host::builder().config(&config).with_passwords(&passwords);
    let mut client = host.client();
    for (factor, (_, text)) in (1..).zip(passwords) {
        let progress = factors::submit(&mut client, Cause::Unlock, factor, text).expect("right");
        assert_eq!(progress.missing.len(), 1);
        assert!(ask::get(&mut client, "name").is_err(), "it is locked");
        factors::lock(&mut client).expect("locked");
    }
    // Nor for somebody who has the disk as well.
    let directory = host.layout.secrets_state().join("installation");
    let file = fs::read(directory.join("profiles/default/unlock.json")).expect("metadata");
    let metadata = Metadata::parse_any(&file).expect("metadata");
    for (factor, (_, text)) in metadata.enrolment().factors().iter().zip(passwords) {
        let derivation = metadata.enrolment().derivation();
        let mut memory = WorkingMemory::default();
        let secret =
            FactorSecret::new(&factor.parameters, derivation, text.as_bytes(), &mut memory);
        let piece = metadata.piece(factor.id, &secret.expect("stretched")).expect("right");
        let pieces = Pieces::from([(factor.id, piece.expect("a piece"))]);
        assert!(matches!(metadata.open(&pieces), Err(OpenError::Incomplete)));
    }
}

/// Fault 2.
#[test]
fn a_process_of_the_same_uid_without_a_known_key_gets_nothing() {
    let host = Host::unlocked();
    let file = host.dir().join("unknown.key");
    let ask = |key: &[u8]| {
        fs::write(&file, key).expect("a key file");
        let server = host.expected(Daemon::Secrets);
        let hex: String = server.key.iter().map(|byte| format!("{byte:02x}")).collect();
        let mut command = Command::new(binary("peer-tool"));
        command.arg(host.layout.secrets_socket()).arg(&file).arg(hex).arg(server.uid.to_string());
        if host.users.are_separate() {
            let uid = host.users.operator;
            chown(&file, Some(uid), Some(uid)).expect("chown");
            command.uid(uid).gid(uid);
        }
        let output = command.output().expect("it runs");
        String::from_utf8_lossy(&output.stdout).trim().to_owned()
    };
    let known = fs::read(host.layout.operator_key().expect("a key")).expect("it is readable");
    assert_eq!(ask(&known), "answered");
    let unknown = Identity::generate().expect("random bytes");
    assert_eq!(ask(unknown.private().expose()), "the daemon refused this key");
    // The door is shut first, and then it is written down.
    let deadline = Instant::now() + Duration::from_secs(10);
    while host.refusals().is_empty() && Instant::now() < deadline {
        std::thread::sleep(Duration::from_millis(10));
    }
    let refusals = host.refusals();
    assert_eq!(refusals.len(), 1);
    let actor = refusals[0].actor.as_ref().expect("who it was");
    assert_eq!((actor.uid, actor.key), (host.users.operator, Some(Hash(*unknown.public()))));
}

/// Fault 3.
#[test]
fn the_filter_is_on_every_thread() {
    if !is_root_or_skip("looking at the processes of other users") {
        return;
    }
    let host = Host::started();
    for daemon in [Daemon::Audit, Daemon::Secrets] {
        let tasks = fs::read_dir(format!("/proc/{}/task", host.pid(daemon))).expect("its threads");
        let filtered: Vec<bool> = tasks
            .flatten()
            .map(|task| fs::read_to_string(task.path().join("status")).expect("a status"))
            .map(|status| status.contains("\nSeccomp:\t2\n"))
            .collect();
        assert!(filtered.len() > 4 && filtered.iter().all(|yes| *yes), "{filtered:?}");
    }
}

/// Fault 4.
#[test]
fn a_second_init_leaves_a_locked_vault_as_it_is() {
    let host = Host::unlocked();
    host.sesame(["secret", "set", "name"]).stdin("value").succeed();
    host.sesame(["lock"]).succeed();
    host.sesame(["init", "--password-stdin"]).stdin("another password").fail(9);
    host.unlock();
    assert_eq!(host.sesame(["secret", "get", "name"]).run().stdout, b"value");
}

/// An exported trail of a host with something in it, and its head as a person noted it.
fn exported() -> (Host, tempfile::TempDir, PathBuf, String) {
    let host = Host::unlocked();
    host.sesame(["secret", "set", "name"]).stdin("value").succeed();
    host.sesame(["secret", "get", "name"]).succeed();
    host.sesame(["lock"]).succeed();
    let stick = tempfile::tempdir_in("/tmp").expect("a directory");
    let operator = host.users.operator;
    chown(stick.path(), Some(operator), Some(operator)).expect("chown");
    let bundle = stick.path().join("bundle");
    host.sesame(["audit", "export"]).args([&bundle]).succeed();
    let manifest = fs::read(bundle.join("manifest.json")).expect("a manifest");
    let manifest: serde_json::Value = serde_json::from_slice(&manifest).expect("JSON");
    let head = format!("{}:{}", manifest["entries"], manifest["root"].as_str().expect("a hash"));
    (host, stick, bundle, head)
}

/// Exit code and verdict of `sesame audit verify --path`, by the forger's own user: it needs nothing.
fn verdict(host: &Host, bundle: &Path, more: &[&str]) -> (i32, String) {
    let command = host.sesame(["--json", "audit", "verify", "--path"]).args([bundle]).args(more);
    let outcome = command.user(testbed::Users::only_me().operator).run();
    let report: serde_json::Value = serde_json::from_str(&outcome.text()).unwrap_or_default();
    (outcome.code, report["verdict"].as_str().unwrap_or_default().to_owned())
}

fn lines(bundle: &Path) -> (PathBuf, Vec<String>) {
    // A short trail is one file.
    let file = bundle.join("trail/segment-00000000000000000000.jsonl");
    let text = fs::read_to_string(&file).expect("it is text");
    (file, text.split_inclusive('\n').map(str::to_owned).collect())
}

/// Fault 5.
#[test]
fn an_audit_log_that_was_cut_edited_or_lost_is_told_from_a_sound_one() {
    type Forgery = (i32, &'static str, fn(&mut Vec<String>));
    const FORGERIES: [Forgery; 6] = [
        (0, "sound", |_| {}),
        (13, "truncated", |lines| lines.truncate(lines.len() - 2)),
        (10, "edited", |lines| lines[4] = lines[4].replace("default", "defauIt")),
        (11, "deleted", |lines| drop(lines.remove(4))),
        (12, "reordered", |lines| lines.swap(4, 5)),
        (18, "malformed", |lines| lines.insert(4, "nothing of ours\n".to_owned())),
    ];
    let (host, _stick, bundle, head) = exported();
    let (file, original) = lines(&bundle);
    for (code, name, forge) in FORGERIES {
        let mut lines = original.clone();
        forge(&mut lines);
        fs::write(&file, lines.concat()).expect("forged");
        assert_eq!(verdict(&host, &bundle, &[]), (code, name.to_owned()));
        let code = verdict(&host, &bundle, &["--expect-head", &head]).0;
        assert_eq!(code == 0, name == "sound", "{name}");
    }
    fs::remove_dir_all(bundle.join("trail")).expect("removed");
    assert_eq!(verdict(&host, &bundle, &[]), (16, "absent".to_owned()));
    for file in ["manifest.json", "public-key.txt"] {
        fs::remove_file(bundle.join(file)).expect("removed");
    }
    assert_eq!(verdict(&host, &bundle, &[]), (16, "absent".to_owned()));
}

/// Fault 5: with full knowledge of the format, all hashes and the manifest made anew, and a signing
/// key that somebody else has taken for the trail's.
#[test]
fn an_audit_log_that_was_hashed_anew_is_caught_by_its_key_and_by_a_head_on_paper() {
    let (host, stick, bundle, head) = exported();
    let key = stick.path().join("the-trails-key");
    fs::write(&key, host.sesame(["audit", "key"]).succeed()).expect("a key file");
    let key = ["--key", key.to_str().expect("UTF-8")];
    let paper = ["--expect-head", &head];
    let public: PublicKeys = fs::read_to_string(key[1]).expect("it").parse().expect("keys");
    let keys = SigningKeys::generate(public.name().clone(), Role::Log).expect("random bytes");
    let forge = |keep: &dyn Fn(&str) -> bool, with_a_key: bool| {
        let mut forged = Forged::load(&bundle.join("trail"));
        let text = |line: &[u8]| String::from_utf8(line.to_vec()).expect("text");
        forged.lines.retain(|(_, line)| keep(&text(line)));
        for (_, line) in &mut forged.lines {
            *line = text(line).replace("\"subject\":\"name\"", "\"subject\":\"mane\"").into_bytes();
        }
        if with_a_key {
            forged.replace_keys(0, &public, &keys.public().clone());
        }
        forged.hash_anew(HashAlgorithm::Blake3, 0);
        if with_a_key {
            forged.checkpoints.clear();
            let announced: Vec<u64> = (1..)
                .zip(&forged.lines)
                .filter(|(_, (_, line))| {
                    parse_line(line).expect("an entry").operation.announces_checkpoint()
                })
                .map(|(size, _)| size)
                .collect();
            announced.into_iter().for_each(|size| forged.sign(size, &keys));
        }
        store(&forged, stick.path(), &bundle)
    };
    let sound = (0, "sound".to_owned());
    let all = |_: &str| true;
    let unsigned = forge(&all, false);
    assert_eq!(verdict(&host, &unsigned, &[]), (15, "rewritten".to_owned()));
    let same_length = forge(&all, true);
    assert_eq!(verdict(&host, &same_length, &[]), sound, "nothing in it contradicts it");
    assert_eq!(verdict(&host, &same_length, &key), (17, "signature".to_owned()));
    assert_eq!(verdict(&host, &same_length, &paper), (15, "rewritten".to_owned()));
    let shorter = forge(&|line| !line.contains("\"unlock\""), true);
    assert_eq!(verdict(&host, &shorter, &[]), sound);
    assert_eq!(verdict(&host, &shorter, &key), (17, "signature".to_owned()));
    assert_eq!(verdict(&host, &shorter, &paper), (14, "rolled-back".to_owned()));
    assert_eq!(verdict(&host, &bundle, &paper), sound);
    assert_eq!(verdict(&host, &bundle, &key), sound);
}

/// A bundle of the forged files, with a manifest that fits them.
fn store(forged: &Forged, place: &Path, like: &Path) -> PathBuf {
    let manifest = fs::read(like.join("manifest.json")).expect("a manifest");
    let manifest: Manifest = serde_json::from_slice(&manifest).expect("JSON");
    let manifest = forged.manifest(&manifest);
    let bundle = place.join("forged");
    let _ = fs::remove_dir_all(&bundle);
    fs::create_dir_all(bundle.join("trail")).expect("mkdir");
    forged.store(&bundle.join("trail"));
    let json = serde_json::to_vec_pretty(&manifest).expect("JSON");
    fs::write(bundle.join("manifest.json"), json).expect("written");
    let genesis = parse_line(&forged.lines[0].1).expect("an entry").detail;
    let key = format!("{}\n{}\n", genesis["key_ed25519"], genesis["key_ml_dsa_44"]);
    fs::write(bundle.join("public-key.txt"), key).expect("written");
    bundle
}

/// Fault 5: unlock and lock were not in it.
#[test]
fn unlock_use_and_lock_are_in_the_trail_before_they_are_told() {
    let host = Host::unlocked();
    host.sesame(["secret", "set", "name"]).stdin("value").succeed();
    host.sesame(["lock"]).succeed();
    let told: Vec<(Operation, Outcome)> =
        host.entries().iter().map(|entry| (entry.operation, entry.outcome)).collect();
    let expected = [
        (Operation::Genesis, Outcome::Done),
        (Operation::DaemonStart, Outcome::Done),
        (Operation::DaemonStart, Outcome::Done),
        (Operation::Init, Outcome::Authorised),
        (Operation::Init, Outcome::Done),
        (Operation::FactorTry, Outcome::Authorised),
        (Operation::FactorTry, Outcome::Done),
        (Operation::Unlock, Outcome::Authorised),
        (Operation::Unlock, Outcome::Done),
        (Operation::SecretSet, Outcome::Authorised),
        (Operation::Lock, Outcome::Done),
        (Operation::AuditSeal, Outcome::Done),
    ];
    assert_eq!(told, expected);
}

/// Fault 5: a torn last line broke it for ever.
#[test]
fn a_torn_last_line_is_repaired_and_the_repair_is_recorded() {
    let mut host = Host::initialised();
    host.stop();
    let trail = fs::read_dir(host.layout.audit_state().join("trail")).expect("a trail").flatten();
    let mut segments: Vec<PathBuf> = trail.map(|entry| entry.path()).collect();
    segments.retain(|path| path.extension().is_some_and(|end| end == "jsonl"));
    segments.sort();
    let last = segments.last().expect("a segment");
    let whole = host.trail_lines().len();
    let mut file = fs::File::options().append(true).open(last).expect("it opens");
    file.write_all(b"{\"seq\":9,\"time\":\"20").expect("torn");
    drop(file);
    host.start();
    host.unlock();
    let repairs = host.entries_of(Operation::Repair, Outcome::Done);
    assert_eq!(repairs.len(), 1);
    assert_eq!(repairs[0].seq as usize, whole);
    host.sesame(["audit", "verify"]).succeed();
}

/// Fault 6.
#[test]
fn wrong_passwords_are_recorded_and_slowed_down() {
    let config = "unlock.free_attempts = 1\nunlock.backoff_base_seconds = 60\n";
    let mut host = Host::builder().config(config).provision();
    host.start();
    host.init();
    let wrong = || host.sesame(["unlock", "--password-stdin"]).stdin("not the password").run().code;
    assert_eq!([wrong(), wrong(), wrong()], [6, 6, 7]);
    assert_eq!(host.entries_of(Operation::FactorTry, Outcome::Failed).len(), 2);
    assert_eq!(host.entries_of(Operation::FactorTry, Outcome::Refused).len(), 1);
}

/// Fault 7.
#[test]
fn nothing_of_a_secret_stays_in_ordinary_memory() {
    if !is_root_or_skip("reading another process's memory") {
        return;
    }
    let host = Host::unlocked();
    let value = random_text(64);
    host.sesame(["secret", "set", "name"]).stdin(value.as_str()).succeed();
    host.sesame(["secret", "get", "name"]).succeed();
    host.sesame(["lock"]).succeed();
    let found = Hunt::default().with("the value", value.as_bytes()).finds(&host);
    assert_eq!(found, Vec::<String>::new());
}

/// Fault 8.
#[test]
fn the_policy_is_read_and_beats_the_configuration() {
    let mut host = Host::builder().config("crypto.kdf = \"argon2id\"\n").provision();
    let policy = "[[policy]]\nkey = \"crypto.kdf\"\nvalue = \"pbkdf2-sha256\"\nsource = \"us\"\n";
    fs::write(host.layout.policy_file(), policy).expect("policy.toml");
    let said = host.try_start(Daemon::Secrets).expect_err("no start");
    assert!(said.starts_with("78: "), "{said}");
    for word in ["crypto.kdf", "\"argon2id\"", "\"pbkdf2-sha256\"", "source: us"] {
        assert!(said.contains(word), "{said}");
    }
    fs::write(host.layout.config_file(), "").expect("config.toml");
    host.start();
    host.init();
    let keys = host.profile_keys("default", PASSWORD);
    let parameters = format!("{:?}", keys.metadata.enrolment().factors()[0].parameters);
    assert!(parameters.contains("Pbkdf2Sha256"), "{parameters}");
}

/// Fault 9: by somebody who has the disk, the password, and so the key of the database.
#[test]
fn values_that_were_swapped_in_the_database_never_come_out() {
    let mut host = Host::unlocked();
    for (name, value) in [("staging", "harmless"), ("production", "precious"), ("other", "as is")] {
        host.sesame(["secret", "set", name]).stdin(value).succeed();
    }
    host.stop();
    let file = host.layout.secrets_state().join("installation/profiles/default/vault.db");
    let key = host.profile_keys("default", PASSWORD).database;
    let digits: String = key.expose().iter().map(|byte| format!("{byte:02x}")).collect();
    let database = rusqlite::Connection::open(&file).expect("it opens");
    let swapped = database.execute_batch(&format!(
        "PRAGMA key = \"x'{digits}'\";
         CREATE TEMP TABLE old AS SELECT * FROM secret;
         UPDATE secret SET (nonce, sealed) = (SELECT nonce, sealed FROM old WHERE name =
             CASE secret.name WHEN 'staging' THEN 'production' ELSE 'staging' END)
         WHERE name IN ('staging', 'production');"
    ));
    swapped.expect("who has the key may write");
    drop(database);
    host.start();
    host.unlock();
    for name in ["staging", "production"] {
        let outcome = host.sesame(["secret", "get", name]).run();
        assert_eq!((outcome.code, outcome.stdout), (26, Vec::new()), "{name}");
    }
    assert_eq!(host.sesame(["secret", "get", "other"]).run().stdout, b"as is");
    assert_eq!(host.entries_of(Operation::SecretGet, Outcome::Failed).len(), 2);
}
