//! Images that are as they should be, and images that somebody altered: each part, byte by byte.

#![allow(clippy::unwrap_used, reason = "a test that panics has failed")]

mod common;

use media::layout::{Esp, root_hash_of};
use media::manifest::{FileDigest, ManifestError, Signed, Source, Text};
use media::verify::{Report, Variant, verify};
use media::{Description, Digest, Manifest, Progress};

use common::{Recipe, UKI, pattern};
use uuid::Uuid;

fn describe(disk: &[u8]) -> Manifest {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("test_1.raw");
    std::fs::write(&path, disk).unwrap();
    let read = Description::read(&path, &mut Progress::new(&mut |_, _| ())).unwrap();
    let source = Source { commit: None, modified: false, date: 0 };
    let text = |text: &str| Text::new(text.to_owned()).unwrap();
    read.into_manifest(text("test"), text("1"), source, Vec::new(), None)
}

fn look(disk: &[u8], manifest: &Manifest) -> Report {
    verify(&disk, manifest, &mut Progress::new(&mut |_, _| ())).unwrap()
}

fn failed(report: &Report) -> Vec<&'static str> {
    report.checks.iter().filter(|check| !check.passes).map(|check| check.id).collect()
}

fn parts(report: &Report) -> Vec<&'static str> {
    report.differences.iter().map(|difference| difference.part).collect()
}

fn all_text(report: &Report) -> String {
    let checks = report.checks.iter().map(|check| check.found.clone());
    let differences = report.differences.iter().map(|difference| difference.text.clone());
    checks.chain(differences).collect::<Vec<_>>().join("\n")
}

#[test]
fn an_image_is_what_its_manifest_says() {
    for usr in [false, true] {
        let recipe = Recipe { usr, ..Recipe::new() };
        let recipe = Recipe { files: vec![(UKI.to_owned(), recipe.uki())], ..recipe };
        let disk = recipe.disk();
        let manifest = describe(&disk);
        assert_eq!(manifest.disk.sha256, Digest::of(&disk));
        assert_eq!(manifest.uki.sha256, Digest::of(&recipe.uki()));
        assert_eq!(manifest.root.sha256, Digest::of(&recipe.data));
        assert_eq!(manifest.uki.file.as_str(), "test_1.efi");
        assert_eq!(manifest.kernel.release.as_str(), "6.12.0-test");
        let report = look(&disk, &manifest);
        assert!(report.is_sound(), "{report:?}");
        assert_eq!(report.checks.len(), 11);
        assert_eq!(report.variant, Some(Variant::Unsigned));
        assert_eq!((report.differences.len(), report.bytes_behind), (0, 0));
        assert_eq!(report.root_hash, Some(manifest.root.verity_root_hash));
        assert_eq!(report.uki, Some(manifest.uki.sha256));

        let again = Manifest::parse(manifest.render().as_bytes()).unwrap();
        assert_eq!((again.render(), again), (manifest.render(), manifest));
    }
}

#[test]
fn what_lies_behind_the_image_is_counted_and_not_judged() {
    let disk = Recipe::new().disk();
    let manifest = describe(&disk);
    let report = look(&[disk, pattern(1, 70_000)].concat(), &manifest);
    assert!(report.is_sound(), "{report:?}");
    assert_eq!(report.bytes_behind, 70_000);
}

#[test]
fn a_truncated_image_says_so() {
    let disk = Recipe::new().disk();
    let manifest = describe(&disk);
    for bytes in [0, 1, 511, 1024, 1 << 20, disk.len() / 2, disk.len() - 1] {
        let report = look(&disk[..bytes], &manifest);
        assert!(!report.is_sound());
        assert!(failed(&report).contains(&"size"), "{report:?}");
        assert_eq!(parts(&report)[0], "truncated");
        assert!(all_text(&report).contains(&format!("{bytes} of {} bytes", disk.len())));
    }
}

#[test]
fn one_byte_in_each_part_is_noticed_and_the_part_is_named() {
    let recipe = Recipe::new();
    let disk = recipe.disk();
    let manifest = describe(&disk);
    let mib = 1 << 20;
    let find = |bytes: &[u8]| disk.windows(bytes.len()).position(|it| it == bytes).unwrap();
    let (data, tree) = (2 * mib, 3 * mib);
    let cases: [(usize, &str, &[&str]); 13] = [
        (0, "unused space", &["disk-sha256"]),
        (446 + 4, "partition table", &["disk-sha256", "partition-table"]),
        (512 + 60, "partition table", &["disk-sha256", "partition-table"]),
        (1024 + 20, "partition table", &["disk-sha256", "partition-table"]),
        (40 * 512, "unused space", &["disk-sha256"]),
        (find(b"a rather distinct kernel"), "UKI", &["disk-sha256", "uki-sha256", "pcr11"]),
        (data + 5 * 512 + 3, "root data", &["disk-sha256", "root-hash", "root-sha256"]),
        (data + recipe.data.len(), "unused space", &["disk-sha256"]),
        (tree + 20, "records", &["disk-sha256"]),
        (tree + 70, "verity superblock", &["disk-sha256", "verity-tree", "root-hash"]),
        (tree + 512 * 3 + 9, "verity tree", &["disk-sha256", "verity-tree"]),
        (disk.len() - 512 + 60, "partition table", &["disk-sha256", "partition-table"]),
        (2 * mib - 1, "unused space", &["disk-sha256"]),
    ];
    for (at, part, checks) in cases {
        let mut disk = disk.clone();
        disk[at] ^= 1;
        let report = look(&disk, &manifest);
        let failed = failed(&report);
        assert!(checks.iter().all(|check| failed.contains(check)), "{at}: {report:#?}");
        assert!(parts(&report).contains(&part), "{at}: {report:#?}");
    }
    // Many bytes, each of which alone must be noticed.
    for at in (0..disk.len()).step_by(99_991) {
        let mut disk = disk.clone();
        disk[at] ^= 0x10;
        let report = look(&disk, &manifest);
        assert!(!report.is_sound() && !report.differences.is_empty(), "{at}");
    }
}

#[test]
fn the_first_altered_block_of_data_is_named() {
    let disk = Recipe::new().disk();
    let manifest = describe(&disk);
    let mut altered = disk.clone();
    altered[(2 << 20) + 77 * 512] ^= 1;
    altered[(2 << 20) + 149 * 512] ^= 1;
    let report = look(&altered, &manifest);
    assert!(all_text(&report).contains("2 data blocks are altered; the first is 77"), "{report:?}");
}

#[test]
fn whatever_lies_beside_the_uki_is_named() {
    let clean = Recipe::new();
    let manifest = describe(&clean.disk());
    for stranger in [
        "loader/credentials/x.cred",
        "EFI/BOOT/BOOTX64.EFI.extra.d/a.addon.efi",
        "loader/entries/evil.conf",
        "EFI/Linux/second.efi",
        "EFI/BOOT/BOOTX64.EFI2",
        "startup.nsh",
        "empty-directory/",
    ] {
        let mut recipe = clean.clone();
        recipe.files.push((stranger.to_owned(), b"anything".to_vec()));
        let report = look(&recipe.disk(), &manifest);
        assert!(failed(&report).contains(&"esp"), "{stranger}");
        let name = stranger.trim_end_matches('/');
        assert!(all_text(&report).contains(name), "{stranger}: {report:?}");
    }
}

#[test]
fn a_name_on_the_esp_moves_no_cursor() {
    let mut recipe = Recipe::new();
    let manifest = describe(&recipe.disk());
    recipe.files.push(("a\u{202e}b".to_owned(), Vec::new()));
    let report = look(&recipe.disk(), &manifest);
    assert!(all_text(&report).contains("a\\u{202e}b"), "{report:?}");
}

#[test]
fn a_replaced_uki_is_noticed_and_so_is_one_that_is_not_there() {
    let clean = Recipe::new();
    let manifest = describe(&clean.disk());
    let mut other = clean.clone();
    other.data[9] ^= 1;
    let replaced = Recipe { files: vec![(UKI.to_owned(), other.uki())], ..clean.clone() };
    let report = look(&replaced.disk(), &manifest);
    let failed_checks = failed(&report);
    for check in ["disk-sha256", "uki-sha256", "command-line", "pcr11"] {
        assert!(failed_checks.contains(&check), "{check}: {report:?}");
    }
    assert!(all_text(&report).contains("does not carry the root hash"));
    let moved = Recipe { files: vec![("EFI/BOOT/OTHER.EFI".to_owned(), clean.uki())], ..clean };
    let report = look(&moved.disk(), &manifest);
    assert!(failed(&report).contains(&"esp") && failed(&report).contains(&"uki-sha256"));
}

#[test]
fn a_root_that_somebody_hashed_anew_is_not_the_one() {
    let clean = Recipe::new();
    let manifest = describe(&clean.disk());
    let mut other = clean.clone();
    other.data[9] ^= 1;
    other.files = vec![(UKI.to_owned(), other.uki())];
    let report = look(&other.disk(), &manifest);
    let failed = failed(&report);
    for check in ["partition-table", "verity-tree", "root-hash", "root-sha256", "uki-sha256"] {
        assert!(failed.contains(&check), "{check}: {report:?}");
    }
}

#[test]
fn the_signed_disk_is_told_from_the_unsigned_one() {
    let recipe = Recipe::new();
    let mut signed = recipe.clone();
    // What a signer adds lies behind the sections.
    signed.files[0].1.extend(pattern(1, 1000));
    let (plain, signed) = (recipe.disk(), signed.disk());
    let mut manifest = describe(&plain);
    let of_signed = describe(&signed);
    manifest.signed = Some(Signed {
        disk: of_signed.disk,
        uki: of_signed.uki,
        certificate_sha256: Digest::of(b"a certificate"),
    });
    for (disk, variant) in [(&plain, Variant::Unsigned), (&signed, Variant::Signed)] {
        let report = look(disk, &manifest);
        assert!(report.is_sound(), "{report:?}");
        assert_eq!(report.variant, Some(variant));
    }
    let mut altered = signed.clone();
    altered[(2 << 20) + 1] ^= 1;
    let report = look(&altered, &manifest);
    assert!(!report.is_sound());
    assert_eq!(report.variant, Some(Variant::Signed), "by its UKI");
}

#[test]
fn a_signed_uki_does_not_pass_on_the_unsigned_disk() {
    let disk = Recipe::new().disk();
    let mut manifest = describe(&disk);
    let uki = manifest.uki.clone();
    manifest.uki.sha256 = Digest::of(b"another UKI");
    let other = FileDigest { sha256: Digest::of(b"another disk"), ..manifest.disk.clone() };
    let certificate_sha256 = Digest::of(b"a certificate");
    manifest.signed = Some(Signed { disk: other, uki, certificate_sha256 });
    let report = look(&disk, &manifest);
    assert_eq!(failed(&report), ["uki-sha256"], "{report:?}");
}

#[test]
fn partitions_that_the_root_hash_does_not_find_are_noticed() {
    let disk = Recipe::new().disk();
    let manifest = describe(&disk);
    let root = manifest.root.verity_root_hash.0;
    for id in [&root[..16], &root[16..]] {
        let mut disk = disk.clone();
        // Little-endian in its first three fields.
        let id = Uuid::from_slice(id).unwrap().to_bytes_le();
        let at: Vec<usize> =
            (0..disk.len() - 16).filter(|at| disk[*at..].starts_with(&id)).collect();
        assert_eq!(at.len(), 2);
        for at in at {
            disk[at] ^= 1;
        }
        for (header, entries) in [(512, 1024), (disk.len() - 512, disk.len() - 33 * 512)] {
            let sum = crc32fast::hash(&disk[entries..entries + 128 * 128]);
            disk[header + 88..header + 92].copy_from_slice(&sum.to_le_bytes());
            disk[header + 16..header + 20].fill(0);
            let sum = crc32fast::hash(&disk[header..header + 92]);
            disk[header + 16..header + 20].copy_from_slice(&sum.to_le_bytes());
        }
        let report = look(&disk, &manifest);
        assert_eq!(failed(&report), ["disk-sha256", "partition-table"], "{report:?}");
        assert!(all_text(&report).contains("not those of the root hash"), "{report:?}");
    }
}

#[test]
fn a_uki_with_two_names_is_a_stranger() {
    // Its short name is that of the UKI, and its long name is another.
    let mut recipe = Recipe::new();
    recipe.files[0].0 = "EFI/BOOT/bootx64.efi.extra".to_owned();
    let mut esp = common::fat(1 << 20, &recipe.files);
    let at = esp.windows(7).position(|it| it == b"BOOTX6~").expect("its short name");
    esp[at..at + 11].copy_from_slice(b"BOOTX64 EFI");
    let sum =
        esp[at..at + 11].iter().fold(0_u8, |sum, byte| sum.rotate_right(1).wrapping_add(*byte));
    for piece in [at - 32, at - 64] {
        esp[piece + 13] = sum;
    }
    let storage = esp.as_slice();
    let esp = Esp::read(&storage).unwrap();
    assert!(esp.uki().is_none());
    assert_eq!(esp.strangers(), ["EFI/BOOT/bootx64.efi.extra"]);
}

#[test]
fn a_command_line_has_one_root_hash() {
    let hash = "5".repeat(64);
    let of = |line: &str| root_hash_of(&line.replace('H', &hash)).is_some();
    assert!(of("a roothash=H b") && of("usrhash=H"));
    for line in ["", "roothash=", "roothash=H roothash=H", "roothash=H usrhash=H", "xroothash=H"] {
        assert!(!of(line), "{line}");
    }
}

#[test]
fn a_disk_that_is_not_sound_gets_no_manifest() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("x.raw");
    let clean = Recipe::new();
    let mut stranger = clean.clone();
    stranger.files.push(("x".to_owned(), Vec::new()));
    let mut other = clean.clone();
    other.data[0] ^= 1;
    let mut altered = clean.disk();
    altered[(2 << 20) + 1] ^= 1;
    let wrong_hash = Recipe { files: vec![(UKI.to_owned(), other.uki())], ..clean };
    let cases = [
        (stranger.disk(), "more than its UKI: x"),
        (wrong_hash.disk(), "does not carry the root hash"),
        (altered, "not that of the data"),
        (vec![0; 1 << 20], "not a protective MBR"),
    ];
    for (disk, reason) in cases {
        std::fs::write(&path, disk).unwrap();
        let error = Description::read(&path, &mut Progress::new(&mut |_, _| ())).unwrap_err();
        assert!(error.to_string().contains(reason), "{error}");
    }
}

#[test]
fn a_manifest_has_its_fields_and_no_others_and_does_not_contradict_itself() {
    let manifest = describe(&Recipe::new().disk());
    let text = manifest.render();
    let root = manifest.root.verity_root_hash.to_string();
    let zero = "0".repeat(64);
    let bad = [
        text.replace("\"name\": \"test\"", "\"name\": \"te\\nst\""),
        text.replace("\"name\": \"test\"", "\"name\": \"test\", \"name\": \"test\""),
        text.replace("\"name\": \"test\"", "\"name\": \"test\", \"other\": 1"),
        text.replace("manifest/1", "manifest/2"),
        text.replace("test_1.raw", "../test_1.raw"),
        text.replace("x86-64", "arm64"),
        text.replace("\"signed\": null,", ""),
        text.replace("\"commit\": null,", ""),
        format!("{text} {text}"),
        String::new(),
    ];
    for bad in bad {
        assert_ne!(bad, text);
        assert!(Manifest::parse(bad.as_bytes()).is_err(), "{bad}");
    }
    let contradicts = text.replace(
        &format!("\"verity_root_hash\": \"{root}\""),
        &format!("\"verity_root_hash\": \"{zero}\""),
    );
    assert!(matches!(Manifest::parse(contradicts.as_bytes()), Err(ManifestError::RootHash)));
    let long = " ".repeat(media::manifest::MAX_MANIFEST as usize) + &text;
    assert!(matches!(Manifest::parse(long.as_bytes()), Err(ManifestError::TooLong)));
}
