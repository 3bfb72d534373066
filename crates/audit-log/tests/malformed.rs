//! What no writer makes: none of it may pass, block, exhaust memory or panic.

#![allow(clippy::unwrap_used, reason = "a test that panics has failed")]

mod common;

use std::fs::{self, File};
use std::io::Write;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::time::Instant;

use audit_log::{
    Expectation, HashAlgorithm, LineError, MAX_LINE, Verdict, Verifier, parse_line, verify,
};
use common::{check, edit, hash_anew, load, make, outcome, segments, store};

/// Does something to a trail of two segments, and verifies it.
fn after(harm: impl FnOnce(&Path)) -> String {
    let dir = tempfile::tempdir().unwrap();
    let trail = dir.path().join("trail");
    drop(make(&trail, HashAlgorithm::Sha256, 12));
    harm(&trail);
    let started = Instant::now();
    let report = check(&trail);
    assert!(started.elapsed().as_secs() < 5, "verification took {:?}", started.elapsed());
    outcome(&report).replace(&trail.display().to_string(), "TRAIL")
}

#[test]
fn files_that_are_not_segments() {
    let last = |trail: &Path| segments(trail).remove(1);
    let outcomes = [
        after(|trail| fs::write(trail.join("notes.txt"), "x").unwrap()),
        after(|trail| fs::write(trail.join("segment-12.jsonl"), "x").unwrap()),
        after(|trail| {
            let away = trail.with_extension("away");
            fs::rename(last(trail), &away).unwrap();
            symlink(away, trail.join("segment-00000000000000000004.jsonl")).unwrap();
        }),
        after(|trail| {
            symlink("/dev/zero", trail.join("segment-00000000000000000012.jsonl")).unwrap();
        }),
        after(|trail| {
            let fifo = trail.join("segment-00000000000000000012.jsonl");
            nix::unistd::mkfifo(&fifo, nix::sys::stat::Mode::S_IRWXU).unwrap();
        }),
        after(|trail| {
            fs::create_dir(trail.join("segment-00000000000000000012.jsonl")).unwrap();
        }),
        after(|trail| {
            let socket = trail.join("segment-00000000000000000012.jsonl");
            std::os::unix::net::UnixListener::bind(socket).unwrap();
        }),
        after(|trail| {
            fs::rename(last(trail), trail.join("segment-00000000000000000005.jsonl")).unwrap();
        }),
        after(|trail| fs::write(trail.join("segment-00000000000000000002.jsonl"), "").unwrap()),
        after(|trail| {
            fs::remove_dir_all(trail).unwrap();
            fs::write(trail, "x").unwrap();
        }),
    ];
    insta::assert_snapshot!(outcomes.join("\n"));
}

#[test]
fn sizes_that_a_writer_never_makes() {
    let append = |trail: &Path, bytes: &[u8]| {
        let path = segments(trail).remove(1);
        File::options().append(true).open(path).unwrap().write_all(bytes).unwrap();
    };
    let outcomes = [
        after(|trail| {
            let path = segments(trail).remove(1);
            File::options().write(true).open(path).unwrap().set_len(10 << 30).unwrap();
        }),
        after(|trail| append(trail, &vec![b'x'; 64 << 20])),
        after(|trail| append(trail, &[vec![b'x'; MAX_LINE], b"\n".to_vec()].concat())),
        after(|trail| append(trail, &vec![0; 1 << 20])),
        after(|trail| append(trail, b"\n")),
        after(|trail| append(trail, b"\0\0\0\n")),
    ];
    insta::assert_snapshot!(outcomes.join("\n"));
}

/// Every other spelling of an entry, with a hash that fits: one entry has one line.
#[test]
fn spellings_that_are_not_canonical() {
    let respell = |from: &str, to: &str| {
        let outcome = after(|trail| {
            let mut lines = load(trail);
            edit(&mut lines, 5, from, to);
            let line = common::nth(&mut lines, 5);
            let covered = line.windows(9).rposition(|part| part == b",\"hash\":\"").unwrap();
            let hash = HashAlgorithm::Sha256.hash(&line[..covered]).to_string();
            line[covered + 9..covered + 73].copy_from_slice(hash.as_bytes());
            store(trail, &lines);
        });
        format!("{from} -> {}\n    {outcome}", to.replace('\0', "<NUL>"))
    };
    let outcomes = [
        respell("{\"seq\":5,", "{\"seq\": 5,"),
        respell("{\"seq\":5,", " {\"seq\":5,"),
        respell("{\"seq\":5,", "{\"seq\":5,\"seq\":5,"),
        respell("{\"seq\":5,", "{\"seq\":5,\"more\":1,"),
        respell("{\"seq\":5,", "{\"seq\":05,"),
        respell("{\"seq\":5,", "{\"seq\":5.0,"),
        respell("{\"seq\":5,", "{\"seq\":-5,"),
        respell("{\"seq\":5,", "{\"seq\":18446744073709551616,"),
        respell("{\"seq\":5,", "{"),
        respell("\"profile\":\"default\"", "\"profile\":\"\""),
        respell("\"profile\":\"default\"", "\"profile\":null"),
        respell("\"profile\":\"default\"", "\"profile\":\"d\\u0065fault\""),
        respell("\"profile\":\"default\"", "\"profile\":\"\u{0}\""),
        respell("db/password", "db\\/password"),
        respell("\"outcome\":\"authorised\"", "\"outcome\":\"permitted\""),
        respell("\"operation\":\"secret.get\"", "\"operation\":\"secret.show\""),
        respell("\"uid\":1000", "\"uid\":4294967296"),
        respell("{\"n\":\"5\"}", "{\"n\":\"5\",\"n\":\"5\"}"),
        respell("{\"n\":\"5\"}", "{\"n\":\"5\",\"a\":\"5\"}"),
        respell("{\"n\":\"5\"}", "{\"n\":5}"),
        respell("{\"n\":\"5\"}", "{}"),
        respell("Z\",\"operation\"", "+00:00\",\"operation\""),
    ];
    insta::assert_snapshot!(outcomes.join("\n"));
}

#[test]
fn bytes_that_are_not_a_line() {
    let dir = tempfile::tempdir().unwrap();
    let trail = dir.path().join("trail");
    drop(make(&trail, HashAlgorithm::Blake3, 2));
    let line = load(&trail)[0][1].clone();
    assert!(parse_line(&line).is_ok());
    let json = &line[..line.len() - 1];
    let with = |tail: &[u8]| parse_line(&[json, tail].concat());
    assert_eq!(with(b""), Err(LineError::NotOneLine));
    assert_eq!(with(b"\n\n"), Err(LineError::NotOneLine));
    assert!(matches!(with(b"\r\n"), Err(LineError::NotCanonical | LineError::NotAnEntry(_))));
    assert!(matches!(with(b" \n"), Err(LineError::NotCanonical)));
    assert!(matches!(with(b"{}\n"), Err(LineError::NotAnEntry(_))));
    assert_eq!(parse_line(b""), Err(LineError::NotOneLine));
    assert!(matches!(parse_line(b"{}\n"), Err(LineError::NotAnEntry(_))));
    assert_eq!(parse_line(&vec![b' '; MAX_LINE + 1]), Err(LineError::TooLong));
    let mut invalid = line;
    let at = invalid.windows(5).position(|part| part == b"alice").unwrap();
    invalid[at] = 0xff;
    assert!(matches!(parse_line(&invalid), Err(LineError::NotAnEntry(_))));
    // A parser that recurses would overflow its stack here.
    let nested = [vec![b'['; MAX_LINE - 1], b"\n".to_vec()].concat();
    assert!(matches!(parse_line(&nested), Err(LineError::NotAnEntry(_))));
}

/// Chains that are consistent, and still none that a writer begins or continues.
#[test]
fn chains_that_do_not_begin_as_a_trail() {
    let begin = |edits: &[(usize, &str, &str)]| {
        after(|trail| {
            let mut lines = load(trail);
            for (n, from, to) in edits {
                edit(&mut lines, *n, from, to);
            }
            hash_anew(&mut lines, HashAlgorithm::Sha256, ..);
            store(trail, &lines);
        })
    };
    let outcomes = [
        begin(&[(0, "\"format\":\"1\"", "\"format\":\"2\"")]),
        begin(&[(0, "\"hash\":\"sha256\"", "\"hash\":\"md5\"")]),
        begin(&[(0, "\"operation\":\"genesis\"", "\"operation\":\"init\"")]),
        begin(&[(0, "5f0c3b52-7f0e-4f0a-9d38-0a54a1f0b7c1", "")]),
        begin(&[(5, "\"operation\":\"secret.get\"", "\"operation\":\"genesis\"")]),
    ];
    insta::assert_snapshot!(outcomes.join("\n"));
}

/// What a forger writes is shown to a person, on a terminal that obeys escape sequences.
#[test]
fn reasons_hold_no_control_characters() {
    let outcomes = [
        after(|trail| fs::write(trail.join("\u{1b}[2J\u{202e}x"), "").unwrap()),
        after(|trail| {
            let mut lines = load(trail);
            let field = format!("{{\"\\u001b[2J{}\":0,", "x".repeat(9000));
            edit(&mut lines, 5, "{", &field);
            store(trail, &lines);
        }),
    ];
    insta::assert_snapshot!(outcomes.join("\n"));
    assert!(outcomes.iter().all(|outcome| !outcome.contains(char::is_control)));
}

#[test]
fn a_verifier_that_found_something_says_so_again() {
    let mut verifier = Verifier::new(Expectation::default());
    let finding = verifier.feed(b"x\n").unwrap_err();
    assert_eq!(
        (finding.verdict, finding.file.as_ref(), finding.line),
        (Verdict::Malformed, None, Some(1))
    );
    assert_eq!(verifier.feed(b"y\n"), Err(finding.clone()));
    assert_eq!(verifier.finish().finding, Some(finding));
}

#[test]
fn what_cannot_be_read_has_no_verdict() {
    let path = Path::new("/proc/1/task/1/mem/trail\0");
    assert!(verify(path, &Expectation::default()).is_err());
}
