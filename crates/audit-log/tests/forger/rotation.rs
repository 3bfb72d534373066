//! Trails whose key gave way to another one, and forgers who hold this one or that.

use std::path::Path;
use std::sync::LazyLock;

use audit_log::{
    Draft, Expectation, HashAlgorithm, Operation, Outcome, SealError, Verdict, Writer, verify,
};
use tlog::SigningKeys;

use crate::common::{SEGMENT, draft, fixed_keys, genesis, keys, new_keys, seal};
use crate::scene::{Forgery, Knowledge, Scene, table_by_knowledge};

/// The key after the rotation.
static NEW: LazyLock<SigningKeys> = LazyLock::new(|| fixed_keys(2));

/// Neither of the two.
static OTHER: LazyLock<SigningKeys> = LazyLock::new(new_keys);

/// 20 entries. Entry 7 rotates the key, 13 and 19 seal with the new one: checkpoints 1, 8, 14, 20.
static ROTATED: LazyLock<[Scene; 2]> =
    LazyLock::new(|| HashAlgorithm::ALL.map(|hash| Scene::new(hash, |dir| rotated(dir, hash))));

fn rotation() -> Draft {
    Draft::new(Operation::AuditKeyRotate, Outcome::Done)
}

fn rotated(dir: &Path, hash: HashAlgorithm) -> Writer {
    let mut writer = Writer::create(dir, &genesis(hash), None, SEGMENT, keys()).unwrap();
    for n in 1..20 {
        match n {
            7 => drop(writer.rotate(rotation(), keys(), NEW.public()).unwrap()),
            13 | 19 => drop(writer.seal(seal(), &NEW).unwrap()),
            _ => drop(writer.append(&[draft(n)]).unwrap()),
        }
    }
    writer
}

const FORGERIES: &[Forgery] = &[
    ("nothing", |_, _| {}),
    ("drop the checkpoint of the rotation", |it, _| drop(it.checkpoints.remove(&8))),
    ("drop all after the rotation, and its checkpoint", |it, _| {
        it.delete(8..);
        it.checkpoints.retain(|size, _| *size < 8);
    }),
    ("drop all after the rotation", |it, _| {
        it.delete(8..);
        it.checkpoints.retain(|size, _| *size <= 8);
    }),
    ("edit after the rotation, leave the checkpoints", |it, scene| {
        it.edit(10, "alice", "mallo");
        it.hash_anew(scene.hash, 10);
    }),
    ("the old key, stolen: sign the checkpoints after the rotation", |it, scene| {
        it.edit(10, "alice", "mallo");
        it.hash_anew(scene.hash, 10);
        it.sign_anew(10, keys());
    }),
    ("the old key, stolen: sign a true checkpoint after the rotation", |it, _| it.sign(14, keys())),
    ("the old key, stolen: rotate to a key of the forger's", |it, scene| {
        it.edit(5, "alice", "mallo");
        it.replace_keys(7, NEW.public(), OTHER.public());
        it.hash_anew(scene.hash, 5);
        it.sign(8, keys());
        it.sign_anew(10, &OTHER);
    }),
    ("the old key, stolen: undo the rotation", |it, scene| {
        it.delete(7..8);
        it.hash_anew(scene.hash, 7);
        it.checkpoints.retain(|size, _| *size == 1);
        it.sign(13, keys());
        it.sign(19, keys());
    }),
    ("the new key, stolen: edit after the rotation, sign all after it", |it, scene| {
        it.edit(10, "alice", "mallo");
        it.hash_anew(scene.hash, 10);
        it.sign_anew(10, &NEW);
    }),
    ("the new key, stolen: edit before the rotation, sign all after it", |it, scene| {
        it.edit(5, "alice", "mallo");
        it.hash_anew(scene.hash, 5);
        it.sign_anew(10, &NEW);
    }),
    ("the new key, stolen: edit before the rotation, sign that too", |it, scene| {
        it.edit(5, "alice", "mallo");
        it.hash_anew(scene.hash, 5);
        it.sign_anew(8, &NEW);
    }),
    ("the new key, stolen: name it in the first entry, and sign all", |it, scene| {
        it.edit(5, "alice", "mallo");
        it.replace_keys(0, keys().public(), NEW.public());
        it.hash_anew(scene.hash, 0);
        it.sign_anew(0, &NEW);
    }),
    ("another key: a rotation that nobody signed", |it, scene| {
        it.replace_keys(7, NEW.public(), OTHER.public());
        it.hash_anew(scene.hash, 7);
        it.checkpoints.remove(&8);
        it.sign_anew(10, &OTHER);
    }),
    ("another key: a rotation that only it signed", |it, scene| {
        it.replace_keys(7, NEW.public(), OTHER.public());
        it.hash_anew(scene.hash, 7);
        it.sign_anew(8, &OTHER);
    }),
    ("another key: begin with it, rotate to the new one, and go no further", |it, scene| {
        it.edit(5, "alice", "mallo");
        it.replace_keys(0, keys().public(), OTHER.public());
        it.delete(8..);
        it.hash_anew(scene.hash, 0);
        it.checkpoints.retain(|size, _| *size <= 8);
        it.sign_anew(0, &OTHER);
    }),
    ("another key: begin with it, rotate to the new one, and sign all", |it, scene| {
        it.edit(5, "alice", "mallo");
        it.replace_keys(0, keys().public(), OTHER.public());
        it.hash_anew(scene.hash, 0);
        it.sign_anew(0, &OTHER);
    }),
    (
        "another key: begin with it, rotate to the new one, and keep what that signed",
        |it, scene| {
            it.edit(5, "alice", "mallo");
            it.replace_keys(0, keys().public(), OTHER.public());
            it.hash_anew(scene.hash, 0);
            it.sign(1, &OTHER);
            it.sign(8, &OTHER);
        },
    ),
    ("a rotation to keys of another name", |it, scene| {
        for _ in 0..2 {
            it.edit(7, ":\"sesame-audit/5f", ":\"sesame-audit/6f");
        }
        it.hash_anew(scene.hash, 7);
    }),
    ("a rotation to no keys", |it, scene| {
        it.edit(7, "\"key_ed25519\"", "\"key_ed25518\"");
        it.hash_anew(scene.hash, 7);
    }),
];

#[test]
fn each_forgery_around_a_rotation_has_its_verdict_by_what_is_known() {
    let key = |keys: &SigningKeys| Expectation {
        key: Some(keys.public().clone()),
        ..Expectation::default()
    };
    let knowledge: [Knowledge<'_>; 4] = [
        ("nothing", &|_| Expectation::default()),
        ("the old key", &|_| key(keys())),
        ("the new key", &|_| key(&NEW)),
        ("the head at 14", &|scene| scene.head(14)),
    ];
    insta::assert_snapshot!(table_by_knowledge(&ROTATED, FORGERIES, &knowledge));
}

#[test]
fn a_rotation_takes_the_old_key_and_then_the_new_one() {
    let dir = tempfile::tempdir().unwrap();
    let trail = dir.path().join("trail");
    let mut writer =
        Writer::create(&trail, &genesis(HashAlgorithm::Blake3), None, SEGMENT, keys()).unwrap();
    let refused = writer.rotate(rotation(), &NEW, OTHER.public());
    assert!(matches!(refused, Err(SealError::OtherKey)));
    assert_eq!(writer.size(), 1);
    writer.rotate(rotation(), keys(), NEW.public()).unwrap();
    assert_eq!((writer.size(), writer.sealed()), (2, 2));
    assert_eq!(writer.public_keys(), NEW.public());
    assert!(matches!(writer.seal(seal(), keys()), Err(SealError::OtherKey)));
    assert_eq!(writer.size(), 2);
    let verdict = |keys: &SigningKeys| {
        let key = Some(keys.public().clone());
        verify(&trail, &Expectation { key, ..Expectation::default() }).unwrap().verdict
    };
    // To be named is not to have signed.
    assert_eq!((verdict(keys()), verdict(&NEW)), (Verdict::Sound, Verdict::Signature));
    writer.seal(seal(), &NEW).unwrap();
    assert_eq!((verdict(keys()), verdict(&NEW)), (Verdict::Sound, Verdict::Sound));
    drop(writer);
    let (mut writer, _) = Writer::open(&trail, SEGMENT).unwrap();
    assert_eq!(writer.public_keys(), NEW.public());
    writer.seal(seal(), &NEW).unwrap();
    // And once more, to a third one.
    writer.rotate(rotation(), &NEW, OTHER.public()).unwrap();
    writer.seal(seal(), &OTHER).unwrap();
    assert_eq!([keys(), &NEW, &OTHER].map(verdict), [Verdict::Sound; 3]);
    assert_eq!(verdict(&new_keys()), Verdict::Signature);
}
