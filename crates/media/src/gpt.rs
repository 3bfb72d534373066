//! GUID partition tables (UEFI specification 2.10, chapter 5), read strictly.
//!
//! Only what image builders write is taken: logical blocks of 512 bytes, entries of 128 bytes, at
//! most 128 of them, partitions that don't overlap, and both copies of the table whole and alike.
//! The numbers of a header are checked before anything is allocated by them.

use std::io;

use uuid::{Uuid, uuid};

use crate::storage::{LittleEndian, Storage};

/// Bytes of a logical block.
pub const BLOCK: u64 = 512;

/// EFI system partition.
pub const ESP: Uuid = uuid!("c12a7328-f81f-11d2-ba4b-00a0c93ec93b");
/// Root file system for x86-64 (Discoverable Partitions Specification), and its hash tree.
pub const ROOT: Uuid = uuid!("4f68bce3-e8cd-4db1-96e7-fbcaf984b709");
/// Hash tree of [`ROOT`].
pub const ROOT_VERITY: Uuid = uuid!("2c7357ed-ebd2-46d9-aec1-23d437ec2bf5");
/// `/usr` for x86-64, where an image verifies that instead of the root.
pub const USR: Uuid = uuid!("8484680c-9521-48c6-9c11-b0720656f69e");
/// Hash tree of [`USR`].
pub const USR_VERITY: Uuid = uuid!("77ff5f63-e7b6-4633-acf4-1565b864c0e6");

const SIGNATURE: &[u8; 8] = b"EFI PART";
const REVISION_1_0: u32 = 0x0001_0000;
const HEADER_SIZE: usize = 92;
const ENTRY_SIZE: usize = 128;
const MAX_ENTRIES: u32 = 128;
/// Where the sum over the header is in the header.
const CRC: std::ops::Range<usize> = 16..20;

/// Why there is no partition table that can be believed.
#[derive(Debug, thiserror::Error)]
pub enum GptError {
    /// The device failed.
    #[error("the partition table can't be read: {0}")]
    Io(#[from] io::Error),
    /// The first block isn't that of a disk with a GPT.
    #[error("there is no partition table: the first block is not a protective MBR")]
    NoProtectiveMbr,
    /// A copy of the header doesn't begin like one.
    #[error("the {0} is not there")]
    NoHeader(Copy),
    /// A sum doesn't fit.
    #[error("the {0} is damaged: its checksum does not fit")]
    Checksum(Copy),
    /// A number that no image builder writes.
    #[error("the {0} has a {1} that cannot be")]
    Field(Copy, &'static str),
    /// The two copies differ.
    #[error("the partition table and its copy at the end of the disk differ")]
    CopiesDiffer,
    /// A partition with bounds that can't be.
    #[error("partition {0} ends before it begins, or lies outside the disk")]
    Bounds(usize),
    /// Two partitions share blocks.
    #[error("partitions {0} and {1} overlap")]
    Overlap(usize, usize),
}

/// Which of the two copies of the table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Copy {
    /// The one behind the first block.
    Primary,
    /// The one at the end of the disk.
    Backup,
}

impl std::fmt::Display for Copy {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Primary => "partition table",
            Self::Backup => "copy of the partition table at the end of the disk",
        })
    }
}

/// A partition table of which both copies are whole.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PartitionTable {
    /// The GUID of the disk.
    pub disk: Uuid,
    /// The bytes from the first block to the last one that the table covers, its copy included.
    pub disk_bytes: u64,
    /// The bytes from the start that belong to the table, which are followed by the partitions'.
    pub head_bytes: u64,
    /// Where the copy of the table begins, in bytes.
    pub tail_start: u64,
    /// The partitions in the order of their places on the disk.
    pub partitions: Vec<Partition>,
}

/// One partition.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Partition {
    /// Its number in the table, from 1.
    pub number: usize,
    /// Its type.
    pub kind: Uuid,
    /// Its own GUID.
    pub id: Uuid,
    /// Where it begins, in bytes.
    pub start: u64,
    /// Its size in bytes.
    pub bytes: u64,
}

impl Partition {
    /// Where it ends, in bytes.
    #[must_use]
    pub const fn end(&self) -> u64 {
        self.start + self.bytes
    }

    /// What it is for, in a word or two.
    #[must_use]
    pub fn purpose(&self) -> &'static str {
        match self.kind {
            ESP => "ESP",
            ROOT => "root",
            ROOT_VERITY => "root hash tree",
            USR => "/usr",
            USR_VERITY => "/usr hash tree",
            _ => "unknown purpose",
        }
    }
}

struct Header {
    this: u64,
    other: u64,
    first_usable: u64,
    last_usable: u64,
    disk: Uuid,
    entries_at: u64,
    entries: u32,
    entries_crc: u32,
}

impl PartitionTable {
    /// Reads both copies; the storage may go on behind what the table covers.
    ///
    /// # Errors
    /// The first thing that is not as it should be.
    pub fn read(disk: &dyn Storage) -> Result<Self, GptError> {
        let mbr = block(disk, 0).map_err(|error| ended(error, Copy::Primary))?;
        let is_protective = mbr.get(510..512) == Some(&[0x55, 0xaa]) && mbr.get(450) == Some(&0xee);
        if !is_protective {
            return Err(GptError::NoProtectiveMbr);
        }
        let (header, entries) = Header::read(disk, 1, Copy::Primary)?;
        let (backup, copied) = Header::read(disk, header.other, Copy::Backup)?;
        if backup.other != 1 || !header.is_alike(&backup) || entries != copied {
            return Err(GptError::CopiesDiffer);
        }
        let table_blocks = (entries.len() as u64).div_ceil(BLOCK);
        if header.entries_at != 2 || header.first_usable < 2 + table_blocks {
            return Err(GptError::Field(Copy::Primary, "place of its entries"));
        }
        // The header of the copy is the last block of the disk, behind its entries.
        let has_room = header.last_usable < backup.entries_at
            && backup.entries_at.checked_add(table_blocks).is_some_and(|end| end <= header.other);
        if !has_room {
            return Err(GptError::Field(Copy::Backup, "place of its entries"));
        }
        let mut partitions = Vec::new();
        for (index, entry) in entries.chunks_exact(ENTRY_SIZE).enumerate() {
            partitions.extend(partition(index + 1, entry, &header)?);
        }
        partitions.sort_by_key(|partition| partition.start);
        for pair in partitions.windows(2) {
            if pair[0].end() > pair[1].start {
                return Err(GptError::Overlap(pair[0].number, pair[1].number));
            }
        }
        Ok(Self {
            disk: header.disk,
            disk_bytes: (header.other + 1) * BLOCK,
            head_bytes: (2 + table_blocks) * BLOCK,
            tail_start: backup.entries_at * BLOCK,
            partitions,
        })
    }

    /// How many bytes the table of a disk claims, without a look at the rest of it.
    ///
    /// # Errors
    /// As [`PartitionTable::read`], for what is at the start of the disk.
    pub fn claimed_bytes(disk: &dyn Storage) -> Result<u64, GptError> {
        let block = block(disk, 1).map_err(|error| ended(error, Copy::Primary))?;
        let header = Header::of_block(&block, 1, Copy::Primary)?;
        Ok(header.other.saturating_add(1).saturating_mul(BLOCK))
    }

    /// The bytes that belong neither to the table nor to a partition, as `(start, end)`.
    #[must_use]
    pub fn gaps(&self) -> Vec<(u64, u64)> {
        let mut gaps = Vec::new();
        let mut free_from = self.head_bytes;
        let tail = std::iter::once((self.tail_start, self.tail_start));
        let taken = self.partitions.iter().map(|partition| (partition.start, partition.end()));
        for (start, end) in taken.chain(tail) {
            if free_from < start {
                gaps.push((free_from, start));
            }
            free_from = free_from.max(end);
        }
        gaps
    }
}

impl Header {
    fn read(disk: &dyn Storage, at: u64, copy: Copy) -> Result<(Self, Vec<u8>), GptError> {
        let header =
            Self::of_block(&block(disk, at).map_err(|error| ended(error, copy))?, at, copy)?;
        let mut entries = vec![0; header.entries as usize * ENTRY_SIZE];
        let entries_at = header.entries_at.saturating_mul(BLOCK);
        disk.read_exact_at(&mut entries, entries_at).map_err(|error| ended(error.into(), copy))?;
        if crc32fast::hash(&entries) != header.entries_crc {
            return Err(GptError::Checksum(copy));
        }
        Ok((header, entries))
    }

    fn of_block(block: &[u8], at: u64, copy: Copy) -> Result<Self, GptError> {
        if !block.starts_with(SIGNATURE) {
            return Err(GptError::NoHeader(copy));
        }
        let field = |name| GptError::Field(copy, name);
        let u32_at = |at| block.u32_at(at).ok_or(GptError::NoHeader(copy));
        let u64_at = |at| block.u64_at(at).ok_or(GptError::NoHeader(copy));
        // No revision has another size; what follows in the block is zero.
        if u32_at(8)? != REVISION_1_0 || u32_at(12)? as usize != HEADER_SIZE {
            return Err(field("revision or size of its header"));
        }
        let mut summed = block.get(..HEADER_SIZE).unwrap_or_default().to_vec();
        summed[CRC].fill(0);
        if crc32fast::hash(&summed) != u32_at(CRC.start)? {
            return Err(GptError::Checksum(copy));
        }
        let header = Self {
            this: u64_at(24)?,
            other: u64_at(32)?,
            first_usable: u64_at(40)?,
            last_usable: u64_at(48)?,
            disk: guid(block, 56).ok_or(GptError::NoHeader(copy))?,
            entries_at: u64_at(72)?,
            entries: u32_at(80)?,
            entries_crc: u32_at(88)?,
        };
        if header.this != at {
            return Err(field("place"));
        }
        // Its product with the size of a block must be a number of bytes.
        if header.other < 2 && copy == Copy::Primary || header.other > u64::MAX / BLOCK - 1 {
            return Err(field("place of its copy"));
        }
        if u32_at(84)? as usize != ENTRY_SIZE || header.entries == 0 || header.entries > MAX_ENTRIES
        {
            return Err(field("number or size of entries"));
        }
        Ok(header)
    }

    fn is_alike(&self, backup: &Self) -> bool {
        (self.first_usable, self.last_usable, self.disk, self.entries_crc)
            == (backup.first_usable, backup.last_usable, backup.disk, backup.entries_crc)
    }
}

fn block(disk: &dyn Storage, number: u64) -> Result<Vec<u8>, GptError> {
    let mut block = vec![0; BLOCK as usize];
    disk.read_exact_at(&mut block, number.saturating_mul(BLOCK))?;
    Ok(block)
}

/// The end of the disk is no failure of the device.
fn ended(error: GptError, copy: Copy) -> GptError {
    match error {
        GptError::Io(error) if error.kind() == io::ErrorKind::UnexpectedEof => {
            GptError::NoHeader(copy)
        }
        error => error,
    }
}

fn guid(bytes: &[u8], at: usize) -> Option<Uuid> {
    bytes.get(at..)?.first_chunk().copied().map(Uuid::from_bytes_le)
}

/// `None` for an entry that isn't used.
fn partition(number: usize, entry: &[u8], header: &Header) -> Result<Option<Partition>, GptError> {
    let bounds = || GptError::Bounds(number);
    let kind = guid(entry, 0).ok_or_else(bounds)?;
    if kind.is_nil() {
        return Ok(None);
    }
    let (first, last) = (entry.u64_at(32), entry.u64_at(40));
    let (first, last) = first.zip(last).ok_or_else(bounds)?;
    if first < header.first_usable || last < first || last > header.last_usable {
        return Err(bounds());
    }
    let id = guid(entry, 16).ok_or_else(bounds)?;
    let (start, bytes) = (first * BLOCK, (last - first + 1) * BLOCK);
    Ok(Some(Partition { number, kind, id, start, bytes }))
}
