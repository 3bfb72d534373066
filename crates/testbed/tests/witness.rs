//! Witnesses: people with machines of their own, who sign what they have seen of a trail and never
//! sign anything that contradicts it.

#![allow(clippy::unwrap_used, reason = "helpers of tests, which may")]

#[path = "common/stick.rs"]
mod stick;

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use stick::Stick;
use testbed::{Host, Outcome};

/// Somebody with a machine on which no daemon runs, and their public key.
struct Witness {
    machine: Host,
    name: &'static str,
    key: PathBuf,
}

impl Witness {
    fn new(stick: &Stick, name: &'static str) -> Self {
        let machine = Host::builder().provision();
        let key = machine.sesame(["audit", "witness", name]).succeed();
        let path = stick.path(&name.replace('/', "-"));
        fs::write(&path, key).unwrap();
        Self { machine, name, key: path }
    }

    fn cosign(&self, bundle: &Path, key: Option<&Path>) -> Outcome {
        let command = self.machine.sesame(["audit", "cosign"]).args([bundle]);
        match key {
            Some(key) => command.args(["--key"]).args([key]).run(),
            None => command.run(),
        }
    }

    fn key(&self) -> &str {
        self.key.to_str().unwrap()
    }
}

#[track_caller]
fn assert_code(outcome: &Outcome, code: i32) -> String {
    assert_eq!(outcome.code, code, "{}{}", outcome.text(), outcome.error());
    outcome.error()
}

/// A host with a trail, its key in a file for everybody, and two witnesses.
fn host() -> (Host, Stick, PathBuf, [Witness; 2]) {
    let host = Host::unlocked();
    host.sesame(["secret", "set", "a"]).stdin("value").succeed();
    let stick = Stick::new(&host);
    let key = stick.path("key");
    fs::copy(host.save_key("key"), &key).unwrap();
    let witnesses = ["example.org/alice", "example.org/bob"].map(|name| Witness::new(&stick, name));
    (host, stick, key, witnesses)
}

#[test]
fn two_witnesses_cosign_and_a_verifier_asks_for_as_many_as_it_likes() {
    let (host, stick, key, [alice, bob]) = host();
    let bundle = stick.export(&host, "bundle");
    let verify = |k: &str| {
        let both = ["--witness", alice.key(), "--witness", bob.key(), "--witnesses-required", k];
        stick.verify(&bundle, &both)
    };
    assert_eq!([verify("1").code, verify("2").code], [17, 17]);
    let said = alice.cosign(&bundle, Some(&key));
    assert_code(&said, 0);
    assert!(said.text().contains(alice.name), "{}", said.text());
    assert_eq!([verify("1").code, verify("2").code], [0, 17]);
    assert_code(&bob.cosign(&bundle, Some(&key)), 0);
    let sound = verify("2");
    assert_code(&sound, 0);
    for witness in [&alice, &bob] {
        assert!(sound.text().contains(witness.name), "{}", sound.text());
    }
    // The same person twice is one witness.
    let twice = ["--witness", alice.key(), "--witness", alice.key()];
    assert_code(&stick.verify(&bundle, &twice), 2);
    assert_code(
        &stick.verify(&bundle, &["--witness", alice.key(), "--witnesses-required", "2"]),
        2,
    );
    // Once more changes nothing.
    let before = testbed::snapshot(&bundle);
    assert_code(&alice.cosign(&bundle, None), 0);
    assert!(testbed::snapshot(&bundle) == before, "a second time changed a file");
    // Nobody else may read the key, and no daemon's socket is needed.
    let secret = alice.machine.layout.operator_state().unwrap().join("witness/key");
    assert_eq!(fs::metadata(secret).unwrap().permissions().mode() & 0o777, 0o600);
}

#[test]
fn a_witness_follows_a_trail_that_grows_and_changes_its_key() {
    let (host, stick, key, [alice, _]) = host();
    assert_code(&alice.cosign(&stick.export(&host, "one"), Some(&key)), 0);
    host.sesame(["secret", "set", "b"]).stdin("value").succeed();
    assert_code(&alice.cosign(&stick.export(&host, "two"), None), 0);
    host.sesame(["audit", "rotate-key"]).succeed();
    let three = stick.export(&host, "three");
    assert_code(&alice.cosign(&three, None), 0);
    // Who has the first key and trusts alice needs nothing else.
    let pinned = ["--key", key.to_str().unwrap(), "--witness", alice.key(), "--require-sealed"];
    assert_code(&stick.verify(&three, &pinned), 0);
}

#[test]
fn the_key_comes_from_somebody_the_first_time_and_can_not_be_exchanged_later() {
    let (host, stick, key, [alice, _]) = host();
    let bundle = stick.export(&host, "bundle");
    let before = testbed::snapshot(&bundle);
    let said = assert_code(&alice.cosign(&bundle, None), 2);
    assert!(said.contains("give its public key with --key FILE"), "{said}");
    let other = Host::initialised();
    let others = stick.path("others-key");
    fs::copy(other.save_key("key"), &others).unwrap();
    assert_code(&alice.cosign(&bundle, Some(&others)), 17);
    assert!(testbed::snapshot(&bundle) == before, "it was signed all the same");

    assert_code(&alice.cosign(&bundle, Some(&key)), 0);
    host.sesame(["audit", "rotate-key"]).succeed();
    let next = stick.path("next-key");
    fs::copy(host.save_key("next"), &next).unwrap();
    let later = stick.export(&host, "later");
    let said = assert_code(&alice.cosign(&later, Some(&next)), 17);
    assert!(said.contains("Leave --key out"), "{said}");
    assert_code(&alice.cosign(&later, None), 0);
}

#[test]
fn what_a_witness_has_seen_can_not_be_taken_back() {
    let (host, stick, key, [alice, bob]) = host();
    let older = stick.export(&host, "older");
    host.sesame(["secret", "set", "b"]).stdin("value").succeed();
    let newer = stick.export(&host, "newer");
    assert_code(&alice.cosign(&newer, Some(&key)), 0);
    let said = assert_code(&alice.cosign(&older, None), 14);
    assert!(!said.is_empty());
    assert_eq!(stick.verify(&older, &["--witness", alice.key()]).code, 17, "nothing was signed");
    // Somebody who has seen nothing of it can't know.
    assert_code(&bob.cosign(&older, Some(&key)), 0);
    assert_code(&alice.cosign(&newer, None), 0);
}

/// The disk is put back to what it was last week, and the trail goes on from there.
#[test]
fn a_history_that_forked_is_signed_on_one_side_only() {
    let (mut host, stick, key, [alice, bob]) = host();
    host.stop();
    let state = host.layout.audit_state().to_owned();
    let backup = host.dir().join("backup");
    let copy = |from: &Path, to: &Path| {
        assert!(Command::new("cp").arg("-a").args([from, to]).status().unwrap().success());
    };
    copy(&state, &backup);
    host.start();
    host.unlock();
    host.sesame(["secret", "set", "told"]).stdin("value").succeed();
    let told = stick.export(&host, "told");
    assert_code(&alice.cosign(&told, Some(&key)), 0);

    host.stop();
    fs::remove_dir_all(&state).unwrap();
    copy(&backup, &state);
    host.start();
    host.unlock();
    for name in ["other", "and", "more"] {
        host.sesame(["secret", "set", name]).stdin("value").succeed();
    }
    let other = stick.export(&host, "other");
    let pinned = ["--key", key.to_str().unwrap(), "--require-sealed"];
    assert_code(&stick.verify(&other, &pinned), 0);
    let said = assert_code(&alice.cosign(&other, None), 15);
    assert!(said.contains("Nothing was signed"), "{said}");
    assert_eq!(stick.verify(&other, &["--witness", alice.key()]).code, 17);
    // Who trusts bob alone, who came too late, is deceived; who asks for both is not.
    assert_code(&bob.cosign(&other, Some(&key)), 0);
    let both = ["--witness", alice.key(), "--witness", bob.key()];
    assert_eq!(stick.verify(&other, &both[2..]).code, 0);
    assert_eq!(stick.verify(&other, &both).code, 17);
    // A head on paper shows it too.
    let manifest = fs::read(told.join("manifest.json")).unwrap();
    let manifest: serde_json::Value = serde_json::from_slice(&manifest).unwrap();
    let head = format!("{}:{}", manifest["entries"], manifest["root"].as_str().unwrap());
    assert_eq!(stick.verify(&other, &["--expect-head", &head]).code, 15);
}

#[test]
fn what_can_not_be_cosigned_is_left_as_it_is() {
    let (host, stick, key, [alice, _]) = host();
    let tar = stick.export(&host, "bundle.tar");
    let said = assert_code(&alice.cosign(&tar, Some(&key)), 2);
    assert!(said.contains("unpack it first"), "{said}");
    let bundle = stick.export(&host, "bundle");
    let segment = bundle.join("trail/segment-00000000000000000000.jsonl");
    let text = fs::read_to_string(&segment).unwrap();
    fs::write(&segment, text.replacen("\"subject\":\"a\"", "\"subject\":\"b\"", 1)).unwrap();
    let before = testbed::snapshot(&bundle);
    assert_code(&alice.cosign(&bundle, Some(&key)), 10);
    assert_code(&alice.cosign(&stick.path("nothing"), Some(&key)), 16);
    assert!(testbed::snapshot(&bundle) == before, "a file was changed");
}

/// Somebody may count on the key: it is never made anew.
#[test]
fn a_lost_public_half_is_written_again_and_the_key_stays() {
    let (_host, stick, _key, [alice, _]) = host();
    let state = alice.machine.layout.operator_state().unwrap().join("witness");
    let before = fs::read(state.join("key")).unwrap();
    fs::remove_file(state.join("public-key.txt")).unwrap();
    let shown = alice.machine.sesame(["audit", "witness", alice.name]).succeed();
    assert_eq!(shown, fs::read_to_string(stick.path("example.org-alice")).unwrap());
    assert_eq!(fs::read(state.join("key")).unwrap(), before);
    let other = alice.machine.sesame(["audit", "witness", "example.org/eve"]).run();
    assert_code(&other, 9);
    assert_eq!(fs::read(state.join("key")).unwrap(), before);
}
