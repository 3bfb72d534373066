//! The tools tree: everything that builds, signs, boots and inspects the image, from the locked packages.

use std::fs;
use std::path::PathBuf;
use std::process::Command;

use media::Digest;

use crate::apt::{self, RELEASE};
use crate::failed::{Failed, logged};
use crate::lock::Lock;
use crate::places::Places;
use crate::repository;

/// A tree to run programs in.
#[derive(Clone, Debug)]
pub struct Tools {
    root: PathBuf,
}

/// Where things are inside of the tree, on every machine, because compilers write paths into what they make.
pub mod inside {
    pub const SOURCE: &str = "/build/source";
    pub const VENDORED: &str = "/build/vendored";
    pub const RUST: &str = "/build/rust";
    pub const BINARIES: &str = "/build/binaries";
    pub const REPOSITORY: &str = "/build/repository";
    pub const STAGE: &str = "/build/stage";
    pub const OUTPUT: &str = "/build/output";
    pub const ALL: [&str; 7] = [SOURCE, VENDORED, RUST, BINARIES, REPOSITORY, STAGE, OUTPUT];
}

/// Fetches, unpacks and configures what isn't there yet.
pub fn ensure(places: &Places) -> Result<(Tools, Lock), Failed> {
    let lock = Lock::read(&places.lock())?;
    apt::fetch(places, &lock)?;
    let root = places.tools();
    let stamp = places.tools_stamp();
    // The tree is that of these lines; and a repository for mkosi is made with it.
    let wanted = Digest::of(lock.render().as_bytes()).to_string();
    if fs::read_to_string(&stamp).is_ok_and(|made| made == wanted)
        && root.join("usr/bin/mkosi").exists()
    {
        return Ok((Tools { root }, lock));
    }
    let _ = fs::remove_file(&stamp);
    repository::make(places, &lock)?;
    if root.exists() {
        fs::remove_dir_all(&root).map_err(Failed::io("remove", &root))?;
    }
    let names: Vec<&str> = lock
        .packages
        .iter()
        .filter(|package| package.in_tools())
        .map(|package| package.name.as_str())
        .collect();
    let mut command = Command::new("mmdebstrap");
    command.args(["--mode=root", "--variant=essential", "--format=directory"]);
    command.arg(format!("--include={}", names.join(" ")));
    command.arg(RELEASE).arg(&root);
    command
        .arg(format!("deb [trusted=yes] copy://{} {RELEASE} main", places.repository().display()));
    logged("tools tree", command, &places.logs().join("tools.log"))?;
    for directory in inside::ALL.iter().chain(&["/oldroot"]) {
        let directory = root.join(directory.trim_start_matches('/'));
        fs::create_dir_all(&directory).map_err(Failed::io("make", &directory))?;
    }
    fs::write(&stamp, wanted).map_err(Failed::io("write", &stamp))?;
    Ok((Tools { root }, lock))
}

impl Tools {
    /// A program inside of the tree, without a network. `binds` are directories of this machine and where
    /// they are there.
    pub fn command(&self, program: &str, binds: &[(PathBuf, &str)]) -> Command {
        // This very program, also when a newer one has taken its name meanwhile.
        let mut command = Command::new("/proc/self/exe");
        command.arg("enter").arg("--tree").arg(&self.root);
        for (outside, inside) in binds {
            command.arg("--bind").arg(format!("{}:{inside}", outside.display()));
        }
        command.arg("--").arg(program);
        command.env_clear().envs([
            ("PATH", "/usr/sbin:/usr/bin"),
            ("HOME", "/root"),
            ("LC_ALL", "C.UTF-8"),
            ("TZ", "UTC"),
        ]);
        command
    }
}
