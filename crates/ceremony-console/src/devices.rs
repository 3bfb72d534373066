//! The disks of this machine, as lsblk(8) lists them, made into checked types.

use std::fmt;

use serde::Deserialize;

use crate::printable::Printable;

/// The label of a volume that [`crate::volume`] made.
pub const LABEL: &str = "sesame-state";
/// A disk is worth formatting from this size on, in bytes: 16 MiB are LUKS2's header.
const SMALLEST: u64 = 64 << 20;

/// What [`Disks::parse`] reads.
pub const LSBLK: &[&str] = &[
    "lsblk",
    "--json",
    "--bytes",
    "--output",
    "KNAME,TYPE,SIZE,RO,RM,HOTPLUG,TRAN,MODEL,SERIAL,FSTYPE,LABEL,MOUNTPOINTS",
];

/// The list can't be used.
#[derive(Debug, thiserror::Error)]
#[error(
    "lsblk's list of disks is not what it should be ({0}); no disk was touched. Keep state in memory, or press r to look again"
)]
pub struct DevicesError(#[from] serde_json::Error);

/// A name that the kernel gave: `sdb1`. It is safe in a path, a command and on a terminal.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeviceName(String);

impl DeviceName {
    /// The name, if it is one.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-' || c == '_';
        let fits =
            (1..=32).contains(&text.len()) && text.starts_with(|c: char| c.is_ascii_lowercase());
        (fits && text.chars().all(plain)).then(|| Self(text.to_owned()))
    }

    /// As a person types it.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// As a program opens it.
    #[must_use]
    pub fn path(&self) -> String {
        format!("/dev/{}", self.0)
    }
}

impl fmt::Display for DeviceName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

/// A volume made earlier, which nothing uses.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Volume {
    /// The disk or partition that it fills.
    pub name: DeviceName,
    /// Of that disk or partition, in bytes.
    pub size: u64,
    /// The maker's name for the disk.
    pub model: Printable,
}

/// A whole disk that may be erased: nothing on it is in use, so that it isn't the one we run from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Disk {
    /// Its name.
    pub name: DeviceName,
    /// In bytes.
    pub size: u64,
    /// The maker's name for it.
    pub model: Printable,
    /// The maker's number for it.
    pub serial: Printable,
    /// How it is connected: `usb`, `sata`, `nvme`; empty where lsblk doesn't know.
    pub transport: Printable,
    /// Whether it can be pulled out.
    pub removable: bool,
    /// What would be erased: one line for each file system or partition.
    pub holds: Vec<Printable>,
}

/// What state could be kept on.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Disks {
    /// Volumes made earlier.
    pub volumes: Vec<Volume>,
    /// Disks that may be erased.
    pub erasable: Vec<Disk>,
}

impl Disks {
    /// Reads what [`LSBLK`] prints. What has an odd name, is read-only, too small or in use is left out.
    ///
    /// # Errors
    /// [`DevicesError`] if it isn't that.
    pub fn parse(json: &str) -> Result<Self, DevicesError> {
        let list: List = serde_json::from_str(json)?;
        let mut disks = Self::default();
        for node in &list.blockdevices {
            disks
                .collect_volumes(node, &Printable::name(node.model.as_deref().unwrap_or_default()));
            disks.erasable.extend(erasable(node));
        }
        Ok(disks)
    }

    fn collect_volumes(&mut self, node: &Node, model: &Printable) {
        let kind = matches!(node.kind.as_str(), "disk" | "part");
        let made_earlier =
            node.fstype.as_deref() == Some("crypto_LUKS") && node.label.as_deref() == Some(LABEL);
        if let Some(name) = DeviceName::parse(&node.kname)
            && kind
            && made_earlier
            && !node.ro
            && !node.is_in_use()
        {
            self.volumes.push(Volume { name, size: node.size, model: model.clone() });
        }
        for child in &node.children {
            self.collect_volumes(child, model);
        }
    }
}

fn erasable(node: &Node) -> Option<Disk> {
    let name = DeviceName::parse(&node.kname)?;
    // Neither memory that poses as a disk, nor the boot areas of an eMMC.
    let real = node.kind == "disk"
        && !["zram", "ram", "nbd", "mtdblock", "fd"].iter().any(|p| name.as_str().starts_with(p))
        && !name.as_str().contains("boot")
        && !name.as_str().contains("rpmb");
    if !real || node.ro || node.size < SMALLEST || node.is_in_use() {
        return None;
    }
    let text = |field: &Option<String>| Printable::name(field.as_deref().unwrap_or_default());
    let mut holds = Vec::new();
    node.describe(&mut holds);
    Some(Disk {
        name,
        size: node.size,
        model: text(&node.model),
        serial: text(&node.serial),
        transport: text(&node.tran),
        removable: node.rm || node.hotplug,
        holds,
    })
}

#[derive(Deserialize)]
struct List {
    blockdevices: Vec<Node>,
}

/// One entry, as lsblk has it.
#[derive(Deserialize)]
struct Node {
    kname: String,
    #[serde(rename = "type")]
    kind: String,
    size: u64,
    ro: bool,
    rm: bool,
    hotplug: bool,
    tran: Option<String>,
    model: Option<String>,
    serial: Option<String>,
    fstype: Option<String>,
    label: Option<String>,
    mountpoints: Vec<Option<String>>,
    #[serde(default)]
    children: Vec<Self>,
}

impl Node {
    /// Mounted, or below something that isn't a partition: dm-verity, LUKS, RAID. Partitions of the disk
    /// that we run from hold our root that way.
    fn is_in_use(&self) -> bool {
        self.mountpoints.iter().any(Option::is_some)
            || self.children.iter().any(|child| child.kind != "part" || child.is_in_use())
    }

    fn describe(&self, holds: &mut Vec<Printable>) {
        let label = self.label.as_deref().unwrap_or_default();
        match self.fstype.as_deref() {
            Some(fstype) => holds.push(Printable::name(format!("{fstype} {label}").trim())),
            None if self.kind == "part" => holds.push(Printable::name("a partition")),
            None => {}
        }
        for child in &self.children {
            child.describe(holds);
        }
    }
}

/// A size in the units that are printed on disks: powers of ten.
#[must_use]
pub fn human_size(bytes: u64) -> String {
    let units = [("TB", 1_000_000_000_000_u64), ("GB", 1_000_000_000), ("MB", 1_000_000)];
    for (unit, one) in units {
        if bytes >= one {
            let tenths = u128::from(bytes) * 10 / u128::from(one);
            return format!("{}.{} {unit}", tenths / 10, tenths % 10);
        }
    }
    format!("{bytes} bytes")
}

#[cfg(test)]
mod tests;
