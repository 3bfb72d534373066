//! Where things live: in a system, in a user's session, or in one directory.

use std::env;
use std::ffi::OsString;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

/// Bytes that fit `sockaddr_un.sun_path` beside the final NUL, unix(7).
const SOCKET_PATH_BYTES: usize = 107;

pub(crate) const SYSTEM_CONFIG: &str = "/etc/pds/config.toml";
const SYSTEM_POLICY: &str = "/etc/pds/policy.toml";
const SYSTEM_PEERS: &str = "/etc/pds/peers.toml";

/// Which of the three layouts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LayoutKind {
    /// `/etc/pds`, `/var/lib/pds`, `/run/pds`: daemons with users of their own.
    System,
    /// An ordinary user's, below the XDG base directories.
    Session,
    /// Everything in one directory.
    Dir,
}

/// One of the daemons.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Daemon {
    /// The only writer of the trail.
    Audit,
    /// Vaults and keys.
    Secrets,
    /// Post-quantum identities; not every host has it.
    Cicada,
}

impl Daemon {
    /// The daemon's name, which is also its role's.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Audit => "daemon-audit",
            Self::Secrets => "daemon-secrets",
            Self::Cicada => "cicada",
        }
    }
}

/// The variables that a layout depends on.
#[derive(Clone, Debug, Default)]
pub struct Environment {
    /// `HOME`.
    pub home: Option<OsString>,
    /// `XDG_CONFIG_HOME`.
    pub config_home: Option<OsString>,
    /// `XDG_STATE_HOME`.
    pub state_home: Option<OsString>,
    /// `XDG_RUNTIME_DIR`.
    pub runtime_dir: Option<OsString>,
}

impl Environment {
    /// Those of this process.
    #[must_use]
    pub fn of_process() -> Self {
        Self {
            home: env::var_os("HOME"),
            config_home: env::var_os("XDG_CONFIG_HOME"),
            state_home: env::var_os("XDG_STATE_HOME"),
            runtime_dir: env::var_os("XDG_RUNTIME_DIR"),
        }
    }

    fn config(&self) -> Result<PathBuf, LayoutError> {
        self.base(&self.config_home, ".config")
    }

    fn state(&self) -> Result<PathBuf, LayoutError> {
        self.base(&self.state_home, ".local/state")
    }

    fn base(&self, variable: &Option<OsString>, default: &str) -> Result<PathBuf, LayoutError> {
        let base = absolute(variable).or_else(|| Some(absolute(&self.home)?.join(default)));
        Ok(base.ok_or(LayoutError::NoHome)?.join("sesame"))
    }

    fn runtime(&self) -> Result<PathBuf, LayoutError> {
        Ok(absolute(&self.runtime_dir).ok_or(LayoutError::NoRuntimeDir)?.join("sesame"))
    }
}

/// The base directory specification: "If an implementation encounters a relative path in any of
/// these variables it should consider the path invalid and ignore it."
fn absolute(variable: &Option<OsString>) -> Option<PathBuf> {
    variable.as_ref().map(PathBuf::from).filter(|path| path.is_absolute())
}

/// Why there is no layout.
#[derive(Debug, thiserror::Error)]
pub enum LayoutError {
    /// No runtime directory for the sockets.
    #[error(
        "XDG_RUNTIME_DIR is not set to an absolute path, so that there is no place for the sockets \
         of a session; log in through a session manager (pam_systemd sets it), or give --dir DIR"
    )]
    NoRuntimeDir,
    /// No home directory.
    #[error("HOME is not set to an absolute path; set it, or give --dir DIR")]
    NoHome,
    /// The operating system would cut the path of a socket.
    #[error(
        "the socket path {path} is {length} bytes long, and the kernel allows 107 (unix(7)); choose \
         a shorter DIR"
    )]
    SocketPathTooLong {
        /// The path.
        path: PathBuf,
        /// Its length in bytes.
        length: usize,
    },
    /// The directory that was given can't be made absolute.
    #[error("--dir {dir:?} is not a usable path")]
    Dir {
        /// As it was given.
        dir: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// Whether this is a system can't be told.
    #[error("cannot tell whether /etc/pds/peers.toml exists; make it readable, or give --dir DIR")]
    Probe {
        /// Why.
        #[source]
        source: io::Error,
    },
}

/// The paths of one layout.
#[derive(Clone, Debug)]
pub struct Layout {
    kind: LayoutKind,
    config: PathBuf,
    policy: PathBuf,
    peers: PathBuf,
    audit_state: PathBuf,
    secrets_state: PathBuf,
    cicada_state: PathBuf,
    cicada_config: PathBuf,
    run: PathBuf,
    /// The operator's key and state. A system's daemon has no operator, and perhaps no HOME.
    operator: Option<(PathBuf, PathBuf)>,
}

impl Layout {
    /// The layout of `--dir` when given; else the system's when `/etc/pds/peers.toml` exists; else
    /// the session's.
    ///
    /// # Errors
    /// [`LayoutError`].
    pub fn choose(dir: Option<PathBuf>) -> Result<Self, LayoutError> {
        let environment = Environment::of_process();
        if let Some(dir) = dir {
            return Self::dir(&dir);
        }
        if Path::new(SYSTEM_PEERS).try_exists().map_err(|source| LayoutError::Probe { source })? {
            return Ok(Self::system(&environment));
        }
        Self::session(&environment)
    }

    /// The system's; `environment` is that of the operator, if this is one.
    #[must_use]
    pub fn system(environment: &Environment) -> Self {
        let operator = environment.config().and_then(|config| {
            Ok((config.join("operator.key"), environment.state()?.join("operator")))
        });
        Self {
            kind: LayoutKind::System,
            config: SYSTEM_CONFIG.into(),
            policy: SYSTEM_POLICY.into(),
            peers: SYSTEM_PEERS.into(),
            audit_state: "/var/lib/pds/audit".into(),
            secrets_state: "/var/lib/pds/secrets".into(),
            cicada_state: "/var/lib/cicada".into(),
            cicada_config: "/etc/cicada/cicada.toml".into(),
            run: "/run/pds".into(),
            operator: operator.ok(),
        }
    }

    /// An ordinary user's.
    ///
    /// # Errors
    /// [`LayoutError`] when the environment names no place for it.
    pub fn session(environment: &Environment) -> Result<Self, LayoutError> {
        let (config, state) = (environment.config()?, environment.state()?);
        let operator = state.join("operator");
        Self {
            kind: LayoutKind::Session,
            config: config.join("config.toml"),
            policy: SYSTEM_POLICY.into(),
            peers: config.join("peers.toml"),
            audit_state: state.join("audit"),
            secrets_state: state.join("secrets"),
            cicada_state: state.join("cicada"),
            cicada_config: config.join("cicada.toml"),
            run: environment.runtime()?,
            operator: Some((operator.join("noise.key"), operator)),
        }
        .with_short_sockets()
    }

    /// Everything below `dir`, which need not exist yet.
    ///
    /// # Errors
    /// [`LayoutError`] when the sockets' paths would be too long.
    pub fn dir(dir: &Path) -> Result<Self, LayoutError> {
        let absolute = std::path::absolute(dir)
            .map_err(|source| LayoutError::Dir { dir: dir.to_owned(), source })?;
        let operator = absolute.join("operator");
        Self {
            kind: LayoutKind::Dir,
            config: absolute.join("config.toml"),
            policy: absolute.join("policy.toml"),
            peers: absolute.join("peers.toml"),
            audit_state: absolute.join("audit"),
            secrets_state: absolute.join("secrets"),
            cicada_state: absolute.join("cicada"),
            cicada_config: absolute.join("cicada.toml"),
            run: absolute.join("run"),
            operator: Some((operator.join("noise.key"), operator)),
        }
        .with_short_sockets()
    }

    fn with_short_sockets(self) -> Result<Self, LayoutError> {
        for path in [self.audit_socket(), self.secrets_socket()] {
            let length = path.as_os_str().as_bytes().len();
            if length > SOCKET_PATH_BYTES {
                return Err(LayoutError::SocketPathTooLong { path, length });
            }
        }
        Ok(self)
    }

    /// Which of the three.
    #[must_use]
    pub fn kind(&self) -> LayoutKind {
        self.kind
    }

    /// The settings.
    #[must_use]
    pub fn config_file(&self) -> &Path {
        &self.config
    }

    /// The policy. A session's is the system's: a user can't unlock what root has locked.
    #[must_use]
    pub fn policy_file(&self) -> &Path {
        &self.policy
    }

    /// The peers.
    #[must_use]
    pub fn peers_file(&self) -> &Path {
        &self.peers
    }

    /// daemon-audit's directory.
    #[must_use]
    pub fn audit_state(&self) -> &Path {
        &self.audit_state
    }

    /// daemon-secrets' directory.
    #[must_use]
    pub fn secrets_state(&self) -> &Path {
        &self.secrets_state
    }

    /// A daemon's directory.
    #[must_use]
    pub fn state(&self, daemon: Daemon) -> &Path {
        match daemon {
            Daemon::Audit => &self.audit_state,
            Daemon::Secrets => &self.secrets_state,
            Daemon::Cicada => &self.cicada_state,
        }
    }

    /// The operator's directory.
    ///
    /// # Errors
    /// [`LayoutError::NoHome`], in a system only.
    pub fn operator_state(&self) -> Result<&Path, LayoutError> {
        self.operator.as_ref().map(|(_, state)| state.as_path()).ok_or(LayoutError::NoHome)
    }

    /// The operator's X25519 key.
    ///
    /// # Errors
    /// [`LayoutError::NoHome`], in a system only.
    pub fn operator_key(&self) -> Result<&Path, LayoutError> {
        self.operator.as_ref().map(|(key, _)| key.as_path()).ok_or(LayoutError::NoHome)
    }

    /// A daemon's X25519 key.
    #[must_use]
    pub fn daemon_key(&self, daemon: Daemon) -> PathBuf {
        match self.kind {
            LayoutKind::System => format!("/etc/pds/keys/{}.key", daemon.as_str()).into(),
            LayoutKind::Session | LayoutKind::Dir => self.state(daemon).join("noise.key"),
        }
    }

    /// daemon-audit's socket.
    #[must_use]
    pub fn audit_socket(&self) -> PathBuf {
        self.run.join("audit/audit.sock")
    }

    /// daemon-secrets' socket.
    #[must_use]
    pub fn secrets_socket(&self) -> PathBuf {
        self.run.join("secrets/secrets.sock")
    }

    /// Which programs may do what with cicada's identities.
    #[must_use]
    pub fn cicada_config(&self) -> &Path {
        &self.cicada_config
    }

    /// Cicada's socket. The system's is where programs have always looked for it.
    #[must_use]
    pub fn cicada_socket(&self) -> PathBuf {
        match self.kind {
            LayoutKind::System => "/run/cicada/cicada.sock".into(),
            LayoutKind::Session | LayoutKind::Dir => self.run.join("cicada/cicada.sock"),
        }
    }

    /// A daemon's socket.
    #[must_use]
    pub fn socket(&self, daemon: Daemon) -> PathBuf {
        match daemon {
            Daemon::Audit => self.audit_socket(),
            Daemon::Secrets => self.secrets_socket(),
            Daemon::Cicada => self.cicada_socket(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn session(variables: [Option<&str>; 4]) -> Result<Layout, LayoutError> {
        let [home, config_home, state_home, runtime_dir] =
            variables.map(|value| value.map(OsString::from));
        Layout::session(&Environment { home, config_home, state_home, runtime_dir })
    }

    #[test]
    fn a_session_follows_the_base_directory_specification() {
        let layout = session([Some("/home/u"), None, None, Some("/run/user/7")]).unwrap();
        assert_eq!(layout.config_file(), Path::new("/home/u/.config/sesame/config.toml"));
        assert_eq!(layout.peers_file(), Path::new("/home/u/.config/sesame/peers.toml"));
        assert_eq!(layout.policy_file(), Path::new("/etc/pds/policy.toml"));
        assert_eq!(layout.audit_state(), Path::new("/home/u/.local/state/sesame/audit"));
        assert_eq!(layout.audit_socket(), Path::new("/run/user/7/sesame/audit/audit.sock"));
        let key = layout.daemon_key(Daemon::Secrets);
        assert_eq!(key, Path::new("/home/u/.local/state/sesame/secrets/noise.key"));
        let key = layout.operator_key().unwrap();
        assert_eq!(key, Path::new("/home/u/.local/state/sesame/operator/noise.key"));

        let layout = session([None, Some("/c"), Some("/s"), Some("/r")]).unwrap();
        assert_eq!(layout.config_file(), Path::new("/c/sesame/config.toml"));
        assert_eq!(layout.secrets_state(), Path::new("/s/sesame/secrets"));
    }

    #[test]
    fn relative_variables_are_ignored() {
        let layout = session([Some("/h"), Some("c"), Some(""), Some("/r")]).unwrap();
        assert_eq!(layout.config_file(), Path::new("/h/.config/sesame/config.toml"));
        assert_eq!(layout.audit_state(), Path::new("/h/.local/state/sesame/audit"));
        let error = session([Some("/h"), None, None, Some("run")]).unwrap_err();
        assert!(matches!(error, LayoutError::NoRuntimeDir), "{error}");
        let error = session([Some("h"), None, None, Some("/r")]).unwrap_err();
        assert!(matches!(error, LayoutError::NoHome), "{error}");
    }

    #[test]
    fn a_directory_holds_everything() {
        let layout = Layout::dir(Path::new("/d")).unwrap();
        assert_eq!(layout.policy_file(), Path::new("/d/policy.toml"));
        assert_eq!(layout.secrets_socket(), Path::new("/d/run/secrets/secrets.sock"));
        assert_eq!(layout.operator_key().unwrap(), Path::new("/d/operator/noise.key"));
        assert_eq!(layout.daemon_key(Daemon::Audit), Path::new("/d/audit/noise.key"));
        assert!(Layout::dir(Path::new("relative")).unwrap().config_file().is_absolute());
        assert!(matches!(Layout::dir(Path::new("")), Err(LayoutError::Dir { .. })));
    }

    #[test]
    fn a_system_needs_no_home_for_its_daemons() {
        let layout = Layout::system(&Environment::default());
        assert_eq!(layout.daemon_key(Daemon::Audit), Path::new("/etc/pds/keys/daemon-audit.key"));
        assert_eq!(layout.secrets_socket(), Path::new("/run/pds/secrets/secrets.sock"));
        assert!(matches!(layout.operator_key(), Err(LayoutError::NoHome)));
        let home = Environment { home: Some("/root".into()), ..Environment::default() };
        let layout = Layout::system(&home);
        let key = layout.operator_key().unwrap();
        assert_eq!(key, Path::new("/root/.config/sesame/operator.key"));
    }

    #[test]
    fn a_socket_path_may_have_107_bytes_and_no_more() {
        let tail = "/run/secrets/secrets.sock".len();
        let fits = format!("/{}", "d".repeat(SOCKET_PATH_BYTES - tail - 1));
        let layout = Layout::dir(Path::new(&fits)).unwrap();
        assert_eq!(layout.secrets_socket().as_os_str().len(), 107);
        let error = Layout::dir(Path::new(&format!("{fits}d"))).unwrap_err();
        let LayoutError::SocketPathTooLong { length: 108, .. } = error else { panic!("{error}") };
    }
}
