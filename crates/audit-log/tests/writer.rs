//! The writer: what it makes is sound, alone, and survives a power cut.

#![allow(clippy::unwrap_used, reason = "a test that panics has failed")]

mod common;

use std::fs::{self, File};
use std::io::Write;

use audit_log::{
    AppendError, CreateError, Draft, HashAlgorithm, MAX_LINE, OpenError, Operation, Outcome,
    Verdict, Writer, parse_line,
};
use common::{SEGMENT, check, copy, draft, genesis, keys, load, make, segments};

#[test]
fn a_batch_crosses_segments_and_reads_back_in_pages_of_any_size() {
    let dir = tempfile::tempdir().unwrap();
    let trail = dir.path().join("trail");
    let mut writer = make(&trail, HashAlgorithm::Blake3, 1);
    let drafts: Vec<_> = (1..40).map(draft).collect();
    let appended = writer.append(&drafts).unwrap();
    assert_eq!(
        appended.iter().map(|entry| entry.seq).collect::<Vec<_>>(),
        (1..40).collect::<Vec<_>>()
    );
    assert!(segments(&trail).len() > 5);
    for path in segments(&trail) {
        assert!(fs::metadata(path).unwrap().len() <= SEGMENT);
    }
    let report = check(&trail);
    assert_eq!((report.verdict, report.head), (Verdict::Sound, Some(writer.head())));

    let all = load(&trail).concat().concat();
    for max_bytes in [0, 1, 500, 1000, 4096, 1 << 20] {
        let (mut from, mut read) = (0, Vec::new());
        loop {
            let page = writer.read(from, max_bytes).unwrap();
            let lines = page.iter().filter(|byte| **byte == b'\n').count() as u64;
            if lines == 0 {
                break;
            }
            assert!(page.len() <= max_bytes || lines == 1);
            (from, read) = (from + lines, [read, page].concat());
        }
        assert_eq!((from, &read), (40, &all), "pages of {max_bytes}");
    }
    for from in (0..40).rev() {
        let line = writer.read(from, 1).unwrap();
        assert_eq!(parse_line(&line).unwrap().seq, from);
    }
    assert!(writer.read(40, 1).unwrap().is_empty());
}

#[test]
fn a_trail_goes_on_where_it_was_left() {
    let dir = tempfile::tempdir().unwrap();
    let trail = dir.path().join("trail");
    let writer = make(&trail, HashAlgorithm::Sha256, 7);
    let head = writer.head();
    drop(writer);
    let (mut writer, repair) = Writer::open(&trail, SEGMENT).unwrap();
    assert_eq!((repair, writer.head()), (None, head));
    assert_eq!(*writer.genesis(), genesis(HashAlgorithm::Sha256));
    assert_eq!(writer.append(&[draft(7)]).unwrap()[0].seq, 7);
    assert!(writer.append(&[]).unwrap().is_empty());
    assert_eq!(check(&trail).entries, 8);
}

#[test]
fn two_writers_are_one_too_many() {
    let dir = tempfile::tempdir().unwrap();
    let trail = dir.path().join("trail");
    let writer = make(&trail, HashAlgorithm::Blake3, 2);
    assert!(matches!(Writer::open(&trail, SEGMENT), Err(OpenError::Locked(_))));
    let again = Writer::create(&trail, &genesis(HashAlgorithm::Blake3), None, SEGMENT, keys());
    assert!(matches!(again, Err(CreateError::Locked(_))));
    drop(writer);
    assert!(Writer::open(&trail, SEGMENT).is_ok());
}

#[test]
fn only_an_empty_directory_becomes_a_trail() {
    let dir = tempfile::tempdir().unwrap();
    let create = |name: &str| {
        Writer::create(
            &dir.path().join(name),
            &genesis(HashAlgorithm::Blake3),
            None,
            SEGMENT,
            keys(),
        )
    };
    drop(create("trail").unwrap());
    assert!(matches!(create("trail"), Err(CreateError::NotEmpty(_))));
    // What a crash in the middle of it leaves.
    fs::create_dir(dir.path().join("crashed")).unwrap();
    fs::write(dir.path().join("crashed/new.tmp"), "{\"seq\":").unwrap();
    let crashed = Writer::open(&dir.path().join("crashed"), SEGMENT);
    assert!(matches!(crashed, Err(OpenError::Absent(_))));
    drop(create("crashed").unwrap());
    assert_eq!(check(&dir.path().join("crashed")).verdict, Verdict::Sound);

    assert!(matches!(create("no/parent"), Err(CreateError::Io { .. })));
    let missing = Writer::open(&dir.path().join("missing"), SEGMENT);
    assert!(matches!(missing, Err(OpenError::Absent(_))));
}

/// The power fails at every byte of the last line, and leaves zeros or nothing behind it.
#[test]
fn a_torn_last_line_becomes_a_repair_entry() {
    let dir = tempfile::tempdir().unwrap();
    let (trail, torn) = (dir.path().join("trail"), dir.path().join("torn"));
    drop(make(&trail, HashAlgorithm::Blake3, 6));
    let line = load(&trail)[1][1].clone();
    let whole = fs::metadata(&segments(&trail)[1]).unwrap().len();
    for (kept, zeros) in
        (1..line.len()).map(|kept| (kept, 0)).chain([(0, 700), (100, 4096), (100, 1 << 20)])
    {
        let _ = fs::remove_dir_all(&torn);
        copy(&trail, &torn);
        let path = segments(&torn).remove(1);
        let file = File::options().write(true).open(path).unwrap();
        file.set_len(whole - (line.len() - kept) as u64).unwrap();
        file.set_len(whole - (line.len() - kept) as u64 + zeros).unwrap();
        assert_eq!(check(&torn).verdict, Verdict::Truncated);

        let (mut writer, repair) = Writer::open(&torn, SEGMENT).unwrap();
        let repair = repair.unwrap();
        let cut = [line[..kept].to_vec(), vec![0; zeros as usize]].concat();
        assert_eq!((repair.seq, repair.bytes), (5, cut.len() as u64));
        assert_eq!(repair.digest.0, *blake3::hash(&cut).as_bytes());
        let entry = parse_line(&writer.read(5, 1).unwrap()).unwrap();
        assert_eq!(entry.operation, Operation::Repair);
        assert_eq!(entry.detail["bytes"], cut.len().to_string());
        assert_eq!(entry.detail["blake3"], repair.digest.to_string());
        assert_eq!(writer.append(&[draft(6)]).unwrap()[0].seq, 6);
        let report = check(&torn);
        assert_eq!((report.verdict, report.entries), (Verdict::Sound, 7));
        drop(writer);
        assert!(Writer::open(&torn, SEGMENT).unwrap().1.is_none());
    }
}

#[test]
fn an_empty_last_segment_is_used() {
    let dir = tempfile::tempdir().unwrap();
    let trail = dir.path().join("trail");
    drop(make(&trail, HashAlgorithm::Blake3, 6));
    let empty = trail.join("segment-00000000000000000006.jsonl");
    fs::write(&empty, "").unwrap();
    let (mut writer, repair) = Writer::open(&trail, SEGMENT).unwrap();
    assert_eq!(repair, None);
    writer.append(&[draft(6)]).unwrap();
    assert!(fs::metadata(&empty).unwrap().len() > 0);
    drop(writer);
    // The first line of a segment can be torn too.
    File::options().write(true).open(&empty).unwrap().set_len(10).unwrap();
    let (_writer, repair) = Writer::open(&trail, SEGMENT).unwrap();
    assert_eq!(repair.unwrap().bytes, 10);
    assert_eq!(check(&trail).entries, 7);
}

#[test]
fn damage_is_left_as_it_is() {
    let dir = tempfile::tempdir().unwrap();
    let trail = dir.path().join("trail");
    drop(make(&trail, HashAlgorithm::Blake3, 6));
    let mut lines = load(&trail);
    common::edit(&mut lines, 4, "alice", "mallo");
    common::store(&trail, &lines);
    // A torn end doesn't distract from it.
    File::options().append(true).open(&segments(&trail)[1]).unwrap().write_all(b"{").unwrap();
    let before = load(&trail);
    let error = Writer::open(&trail, SEGMENT).unwrap_err();
    assert!(
        matches!(&error, OpenError::Damaged { report, .. } if report.verdict == Verdict::Edited)
    );
    let text = error.to_string().replace(&trail.display().to_string(), "TRAIL");
    insta::assert_snapshot!(text);
    assert_eq!(load(&trail), before);
}

#[test]
fn a_draft_that_is_too_large_leaves_no_trace() {
    let dir = tempfile::tempdir().unwrap();
    let trail = dir.path().join("trail");
    let mut writer = make(&trail, HashAlgorithm::Blake3, 2);
    let before = load(&trail);
    let base = Draft::new(Operation::SecretSet, Outcome::Failed);
    let fixed = {
        writer.append(&[base.clone().subject("x")]).unwrap();
        writer.read(2, 1).unwrap().len() - 1
    };
    let fitting = base.clone().subject("x".repeat(MAX_LINE - fixed));
    let larger = base.subject("x".repeat(MAX_LINE - fixed + 1));
    let error = writer.append(&[draft(3), larger]).unwrap_err();
    assert!(matches!(error, AppendError::TooLarge { index: 1, bytes } if bytes == MAX_LINE + 1));
    assert_eq!(writer.size(), 3);
    writer.append(&[fitting]).unwrap();
    assert_eq!(writer.read(3, 1).unwrap().len(), MAX_LINE);
    assert_eq!(check(&trail).entries, 4);
    assert_eq!(load(&trail)[0][..2], before[0][..2]);
}

#[test]
fn control_characters_stay_inside_their_line() {
    let dir = tempfile::tempdir().unwrap();
    let mut writer = make(&dir.path().join("trail"), HashAlgorithm::Blake3, 1);
    let subject = "a\nb\r\0\u{7f}\u{2028}\"\\é\u{1f600}";
    writer.append(&[draft(1).subject(subject).profile("")]).unwrap();
    let entry = parse_line(&writer.read(1, 1).unwrap()).unwrap();
    assert_eq!((entry.subject.as_deref(), entry.profile), (Some(subject), None));
    assert_eq!(check(writer.path()).verdict, Verdict::Sound);
}
