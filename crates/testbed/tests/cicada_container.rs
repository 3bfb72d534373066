//! cicada in a container with the settings of compose.yaml and the shipped profile: it starts, is
//! isolated, and what a program in its place tries is denied.

use std::fs;
use std::os::unix::fs::{PermissionsExt, chown, symlink};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use ipc::Credentials;
use serde_json::{Value, json};
use site_config::Daemon;
use tempfile::TempDir;
use testbed::{Host, binary, is_root_or_skip};

/// Plain numbers do, as for `testbed::Users`.
const GROUP: u32 = 54_006;
const RULES: &str = "[[allow]]\nuid = 0\nidentity = \"*\"\noperations = [\"status\"]\n";

fn packaging(path: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../cicada/packaging").join(path);
    fs::read_to_string(path).expect("shipped")
}

/// The entries of a list of compose.yaml.
fn list(key: &str) -> Vec<String> {
    let text = packaging("container/compose.yaml");
    let start = format!("    {key}:");
    let lines = text.lines().skip_while(|line| *line != start).skip(1);
    let inside = lines.take_while(|line| line.starts_with("      "));
    let entries = inside.filter_map(|line| Some(line.trim().strip_prefix("- ")?.to_owned()));
    entries.collect()
}

/// A value of compose.yaml.
fn value(key: &str) -> String {
    let text = packaging("container/compose.yaml");
    let value = text.lines().find_map(|line| line.trim().strip_prefix(&format!("{key}: ")));
    value.unwrap_or_else(|| panic!("compose.yaml has no {key}")).to_owned()
}

/// A root with the places of the image, a bundle, and what crun keeps.
struct Container {
    dir: TempDir,
    user: (u32, u32),
    binds: Vec<(PathBuf, &'static str, bool)>,
}

impl Container {
    fn new(user: (u32, u32)) -> Self {
        let dir = tempfile::Builder::new().prefix("crun-").tempdir_in("/var/tmp").expect("scratch");
        fs::set_permissions(dir.path(), fs::Permissions::from_mode(0o755)).expect("chmod");
        let root = dir.path().join("rootfs");
        for place in [
            "usr",
            "proc",
            "dev",
            "sys",
            "tmp",
            "etc/pds",
            "etc/cicada",
            "run/cicada",
            "run/pds/audit",
            "run/credentials/cicada",
            "var/lib/cicada",
            "var/tmp",
            "home",
            "root",
            "run/lock",
        ] {
            fs::create_dir_all(root.join(place)).expect("mkdir");
        }
        for (link, target) in [("bin", "usr/bin"), ("lib", "usr/lib"), ("lib64", "usr/lib64")] {
            symlink(target, root.join(link)).expect("a link");
        }
        for file in ["program", "etc/pds/peers.toml", "etc/machine-id"] {
            fs::write(root.join(file), "").expect("a file");
        }
        Self { dir, user, binds: Vec::new() }
    }

    fn bind(&mut self, from: &Path, to: &'static str, writable: bool) {
        self.binds.push((from.to_owned(), to, writable));
    }

    /// compose.yaml in the words of the OCI runtime specification.
    fn config(&self, program: &Path, arguments: &[&str]) -> Value {
        let mount = |destination: &str, kind: &str, options: Value| json!({ "destination": destination, "type": kind, "source": kind, "options": options });
        let bind = |from: &Path, to: &str, mode: &str| {
            json!({ "destination": to, "type": "bind", "source": from,
                    "options": ["bind", mode, "nosuid", "nodev"] })
        };
        // What runtimes mount by themselves.
        let mut mounts = vec![
            mount("/proc", "proc", json!(["nosuid", "noexec", "nodev"])),
            mount("/dev", "tmpfs", json!(["nosuid", "strictatime", "mode=755", "size=65536k"])),
            mount("/dev/shm", "tmpfs", json!(["nosuid", "noexec", "nodev", "mode=1777"])),
            mount("/dev/mqueue", "mqueue", json!(["nosuid", "noexec", "nodev"])),
            bind(Path::new("/usr"), "/usr", "ro"),
            bind(program, "/program", "ro"),
        ];
        for tmpfs in list("tmpfs") {
            let (place, options) = tmpfs.split_once(':').expect("PLACE:OPTIONS");
            let options: Vec<&str> = options.split(',').collect();
            mounts.push(mount(place, "tmpfs", json!(options)));
        }
        for (from, to, writable) in &self.binds {
            mounts.push(bind(from, to, if *writable { "rw" } else { "ro" }));
        }
        assert_eq!((value("network_mode"), value("read_only")), ("none".into(), "true".into()));
        assert_eq!(list("cap_drop"), ["ALL"]);
        assert_eq!(list("security_opt"), ["no-new-privileges", "seccomp=./seccomp.json"]);
        let profile: Value =
            serde_json::from_str(&packaging("container/seccomp.json")).expect("a profile");
        let limit = |kind: &str, value: u64| json!({ "type": kind, "soft": value, "hard": value });
        let arguments: Vec<&str> =
            ["/program"].into_iter().chain(arguments.iter().copied()).collect();
        let namespaces = ["pid", "network", "ipc", "uts", "mount"];
        json!({
            "ociVersion": "1.0.2",
            "root": { "path": self.dir.path().join("rootfs"), "readonly": true },
            "process": {
                "args": arguments,
                "cwd": "/",
                "env": ["CREDENTIALS_DIRECTORY=/run/credentials/cicada"],
                "user": { "uid": self.user.0, "gid": self.user.1 },
                "noNewPrivileges": true,
                "capabilities": { "bounding": [], "effective": [], "permitted": [], "inheritable": [],
                                  "ambient": [] },
                "rlimits": [limit("RLIMIT_CORE", 0), limit("RLIMIT_NOFILE", 4096)],
            },
            "mounts": mounts,
            "linux": {
                "namespaces": namespaces.map(|kind| json!({ "type": kind })),
                "seccomp": profile,
            },
        })
    }

    /// crun, which refuses the mixed control groups of some machines and is given none.
    fn command(&self, program: &Path, arguments: &[&str]) -> Command {
        let config = self.config(program, arguments);
        fs::write(self.dir.path().join("config.json"), config.to_string()).expect("config.json");
        let script = "umount --recursive /sys/fs/cgroup; mount -t cgroup2 cgroup2 /sys/fs/cgroup; \
                      exec crun --cgroup-manager=disabled --root \"$1\" run --bundle \"$2\" cicada-$$";
        let mut command = Command::new("unshare");
        // With crun ends what it started.
        command.args(["--mount", "--pid", "--fork", "--kill-child", "--mount-proc"]);
        command.args(["--", "sh", "-c", script, "sh"]);
        command.arg(self.dir.path().join("state")).arg(self.dir.path()).current_dir("/");
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        command
    }

    fn run(&self, program: &Path, arguments: &[&str]) -> Output {
        self.command(program, arguments).output().expect("unshare runs")
    }
}

fn crun_or_skip() -> bool {
    if !is_root_or_skip("running a container") {
        return false;
    }
    let there = Command::new("crun").arg("--version").output().is_ok();
    if !there {
        eprintln!("skipped: crun is not installed");
    }
    there
}

#[test]
fn what_a_program_in_the_container_tries_is_denied() {
    if !crun_or_skip() {
        return;
    }
    let mut container = Container::new((54_005, GROUP));
    let state = container.dir.path().join("cicada");
    fs::create_dir(&state).expect("mkdir");
    chown(&state, Some(54_005), Some(GROUP)).expect("chown");
    container.bind(&state, "/var/lib/cicada", true);
    for mode in ["bare", "sandboxed"] {
        // There is no other process to see, and none of that number.
        let arguments = [mode, "/var/lib/cicada", "4242", "nobody-listens-here", "/usr/bin/id"];
        let output = container.run(&binary("intruder"), &arguments);
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        assert!(text.lines().count() > 50, "{output:?}");
        let allowed: Vec<&str> = text.lines().filter(|line| !line.starts_with("denied")).collect();
        assert!(allowed.is_empty(), "{mode}: {allowed:#?}");
    }
}

/// A container of cicada; killed with all that is in it.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn cicada_starts_in_the_container_and_is_isolated() {
    if !crun_or_skip() {
        return;
    }
    let mut host = Host::builder().cicada(RULES).provision();
    host.start();
    host.init();
    let uid = host.users.cicada;
    let mut container = Container::new((uid, GROUP));
    let place = |path: &Path, mode: u32| {
        fs::create_dir_all(path).expect("mkdir");
        chown(path, Some(uid), Some(GROUP)).expect("chown");
        fs::set_permissions(path, fs::Permissions::from_mode(mode)).expect("chmod");
    };
    let dir = container.dir.path().to_owned();
    let (state, run, credentials) = (dir.join("state-c"), dir.join("run-c"), dir.join("keys"));
    place(&state, 0o700);
    place(&run, 0o750);
    place(&credentials, 0o700);
    fs::copy(host.layout.daemon_key(Daemon::Cicada), credentials.join("noise.key")).expect("a key");
    chown(credentials.join("noise.key"), Some(uid), Some(GROUP)).expect("chown");
    let rules = dir.join("rules");
    fs::create_dir(&rules).expect("mkdir");
    fs::write(rules.join("cicada.toml"), RULES).expect("rules");
    container.bind(&state, "/var/lib/cicada", true);
    container.bind(&run, "/run/cicada", true);
    let audit = host.layout.audit_socket();
    container.bind(audit.parent().expect("a directory"), "/run/pds/audit", false);
    container.bind(host.layout.peers_file(), "/etc/pds/peers.toml", false);
    container.bind(&rules, "/etc/cicada", false);
    container.bind(&credentials, "/run/credentials/cicada", false);

    let child = container.command(&binary("cicada"), &[]).stdin(Stdio::null()).spawn();
    let mut running = Running(child.expect("unshare runs"));
    let socket = run.join("cicada.sock");
    let deadline = Instant::now() + Duration::from_secs(60);
    while UnixStream::connect(&socket).is_err() {
        let ended = running.0.try_wait().expect("a child");
        if ended.is_some() || Instant::now() > deadline {
            let said = running.0.stderr.take().map(std::io::read_to_string);
            panic!("{ended:?}: {said:?}");
        }
        std::thread::sleep(Duration::from_millis(50));
    }
    let verify = Command::new(binary("cicada"))
        .args(["verify-isolation", "--group", &GROUP.to_string(), "--socket"])
        .arg(&socket)
        .output()
        .expect("it runs");
    let text = String::from_utf8_lossy(&verify.stdout).into_owned();
    println!("{text}");
    // The container has no control group of its own here, and nobody of the name cicada is on this host.
    let mut excused = vec!["memory-limit", "cpu-limit", "nftables"];
    if fs::read_link("/proc/1/ns/net").is_err() {
        eprintln!("process 1 of this machine has capabilities that this test lacks");
        excused.extend(["network-namespace", "ipc-namespace"]);
    }
    let pid = Credentials::of(&UnixStream::connect(&socket).expect("it listens")).expect("who").pid;
    for kind in ["net", "ipc", "pid", "mnt"] {
        let namespace = |process: &str| fs::read_link(format!("/proc/{process}/ns/{kind}"));
        let (its, ours) = (namespace(&pid.to_string()), namespace("self"));
        assert_ne!(its.expect("root reads it"), ours.expect("our own"), "{kind}");
    }
    let failed = text.lines().filter_map(|line| line.strip_prefix("fail  "));
    let failed: Vec<&str> =
        failed.filter(|line| !excused.iter().any(|excuse| line.starts_with(excuse))).collect();
    assert!(failed.is_empty(), "{failed:#?}");
    assert!(text.contains("inside:landlock"), "{text}");
}
