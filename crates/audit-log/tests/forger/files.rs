//! Things that are no files of a trail, and files without end: none of them may pass or block.

use std::fs::{self, File};
use std::io::Write;
use std::os::unix::fs::{FileExt, symlink};
use std::path::{Path, PathBuf};
use std::time::Instant;

use audit_log::{Expectation, HashAlgorithm, verify_bundle};
use nix::sys::stat::Mode;
use nix::unistd::mkfifo;

use crate::common::forged::{checkpoint_name, segment_name};
use crate::scene::{Form, SEALED, outcome, row};

/// Does something to the files of a trail, in the forms that are directories.
fn harmed(name: &str, harm: impl Fn(&Path)) -> String {
    let tables = SEALED.each_ref().map(|scene| {
        let cases = [("bare", Form::Bare), ("directory", Form::Directory)].map(|(name, form)| {
            let dir = tempfile::tempdir().unwrap();
            let path = form.write(&scene.forged(), scene, dir.path());
            harm(&if form == Form::Bare { path.clone() } else { path.join("trail") });
            let started = Instant::now();
            let report = verify_bundle(&path, &Expectation::default()).unwrap();
            assert!(started.elapsed().as_secs() < 5, "verification took {:?}", started.elapsed());
            (name.to_owned(), outcome(&report))
        });
        row(name, &cases)
    });
    assert_eq!(tables[0], tables[1]);
    tables[0].clone()
}

fn segment(trail: &Path) -> PathBuf {
    trail.join(segment_name(0))
}

fn checkpoint(trail: &Path) -> PathBuf {
    trail.join(checkpoint_name(16))
}

type Harm = (&'static str, fn(&Path));

const HARMS: &[Harm] = &[
    ("a link to itself elsewhere", |path| {
        let away = path.parent().unwrap().with_file_name("away");
        fs::rename(path, &away).unwrap();
        symlink(&away, path).unwrap();
    }),
    ("a link to /dev/zero", |path| {
        fs::remove_file(path).unwrap();
        symlink("/dev/zero", path).unwrap();
    }),
    ("a link to nowhere", |path| {
        fs::remove_file(path).unwrap();
        symlink("nowhere", path).unwrap();
    }),
    ("a pipe", |path| {
        fs::remove_file(path).unwrap();
        mkfifo(path, Mode::S_IRWXU).unwrap();
    }),
    ("a socket", |path| {
        fs::remove_file(path).unwrap();
        std::os::unix::net::UnixListener::bind(path).unwrap();
    }),
    ("a directory", |path| {
        fs::remove_file(path).unwrap();
        fs::create_dir(path).unwrap();
    }),
    ("10 GB of nothing", |path| {
        fs::remove_file(path).unwrap();
        File::create(path).unwrap().set_len(10 << 30).unwrap();
    }),
    ("10 GB of nothing after it", |path| {
        File::options().write(true).open(path).unwrap().set_len(10 << 30).unwrap();
    }),
    ("a line of 1 GB", |path| {
        let file = File::create(path).unwrap();
        file.write_all_at(b"{\"seq\":0,", 0).unwrap();
        file.write_all_at(b"\"}\n", 1 << 30).unwrap();
    }),
    ("empty", |path| drop(File::create(path).unwrap())),
];

#[test]
fn what_stands_in_the_place_of_a_segment() {
    let rows = HARMS.iter().map(|(name, harm)| harmed(name, |trail| harm(&segment(trail))));
    insta::assert_snapshot!(rows.collect::<String>());
}

#[test]
fn what_stands_in_the_place_of_a_checkpoint() {
    let rows = HARMS.iter().map(|(name, harm)| harmed(name, |trail| harm(&checkpoint(trail))));
    insta::assert_snapshot!(rows.collect::<String>());
}

#[test]
fn what_lies_beside_the_segments() {
    let beside = |name: &str| {
        let shown = name.escape_debug().to_string();
        harmed(&shown, |trail| fs::write(trail.join(name), "x").unwrap())
    };
    let rows = [
        // What a crash leaves, and nobody's loss.
        beside("new.tmp"),
        beside("notes.txt"),
        beside("checkpoint-16.note"),
        beside(&checkpoint_name(16).replace("note", "txt")),
        beside("\u{1b}[2J\u{202e}x"),
        harmed("a name that is not UTF-8", |trail| {
            use std::os::unix::ffi::OsStrExt;
            let name = std::ffi::OsStr::from_bytes(b"\xff\n");
            fs::write(trail.join(name), "x").unwrap();
        }),
    ];
    insta::assert_snapshot!(rows.concat());
    assert!(rows.iter().all(|row| !row.replace('\n', "").contains(char::is_control)));
}

#[test]
fn an_export_that_was_interrupted_is_no_bundle() {
    let dir = tempfile::tempdir().unwrap();
    let trail = dir.path().join("trail");
    let mut writer = crate::common::make(&trail, HashAlgorithm::Blake3, 1);
    let large = crate::common::draft(0).detail("fill", "x".repeat(15_000));
    writer.append(&vec![large; 300]).unwrap();
    writer.seal(crate::common::seal(), crate::common::keys()).unwrap();
    let lines = writer.read(0, 1 << 24).unwrap();
    let interrupted = |name: &str, kill: bool| {
        let path = dir.path().join(name);
        let mut exporter = audit_log::Exporter::create(&path).unwrap();
        exporter.push(&lines).unwrap();
        crate::common::push_checkpoints(&writer, &mut exporter);
        if kill {
            std::mem::forget(exporter)
        } else {
            drop(exporter)
        }
        let left = [path.clone(), dir.path().join(format!("{name}.partial"))];
        let cases = left.map(|path| {
            let name = path.file_name().unwrap().to_string_lossy().into_owned();
            (name, outcome(&verify_bundle(&path, &Expectation::default()).unwrap()))
        });
        let how = if kill { "killed" } else { "given up" };
        row(&format!("{name}, {how}"), &cases)
    };
    let rows = [
        interrupted("one", false),
        interrupted("two", true),
        interrupted("one.tar", false),
        interrupted("two.tar", true),
        // A later try isn't kept from it.
        interrupted("two.tar", false),
    ];
    insta::assert_snapshot!(rows.concat());
}

/// A line without end has to be given up long before it is held in memory.
#[test]
fn a_segment_of_garbage_between_good_lines_is_not_skipped() {
    let scene = &SEALED[0];
    let forged = scene.forged();
    for garbage in [1, 16 << 10, 64 << 10, 128 << 10, 192 << 10, 1 << 20] {
        for at in [1, 5, 24] {
            let dir = tempfile::tempdir().unwrap();
            let mut file = File::create(dir.path().join(segment_name(0))).unwrap();
            for (n, (_, line)) in forged.lines.iter().enumerate() {
                if n == at {
                    file.write_all(&vec![b'x'; garbage]).unwrap();
                }
                file.write_all(line).unwrap();
            }
            if at == 24 {
                file.write_all(&vec![b'x'; garbage]).unwrap();
                file.write_all(b"\n").unwrap();
            }
            for (size, note) in &forged.checkpoints {
                fs::write(dir.path().join(checkpoint_name(*size)), note).unwrap();
            }
            let report = verify_bundle(dir.path(), &Expectation::default()).unwrap();
            let finding = report.finding.unwrap();
            assert_eq!(
                (finding.verdict.exit_code(), finding.seq),
                (18, Some(at as u64)),
                "{garbage}"
            );
        }
    }
}
