//! Directories: entries of 32 bytes, the long names before the entry that they belong to.

use super::name::{LongName, MAX_PIECES, short_name};
use super::{Entry, Fat, FatError, Kind, MAX_ENTRIES};
use crate::storage::LittleEndian;

const ENTRY: usize = 32;
const LONG_NAME: u8 = 0x0f;
const VOLUME_LABEL: u8 = 0x08;
const DIRECTORY: u8 = 0x10;
const END: u8 = 0;
const DELETED: u8 = 0xe5;

/// All entries of all directories.
pub(super) fn walk(fat: &Fat<'_>) -> Result<Vec<Entry>, FatError> {
    let mut found: Vec<Entry> = Vec::new();
    let mut owned = vec![false; fat.table.len()];
    let root = fat.root_clusters()?;
    take(&mut owned, &root, "the root directory")?;
    let root = match fat.shape.kind {
        Kind::Fat32 => clusters(fat, &root)?,
        Kind::Fat12 | Kind::Fat16 => {
            let (start, size) = fat.shape.fixed_root;
            let mut bytes = vec![0; usize::try_from(size).unwrap_or(0)];
            fat.storage.read_exact_at(&mut bytes, start)?;
            bytes
        }
    };
    // Each directory owns its clusters, so there are no more directories than clusters.
    let mut waiting = vec![(String::new(), String::new(), root)];
    while let Some((path, short_path, bytes)) = waiting.pop() {
        let mut below = Vec::new();
        for raw in read(&bytes, !path.is_empty()) {
            let entry = raw.entry(fat, &path, &short_path)?;
            take(&mut owned, &entry.clusters, &entry.path)?;
            if entry.is_directory {
                let bytes = clusters(fat, &entry.clusters)?;
                below.push((format!("{}/", entry.path), format!("{}/", entry.short_path), bytes));
            }
            found.push(entry);
            if found.len() > MAX_ENTRIES {
                return Err(FatError::TooMany);
            }
        }
        waiting.extend(below);
    }
    found.sort_by(|a, b| a.path.cmp(&b.path));
    Ok(found)
}

/// Marks clusters as those of one entry.
fn take(owned: &mut [bool], clusters: &[u32], of: &str) -> Result<(), FatError> {
    for cluster in clusters {
        if std::mem::replace(&mut owned[*cluster as usize], true) {
            let of = of.to_owned();
            return Err(FatError::Chain { of, problem: "run in a circle, or are another's too" });
        }
    }
    Ok(())
}

fn clusters(fat: &Fat<'_>, clusters: &[u32]) -> Result<Vec<u8>, FatError> {
    let size = usize::try_from(fat.shape.cluster).unwrap_or(usize::MAX);
    // Long names included, and whole clusters.
    let most = MAX_ENTRIES * ENTRY * usize::from(MAX_PIECES + 1) + size;
    let total = clusters.len().checked_mul(size).filter(|total| *total <= most);
    let mut bytes = vec![0; total.ok_or(FatError::TooMany)?];
    for (cluster, place) in clusters.iter().zip(bytes.chunks_exact_mut(size)) {
        fat.storage.read_exact_at(place, fat.shape.offset(*cluster))?;
    }
    Ok(bytes)
}

/// One entry with its long name, if it has one.
struct Raw<'a> {
    bytes: &'a [u8],
    long_name: Option<String>,
}

/// The entries up to the end mark, without deleted ones and labels, and without the `.` and `..` that
/// are the first two of every directory but the root: anywhere else they are names like others, and
/// firmware may go by a long name before them.
fn read(bytes: &[u8], below_the_root: bool) -> Vec<Raw<'_>> {
    let mut found = Vec::new();
    let mut long_name = LongName::default();
    let mut place = 0;
    for bytes in bytes.chunks_exact(ENTRY) {
        let attributes = bytes[11];
        match bytes[0] {
            END => break,
            DELETED => long_name = LongName::default(),
            _ if attributes & 0x3f == LONG_NAME => long_name.push(bytes),
            _ => {
                let long_name = std::mem::take(&mut long_name).finish(&bytes[..11]);
                let dots = [".          ", "..         "].get(place).filter(|dots| {
                    let long = long_name.as_deref();
                    bytes.starts_with(dots.as_bytes())
                        && long.is_none_or(|name| name == dots.trim_end())
                });
                let is_dots = below_the_root && attributes & DIRECTORY != 0 && dots.is_some();
                place += 1;
                if attributes & VOLUME_LABEL == 0 && !is_dots {
                    found.push(Raw { bytes, long_name });
                }
            }
        }
    }
    found
}

impl Raw<'_> {
    fn entry(&self, fat: &Fat<'_>, above: &str, short_above: &str) -> Result<Entry, FatError> {
        let short_name = short_name(&self.bytes[..11]);
        let path = format!("{above}{}", self.long_name.as_deref().unwrap_or(&short_name));
        let number = |at| u32::from(self.bytes.u16_at(at).unwrap_or_default());
        let first = match fat.shape.kind {
            Kind::Fat32 => number(20) << 16 | number(26),
            Kind::Fat12 | Kind::Fat16 => number(26),
        };
        let is_directory = self.bytes[11] & DIRECTORY != 0;
        let size = u64::from(self.bytes.u32_at(28).unwrap_or_default());
        let bytes = if is_directory { 0 } else { size };
        let clusters = match first {
            0 if bytes == 0 && !is_directory => Vec::new(),
            first => fat.chain(first, &path)?,
        };
        if !is_directory && bytes.div_ceil(fat.shape.cluster) != clusters.len() as u64 {
            return Err(FatError::Chain { of: path, problem: "are not as many as its size takes" });
        }
        let short_path = format!("{short_above}{short_name}");
        Ok(Entry { path, short_path, is_directory, bytes, clusters })
    }
}
