//! Forgeries of the checkpoints, by a forger who holds no key or another one.

use audit_log::{Expectation, Operation, Outcome};
use tlog::{Role, SigningKeys};

use crate::common::forged::signed;
use crate::common::{keys, new_keys};
use crate::scene::{Forgery, Form, Knowledge, SEALED, table, table_by_knowledge};

const CHECKPOINTS: &[Forgery] = &[
    ("drop the last entry", |it, _| it.delete(23..)),
    ("drop the last checkpoint", |it, _| drop(it.checkpoints.remove(&24))),
    ("drop the last entry and the last checkpoint", |it, _| {
        it.delete(23..);
        it.checkpoints.remove(&24);
    }),
    ("drop all after a checkpoint", |it, _| {
        it.delete(16..);
        it.checkpoints.remove(&24);
    }),
    ("drop a middle checkpoint", |it, _| drop(it.checkpoints.remove(&8))),
    ("drop the first checkpoint", |it, _| drop(it.checkpoints.remove(&1))),
    ("drop the last two checkpoints", |it, _| it.checkpoints.retain(|size, _| *size < 16)),
    ("drop all checkpoints", |it, _| it.checkpoints.clear()),
    ("swap two checkpoints", |it, _| {
        let (one, other) = (it.checkpoints[&8].clone(), it.checkpoints[&16].clone());
        it.checkpoints.extend([(8, other), (16, one)]);
    }),
    ("repeat a checkpoint under another size", |it, _| {
        let again = it.checkpoints[&16].clone();
        it.checkpoints.insert(20, again);
    }),
    ("add a checkpoint of another key", |it, _| it.sign(20, &new_keys())),
    ("add a checkpoint beyond the end", |it, _| {
        let again = it.checkpoints[&24].clone();
        it.checkpoints.insert(25, again);
    }),
    ("sign a checkpoint with another key of that name", |it, _| it.sign(16, &new_keys())),
    ("add a signature of another key", |it, _| {
        let (text, mut signatures) = it.note(16);
        it.sign(16, &new_keys());
        signatures.extend(it.note(16).1);
        it.set_note(16, &text, &signatures);
    }),
    ("a checkpoint of another trail", |it, _| {
        let name = "sesame-audit/00000000-0000-4000-8000-000000000000".parse().unwrap();
        let other = SigningKeys::generate(name, Role::Log).unwrap();
        let note = signed(other.public().name(), 16, it.root(16), &other);
        it.checkpoints.insert(16, note);
    }),
    ("edit the root of a checkpoint", |it, _| {
        let (text, signatures) = it.note(16);
        let root = text.lines().nth(2).unwrap().to_owned();
        let zero = format!("{}=", "A".repeat(43));
        it.set_note(16, &text.replace(&root, &zero), &signatures);
    }),
    ("edit the size of a checkpoint", |it, _| {
        let (text, signatures) = it.note(16);
        it.set_note(16, &text.replace("\n16\n", "\n17\n"), &signatures);
    }),
    ("edit the size and the name of a checkpoint", |it, _| {
        let (text, signatures) = it.note(16);
        it.set_note(17, &text.replace("\n16\n", "\n17\n"), &signatures);
        it.checkpoints.remove(&16);
    }),
    ("keep only the Ed25519 signature", |it, _| {
        let (text, signatures) = it.note(16);
        it.set_note(16, &text, &signatures[..1]);
    }),
    ("keep only the ML-DSA-44 signature", |it, _| {
        let (text, signatures) = it.note(16);
        it.set_note(16, &text, &signatures[1..]);
    }),
    ("keep no signature", |it, _| {
        let (text, _) = it.note(16);
        it.set_note(16, &text, &[]);
    }),
    ("flip a bit of the Ed25519 signature", |it, _| it.flip(16, 0)),
    ("flip a bit of the ML-DSA-44 signature", |it, _| it.flip(16, 1)),
    ("swap the signatures of two checkpoints", |it, _| {
        let ((one, of_one), (other, of_other)) = (it.note(8), it.note(16));
        it.set_note(8, &one, &of_other);
        it.set_note(16, &other, &of_one);
    }),
    ("repeat the Ed25519 signature", |it, _| {
        let (text, signatures) = it.note(16);
        it.set_note(16, &text, &[signatures[0].clone(), signatures.concat()]);
    }),
    ("add an extension line", |it, _| {
        let (text, signatures) = it.note(16);
        it.set_note(16, &text.replace("\n\n", "\nmore\n\n"), &signatures);
    }),
    ("end lines as Windows does", |it, _| {
        let (text, signatures) = it.note(16);
        it.set_note(16, &text.replace('\n', "\r\n"), &signatures);
    }),
    ("an empty checkpoint", |it, _| drop(it.checkpoints.insert(16, Vec::new()))),
    ("a checkpoint of zeros", |it, _| drop(it.checkpoints.insert(16, vec![0; 4096]))),
    ("a checkpoint of invalid UTF-8", |it, _| it.checkpoints.get_mut(&16).unwrap()[3] = 0xff),
    ("a checkpoint over nothing", |it, _| it.sign(0, keys())),
];

#[test]
fn each_forgery_of_checkpoints_has_its_verdict() {
    insta::assert_snapshot!(table(&SEALED, &Form::ALL, CHECKPOINTS));
}

const ENDS: &[Forgery] = &[
    ("nothing", |_, _| {}),
    ("drop the last entry and the last checkpoint", |it, _| {
        it.delete(23..);
        it.checkpoints.remove(&24);
    }),
    ("drop all after a checkpoint", |it, _| {
        it.delete(16..);
        it.checkpoints.remove(&24);
    }),
    ("drop all but the first entry and its checkpoint", |it, _| {
        it.delete(1..);
        it.checkpoints.retain(|size, _| *size == 1);
    }),
    ("drop all but the first entry", |it, _| {
        it.delete(1..);
        it.checkpoints.clear();
    }),
];

/// A chain alone doesn't tell that its end is missing, nor do the signatures over what is left.
#[test]
fn a_missing_end_shows_to_those_who_know_a_head_or_a_size() {
    let knowledge: [Knowledge<'_>; 6] = [
        ("nothing", &|_| Expectation::default()),
        ("the key", &|_| Expectation {
            key: Some(keys().public().clone()),
            ..Expectation::default()
        }),
        ("the head at 16", &|scene| scene.head(16)),
        ("the head at 24", &|scene| scene.head(24)),
        ("the size 24", &|_| Expectation { size: Some(24), ..Expectation::default() }),
        ("that all is sealed", &|_| Expectation { require_sealed: true, ..Expectation::default() }),
    ];
    insta::assert_snapshot!(table_by_knowledge(&SEALED, ENDS, &knowledge));
}

/// Who may report to the trail could otherwise make it owe checkpoints.
#[test]
fn the_trail_s_own_entries_cannot_be_reported_to_it() {
    use audit_log::{AppendError, Draft, HashAlgorithm};
    let dir = tempfile::tempdir().unwrap();
    let mut writer = crate::common::make(&dir.path().join("trail"), HashAlgorithm::Blake3, 2);
    let mut refused = Vec::new();
    for operation in Operation::ALL {
        let drafts = [crate::common::draft(2), Draft::new(*operation, Outcome::Done)];
        match writer.append(&drafts) {
            Err(AppendError::Reserved(reserved)) => refused.push(reserved.as_str()),
            other => drop(other.unwrap()),
        }
    }
    insta::assert_snapshot!(refused.join(" "), @"genesis repair clock.step audit.seal audit.key-rotate");
    assert_eq!(writer.size() as usize, 2 + 2 * (Operation::ALL.len() - 5));
    assert_eq!(writer.sealed(), 1);
}
