//! What a person and a program read when a command fails: each exit code, from a real situation.
//!
//! `INSTA_UPDATE=always cargo test -p testbed --test errors` writes the snapshot anew.

#[path = "common/bare.rs"]
mod bare;
#[path = "common/durations.rs"]
mod durations;
#[path = "common/redact.rs"]
mod redact;

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::{PermissionsExt, chown};

use bare::{bare, one_object, outcome};
use durations::without_durations;
use redact::redact;
use serde_json::json;
use site_config::{AuthMode, Daemon, Role};
use testbed::factors::{PATIENT, auth, mode};
use testbed::{Host, PASSWORD, Sesame};

/// Situations in which a command fails: each in text, and again with `--json`.
#[derive(Default)]
struct Errors {
    shown: String,
    codes: BTreeSet<i32>,
}

impl Errors {
    #[track_caller]
    fn case(&mut self, host: &Host, code: i32, make: impl Fn() -> Sesame) {
        let text = make().run();
        let args: Vec<String> = make()
            .into_command()
            .get_args()
            .skip(2)
            .map(|arg| arg.to_string_lossy().into_owned())
            .collect();
        assert_eq!(text.code, code, "{args:?}: {}{}", text.text(), text.error());
        let json = make().args(["--json"]).run();
        assert_eq!(json.code, code, "{args:?} --json: {}", json.error());
        let error = one_object(&json.stderr);
        let error = &error["error"];
        assert_eq!(error["exit_code"], code, "{args:?}");
        let name = error["code"].as_str().expect("a word");
        assert!(!error["message"].as_str().expect("a sentence").is_empty());
        assert!(json.stdout.is_empty() || one_object(&json.stdout).is_object());
        let said = redact(host, &text.error());
        self.shown.push_str(&format!("$ sesame {}\n", redact(host, &args.join(" "))));
        self.shown.push_str(&redact(host, &text.text()));
        self.shown.push_str(&format!("{said}[{code} {name}]\n\n"));
        self.codes.insert(code);
    }
}

#[test]
fn every_error_has_its_code_and_a_sentence_with_the_next_step() {
    let mut errors = Errors::default();

    let mut host = Host::builder().config("[unlock]\nfree_attempts = 10\n").provision();
    errors.case(&host, 3, || host.sesame(["status"]));
    host.start();
    errors.case(&host, 2, || host.sesame(["secret", "get"]));
    errors.case(&host, 23, || host.sesame(["unlock", "--password-stdin"]).stdin(PASSWORD));
    errors.case(&host, 23, || host.sesame(["audit", "head"]));
    errors.case(&host, 24, || host.sesame(["init", "--password-stdin"]).stdin("short"));
    errors.case(&host, 24, || host.sesame(["init", "--password-stdin"]).stdin(""));
    errors.case(&host, 24, || {
        host.sesame(["init", "--profile", "no/slash", "--password-stdin"]).stdin(PASSWORD)
    });
    host.init();
    errors.case(&host, 2, || host.sesame(["unlock", "--password-credential", "x"]));
    errors.case(&host, 9, || host.sesame(["init", "--password-stdin"]).stdin(PASSWORD));
    errors.case(&host, 5, || host.sesame(["secret", "get", "db/password"]));
    errors.case(&host, 5, || host.sesame(["profile", "activate", "default"]));
    errors.case(&host, 6, || host.sesame(["unlock", "--password-stdin"]).stdin("wrong password"));
    host.unlock();
    errors.case(&host, 8, || host.sesame(["secret", "get", "missing"]));
    errors.case(&host, 8, || host.sesame(["secret", "delete", "missing"]));
    errors.case(&host, 8, || host.sesame(["unlock", "--profile", "missing", "--password-stdin"]));
    errors.case(&host, 24, || host.sesame(["secret", "set", ""]).stdin("value"));
    errors.case(&host, 24, || host.sesame(["secret", "set", "big"]).stdin(vec![b'x'; 65537]));
    errors.case(&host, 9, || {
        host.sesame(["profile", "create", "default", "--password-stdin"]).stdin(PASSWORD)
    });
    errors.case(&host, 2, || host.sesame(["audit", "verify", "--expect-head", "12"]));
    errors.case(&host, 14, || host.sesame(["audit", "verify", "--expect-size", "9999"]));
    let other = format!("3:{}", "0".repeat(64));
    errors.case(&host, 15, || host.sesame(["audit", "verify", "--expect-head", &other]));
    errors.case(&host, 19, || host.sesame(["audit", "verify", "--require-sealed"]));
    let stranger = Host::initialised();
    let keys = ["of-another-trail", "of-a-witness"].map(|name| host.dir().join(name));
    fs::write(&keys[0], stranger.sesame(["audit", "key"]).succeed()).expect("a key");
    let witness = stranger.sesame(["audit", "witness", "example.org/alice"]).succeed();
    fs::write(&keys[1], witness).expect("a key");
    errors.case(&host, 17, || host.sesame(["audit", "verify", "--key"]).args([&keys[0]]));
    errors.case(&host, 2, || host.sesame(["audit", "verify", "--key"]).args([&keys[1]]));
    errors.case(&host, 2, || host.sesame(["audit", "verify", "--key", "/proc/version"]));
    errors.case(&host, 17, || host.sesame(["audit", "verify", "--witness"]).args([&keys[1]]));
    errors.case(&host, 8, || host.sesame(["audit", "prove", "9999"]));
    errors.case(&host, 9, || host.sesame(["audit", "export", "/proc"]));
    errors.case(&host, 25, || host.sesame(["audit", "export", "/proc/none"]));
    errors.case(&host, 18, || {
        host.sesame(["audit", "verify-proof", "/proc/version", "--key"]).args([&keys[0]])
    });
    errors.case(&host, 8, || host.sesame(["audit", "cosign", "/proc"]));
    errors.case(&host, 24, || host.sesame(["audit", "witness", "not a name"]));
    errors.case(&host, 24, || {
        host.sesame(["peer", "add", "x", "--uid", "1", "--key", "not hexadecimal"])
    });
    errors.case(&host, 25, || host.sesame(["man", "/proc/none"]));
    let unreadable = host.dir().join("closed");
    fs::create_dir(&unreadable).expect("mkdir");
    fs::set_permissions(&unreadable, fs::Permissions::from_mode(0o000)).expect("chmod");
    if host.users.are_separate() {
        errors.case(&host, 1, || host.sesame(["audit", "verify", "--path"]).args([&unreadable]));
        errors.case(&host, 4, || host.sesame(["status"]).user(host.users.stranger));
    }
    errors.case(&host, 2, || host.sesame(["policy", "lock", "crypto.kfd", "--source", "board"]));
    errors.case(&host, 2, || host.sesame(["policy", "lock", "crypto.kdf=md5", "--source", "x"]));
    host.kill(Daemon::Audit);
    errors.case(&host, 22, || host.sesame(["secret", "get", "db/password"]));
    errors.case(&host, 3, || host.sesame(["audit", "tail"]));

    let host = Host::builder().config("[unlock]\nfree_attempts = 0\nbackoff_base_seconds = 60\n");
    let mut host = host.provision();
    host.start();
    host.init();
    host.sesame(["unlock", "--password-stdin"]).stdin("wrong password").fail(6);
    errors.case(&host, 7, || host.sesame(["unlock", "--password-stdin"]).stdin(PASSWORD));
    let waiting = host.sesame(["--json", "unlock", "--password-stdin"]).stdin(PASSWORD).run();
    let seconds = &one_object(&waiting.stderr)["error"]["retry_after_seconds"];
    assert!((1..=61).contains(&seconds.as_u64().expect("seconds")), "{seconds}");
    // The sentence counts the seconds down.
    errors.shown = without_seconds(&errors.shown);

    let mut host = Host::builder().config("[memory]\nprotection = \"off\"\n").provision();
    host.start();
    errors.case(&host, 21, || host.sesame(["init", "--password-stdin"]).stdin(PASSWORD));

    let host = Host::builder().config("[crypto]\nkfd = \"argon2id\"\n").provision();
    errors.case(&host, 20, || host.sesame(["config", "check"]));
    fs::write(host.layout.config_file(), "[crypto]\nkdf = \"argon2id\"\n").expect("config.toml");
    let policy = "[[policy]]\nkey = \"crypto.kdf\"\nvalue = \"pbkdf2-sha256\"\nsource = \"NIST\"\n";
    fs::write(host.layout.policy_file(), policy).expect("policy.toml");
    errors.case(&host, 20, || host.sesame(["status"]));

    let mut host = Host::initialised();
    host.stop();
    damage_metadata(&host);
    host.start();
    errors.case(&host, 26, || host.sesame(["unlock", "--password-stdin"]).stdin(PASSWORD));

    let mut host = Host::initialised();
    host.stop();
    let auditor = ipc::Identity::generate().expect("random bytes");
    let key = host.layout.operator_key().expect("an operator");
    fs::write(key, auditor.private().expose()).expect("a key");
    host.start();
    errors.case(&host, 4, || host.sesame(["status"]));
    host.stop();
    host.add_peer("eve", Role::Auditor, host.users.operator, *auditor.public());
    host.start();
    errors.case(&host, 4, || host.sesame(["unlock", "--password-stdin"]).stdin(PASSWORD));

    let config = format!("{PATIENT}{}", auth(&mode(AuthMode::All)));
    let two = [("alice", PASSWORD), ("bob", "another password")];
    let host = Host::builder().config(&config).with_passwords(&two);
    let with = |args: &[&str], text: &str| {
        host.sesame(args.iter().copied().chain(["--password-stdin"])).stdin(text)
    };
    let revoke = ["factor", "revoke", "bob"];
    errors.case(&host, 29, || with(&revoke, PASSWORD));
    errors.case(&host, 27, || with(&["unlock"], PASSWORD));
    host.sesame(["factor", "cancel"]).succeed();
    errors.case(&host, 8, || with(&["factor", "approve", "--yes"], PASSWORD));
    errors.case(&host, 8, || with(&["factor", "revoke", "carol"], PASSWORD));
    errors.case(&host, 9, || with(&["factor", "enroll", "password", "--label", "bob"], PASSWORD));
    errors.case(&host, 6, || with(&["factor", "test", "bob"], PASSWORD));
    errors.case(&host, 24, || host.sesame(["share", "verify", "--share-stdin"]).stdin("words"));
    errors.case(&host, 5, || host.sesame(["vault", "backup", "/tmp/never-written"]));
    errors.case(&host, 2, || with(&["factor", "policy", "policy"], PASSWORD));

    let met: Vec<i32> = errors.codes.iter().copied().collect();
    let expected =
        [1, 2, 3, 4, 5, 6, 7, 8, 9, 14, 15, 17, 18, 19, 20, 21, 22, 23, 24, 25, 26, 27, 29];
    if host.users.are_separate() {
        assert_eq!(met, expected);
        insta::assert_snapshot!("errors", without_durations(&errors.shown));
    }
}

fn without_seconds(text: &str) -> String {
    let number = |word: &str| word.chars().all(|c| c.is_ascii_digit()) && !word.is_empty();
    let words: Vec<&str> = text.split(' ').collect();
    let shown = words.iter().enumerate().map(|(at, word)| {
        let before = at.checked_sub(1).map(|at| words[at]);
        if before == Some("in") && number(word) { "[n]" } else { word }
    });
    shown.collect::<Vec<_>>().join(" ")
}

/// Another salt in a profile's `unlock.json`, found wherever it lies.
fn damage_metadata(host: &Host) {
    let mut places = vec![host.layout.secrets_state().to_owned()];
    while let Some(place) = places.pop() {
        if place.is_dir() {
            places.extend(fs::read_dir(&place).expect("a directory").flatten().map(|e| e.path()));
        } else if place.file_name().is_some_and(|name| name == "unlock.json") {
            let text = fs::read_to_string(&place).expect("metadata");
            let damaged = text.replacen("\"mac\": \"", "\"mac\": \"0", 1);
            let end = damaged.rfind("\"\n").expect("the MAC comes last");
            fs::write(&place, format!("{}{}", &damaged[..end - 1], &damaged[end..]))
                .expect("write");
            return;
        }
    }
    panic!("no unlock.json");
}

/// Each verdict on a trail has its own code, in text and in JSON.
#[test]
fn a_forged_bundle_is_told_apart_by_its_exit_code() {
    let host = Host::unlocked();
    for name in ["a", "b", "c"] {
        host.sesame(["secret", "set", name]).stdin("value").succeed();
    }
    let place = tempfile::tempdir_in("/tmp").expect("a directory");
    chown(place.path(), Some(host.users.operator), None).expect("chown");
    let bundle = place.path().join("bundle");
    host.sesame(["audit", "export"]).args([&bundle]).succeed();
    let manifest = fs::read(bundle.join("manifest.json")).expect("a manifest");
    let manifest: serde_json::Value = serde_json::from_slice(&manifest).expect("JSON");
    let head = format!("{}:{}", manifest["entries"], manifest["root"].as_str().expect("a hash"));
    let verify = |more: &[&str]| {
        let path = bundle.to_str().expect("UTF-8");
        outcome(bare(&[&["audit", "verify", "--path", path], more].concat()))
    };
    let sound = verify(&["--expect-head", &head]);
    assert_eq!(sound.code, 0, "{}", sound.error());

    let trail = bundle.join("trail");
    let segment = trail.join("segment-00000000000000000000.jsonl");
    let checkpoint = trail.join("checkpoint-00000000000000000001.note");
    let text = fs::read_to_string(&segment).expect("readable");
    let lines: Vec<&str> = text.split_inclusive('\n').collect();
    let without = |at: usize| {
        let mut lines = lines.clone();
        lines.remove(at);
        lines.concat()
    };
    let mut swapped = lines.clone();
    swapped.swap(4, 5);
    let edited = text.replacen("\"subject\":\"b\"", "\"subject\":\"x\"", 1);
    for (code, word, forged) in [
        (10, "edited", edited),
        (11, "deleted", without(4)),
        (12, "reordered", swapped.concat()),
        (13, "truncated", without(lines.len() - 1)),
        (16, "absent", String::new()),
        (18, "malformed", text.replacen("{\"seq\":4", "{ \"seq\":4", 1)),
    ] {
        fs::write(&segment, forged).expect("write");
        let plain = verify(&[]);
        assert_eq!(plain.code, code, "{word}: {}{}", plain.text(), plain.error());
        let json = verify(&["--json"]);
        assert_eq!(json.code, code);
        let (result, error) = (one_object(&json.stdout), one_object(&json.stderr));
        assert_eq!((&result["verdict"], &error["error"]["code"]), (&json!(word), &json!(word)));
        assert!(plain.text().contains(result["sentence"].as_str().expect("a sentence")));
    }
    fs::write(&segment, &text).expect("write");
    let note = fs::read_to_string(&checkpoint).expect("readable");
    fs::write(&checkpoint, note.replacen("\n\n\u{2014} ", "\n\n\u{2014} x", 1)).expect("write");
    assert_eq!(verify(&[]).code, 17);
    fs::write(&checkpoint, &note).expect("write");
    assert_eq!(verify(&["--expect-size", "999"]).code, 14);
    assert_eq!(verify(&["--expect-head", &format!("2:{}", "1".repeat(64))]).code, 15);
    assert_eq!(verify(&[]).code, 0);
}
