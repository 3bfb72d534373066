//! Disks that claim the same partition as the one that is attested: the stub says by its GUID where it was
//! started from, and of two partitions with one GUID nobody can tell which that was.

use std::fs;
use std::path::Path;

use uuid::Uuid;

use super::Paths;
use crate::storage::{Disk, LittleEndian, Storage};

/// Bytes of the logical blocks of disks: a table counts in those of the disk that it lies on.
const BLOCKS: [u64; 3] = [512, 2048, 4096];
/// The bytes of a header that are looked at; it fits each of [`BLOCKS`].
const HEADER: usize = 512;

/// The most entries of a table that are looked at, and their largest size in bytes.
const MAX_ENTRIES: u32 = 1024;
const MAX_ENTRY_SIZE: u32 = 4096;

/// What is no disk of its own.
const VIRTUAL: [&str; 5] = ["dm-", "loop", "md", "ram", "zram"];

/// The device nodes of the disks, other than `attested`, that have a partition with this GUID.
pub(super) fn twins(paths: &Paths, attested: &Path, id: &Uuid) -> Vec<String> {
    let Ok(entries) = fs::read_dir(paths.sys.join("block")) else { return Vec::new() };
    let mut found: Vec<String> = entries
        .filter_map(|entry| entry.ok()?.file_name().into_string().ok())
        .filter(|name| !VIRTUAL.iter().any(|prefix| name.starts_with(prefix)))
        .map(|name| paths.dev.join(name.replace('!', "/")))
        .filter(|path| path != attested)
        // What can't be opened, such as a drive without a disk, was not booted.
        .filter(|path| Disk::open(path).is_ok_and(|disk| claims(&disk, id)))
        .map(|path| path.display().to_string())
        .collect();
    found.sort();
    found
}

/// Whether either copy of the partition table has the GUID. Neither has to be whole: firmware is content with
/// one, and repairs.
fn claims(disk: &dyn Storage, id: &Uuid) -> bool {
    BLOCKS.into_iter().any(|block| {
        let last = (disk.size() / block).saturating_sub(1);
        [1, last].into_iter().any(|at| table_claims(disk, block, at, id).unwrap_or(false))
    })
}

fn table_claims(disk: &dyn Storage, block: u64, header: u64, id: &Uuid) -> Option<bool> {
    let mut bytes = vec![0; HEADER];
    disk.read_exact_at(&mut bytes, header.checked_mul(block)?).ok()?;
    let (start, count, size) = (bytes.u64_at(72)?, bytes.u32_at(80)?, bytes.u32_at(84)?);
    if !bytes.starts_with(b"EFI PART") || !(128..=MAX_ENTRY_SIZE).contains(&size) {
        return None;
    }
    let mut entries = vec![0; count.min(MAX_ENTRIES) as usize * size as usize];
    disk.read_exact_at(&mut entries, start.checked_mul(block)?).ok()?;
    let wanted = id.to_bytes_le();
    Some(entries.chunks_exact(size as usize).any(|entry| entry.get(16..32) == Some(&wanted)))
}
