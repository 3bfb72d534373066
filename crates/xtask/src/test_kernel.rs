//! A kernel for the tests that need a virtual machine: Debian's own for clouds, unpacked below the target
//! directory and not installed. Daemons need Linux 6.12 or later; Debian 12 has it in its backports.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::debian;
use crate::prerequisites::or_leave_out;
use crate::step::{Failed, step, target};

const PACKAGE: &str = "linux-image-cloud-amd64";

/// Fetches the kernel, or says that tests are left out for want of it. In CI that is an error.
pub fn ensure() -> Result<(), Failed> {
    let place = target().join("test-kernel");
    if place.join("boot").is_dir() || Path::new("/sys/module/wireguard").exists() {
        return Ok(());
    }
    or_leave_out("a kernel for virtual machines", fetch(&place)).map(drop)
}

fn fetch(place: &Path) -> Result<(), Failed> {
    if !cfg!(target_arch = "x86_64") {
        return Err(Failed("the tests that need one know x86-64 only".to_owned()));
    }
    let release = debian::release()?;
    let mirror = debian::mirror(&release.codename)?;
    let suite = match release.version.as_str() {
        "12" => format!("{}-backports", release.codename),
        _ => release.codename,
    };
    let scratch = target().join("test-kernel-download");
    let failed = |error: std::io::Error| Failed(format!("{}: {error}", scratch.display()));
    let _ = fs::remove_dir_all(&scratch);
    for directory in ["lists/partial", "cache/archives/partial"] {
        fs::create_dir_all(scratch.join(directory)).map_err(failed)?;
    }
    let list = format!("deb [signed-by={}] {mirror} {suite} main\n", debian::KEYRING);
    fs::write(scratch.join("sources.list"), list).map_err(failed)?;
    let apt = Apt(scratch.clone());
    step("the list of Debian's kernels", apt.command("apt-get", &["-qq", "update"]))?;
    let package = apt.newest()?;
    step(&format!("fetching {package}"), apt.command("apt-get", &["-qq", "download", &package]))?;
    let archive = fs::read_dir(&scratch)
        .map_err(failed)?
        .filter_map(|entry| Some(entry.ok()?.path()))
        .find(|path| path.extension().is_some_and(|end| end == "deb"))
        .ok_or_else(|| Failed(format!("apt-get left no {package} in {}", scratch.display())))?;
    // Under its name only when it is whole.
    let unpacked = scratch.join("unpacked");
    let mut unpack = Command::new("dpkg");
    unpack.arg("-x").arg(archive).arg(&unpacked);
    step("unpacking it", unpack)?;
    fs::rename(&unpacked, place).map_err(failed)?;
    fs::remove_dir_all(&scratch).map_err(failed)
}

/// apt with lists and packages of its own, so that neither root nor the system's are needed.
struct Apt(PathBuf);

impl Apt {
    fn command(&self, program: &str, arguments: &[&str]) -> Command {
        let mut command = Command::new(program);
        for (name, value) in [
            ("Dir::Etc::sourcelist", self.0.join("sources.list")),
            ("Dir::Etc::sourceparts", "-".into()),
            ("Dir::State::lists", self.0.join("lists")),
            ("Dir::Cache", self.0.join("cache")),
            // Another user, who may not look into our target directory, is of no use here.
            ("APT::Sandbox::User", "".into()),
        ] {
            command.arg("-o").arg(format!("{name}={}", value.display()));
        }
        command.args(arguments).current_dir(&self.0).stdin(Stdio::null());
        command
    }

    /// What the package that always means the newest kernel depends on.
    fn newest(&self) -> Result<String, Failed> {
        let output = self.command("apt-cache", &["depends", PACKAGE]).output();
        let output = output.map_err(|error| Failed(format!("apt-cache: {error}")))?;
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        let name = text.lines().find_map(|line| line.trim().strip_prefix("Depends: linux-image-"));
        name.map(|name| format!("linux-image-{name}"))
            .ok_or_else(|| Failed(format!("apt knows no {PACKAGE}")))
    }
}
