//! The bundle: what is carried away is what was there, and it shows when it no longer is.

#![allow(clippy::unwrap_used, reason = "a test that panics has failed")]

mod common;

use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

use audit_log::{
    Expectation, ExportError, Exporter, HashAlgorithm, Manifest, Report, Verdict, verify_bundle,
};
use common::{
    check, copy, draft, edit, hash_anew, keys, load, make, make_sealed, outcome, push_checkpoints,
    seal, segments, store,
};

/// Exports a trail of 12 entries, which goes on afterwards.
fn export(dir: &Path) -> (PathBuf, Manifest) {
    export_as(dir, "bundle")
}

fn export_as(dir: &Path, name: &str) -> (PathBuf, Manifest) {
    let mut writer = make_sealed(&dir.join("origin"), HashAlgorithm::Blake3, 12, &[6, 11]);
    let bundle = dir.join(name);
    let manifest = common::export(&writer, &bundle);
    assert_eq!(manifest.head(), writer.head());
    writer.append(&[draft(12)]).unwrap();
    (bundle, manifest)
}

fn check_bundle(dir: &Path) -> Report {
    verify_bundle(dir, &Expectation::default()).unwrap()
}

#[test]
fn a_bundle_is_the_trail_as_it_was() {
    let dir = tempfile::tempdir().unwrap();
    let (bundle, manifest) = export(dir.path());
    assert_eq!((manifest.entries, manifest.files.len()), (12, 1));
    let report = check_bundle(&bundle);
    assert_eq!((report.verdict, report.head), (Verdict::Sound, Some(manifest.head())));
    let exported = load(&bundle.join("trail")).concat();
    assert_eq!(exported, load(&dir.path().join("origin")).concat()[..12]);
    let json = fs::read(bundle.join("manifest.json")).unwrap();
    assert_eq!(serde_json::from_slice::<Manifest>(&json).unwrap(), manifest);
}

#[test]
fn a_bare_trail_verifies_too_wherever_it_lies() {
    let dir = tempfile::tempdir().unwrap();
    drop(make(&dir.path().join("origin"), HashAlgorithm::Sha256, 12));
    copy(&dir.path().join("origin"), &dir.path().join("copy/trail"));
    for place in ["origin", "copy", "copy/trail"] {
        let report = check_bundle(&dir.path().join(place));
        assert_eq!((report.verdict, report.entries), (Verdict::Sound, 12), "{place}");
    }
}

#[test]
fn a_destination_in_use_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join("file"), "x").unwrap();
    for path in [dir.path(), &dir.path().join("file")] {
        assert!(matches!(Exporter::create(path), Err(ExportError::Occupied(_))));
    }
    assert!(matches!(Exporter::create(&dir.path().join("a/b")), Err(ExportError::Io { .. })));
    fs::create_dir(dir.path().join("empty")).unwrap();
    assert!(Exporter::create(&dir.path().join("empty")).is_ok());
}

#[test]
fn an_export_that_is_not_finished_is_no_bundle() {
    let dir = tempfile::tempdir().unwrap();
    let writer = make(&dir.path().join("origin"), HashAlgorithm::Blake3, 3);
    let bundle = dir.path().join("bundle");
    let mut exporter = Exporter::create(&bundle).unwrap();
    exporter.push(&writer.read(0, 1 << 20).unwrap()).unwrap();
    drop(exporter);
    assert_eq!(check_bundle(&bundle).verdict, Verdict::Absent);
    let empty = Exporter::create(&dir.path().join("empty")).unwrap();
    assert!(matches!(empty.finish(), Err(ExportError::Empty)));
}

#[test]
fn what_is_not_sound_is_not_exported() {
    let dir = tempfile::tempdir().unwrap();
    let writer = make(&dir.path().join("origin"), HashAlgorithm::Blake3, 3);
    let page = writer.read(0, 1 << 20).unwrap();
    let unsound = |name: &str, pages: &[&[u8]]| {
        let mut exporter = Exporter::create(&dir.path().join(name)).unwrap();
        let pushed = pages.iter().try_for_each(|page| exporter.push(page));
        match pushed.and_then(|()| exporter.finish().map(drop)) {
            Err(ExportError::Unsound(finding)) => finding.verdict,
            other => panic!("{other:?}"),
        }
    };
    assert_eq!(unsound("torn", &[&page[..page.len() - 1]]), Verdict::Malformed);
    assert_eq!(unsound("late", &[&writer.read(1, 1 << 20).unwrap()]), Verdict::Deleted);
    assert_eq!(unsound("twice", &[&page, &page]), Verdict::Reordered);
}

type Forgery<'a> = (&'a str, &'a dyn Fn(&Path));

#[test]
fn a_forged_bundle_has_a_verdict() {
    let forged = |forge: &dyn Fn(&Path)| {
        let dir = tempfile::tempdir().unwrap();
        let (bundle, _) = export(dir.path());
        forge(&bundle);
        outcome(&check_bundle(&bundle))
    };
    let in_manifest = |from: &'static str, to: &'static str| {
        move |bundle: &Path| {
            let path = bundle.join("manifest.json");
            let text = fs::read_to_string(&path).unwrap();
            assert!(text.contains(from), "{text}");
            fs::write(path, text.replacen(from, to, 1)).unwrap();
        }
    };
    let forgeries: [Forgery<'_>; 17] = [
        ("leave it", &|_| {}),
        ("add a note", &|bundle| fs::write(bundle.join("notes.txt"), "x").unwrap()),
        ("drop the last entry", &|bundle| {
            let mut lines = load(&bundle.join("trail"));
            lines[0].pop();
            store(&bundle.join("trail"), &lines);
        }),
        ("edit an entry and hash anew", &|bundle| {
            let mut lines = load(&bundle.join("trail"));
            edit(&mut lines, 5, "alice", "mallo");
            hash_anew(&mut lines, HashAlgorithm::Blake3, 5..);
            store(&bundle.join("trail"), &lines);
        }),
        ("put a later trail", &|bundle| {
            fs::remove_dir_all(bundle.join("trail")).unwrap();
            copy(&bundle.with_file_name("origin"), &bundle.join("trail"));
        }),
        ("remove the trail", &|bundle| fs::remove_dir_all(bundle.join("trail")).unwrap()),
        ("add an empty segment", &|bundle| {
            fs::write(bundle.join("trail/segment-00000000000000000012.jsonl"), "").unwrap();
        }),
        ("link the trail", &|bundle| {
            fs::rename(bundle.join("trail"), bundle.join("elsewhere")).unwrap();
            symlink("elsewhere", bundle.join("trail")).unwrap();
        }),
        ("link the manifest", &|bundle| {
            fs::rename(bundle.join("manifest.json"), bundle.join("elsewhere")).unwrap();
            symlink("elsewhere", bundle.join("manifest.json")).unwrap();
        }),
        ("empty the manifest", &|bundle| fs::write(bundle.join("manifest.json"), "").unwrap()),
        ("a manifest without end", &|bundle| {
            let file = fs::File::create(bundle.join("manifest.json")).unwrap();
            file.set_len(10 << 30).unwrap();
        }),
        ("another format", &in_manifest("\"format\": 1", "\"format\": 2")),
        ("another installation", &in_manifest("5f0c3b52", "6f0c3b52")),
        ("another hash", &in_manifest("blake3", "sha256")),
        ("another length", &in_manifest("\"bytes\": ", "\"bytes\": 1")),
        ("climb out", &in_manifest("\"segment-", "\"../trail/segment-")),
        ("an unknown field", &in_manifest("{", "{\n  \"more\": 1,")),
    ];
    let outcomes: Vec<_> =
        forgeries.iter().map(|(name, forge)| format!("{name}\n    {}", forged(forge))).collect();
    insta::assert_snapshot!(outcomes.join("\n"));
}

#[test]
fn a_long_trail_becomes_several_files() {
    let dir = tempfile::tempdir().unwrap();
    let mut writer = make(&dir.path().join("origin"), HashAlgorithm::Blake3, 1);
    let large = draft(0).detail("fill", "x".repeat(15_000));
    let bundle = dir.path().join("bundle");
    let mut exporter = Exporter::create(&bundle).unwrap();
    exporter.push(&writer.read(0, 1).unwrap()).unwrap();
    for _ in 0..12 {
        let appended = writer.append(&vec![large.clone(); 100]).unwrap();
        exporter.push(&writer.read(appended[0].seq, 1 << 24).unwrap()).unwrap();
    }
    let appended = writer.seal(seal(), keys()).unwrap();
    exporter.push(&writer.read(appended.seq, 1).unwrap()).unwrap();
    push_checkpoints(&writer, &mut exporter);
    let manifest = exporter.finish().unwrap();
    assert_eq!((manifest.entries, manifest.files.len()), (1202, 5));
    assert_eq!(segments(&bundle.join("trail")).len(), 5);
    assert_eq!(check_bundle(&bundle).verdict, Verdict::Sound);
    fs::remove_file(&segments(&bundle.join("trail"))[4]).unwrap();
    assert_eq!(check_bundle(&bundle).verdict, Verdict::Truncated);
    assert_eq!(check(writer.path()).entries, 1202);
}
