//! Tar files: those that an export or tar itself made, and those that nobody should have made.

use std::fs::{self, File};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Command;

use audit_log::{Expectation, Verdict, verify_bundle};
use tar::{Builder, EntryType, Header};

use crate::common::forged::segment_name;
use crate::common::{export, keys};
use crate::scene::{Form, SEALED, outcome, row};

fn verify(path: &Path) -> String {
    outcome(&verify_bundle(path, &Expectation::default()).unwrap())
}

/// Runs GNU tar, with arguments as a person gives them.
fn gnu_tar(dir: &Path, args: &[&str]) {
    let status = Command::new("tar").current_dir(dir).args(args).status().unwrap();
    assert!(status.success(), "tar {args:?}");
}

#[test]
fn an_exported_tar_is_the_trail_as_it_was() {
    let dir = tempfile::tempdir().unwrap();
    let trail = dir.path().join("trail");
    let writer = crate::common::make_sealed(&trail, SEALED[0].hash, 12, &[5, 11]);
    let path = dir.path().join("x.tar");
    let manifest = export(&writer, &path);
    let expectation = Expectation {
        key: Some(keys().public().clone()),
        head: Some(writer.head().into()),
        require_sealed: true,
        ..Expectation::default()
    };
    let report = verify_bundle(&path, &expectation).unwrap();
    assert_eq!((report.verdict, report.head), (Verdict::Sound, Some(manifest.head())));
    // What GNU tar unpacks is a bundle as well.
    fs::create_dir(dir.path().join("out")).unwrap();
    gnu_tar(dir.path(), &["-xf", "x.tar", "-C", "out"]);
    assert_eq!(verify_bundle(&dir.path().join("out"), &expectation).unwrap(), report);
    assert!(!dir.path().join("x.tar.partial").exists());
}

#[test]
fn what_other_programs_pack_verifies() {
    let scene = &SEALED[0];
    let dir = tempfile::tempdir().unwrap();
    let bundle = Form::Directory.write(&scene.forged(), scene, dir.path());
    let packed = |args: &[&str]| {
        let _ = fs::remove_file(dir.path().join("x.tar"));
        gnu_tar(dir.path(), args);
        let report = verify_bundle(&dir.path().join("x.tar"), &Expectation::default()).unwrap();
        assert_eq!((report.verdict, report.entries), (Verdict::Sound, 24), "{args:?} {report}");
    };
    packed(&["-cf", "x.tar", "bundle"]);
    packed(&["-cf", "x.tar", "./bundle"]);
    packed(&["-cf", "x.tar", "-C", "bundle", "."]);
    packed(&["-cf", "x.tar", "-C", "bundle", "manifest.json", "public-key.txt", "trail"]);
    packed(&["--format=ustar", "-cf", "x.tar", "bundle"]);
    packed(&["--format=v7", "-cf", "x.tar", "bundle"]);
    // Times in headers of their own, for each file and for all of them.
    packed(&["--format=pax", "-cf", "x.tar", "bundle"]);
    packed(&["--format=pax", "--pax-option=comment=x", "-cf", "x.tar", "bundle"]);
    packed(&["-b", "512", "-cf", "x.tar", "bundle"]);
    // A bare trail too, and a bundle that is called as a trail is.
    packed(&["-cf", "x.tar", "-C", "bundle", "trail"]);
    packed(&["-cf", "x.tar", "-C", "bundle/trail", "."]);
    fs::rename(&bundle, dir.path().join("trail")).unwrap();
    packed(&["-cf", "x.tar", "trail"]);
}

/// A tar file of some good files, and what `add` does with it.
fn with(add: impl FnOnce(&mut Builder<File>)) -> String {
    let scene = &SEALED[0];
    let dir = tempfile::tempdir().unwrap();
    let bundle = Form::Directory.write(&scene.forged(), scene, dir.path());
    let path = dir.path().join("x.tar");
    let mut tar = Builder::new(File::create(&path).unwrap());
    tar.append_dir_all(".", &bundle).unwrap();
    add(&mut tar);
    tar.finish().unwrap();
    verify(&path)
}

/// An entry whose name the library wouldn't write.
fn entry(tar: &mut Builder<File>, name: &[u8], kind: EntryType, content: &[u8]) {
    let mut header = Header::new_ustar();
    header.as_old_mut().name[..name.len()].copy_from_slice(name);
    header.set_entry_type(kind);
    header.set_size(content.len() as u64);
    header.set_mode(0o600);
    header.set_cksum();
    tar.append(&header, content).unwrap();
}

#[test]
fn entries_that_lead_elsewhere_are_refused() {
    let named = |name: &'static [u8]| {
        let outcome = with(|tar| entry(tar, name, EntryType::Regular, b"x"));
        row(&String::from_utf8_lossy(name).escape_debug().to_string(), &[(String::new(), outcome)])
    };
    let rows = [
        named(b"notes.txt"),
        named(b"../x"),
        named(b"trail/../../x"),
        named(b"/etc/passwd"),
        named(b"trail/\xff"),
        named(b"trail/notes.txt"),
        named(b"trail/below/notes.txt"),
        named(b"\x1b[2J/../x"),
    ];
    insta::assert_snapshot!(rows.concat());
}

#[test]
fn entries_that_are_no_files_are_refused() {
    let of_kind = |name: &str, kind: EntryType| {
        let outcome = with(|tar| {
            let mut header = Header::new_ustar();
            header.set_path("trail/segment-00000000000000000099.jsonl").unwrap();
            header.set_link_name("/etc/passwd").unwrap();
            header.set_entry_type(kind);
            header.set_size(0);
            header.set_cksum();
            tar.append(&header, &b""[..]).unwrap();
        });
        row(name, &[(String::new(), outcome)])
    };
    let rows = [
        of_kind("a symbolic link", EntryType::Symlink),
        of_kind("a hard link", EntryType::Link),
        of_kind("a device", EntryType::Char),
        of_kind("a block device", EntryType::Block),
        of_kind("a pipe", EntryType::Fifo),
        of_kind("a sparse file of GNU tar", EntryType::GNUSparse),
        of_kind("a long name of GNU tar", EntryType::GNULongName),
        of_kind("something new", EntryType::new(b'Z')),
        of_kind("a directory", EntryType::Directory),
    ];
    insta::assert_snapshot!(rows.concat());
}

#[test]
fn what_is_there_twice_or_said_in_two_places_is_refused() {
    let segment = format!("trail/{}", segment_name(0));
    let extended = |record: &'static [u8]| {
        let outcome = with(|tar| entry(tar, b"x", EntryType::XHeader, record));
        row(
            &String::from_utf8_lossy(record).escape_debug().to_string(),
            &[(String::new(), outcome)],
        )
    };
    let rows = [
        row(
            "a segment twice",
            &[(
                String::new(),
                with(|tar| {
                    entry(tar, segment.as_bytes(), EntryType::Regular, b"x");
                }),
            )],
        ),
        row(
            "a manifest twice",
            &[(
                String::new(),
                with(|tar| {
                    entry(tar, b"./manifest.json", EntryType::Regular, b"x");
                }),
            )],
        ),
        extended(b"19 mtime=1800000000\n"),
        extended(b"16 path=trail/x\n"),
        extended(b"11 size=99\n"),
        extended(b"22 GNU.sparse.major=1\n"),
        extended(b"99 mtime=1800000000\n"),
        extended(b"\xff\xff"),
    ];
    insta::assert_snapshot!(rows.concat());
}

#[test]
fn what_is_no_tar_file_or_not_all_of_one_is_told_so() {
    let scene = &SEALED[0];
    let dir = tempfile::tempdir().unwrap();
    let bundle = Form::Directory.write(&scene.forged(), scene, dir.path());
    gnu_tar(dir.path(), &["-cf", "whole.tar", "bundle"]);
    let whole = fs::read(dir.path().join("whole.tar")).unwrap();
    let end = whole.iter().rposition(|byte| *byte != 0).unwrap() / 512 * 512 + 512;
    let path = dir.path().join("x.tar");
    let of_bytes = |name: &str, bytes: &[u8]| {
        fs::write(&path, bytes).unwrap();
        row(name, &[(String::new(), verify(&path))])
    };
    let mut rows = vec![
        of_bytes("whole", &whole),
        of_bytes("cut in the middle", &whole[..whole.len() / 2]),
        of_bytes("cut in a header", &whole[..end / 2 / 512 * 512 + 100]),
        of_bytes("cut after the last file", &whole[..end]),
        of_bytes("cut after one block of its end", &whole[..end + 512]),
        of_bytes("no more of its end than there must be", &whole[..end + 1024]),
        of_bytes("garbage after it", &[&whole[..], b"garbage"].concat()),
        of_bytes("another tar file after it", &[&whole[..], &whole].concat()),
        of_bytes("empty", b""),
        of_bytes("zeros", &[0; 10240]),
        of_bytes("text", b"this is no tar file\n"),
        of_bytes("much text", &b"this is no tar file\n".repeat(1000)),
        of_bytes("a flipped bit in a header", &{
            let mut bytes = whole.clone();
            bytes[3] ^= 1;
            bytes
        }),
    ];
    let large = File::create(&path).unwrap();
    (&large).write_all(&whole).unwrap();
    large.set_len(10 << 30).unwrap();
    rows.push(row("10 GB of zeros after it", &[(String::new(), verify(&path))]));
    File::create(&path).unwrap().set_len(10 << 30).unwrap();
    rows.push(row("10 GB of zeros", &[(String::new(), verify(&path))]));
    insta::assert_snapshot!(rows.concat().replace(&*dir.path().to_string_lossy(), "DIR"));
    drop(bundle);
}

/// Wherever a tar file is cut, it isn't a sound bundle.
#[test]
fn a_tar_file_that_was_cut_is_never_sound() {
    let dir = tempfile::tempdir().unwrap();
    let trail = dir.path().join("trail");
    let writer = crate::common::make_sealed(&trail, SEALED[0].hash, 3, &[2]);
    let path: PathBuf = dir.path().join("x.tar");
    export(&writer, &path);
    let whole = fs::read(&path).unwrap();
    for length in (0..whole.len()).step_by(256) {
        fs::write(&path, &whole[..length]).unwrap();
        let report = verify_bundle(&path, &Expectation::default()).unwrap();
        let expected = if length == 0 { Verdict::Malformed } else { Verdict::Truncated };
        let is_short = length < 512;
        assert!(report.verdict == expected || is_short, "{length}: {report}");
        assert_ne!(report.verdict, Verdict::Sound, "{length}");
    }
}
