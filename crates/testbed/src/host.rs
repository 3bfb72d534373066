//! A provisioned directory with its daemons.

use std::fs::{self, File};
use std::os::unix::fs::{PermissionsExt, chown};
use std::os::unix::net::UnixDatagram;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use ipc::client::Expected;
use ipc::{Client, ClientError, Identity, Suite};
use nix::sys::resource::{Resource, getrlimit, setrlimit};
use nix::sys::signal::{Signal, kill};
use nix::unistd::{Pid, Uid};
use site_config::{Daemon, Layout, PeerName, Peers, Role};
use tempfile::TempDir;

use crate::binary;
use crate::command::Sesame;
use crate::users::{Users, group_of};

/// The password of [`Host::init`].
pub const PASSWORD: &str = "correct horse battery";

/// A host before it is provisioned.
pub struct HostBuilder {
    users: Users,
    config: String,
    parent: Option<PathBuf>,
    wrapper: Option<&'static str>,
    cicada: Option<String>,
}

/// A provisioned host. Its daemons end, and its directory goes away, when it is dropped.
pub struct Host {
    /// Who runs what.
    pub users: Users,
    /// Where everything is.
    pub layout: Layout,
    /// The test's own key: an operator called `tester`, with the test's own uid.
    pub tester: Identity,
    peers: Peers,
    wrapper: Option<&'static str>,
    daemons: [Option<Child>; 3],
    dir: TempDir,
}

impl HostBuilder {
    /// Other users than [`Users::available`].
    #[must_use]
    pub fn users(mut self, users: Users) -> Self {
        self.users = users;
        self
    }

    /// The text of config.toml.
    #[must_use]
    pub fn config(mut self, text: &str) -> Self {
        self.config = text.to_owned();
        self
    }

    /// Below this directory (a small file system, say) instead of the default one for scratch.
    #[must_use]
    pub fn below(mut self, parent: &Path) -> Self {
        self.parent = Some(parent.to_owned());
        self
    }

    /// With every daemon started by this binary of the workspace, which gets its command line.
    #[must_use]
    pub fn wrapped_in(mut self, wrapper: &'static str) -> Self {
        self.wrapper = Some(wrapper);
        self
    }

    /// With cicada, and this text of cicada.toml. It is started with [`Host::try_start`], once the host
    /// is initialised.
    #[must_use]
    pub fn cicada(mut self, text: &str) -> Self {
        self.cicada = Some(text.to_owned());
        self
    }

    /// Makes directories, keys and peers.toml.
    ///
    /// # Panics
    /// When the scratch directory can't be written.
    #[must_use]
    pub fn provision(self) -> Host {
        let mut builder = tempfile::Builder::new();
        builder.prefix("sesame-");
        let dir = match &self.parent {
            Some(parent) => builder.tempdir_in(parent),
            // Not TMPDIR: the path of a socket has 107 bytes at most.
            None => builder.tempdir_in("/tmp"),
        };
        let dir = dir.expect("a scratch directory");
        fs::set_permissions(dir.path(), fs::Permissions::from_mode(0o755)).expect("chmod");
        let layout = Layout::dir(dir.path()).expect("a short path");
        raise_locked_memory_limit();
        let users = self.users;
        fs::write(dir.path().join("config.toml"), &self.config).expect("config.toml");
        let place = |path: &Path, uid, mode| {
            fs::create_dir_all(path).expect("mkdir");
            chown(path, Some(uid), Some(group_of(uid))).expect("chown");
            fs::set_permissions(path, fs::Permissions::from_mode(mode)).expect("chmod");
        };
        let mut peers = Vec::new();
        let mut add = |name: &str, role, uid, identity: &Identity| {
            let name = PeerName::try_from(name).expect("a name");
            peers.push(site_config::Peer { name, role, uid, key: *identity.public() });
        };
        fs::create_dir_all(dir.path().join("run")).expect("mkdir");
        let mut daemons = vec![Daemon::Audit, Daemon::Secrets];
        if let Some(text) = &self.cicada {
            fs::write(layout.cicada_config(), text).expect("cicada.toml");
            daemons.push(Daemon::Cicada);
        }
        for daemon in daemons {
            let owner = users.of(daemon);
            place(layout.state(daemon), owner, 0o700);
            place(layout.socket(daemon).parent().expect("a directory"), owner, 0o711);
            let key = write_key(&layout.daemon_key(daemon), owner);
            add(daemon.as_str(), Role::from(daemon), owner, &key);
        }
        let operator = layout.operator_state().expect("an operator");
        place(operator, users.operator, 0o700);
        let key = write_key(layout.operator_key().expect("an operator"), users.operator);
        add("operator", Role::Operator, users.operator, &key);
        let tester = Identity::generate().expect("random bytes");
        add("tester", Role::Operator, Uid::effective().as_raw(), &tester);
        let peers = Peers::new(peers).expect("sound peers");
        fs::write(layout.peers_file(), peers.render()).expect("peers.toml");
        let wrapper = self.wrapper;
        Host { users, layout, tester, peers, wrapper, daemons: [const { None }; 3], dir }
    }
}

/// What the units say, `LimitMEMLOCK=64M`, for the daemons that this process starts; where that is
/// not allowed, they say what they lack.
fn raise_locked_memory_limit() {
    const BYTES: u64 = 64 << 20;
    let (soft, hard) = getrlimit(Resource::RLIMIT_MEMLOCK).unwrap_or_default();
    if soft < BYTES && setrlimit(Resource::RLIMIT_MEMLOCK, BYTES, hard.max(BYTES)).is_err() {
        let _ = setrlimit(Resource::RLIMIT_MEMLOCK, hard, hard);
    }
}

fn write_key(path: &Path, uid: u32) -> Identity {
    let identity = Identity::generate().expect("random bytes");
    fs::write(path, identity.private().expose()).expect("a key file");
    fs::set_permissions(path, fs::Permissions::from_mode(0o600)).expect("chmod");
    chown(path, Some(uid), Some(group_of(uid))).expect("chown");
    identity
}

impl Host {
    /// A host with different users where that is possible, and the default configuration.
    #[must_use]
    pub fn builder() -> HostBuilder {
        let users = Users::available();
        HostBuilder { users, config: String::new(), parent: None, wrapper: None, cicada: None }
    }

    /// Provisioned, with both daemons ready.
    #[must_use]
    pub fn started() -> Self {
        let mut host = Self::builder().provision();
        host.start();
        host
    }

    /// Started, initialised with [`PASSWORD`], locked.
    #[must_use]
    pub fn initialised() -> Self {
        let host = Self::started();
        host.init();
        host
    }

    /// Initialised and unlocked.
    #[must_use]
    pub fn unlocked() -> Self {
        let host = Self::initialised();
        host.unlock();
        host
    }

    /// The same host after both daemons were stopped and started by another binary.
    #[must_use]
    #[track_caller]
    pub fn rewrapped(mut self, wrapper: &'static str) -> Self {
        self.stop();
        self.wrapper = Some(wrapper);
        self.start();
        self
    }

    /// Runs `sesame init` with [`PASSWORD`].
    #[track_caller]
    pub fn init(&self) {
        self.sesame(["init", "--password-stdin"]).stdin(PASSWORD).succeed();
    }

    /// Runs `sesame unlock` with [`PASSWORD`].
    #[track_caller]
    pub fn unlock(&self) {
        self.sesame(["unlock", "--password-stdin"]).stdin(PASSWORD).succeed();
    }

    /// The directory.
    #[must_use]
    pub fn dir(&self) -> &Path {
        self.dir.path()
    }

    /// `sesame --dir … ARGS`, as the operator.
    #[must_use]
    pub fn sesame<S: AsRef<std::ffi::OsStr>>(&self, args: impl IntoIterator<Item = S>) -> Sesame {
        Sesame::new(&binary("sesame"), self.dir(), self.users.operator).args(args)
    }

    /// Starts both daemons, audit first.
    #[track_caller]
    pub fn start(&mut self) {
        for daemon in [Daemon::Audit, Daemon::Secrets] {
            self.try_start(daemon).unwrap_or_else(|said| panic!("{daemon:?} starts: {said}"));
        }
    }

    /// Starts one daemon and waits until it is ready.
    ///
    /// # Errors
    /// What it wrote to standard error, when it ended instead; its exit code comes first.
    pub fn try_start(&mut self, daemon: Daemon) -> Result<(), String> {
        let (notify, path) = self.notify_socket(daemon);
        let log = self.dir().join(format!("{}.log", daemon.as_str()));
        let mut child = self
            .daemon_command(daemon)
            .env("NOTIFY_SOCKET", &path)
            .stderr(File::create(&log).expect("a log"))
            .spawn()
            .expect("the daemon is executable");
        let deadline = Instant::now() + Duration::from_secs(60);
        let mut message = [0; 256];
        loop {
            if let Ok(length) = notify.recv(&mut message)
                && message[..length].starts_with(b"READY=1")
            {
                self.daemons[daemon as usize] = Some(child);
                return Ok(());
            }
            if let Ok(Some(status)) = child.try_wait() {
                let said = fs::read_to_string(&log).unwrap_or_default();
                return Err(format!("{}: {said}", status.code().unwrap_or(-1)));
            }
            assert!(Instant::now() < deadline, "{daemon:?} neither starts nor ends");
        }
    }

    /// The command line of a daemon, as its user; the caller adds what it wants to try.
    #[must_use]
    pub fn daemon_command(&self, daemon: Daemon) -> Command {
        let uid = self.users.of(daemon);
        let program = binary(daemon.as_str());
        let mut command = match self.wrapper {
            Some(wrapper) => Command::new(binary(wrapper)),
            None => Command::new(&program),
        };
        command.args(self.wrapper.map(|_| &program));
        command.arg("--dir").arg(self.dir()).env_clear().current_dir("/");
        command.stdin(Stdio::null()).stdout(Stdio::null());
        if uid != Uid::effective().as_raw() {
            command.uid(uid).gid(group_of(uid));
        }
        command
    }

    /// What a daemon has written to standard error since it was started.
    #[must_use]
    pub fn log(&self, daemon: Daemon) -> String {
        let path = self.dir().join(format!("{}.log", daemon.as_str()));
        fs::read_to_string(path).unwrap_or_default()
    }

    /// The process id of a running daemon.
    ///
    /// # Panics
    /// When it isn't running.
    #[must_use]
    pub fn pid(&self, daemon: Daemon) -> i32 {
        let child = self.daemons[daemon as usize].as_ref().expect("a running daemon");
        i32::try_from(child.id()).expect("a process id")
    }

    /// Sends a signal and waits for the end.
    pub fn end(&mut self, daemon: Daemon, signal: Signal) -> Option<ExitStatus> {
        let mut child = self.daemons[daemon as usize].take()?;
        let _ = kill(Pid::from_raw(i32::try_from(child.id()).ok()?), signal);
        child.wait().ok()
    }

    /// Stops the daemons in good order, audit last.
    pub fn stop(&mut self) {
        self.end(Daemon::Cicada, Signal::SIGTERM);
        self.end(Daemon::Secrets, Signal::SIGTERM);
        self.end(Daemon::Audit, Signal::SIGTERM);
    }

    /// `kill -9` of one daemon.
    pub fn kill(&mut self, daemon: Daemon) {
        self.end(daemon, Signal::SIGKILL);
    }

    /// A connection of the tester (an operator with the test's own uid) to a daemon.
    ///
    /// # Errors
    /// [`ClientError`].
    pub fn connect(&self, daemon: Daemon) -> Result<Client, ClientError> {
        self.connect_as(daemon, &self.tester, Suite::ALL[0])
    }

    /// A connection with any key and suite, from the test's own uid.
    ///
    /// # Errors
    /// [`ClientError`].
    pub fn connect_as(
        &self,
        daemon: Daemon,
        identity: &Identity,
        suite: Suite,
    ) -> Result<Client, ClientError> {
        let socket = self.layout.socket(daemon);
        let timeout = Duration::from_secs(60);
        Client::connect(&socket, suite, identity, &self.expected(daemon), timeout)
    }

    /// Key and uid of a daemon.
    #[must_use]
    pub fn expected(&self, daemon: Daemon) -> Expected {
        let peer = self.peers.daemon(daemon);
        Expected { key: peer.key, uid: peer.uid }
    }

    /// Adds a peer to peers.toml; the daemons take notice at their next start.
    ///
    /// # Panics
    /// When the name or key is there already.
    pub fn add_peer(&mut self, name: &str, role: Role, uid: u32, key: [u8; 32]) {
        let name = PeerName::try_from(name).expect("a name");
        self.peers.add(site_config::Peer { name, role, uid, key }).expect("a new peer");
        fs::write(self.layout.peers_file(), self.peers.render()).expect("peers.toml");
    }

    /// Every line of the trail, read from the disk.
    #[must_use]
    pub fn trail_lines(&self) -> Vec<String> {
        let trail = self.layout.audit_state().join("trail");
        let mut segments: Vec<PathBuf> = fs::read_dir(trail)
            .map(|entries| entries.flatten().map(|entry| entry.path()).collect())
            .unwrap_or_default();
        segments.retain(|path| path.extension().is_some_and(|end| end == "jsonl"));
        segments.sort();
        let read = |path: &PathBuf| fs::read_to_string(path).unwrap_or_default();
        let text: String = segments.iter().map(read).collect();
        text.lines().map(str::to_owned).collect()
    }

    fn notify_socket(&self, daemon: Daemon) -> (UnixDatagram, PathBuf) {
        let path = self.dir().join(format!("run/{}.notify", daemon.as_str()));
        let _ = fs::remove_file(&path);
        let socket = UnixDatagram::bind(&path).expect("a notify socket");
        fs::set_permissions(&path, fs::Permissions::from_mode(0o666)).expect("chmod");
        socket.set_read_timeout(Some(Duration::from_millis(5))).expect("a timeout");
        (socket, path)
    }
}

impl Drop for Host {
    fn drop(&mut self) {
        for daemon in [Daemon::Cicada, Daemon::Secrets, Daemon::Audit] {
            self.kill(daemon);
        }
    }
}
