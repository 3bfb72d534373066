//! A forger at work on the files of a trail, under both hashes: what each forgery is called.

#![allow(clippy::unwrap_used, reason = "a test that panics has failed")]

mod common;

use std::fs;
use std::path::Path;

use audit_log::{Expectation, HashAlgorithm, Head, Verdict, verify};
use common::{
    SEGMENT, check, copy, draft, edit, hash_anew, load, make, nth, outcome, segments, store,
};

type Lines = Vec<Vec<Vec<u8>>>;
type Forgery = (&'static str, fn(&mut Lines, HashAlgorithm));

/// What the chain alone gives away.
const FORGERIES: &[Forgery] = &[
    ("nothing", |_, _| {}),
    ("edit the first entry", |lines, _| edit(lines, 0, "example.org", "example.com")),
    ("edit a middle entry", |lines, _| edit(lines, 5, "alice", "mallo")),
    ("edit the last entry", |lines, _| edit(lines, 11, "authorised", "refused")),
    ("edit an entry and its hash", |lines, algorithm| {
        edit(lines, 5, "alice", "mallo");
        hash_anew(lines, algorithm, 5..6);
        // Its successor still names the entry that was.
    }),
    ("edit the hash of an entry", |lines, _| {
        let line = nth(lines, 5);
        let digit = line.len() - 5;
        line[digit] = if line[digit] == b'0' { b'1' } else { b'0' };
    }),
    ("edit a sequence number", |lines, _| edit(lines, 5, "\"seq\":5", "\"seq\":6")),
    ("edit the time", |lines, _| edit(lines, 5, "\"time\":\"20", "\"time\":\"21")),
    ("name the other hash", |lines, algorithm| match algorithm {
        HashAlgorithm::Blake3 => edit(lines, 0, "blake3", "sha256"),
        HashAlgorithm::Sha256 => edit(lines, 0, "sha256", "blake3"),
    }),
    ("delete the first entry", |lines, _| drop(lines[0].remove(0))),
    ("delete a middle entry", |lines, _| drop(lines[1].remove(1))),
    ("delete the first entry of a segment", |lines, _| drop(lines[1].remove(0))),
    ("delete the last entry of a segment", |lines, _| drop(lines[1].pop())),
    ("delete two entries", |lines, _| drop(lines[1].drain(..2))),
    ("delete the first segment", |lines, _| lines[0].clear()),
    ("delete a middle segment", |lines, _| lines[1].clear()),
    ("swap two entries", |lines, _| lines[1].swap(0, 1)),
    ("swap the first two entries", |lines, _| lines[0].swap(0, 1)),
    ("swap the last two entries", |lines, _| lines[3].swap(0, 1)),
    ("move an entry to the end", |lines, _| {
        let line = lines[0].remove(1);
        lines[3].push(line);
    }),
    ("move an entry to the front", |lines, _| {
        let line = lines[3].remove(0);
        lines[0].insert(1, line);
    }),
    ("swap two segments", |lines, _| lines.swap(1, 2)),
    ("repeat an entry", |lines, _| {
        let line = lines[1][1].clone();
        lines[1].insert(1, line);
    }),
    ("repeat the last entry", |lines, _| {
        let line = lines[3][0].clone();
        lines[3].insert(1, line);
    }),
    ("repeat a segment", |lines, _| {
        let again = lines[1].clone();
        lines[1].extend(again);
    }),
    ("cut the last line short", |lines, _| drop(nth(lines, 11).drain(30..))),
    ("cut the last newline off", |lines, _| {
        nth(lines, 11).pop();
    }),
    ("cut a segment short", |lines, _| drop(nth(lines, 2).drain(30..))),
];

#[test]
fn each_forgery_has_its_verdict_under_both_hashes() {
    let mut outcomes = [String::new(), String::new()];
    for (algorithm, outcomes) in HashAlgorithm::ALL.into_iter().zip(&mut outcomes) {
        for (name, forge) in FORGERIES {
            let dir = tempfile::tempdir().unwrap();
            let trail = dir.path().join("trail");
            drop(make(&trail, algorithm, 12));
            let mut lines = load(&trail);
            assert_eq!(lines.iter().map(Vec::len).collect::<Vec<_>>(), [3, 3, 3, 3], "segments");
            forge(&mut lines, algorithm);
            store(&trail, &lines);
            *outcomes += &format!("{name}\n    {}\n", outcome(&check(&trail)));
        }
    }
    assert_eq!(outcomes[0], outcomes[1]);
    insta::assert_snapshot!(outcomes[0]);
}

/// A forgery with a trail, the head that it had before, and what is expected of it after.
fn expected_after(
    forge: impl Fn(&Path, HashAlgorithm),
    expect: impl Fn(Head) -> Expectation,
) -> (Verdict, String) {
    let [one, other] = HashAlgorithm::ALL.map(|algorithm| {
        let dir = tempfile::tempdir().unwrap();
        let trail = dir.path().join("trail");
        let writer = make(&trail, algorithm, 12);
        let head = writer.head();
        drop(writer);
        let expectation = expect(head);
        assert_eq!(verify(&trail, &expectation).unwrap().verdict, Verdict::Sound);
        forge(&trail, algorithm);
        let report = verify(&trail, &expectation).unwrap();
        (report.verdict, outcome(&report))
    });
    assert_eq!(one, other);
    one
}

fn with_head(head: Head) -> Expectation {
    Expectation { head: Some(head), ..Expectation::default() }
}

fn with_manifest(head: Head) -> Expectation {
    Expectation { manifest: Some(head), ..Expectation::default() }
}

fn drop_last_entry(trail: &Path, _: HashAlgorithm) {
    let mut lines = load(trail);
    lines[3].pop();
    store(trail, &lines);
}

fn drop_last_segment(trail: &Path, _: HashAlgorithm) {
    fs::remove_file(&segments(trail)[3]).unwrap();
}

#[test]
fn a_chain_alone_does_not_tell_that_its_end_is_missing() {
    let nothing = |_| Expectation::default();
    assert_eq!(expected_after(drop_last_entry, nothing).0, Verdict::Sound);
    assert_eq!(expected_after(drop_last_segment, nothing).0, Verdict::Sound);
}

#[test]
fn a_missing_end_contradicts_a_manifest() {
    let (verdict, sentence) = expected_after(drop_last_entry, with_manifest);
    assert_eq!(verdict, Verdict::Truncated);
    insta::assert_snapshot!(sentence);
    assert_eq!(expected_after(drop_last_segment, with_manifest).0, Verdict::Truncated);
}

#[test]
fn a_missing_end_contradicts_an_expected_head_or_size() {
    let (verdict, sentence) = expected_after(drop_last_entry, with_head);
    assert_eq!(verdict, Verdict::RolledBack);
    insta::assert_snapshot!(sentence);
    let with_size = |head: Head| Expectation { size: Some(head.size), ..Expectation::default() };
    assert_eq!(expected_after(drop_last_segment, with_size).0, Verdict::RolledBack);
}

#[test]
fn an_older_copy_is_a_rollback() {
    let dir = tempfile::tempdir().unwrap();
    let (trail, older) = (dir.path().join("trail"), dir.path().join("older"));
    let mut writer = make(&trail, HashAlgorithm::Blake3, 5);
    copy(&trail, &older);
    let then = writer.head();
    writer.append(&[draft(5)]).unwrap();
    assert_eq!(verify(&older, &with_head(then)).unwrap().verdict, Verdict::Sound);
    assert_eq!(verify(&older, &with_head(writer.head())).unwrap().verdict, Verdict::RolledBack);
    // A head from before is kept by the trail that went on.
    assert_eq!(verify(&trail, &with_head(then)).unwrap().verdict, Verdict::Sound);
}

#[test]
fn hashing_everything_anew_needs_a_head_to_be_seen() {
    let forge = |trail: &Path, algorithm| {
        let mut lines = load(trail);
        edit(&mut lines, 5, "alice", "mallo");
        hash_anew(&mut lines, algorithm, 5..);
        store(trail, &lines);
    };
    assert_eq!(expected_after(forge, |_| Expectation::default()).0, Verdict::Sound);
    let (verdict, sentence) = expected_after(forge, with_head);
    assert_eq!(verdict, Verdict::Rewritten);
    insta::assert_snapshot!(sentence);
    assert_eq!(expected_after(forge, with_manifest).0, Verdict::Rewritten);
}

#[test]
fn another_trail_of_the_same_length_is_a_rewrite() {
    let forge = |trail: &Path, algorithm| {
        fs::remove_dir_all(trail).unwrap();
        drop(make(trail, algorithm, 12));
    };
    assert_eq!(expected_after(forge, with_head).0, Verdict::Rewritten);
}

#[test]
fn entries_that_the_manifest_does_not_count_are_a_rewrite() {
    let forge = |trail: &Path, _| {
        let (mut writer, _) = audit_log::Writer::open(trail, SEGMENT).unwrap();
        writer.append(&[draft(12)]).unwrap();
    };
    let (verdict, sentence) = expected_after(forge, with_manifest);
    assert_eq!(verdict, Verdict::Rewritten);
    insta::assert_snapshot!(sentence);
}

#[test]
fn an_empty_or_missing_directory_is_absent() {
    let dir = tempfile::tempdir().unwrap();
    let report = check(dir.path());
    insta::assert_snapshot!(outcome(&report));
    assert_eq!(check(&dir.path().join("missing")), report);
    fs::write(dir.path().join("segment-00000000000000000000.jsonl"), "").unwrap();
    assert_eq!(check(dir.path()).verdict, Verdict::Absent);
}

#[test]
fn a_last_segment_without_entries_is_what_a_crash_leaves_unless_its_name_promises_more() {
    let dir = tempfile::tempdir().unwrap();
    let trail = dir.path().join("trail");
    drop(make(&trail, HashAlgorithm::Blake3, 12));
    let last = trail.join("segment-00000000000000000012.jsonl");
    fs::write(&last, "").unwrap();
    assert_eq!(check(&trail).verdict, Verdict::Sound);
    fs::rename(&last, trail.join("segment-00000000000000000013.jsonl")).unwrap();
    insta::assert_snapshot!(outcome(&check(&trail)));
}
