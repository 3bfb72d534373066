//! `image boot`, where it can't.

mod support;

use std::fs;

use support::Image;
use tempfile::TempDir;

#[test]
fn where_qemu_cannot_be_started_no_tpm_stays_behind() {
    let Some(image) = Image::copy() else { return };
    // QEMU opens no directory as a disk.
    let directory = TempDir::new().unwrap();
    let disk = directory.path().to_str().unwrap();
    let before = tpms();
    let output = image.run("boot", &["--tpm", "--disk", disk]);
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(!output.status.success());
    assert!(said.contains("regular file"), "it was not QEMU that refused: {said}");
    assert_eq!(tpms(), before);
}

/// The process IDs of the TPMs of trial boots.
fn tpms() -> Vec<String> {
    let is_one = |command_line: Vec<u8>| {
        let text = String::from_utf8_lossy(&command_line).into_owned();
        text.contains("swtpm") && text.contains("path=/tmp/tpm/socket")
    };
    let mut found: Vec<String> = fs::read_dir("/proc")
        .expect("the means of the test")
        .flatten()
        .filter(|entry| fs::read(entry.path().join("cmdline")).is_ok_and(is_one))
        .map(|entry| entry.file_name().to_string_lossy().into_owned())
        .collect();
    found.sort();
    found
}
