//! Images for tests: partition tables and file systems by other authors' writers, PE files and hash
//! trees by small ones of our own that share nothing with what is tested.

#![allow(dead_code, reason = "each test binary uses a part of it")]
#![allow(clippy::unwrap_used, reason = "the fuzz targets use it too, which are no tests to clippy")]

use std::collections::BTreeMap;
use std::io::{Cursor, Write};

use fatfs::{FileSystem, FormatVolumeOptions, FsOptions};
use gpt::disk::LogicalBlockSize;
use gpt::mbr::ProtectiveMBR;
use gpt::partition::Partition;
use gpt::partition_types::{OperatingSystem, Type};
use sha2::{Digest, Sha256};
use uuid::{Uuid, uuid};

pub const SALT: [u8; 32] = [0xa5; 32];
pub const UKI: &str = "EFI/BOOT/BOOTX64.EFI";
const MIB: u64 = 1 << 20;

/// What an image is made of.
#[derive(Clone)]
pub struct Recipe {
    /// The files of the ESP, in the order in which they are written; a path that ends in a slash is a
    /// directory.
    pub files: Vec<(String, Vec<u8>)>,
    /// The size of the ESP in bytes.
    pub esp: u64,
    pub data: Vec<u8>,
    pub block: usize,
    /// `/usr` instead of the root.
    pub usr: bool,
}

impl Recipe {
    /// An image as it should be.
    pub fn new() -> Self {
        let data: Vec<u8> = (0..150_u64).flat_map(|block| pattern(block, 512)).collect();
        let mut recipe = Self { files: Vec::new(), esp: MIB, data, block: 512, usr: false };
        recipe.files = vec![(UKI.to_owned(), recipe.uki())];
        recipe
    }

    /// A UKI with the root hash of the data.
    pub fn uki(&self) -> Vec<u8> {
        let (_, root) = tree(&self.data, self.block);
        let word = if self.usr { "usrhash" } else { "roothash" };
        let command_line = format!("{word}={} ro lockdown=confidentiality\n", hex(&root));
        pe(&[
            (".text", b"code"),
            (".osrel", b"ID=sesame\n"),
            (".cmdline", command_line.as_bytes()),
            (".uname", b"6.12.0-test"),
            (".linux", b"a rather distinct kernel"),
            (".initrd", &pattern(8, 5000)),
        ])
    }

    /// The disk.
    pub fn disk(&self) -> Vec<u8> {
        let (tree, root) = tree(&self.data, self.block);
        let tree = [superblock(&self.data, self.block), tree].concat();
        let (data_type, tree_type) = if self.usr {
            (
                uuid!("8484680c-9521-48c6-9c11-b0720656f69e"),
                uuid!("77ff5f63-e7b6-4633-acf4-1565b864c0e6"),
            )
        } else {
            (
                uuid!("4f68bce3-e8cd-4db1-96e7-fbcaf984b709"),
                uuid!("2c7357ed-ebd2-46d9-aec1-23d437ec2bf5"),
            )
        };
        let id = |bytes: &[u8]| Uuid::from_slice(bytes).unwrap();
        partitioned(&[
            (
                uuid!("c12a7328-f81f-11d2-ba4b-00a0c93ec93b"),
                Uuid::from_u128(1),
                fat(self.esp, &self.files),
            ),
            (data_type, id(&root[..16]), self.data.clone()),
            (tree_type, id(&root[16..]), tree),
        ])
    }
}

/// Bytes that no other block has.
pub fn pattern(number: u64, length: usize) -> Vec<u8> {
    let hash = Sha256::digest(number.to_le_bytes());
    hash.iter().copied().cycle().take(length).collect()
}

pub fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// A disk with these partitions: their type, their GUID and their content, each at a whole MiB.
pub fn partitioned(partitions: &[(Uuid, Uuid, Vec<u8>)]) -> Vec<u8> {
    let mut table = BTreeMap::new();
    let mut start = MIB;
    for (number, (kind, id, content)) in (1..).zip(partitions) {
        let blocks = (content.len() as u64).div_ceil(512);
        let partition = Partition {
            part_type_guid: Type { guid: *kind, os: OperatingSystem::Linux },
            part_guid: *id,
            first_lba: start / 512,
            last_lba: start / 512 + blocks - 1,
            flags: 0,
            name: format!("part {number}"),
        };
        table.insert(number, partition);
        start = (start + blocks * 512).next_multiple_of(MIB);
    }
    let bytes = start + MIB;
    let mut disk = Cursor::new(vec![0; bytes as usize]);
    let blocks = u32::try_from(bytes / 512 - 1).unwrap();
    ProtectiveMBR::with_lb_size(blocks).overwrite_lba0(&mut disk).unwrap();
    let config = gpt::GptConfig::new().writable(true).logical_block_size(LogicalBlockSize::Lb512);
    let mut gpt = config.create_from_device(disk, Some(Uuid::from_u128(9))).unwrap();
    gpt.update_partitions(table.clone()).unwrap();
    let mut disk = gpt.write().unwrap().into_inner();
    for (partition, (_, _, content)) in table.values().zip(partitions) {
        let at = partition.first_lba as usize * 512;
        disk[at..at + content.len()].copy_from_slice(content);
    }
    disk
}

/// A FAT file system with these files.
pub fn fat(size: u64, files: &[(String, Vec<u8>)]) -> Vec<u8> {
    let mut disk = Cursor::new(vec![0; size as usize]);
    fatfs::format_volume(&mut disk, FormatVolumeOptions::new().volume_id(1)).unwrap();
    {
        let fs = FileSystem::new(&mut disk, FsOptions::new()).unwrap();
        for (path, content) in files {
            let mut directory = fs.root_dir();
            let mut parts: Vec<&str> = path.split('/').collect();
            let name = parts.pop().unwrap();
            for part in parts {
                directory = directory.create_dir(part).unwrap();
            }
            if !name.is_empty() {
                directory.create_file(name).unwrap().write_all(content).unwrap();
            }
        }
    }
    disk.into_inner()
}

/// A 64-bit PE file with these sections.
pub fn pe(sections: &[(&str, &[u8])]) -> Vec<u8> {
    let mut file = vec![0; 64];
    file[..2].copy_from_slice(b"MZ");
    file[60..64].copy_from_slice(&64_u32.to_le_bytes());
    file.extend(b"PE\0\0");
    file.extend(0x8664_u16.to_le_bytes());
    file.extend(u16::try_from(sections.len()).unwrap().to_le_bytes());
    file.extend([0; 12]);
    file.extend(240_u16.to_le_bytes());
    file.extend(0x22_u16.to_le_bytes());
    let mut optional = vec![0; 240];
    optional[..2].copy_from_slice(&0x20b_u16.to_le_bytes());
    optional[108..112].copy_from_slice(&16_u32.to_le_bytes());
    file.extend(optional);
    let mut at = (file.len() + 40 * sections.len()).next_multiple_of(512);
    let mut bodies = Vec::new();
    for (name, content) in sections {
        let stored = content.len().next_multiple_of(512);
        let mut header = [0; 40];
        header[..name.len()].copy_from_slice(name.as_bytes());
        let numbers = [content.len(), at * 8, stored, at];
        for (place, number) in header[8..24].chunks_exact_mut(4).zip(numbers) {
            place.copy_from_slice(&u32::try_from(number).unwrap().to_le_bytes());
        }
        file.extend(header);
        bodies.push((at, *content));
        at += stored;
    }
    file.resize(at, 0);
    for (at, content) in bodies {
        file[at..at + content.len()].copy_from_slice(content);
    }
    file
}

/// A superblock of dm-verity in a block of its own.
pub fn superblock(data: &[u8], block: usize) -> Vec<u8> {
    let mut bytes = vec![0; block];
    bytes[..8].copy_from_slice(b"verity\0\0");
    bytes[8] = 1;
    bytes[12] = 1;
    bytes[16] = 7;
    bytes[32..38].copy_from_slice(b"sha256");
    bytes[64..68].copy_from_slice(&(block as u32).to_le_bytes());
    bytes[68..72].copy_from_slice(&(block as u32).to_le_bytes());
    bytes[72..80].copy_from_slice(&((data.len() / block) as u64).to_le_bytes());
    bytes[80] = 32;
    bytes[88..120].copy_from_slice(&SALT);
    bytes
}

/// The tree over data, the topmost level first, and its root hash.
pub fn tree(data: &[u8], block: usize) -> (Vec<u8>, [u8; 32]) {
    let hash = |bytes: &[u8]| -> [u8; 32] {
        Sha256::new_with_prefix(SALT).chain_update(bytes).finalize().into()
    };
    let mut below = data.to_vec();
    let mut levels = Vec::new();
    while below.len() > block {
        let mut level: Vec<u8> = below.chunks(block).flat_map(hash).collect();
        level.resize(level.len().next_multiple_of(block), 0);
        levels.insert(0, level.clone());
        below = level;
    }
    (levels.concat(), hash(&below))
}
