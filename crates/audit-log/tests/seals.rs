//! Checkpoints that are owed: what a crash leaves between an entry and the checkpoint it announces.

#![allow(clippy::unwrap_used, reason = "a test that panics has failed")]

mod common;

use std::fs::{self, File};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::LazyLock;

use audit_log::{
    CreateError, Draft, Expectation, HashAlgorithm, OpenError, Operation, Outcome, SealError,
    Verdict, Writer, verify,
};
use common::forged::{Forged, checkpoint_name};
use common::{
    SEGMENT, check, draft, genesis, keys, make, make_sealed, new_keys, outcome, seal, segments,
};
use tlog::SigningKeys;

static NEW: LazyLock<SigningKeys> = LazyLock::new(new_keys);

fn rotation() -> Draft {
    Draft::new(Operation::AuditKeyRotate, Outcome::Done)
}

fn take_away(trail: &Path, size: u64) {
    fs::remove_file(trail.join(checkpoint_name(size))).unwrap();
}

fn open(trail: &Path) -> Writer {
    Writer::open(trail, SEGMENT).unwrap().0
}

fn damaged(trail: &Path) -> String {
    match Writer::open(trail, SEGMENT).unwrap_err() {
        OpenError::Damaged { report, .. } => outcome(&report),
        error => panic!("{error}"),
    }
}

/// Opens a trail that owes a checkpoint; nobody but the holder of its key can make it.
fn settles(trail: &Path, size: u64) -> Writer {
    assert_eq!(check(trail).verdict, Verdict::Truncated);
    let mut writer = open(trail);
    assert!(writer.owes_checkpoint());
    for _ in 0..2 {
        assert!(matches!(writer.settle(&new_keys()), Err(SealError::OtherKey)));
    }
    writer.settle(keys()).unwrap();
    assert!(!writer.owes_checkpoint());
    assert_eq!(writer.sealed(), size);
    writer.settle(keys()).unwrap();
    let key = Some(keys().public().clone());
    let report = verify(trail, &Expectation { key, ..Expectation::default() }).unwrap();
    assert_eq!((report.verdict, report.sealed), (Verdict::Sound, Some(size)));
    writer
}

fn place(dir: &tempfile::TempDir) -> PathBuf {
    dir.path().join("trail")
}

#[test]
fn the_first_checkpoint_can_be_owed() {
    for hash in HashAlgorithm::ALL {
        let dir = tempfile::tempdir().unwrap();
        let trail = place(&dir);
        drop(make(&trail, hash, 1));
        take_away(&trail, 1);
        drop(settles(&trail, 1));
        assert!(!open(&trail).owes_checkpoint());
        // The daemon may go on in the meantime.
        take_away(&trail, 1);
        open(&trail).append(&[draft(1), draft(2)]).unwrap();
        settles(&trail, 1);
    }
}

#[test]
fn the_checkpoint_of_a_seal_can_be_owed() {
    let dir = tempfile::tempdir().unwrap();
    let trail = place(&dir);
    drop(make_sealed(&trail, HashAlgorithm::Blake3, 8, &[3, 7]));
    take_away(&trail, 8);
    let mut writer = settles(&trail, 8);
    writer.seal(seal(), keys()).unwrap();
    assert_eq!((writer.size(), writer.sealed()), (9, 9));
    drop(writer);
    // A seal settles what is owed before it announces more.
    take_away(&trail, 9);
    let mut writer = open(&trail);
    writer.append(&[draft(9)]).unwrap();
    writer.seal(seal(), keys()).unwrap();
    assert_eq!((writer.size(), writer.sealed()), (11, 11));
    assert_eq!(check(&trail).sealed, Some(11));
    assert!(trail.join(checkpoint_name(9)).exists());
}

#[test]
fn the_checkpoint_of_a_rotation_can_be_owed() {
    let dir = tempfile::tempdir().unwrap();
    let trail = place(&dir);
    let mut writer = make(&trail, HashAlgorithm::Blake3, 4);
    writer.rotate(rotation(), keys(), NEW.public()).unwrap();
    drop(writer);
    take_away(&trail, 5);
    let mut writer = open(&trail);
    assert_eq!(writer.public_keys(), keys().public());
    // The new key counts only once the old one has signed for it.
    assert!(matches!(writer.settle(&NEW), Err(SealError::OtherKey)));
    assert!(matches!(writer.seal(seal(), &NEW), Err(SealError::OtherKey)));
    drop(writer);
    let mut writer = settles(&trail, 5);
    assert_eq!(writer.public_keys(), NEW.public());
    writer.seal(seal(), &NEW).unwrap();
    assert_eq!(check(&trail).keys.as_ref(), Some(NEW.public()));
}

/// The old key settles the rotation, and is none any more when the next entry would be announced.
#[test]
fn a_seal_after_an_owed_rotation_is_refused_before_its_entry() {
    let dir = tempfile::tempdir().unwrap();
    let trail = place(&dir);
    make(&trail, HashAlgorithm::Blake3, 2).rotate(rotation(), keys(), NEW.public()).unwrap();
    take_away(&trail, 3);
    let mut writer = open(&trail);
    assert!(matches!(writer.seal(seal(), keys()), Err(SealError::OtherKey)));
    assert_eq!((writer.size(), writer.sealed(), writer.owes_checkpoint()), (3, 3, false));
    assert_eq!(check(&trail).verdict, Verdict::Sound);
    writer.seal(seal(), &NEW).unwrap();
    assert_eq!(check(&trail).sealed, Some(4));
}

/// A crash takes one checkpoint at most, and the last one.
#[test]
fn more_than_one_missing_checkpoint_is_damage() {
    let dir = tempfile::tempdir().unwrap();
    let trail = place(&dir);
    drop(make_sealed(&trail, HashAlgorithm::Blake3, 12, &[3, 7, 11]));
    let whole = Forged::load(&trail);
    let without = |sizes: &[u64]| {
        whole.store(&trail);
        sizes.iter().for_each(|size| take_away(&trail, *size));
        damaged(&trail)
    };
    let outcomes = [
        without(&[8, 12]),
        without(&[1, 12]),
        without(&[1, 4, 8, 12]),
        without(&[4]),
        without(&[1]),
    ];
    insta::assert_snapshot!(outcomes.join("\n"));
    whole.store(&trail);
    take_away(&trail, 12);
    settles(&trail, 12);
}

#[test]
fn a_line_can_be_torn_after_an_owed_checkpoint() {
    let dir = tempfile::tempdir().unwrap();
    let trail = place(&dir);
    drop(make_sealed(&trail, HashAlgorithm::Sha256, 6, &[5]));
    take_away(&trail, 6);
    let last = segments(&trail).pop().unwrap();
    File::options().append(true).open(last).unwrap().write_all(b"{\"seq\":6,").unwrap();
    let (mut writer, repair) = Writer::open(&trail, SEGMENT).unwrap();
    assert_eq!(repair.unwrap().seq, 6);
    writer.settle(keys()).unwrap();
    let report = check(&trail);
    assert_eq!((report.verdict, report.entries, report.sealed), (Verdict::Sound, 7, Some(6)));
}

#[test]
fn what_a_crash_left_of_a_checkpoint_is_nobody_s_loss() {
    let dir = tempfile::tempdir().unwrap();
    let trail = place(&dir);
    drop(make_sealed(&trail, HashAlgorithm::Blake3, 6, &[5]));
    fs::rename(trail.join(checkpoint_name(6)), trail.join("new.tmp")).unwrap();
    File::options().write(true).open(trail.join("new.tmp")).unwrap().set_len(100).unwrap();
    drop(settles(&trail, 6));
    assert!(!trail.join("new.tmp").exists());
    fs::write(trail.join("new.tmp"), "x").unwrap();
    open(&trail).seal(seal(), keys()).unwrap();
    assert_eq!(check(&trail).sealed, Some(7));
}

#[test]
fn a_trail_that_was_rewritten_while_nobody_wrote_is_not_gone_on_with() {
    let dir = tempfile::tempdir().unwrap();
    let trail = place(&dir);
    drop(make_sealed(&trail, HashAlgorithm::Blake3, 8, &[3, 7]));
    let whole = Forged::load(&trail);
    let forged = |forge: &dyn Fn(&mut Forged)| {
        let mut forged = whole.clone();
        forge(&mut forged);
        forged.store(&trail);
        let outcome = damaged(&trail);
        let left = Forged::load(&trail);
        assert_eq!((left.lines, left.checkpoints), (forged.lines, forged.checkpoints));
        outcome
    };
    let outcomes = [
        forged(&|it| {
            it.edit(5, "alice", "mallo");
            it.hash_anew(HashAlgorithm::Blake3, 5);
        }),
        forged(&|it| it.sign(8, &NEW)),
        forged(&|it| it.delete(7..)),
    ];
    insta::assert_snapshot!(outcomes.join("\n"));
}

/// A trail under a key that nobody has could never be sealed.
#[test]
fn a_trail_is_made_with_its_own_key_or_not_at_all() {
    let dir = tempfile::tempdir().unwrap();
    let trail = place(&dir);
    let genesis = genesis(HashAlgorithm::Blake3);
    let made = Writer::create(&trail, &genesis, None, SEGMENT, &NEW);
    assert!(matches!(made, Err(CreateError::Seal(SealError::OtherKey))));
    let mut other = genesis.clone();
    other.installation = "00000000-0000-4000-8000-000000000000".to_owned();
    let made = Writer::create(&trail, &other, None, SEGMENT, keys());
    assert!(matches!(made, Err(CreateError::Genesis)));
    assert!(!trail.exists());
    drop(Writer::create(&trail, &genesis, None, SEGMENT, keys()).unwrap());
}
