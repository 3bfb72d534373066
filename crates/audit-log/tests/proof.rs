//! Proofs: each entry has one, and no other entry can borrow it.

#![allow(clippy::unwrap_used, reason = "a test that panics has failed")]

mod common;

use std::fs;
use std::path::Path;

use audit_log::{
    HashAlgorithm, ProofFault, ProveError, ProvenEntry, Prover, Verdict, Writer, parse_line,
    prove_offline, verify_proof,
};
use common::forged::{Forged, checkpoint_name, segment_name};
use common::{draft, export, keys, make_sealed, new_keys, seal};
use tlog::merkle::{InclusionBuilder, leaf_hash};
use tlog::{Role, SignedCheckpoint, SigningKeys, TlogProof};

fn verify(proof: &TlogProof) -> Result<ProvenEntry, ProofFault> {
    verify_proof(proof, keys().public(), &[], 0)
}

fn code(fault: &ProofFault) -> u8 {
    fault.verdict().exit_code()
}

/// A proof as a daemon makes it: from pages of lines, and its last checkpoint.
fn prove_live(writer: &Writer, seq: u64) -> TlogProof {
    let (_, note) = writer.read_checkpoint(writer.sealed() - 1).unwrap().unwrap();
    let mut prover = Prover::new(seq, SignedCheckpoint::parse(&note).unwrap()).unwrap();
    let mut from = 0;
    while !prover.is_complete() {
        let page = writer.read(from, 1000).unwrap();
        for line in page.split_inclusive(|byte| *byte == b'\n') {
            prover.push(line);
            from += 1;
        }
    }
    prover.finish().unwrap()
}

#[test]
fn every_entry_under_the_last_checkpoint_has_a_proof_wherever_the_trail_lies() {
    for hash in HashAlgorithm::ALL {
        let dir = tempfile::tempdir().unwrap();
        let writer = make_sealed(&dir.path().join("trail"), hash, 14, &[6, 13]);
        let [bundle, archive] = ["bundle", "bundle.tar"].map(|name| dir.path().join(name));
        export(&writer, &bundle);
        export(&writer, &archive);
        let pages = writer.read(0, 1 << 20).unwrap();
        for (seq, line) in (0..).zip(pages.split_inclusive(|byte| *byte == b'\n')) {
            let proof = prove_offline(writer.path(), seq).unwrap();
            for place in [&bundle, &archive] {
                assert_eq!(prove_offline(place, seq).unwrap(), proof);
            }
            assert_eq!(prove_live(&writer, seq), proof);
            assert_eq!(proof.extra.as_deref(), line.strip_suffix(b"\n"));
            let text = proof.to_string();
            assert_eq!(TlogProof::parse(text.as_bytes()).unwrap(), proof);
            let proven = verify(&proof).unwrap();
            assert_eq!((proven.entry, proven.size), (parse_line(line).unwrap(), 14));
        }
    }
}

#[test]
fn an_entry_that_no_checkpoint_covers_has_none() {
    let dir = tempfile::tempdir().unwrap();
    let trail = dir.path().join("trail");
    let mut writer = make_sealed(&trail, HashAlgorithm::Blake3, 9, &[6]);
    assert_eq!(prove_offline(&trail, 6).unwrap().index, 6);
    let error = prove_offline(&trail, 7).unwrap_err();
    assert!(matches!(error, ProveError::Unsealed { seq: 7, sealed: 7 }), "{error}");
    writer.seal(seal(), keys()).unwrap();
    assert_eq!(verify(&prove_offline(&trail, 7).unwrap()).unwrap().size, 10);
    let error = prove_offline(&trail, u64::MAX).unwrap_err();
    assert!(matches!(error, ProveError::Unsealed { sealed: 10, .. }), "{error}");
    for size in [1, 7, 10] {
        fs::remove_file(trail.join(checkpoint_name(size))).unwrap();
    }
    let error = prove_offline(&trail, 0).unwrap_err();
    assert!(matches!(error, ProveError::Unsealed { sealed: 0, .. }), "{error}");
}

/// Does something to a trail, and asks for a proof of entry 3.
fn after(harm: impl FnOnce(&Path)) -> String {
    let dir = tempfile::tempdir().unwrap();
    let trail = dir.path().join("trail");
    drop(make_sealed(&trail, HashAlgorithm::Sha256, 14, &[6, 13]));
    harm(&trail);
    let outcome = prove_offline(&trail, 3).map(drop).map_err(|error| error.to_string());
    format!("{outcome:?}\n").replace(&*dir.path().to_string_lossy(), "DIR")
}

#[test]
fn a_trail_that_its_checkpoint_contradicts_gives_no_proof() {
    let forged = |forge: &dyn Fn(&mut Forged)| {
        after(|trail| {
            let mut forged = Forged::load(trail);
            forge(&mut forged);
            forged.store(trail);
        })
    };
    let outcomes = [
        forged(&|_| ()),
        forged(&|it| it.edit(3, "alice", "mallo")),
        forged(&|it| it.edit(9, "alice", "mallo")),
        forged(&|it| it.delete(9..10)),
        forged(&|it| it.delete(13..)),
        forged(&|it| it.line(13).truncate(20)),
        forged(&|it| it.line(9).truncate(20)),
        forged(&|it| it.lines[9].1 = vec![b'x'; 1 << 20]),
        forged(&|it| drop(it.checkpoints.insert(14, b"x".to_vec()))),
        after(|trail| fs::write(trail.join("notes.txt"), "x").unwrap()),
        after(|trail| {
            fs::remove_file(trail.join(segment_name(0))).unwrap();
            fs::create_dir(trail.join(segment_name(0))).unwrap();
        }),
        after(|trail| fs::remove_dir_all(trail).unwrap()),
        after(|trail| {
            fs::remove_dir_all(trail).unwrap();
            fs::write(trail, "this is no tar file").unwrap();
        }),
    ];
    insta::assert_snapshot!(outcomes.concat());
}

/// The proof of one entry, and of another.
fn two_proofs() -> (TlogProof, TlogProof) {
    let dir = tempfile::tempdir().unwrap();
    let trail = dir.path().join("trail");
    drop(make_sealed(&trail, HashAlgorithm::Blake3, 14, &[6, 13]));
    (prove_offline(&trail, 3).unwrap(), prove_offline(&trail, 4).unwrap())
}

#[test]
fn a_proof_is_of_this_entry_in_this_place_of_this_trail() {
    let (proof, other) = two_proofs();
    let with = |change: &dyn Fn(&mut TlogProof)| {
        let mut proof = proof.clone();
        change(&mut proof);
        verify(&proof).map(|proven| proven.entry.seq).map_err(|fault| (code(&fault), fault))
    };
    assert_eq!(with(&|_| ()), Ok(3));
    let outcomes = [
        with(&|it| it.extra = None),
        with(&|it| it.extra = Some(Vec::new())),
        with(&|it| it.extra = other.extra.clone()),
        with(&|it| it.extra.as_mut().unwrap().push(b'\n')),
        with(&|it| it.extra.as_mut().unwrap().push(b' ')),
        with(&|it| it.index = 4),
        with(&|it| it.index = 14),
        with(&|it| it.index = u64::MAX),
        with(&|it| it.path = other.path.clone()),
        with(&|it| it.path.truncate(1)),
        with(&|it| it.path.push([0; 32])),
        with(&|it| it.path.clear()),
        with(&|it| {
            let checkpoint = it.checkpoint.to_string().replacen("\n14\n", "\n15\n", 1);
            it.checkpoint = SignedCheckpoint::parse(checkpoint.as_bytes()).unwrap();
        }),
    ];
    insta::assert_snapshot!(outcomes.map(|outcome| format!("{outcome:?}\n")).concat());
}

#[test]
fn a_proof_needs_the_key_of_its_trail_and_its_witnesses() {
    let (proof, _) = two_proofs();
    let witness = |name: &str| SigningKeys::generate(name.parse().unwrap(), Role::Witness).unwrap();
    let [ada, ben, eve] = ["ada", "ben", "eve"].map(witness);
    let mut cosigned = proof.clone();
    for witness in [&ada, &eve] {
        witness.cosign(&mut cosigned.checkpoint, 1).unwrap();
    }
    let known = [ada.public().clone(), ben.public().clone()];
    let verify = |proof, key: &SigningKeys, required| {
        let verified = verify_proof(proof, key.public(), &known, required);
        verified.map(|proven| proven.cosigners.join(" ")).map_err(|fault| (code(&fault), fault))
    };
    let outcomes = [
        verify(&proof, keys(), 0),
        verify(&proof, keys(), 1),
        verify(&cosigned, keys(), 0),
        verify(&cosigned, keys(), 1),
        verify(&cosigned, keys(), 2),
        verify(&cosigned, &new_keys(), 0),
        // One who saw a trail is not one who wrote it.
        verify(&cosigned, &ada, 0),
    ];
    insta::assert_snapshot!(outcomes.map(|outcome| format!("{outcome:?}\n")).concat());
}

/// The trail's key signs whatever its daemon says, so this isn't about forgers.
#[test]
fn a_signed_leaf_that_is_no_entry_proves_none() {
    let (proof, other) = two_proofs();
    let signed = |line: &[u8]| {
        let mut path = InclusionBuilder::new(3, 4).unwrap();
        let mut tree = tlog::merkle::Tree::new();
        for leaf in [b"a", b"b", b"c", line] {
            path.push(leaf_hash(leaf));
            tree.push(leaf_hash(leaf));
        }
        let note = common::forged::signed(keys().public().name(), 4, tree.root(), keys());
        let checkpoint = SignedCheckpoint::parse(&note).unwrap();
        let path = path.finish().unwrap();
        let proof = TlogProof { extra: Some(line.to_vec()), index: 3, path, checkpoint };
        verify(&proof).map(|proven| proven.entry.seq).map_err(|fault| (code(&fault), fault))
    };
    let line = proof.extra.unwrap();
    let edited = String::from_utf8(line.clone()).unwrap().replace("alice", "mallo");
    let outcomes = [
        signed(&line),
        signed(&other.extra.unwrap()),
        signed(edited.as_bytes()),
        signed(b"{}"),
        signed(b"x\ny"),
        signed(&[b'x'; 1 << 18]),
    ];
    insta::assert_snapshot!(outcomes.map(|outcome| format!("{outcome:?}\n")).concat());
}

#[test]
fn no_flipped_byte_of_a_proof_makes_it_one_of_another_entry() {
    let (proof, _) = two_proofs();
    let entry = verify(&proof).unwrap().entry;
    let mut bytes = proof.to_string().into_bytes();
    let mut verified = 0;
    for at in 0..bytes.len() {
        bytes[at] ^= 1;
        if let Ok(proof) = TlogProof::parse(&bytes)
            && let Ok(proven) = verify(&proof)
        {
            verified += 1;
            assert_eq!(proven.entry, entry, "byte {at}");
        }
        bytes[at] ^= 1;
    }
    assert_eq!(verified, 0);
}

/// A daemon goes on writing while it reads.
#[test]
fn lines_after_the_checkpoint_do_not_disturb() {
    let dir = tempfile::tempdir().unwrap();
    let mut writer = make_sealed(&dir.path().join("trail"), HashAlgorithm::Blake3, 5, &[4]);
    let proof = prove_live(&writer, 2);
    writer.append(&[draft(5), draft(6)]).unwrap();
    assert_eq!(prove_live(&writer, 2), proof);
    let mut prover = Prover::new(2, proof.checkpoint.clone()).unwrap();
    for line in writer.read(0, 1 << 20).unwrap().split_inclusive(|byte| *byte == b'\n') {
        prover.push(line);
    }
    assert_eq!(prover.finish().unwrap(), proof);
    assert!(Prover::new(5, proof.checkpoint.clone()).is_none());
    let early = Prover::new(2, proof.checkpoint).unwrap();
    assert!(matches!(early.finish(), Err(ProveError::Disagree)));
    assert_eq!(ProofFault::NotIncluded.verdict(), Verdict::Rewritten);
}
