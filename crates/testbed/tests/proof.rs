//! A proof shows one entry to somebody who sees no other, live and from an export.

#![allow(clippy::unwrap_used, reason = "helpers of tests, which may")]

#[path = "common/stick.rs"]
mod stick;

use std::fs;
use std::path::Path;

use stick::Stick;
use testbed::{Host, Outcome};

fn prove(host: &Host, seq: usize, more: &[&str], proof: &Path) -> Outcome {
    let seq = seq.to_string();
    let args = [&["audit", "prove", &seq, "--output", proof.to_str().unwrap()], more].concat();
    host.sesame(args).run()
}

fn verify(stick: &Stick, proof: &Path, key: &Path) -> Outcome {
    let [proof, key] = [proof, key].map(|path| path.to_str().unwrap());
    stick.elsewhere(&["verify-proof", proof, "--key", key])
}

/// Each entry that is sealed has a proof, which shows this entry and no other.
#[track_caller]
fn assert_proven(host: &Host, stick: &Stick, key: &Path, more: &[&str], name: &str) {
    let entries = host.entries();
    for seq in [0, 1, entries.len() / 2, *host.checkpoints().last().unwrap() as usize - 1] {
        let proof = stick.path(&format!("{name}-{seq}"));
        let made = prove(host, seq, more, &proof);
        assert_eq!(made.code, 0, "{seq}: {}", made.error());
        let shown = verify(stick, &proof, key);
        assert_eq!(shown.code, 0, "{name} {seq}: {}", shown.error());
        let entry = &entries[seq];
        let operation = entry.operation.to_string();
        assert!(
            shown.text().contains(&operation) && shown.text().contains(&entry.time.to_string())
        );
        // Nothing of the others but hashes.
        let text = fs::read_to_string(&proof).unwrap();
        assert!(!text.contains("\"seq\":"), "an entry is in it as it is: {text}");
        assert_eq!(prove(host, seq, more, &proof).code, 9, "what is there is not touched");
    }
}

fn host() -> (Host, Stick) {
    let host = Host::unlocked();
    for name in ["a", "b", "c", "d", "e"] {
        host.sesame(["secret", "set", name]).stdin("value").succeed();
    }
    let stick = Stick::new(&host);
    (host, stick)
}

#[test]
fn an_entry_is_proven_live_and_from_an_export_before_and_after_a_rotation() {
    let (host, stick) = host();
    let first = host.save_key("first");
    let last = host.entries().len() - 1;
    let refused = prove(&host, last, &[], &stick.path("unsealed"));
    let absent = prove(&host, last + 1, &[], &stick.path("absent"));
    assert_eq!(absent.code, 8, "{}", absent.error());
    assert_eq!(refused.code, 19, "{}", refused.error());
    assert!(refused.error().contains("sesame audit seal"), "{}", refused.error());
    host.sesame(["audit", "seal"]).succeed();
    assert_proven(&host, &stick, &first, &[], "live");
    let bundle = stick.export(&host, "bundle");
    let from = ["--path", bundle.to_str().unwrap()];
    let size = host.checkpoints().last().unwrap() - 1;
    let sealed = stick.path("from-export");
    assert_eq!(prove(&host, size as usize, &from, &sealed).code, 0);
    assert_eq!(verify(&stick, &sealed, &first).code, 0);

    // At once: what rotate-key shows verifies all that there is.
    host.sesame(["audit", "rotate-key"]).succeed();
    let second = host.save_key("second");
    let second_key = second.to_str().unwrap();
    host.sesame(["audit", "verify", "--require-sealed", "--key", second_key]).succeed();
    assert_proven(&host, &stick, &second, &[], "rotated");
    let tar = stick.export(&host, "bundle.tar");
    let proof = stick.path("from-tar");
    assert_eq!(prove(&host, 1, &["--path", tar.to_str().unwrap()], &proof).code, 0);
    assert_eq!(verify(&stick, &proof, &second).code, 0);
    // A proof has one checkpoint, and that one signer.
    assert_eq!(verify(&stick, &proof, &first).code, 17);
    assert_eq!(verify(&stick, &sealed, &first).code, 0, "an older one stays as good");
}

#[test]
fn a_proof_that_was_changed_proves_nothing() {
    let (host, stick) = host();
    let key = host.save_key("key");
    host.sesame(["audit", "seal"]).succeed();
    let proof = stick.path("proof");
    assert_eq!(prove(&host, 3, &[], &proof).code, 0);
    let whole = fs::read(&proof).unwrap();
    let forged = stick.path("forged");
    for at in (0..whole.len()).step_by(41) {
        let mut bytes = whole.clone();
        bytes[at] ^= 1;
        fs::write(&forged, bytes).unwrap();
        let code = verify(&stick, &forged, &key).code;
        assert!([10, 15, 17, 18].contains(&code), "byte {at}: exit code {code}");
    }
    for end in [0, 1, whole.len() / 2, whole.len() - 1] {
        fs::write(&forged, &whole[..end]).unwrap();
        let code = verify(&stick, &forged, &key).code;
        assert!([17, 18].contains(&code), "{end} bytes: exit code {code}");
    }
    let other = Host::initialised();
    assert_eq!(verify(&stick, &proof, &other.save_key("key")).code, 17);
}
