//! A forger who hashes everything anew after an edit: who sees it, and by what.

use audit_log::Expectation;
use tlog::SigningKeys;

use crate::common::forged::Forged;
use crate::common::{keys, new_keys};
use crate::scene::{
    Forgery, Form, Knowledge, SEALED, Scene, after, outcome, row, table_by_knowledge,
};

/// Changes entry 10 and hashes all from it on.
fn rewrite(it: &mut Forged, scene: &Scene) {
    it.edit(10, "alice", "mallo");
    it.hash_anew(scene.hash, 10);
}

/// As before, without the entries 15 and 23, which announce checkpoints.
fn rewrite_without_seals(it: &mut Forged, scene: &Scene) {
    it.edit(10, "alice", "mallo");
    it.delete(23..);
    it.delete(15..16);
    it.hash_anew(scene.hash, 10);
}

/// Makes the trail, from its first entry on, one of another key.
fn take_over(it: &mut Forged, scene: &Scene, other: &SigningKeys) {
    it.edit(10, "alice", "mallo");
    it.replace_keys(0, keys().public(), other.public());
    it.hash_anew(scene.hash, 0);
    it.sign_anew(0, other);
}

const REWRITES: &[Forgery] = &[
    ("no key: leave the checkpoints", rewrite),
    ("no key: drop the checkpoints after it", |it, scene| {
        rewrite(it, scene);
        it.checkpoints.retain(|size, _| *size < 10);
    }),
    ("no key: drop the last checkpoint alone", |it, scene| {
        it.edit(20, "alice", "mallo");
        it.hash_anew(scene.hash, 20);
        it.checkpoints.remove(&24);
    }),
    ("no key: drop the checkpoints after it, and what announces them", |it, scene| {
        rewrite_without_seals(it, scene);
        it.checkpoints.retain(|size, _| *size < 10);
    }),
    ("no key: keep the first checkpoint alone, and what announces others out", |it, scene| {
        it.edit(5, "alice", "mallo");
        it.delete(23..);
        it.delete(15..16);
        it.delete(7..8);
        it.hash_anew(scene.hash, 5);
        it.checkpoints.retain(|size, _| *size == 1);
    }),
    ("no key: drop all checkpoints, and what announces them", |it, scene| {
        it.edit(5, "alice", "mallo");
        it.delete(23..);
        it.delete(15..16);
        it.delete(7..8);
        it.hash_anew(scene.hash, 5);
        it.checkpoints.clear();
    }),
    ("another key: sign the checkpoints after it", |it, scene| {
        rewrite(it, scene);
        it.sign_anew(10, &new_keys());
    }),
    ("another key: sign all checkpoints", |it, scene| {
        rewrite(it, scene);
        it.sign_anew(0, &new_keys());
    }),
    ("another key: name it in the first entry", |it, scene| {
        it.replace_keys(0, keys().public(), new_keys().public());
        it.hash_anew(scene.hash, 0);
    }),
    ("another key: name it in the first entry, and sign all", |it, scene| {
        take_over(it, scene, &new_keys());
    }),
    ("the key itself, stolen: sign all after it", |it, scene| {
        rewrite(it, scene);
        it.sign_anew(10, keys());
    }),
];

#[test]
fn each_rewrite_has_its_verdict_by_what_is_known() {
    let knowledge: [Knowledge<'_>; 5] = [
        ("nothing", &|_| Expectation::default()),
        ("the key", &|_| Expectation {
            key: Some(keys().public().clone()),
            ..Expectation::default()
        }),
        ("the head at 16", &|scene| scene.head(16)),
        ("the head at 24", &|scene| scene.head(24)),
        ("the key, and that all is sealed", &|_| Expectation {
            key: Some(keys().public().clone()),
            require_sealed: true,
            ..Expectation::default()
        }),
    ];
    insta::assert_snapshot!(table_by_knowledge(&SEALED, REWRITES, &knowledge));
}

/// The key in a bundle is for those who have no other; it has to be the one that the trail names.
#[test]
fn another_key_in_a_bundle_is_a_wrong_one() {
    let scene = &SEALED[0];
    let verify = |form: Form, key: &[u8]| {
        let dir = tempfile::tempdir().unwrap();
        let bundle = Form::Directory.write(&scene.forged(), scene, dir.path());
        std::fs::write(bundle.join("public-key.txt"), key).unwrap();
        let path = if form == Form::Tar { crate::scene::pack(&bundle) } else { bundle };
        outcome(&audit_log::verify_bundle(&path, &Expectation::default()).unwrap())
    };
    let other = new_keys().public().to_string();
    let own = keys().public().to_string();
    let cases: [(&str, &[u8]); 6] = [
        ("its own key", own.as_bytes()),
        ("another key", other.as_bytes()),
        ("half a key", own.lines().next().unwrap().as_bytes()),
        ("nothing", b""),
        ("not UTF-8", &[0xff; 64]),
        ("a megabyte", &[b'#'; 1 << 20]),
    ];
    let table = cases.map(|(name, key)| {
        row(
            name,
            &[
                ("directory".to_owned(), verify(Form::Directory, key)),
                ("tar".to_owned(), verify(Form::Tar, key)),
            ],
        )
    });
    insta::assert_snapshot!(table.concat());
}

/// The keys of a genesis are read once; what is almost a key file is none.
#[test]
fn the_keys_of_the_first_entry_have_one_spelling() {
    let scene = &SEALED[0];
    let spelt = |from: &str, to: &str| {
        let mut forged = scene.forged();
        forged.edit(0, from, to);
        forged.hash_anew(scene.hash, 0);
        let report = after(Form::Bare, scene, &forged, &Expectation::default());
        row(&format!("{from} -> {to}"), &[(String::new(), outcome(&report))])
    };
    let table = [
        spelt("\"key_ed25519\":\"", "\"key_ed25519\":\" "),
        spelt("\"key_ed25519\":\"", "\"key_ed25519\":\"# "),
        spelt("\"key_ed25519\":\"", "\"key_ed25519\":\"\\n"),
        spelt("\"key_ed25519\":", "\"key_ed25518\":"),
        spelt("\"key_ed25519\":\"sesame-audit/5", "\"key_ed25519\":\"sesame-audit/6"),
        spelt("\"installation\":\"5", "\"installation\":\"6"),
    ];
    insta::assert_snapshot!(table.concat());
}
