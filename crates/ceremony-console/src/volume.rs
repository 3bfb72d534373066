//! The encrypted volume that state is kept on: LUKS2, and ext4 in it.
//!
//! cryptsetup(8) asks for the passphrase on the console itself, so that it never is in this process.
//! A volume is finished when its marker is there, which is written last; one without is the work of an
//! interrupted run, and is neither used nor formatted anew unless somebody asks for that by name.

use std::fs::{self, DirBuilder, File, Permissions};
use std::io::{self, Write as _};
use std::os::unix::fs::{DirBuilderExt, PermissionsExt, chown};
use std::path::{Path, PathBuf};

use crate::devices::{DeviceName, LABEL};
use crate::host::{Ended, Host};

/// What the kernel calls the opened volume.
pub const MAPPED: &str = "/dev/mapper/sesame-state";
/// In the root of a finished volume.
const MARKER: &str = "sesame-state";
const MARKER_TEXT: &str = "sesame-state 1\n";
const MACHINE_ID: &str = "machine-id";

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

/// Where things go.
#[derive(Clone, Debug)]
pub struct Places {
    /// Where the volume itself is mounted.
    pub volume: PathBuf,
    /// A directory of the volume and where the system sees it.
    pub directories: Vec<Directory>,
    /// The file that says which machine this is, machine-id(5).
    pub machine_id: PathBuf,
    /// Who is at the console: uid and gid.
    pub owner: (u32, u32),
}

/// A directory of the volume.
#[derive(Clone, Debug)]
pub struct Directory {
    /// Its name there.
    pub name: &'static str,
    /// Where the system sees it.
    pub target: PathBuf,
    /// Its mode when it is made.
    pub mode: u32,
    /// Whether it is the person's at the console, and not root's.
    pub personal: bool,
}

impl Places {
    /// Those of the appliance.
    #[must_use]
    pub fn of_the_appliance() -> Self {
        let directory = |name, target: &str, mode, personal| Directory {
            name,
            target: target.into(),
            mode,
            personal,
        };
        Self {
            volume: "/run/ceremony/volume".into(),
            directories: vec![
                directory("etc-pds", "/etc/pds", 0o755, false),
                directory("pds", "/var/lib/pds", 0o755, false),
                directory("cicada", "/var/lib/cicada", 0o700, false),
                directory("home", "/home/ceremony", 0o700, true),
            ],
            machine_id: "/etc/machine-id".into(),
            owner: (crate::CEREMONY_ID, crate::CEREMONY_ID),
        }
    }
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
    match fs::read_to_string(places.volume.join(MARKER)) {
        Ok(text) if text == MARKER_TEXT => {}
        Ok(_) => return Err(VolumeError::OtherKind { device: device.clone() }),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            return Err(VolumeError::Unfinished { device: device.clone() });
        }
        Err(source) => return Err(VolumeError::Io { step: "Reading the volume", source }),
    }
    let machine_id =
        io_step("Reading the volume", fs::read_to_string(places.volume.join(MACHINE_ID)))?;
    if !is_machine_id(&machine_id) {
        return Err(VolumeError::MachineId { device: device.clone() });
    }
    bind(host, places)
}

fn fill(host: &mut dyn Host, places: &Places) -> Result<(), VolumeError> {
    host.say("\nMaking the file system.\n");
    step(host, "Making the file system", &["mkfs.ext4", "-q", "-m", "0", "-L", LABEL, MAPPED])?;
    mount(host, places)?;
    io_step("Writing to the volume", lay_out(places))?;
    bind(host, places)
}

/// What a finished volume holds; the marker comes when the rest is on the disk.
fn lay_out(places: &Places) -> io::Result<()> {
    for directory in &places.directories {
        let path = places.volume.join(directory.name);
        DirBuilder::new().mode(directory.mode).create(&path)?;
        // The umask is no part of what we want.
        fs::set_permissions(&path, Permissions::from_mode(directory.mode))?;
        if directory.personal {
            chown(&path, Some(places.owner.0), Some(places.owner.1))?;
        }
    }
    let machine_id = fs::read(&places.machine_id)?;
    durable(&places.volume.join(MACHINE_ID), &machine_id, 0o444)?;
    File::open(&places.volume)?.sync_all()?;
    durable(&places.volume.join(MARKER), MARKER_TEXT.as_bytes(), 0o444)?;
    File::open(&places.volume)?.sync_all()
}

fn durable(path: &Path, content: &[u8], mode: u32) -> io::Result<()> {
    let mut file = File::create_new(path)?;
    file.write_all(content)?;
    file.set_permissions(Permissions::from_mode(mode))?;
    file.sync_all()
}

fn mount(host: &mut dyn Host, places: &Places) -> Result<(), VolumeError> {
    io_step("Mounting the volume", fs::create_dir_all(&places.volume))?;
    let target = utf8(&places.volume)?;
    let command = &["mount", "-t", "ext4", "-o", "nodev,nosuid,noexec,noatime", MAPPED, target];
    step(host, "Mounting the volume", command)
}

fn bind(host: &mut dyn Host, places: &Places) -> Result<(), VolumeError> {
    let name = "Putting the volume's directories in place";
    for directory in &places.directories {
        if !directory.target.exists() {
            io_step(name, fs::create_dir_all(&directory.target))?;
        }
        let source = places.volume.join(directory.name);
        step(host, name, &["mount", "--bind", utf8(&source)?, utf8(&directory.target)?])?;
    }
    let source = places.volume.join(MACHINE_ID);
    step(host, name, &["mount", "--bind", utf8(&source)?, utf8(&places.machine_id)?])
}

fn closing_on_error(host: &mut dyn Host, done: Result<(), VolumeError>) -> Result<(), VolumeError> {
    if done.is_err()
        && let Err(error) = close(host)
    {
        host.say(&format!("{error}\n"));
    }
    done
}

/// 128 bits in lower-case hexadecimal and a newline, machine-id(5).
fn is_machine_id(text: &str) -> bool {
    let digits = text.strip_suffix('\n').unwrap_or(text);
    digits.len() == 32
        && digits.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b))
        && digits.bytes().any(|b| b != b'0')
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
