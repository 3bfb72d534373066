//! A virtual machine without disk or network, whose first program is in its memory, and whose serial
//! console is read to the end.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::cpio::Archive;

/// Unoptimised binaries and their libraries lie in this, too.
const MEMORY: &str = "2G";

/// A machine that hangs is ended by timeout(1). It takes a tenth of this, emulated: a KVM that is there
/// and does not work, as in some clouds, would leave QEMU waiting.
const SECONDS: &str = "600";

/// All that QEMU emulates, but for two: Linux 6.12 crashes now and then on its cmpxchg16b (QEMU 7.2), and
/// five levels of page tables are only slower.
const CPU: &str = "max,cx16=off,la57=off";

/// A kernel that crashes ends the machine; the timer of a busy host need not be on time; and nothing but
/// what the daemons need restricts them.
const COMMAND_LINE: &str = "console=ttyS0 quiet oops=panic panic=-1 no_timer_check lsm=landlock";

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
        // machine-id(5); `sesame init` asks for it.
        archive.add_file("etc/machine-id", 0o444, b"0123456789abcdef0123456789abcdef\n");
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
    machine.args(["-append", COMMAND_LINE, "-machine", "q35", "-accel", "tcg", "-cpu", CPU]);
    machine.args(["-smp", "1", "-m", MEMORY, "-nodefaults", "-nic", "none", "-display", "none"]);
    machine.args(["-no-reboot", "-serial", "stdio"]).stdin(Stdio::null());
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
