//! What holds for all inputs.

#![allow(clippy::unwrap_used, reason = "a test that panics has failed")]

mod common;

use audit_log::{
    Actor, Draft, Expectation, HashAlgorithm, Operation, Outcome, Verdict, Verifier, Writer,
    parse_line,
};
use common::{SEGMENT, genesis, keys, load, make};
use proptest::collection::{btree_map, vec};
use proptest::prelude::*;

fn verdict(trail: &[u8]) -> Verdict {
    let mut verifier = Verifier::new(Expectation::default());
    for line in trail.split_inclusive(|byte| *byte == b'\n') {
        if let Err(finding) = verifier.feed(line) {
            return finding.verdict;
        }
    }
    verifier.finish().verdict
}

fn trail(algorithm: HashAlgorithm, entries: u64) -> Vec<Vec<u8>> {
    let dir = tempfile::tempdir().unwrap();
    drop(make(&dir.path().join("trail"), algorithm, entries));
    load(&dir.path().join("trail")).concat()
}

#[test]
fn no_single_bit_can_be_flipped() {
    for algorithm in HashAlgorithm::ALL {
        let mut bytes = trail(algorithm, 3).concat();
        assert_eq!(verdict(&bytes), Verdict::Sound);
        for bit in 0..bytes.len() * 8 {
            bytes[bit / 8] ^= 1 << (bit % 8);
            assert_ne!(verdict(&bytes), Verdict::Sound, "{algorithm}, bit {bit}");
            bytes[bit / 8] ^= 1 << (bit % 8);
        }
    }
}

fn text() -> impl Strategy<Value = Option<String>> {
    prop_oneof![Just(None), any::<String>().prop_map(Some)]
}

fn actor() -> impl Strategy<Value = Option<Actor>> {
    let actor = (any::<u32>(), any::<u32>(), any::<Option<[u8; 32]>>(), text());
    let actor = actor.prop_map(|(uid, pid, key, name)| {
        let actor = Actor { name, ..Actor::new(uid, pid) };
        key.map_or(actor.clone(), |key| actor.with_key(key))
    });
    prop_oneof![Just(None), actor.prop_map(Some)]
}

fn draft() -> impl Strategy<Value = Draft> {
    let operation = proptest::sample::select(Operation::ALL)
        .prop_filter("some are the writer's own", |operation| !operation.is_the_writers_own());
    let outcome = proptest::sample::select(&Outcome::ALL);
    let detail = btree_map(any::<String>(), any::<String>(), 0..5);
    (operation, outcome, text(), text(), actor(), actor(), detail).prop_map(
        |(operation, outcome, profile, subject, actor, reporter, detail)| Draft {
            operation,
            outcome,
            profile,
            subject,
            actor,
            reporter,
            detail,
        },
    )
}

proptest! {
    #[test]
    fn any_bytes_are_safe_to_parse(bytes in vec(any::<u8>(), 0..600)) {
        let _ = parse_line(&bytes);
        let _ = verdict(&bytes);
    }

    /// Bytes that are almost a line: if they parse, then they are the one spelling of the entry.
    #[test]
    fn a_line_has_one_spelling(at in 0usize..400, cut in 0usize..4, put in "[ \\\\\",:{}a0-9]{0,4}") {
        let mut line = trail(HashAlgorithm::Blake3, 2).remove(1);
        let at = at.min(line.len());
        let end = (at + cut).min(line.len());
        line.splice(at..end, put.bytes());
        if let Ok(entry) = parse_line(&line) {
            let mut again = serde_json::to_vec(&entry).unwrap();
            again.push(b'\n');
            prop_assert_eq!(line, again);
        }
    }

    #[test]
    fn every_draft_comes_back(drafts in vec(draft(), 1..6)) {
        let dir = tempfile::tempdir().unwrap();
        let trail = dir.path().join("trail");
        let mut writer = Writer::create(&trail, &genesis(HashAlgorithm::Sha256), None, SEGMENT, keys()).unwrap();
        let appended = writer.append(&drafts).unwrap();
        prop_assert_eq!(common::check(&trail).verdict, Verdict::Sound);
        let some = |text: &Option<String>| text.clone().filter(|text| !text.is_empty());
        let named = |actor: &Option<Actor>| {
            actor.clone().map(|actor| Actor { name: some(&actor.name), ..actor })
        };
        for (draft, appended) in drafts.iter().zip(appended) {
            let entry = parse_line(&writer.read(appended.seq, 1).unwrap()).unwrap();
            prop_assert_eq!((entry.hash, entry.time), (appended.hash, appended.time));
            prop_assert_eq!((entry.operation, entry.outcome), (draft.operation, draft.outcome));
            prop_assert_eq!(&entry.profile, &some(&draft.profile));
            prop_assert_eq!(&entry.subject, &some(&draft.subject));
            prop_assert_eq!(&entry.actor, &named(&draft.actor));
            prop_assert_eq!(&entry.reporter, &named(&draft.reporter));
            prop_assert_eq!(&entry.detail, &draft.detail);
        }
    }

    /// Whichever lines are taken, in whichever order: only a beginning of the trail is sound.
    #[test]
    fn no_other_selection_of_the_lines_is_sound(numbers in vec(0usize..6, 0..8)) {
        let lines = trail(HashAlgorithm::Blake3, 6);
        let forged: Vec<u8> = numbers.iter().flat_map(|n| lines[*n].clone()).collect();
        let is_beginning = !numbers.is_empty() && numbers.iter().copied().eq(0..numbers.len());
        prop_assert_eq!(verdict(&forged) == Verdict::Sound, is_beginning);
    }
}
