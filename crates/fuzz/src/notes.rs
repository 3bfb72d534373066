//! What a log signs and publishes: notes, checkpoints, keys and proofs.

use std::sync::LazyLock;

use audit_log::verify_proof;
use tlog::{Note, PublicKeys, SignedCheckpoint, TlogProof, VerifierKey};

use crate::audit_trail::{KEYS, TRAILS, WITNESS, cosigned};
use crate::shape::shape;

static NOTES: LazyLock<Vec<Vec<u8>>> = LazyLock::new(|| {
    let mut samples = vec![b"A text.\n\nOf two parts.\n\n\xe2\x80\x94 name AAAAAAAA\n".to_vec()];
    samples.extend(TRAILS.iter().map(cosigned));
    samples
});

/// A note, and so a checkpoint, has one spelling.
///
/// # Panics
/// When it has another one, or when a changed checkpoint has the signatures that it should.
pub fn notes(orders: &[u8]) {
    let bytes = shape(&NOTES, orders);
    if let Ok(note) = Note::parse(&bytes) {
        assert_eq!(note.to_string().as_bytes(), bytes, "a second spelling");
    }
    let Ok(signed) = SignedCheckpoint::parse(&bytes) else { return };
    assert_eq!(signed.to_string().as_bytes(), bytes, "a second spelling");
    if signed.verify(KEYS.public()).is_ok() {
        let is_known = |note| SignedCheckpoint::parse(note).map(|known| known.checkpoint().clone());
        let known = NOTES.iter().any(|note| is_known(note).as_ref() == Ok(signed.checkpoint()));
        assert!(known, "signed, and not by us");
    }
    let _ = signed.cosigned_by(WITNESS.public());
}

static KEY_FILES: LazyLock<Vec<Vec<u8>>> = LazyLock::new(|| {
    [&*KEYS, &*WITNESS].map(|keys| keys.public().to_string().into_bytes()).to_vec()
});

/// A key has one spelling, and a key file at least means the same when it is written again.
///
/// # Panics
/// When they don't.
pub fn keys(orders: &[u8]) {
    let bytes = shape(&KEY_FILES, orders);
    for line in String::from_utf8_lossy(&bytes).lines() {
        if let Ok(key) = line.parse::<VerifierKey>() {
            assert_eq!(key.to_string(), line, "a second spelling");
        }
    }
    if let Ok(keys) = PublicKeys::parse(&bytes) {
        assert_eq!(keys.to_string().parse(), Ok(keys));
    }
}

static PROOFS: LazyLock<Vec<Vec<u8>>> =
    LazyLock::new(|| TRAILS.iter().map(|trail| trail.proof.clone()).collect());

/// A proof has one spelling, and proves what was in the trail.
///
/// # Panics
/// When it has another one, or proves something else.
pub fn proofs(orders: &[u8]) {
    let bytes = shape(&PROOFS, orders);
    let Ok(proof) = TlogProof::parse(&bytes) else { return };
    assert_eq!(proof.to_string().as_bytes(), bytes, "a second spelling");
    let witnesses = [WITNESS.public().clone()];
    let Ok(proven) = verify_proof(&proof, KEYS.public(), &witnesses, 0) else { return };
    let mut line = serde_json::to_vec(&proven.entry).expect("plain data");
    line.push(b'\n');
    let is_in = |lines: &[u8]| lines.split_inclusive(|byte| *byte == b'\n').any(|it| it == line);
    assert!(TRAILS.iter().any(|trail| is_in(&trail.lines)), "proven, and not written by us");
}
