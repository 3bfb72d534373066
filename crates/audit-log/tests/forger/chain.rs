//! Forgeries of the entries: what the chain gives away.

use audit_log::{Expectation, HashAlgorithm, Verdict, verify, verify_bundle};

use crate::common::{check, copy, make, outcome};
use crate::scene::{Forgery, Form, SEALED, Scene, after, table};

const ENTRIES: &[Forgery] = &[
    ("nothing", |_, _| {}),
    ("edit the first entry", |it, _| it.edit(0, "example.org", "example.com")),
    ("edit a middle entry", |it, _| it.edit(5, "alice", "mallo")),
    ("edit the last entry", |it, _| it.edit(23, "done", "failed")),
    ("edit an entry and its hash", |it, scene| {
        let next = it.line(6).clone();
        it.edit(5, "alice", "mallo");
        it.hash_anew(scene.hash, 5);
        let all = scene.forged();
        for n in 6..it.lines.len() {
            it.line(n).clone_from(&all.lines[n].1);
        }
        assert_eq!(*it.line(6), next);
    }),
    ("edit the hash of an entry", |it, _| {
        let line = it.line(5);
        let digit = line.len() - 5;
        line[digit] = if line[digit] == b'0' { b'1' } else { b'0' };
    }),
    ("edit a sequence number", |it, _| it.edit(5, "\"seq\":5", "\"seq\":6")),
    ("edit the time", |it, _| it.edit(5, "\"time\":\"20", "\"time\":\"21")),
    ("name the other hash", |it, scene| match scene.hash {
        HashAlgorithm::Blake3 => it.edit(0, "blake3", "sha256"),
        HashAlgorithm::Sha256 => it.edit(0, "sha256", "blake3"),
    }),
    ("delete the first entry", |it, _| it.delete(..1)),
    ("delete a middle entry", |it, _| it.delete(5..6)),
    ("delete two entries", |it, _| it.delete(5..7)),
    ("delete an entry that seals", |it, _| it.delete(7..8)),
    ("swap two entries", |it, _| it.swap(5, 6)),
    ("swap the first two entries", |it, _| it.swap(0, 1)),
    ("swap the last two entries", |it, _| it.swap(22, 23)),
    ("move an entry to the end", |it, _| {
        it.repeat(5, 24);
        it.delete(5..6);
    }),
    ("move an entry to the front", |it, _| {
        it.repeat(20, 1);
        it.delete(21..22);
    }),
    ("repeat an entry", |it, _| it.repeat(5, 6)),
    ("repeat the first entry", |it, _| it.repeat(0, 1)),
    ("repeat the last entry", |it, _| it.repeat(23, 24)),
    ("cut the last line short", |it, _| it.line(23).truncate(30)),
    ("cut the last newline off", |it, _| {
        it.line(23).pop();
    }),
    ("cut a middle line short", |it, _| {
        it.line(5).truncate(30);
        it.line(5).push(b'\n');
    }),
    ("end lines as Windows does", |it, _| {
        it.line(5).pop();
        it.line(5).extend_from_slice(b"\r\n");
    }),
    ("invalid UTF-8", |it, _| it.line(5)[80] = 0xff),
    ("a field twice", |it, _| it.edit(5, "\"seq\":5,", "\"seq\":5,\"seq\":5,")),
    ("a number out of range", |it, _| it.edit(5, "\"seq\":5,", "\"seq\":18446744073709551616,")),
    ("a negative number", |it, _| it.edit(5, "\"seq\":5,", "\"seq\":-5,")),
    ("a blank line", |it, _| it.line(5).push(b'\n')),
    ("a byte order mark", |it, _| drop(it.line(0).splice(..0, *b"\xef\xbb\xbf"))),
    ("an empty trail", |it, _| it.delete(..)),
];

#[test]
fn each_forgery_of_entries_has_its_verdict() {
    insta::assert_snapshot!(table(&SEALED, &Form::ALL, ENTRIES));
}

/// An export has larger segments than a small trail fills.
const SEGMENTS: &[Forgery] = &[
    ("delete the first segment", |it, _| it.delete_segment(0)),
    ("delete a middle segment", |it, _| it.delete_segment(1)),
    ("delete the last segment", |it, _| it.delete_segment(it.segment_count() - 1)),
    ("delete the first entry of a segment", |it, _| {
        let start = it.start(1);
        it.delete(start..=start);
    }),
    ("delete the last entry of a segment", |it, _| {
        let next = it.start(2);
        it.delete(next - 1..next);
    }),
    ("swap two segments", |it, _| {
        for (segment, _) in &mut it.lines {
            *segment = [0, 2, 1, 3][*segment];
        }
    }),
    ("repeat a segment", |it, _| {
        let again: Vec<_> = it.lines.iter().filter(|(segment, _)| *segment == 1).cloned().collect();
        let next = it.start(2);
        it.lines.splice(next..next, again);
    }),
    ("cut a segment short", |it, _| {
        let next = it.start(2);
        it.line(next - 1).truncate(30);
    }),
];

#[test]
fn each_forgery_of_segments_has_its_verdict() {
    assert_eq!(SEALED[0].forged().segment_count(), 4);
    insta::assert_snapshot!(table(&SEALED, &[Form::Bare], SEGMENTS));
}

#[test]
fn the_place_of_a_bad_entry_is_named_in_every_form() {
    let place = |form| {
        let mut forged = SEALED[0].forged();
        forged.edit(5, "alice", "mallo");
        let finding = after(form, &SEALED[0], &forged, &Expectation::default()).finding.unwrap();
        finding.to_string()
    };
    insta::assert_snapshot!(Form::ALL.map(place).join("\n"));
}

/// What is known of the trail from before tells that its end is missing, whoever took it.
#[test]
fn an_older_copy_is_a_rollback() {
    for hash in HashAlgorithm::ALL {
        let dir = tempfile::tempdir().unwrap();
        let (trail, older) = (dir.path().join("trail"), dir.path().join("older"));
        let mut writer = make(&trail, hash, 5);
        copy(&trail, &older);
        let then = writer.head();
        writer.append(&[crate::common::draft(5)]).unwrap();
        let verdict = |dir, head: audit_log::Head| {
            let expectation = Expectation { head: Some(head.into()), ..Expectation::default() };
            verify(dir, &expectation).unwrap().verdict
        };
        assert_eq!(verdict(&older, then), Verdict::Sound);
        assert_eq!(verdict(&older, writer.head()), Verdict::RolledBack);
        // A head from before is kept by the trail that went on.
        assert_eq!(verdict(&trail, then), Verdict::Sound);
        let size = Expectation { size: Some(6), ..Expectation::default() };
        assert_eq!(verify(&older, &size).unwrap().verdict, Verdict::RolledBack);
        // And a checkpoint of today beside the entries of yesterday says so itself.
        writer.seal(crate::common::seal(), crate::common::keys()).unwrap();
        let name = crate::common::forged::checkpoint_name(7);
        std::fs::copy(trail.join(&name), older.join(&name)).unwrap();
        assert_eq!(check(&older).verdict, Verdict::Truncated);
    }
}

#[test]
fn an_empty_or_missing_directory_is_absent() {
    let dir = tempfile::tempdir().unwrap();
    let report = check(dir.path());
    insta::assert_snapshot!(outcome(&report));
    assert_eq!(check(&dir.path().join("missing")), report);
    let bundle = |path| verify_bundle(path, &Expectation::default()).unwrap();
    assert_eq!(bundle(dir.path()), report);
    assert_eq!(bundle(&dir.path().join("missing.tar")), report);
    std::fs::write(dir.path().join("segment-00000000000000000000.jsonl"), "").unwrap();
    assert_eq!(check(dir.path()).verdict, Verdict::Absent);
}

#[test]
fn a_last_segment_without_entries_is_what_a_crash_leaves_unless_its_name_promises_more() {
    let dir = tempfile::tempdir().unwrap();
    let trail = dir.path().join("trail");
    drop(make(&trail, HashAlgorithm::Blake3, 12));
    let last = trail.join("segment-00000000000000000012.jsonl");
    std::fs::write(&last, "").unwrap();
    assert_eq!(check(&trail).verdict, Verdict::Sound);
    std::fs::rename(&last, trail.join("segment-00000000000000000013.jsonl")).unwrap();
    insta::assert_snapshot!(outcome(&check(&trail)));
}

/// The hash is chosen once, so a forger can't go on with the other one.
#[test]
fn the_hash_of_a_trail_stays_the_same() {
    for Scene { hash, .. } in SEALED.iter() {
        let other = HashAlgorithm::ALL.into_iter().find(|other| other != hash).unwrap();
        let scene = SEALED.iter().find(|scene| scene.hash == *hash).unwrap();
        let mut forged = scene.forged();
        forged.hash_anew(other, 16);
        let report = after(Form::Bare, scene, &forged, &Expectation::default());
        let finding = report.finding.unwrap();
        assert_eq!((finding.verdict, finding.seq), (Verdict::Edited, Some(16)));
    }
}
