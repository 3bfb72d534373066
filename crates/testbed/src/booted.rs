//! A machine whose process 1 is systemd, in namespaces on this one: the real unit files, started by a
//! living service manager.
//!
//! What the machine's kernel has no cgroup-v2 controller for (memory, cpu) is not limited there; what
//! it allows nobody here (locked memory above the hard limit) isn't raised there either.

use std::fs;
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use tempfile::TempDir;

use crate::binary;

const TARGET: &str = "booted.target";
const DEADLINE: Duration = Duration::from_secs(60);

/// What is laid over the root of this machine before it boots.
pub struct Layer(TempDir);

impl Layer {
    /// An empty one.
    ///
    /// # Panics
    /// When the scratch directory can't be written.
    #[must_use]
    pub fn new() -> Self {
        let layer =
            Self(tempfile::Builder::new().prefix("booted-").tempdir_in("/tmp").expect("scratch"));
        fs::set_permissions(layer.0.path(), fs::Permissions::from_mode(0o755)).expect("chmod");
        let target = "[Unit]\nDescription=What a test asked for\nRequires=basic.target\n\
            After=basic.target\nAllowIsolate=yes\n";
        layer.file(&format!("/etc/systemd/system/{TARGET}"), target, 0o644)
    }

    /// With a file of this content and mode.
    ///
    /// # Panics
    /// When it can't be written.
    #[must_use]
    pub fn file(self, path: &str, content: impl AsRef<[u8]>, mode: u32) -> Self {
        let place = self.place(path);
        fs::write(&place, content).expect("a file");
        fs::set_permissions(&place, fs::Permissions::from_mode(mode)).expect("chmod");
        self
    }

    /// With a copy of a file of this machine.
    ///
    /// # Panics
    /// When it can't be copied.
    #[must_use]
    pub fn copy(self, from: &Path, path: &str) -> Self {
        let place = self.place(path);
        // A binary is large, and most often on the same disk.
        if fs::hard_link(from, &place).is_err() {
            fs::copy(from, &place).expect("a copy");
        }
        self
    }

    fn place(&self, path: &str) -> PathBuf {
        let place = self.0.path().join(path.trim_start_matches('/'));
        fs::create_dir_all(place.parent().expect("a directory")).expect("mkdir");
        place
    }

    /// Boots with it. `None`, and a line on standard error that says so, where that can't work.
    ///
    /// # Panics
    /// When it works, but systemd doesn't come up.
    #[must_use]
    pub fn boot(self) -> Option<Booted> {
        if !crate::is_root_or_skip("booting systemd in namespaces") {
            return None;
        }
        let lacks = ["/usr/lib/systemd/systemd", "/usr/bin/unshare", "/usr/bin/nsenter"]
            .into_iter()
            .find(|program| !Path::new(program).exists());
        if let Some(program) = lacks {
            eprintln!("skipped: {program} is not installed");
            return None;
        }
        let Some(group) = Group::new() else {
            eprintln!("skipped: no cgroup v2 to boot systemd in");
            return None;
        };
        let log = tempfile::NamedTempFile::new().expect("a log");
        let mut child = Command::new(binary("boot"))
            .arg(&group.0)
            .arg(self.0.path())
            .arg(TARGET)
            .stdin(Stdio::null())
            .stderr(log.reopen().expect("a log"))
            .spawn()
            .expect("boot starts");
        let pid = group.process_1(&mut child, log.path());
        let booted = Booted { child, pid, _group: group, _layer: self.0 };
        let is_up = || booted.systemctl(["is-active", TARGET]).status.success();
        wait_until("systemd comes up", is_up);
        Some(booted)
    }
}

impl Default for Layer {
    fn default() -> Self {
        Self::new()
    }
}

/// A booted machine. It is gone when this is dropped.
pub struct Booted {
    child: Child,
    pid: u32,
    _group: Group,
    _layer: TempDir,
}

impl Booted {
    /// Runs a program there, as root.
    ///
    /// # Panics
    /// When the machine is gone.
    #[must_use]
    pub fn run<S: AsRef<std::ffi::OsStr>>(&self, program: &[S]) -> Output {
        self.command(program).output().expect("nsenter runs")
    }

    /// The same, for a caller who adds to it.
    #[must_use]
    pub fn command<S: AsRef<std::ffi::OsStr>>(&self, program: &[S]) -> Command {
        let mut command = Command::new("/usr/bin/nsenter");
        command.args(["--target", &self.pid.to_string()]);
        command.args(["--mount", "--uts", "--ipc", "--net", "--pid", "--cgroup", "--root"]);
        command.args(["--wdns=/", "--"]).args(program).env_clear();
        command.env("PATH", "/usr/sbin:/usr/bin").env("HOME", "/root").stdin(Stdio::null());
        command
    }

    /// `systemctl ARGUMENT…`.
    #[must_use]
    pub fn systemctl<const N: usize>(&self, arguments: [&str; N]) -> Output {
        let program: Vec<&str> = ["systemctl", "--no-pager"].into_iter().chain(arguments).collect();
        self.run(&program)
    }

    /// Starts a unit, and waits for it.
    ///
    /// # Panics
    /// When it doesn't start; with its journal.
    #[track_caller]
    pub fn start(&self, unit: &str) {
        let output = self.systemctl(["start", unit]);
        assert!(output.status.success(), "{output:?}\n{}", self.journal(unit));
    }

    /// What a unit said.
    #[must_use]
    pub fn journal(&self, unit: &str) -> String {
        let output = self.run(&["journalctl", "--no-pager", "--output=cat", "--unit", unit]);
        String::from_utf8_lossy(&output.stdout).into_owned()
    }

    /// A property of a unit, as `systemctl show` has it.
    #[must_use]
    pub fn property(&self, unit: &str, property: &str) -> String {
        let output = self.systemctl(["show", "--value", "--property", property, unit]);
        String::from_utf8_lossy(&output.stdout).trim().to_owned()
    }

    /// A path there, as seen from here.
    #[must_use]
    pub fn path(&self, path: &str) -> PathBuf {
        Path::new("/proc")
            .join(self.pid.to_string())
            .join("root")
            .join(path.trim_start_matches('/'))
    }
}

impl Drop for Booted {
    fn drop(&mut self) {
        // With its process 1 a PID namespace ends.
        let pid = nix::unistd::Pid::from_raw(i32::try_from(self.pid).unwrap_or(i32::MAX));
        let _ = nix::sys::signal::kill(pid, nix::sys::signal::Signal::SIGKILL);
        let _ = self.child.wait();
    }
}

/// A control group of version 2, and all below it.
struct Group(PathBuf);

impl Group {
    fn new() -> Option<Self> {
        let hierarchy = ["/sys/fs/cgroup/unified", "/sys/fs/cgroup"]
            .map(Path::new)
            .into_iter()
            .find(|place| place.join("cgroup.controllers").exists())?;
        // A name that nobody else has; the directory of that name isn't wanted.
        let scratch = tempfile::Builder::new().prefix("sesame-booted-").tempdir().ok()?;
        let group = hierarchy.join(scratch.path().file_name()?);
        fs::create_dir(&group).ok()?;
        Some(Self(group))
    }

    /// The process that became systemd: the child of `unshare`, and alone in `init.scope`.
    fn process_1(&self, child: &mut Child, log: &Path) -> u32 {
        let mut found = None;
        wait_until("process 1 is there", || {
            let ended = child.try_wait().expect("a child").is_some();
            assert!(!ended, "{}", fs::read_to_string(log).unwrap_or_default());
            let text = fs::read_to_string(self.0.join("init.scope/cgroup.procs"));
            found = text.unwrap_or_default().lines().find_map(|line| line.parse().ok());
            found.is_some()
        });
        found.expect("waited for")
    }
}

impl Drop for Group {
    /// Once its processes are gone; the deepest first.
    fn drop(&mut self) {
        let deadline = Instant::now() + Duration::from_secs(10);
        while remove_tree(&self.0).is_err() && Instant::now() < deadline {
            std::thread::sleep(Duration::from_millis(20));
        }
    }
}

fn remove_tree(directory: &Path) -> io::Result<()> {
    for entry in fs::read_dir(directory)? {
        let entry = entry?;
        if entry.file_type()?.is_dir() {
            remove_tree(&entry.path())?;
        }
    }
    fs::remove_dir(directory)
}

#[track_caller]
fn wait_until(what: &str, mut condition: impl FnMut() -> bool) {
    let deadline = Instant::now() + DEADLINE;
    while !condition() {
        assert!(Instant::now() < deadline, "waited in vain: {what}");
        std::thread::sleep(Duration::from_millis(50));
    }
}
