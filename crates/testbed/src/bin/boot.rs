//! systemd as process 1 of namespaces of its own: `boot GROUP LAYER TARGET`.
//!
//! GROUP is an empty control group (version 2), LAYER a directory laid over the root of this machine,
//! TARGET what is to be started. Nothing that the booted system writes reaches the machine: its root is
//! an overlay whose upper layer is a tmpfs, and /sys and /proc/sys are read-only. `testbed::booted` is
//! how tests use it.

#![forbid(unsafe_code)]

use std::fs::{self, File};
use std::io;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Command, ExitCode, Stdio};

use nix::mount::{MntFlags, MsFlags, mount, umount2};
use nix::unistd::{chdir, pivot_root};

/// Becomes the root of the booted system; only in its own mount namespace is anything there.
const PLACE: &str = "/mnt";
const SYSTEMD: &str = "/usr/lib/systemd/systemd";
const DEVICES: [&str; 6] = ["null", "zero", "full", "random", "urandom", "tty"];

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let error = match arguments[..] {
        ["--inside", layer, target] => inside(layer, target),
        [group, layer, target] => outside(group, layer, target),
        _ => {
            eprintln!("usage: boot GROUP LAYER TARGET");
            return ExitCode::from(2);
        }
    };
    eprintln!("boot: {error}");
    ExitCode::FAILURE
}

/// The control group first: it becomes the root of what the new namespace sees.
fn outside(group: &str, layer: &str, target: &str) -> io::Error {
    let own = std::process::id().to_string();
    if let Err(error) = fs::write(Path::new(group).join("cgroup.procs"), own) {
        return error;
    }
    let boot = match std::env::current_exe() {
        Ok(boot) => boot,
        Err(error) => return error,
    };
    Command::new("/usr/bin/unshare")
        .args(["--fork", "--pid", "--mount", "--uts", "--net", "--ipc", "--cgroup"])
        // What it starts ends with it.
        .args(["--propagation", "private", "--kill-child", "--"])
        .arg(boot)
        .args(["--inside", layer, target])
        .exec()
}

fn inside(layer: &str, target: &str) -> io::Error {
    if let Err(error) = make_root(Path::new(layer)) {
        return error;
    }
    Command::new(SYSTEMD)
        .args(["--system", "--log-target=journal", "--show-status=no"])
        .arg(format!("--unit={target}"))
        .env_clear()
        // As a container it leaves alone what belongs to the machine (systemd.io/CONTAINER_INTERFACE).
        .env("container", "testbed")
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .exec()
}

fn make_root(layer: &Path) -> io::Result<()> {
    let base = Path::new(PLACE);
    tmpfs(base, "mode=755")?;
    let [upper, work, root] = ["upper", "work", "root"].map(|name| base.join(name));
    for directory in [&upper, &work, &root] {
        fs::create_dir(directory)?;
    }
    let layers = format!("lowerdir=/,upperdir={},workdir={}", upper.display(), work.display());
    mount(Some("overlay"), &root, Some("overlay"), MsFlags::empty(), Some(&*layers))?;
    kernel_views(&root)?;
    devices(&root.join("dev"))?;
    tmpfs(&root.join("run"), "mode=755")?;
    tmpfs(&root.join("tmp"), "mode=1777")?;
    // What this machine starts is not what is tested.
    fs::remove_dir_all(root.join("etc/systemd/system"))?;
    lay(layer, &root)?;
    let old = root.join("mnt");
    pivot_root(&root, &old)?;
    chdir("/")?;
    umount2("/mnt", MntFlags::MNT_DETACH)?;
    // A service's credentials reach it by propagation.
    mount(None::<&str>, "/", None::<&str>, MsFlags::MS_SHARED | MsFlags::MS_REC, None::<&str>)?;
    Ok(())
}

fn kernel_views(root: &Path) -> io::Result<()> {
    let none = MsFlags::empty();
    let read_only = MsFlags::MS_BIND | MsFlags::MS_REMOUNT | MsFlags::MS_RDONLY;
    let (proc, sys) = (root.join("proc"), root.join("sys"));
    mount(Some("proc"), &proc, Some("proc"), none, None::<&str>)?;
    let settings = proc.join("sys");
    mount(Some(&settings), &settings, None::<&str>, MsFlags::MS_BIND, None::<&str>)?;
    mount(Some("sysfs"), &sys, Some("sysfs"), none, None::<&str>)?;
    for place in [&settings, &sys] {
        mount(None::<&str>, place, None::<&str>, read_only, None::<&str>)?;
    }
    mount(Some("cgroup2"), &sys.join("fs/cgroup"), Some("cgroup2"), none, None::<&str>)?;
    Ok(())
}

fn devices(place: &Path) -> io::Result<()> {
    tmpfs(place, "mode=755")?;
    for device in DEVICES {
        let (machine, node) = (Path::new("/dev").join(device), place.join(device));
        File::create(&node)?;
        mount(Some(&machine), &node, None::<&str>, MsFlags::MS_BIND, None::<&str>)?;
    }
    symlink("/proc/self/fd", place.join("fd"))?;
    symlink("pts/ptmx", place.join("ptmx"))?;
    fs::create_dir(place.join("pts"))?;
    mount(
        Some("devpts"),
        &place.join("pts"),
        Some("devpts"),
        MsFlags::empty(),
        Some("newinstance,ptmxmode=0666"),
    )?;
    let shared = place.join("shm");
    fs::create_dir(&shared)?;
    tmpfs(&shared, "mode=1777")?;
    fs::set_permissions(&shared, fs::Permissions::from_mode(0o1777))
}

fn tmpfs(place: &Path, options: &str) -> io::Result<()> {
    Ok(mount(Some("tmpfs"), place, Some("tmpfs"), MsFlags::empty(), Some(options))?)
}

/// Copies, since a layer of an overlay must not lie in another one.
fn lay(from: &Path, to: &Path) -> io::Result<()> {
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        let place = to.join(entry.file_name());
        if entry.file_type()?.is_dir() {
            fs::create_dir_all(&place)?;
            lay(&entry.path(), &place)?;
        } else {
            fs::copy(entry.path(), &place)?;
        }
    }
    Ok(())
}
