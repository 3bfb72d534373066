//! What lies on a disk that somebody else wrote: partition tables, FAT, PE files, hash trees, manifests
//! and keys.

use std::sync::LazyLock;

use media::fat::Fat;
use media::gpt::PartitionTable;
use media::manifest::{Manifest, Source, Text};
use media::signature::Signer;
use media::storage::Storage;
use media::uki::Uki;
use media::verity::{Superblock, verify};
use media::{Description, Progress};

use crate::shape::shape;

#[path = "../../media/tests/common/mod.rs"]
mod image;

/// Bytes of the entries of a partition table.
const ENTRIES: usize = 128 * 128;

static RECIPE: LazyLock<image::Recipe> = LazyLock::new(image::Recipe::new);

static DISKS: LazyLock<Vec<Vec<u8>>> = LazyLock::new(|| vec![RECIPE.disk()]);

/// A partition table, whose parts lie on the disk and share nothing.
///
/// # Panics
/// When they don't.
pub fn gpt(orders: &[u8]) {
    let mut disk = shape(&DISKS, orders);
    if orders.len().is_multiple_of(2) && disk.len() > 40 << 10 {
        mend(&mut disk);
    }
    let _ = PartitionTable::claimed_bytes(&disk.as_slice());
    let Ok(table) = PartitionTable::read(&disk.as_slice()) else { return };
    assert!(table.disk_bytes <= disk.len() as u64);
    let mut end = table.head_bytes;
    for partition in &table.partitions {
        assert!(partition.start >= end && partition.bytes > 0, "{partition:?}");
        end = partition.end();
    }
    assert!(end <= table.tail_start && table.tail_start < table.disk_bytes);
    let parts: u64 = table.partitions.iter().map(|partition| partition.bytes).sum();
    let gaps: u64 = table.gaps().iter().map(|(start, end)| end - start).sum();
    assert_eq!(table.head_bytes + parts + gaps, table.tail_start);
}

/// Gives the header the sums that it should have, and makes the copy of it anew.
fn mend(disk: &mut [u8]) {
    let sum = crc32fast::hash(&disk[1024..1024 + ENTRIES]);
    let end = disk.len() / 512 * 512;
    disk.copy_within(1024..1024 + ENTRIES, end - 512 - ENTRIES);
    disk.copy_within(512..1024, end - 512);
    let last = (end / 512 - 1) as u64;
    disk[end - 512 + 24..][..8].copy_from_slice(&last.to_le_bytes());
    disk[end - 512 + 32..][..8].copy_from_slice(&1_u64.to_le_bytes());
    disk[end - 512 + 72..][..8].copy_from_slice(&(last - 32).to_le_bytes());
    for header in [512, end - 512] {
        disk[header + 88..header + 92].copy_from_slice(&sum.to_le_bytes());
        disk[header + 16..header + 20].fill(0);
        let sum = crc32fast::hash(&disk[header..header + 92]);
        disk[header + 16..header + 20].copy_from_slice(&sum.to_le_bytes());
    }
}

static ESPS: LazyLock<Vec<Vec<u8>>> = LazyLock::new(|| {
    let small = |path: &str| (path.to_owned(), vec![7; 1500]);
    let files = [
        small("EFI/BOOT/BOOTX64.EFI"),
        small("loader/credentials/a long name.cred"),
        ("EFI/empty".to_owned(), Vec::new()),
    ];
    vec![image::fat(64 << 10, &files), image::fat(1 << 20, &RECIPE.files)]
});

/// A FAT file system, in which no two files share a byte.
///
/// # Panics
/// When they do, or when one lies outside.
pub fn fat(orders: &[u8]) {
    let bytes = shape(&ESPS, orders);
    let storage = bytes.as_slice();
    let Ok(fat) = Fat::open(&storage) else { return };
    let Ok(entries) = fat.entries() else { return };
    let mut extents = Vec::new();
    for entry in entries.iter().filter(|entry| !entry.is_directory) {
        let contents = fat.contents(entry);
        extents.extend(contents.extents());
        let mut read = vec![0; usize::try_from(entry.bytes).expect("no more than there is")];
        contents.read_exact_at(&mut read, 0).expect("it is on the disk");
    }
    extents.sort_unstable();
    for pair in extents.windows(2) {
        assert!(pair[0].1 <= pair[1].0, "{pair:?}");
    }
    let _ = (fat.first_unused_nonzero(&entries), fat.tables_are_alike());
}

static UKIS: LazyLock<Vec<Vec<u8>>> = LazyLock::new(|| vec![RECIPE.uki()]);

/// A UKI, whose sections lie in the file.
///
/// # Panics
/// When one doesn't.
pub fn uki(orders: &[u8]) {
    let bytes = shape(&UKIS, orders);
    let storage = bytes.as_slice();
    let Ok(uki) = Uki::open(&storage) else { return };
    for section in uki.sections() {
        assert!(section.start + section.bytes <= bytes.len() as u64, "{section:?}");
        assert!(section.bytes <= section.bytes_in_memory);
    }
    for text in [uki.command_line(), uki.kernel_release()].into_iter().flatten() {
        assert!(!text.chars().any(char::is_control), "{text:?}");
    }
    // Zeros that are not in the file take time, and teach nothing.
    if uki.sections().iter().all(|section| section.bytes_in_memory < 1 << 20) {
        let _ = uki.pcr11();
    }
}

static TREES: LazyLock<Vec<Vec<u8>>> = LazyLock::new(|| {
    let (levels, _) = image::tree(&RECIPE.data, RECIPE.block);
    vec![[image::superblock(&RECIPE.data, RECIPE.block), levels].concat()]
});

/// A hash tree, which is either the one of these data or found out.
///
/// # Panics
/// When another tree passes, or a root hash of another one.
pub fn verity(orders: &[u8]) {
    let tree = shape(&TREES, orders);
    let Ok(superblock) = Superblock::read(&tree.as_slice()) else { return };
    let data = RECIPE.data.as_slice();
    let mut tell = |_, _| ();
    let Ok(found) = verify(&superblock, &data, &tree.as_slice(), &mut Progress::new(&mut tell))
    else {
        return;
    };
    let is_whole = found.first_bad_data.is_none()
        && found.first_bad_tree.is_none()
        && found.root_hash == found.stored_root_hash;
    let end = usize::try_from(superblock.tree_end()).expect("it was read");
    let known = &TREES[0];
    if is_whole && superblock.data_bytes() == data.len() as u64 {
        let is_ours = tree.get(512..end) == known.get(512..end);
        assert!(is_ours || superblock != Superblock::read(&known.as_slice()).expect("ours"));
    }
}

static MANIFESTS: LazyLock<Vec<Vec<u8>>> = LazyLock::new(|| {
    let dir = tempfile::tempdir().expect("a directory");
    let path = dir.path().join("x_1.raw");
    std::fs::write(&path, RECIPE.disk()).expect("a disk");
    let mut tell = |_, _| ();
    let read = Description::read(&path, &mut Progress::new(&mut tell)).expect("an image");
    let text = |text: &str| Text::new(text.to_owned()).expect("a text");
    let source = Source { commit: None, modified: true, date: 1 };
    let manifest = read.into_manifest(text("x"), text("1"), source, Vec::new(), None);
    vec![manifest.render().into_bytes()]
});

/// A manifest, which means the same when it is written again.
///
/// # Panics
/// When it doesn't, or when a text of it moves a cursor.
pub fn manifest(orders: &[u8]) {
    let Ok(manifest) = Manifest::parse(&shape(&MANIFESTS, orders)) else { return };
    let text = manifest.render();
    assert_eq!(Manifest::parse(text.as_bytes()).expect("we read what we write"), manifest);
    assert!(!text.contains("\\u") && text.chars().all(|c| c == '\n' || !c.is_control()), "{text}");
}

static SIGNERS: LazyLock<Vec<Vec<u8>>> = LazyLock::new(|| {
    vec![
        // P-256, the base point as a key.
        b"-----BEGIN PUBLIC KEY-----\n\
          MFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAEaxfR8uEsQkf4vOblY6RA8ncDfYEt\n\
          6zOg9KE5RdiYwpZP40Li/hp/m47n60p8D54WK84zV2sxXs7LtkBoN79R9Q==\n\
          -----END PUBLIC KEY-----\n"
            .to_vec(),
    ]
});

/// A key, under which no signature that we make up is one.
///
/// # Panics
/// When one is.
pub fn signer(orders: &[u8]) {
    let Ok(signer) = Signer::parse(&shape(&SIGNERS, orders)) else { return };
    assert!(signer.verify(b"a manifest", orders).is_err());
}
