//! The encrypted volume that state is kept on: LUKS2, and ext4 in it.
//!
//! cryptsetup(8) asks for the passphrase on the console itself, so that it never is in this process.
//! A volume is finished when its marker is there, which is written last; one without is the work of an
//! interrupted run, and is neither used nor formatted anew unless somebody asks for that by name.
//!
//! Whoever knows the passphrase may have prepared what is on it ([`untrusted`](crate::untrusted)): it is used
//! if links, owners and modes are as we leave them. That what root's files say is ours can't be told.

mod content;

use std::fs;
use std::io;
use std::path::Path;

use crate::devices::{DeviceName, LABEL};
use crate::host::{Ended, Host};
use crate::untrusted::{self, Untrusted};
pub use content::{CICADA, Places, SESAME_AUDIT, SESAME_SECRETS};
use content::{Content, MACHINE_ID, MARKER, MARKER_TEXT, MOST_BYTES, is_machine_id, lay_out};

/// What the kernel calls the opened volume.
pub const MAPPED: &str = "/dev/mapper/sesame-state";

/// Why a volume isn't used.
#[derive(Debug, thiserror::Error)]
pub enum VolumeError {
    /// cryptsetup's exit status 2.
    #[error("The passphrase is not that of {device}. Nothing was changed.")]
    WrongPassphrase {
        /// The disk or partition.
        device: DeviceName,
    },
    /// cryptsetup's exit status 2, where it wanted a new one twice.
    #[error("No passphrase was chosen: it is typed twice, the same. {device} was not erased.")]
    NoPassphrase {
        /// The disk.
        device: DeviceName,
    },
    /// cryptsetup's exit status 3: Argon2id needs as much memory as on the machine that made the volume.
    #[error(
        "This machine has too little memory to open {device}. Nothing was changed. Use a machine with as \
         much memory as the one that made the volume."
    )]
    Memory {
        /// The disk or partition.
        device: DeviceName,
    },
    /// A header without a file system, or a file system without a marker.
    #[error(
        "The volume on {device} was never finished: whoever made it was interrupted. It holds no state, \
         and nothing was changed. To make it anew, choose a new encrypted volume, and {device} or its disk."
    )]
    Unfinished {
        /// The disk or partition.
        device: DeviceName,
    },
    /// Its marker is one that this program didn't write.
    #[error(
        "The volume on {device} is of a kind that this image does not know. It was closed again, and nothing \
         was changed. Boot the image that made it."
    )]
    OtherKind {
        /// The disk or partition.
        device: DeviceName,
    },
    /// The file system needs a person.
    #[error(
        "The file system on {device} is damaged (e2fsck: {ended}). It was not mounted. Repair it on \
         another machine with `e2fsck -f`, or restore it from a backup."
    )]
    Damaged {
        /// The disk or partition.
        device: DeviceName,
        /// How e2fsck ended.
        ended: Ended,
    },
    /// What the volume says of the machine is no machine ID.
    #[error(
        "The machine-id on {device} is not one. The volume was closed again, and nothing was changed."
    )]
    MachineId {
        /// The disk or partition.
        device: DeviceName,
    },
    /// Somebody else than this program may have prepared it.
    #[error(
        "The volume on {device} is not as this image leaves one: {found}. It was closed again, and nothing \
         that it holds was changed. Use another, or look at it on another machine: somebody may have \
         prepared it."
    )]
    Prepared {
        /// The disk or partition.
        device: DeviceName,
        /// What is not as it should be.
        #[source]
        found: Untrusted,
    },
    /// A step failed.
    #[error("{step} failed ({ended}). State is kept nowhere yet.")]
    Step {
        /// What was to be done.
        step: &'static str,
        /// How the program ended.
        ended: Ended,
    },
    /// A program could not be started, or a file not be written.
    #[error("{step} failed: {source}. State is kept nowhere yet.")]
    Io {
        /// What was to be done.
        step: &'static str,
        /// Why not.
        #[source]
        source: io::Error,
    },
}

/// Opens the volume on `device` and puts its directories where the system looks for them.
///
/// # Errors
/// [`VolumeError`]; the volume is closed again then.
pub fn use_existing(
    host: &mut dyn Host,
    device: &DeviceName,
    places: &Places,
) -> Result<(), VolumeError> {
    open(host, device)?;
    let used = mount_checked(host, device, places);
    closing_on_error(host, used)
}

/// Makes a volume of the disk `device`, whatever it holds, and uses it.
///
/// # Errors
/// [`VolumeError`]; but for [`VolumeError::NoPassphrase`] the disk may be erased all the same.
pub fn make(host: &mut dyn Host, device: &DeviceName, places: &Places) -> Result<(), VolumeError> {
    let path = device.path();
    host.say(
        "\nChoose a passphrase. The keyboard is read as a US one. Without the passphrase the volume cannot \
         be opened by anybody.\n",
    );
    let format = &[
        "cryptsetup",
        "luksFormat",
        "--type",
        "luks2",
        "--batch-mode",
        "--verify-passphrase",
        "--label",
        LABEL,
        &path,
    ];
    let name = "Making the encrypted volume";
    match io_step(name, host.run(format))? {
        Ended::Exit(0) => {}
        // It asks before it writes.
        Ended::Exit(2) => return Err(VolumeError::NoPassphrase { device: device.clone() }),
        ended => return Err(VolumeError::Step { step: name, ended }),
    }
    host.say("\nOnce more, to open it.\n");
    open(host, device)?;
    let made = fill(host, places);
    closing_on_error(host, made)
}

/// Takes the directories away again and closes the volume. It does nothing where none is open, so that
/// it may be called at any time.
///
/// # Errors
/// [`VolumeError::Step`] if something still uses the volume.
pub fn close(host: &mut dyn Host) -> Result<(), VolumeError> {
    for mounted in mounts_of(&read_mounts()?, MAPPED) {
        step(host, "Unmounting the state volume", &["umount", &mounted])?;
    }
    if Path::new(MAPPED).exists() {
        step(host, "Closing the state volume", &["cryptsetup", "close", "sesame-state"])?;
    }
    Ok(())
}

/// The mount points of `source` in a mountinfo file (proc_pid_mountinfo(5)), the last one mounted first.
#[must_use]
pub fn mounts_of(mountinfo: &str, source: &str) -> Vec<String> {
    let mut found: Vec<String> = mountinfo
        .lines()
        .filter_map(|line| {
            let (before, after) = line.split_once(" - ")?;
            let of_source = after.split(' ').nth(1)? == source;
            of_source.then(|| before.split(' ').nth(4).map(str::to_owned))?
        })
        .collect();
    found.reverse();
    found
}

fn read_mounts() -> Result<String, VolumeError> {
    io_step("Reading what is mounted", fs::read_to_string("/proc/self/mountinfo"))
}

fn open(host: &mut dyn Host, device: &DeviceName) -> Result<(), VolumeError> {
    let command =
        &["cryptsetup", "open", "--type", "luks2", "--tries", "3", &device.path(), "sesame-state"];
    let name = "Opening the encrypted volume";
    match io_step(name, host.run(command))? {
        Ended::Exit(0) => Ok(()),
        Ended::Exit(2) => Err(VolumeError::WrongPassphrase { device: device.clone() }),
        Ended::Exit(3) => Err(VolumeError::Memory { device: device.clone() }),
        ended => Err(VolumeError::Step { step: name, ended }),
    }
}

fn mount_checked(
    host: &mut dyn Host,
    device: &DeviceName,
    places: &Places,
) -> Result<(), VolumeError> {
    let probe = &["blkid", "--probe", "--output", "value", "--match-tag", "TYPE", MAPPED];
    let (ended, filesystem) = io_step("Looking into the volume", host.capture(probe))?;
    match (ended, filesystem.trim()) {
        (Ended::Exit(0), "ext4") => {}
        // 2: blkid found nothing that it knows.
        (Ended::Exit(0 | 2), _) => return Err(VolumeError::Unfinished { device: device.clone() }),
        (ended, _) => return Err(VolumeError::Step { step: "Looking into the volume", ended }),
    }
    // 1: errors were corrected.
    match io_step("Checking the file system", host.run(&["e2fsck", "-p", MAPPED]))? {
        Ended::Exit(0 | 1) => {}
        ended => return Err(VolumeError::Damaged { device: device.clone(), ended }),
    }
    mount(host, places)?;
    let prepared = |found| VolumeError::Prepared { device: device.clone(), found };
    let volume = untrusted::Directory::at(&places.volume, places.root).map_err(prepared)?;
    match volume.read(MARKER, places.root, MOST_BYTES) {
        Ok(text) if text == MARKER_TEXT.as_bytes() => {}
        Ok(_) => return Err(VolumeError::OtherKind { device: device.clone() }),
        Err(error) if error.is_absence() => {
            return Err(VolumeError::Unfinished { device: device.clone() });
        }
        Err(error) => return Err(prepared(error)),
    }
    let machine_id = volume.read(MACHINE_ID, places.root, MOST_BYTES).map_err(prepared)?;
    if !is_machine_id(&machine_id) {
        return Err(VolumeError::MachineId { device: device.clone() });
    }
    bind(host, &Content::of(&volume, places).map_err(prepared)?, places)
}

fn fill(host: &mut dyn Host, places: &Places) -> Result<(), VolumeError> {
    host.say("\nMaking the file system.\n");
    step(host, "Making the file system", &["mkfs.ext4", "-q", "-m", "0", "-L", LABEL, MAPPED])?;
    mount(host, places)?;
    let name = "Writing to the volume";
    io_step(name, lay_out(places))?;
    let opened = untrusted::Directory::at(&places.volume, places.root)
        .and_then(|volume| Content::of(&volume, places));
    bind(host, &io_step(name, opened.map_err(io::Error::other))?, places)
}

fn bind(host: &mut dyn Host, content: &Content, places: &Places) -> Result<(), VolumeError> {
    io_step("Putting the volume's directories in place", content.bind(host, places))
}

fn mount(host: &mut dyn Host, places: &Places) -> Result<(), VolumeError> {
    io_step("Mounting the volume", fs::create_dir_all(&places.volume))?;
    let target = utf8(&places.volume)?;
    // nosymfollow: nothing of ours is reached through a link there, now or later.
    let options = "nodev,nosuid,noexec,nosymfollow,noatime";
    let command = &["mount", "-t", "ext4", "-o", options, MAPPED, target];
    step(host, "Mounting the volume", command)
}

fn closing_on_error(host: &mut dyn Host, done: Result<(), VolumeError>) -> Result<(), VolumeError> {
    if done.is_err()
        && let Err(error) = close(host)
    {
        host.say(&format!("{error}\n"));
    }
    done
}

fn utf8(path: &Path) -> Result<&str, VolumeError> {
    let name = "Naming a directory";
    path.to_str().ok_or(VolumeError::Io { step: name, source: io::ErrorKind::InvalidInput.into() })
}

fn step(host: &mut dyn Host, step: &'static str, command: &[&str]) -> Result<(), VolumeError> {
    match io_step(step, host.run(command))? {
        Ended::Exit(0) => Ok(()),
        ended => Err(VolumeError::Step { step, ended }),
    }
}

fn io_step<T>(step: &'static str, done: io::Result<T>) -> Result<T, VolumeError> {
    done.map_err(|source| VolumeError::Io { step, source })
}

#[cfg(test)]
mod tests;
