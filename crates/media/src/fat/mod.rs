//! FAT file systems (Microsoft's FAT specification of 2000, which UEFI refers to), read strictly.
//!
//! The EFI system partition is one. What is asked here is what lies on it, to the last file: so a
//! chain that runs in a circle, leaves the file system or is shared by two files ends the reading,
//! where a driver would carry on. Everything is bounded by the size of the file system, which is
//! bounded by that of its partition.

mod directory;
mod name;

use std::io;

use crate::storage::{LittleEndian, Region, Storage};

/// The largest allocation table that is read, in bytes: that of 16 GiB in clusters of 4 KiB.
const MAX_TABLE: u64 = 16 << 20;

/// The most files and directories.
pub const MAX_ENTRIES: usize = 4096;

/// Why a FAT file system can't be read to the last file.
#[derive(Debug, thiserror::Error)]
pub enum FatError {
    /// The device failed.
    #[error("the file system can't be read: {0}")]
    Io(#[from] io::Error),
    /// The first sector isn't that of a FAT file system, or has a number that can't be.
    #[error("there is no FAT file system: {0}")]
    BootSector(&'static str),
    /// A chain of clusters that can't be.
    #[error("the file system is damaged: the clusters of {of} {problem}")]
    Chain {
        /// Whose chain.
        of: String,
        /// What is wrong with it.
        problem: &'static str,
    },
    /// More than [`MAX_ENTRIES`] files and directories.
    #[error("the file system has more than {MAX_ENTRIES} files")]
    TooMany,
}

/// A FAT file system.
pub struct Fat<'a> {
    storage: &'a dyn Storage,
    shape: Shape,
    /// One entry a cluster; the first two are no clusters.
    table: Vec<u32>,
}

/// A file or a directory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// Its path from the root, with slashes, by its long names where it has them.
    pub path: String,
    /// The same by its short names, in upper case.
    pub short_path: String,
    /// Whether it is a directory.
    pub is_directory: bool,
    /// Its size in bytes; 0 for a directory.
    pub bytes: u64,
    /// The clusters of its content, in order.
    clusters: Vec<u32>,
}

/// Where things are.
struct Shape {
    kind: Kind,
    cluster: u64,
    /// Where the first table begins, how many bytes each has, and how many there are.
    tables: (u64, u64, u64),
    /// Where the root directory of FAT12 and FAT16 is, and how many bytes it has.
    fixed_root: (u64, u64),
    /// The first cluster of the root directory of FAT32.
    root_cluster: u32,
    data: u64,
    clusters: u32,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Fat12,
    Fat16,
    Fat32,
}

impl<'a> Fat<'a> {
    /// Reads the boot sector and the allocation table.
    ///
    /// # Errors
    /// [`FatError::BootSector`] for what isn't a FAT file system, or is larger than the storage.
    pub fn open(storage: &'a dyn Storage) -> Result<Self, FatError> {
        let mut boot = [0; 512];
        storage.read_exact_at(&mut boot, 0)?;
        let shape = Shape::read(&boot, storage.size())?;
        let mut bytes = vec![0; usize::try_from(shape.tables.1).unwrap_or(0)];
        storage.read_exact_at(&mut bytes, shape.tables.0)?;
        let table = (0..shape.clusters + 2).map(|cluster| shape.kind.entry(&bytes, cluster));
        let table = table.collect::<Option<_>>();
        let table = table.ok_or(FatError::BootSector("its table is too small"))?;
        Ok(Self { storage, shape, table })
    }

    /// All files and directories, those of a directory behind it.
    ///
    /// # Errors
    /// [`FatError::Chain`] where clusters are used twice or lead nowhere.
    pub fn entries(&self) -> Result<Vec<Entry>, FatError> {
        directory::walk(self)
    }

    /// The content of a file.
    #[must_use]
    pub fn contents(&self, entry: &Entry) -> Contents<'a> {
        let bytes = self.shape.cluster;
        let offsets = entry.clusters.iter().map(|cluster| self.shape.offset(*cluster)).collect();
        Contents { storage: self.storage, offsets, cluster: bytes, size: entry.bytes }
    }

    /// The first byte that holds nothing of `entries` and is not zero: behind the end of a file, in
    /// a cluster that is free, or behind the last cluster. Its offset in the file system.
    ///
    /// # Errors
    /// Those of the device.
    pub fn first_unused_nonzero(&self, entries: &[Entry]) -> Result<Option<u64>, FatError> {
        let size = self.shape.cluster;
        let mut used_of = vec![0; self.table.len()];
        for entry in entries {
            let mut left = if entry.is_directory { u64::MAX } else { entry.bytes };
            for cluster in &entry.clusters {
                used_of[*cluster as usize] = left.min(size);
                left = left.saturating_sub(size);
            }
        }
        for cluster in self.root_clusters()? {
            used_of[cluster as usize] = size;
        }
        for (cluster, used) in (0..).zip(used_of).skip(2) {
            let start = self.shape.offset(cluster);
            let region = crate::storage::first_nonzero(self.storage, start + used, start + size)?;
            if region.is_some() {
                return Ok(region);
            }
        }
        let end = self.shape.offset(self.shape.clusters + 2);
        Ok(crate::storage::first_nonzero(self.storage, end, self.storage.size())?)
    }

    /// Whether all copies of the allocation table are alike.
    ///
    /// # Errors
    /// Those of the device.
    pub fn tables_are_alike(&self) -> Result<bool, FatError> {
        let (start, bytes, count) = self.shape.tables;
        let digest = |n: u64| {
            let table = Region::new(self.storage, start + n * bytes, bytes);
            let table = table.ok_or(io::Error::from(io::ErrorKind::UnexpectedEof))?;
            crate::digest::Digest::of_storage(&table)
        };
        let first = digest(0)?;
        for n in 1..count {
            if digest(n)? != first {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// None for FAT12 and FAT16, whose root directory has a place of its own.
    fn root_clusters(&self) -> Result<Vec<u32>, FatError> {
        match self.shape.kind {
            Kind::Fat32 => self.chain(self.shape.root_cluster, "the root directory"),
            Kind::Fat12 | Kind::Fat16 => Ok(Vec::new()),
        }
    }

    /// The clusters from `first` to the end of their chain.
    fn chain(&self, first: u32, of: &str) -> Result<Vec<u32>, FatError> {
        let problem = |problem| FatError::Chain { of: of.to_owned(), problem };
        let mut clusters = Vec::new();
        let mut next = first;
        loop {
            if !(2..self.shape.clusters + 2).contains(&next) {
                return Err(problem("lead out of the file system"));
            }
            if clusters.len() >= self.table.len() {
                return Err(problem("run in a circle"));
            }
            clusters.push(next);
            next = self.table[next as usize];
            if next >= self.shape.kind.end_of_chain() {
                return Ok(clusters);
            }
        }
    }
}

impl Shape {
    fn read(boot: &[u8; 512], available: u64) -> Result<Self, FatError> {
        let wrong = FatError::BootSector;
        let u16_at = |at| u64::from(boot.u16_at(at).unwrap_or_default());
        let u32_at = |at| u64::from(boot.u32_at(at).unwrap_or_default());
        if boot[510..] != [0x55, 0xaa] {
            return Err(wrong("its first sector has no signature"));
        }
        let (sector, per_cluster) = (u16_at(11), u64::from(boot[13]));
        if ![512, 1024, 2048, 4096].contains(&sector) || !per_cluster.is_power_of_two() {
            return Err(wrong("its sectors or clusters have a size that cannot be"));
        }
        let (reserved, count, root_entries) = (u16_at(14), u64::from(boot[16]), u16_at(17));
        let is_32 = u16_at(22) == 0;
        let table_sectors = if is_32 { u32_at(36) } else { u16_at(22) };
        let total = if u16_at(19) == 0 { u32_at(32) } else { u16_at(19) };
        if reserved == 0 || !(1..=2).contains(&count) || table_sectors == 0 {
            return Err(wrong("it has no table, or more than two"));
        }
        if table_sectors * sector > MAX_TABLE {
            return Err(wrong("its table is larger than 16 MiB"));
        }
        let root_sectors = (root_entries * 32).div_ceil(sector);
        let data_sector = reserved + count * table_sectors + root_sectors;
        let data_sectors = total.checked_sub(data_sector).ok_or(wrong("it has no clusters"))?;
        if total * sector > available {
            return Err(wrong("it is larger than its partition"));
        }
        // The specification tells the kinds apart by this number alone.
        let clusters = data_sectors / per_cluster;
        let kind = match clusters {
            0 => return Err(wrong("it has no clusters")),
            1..4085 => Kind::Fat12,
            4085..65525 => Kind::Fat16,
            _ => Kind::Fat32,
        };
        if (kind == Kind::Fat32) != is_32 || is_32 != (root_entries == 0) {
            return Err(wrong("the number of its clusters contradicts its kind"));
        }
        let clusters = u32::try_from(clusters).ok().filter(|clusters| *clusters < 0x0fff_fff5);
        Ok(Self {
            kind,
            cluster: per_cluster * sector,
            tables: (reserved * sector, table_sectors * sector, count),
            fixed_root: ((data_sector - root_sectors) * sector, root_entries * 32),
            root_cluster: boot.u32_at(44).unwrap_or_default(),
            data: data_sector * sector,
            clusters: clusters.ok_or(wrong("it has too many clusters"))?,
        })
    }

    /// Where a cluster begins.
    fn offset(&self, cluster: u32) -> u64 {
        self.data + u64::from(cluster.saturating_sub(2)) * self.cluster
    }
}

impl Kind {
    /// What the table says about a cluster.
    fn entry(self, table: &[u8], cluster: u32) -> Option<u32> {
        let cluster = cluster as usize;
        match self {
            Self::Fat12 => {
                let pair = u32::from(table.u16_at(cluster + cluster / 2)?);
                Some(if cluster.is_multiple_of(2) { pair & 0xfff } else { pair >> 4 })
            }
            Self::Fat16 => table.u16_at(cluster * 2).map(u32::from),
            Self::Fat32 => table.u32_at(cluster * 4).map(|entry| entry & 0x0fff_ffff),
        }
    }

    /// The smallest mark of an end. What is between it and the clusters marks a bad one.
    const fn end_of_chain(self) -> u32 {
        match self {
            Self::Fat12 => 0xff8,
            Self::Fat16 => 0xfff8,
            Self::Fat32 => 0x0fff_fff8,
        }
    }
}

/// The content of a file, cluster by cluster.
pub struct Contents<'a> {
    storage: &'a dyn Storage,
    offsets: Vec<u64>,
    cluster: u64,
    size: u64,
}

impl Contents<'_> {
    /// The parts of the storage that hold it, as `(start, end)`.
    pub fn extents(&self) -> impl Iterator<Item = (u64, u64)> {
        let mut left = self.size;
        self.offsets.iter().map(move |start| {
            let length = left.min(self.cluster);
            left -= length;
            (*start, start + length)
        })
    }
}

impl Storage for Contents<'_> {
    fn size(&self) -> u64 {
        self.size
    }

    fn read_exact_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<()> {
        let end = offset.checked_add(buffer.len() as u64).filter(|end| *end <= self.size);
        end.ok_or(io::ErrorKind::UnexpectedEof)?;
        let (mut at, mut rest) = (offset, buffer);
        while !rest.is_empty() {
            let index = usize::try_from(at / self.cluster).unwrap_or(usize::MAX);
            let start = self.offsets.get(index).ok_or(io::ErrorKind::UnexpectedEof)?;
            let within = at % self.cluster;
            let (mut length, mut next) = (self.cluster - within, index + 1);
            // Clusters in a row are read at once.
            while self.offsets.get(next) == Some(&(start + (next - index) as u64 * self.cluster))
                && length < rest.len() as u64
            {
                length += self.cluster;
                next += 1;
            }
            let size = usize::try_from(length).unwrap_or(rest.len()).min(rest.len());
            let (now, later) = rest.split_at_mut(size);
            self.storage.read_exact_at(now, start + within)?;
            (at, rest) = (at + size as u64, later);
        }
        Ok(())
    }
}
