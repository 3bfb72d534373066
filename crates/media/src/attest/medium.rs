//! The medium that a running image was booted from: the disk with the partitions below the active
//! dm-verity device.

use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};

use uuid::Uuid;

use super::{Paths, text};
use crate::digest::Digest;
use crate::layout::{Esp, Layout};
use crate::storage::Disk;
use crate::uki::Uki;
use crate::verity::{self, Superblock};

/// What device mapper calls a device that veritysetup(8) or systemd-veritysetup(8) made.
const VERITY_UUID: &str = "CRYPT-VERITY-";

/// The names that systemd gives to the verified root and to the verified `/usr`.
const NAMES: [&str; 2] = ["root", "usr"];

/// The active dm-verity device.
pub(super) struct VerityDevice {
    /// Such as `dm-0`.
    node: String,
    /// Such as `root`.
    name: String,
    is_read_only: bool,
    /// Its directory in sysfs.
    path: PathBuf,
}

impl fmt::Display for VerityDevice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mode = if self.is_read_only { "read-only" } else { "writable" };
        write!(f, "{} \"{}\", {mode}", self.node, self.name)
    }
}

/// Finds it in sysfs. Its table, which has the root hash too, takes an ioctl(2) to read; the medium's
/// tree is asked instead.
pub(super) fn verity_device(paths: &Paths) -> Result<VerityDevice, String> {
    let block = paths.sys.join("block");
    let entries = fs::read_dir(&block).map_err(|error| format!("no block devices: {error}"))?;
    let mut nodes: Vec<String> = entries
        .filter_map(|entry| entry.ok()?.file_name().into_string().ok())
        .filter(|name| name.starts_with("dm-"))
        .collect();
    nodes.sort();
    let found = nodes.into_iter().find_map(|node| {
        let path = block.join(&node);
        let name = text(&path.join("dm/name")).ok()?;
        let uuid = text(&path.join("dm/uuid")).ok()?;
        let is_read_only = text(&path.join("ro")).is_ok_and(|value| value == "1");
        let is_it = uuid.starts_with(VERITY_UUID) && NAMES.contains(&name.as_str());
        is_it.then_some(VerityDevice { node, name, is_read_only, path })
    });
    found.ok_or_else(|| "there is no active dm-verity device".to_owned())
}

/// The device node of the disk that the running image was booted from.
///
/// # Errors
/// A sentence that says what is missing.
pub fn boot_device(paths: &Paths) -> Result<PathBuf, String> {
    let device = verity_device(paths)?;
    let slaves = fs::read_dir(device.path.join("slaves"))
        .map_err(|error| format!("the devices below {} are not known: {error}", device.node))?;
    let disk = slaves.filter_map(Result::ok).find_map(|slave| {
        let partition = slave.path().canonicalize().ok()?;
        // A partition's directory is in that of its disk.
        partition
            .join("partition")
            .exists()
            .then(|| partition.parent()?.file_name().map(Into::into))?
    });
    let disk: PathBuf =
        disk.ok_or_else(|| format!("{} is on no partition of a disk", device.node))?;
    // The kernel writes `!` where a name in /dev has a slash.
    Ok(paths.dev.join(disk.to_string_lossy().replace('!', "/")))
}

/// What is on the medium, read from the medium itself.
#[derive(Clone, Debug)]
pub struct Medium {
    /// Its device node.
    pub path: PathBuf,
    /// The GUID of its ESP.
    pub esp: Uuid,
    /// The root hash over the topmost block of its hash tree.
    pub root_hash: Result<Digest, String>,
    /// The SHA-256 of its UKI.
    pub uki: Result<Digest, String>,
    /// What the stub makes of PCR 11 with this UKI.
    pub pcr11: Option<Digest>,
    /// What is on its ESP beside the UKI.
    pub strangers: Vec<String>,
}

impl Medium {
    /// Reads a medium: its UKI as a whole, of its tree the first block.
    ///
    /// # Errors
    /// A sentence, when it can't be opened or isn't partitioned like an image.
    pub fn read(path: &Path) -> Result<Self, String> {
        let disk = Disk::open(path);
        let disk = disk.map_err(|error| format!("cannot read {}: {error}", path.display()))?;
        let layout = Layout::read(&disk).map_err(|error| error.to_string())?;
        let tree = &layout.tree.1;
        let root_hash = Superblock::read(tree)
            .and_then(|superblock| verity::stored_root_hash(&superblock, tree))
            .map_err(|error| error.to_string());
        let mut medium = Self {
            path: path.to_owned(),
            esp: layout.esp.0.id,
            root_hash,
            uki: Err("there is no UKI".to_owned()),
            pcr11: None,
            strangers: Vec::new(),
        };
        let esp = match Esp::read(&layout.esp.1) {
            Ok(esp) => esp,
            Err(error) => {
                medium.uki = Err(error.to_string());
                return Ok(medium);
            }
        };
        medium.strangers =
            esp.strangers().iter().map(|path| path.escape_debug().to_string()).collect();
        if let Some(contents) = esp.uki_contents() {
            medium.uki = Digest::of_storage(&contents).map_err(|error| error.to_string());
            medium.pcr11 = Uki::open(&contents).and_then(|uki| uki.pcr11()).ok().flatten();
        }
        Ok(medium)
    }
}
