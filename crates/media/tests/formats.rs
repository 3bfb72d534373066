//! Partition tables, FAT file systems and PE files: by other authors' writers, and by nobody.

mod common;

use media::fat::{Fat, FatError};
use media::gpt::{ESP, GptError, PartitionTable, ROOT};
use media::storage::Storage;
use media::uki::{Uki, UkiError};
use proptest::prelude::*;
use uuid::Uuid;

use common::{Recipe, fat, partitioned, pattern, pe};

const MIB: u64 = 1 << 20;

fn two_partitions() -> Vec<u8> {
    let root = pattern(2, 1536);
    partitioned(&[(ESP, Uuid::from_u128(1), pattern(1, 4096)), (ROOT, Uuid::from_u128(2), root)])
}

#[test]
fn a_partition_table_of_another_author_is_read() {
    let disk = two_partitions();
    let table = PartitionTable::read(&disk.as_slice()).unwrap();
    assert_eq!(table.disk, Uuid::from_u128(9));
    assert_eq!(table.disk_bytes, disk.len() as u64);
    let found: Vec<_> =
        table.partitions.iter().map(|it| (it.kind, it.id.as_u128(), it.start, it.bytes)).collect();
    assert_eq!(found, [(ESP, 1, MIB, 4096), (ROOT, 2, 2 * MIB, 1536)]);
    let tail = disk.len() as u64 - 33 * 512;
    assert_eq!(table.gaps(), [(34 * 512, MIB), (MIB + 4096, 2 * MIB), (2 * MIB + 1536, tail)]);
    // A device may be larger than the image on it.
    let larger = [disk.clone(), vec![1; 5000]].concat();
    assert_eq!(PartitionTable::read(&larger.as_slice()).unwrap(), table);
    assert_eq!(PartitionTable::claimed_bytes(&larger.as_slice()).unwrap(), disk.len() as u64);
}

#[test]
fn every_byte_of_both_headers_and_of_the_entries_in_use_counts() {
    let disk = two_partitions();
    let end = disk.len();
    let before = PartitionTable::read(&disk.as_slice()).unwrap();
    let used = [510..512, 512..512 + 92, 1024..1024 + 384, end - 512..end - 512 + 92];
    let copied = end - 33 * 512..end - 33 * 512 + 384;
    for at in used.into_iter().flatten().chain(copied) {
        let mut disk = disk.clone();
        disk[at] ^= 1;
        let read = PartitionTable::read(&disk.as_slice());
        assert!(read.is_err(), "{at}: {read:?} {before:?}");
    }
}

#[test]
fn the_entries_are_held_against_their_sum_and_against_their_copy() {
    let disk = two_partitions();
    let copy = disk.len() - 33 * 512;
    let mut both = disk.clone();
    for at in [1024, copy] {
        both[at + 128 * 50] ^= 1;
    }
    let read = PartitionTable::read(&both.as_slice());
    assert!(matches!(read, Err(GptError::Checksum(_))), "{read:?}");
    // The polynomial of CRC-32, added anywhere, leaves the sum as it was.
    let mut forged = disk;
    let polynomial = (1 | 0xedb8_8320_u64 << 1).to_le_bytes();
    for (byte, term) in forged[copy + 128 * 50..].iter_mut().zip(polynomial) {
        *byte ^= term;
    }
    let read = PartitionTable::read(&forged.as_slice());
    assert!(matches!(read, Err(GptError::CopiesDiffer)), "{read:?}");
}

#[test]
fn a_header_can_not_make_us_allocate() {
    let mut disk = two_partitions();
    disk[512 + 80..512 + 84].fill(0xff);
    let mut header = disk[512..512 + 92].to_vec();
    header[16..20].fill(0);
    disk[512 + 16..512 + 20].copy_from_slice(&crc32fast::hash(&header).to_le_bytes());
    let read = PartitionTable::read(&disk.as_slice());
    assert!(matches!(read, Err(GptError::Field(_, "number or size of entries"))), "{read:?}");
}

#[test]
fn a_header_that_lies_elsewhere_is_refused() {
    let mut disk = two_partitions();
    disk[512 + 24] = 2;
    disk[512 + 16..512 + 20].fill(0);
    let sum = crc32fast::hash(&disk[512..512 + 92]);
    disk[512 + 16..512 + 20].copy_from_slice(&sum.to_le_bytes());
    let read = PartitionTable::read(&disk.as_slice());
    assert!(matches!(read, Err(GptError::Field(_, "place"))), "{read:?}");
}

#[test]
fn overlapping_partitions_are_refused() {
    let mut disk = two_partitions();
    // The second partition begins where the first does, and all sums are right again.
    for (header, entries) in [(512, 1024), (disk.len() - 512, disk.len() - 33 * 512)] {
        let first = disk[entries + 32..entries + 40].to_vec();
        disk[entries + 160..entries + 168].copy_from_slice(&first);
        let sum = crc32fast::hash(&disk[entries..entries + 128 * 128]);
        disk[header + 88..header + 92].copy_from_slice(&sum.to_le_bytes());
        disk[header + 16..header + 20].fill(0);
        let sum = crc32fast::hash(&disk[header..header + 92]);
        disk[header + 16..header + 20].copy_from_slice(&sum.to_le_bytes());
    }
    let read = PartitionTable::read(&disk.as_slice());
    assert!(matches!(read, Err(GptError::Overlap(..))), "{read:?}");
}

#[test]
fn a_file_system_of_another_author_is_read_to_the_last_file() {
    // FAT12, FAT16 and FAT32, by their sizes.
    for size in [MIB, 16 * MIB, 300 * MIB] {
        let large = pattern(3, 70_001);
        let files = [
            ("EFI/BOOT/BOOTX64.EFI", large.clone()),
            ("EFI/BOOT/BOOTX64.EFI.extra.d/a.addon.efi", b"addon".to_vec()),
            ("loader/credentials/x.cred", b"credential".to_vec()),
            ("a rather long name, with ümläuts.TXT", b"text".to_vec()),
            ("EMPTY", Vec::new()),
            ("directory/", Vec::new()),
        ];
        let disk = fat(size, &files.map(|(path, content)| (path.to_owned(), content)));
        let disk = disk.as_slice();
        let fat = Fat::open(&disk).unwrap();
        let entries = fat.entries().unwrap();
        assert_eq!(
            entries.iter().map(|entry| entry.path.as_str()).collect::<Vec<_>>(),
            [
                "EFI",
                "EFI/BOOT",
                "EFI/BOOT/BOOTX64.EFI",
                "EFI/BOOT/BOOTX64.EFI.extra.d",
                "EFI/BOOT/BOOTX64.EFI.extra.d/a.addon.efi",
                "EMPTY",
                "a rather long name, with ümläuts.TXT",
                "directory",
                "loader",
                "loader/credentials",
                "loader/credentials/x.cred",
            ]
        );
        let uki = entries.iter().find(|entry| entry.path.ends_with("X64.EFI")).unwrap();
        let contents = fat.contents(uki);
        let mut read = vec![0; large.len()];
        contents.read_exact_at(&mut read, 0).unwrap();
        assert_eq!(read, large);
        contents.read_exact_at(&mut read[..500], 60_123).unwrap();
        assert_eq!(read[..500], large[60_123..60_623]);
        assert!(contents.read_exact_at(&mut read, 1).is_err());
        assert_eq!(contents.extents().map(|(start, end)| end - start).sum::<u64>(), 70_001);
        assert_eq!(fat.first_unused_nonzero(&entries).unwrap(), None);
        assert!(fat.tables_are_alike().unwrap());
    }
}

#[test]
fn a_long_name_counts_for_the_short_name_that_it_was_made_for() {
    let mut disk = fat(MIB, &[("a long name.txt".to_owned(), b"text".to_vec())]);
    let at = disk.windows(6).position(|it| it == b"ALONGN").expect("its short name");
    disk[at] = b'B';
    let storage = disk.as_slice();
    let entries = Fat::open(&storage).unwrap().entries().unwrap();
    assert_eq!(entries[0].path, entries[0].short_path);
    assert!(entries[0].path.starts_with("BLONGN~"), "{entries:?}");
}

#[test]
fn a_dot_hides_nothing() {
    // Firmware may go by the long name of an entry whose short name is that of the directory itself.
    let mut disk = fat(MIB, &[("extra.d".to_owned(), b"text".to_vec())]);
    let at = (0..disk.len()).find(|at| disk[*at..].starts_with(b"EXTRA")).unwrap();
    disk[at..at + 11].copy_from_slice(b".          ");
    let storage = disk.as_slice();
    let fat = Fat::open(&storage).unwrap();
    assert_eq!(fat.entries().unwrap().len(), 1);
}

#[test]
fn a_byte_in_the_slack_of_a_file_or_in_a_free_cluster_is_found() {
    let clean = fat(MIB, &[("FILE".to_owned(), pattern(1, 700))]);
    let (start, end) = {
        let storage = clean.as_slice();
        let fat = Fat::open(&storage).unwrap();
        let entries = fat.entries().unwrap();
        fat.contents(&entries[0]).extents().last().unwrap()
    };
    assert!(start < end);
    for at in [end, MIB - 1] {
        let mut disk = clean.clone();
        disk[at as usize] = 1;
        let storage = disk.as_slice();
        let fat = Fat::open(&storage).unwrap();
        let entries = fat.entries().unwrap();
        assert_eq!(fat.first_unused_nonzero(&entries).unwrap(), Some(at));
    }
}

#[test]
fn chains_that_run_in_circles_or_are_shared_end_the_reading() {
    let files = ["A", "B"].map(|name| (name.to_owned(), pattern(1, 2000)));
    let clean = fat(16 * MIB, &files);
    let table = usize::from(u16::from_le_bytes([clean[14], clean[15]])) * 512;
    let root = table + 2 * usize::from(u16::from_le_bytes([clean[22], clean[23]])) * 512;
    let first = |name: &[u8]| {
        let at = (root..).step_by(32).find(|at| clean[*at..].starts_with(name)).unwrap();
        (at, u16::from_le_bytes([clean[at + 26], clean[at + 27]]))
    };
    let ((_, a), (b_at, _)) = (first(b"A "), first(b"B "));
    let mut circle = clean.clone();
    let entry = table + usize::from(a) * 2;
    circle[entry..entry + 2].copy_from_slice(&a.to_le_bytes());
    let mut shared = clean.clone();
    shared[b_at + 26..b_at + 28].copy_from_slice(&a.to_le_bytes());
    let mut outside = clean.clone();
    outside[b_at + 26..b_at + 28].copy_from_slice(&0xfff0_u16.to_le_bytes());
    let mut larger = clean.clone();
    larger[b_at + 28..b_at + 32].fill(0xff);
    for (disk, what) in
        [(circle, "circle"), (shared, "circle"), (outside, "out of"), (larger, "many")]
    {
        let storage = disk.as_slice();
        let error = Fat::open(&storage).unwrap().entries().unwrap_err();
        assert!(matches!(error, FatError::Chain { .. }), "{error}");
        assert!(error.to_string().contains(what), "{error}");
    }
}

#[test]
fn pcr_11_is_what_systemd_measure_says() {
    // systemd-measure calculate, of systemd 257, over the same sections.
    let sections: [(&str, &[u8]); 9] = [
        (".text", b"the stub is not measured"),
        (".osrel", b"ID=sesame\n"),
        (".cmdline", b"ro quiet"),
        (".uname", b"6.12.0-test"),
        (".sbat", b"sbat,1,x\n"),
        (".ucode", b"microcode"),
        (".pcrpkey", b"a key"),
        (".linux", b"a kernel"),
        (".initrd", b"an initrd"),
    ];
    let file = pe(&sections);
    let storage = file.as_slice();
    let uki = Uki::open(&storage).unwrap();
    assert_eq!(uki.command_line().unwrap(), "ro quiet");
    assert_eq!(uki.kernel_release().unwrap(), "6.12.0-test");
    let start = uki.pcr11().unwrap().unwrap();
    let phases: Vec<_> =
        Uki::pcr11_in_phases(start).into_iter().map(|(name, it)| (name, it.to_string())).collect();
    let expected = |index: usize, name, value: &str| {
        assert_eq!(phases[index], (name, value.to_owned()));
    };
    expected(0, "start", "9034c27ddd2f45cccb25917ceca18160472dcff8a72773f6bc1d3c2bce78a9ce");
    expected(1, "enter-initrd", "d82fd35a43f2bad5426b140f031e353ecdb1915082e175d23d867afdb3a0eff3");
    expected(4, "ready", "aa3185b7ca08bcadfda949f21f7f158f56ca1a9d0dfaa632f18fe59904f2348e");

    let chosen = pe(&[(".linux", b"a kernel"), (".profile", b"ID=other")]);
    assert_eq!(Uki::open(&chosen.as_slice()).unwrap().pcr11().unwrap(), None);
}

#[test]
fn sections_outside_of_the_file_are_refused() {
    let mut file = pe(&[(".linux", b"a kernel"), (".cmdline", b"ro"), (".cmdline", b"rw")]);
    assert!(matches!(
        Uki::open(&file.as_slice()).unwrap().command_line(),
        Err(UkiError::Missing(".cmdline"))
    ));
    let short = &file[..file.len() - 512];
    assert!(matches!(Uki::open(&short), Err(UkiError::Bounds(_))));
    // A section of 4 GiB in memory would take a while to measure.
    let header = file.windows(6).position(|it| it == b".linux").unwrap();
    file[header + 8..header + 12].fill(0xff);
    assert!(matches!(Uki::open(&file.as_slice()), Err(UkiError::Bounds(_))));
    assert!(matches!(Uki::open(&b"MZ".as_slice()), Err(UkiError::Pe(_))));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn damage_anywhere_is_read_or_refused(
        at in any::<prop::sample::Index>(),
        value in any::<u8>(),
        length in any::<prop::sample::Index>(),
    ) {
        let esp = fat(MIB, &Recipe::new().files);
        for sample in [two_partitions(), esp, Recipe::new().uki()] {
            let mut bytes = sample;
            // Most of what means something is at the start.
            let places = bytes.len().min(40_000);
            bytes[at.index(places)] = value;
            let cut = &bytes[..length.index(bytes.len())];
            for storage in [bytes.as_slice(), cut] {
                let _ = PartitionTable::read(&storage);
                let _ = PartitionTable::claimed_bytes(&storage);
                if let Ok(fat) = Fat::open(&storage)
                    && let Ok(entries) = fat.entries()
                {
                    let _ = fat.first_unused_nonzero(&entries);
                    let _ = fat.tables_are_alike();
                }
                if let Ok(uki) = Uki::open(&storage) {
                    let _ = (uki.command_line(), uki.kernel_release(), uki.pcr11());
                }
            }
        }
    }
}
