//! The files of a trail, of which somebody changed one: in a directory, and in a tar file.

use std::collections::BTreeMap;
use std::fs;
use std::sync::LazyLock;

use audit_log::{Expectation, Report, Verdict, Verifier, verify, verify_bundle};

use crate::audit_trail::{TRAILS, Trail};
use crate::shape::{Source, shape};

/// Any bytes as the segment or as a checkpoint of a trail.
///
/// # Panics
/// When files and the same lines one by one have two verdicts, when a changed trail is sound, or
/// when what a person reads holds control characters.
pub fn audit_files(orders: &[u8]) {
    let mut source = Source(orders);
    let trail = &TRAILS[usize::from(source.byte() % 2)];
    let (mut lines, mut checkpoints) = (trail.lines.clone(), trail.checkpoints.clone());
    match source.byte() % 2 {
        0 => lines = shape(std::slice::from_ref(&trail.lines), source.0),
        _ => {
            let sizes: Vec<u64> = checkpoints.keys().copied().collect();
            let notes: Vec<_> = checkpoints.values().cloned().collect();
            let size = source.choice(&sizes);
            checkpoints.insert(size, shape(&notes, source.0));
        }
    }
    let is_whole = lines == trail.lines && checkpoints == trail.checkpoints;
    let dir = tempfile::tempdir().expect("a directory");
    let write = |name: String, bytes: &[u8]| fs::write(dir.path().join(name), bytes);
    write("segment-00000000000000000000.jsonl".to_owned(), &lines).expect("a disk");
    for (size, note) in &checkpoints {
        write(format!("checkpoint-{size:020}.note"), note).expect("a disk");
    }
    for expectation in [Expectation::default(), trail.expectation()] {
        let report = verify(dir.path(), &expectation).expect("files of our own");
        let one_by_one = one_by_one(&lines, &checkpoints, &expectation);
        // A line without an end is only torn when it comes from a file.
        if lines.is_empty() || lines.ends_with(b"\n") {
            assert_eq!(comparable(&report), comparable(&one_by_one));
        }
        check(&report, trail, is_whole);
    }
}

fn one_by_one(
    lines: &[u8],
    checkpoints: &BTreeMap<u64, Vec<u8>>,
    expectation: &Expectation,
) -> Report {
    let mut verifier = Verifier::with_checkpoints(expectation.clone(), checkpoints.clone());
    for line in lines.split_inclusive(|byte| *byte == b'\n') {
        if verifier.feed(line).is_err() {
            break;
        }
    }
    verifier.finish()
}

/// All but the name of the file, which lines alone don't have.
fn comparable(report: &Report) -> Report {
    let mut report = report.clone();
    if let Some(finding) = &mut report.finding {
        (finding.file, finding.line) = (None, None);
    }
    report
}

fn check(report: &Report, trail: &Trail, is_whole: bool) {
    let sentence = report.to_string();
    assert!(!sentence.chars().any(char::is_control), "{sentence:?}");
    if is_whole {
        assert_eq!(report.verdict, Verdict::Sound, "{sentence}");
    }
    // What the key signed and the head fixes is this trail; a part of it is sound without the head.
    if report.verdict == Verdict::Sound && report.key_was_given {
        assert_eq!(report.head, Some(trail.head), "{sentence}");
    }
}

static TARS: LazyLock<Vec<Vec<u8>>> =
    LazyLock::new(|| TRAILS.iter().map(|trail| trail.tar.clone()).collect());

/// A tar file that an export wrote, changed; its headers are made to fit again.
///
/// # Panics
/// When another trail than the exported one is sound in it, or when what a person reads holds
/// control characters.
pub fn audit_archive(orders: &[u8]) {
    let mut tar = shape(&TARS, orders);
    if orders.len().is_multiple_of(2) {
        mend(&mut tar);
    }
    let file = tempfile::NamedTempFile::new().expect("a file");
    fs::write(file.path(), &tar).expect("a disk");
    for trail in TRAILS.iter() {
        let report = verify_bundle(file.path(), &trail.expectation()).expect("a file of our own");
        check(&report, trail, tar == trail.tar);
    }
}

/// Gives each header the sum that it should have, so that its other fields are looked at.
fn mend(tar: &mut [u8]) {
    for block in tar.chunks_exact_mut(512) {
        if &block[257..262] == b"ustar" {
            block[148..156].fill(b' ');
            let sum: u32 = block.iter().map(|byte| u32::from(*byte)).sum();
            block[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
        }
    }
}
