//! A virtual machine without disk or network, whose first program is in its memory, and whose serial
//! console is read to the end.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::cpio::Archive;

/// Unoptimised binaries and their libraries lie in this, too.
const MEMORY: &str = "2G";

/// Without KVM a machine takes several minutes for this; one that hangs is ended by timeout(1).
const SECONDS: &str = "900";

/// The root file system.
pub struct Image {
    archive: Archive,
    libraries: Vec<PathBuf>,
}

impl Image {
    pub fn new() -> Self {
        let mut archive = Archive::default();
        // The kernel opens the console for the first program before that can mount /dev.
        archive.add_device("dev/console", (5, 1));
        Self { archive, libraries: Vec::new() }
    }

    pub fn add_file(&mut self, path: &str, mode: u32, content: &[u8]) {
        self.archive.add_file(path, mode, content);
    }

    /// A program, with the libraries that it needs where it looks for them.
    ///
    /// # Errors
    /// What cannot be read.
    pub fn add_program(&mut self, program: &Path, path: &str) -> Result<(), String> {
        let read = |file: &Path| {
            fs::read(file).map_err(|error| format!("cannot read {}: {error}", file.display()))
        };
        self.add_file(path, 0o755, &read(program)?);
        let output = Command::new("ldd").arg(program).output();
        let output = output.map_err(|error| format!("ldd: {error}"))?;
        for library in libraries(&String::from_utf8_lossy(&output.stdout)) {
            if !self.libraries.contains(&library) {
                let path = library.to_string_lossy().trim_start_matches('/').to_owned();
                self.add_file(&path, 0o755, &read(&library)?);
                self.libraries.push(library);
            }
        }
        Ok(())
    }
}

/// The absolute paths in what ldd(1) prints.
fn libraries(listing: &str) -> Vec<PathBuf> {
    let path =
        |line: &str| line.split_whitespace().find(|word| word.starts_with('/')).map(PathBuf::from);
    listing.lines().filter_map(path).collect()
}

/// Runs the machine until it turns itself off, and returns what it wrote to its console.
///
/// # Errors
/// What is missing.
pub fn boot(kernel: &Path, image: Image) -> Result<String, String> {
    let qemu = find_program("qemu-system-x86_64").ok_or("qemu-system-x86_64 is not installed")?;
    let scratch = tempfile::tempdir().map_err(|error| error.to_string())?;
    let archive = scratch.path().join("initramfs");
    fs::write(&archive, image.archive.finish()).map_err(|error| error.to_string())?;
    let mut machine = Command::new("timeout");
    machine.arg(SECONDS).arg(qemu).arg("-kernel").arg(kernel).arg("-initrd").arg(&archive);
    machine.args(["-append", "console=ttyS0 quiet panic=-1 lsm=landlock"]);
    machine.args(["-accel", "kvm", "-accel", "tcg", "-cpu", "max", "-smp", "2", "-m", MEMORY]);
    machine.args(["-nodefaults", "-nic", "none", "-display", "none", "-no-reboot"]);
    machine.args(["-serial", "stdio"]).stdin(Stdio::null());
    let output = machine.output().map_err(|error| format!("timeout: {error}"))?;
    let said = [output.stdout, output.stderr].concat();
    Ok(String::from_utf8_lossy(&said).replace('\r', ""))
}

/// Where a shell would find it, or root's.
pub fn find_program(name: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let directories = std::env::split_paths(&path).chain(["/usr/sbin".into(), "/sbin".into()]);
    directories.map(|directory| directory.join(name)).find(|path| path.is_file())
}
