//! What is on a state volume, where the system sees it, and whose it must be.

use std::fs::{self, DirBuilder, File, Permissions};
use std::io::{self, Write as _};
use std::os::fd::AsFd as _;
use std::os::unix::fs::{DirBuilderExt as _, PermissionsExt as _, chown};
use std::path::{Path, PathBuf};

use crate::host::Host;
use crate::untrusted::{self, Untrusted};

/// In the root of a finished volume.
pub const MARKER: &str = "sesame-state";
/// What it says.
pub const MARKER_TEXT: &str = "sesame-state 1\n";
/// Beside it, machine-id(5).
pub const MACHINE_ID: &str = "machine-id";
/// Both files are shorter.
pub const MOST_BYTES: u64 = 64;

/// The user of daemon-audit (sysusers.d/00-ceremony.conf).
pub const SESAME_AUDIT: u32 = 961;
/// That of daemon-secrets.
pub const SESAME_SECRETS: u32 = 962;
/// That of cicada.
pub const CICADA: u32 = 963;

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
    /// Whose the system's files are.
    pub root: u32,
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
    /// Whose it is.
    pub holds: Holds,
}

/// Whose a directory of the volume is, and what is in it.
#[derive(Clone, Copy, Debug)]
pub enum Holds {
    /// Root's, and so is all that is in it: what daemons and commands believe.
    Settings,
    /// Root's, with a directory for each of these daemons and their uids.
    Daemons(&'static [(&'static str, u32)]),
    /// A daemon's, of this uid; root's until that daemon is started.
    Daemon(u32),
    /// That of the person at the console.
    Home,
}

impl Places {
    /// Those of the appliance.
    #[must_use]
    pub fn of_the_appliance() -> Self {
        let directory = |name, target: &str, mode, holds| Directory {
            name,
            target: target.into(),
            mode,
            holds,
        };
        const DAEMONS: &[(&str, u32)] = &[("audit", SESAME_AUDIT), ("secrets", SESAME_SECRETS)];
        Self {
            volume: "/run/ceremony/volume".into(),
            directories: vec![
                directory("etc-pds", "/etc/pds", 0o755, Holds::Settings),
                directory("pds", "/var/lib/pds", 0o755, Holds::Daemons(DAEMONS)),
                directory("cicada", "/var/lib/cicada", 0o700, Holds::Daemon(CICADA)),
                directory("home", "/home/ceremony", 0o700, Holds::Home),
            ],
            machine_id: "/etc/machine-id".into(),
            owner: (crate::CEREMONY_ID, crate::CEREMONY_ID),
            root: 0,
        }
    }
}

/// What is bound, opened once: the same is found fit and seen by the system.
pub struct Content {
    directories: Vec<untrusted::Directory>,
    machine_id: File,
}

impl Content {
    /// Opens it, and judges it.
    ///
    /// # Errors
    /// [`Untrusted`], about the first that is not as it should be.
    pub fn of(volume: &untrusted::Directory, places: &Places) -> Result<Self, Untrusted> {
        let root = places.root;
        let mut directories = Vec::new();
        for Directory { name, holds, .. } in &places.directories {
            let directory = match holds {
                Holds::Settings | Holds::Daemons(_) => volume.directory(name, &[root])?,
                Holds::Daemon(uid) => volume.directory(name, &[root, *uid])?,
                // Whoever it belongs to may have given it any mode, and must get in again.
                Holds::Home => volume.directory_of(name, places.owner.0)?,
            };
            match holds {
                Holds::Settings => directory.is_all_of(root)?,
                Holds::Daemons(daemons) => {
                    for (name, uid) in *daemons {
                        match directory.directory(name, &[root, *uid]) {
                            Err(error) if !error.is_absence() => return Err(error),
                            _ => {}
                        }
                    }
                }
                // What is in it is theirs.
                Holds::Daemon(_) | Holds::Home => {}
            }
            directories.push(directory);
        }
        Ok(Self { directories, machine_id: volume.file(MACHINE_ID, root)? })
    }

    /// Lets the system see it.
    ///
    /// # Errors
    /// What the operating system reported.
    pub fn bind(&self, host: &mut dyn Host, places: &Places) -> io::Result<()> {
        for (source, Directory { target, mode, holds, .. }) in
            self.directories.iter().zip(&places.directories)
        {
            if matches!(holds, Holds::Home) {
                source.set_mode(*mode)?;
            }
            if !target.exists() {
                fs::create_dir_all(target)?;
            }
            host.bind(source.as_fd(), target)?;
        }
        host.bind(self.machine_id.as_fd(), &places.machine_id)
    }
}

/// Writes what a finished volume holds; the marker comes when the rest is on the disk.
///
/// # Errors
/// What the operating system reported.
pub fn lay_out(places: &Places) -> io::Result<()> {
    for directory in &places.directories {
        let path = places.volume.join(directory.name);
        DirBuilder::new().mode(directory.mode).create(&path)?;
        // The umask is no part of what we want.
        fs::set_permissions(&path, Permissions::from_mode(directory.mode))?;
        if matches!(directory.holds, Holds::Home) {
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

/// 128 bits in lower-case hexadecimal and a newline, machine-id(5).
#[must_use]
pub fn is_machine_id(text: &[u8]) -> bool {
    let digits = text.strip_suffix(b"\n").unwrap_or(text);
    digits.len() == 32
        && digits.iter().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(b))
        && digits.iter().any(|b| *b != b'0')
}
