//! Cosigning: a witness signs what it has verified, and nothing that contradicts what it has seen.

#![allow(clippy::unwrap_used, reason = "a test that panics has failed")]

mod common;

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::LazyLock;

use audit_log::{
    CosignError, Expectation, Hash, HashAlgorithm, Head, Report, Verdict, Writer, cosign_bundle,
    verify_bundle,
};
use common::forged::{Forged, checkpoint_name};
use common::{draft, export, keys, make_sealed, new_keys, seal};
use tlog::{PublicKeys, Role, SigningKeys};

const NOW: u64 = 1_800_000_000;

static ADA: LazyLock<SigningKeys> = LazyLock::new(|| witness("example.org/ada"));
static BEN: LazyLock<SigningKeys> = LazyLock::new(|| witness("example.org/ben"));

fn witness(name: &str) -> SigningKeys {
    SigningKeys::generate(name.parse().unwrap(), Role::Witness).unwrap()
}

/// A trail of 12 entries, sealed at 6 and at its end, and a bundle of it.
fn scene(dir: &Path) -> (Writer, PathBuf) {
    let writer = make_sealed(&dir.join("trail"), HashAlgorithm::Blake3, 12, &[5, 11]);
    let bundle = dir.join("bundle");
    export(&writer, &bundle);
    (writer, bundle)
}

fn cosign(bundle: &Path, last: Option<Head>) -> Result<Head, CosignError> {
    cosign_bundle(bundle, keys().public(), last, &ADA, NOW, |_| Ok(()))
}

fn verify(bundle: &Path, witnesses: &[&SigningKeys], required: usize) -> Report {
    let witnesses: Vec<PublicKeys> = witnesses.iter().map(|keys| keys.public().clone()).collect();
    let expectation = Expectation {
        key: Some(keys().public().clone()),
        witnesses,
        witnesses_required: required,
        require_sealed: true,
        ..Expectation::default()
    };
    verify_bundle(bundle, &expectation).unwrap()
}

fn last_checkpoint(bundle: &Path) -> Vec<u8> {
    fs::read(bundle.join("trail").join(checkpoint_name(12))).unwrap()
}

#[test]
fn a_cosigned_bundle_verifies_with_its_witnesses() {
    let dir = tempfile::tempdir().unwrap();
    let (writer, bundle) = scene(dir.path());
    assert_eq!(verify(&bundle, &[&ADA], 1).verdict, Verdict::Signature);
    assert_eq!(cosign(&bundle, None).unwrap(), writer.head());
    assert_eq!(verify(&bundle, &[&ADA], 1).cosigners, ["example.org/ada"]);
    let by_ben =
        cosign_bundle(&bundle, keys().public(), Some(writer.head()), &BEN, NOW + 9, |_| Ok(()));
    assert_eq!(by_ben.unwrap(), writer.head());
    let report = verify(&bundle, &[&BEN, &ADA], 2);
    assert_eq!((report.verdict, report.sealed), (Verdict::Sound, Some(12)));
    assert_eq!(report.checkpoint.unwrap().cosigned_by(BEN.public()), Ok(Some(NOW + 9)));
    assert!(!bundle.join("trail/new.tmp").exists());
    // A bare copy of a trail will do as well.
    let copy = dir.path().join("copy");
    common::copy(writer.path(), &copy);
    assert_eq!(cosign(&copy, None).unwrap(), writer.head());
}

#[test]
fn cosigning_again_changes_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let (writer, bundle) = scene(dir.path());
    let head = cosign(&bundle, None).unwrap();
    let before = last_checkpoint(&bundle);
    let again =
        cosign_bundle(&bundle, keys().public(), Some(head), &ADA, NOW + 1, |_| Ok(())).unwrap();
    assert_eq!((again, last_checkpoint(&bundle)), (writer.head(), before));
}

/// Anybody can write a line under a witness's name; it must not keep the witness from signing.
#[test]
fn a_wrong_signature_under_the_witness_s_name_gives_way() {
    let dir = tempfile::tempdir().unwrap();
    let (_, bundle) = scene(dir.path());
    cosign(&bundle, None).unwrap();
    let trail = bundle.join("trail");
    for harm in [
        |it: &mut Forged| it.flip(12, 2),
        |it: &mut Forged| it.flip(12, 3),
        |it: &mut Forged| {
            let (text, signatures) = it.note(12);
            it.set_note(12, &text, &signatures[..3]);
        },
        |it: &mut Forged| {
            let (text, mut signatures) = it.note(12);
            signatures.extend_from_within(2..);
            it.set_note(12, &text, &signatures);
        },
    ] {
        let mut forged = Forged::load(&trail);
        harm(&mut forged);
        forged.store(&trail);
        assert_eq!(verify(&bundle, &[&ADA], 1).verdict, Verdict::Signature);
        cosign(&bundle, None).unwrap();
        assert_eq!(verify(&bundle, &[&ADA], 1).verdict, Verdict::Sound);
        assert_eq!(Forged::load(&trail).note(12).1.len(), 4);
    }
}

#[test]
fn a_witness_signs_no_second_history() {
    let dir = tempfile::tempdir().unwrap();
    let (mut writer, bundle) = scene(dir.path());
    let seen = cosign(&bundle, None).unwrap();
    let refused = |bundle: &Path, last| {
        let trail =
            if bundle.join("trail").exists() { bundle.join("trail") } else { bundle.into() };
        let before = Forged::load(&trail).checkpoints;
        let error = cosign(bundle, Some(last)).unwrap_err();
        assert_eq!(Forged::load(&trail).checkpoints, before);
        match error {
            CosignError::Unsound(report) => report.verdict.as_str().to_owned(),
            error => error.to_string(),
        }
    };
    // It goes on.
    writer.append(&[draft(12)]).unwrap();
    writer.seal(seal(), keys()).unwrap();
    let later = dir.path().join("later");
    export(&writer, &later);
    let later_head = cosign(&later, Some(seen)).unwrap();
    assert_eq!(later_head, writer.head());
    // It goes back, or differs.
    assert_eq!(refused(&bundle, later_head), "rolled-back");
    let other = Head { root: Hash([7; 32]), ..seen };
    assert_eq!(refused(&bundle, other), "rewritten");
    assert_eq!(refused(&later, other), "rewritten");
    // As long as before, and less of it is sealed.
    let tail = dir.path().join("tail");
    common::copy(writer.path(), &tail);
    fs::remove_file(tail.join(checkpoint_name(14))).unwrap();
    assert_eq!(refused(&tail, later_head), "truncated");
    let unsealed = make_sealed(&dir.path().join("unsealed"), HashAlgorithm::Blake3, 9, &[5]);
    let copy = dir.path().join("copy of unsealed");
    common::copy(unsealed.path(), &copy);
    insta::assert_snapshot!(
        refused(&copy, unsealed.head()),
        @"its last checkpoint covers 6 entries, and there have been 9: ask for a newer bundle"
    );
    assert_eq!(cosign(&copy, None).unwrap().size, 6);
}

#[test]
fn a_witness_signs_nothing_that_is_not_sound() {
    let refused = |key: &SigningKeys, harm: &dyn Fn(&Path)| {
        let dir = tempfile::tempdir().unwrap();
        let (_, bundle) = scene(dir.path());
        harm(&bundle);
        let error = cosign_bundle(&bundle, key.public(), None, &ADA, NOW, |_| Ok(())).unwrap_err();
        format!("{error}\n").replace(&*dir.path().to_string_lossy(), "DIR")
    };
    let forge = |forge: &dyn Fn(&mut Forged), bundle: &Path| {
        let mut forged = Forged::load(&bundle.join("trail"));
        forge(&mut forged);
        forged.store(&bundle.join("trail"));
    };
    let outcomes = [
        refused(keys(), &|bundle| forge(&|it| it.edit(3, "alice", "mallo"), bundle)),
        refused(keys(), &|bundle| forge(&|it| it.sign(12, &new_keys()), bundle)),
        refused(&new_keys(), &|_| ()),
        refused(keys(), &|bundle| fs::remove_dir_all(bundle.join("trail")).unwrap()),
        refused(keys(), &|bundle| fs::remove_dir_all(bundle).unwrap()),
        refused(keys(), &|bundle| {
            fs::remove_dir_all(bundle).unwrap();
            fs::write(bundle, "").unwrap();
        }),
    ];
    insta::assert_snapshot!(outcomes.concat());
}

#[test]
fn what_cannot_be_cosigned_says_why() {
    let dir = tempfile::tempdir().unwrap();
    let (writer, bundle) = scene(dir.path());
    let archive = dir.path().join("bundle.tar");
    export(&writer, &archive);
    let error = |path: &Path, witness: &SigningKeys, now| {
        let error =
            cosign_bundle(path, keys().public(), None, witness, now, |_| Ok(())).unwrap_err();
        format!("{error}\n").replace(&*dir.path().to_string_lossy(), "DIR")
    };
    let outcomes = [
        error(&archive, &ADA, NOW),
        // The daemon's own, while it runs.
        error(writer.path(), &ADA, NOW),
        error(&bundle, keys(), NOW),
        error(&bundle, &ADA, 0),
        error(&bundle, &ADA, u64::MAX),
    ];
    insta::assert_snapshot!(outcomes.concat());
}

/// Whatever a crash left is nobody's, and a link there leads nowhere.
#[test]
fn a_scratch_file_is_in_nobody_s_way() {
    let dir = tempfile::tempdir().unwrap();
    let (_, bundle) = scene(dir.path());
    let scratch = bundle.join("trail/new.tmp");
    let precious = dir.path().join("precious");
    fs::write(&precious, "x").unwrap();
    std::os::unix::fs::symlink(&precious, &scratch).unwrap();
    cosign(&bundle, None).unwrap();
    assert_eq!(fs::read(&precious).unwrap(), b"x");
    assert!(fs::symlink_metadata(&scratch).is_err());
    // Nor may it take the place of the checkpoint half written.
    let (_, other) = scene(&{
        let other = dir.path().join("other");
        fs::create_dir(&other).unwrap();
        other
    });
    fs::create_dir(other.join("trail/new.tmp")).unwrap();
    let before = last_checkpoint(&other);
    assert!(matches!(cosign(&other, None), Err(CosignError::Io { .. })));
    assert_eq!(last_checkpoint(&other), before);
}

/// What was signed and forgotten could be contradicted.
#[test]
fn a_head_that_cannot_be_remembered_is_not_signed() {
    let dir = tempfile::tempdir().unwrap();
    let (_, bundle) = scene(dir.path());
    let before = last_checkpoint(&bundle);
    let forget = |_| Err(std::io::ErrorKind::StorageFull.into());
    let error = cosign_bundle(&bundle, keys().public(), None, &ADA, NOW, forget).unwrap_err();
    assert!(matches!(error, CosignError::NotRemembered(_)), "{error}");
    assert_eq!(last_checkpoint(&bundle), before);
}
