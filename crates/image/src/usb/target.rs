//! What may be written to: a whole disk that can be pulled out, and that nothing uses.
//!
//! It is opened once, before anybody is asked, and never by its name again: while a person reads and answers,
//! a stick may be pulled out and another one get its name.

use std::fs::{self, File};
use std::io;
use std::os::unix::fs::{FileExt, FileTypeExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use media::storage::human_size;
use nix::libc;
use nix::sys::stat::{major, minor};

use crate::failed::Failed;

/// Bytes of a logical block in sysfs, whatever the device's own are.
const SYSFS_BLOCK: u64 = 512;

/// The end of a disk where an older partition table has its copy, in bytes.
const TABLE_COPY: u64 = 1 << 20;

/// Something that an image can be written to.
#[derive(Debug)]
pub struct Target {
    /// Where it was, without symbolic links.
    pub path: PathBuf,
    /// The last part of that: `sdb`.
    pub name: String,
    /// Its maker, model and size, for a person.
    pub description: String,
    /// Open for reading and writing.
    pub file: File,
    /// Of a disk; none for a plain file, which grows.
    disk: Option<BlockDevice>,
}

/// A disk, as the kernel knows it.
#[derive(Debug)]
struct BlockDevice {
    sysfs: PathBuf,
    /// In bytes.
    size: u64,
    /// A number that no other disk gets until the next boot; empty before Linux 5.15.
    sequence: String,
}

impl Target {
    /// A plain file, made if it isn't there.
    pub fn file(path: &Path) -> Result<Self, Failed> {
        let is_other = fs::metadata(path).is_ok_and(|metadata| !metadata.is_file());
        if is_other {
            return Err(Failed(format!(
                "{} is not a plain file; nothing was written. Without --file it is taken for a device",
                path.display()
            )));
        }
        let file = File::options().read(true).write(true).create(true).truncate(false).open(path);
        let file = file.map_err(Failed::io("write", path))?;
        let (name, description) = (name(path), "a file".to_owned());
        Ok(Self { path: path.to_owned(), name, description, file, disk: None })
    }

    /// A disk. `any` takes one that can't be pulled out.
    pub fn device(path: &Path, any: bool) -> Result<Self, Failed> {
        let path = path.canonicalize().map_err(Failed::io("find", path))?;
        let metadata = fs::metadata(&path).map_err(Failed::io("look at", &path))?;
        let refused =
            |why: &str| Err(Failed(format!("{} {why}; nothing was written", path.display())));
        if !metadata.file_type().is_block_device() {
            return refused("is not a disk; a plain file needs --file");
        }
        let number = metadata.rdev();
        let sysfs = format!("/sys/dev/block/{}:{}", major(number), minor(number));
        let sysfs =
            Path::new(&sysfs).canonicalize().map_err(Failed::io("find", Path::new(&sysfs)))?;
        if sysfs.join("partition").exists() {
            let whole = sysfs.parent().map(name).unwrap_or_default();
            return refused(&format!("is a partition; the whole disk is /dev/{whole}"));
        }
        if let Some(place) = mounted(&sysfs) {
            return refused(&format!("is in use: {place}. Unmount that first"));
        }
        let text = |file: &str| attribute(&sysfs, file);
        if text("ro") == "1" {
            return refused("is write-protected");
        }
        let file = claim(&path)?;
        if file.metadata().map_err(Failed::io("look at", &path))?.rdev() != number {
            return refused("became another disk while it was looked at");
        }
        let size = text("size").parse().unwrap_or(0) * SYSFS_BLOCK;
        let words = [text("device/vendor"), text("device/model"), text("device/serial")];
        let words: Vec<&str> =
            words.iter().map(String::as_str).filter(|word| !word.is_empty()).collect();
        let model =
            if words.is_empty() { "a disk without a model".to_owned() } else { words.join(" ") };
        let description = format!("{model}, {}", human_size(size));
        // A disk in a USB case says that it isn't removable.
        let is_removable = text("removable") == "1" || sysfs.to_string_lossy().contains("/usb");
        if !is_removable && !any {
            return refused(&format!(
                "({description}) is not a disk that can be pulled out. If it is the right one: --yes-this-disk"
            ));
        }
        let disk = BlockDevice { sequence: text("diskseq"), size, sysfs };
        Ok(Self { name: name(&path), path, description, file, disk: Some(disk) })
    }

    /// Whether so many bytes fit.
    pub fn has_room_for(&self, bytes: u64) -> Result<(), Failed> {
        match &self.disk {
            Some(disk) if disk.size < bytes => Err(Failed(format!(
                "{} ({}) is too small for {bytes} bytes; nothing was written. Take a larger one",
                self.path.display(),
                self.description
            ))),
            _ => Ok(()),
        }
    }

    /// Whether it is still the disk that was described: one that was pulled out has no entry in sysfs, and
    /// one with its number has another sequence number.
    pub fn is_still_there(&self) -> Result<(), Failed> {
        let Some(disk) = &self.disk else { return Ok(()) };
        let size = attribute(&disk.sysfs, "size").parse::<u64>().map(|size| size * SYSFS_BLOCK);
        if size == Ok(disk.size) && attribute(&disk.sysfs, "diskseq") == disk.sequence {
            return Ok(());
        }
        Err(Failed(format!(
            "{} ({}) was pulled out, or is another disk by now; nothing was written. Begin again",
            self.path.display(),
            self.description
        )))
    }

    /// Zeros where a larger disk has the copy of the partition table that it had before. A file ends with
    /// the image.
    pub fn wipe_end(&self, image: u64) -> io::Result<()> {
        let Some(BlockDevice { size, .. }) = self.disk else { return self.file.set_len(image) };
        let length = TABLE_COPY.min(size - image);
        let zeros = vec![0; usize::try_from(length).unwrap_or(0)];
        self.file.write_all_at(&zeros, size - length)
    }
}

/// Opens a disk that is ours alone then: the kernel refuses one that holds anything mounted, swap or a
/// volume, in any namespace, and mounts nothing of it until we are done (O_EXCL in open(2)).
fn claim(path: &Path) -> Result<File, Failed> {
    let mut options = File::options();
    options.read(true).write(true).custom_flags(libc::O_EXCL);
    options.open(path).map_err(|error| match error.raw_os_error() {
        Some(libc::EBUSY) => Failed(format!(
            "{} is in use: mounted, or below swap or a volume; nothing was written. Stop using it first",
            path.display()
        )),
        _ => Failed(format!("cannot write to {}: {error}; nothing was written", path.display())),
    })
}

fn attribute(sysfs: &Path, name: &str) -> String {
    fs::read_to_string(sysfs.join(name)).map(|text| text.trim().to_owned()).unwrap_or_default()
}

/// Where the disk, one of its partitions or what is made of them is mounted, or that it is swap.
fn mounted(sysfs: &Path) -> Option<String> {
    let numbers = numbers(sysfs);
    let mounts = fs::read_to_string("/proc/self/mountinfo").unwrap_or_default();
    // proc_pid_mountinfo(5): the third field is the device, the fifth the mount point.
    let place = mounts.lines().find_map(|line| {
        let mut words = line.split(' ');
        let number = words.nth(2)?;
        numbers.iter().any(|known| known == number).then(|| words.nth(1)).flatten()
    });
    if let Some(place) = place {
        return Some(format!("it is mounted on {place}"));
    }
    let swaps = fs::read_to_string("/proc/swaps").unwrap_or_default();
    let is_swap =
        swaps.lines().skip(1).filter_map(|line| line.split_whitespace().next()).any(|path| {
            let number = fs::metadata(path).map(|metadata| metadata.rdev()).unwrap_or(0);
            numbers.contains(&format!("{}:{}", major(number), minor(number)))
        });
    is_swap.then(|| "it is swap".to_owned())
}

/// The device numbers of a disk, of its partitions, and of the volumes on them.
fn numbers(sysfs: &Path) -> Vec<String> {
    let mut numbers = Vec::new();
    if let Ok(number) = fs::read_to_string(sysfs.join("dev")) {
        numbers.push(number.trim().to_owned());
    }
    for (directory, is_below) in [(sysfs.to_owned(), false), (sysfs.join("holders"), true)] {
        for entry in fs::read_dir(directory).into_iter().flatten().flatten() {
            let path = entry.path();
            if is_below || path.join("partition").exists() {
                numbers.extend(
                    path.canonicalize().map(|path| self::numbers(&path)).unwrap_or_default(),
                );
            }
        }
    }
    numbers
}

fn name(path: &Path) -> String {
    path.file_name().unwrap_or_default().to_string_lossy().into_owned()
}
