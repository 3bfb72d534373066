//! Running a program inside of the tools tree, in namespaces of its own: mounts, host name, and no network.
//!
//! pivot_root(2) and not chroot(2), because mkosi makes a sandbox of its own, for which / must be a mount.

use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use clap::Args;
use nix::mount::{MntFlags, MsFlags, mount, umount2};
use nix::sched::{CloneFlags, unshare};
use nix::unistd::{chdir, pivot_root, sethostname};

use crate::failed::Failed;

#[derive(Args)]
pub struct Enter {
    /// The tree.
    #[arg(long)]
    tree: PathBuf,
    /// OUTSIDE:INSIDE, a directory of this machine and where it is in there.
    #[arg(long)]
    bind: Vec<String>,
    /// The program and its arguments.
    #[arg(last = true, required = true)]
    program: Vec<String>,
}

pub fn run(enter: Enter) -> Result<(), Failed> {
    let none: Option<&str> = None;
    let failed = |what: &'static str| move |error| Failed(format!("cannot {what}: {error}"));
    let flags = CloneFlags::CLONE_NEWNS | CloneFlags::CLONE_NEWUTS | CloneFlags::CLONE_NEWNET;
    unshare(flags).map_err(failed("leave this machine's namespaces (are you root?)"))?;
    sethostname("image").map_err(failed("set a host name"))?;
    mount(none, "/", none, MsFlags::MS_REC | MsFlags::MS_PRIVATE, none)
        .map_err(failed("keep mounts private"))?;
    let bind = |from: &Path, to: &Path| {
        mount(Some(from), to, none, MsFlags::MS_BIND | MsFlags::MS_REC, none).map_err(|error| {
            Failed(format!("cannot mount {} on {}: {error}", from.display(), to.display()))
        })
    };
    bind(&enter.tree, &enter.tree)?;
    for directory in ["dev", "proc", "sys"] {
        bind(&Path::new("/").join(directory), &enter.tree.join(directory))?;
    }
    for directory in ["tmp", "run"] {
        let place = enter.tree.join(directory);
        mount(Some("tmpfs"), &place, Some("tmpfs"), MsFlags::empty(), none)
            .map_err(failed("mount a tmpfs"))?;
    }
    for pair in &enter.bind {
        let (outside, inside) = pair
            .split_once(":/")
            .ok_or_else(|| Failed(format!("--bind {pair}: OUTSIDE:/INSIDE is wanted")))?;
        bind(Path::new(outside), &enter.tree.join(inside))?;
    }
    chdir(&enter.tree).map_err(failed("enter the tree"))?;
    pivot_root(".", "oldroot").map_err(failed("make the tree the root"))?;
    umount2("/oldroot", MntFlags::MNT_DETACH).map_err(failed("leave the old root"))?;
    chdir("/").map_err(failed("go to the root"))?;
    let (program, arguments) = enter.program.split_first().expect("clap requires one");
    let error = Command::new(program).args(arguments).exec();
    Err(Failed(format!("cannot run {program}: {error}")))
}
