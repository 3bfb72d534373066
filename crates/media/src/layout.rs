//! What lies where on an image: an ESP with a UKI and nothing else, a verified file system, its tree.

use std::io;

use crate::digest::Digest;
use crate::fat::{Contents, Entry, Fat, FatError};
use crate::gpt::{self, GptError, Partition, PartitionTable};
use crate::progress::Progress;
use crate::storage::{Region, Storage};

/// Where firmware looks for a UKI on x86-64 (UEFI specification 2.10, 3.5.1.1).
pub const UKI_PATH: &str = "EFI/BOOT/BOOTX64.EFI";

/// The directories that it is in.
const UKI_DIRECTORIES: [&str; 2] = ["EFI", "EFI/BOOT"];

/// Why an image can't be looked at as a whole.
#[derive(Debug, thiserror::Error)]
pub enum LayoutError {
    /// No partition table.
    #[error(transparent)]
    Gpt(#[from] GptError),
    /// A partition is missing, or there is one that an image doesn't have.
    #[error("the partitions are {found}; an image has an ESP, a root or /usr, and its hash tree")]
    Partitions {
        /// What they are for.
        found: String,
    },
    /// The disk ends before a partition does.
    #[error("the disk ends before its last partition does")]
    Truncated,
}

/// Which file system is verified.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verified {
    /// The root: `roothash=` on the command line.
    Root,
    /// `/usr`: `usrhash=`.
    Usr,
}

/// The partitions of an image.
pub struct Layout<'a> {
    /// The table.
    pub table: PartitionTable,
    /// Which file system is verified.
    pub verified: Verified,
    /// The EFI system partition.
    pub esp: (Partition, Region<'a>),
    /// The verified file system.
    pub data: (Partition, Region<'a>),
    /// Its hash tree.
    pub tree: (Partition, Region<'a>),
}

impl<'a> Layout<'a> {
    /// Finds the three partitions by their types.
    ///
    /// # Errors
    /// [`LayoutError`] when there are others, or the disk is too short for them.
    pub fn read(disk: &'a dyn Storage) -> Result<Self, LayoutError> {
        let table = PartitionTable::read(disk)?;
        let one = |kind| {
            let mut found = table.partitions.iter().filter(|partition| partition.kind == kind);
            found.next().filter(|_| found.next().is_none())
        };
        let data = one(gpt::ROOT).zip(one(gpt::ROOT_VERITY)).map(|pair| (pair, Verified::Root));
        let data =
            data.or(one(gpt::USR).zip(one(gpt::USR_VERITY)).map(|pair| (pair, Verified::Usr)));
        let (Some(esp), Some(((data, tree), verified)), 3) =
            (one(gpt::ESP), data, table.partitions.len())
        else {
            let found: Vec<_> = table.partitions.iter().map(Partition::purpose).collect();
            let found = if found.is_empty() { "none".to_owned() } else { found.join(", ") };
            return Err(LayoutError::Partitions { found });
        };
        let region = |partition: &Partition| {
            let region = Region::new(disk, partition.start, partition.bytes);
            region.map(|region| (partition.clone(), region)).ok_or(LayoutError::Truncated)
        };
        let (esp, data, tree) = (region(esp)?, region(data)?, region(tree)?);
        Ok(Self { table, verified, esp, data, tree })
    }
}

/// What is on an ESP.
pub struct Esp<'a> {
    /// The file system.
    pub fat: Fat<'a>,
    /// All its files and directories.
    pub entries: Vec<Entry>,
}

impl<'a> Esp<'a> {
    /// Reads an ESP to its last file.
    ///
    /// # Errors
    /// Those of [`Fat`].
    pub fn read(storage: &'a dyn Storage) -> Result<Self, FatError> {
        let fat = Fat::open(storage)?;
        let entries = fat.entries()?;
        Ok(Self { fat, entries })
    }

    /// The UKI, if it is where firmware looks for it. Firmware doesn't care for case.
    #[must_use]
    pub fn uki(&self) -> Option<&Entry> {
        self.entries.iter().find(|entry| !entry.is_directory && is_at(entry, UKI_PATH))
    }

    /// The content of the UKI.
    #[must_use]
    pub fn uki_contents(&self) -> Option<Contents<'a>> {
        self.uki().map(|uki| self.fat.contents(uki))
    }

    /// The paths of whatever is neither the UKI nor a directory that it is in.
    #[must_use]
    pub fn strangers(&self) -> Vec<String> {
        let belongs = |entry: &&Entry| match entry.is_directory {
            true => UKI_DIRECTORIES.iter().any(|path| is_at(entry, path)),
            false => is_at(entry, UKI_PATH),
        };
        let mut seen = Vec::new();
        let mut strangers = Vec::new();
        for entry in &self.entries {
            let path = entry.short_path.to_ascii_uppercase();
            // A second file of the same name is another one.
            if !belongs(&entry) || seen.contains(&path) {
                strangers.push(entry.path.clone());
            }
            seen.push(path);
        }
        strangers
    }
}

/// By its long and by its short name.
fn is_at(entry: &Entry, path: &str) -> bool {
    entry.path.eq_ignore_ascii_case(path) && entry.short_path.eq_ignore_ascii_case(path)
}

/// The root hash on a kernel's command line, `roothash=` or `usrhash=`; `None` where there is none,
/// or more than one.
#[must_use]
pub fn root_hash_of(command_line: &str) -> Option<Digest> {
    let words = command_line.split_ascii_whitespace();
    let mut hashes = words.filter_map(|word| {
        word.strip_prefix("roothash=").or_else(|| word.strip_prefix("usrhash="))
    });
    let hash = hashes.next()?.parse().ok()?;
    hashes.next().is_none().then_some(hash)
}

/// The SHA-256 of the first bytes of a disk, for each of the lengths; `None` for one that it hasn't.
///
/// # Errors
/// Those of the device.
pub fn disk_digests(
    disk: &dyn Storage,
    lengths: &[u64],
    progress: &mut Progress<'_>,
) -> io::Result<Vec<Option<Digest>>> {
    use sha2::Digest as _;
    let mut order: Vec<u64> = lengths.iter().copied().filter(|l| *l <= disk.size()).collect();
    order.sort_unstable();
    order.dedup();
    let mut hasher = sha2::Sha256::new();
    let (mut done, mut digests) = (0, Vec::new());
    for length in order {
        let start = done;
        disk.stream(start, length - start, &mut |bytes| {
            hasher.update(bytes);
            done += bytes.len() as u64;
            progress.add(bytes.len() as u64);
            Ok(())
        })?;
        digests.push((length, Digest::from(hasher.clone())));
    }
    let of = |length: &u64| digests.iter().find(|(l, _)| l == length).map(|(_, digest)| *digest);
    Ok(lengths.iter().map(of).collect())
}
