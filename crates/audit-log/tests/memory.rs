//! Verification takes constant memory, whatever a forger put there. Alone in its process, so that
//! what it measures is what it did.

#![allow(clippy::unwrap_used, reason = "a test that panics has failed")]

mod common;

use std::fs::{self, File};
use std::os::unix::fs::FileExt;
use std::path::Path;

use audit_log::{Expectation, HashAlgorithm, Verdict, prove_offline, verify_bundle};
use common::forged::{checkpoint_name, segment_name};
use common::{draft, keys, make_sealed, seal};

/// The most that a verification may take, in bytes.
const MOST: u64 = 16 << 20;

/// The most memory that this process has had since the last call, in bytes.
fn peak() -> u64 {
    let status = fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|line| line.starts_with("VmHWM:")).unwrap();
    let kilobytes: u64 = line.split_ascii_whitespace().nth(1).unwrap().parse().unwrap();
    // Begins to count anew.
    fs::write("/proc/self/clear_refs", "5").unwrap();
    kilobytes << 10
}

fn verdict(path: &Path) -> Verdict {
    verify_bundle(path, &Expectation::default()).unwrap().verdict
}

#[test]
fn no_trail_takes_more_memory_than_another() {
    let dir = tempfile::tempdir().unwrap();
    let trail = dir.path().join("trail");
    let mut writer = make_sealed(&trail, HashAlgorithm::Blake3, 3, &[2]);
    let large = draft(0).detail("fill", "x".repeat(15_000));
    for _ in 0..16 {
        writer.append(&vec![large.clone(); 100]).unwrap();
    }
    writer.seal(seal(), keys()).unwrap();
    drop(writer);
    let bundle = dir.path().join("bundle.tar");
    let mut tar = tar::Builder::new(File::create(&bundle).unwrap());
    tar.append_dir_all("trail", &trail).unwrap();
    drop(tar);
    assert!(fs::metadata(&bundle).unwrap().len() > 24_000_000);
    // What making it took stays with the allocator.
    peak();
    let before = peak();
    let within = |what: &str| {
        let taken = peak().saturating_sub(before);
        assert!(taken < MOST, "{what} took {taken} bytes");
    };
    assert_eq!(verdict(&trail), Verdict::Sound);
    within("a trail of 24 MB");
    assert_eq!(verdict(&bundle), Verdict::Sound);
    within("a bundle of 24 MB");
    prove_offline(&bundle, 1000).unwrap();
    within("a proof");

    let first = trail.join(segment_name(0));
    File::options().write(true).open(&first).unwrap().set_len(10 << 30).unwrap();
    assert_eq!(verdict(&trail), Verdict::Malformed);
    within("a segment of 10 GB");
    let file = File::create(&first).unwrap();
    file.write_all_at(b"{\"seq\":0,", 0).unwrap();
    file.write_all_at(b"\"}\n", 1 << 30).unwrap();
    assert_eq!(verdict(&trail), Verdict::Malformed);
    within("a line of 1 GB");
    fs::write(&first, vec![b'\n'; 1 << 20]).unwrap();
    assert_eq!(verdict(&trail), Verdict::Malformed);
    within("a segment of empty lines");

    let small = dir.path().join("small");
    drop(make_sealed(&small, HashAlgorithm::Blake3, 3, &[2]));
    let note = small.join(checkpoint_name(1));
    File::options().write(true).open(&note).unwrap().set_len(10 << 30).unwrap();
    assert_eq!(verdict(&small), Verdict::Malformed);
    within("a checkpoint of 10 GB");
    File::options().write(true).open(&bundle).unwrap().set_len(10 << 30).unwrap();
    assert_eq!(verdict(&bundle), Verdict::Malformed);
    within("a tar file of 10 GB");
}
