//! The Landlock domain: the few paths a daemon keeps, and no TCP, abstract sockets or signals.

use std::fs::{self, OpenOptions};
use std::io;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::Mutex;

use landlock::{
    AccessFs, AccessNet, BitFlags, CompatLevel, Compatible, PathBeneath, Ruleset, RulesetAttr,
    RulesetCreatedAttr, RulesetError, RulesetStatus, Scope,
};

/// The Landlock ABI that is asked for, all of it, on every kernel: Linux 6.12 and later.
///
/// Pinned, so that a newer kernel does not silently enforce something else than was tested.
pub const ABI: u32 = 6;

/// What stays reachable; everything else is not.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Access {
    /// Files, and directories with all below them, to read, write, create, rename and remove.
    /// Nothing below can be executed, and no device can be made or controlled there.
    pub read_write: Vec<PathBuf>,
    /// Files, and directories with all below them, to read and list.
    ///
    /// The probes of [`crate::threads`] and [`crate::posture`] need `/proc/self` here.
    pub read_only: Vec<PathBuf>,
}

/// Why the domain is not in force.
#[derive(Debug, thiserror::Error)]
pub enum RestrictError {
    /// A domain belongs to threads, and some threads would have stayed outside.
    #[error("the process has {0} threads already; restrict comes before the first of them")]
    Threads(usize),
    /// The threads could not be counted.
    #[error("cannot read the threads of this process from /proc/self/task")]
    Proc(#[source] io::Error),
    /// A path that should stay reachable isn't there; it must exist before the sandbox closes.
    #[error("cannot allow {path}, which the sandbox is to leave reachable")]
    Path {
        /// The path.
        path: PathBuf,
        /// The errno of opening it.
        #[source]
        source: io::Error,
    },
    /// The kernel doesn't have all of [`ABI`], or refused the domain.
    #[error(
        "Landlock ABI {ABI} can't be enforced in full; it needs Linux 6.12 or later with \
         CONFIG_SECURITY_LANDLOCK=y and \"landlock\" in the list of security modules (lsm=)"
    )]
    Landlock(#[from] RulesetError),
    /// The kernel took the domain, but not all of it.
    #[error("Landlock is only partly in force")]
    Partial,
}

/// Closes the file system around `access`, for this process and for every thread it starts.
///
/// Also forbids TCP, connections to abstract Unix sockets outside, and signals to processes
/// outside. Sockets with a path are not covered (that is ABI 9); files that are open stay so.
///
/// # Errors
/// [`RestrictError`]. The process is not restricted then, and must not go on.
pub fn restrict(access: &Access) -> Result<(), RestrictError> {
    match crate::threads::total().map_err(RestrictError::Proc)? {
        1 => {}
        threads => return Err(RestrictError::Threads(threads)),
    }
    let abi = landlock::ABI::V6;
    let mut ruleset = Ruleset::default()
        .set_compatibility(CompatLevel::HardRequirement)
        .handle_access(<AccessFs as landlock::Access>::from_all(abi))?
        .handle_access(<AccessNet as landlock::Access>::from_all(abi))?
        .scope(<BitFlags<Scope>>::from(Scope::AbstractUnixSocket) | Scope::Signal)?
        .create()?;

    let mut pins = Vec::new();
    let writable = access.read_write.iter().map(|path| (path, read_write()));
    let readable = access.read_only.iter().map(|path| (path, read_only()));
    for (path, rights) in writable.chain(readable) {
        let open = |source| RestrictError::Path { path: path.clone(), source };
        let anchor = open_anchor(path).map_err(open)?;
        let rights = match anchor.metadata().map_err(open)?.is_dir() {
            true => rights,
            false => rights & AccessFs::from_file(abi),
        };
        ruleset = ruleset.add_rule(PathBeneath::new(&anchor, rights))?;
        pins.push(anchor);
    }

    let status = ruleset.restrict_self()?;
    if status.ruleset != RulesetStatus::FullyEnforced || !status.no_new_privs {
        return Err(RestrictError::Partial);
    }
    pin(pins);
    Ok(())
}

/// Whether a Landlock domain holds on the calling thread, by trying: `/` can't be read.
///
/// Outside a domain everybody can, and seccomp would answer with another errno (`EPERM`).
#[must_use]
pub fn is_denied_here() -> bool {
    let root = OpenOptions::new().read(true).custom_flags(libc::O_DIRECTORY).open("/");
    root.is_err_and(|error| error.raw_os_error() == Some(libc::EACCES))
}

fn read_only() -> BitFlags<AccessFs> {
    AccessFs::ReadFile | AccessFs::ReadDir
}

fn read_write() -> BitFlags<AccessFs> {
    let without = AccessFs::Execute | AccessFs::MakeChar | AccessFs::MakeBlock | AccessFs::IoctlDev;
    <AccessFs as landlock::Access>::from_all(landlock::ABI::V6) & !without
}

/// Opens `path` as a place only: neither its content nor a right to it comes with the descriptor.
fn open_anchor(path: &Path) -> io::Result<fs::File> {
    OpenOptions::new().read(true).custom_flags(libc::O_PATH).open(path)
}

/// Keeps the allowed paths open for as long as the process lives.
///
/// A rule is tied to an inode. On disk that is as good as the path, but `/proc/PID` gets a new
/// inode when the kernel drops the old one from its cache under memory pressure, and from then on
/// the daemon could no longer read its own state.
fn pin(anchors: Vec<fs::File>) {
    static PINS: Mutex<Vec<fs::File>> = Mutex::new(Vec::new());
    PINS.lock().unwrap_or_else(std::sync::PoisonError::into_inner).extend(anchors);
}
