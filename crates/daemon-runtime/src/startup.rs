//! From the command line to the first request, in the order that each step needs.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;

use hardening::filesystem::{self, Access, RestrictError};
use hardening::network::{self, IsolateError};
use hardening::posture::{Facts, Switch};
use hardening::process::{self, LockDownError};
use hardening::seccomp::{self, SeccompError};
use hardening::threads::{self, Expected, ThreadsError};
use ipc::{Fault, Identity, Pool, Protocol};
use nix::fcntl::{Flock, FlockArg};
use secret_memory::{DEFAULT_ARENA_BYTES, InitError, UNAVAILABLE};
use site_config::{
    ConfigError, Daemon, Installation, InstallationError, Layout, LayoutError, LayoutKind,
    MachineError, Peers, PeersError, PolicyEntry, Requirement, Site,
};

use crate::log;
use crate::main_loop::{self, Lifecycle, Signals};
use crate::options::Options;
use crate::posture::Posture;

/// What an installation may be bound to (machine-id(5)).
pub const MACHINE_ID: &str = "/etc/machine-id";

/// What tells one daemon from another.
pub struct Description {
    /// Which one it is: its name, its role, its places.
    pub daemon: Daemon,
    /// Number of worker threads.
    pub workers: usize,
    /// Bytes of secret memory that it maps for a while besides the arena.
    pub working_memory: usize,
}

/// What a daemon's service is built from.
pub struct Startup {
    /// Configuration and policy.
    pub site: Site,
    /// The peers of this installation.
    pub peers: Peers,
    /// This daemon's own key.
    pub identity: Arc<Identity>,
    /// This daemon's state directory, locked for as long as the process lives.
    pub state: PathBuf,
    /// This daemon's posture, settled once the sandbox is confirmed.
    pub posture: Arc<Posture>,
}

impl Startup {
    /// Refuses an installation that is bound to another machine.
    ///
    /// # Errors
    /// [`StartError::Machine`].
    pub fn check_machine(&self, installation: &Installation) -> Result<(), StartError> {
        Ok(installation.check_machine(Path::new(MACHINE_ID))?)
    }

    /// What the trail records of the site with the daemon's start: which configuration, policy
    /// and peers.
    #[must_use]
    pub fn site_detail(&self) -> Vec<(String, String)> {
        let digest = |digest: Option<[u8; 32]>| match digest {
            Some(bytes) => bytes.iter().map(|byte| format!("{byte:02x}")).collect(),
            None => "none".to_owned(),
        };
        vec![
            ("version".to_owned(), env!("CARGO_PKG_VERSION").to_owned()),
            ("config".to_owned(), digest(self.site.config_digest)),
            ("policy".to_owned(), digest(self.site.policy_digest)),
            ("peers".to_owned(), digest(Some(self.peers.digest()))),
        ]
    }

    /// The settings that the policy locks, as a person reads them.
    #[must_use]
    pub fn locked_settings(&self) -> String {
        let setting = |entry: &PolicyEntry| format!("{}={}", entry.key, entry.value);
        self.site.policy.iter().map(setting).collect::<Vec<_>>().join(" ")
    }
}

/// Why a daemon did not start. Nothing was served and nothing was changed.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// No such place.
    #[error(transparent)]
    Layout(#[from] LayoutError),
    /// Configuration or policy.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// peers.toml.
    #[error(transparent)]
    Peers(#[from] PeersError),
    /// The daemon's own key.
    #[error("cannot read the key {}: {source}", .path.display())]
    Key {
        /// Where it should be.
        path: PathBuf,
        /// What was wrong.
        source: io::Error,
    },
    /// Nobody would know this daemon.
    #[error(
        "{} has no peer of the role {name}; nothing was changed. Run `sesame provision`", .path.display()
    )]
    NotAPeer {
        /// peers.toml.
        path: PathBuf,
        /// This daemon.
        name: &'static str,
    },
    /// The key file is not the one that peers.toml names.
    #[error(
        "the key {} is not the one that peers.toml names for {name}; nothing was changed. Restore \
         the key, or provision this host anew", .path.display()
    )]
    ForeignKey {
        /// The key file.
        path: PathBuf,
        /// This daemon.
        name: &'static str,
    },
    /// Secret memory.
    #[error(transparent)]
    Memory(#[from] InitError),
    /// The state directory.
    #[error("cannot use {}: {source}", .path.display())]
    State {
        /// The directory or a file in it.
        path: PathBuf,
        /// What was wrong.
        source: io::Error,
    },
    /// A second daemon on one directory.
    #[error("another {name} is running on {}; it goes on undisturbed", .path.display())]
    AlreadyRunning {
        /// This daemon.
        name: &'static str,
        /// The state directory.
        path: PathBuf,
    },
    /// installation.toml.
    #[error(transparent)]
    Installation(#[from] InstallationError),
    /// Another machine.
    #[error(transparent)]
    Machine(#[from] MachineError),
    /// The socket.
    #[error("cannot listen on {}: {source}", .path.display())]
    Listen {
        /// The socket.
        path: PathBuf,
        /// What was wrong.
        source: io::Error,
    },
    /// The network namespace.
    #[error(transparent)]
    Isolate(#[from] IsolateError),
    /// Privileges.
    #[error(transparent)]
    LockDown(#[from] LockDownError),
    /// Landlock.
    #[error(transparent)]
    Landlock(#[from] RestrictError),
    /// seccomp.
    #[error(transparent)]
    Seccomp(#[from] SeccompError),
    /// A thread outside the sandbox.
    #[error(transparent)]
    Threads(#[from] ThreadsError),
    /// A thread that Landlock does not hold.
    #[error("Landlock holds on {confirmed} of {total} threads; not starting")]
    Unconfined {
        /// Threads on which it holds.
        confirmed: usize,
        /// All threads.
        total: usize,
    },
    /// The daemon looked around, and saw what it should not.
    #[error("not isolated: {0}; nothing was served or changed")]
    NotIsolated(String),
    /// Signals or threads.
    #[error("cannot set up the process: {0}")]
    System(#[from] io::Error),
    /// The service itself.
    #[error("{0}")]
    Service(String),
    /// The start could not be recorded.
    #[error("the start could not be recorded: {0}")]
    NotRecorded(Fault),
}

impl StartError {
    /// `sysexits.h`: 78 for what only a change of configuration mends (systemd doesn't restart on
    /// it), 71 for what the kernel lacks, 75 for what may go away, 1 for the rest.
    fn exit_code(&self) -> u8 {
        match self {
            Self::Layout(_) | Self::Config(_) | Self::Peers(_) | Self::Key { .. } => 78,
            Self::ForeignKey { .. } | Self::NotAPeer { .. } => 78,
            Self::Installation(_) | Self::Machine(_) => 78,
            Self::Memory(_) | Self::Landlock(_) | Self::Seccomp(_) | Self::Threads(_) => 71,
            Self::Unconfined { .. } | Self::NotIsolated(_) => 71,
            Self::Isolate(_) | Self::LockDown(_) => 71,
            Self::AlreadyRunning { .. } | Self::NotRecorded(_) => 75,
            _ => 1,
        }
    }
}

/// Runs a daemon to its end. `open` builds what serves, outside the sandbox still.
pub fn run<P: Protocol + Lifecycle<P::Worker>>(
    description: &Description,
    options: &Options,
    open: impl FnOnce(&Startup) -> Result<P, StartError>,
) -> ExitCode {
    match start(description, options, open) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            match &error {
                // The exact line, alone, for whoever searches the journal for it.
                StartError::Memory(InitError::Unavailable { .. }) => log::error(UNAVAILABLE),
                other => log::error(log::with_causes(other)),
            }
            ExitCode::from(error.exit_code())
        }
    }
}

fn start<P: Protocol + Lifecycle<P::Worker>>(
    description: &Description,
    options: &Options,
    open: impl FnOnce(&Startup) -> Result<P, StartError>,
) -> Result<(), StartError> {
    let layout = options.layout()?;
    let daemon = description.daemon;
    let name = daemon.as_str();
    // Who owns these files must be asked before a user namespace hides it.
    let site = Site::load(layout)?;
    let peers = Peers::load(site.layout.peers_file())?;
    // In a user namespace every other uid looks alike, so it must not matter there.
    network::isolate(options.single_user)?;
    process::lock_down()?;
    let signals = Signals::block()?;
    let protection = site.settings.memory.protection;
    secret_memory::init(protection, DEFAULT_ARENA_BYTES, description.working_memory)?;
    let identity = Arc::new(load_key(&site.layout, daemon, &peers)?);
    let state = site.layout.state(daemon).to_owned();
    let _lock = lock_state(name, &state)?;
    let posture = Arc::new(Posture::new(name));
    let startup = Startup {
        peers,
        identity: Arc::clone(&identity),
        state: state.clone(),
        posture: Arc::clone(&posture),
        site,
    };
    let service = Arc::new(open(&startup)?);

    let socket = startup.site.layout.socket(daemon);
    let mode = socket_mode(&startup.site.layout);
    let mut server = Pool::bind(&socket, mode, Arc::clone(&service))
        .map_err(|source| StartError::Listen { path: socket, source })?;

    let settings = &startup.site.settings;
    let landlock = switch(settings.sandbox.landlock);
    let seccomp = switch(settings.sandbox.seccomp);
    if landlock == Switch::On {
        // For the posture, and for binding a new installation.
        let mut read_only = vec![PathBuf::from(format!("/proc/{}", std::process::id()))];
        read_only.extend(Path::new(MACHINE_ID).exists().then(|| PathBuf::from(MACHINE_ID)));
        filesystem::restrict(&Access { read_write: vec![state], read_only })?;
    }
    let confirmed = server.spawn(description.workers, filesystem::is_denied_here)?;
    // Under a service manager every thread has filters already; ours must come on top.
    let mut seccomp_filters = threads::seccomp_filters()?;
    if seccomp == Switch::On {
        seccomp_filters += 1;
        seccomp::apply_to_every_thread(seccomp::SERVICE)?;
    }
    let confirmed = confirmed + usize::from(filesystem::is_denied_here());
    let total = description.workers + service.preferred_workers() + 1;
    if landlock == Switch::On && confirmed < total {
        return Err(StartError::Unconfined { confirmed, total });
    }
    threads::verify(Expected { seccomp_filters, ..Expected::ALL })?;
    posture.settle(Facts {
        seccomp,
        seccomp_filters,
        working_memory: description.working_memory as u64,
        landlock,
        landlock_abi: (landlock == Switch::On).then_some(filesystem::ABI),
        landlock_threads: (confirmed, total),
    });
    main_loop::run(&startup, &service, &server, signals)
}

fn switch(requirement: Requirement) -> Switch {
    match requirement {
        Requirement::Require => Switch::On,
        Requirement::Off => Switch::Off,
    }
}

/// The directory decides who reaches the socket, the key and uid who is answered. A directory
/// given by `--dir` may be shared by several users.
fn socket_mode(layout: &Layout) -> u32 {
    match layout.kind() {
        LayoutKind::Dir => 0o666,
        LayoutKind::System | LayoutKind::Session => 0o660,
    }
}

/// The key comes as a systemd credential (systemd.exec(5)) or from its file.
fn load_key(layout: &Layout, daemon: Daemon, peers: &Peers) -> Result<Identity, StartError> {
    let path = match std::env::var_os("CREDENTIALS_DIRECTORY") {
        Some(directory) => PathBuf::from(directory).join("noise.key"),
        None => layout.daemon_key(daemon),
    };
    let Some(peer) = peers.find_daemon(daemon) else {
        let path = layout.peers_file().to_owned();
        return Err(StartError::NotAPeer { path, name: daemon.as_str() });
    };
    let identity =
        Identity::load(&path).map_err(|source| StartError::Key { path: path.clone(), source })?;
    if peer.key != *identity.public() {
        return Err(StartError::ForeignKey { path, name: daemon.as_str() });
    }
    Ok(identity)
}

/// One daemon a directory: the lock is held until the process ends.
fn lock_state(name: &'static str, state: &Path) -> Result<Flock<File>, StartError> {
    let path = state.join("lock");
    let failed = |source: io::Error| StartError::State { path: path.clone(), source };
    let file = OpenOptions::new()
        .create(true)
        .truncate(false)
        .write(true)
        .mode(0o600)
        .open(&path)
        .map_err(failed)?;
    Flock::lock(file, FlockArg::LockExclusiveNonblock).map_err(|(_, errno)| match errno {
        nix::errno::Errno::EWOULDBLOCK => {
            StartError::AlreadyRunning { name, path: state.to_owned() }
        }
        other => failed(other.into()),
    })
}
