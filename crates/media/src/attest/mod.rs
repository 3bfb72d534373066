//! What a machine that runs an image can say about itself and the medium that it booted from.
//!
//! All of it is said by the system that is asked: it is worth something beside a TPM's quote or a sheet
//! of paper, and nothing against a kernel that lies.

mod medium;

use std::fs;
use std::path::{Path, PathBuf};

use crate::digest::Digest;
use crate::layout::root_hash_of;

pub use medium::{Medium, boot_device};

/// The most bytes of a file in /proc or /sys that are looked at.
const MAX_FILE: u64 = 64 << 10;

/// The GUID of the firmware's own variables (UEFI specification 2.10, 3.3).
const SECURE_BOOT: &str = "firmware/efi/efivars/SecureBoot-8be4df61-93ca-11d2-aa0d-00e098032b8c";

/// Where the kernel shows what is asked for.
#[derive(Clone, Debug)]
pub struct Paths {
    /// proc(5)
    pub proc: PathBuf,
    /// sysfs(5)
    pub sys: PathBuf,
    /// The device nodes.
    pub dev: PathBuf,
}

impl Default for Paths {
    fn default() -> Self {
        Self { proc: "/proc".into(), sys: "/sys".into(), dev: "/dev".into() }
    }
}

/// What was found; each part on its own, so that one that fails hides no other.
#[derive(Clone, Debug)]
pub struct Attestation {
    /// The root hash on the kernel's command line.
    pub root_hash: Result<Digest, String>,
    /// The active dm-verity device, such as `dm-0 "root"`, read-only.
    pub device: Result<String, String>,
    /// What is on the medium.
    pub medium: Result<Medium, String>,
    /// The kernel's release.
    pub release: Result<String, String>,
    /// The mode of lockdown (kernel_lockdown(7)).
    pub lockdown: Result<String, String>,
    /// Whether no module can be loaded any more.
    pub modules_disabled: Result<bool, String>,
    /// Whether the firmware checks signatures; `None` on a machine without UEFI variables.
    pub secure_boot: Option<bool>,
    /// PCR 11 and PCR 4 of the SHA-256 bank; `None` without a TPM.
    pub tpm: Option<(Result<Digest, String>, Result<Digest, String>)>,
}

impl Attestation {
    /// Asks everything. Root reads the medium; without it, what can be read is there.
    #[must_use]
    pub fn collect(paths: &Paths) -> Self {
        let Paths { proc, sys, .. } = paths;
        let command_line = text(&proc.join("cmdline"));
        let root_hash = command_line.and_then(|line| {
            root_hash_of(&line).ok_or_else(|| "the command line has no root hash".to_owned())
        });
        let lockdown = text(&sys.join("kernel/security/lockdown"));
        let modules = text(&proc.join("sys/kernel/modules_disabled"));
        Self {
            root_hash,
            device: medium::verity_device(paths).map(|device| device.to_string()),
            medium: boot_device(paths).and_then(|device| Medium::read(&device)),
            release: text(&proc.join("sys/kernel/osrelease")),
            lockdown: lockdown.map(|modes| chosen(&modes).to_owned()),
            modules_disabled: modules.map(|value| value == "1"),
            secure_boot: secure_boot(sys),
            tpm: tpm(sys),
        }
    }

    /// Whether the medium's hash tree is that of the command line; `None` when one of both is unknown.
    #[must_use]
    pub fn root_hashes_agree(&self) -> Option<bool> {
        let medium = self.medium.as_ref().ok()?;
        Some(medium.root_hash.as_ref().ok()? == self.root_hash.as_ref().ok()?)
    }

    /// The phase of the boot after which PCR 11 has the value that it has, if the UKI on the medium was
    /// booted: `start`, `enter-initrd`, `leave-initrd`, `sysinit` or `ready`.
    #[must_use]
    pub fn pcr11_phase(&self) -> Option<&'static str> {
        let expected = self.medium.as_ref().ok()?.pcr11?;
        let (Ok(found), _) = self.tpm.as_ref()? else { return None };
        let phases = crate::uki::Uki::pcr11_in_phases(expected);
        phases.into_iter().find(|(_, value)| value == found).map(|(phase, _)| phase)
    }
}

/// `confidentiality` of `none integrity [confidentiality]`.
fn chosen(modes: &str) -> &str {
    let chosen = modes.split_once('[').and_then(|(_, rest)| rest.split_once(']'));
    chosen.map_or(modes, |(chosen, _)| chosen)
}

/// Four bytes of attributes, and one that is the value.
fn secure_boot(sys: &Path) -> Option<bool> {
    let value = fs::read(sys.join(SECURE_BOOT)).ok()?;
    (value.len() == 5).then(|| value[4] == 1)
}

fn tpm(sys: &Path) -> Option<(Result<Digest, String>, Result<Digest, String>)> {
    let tpm = sys.join("class/tpm/tpm0");
    tpm.exists().then(|| {
        let register = |number: u8| {
            let value = text(&tpm.join(format!("pcr-sha256/{number}")))?;
            value.to_ascii_lowercase().parse().map_err(|_| "not a SHA-256 value".to_owned())
        };
        (register(11), register(4))
    })
}

/// A short file without white space at its ends and without control characters.
fn text(path: &Path) -> Result<String, String> {
    use std::io::Read;
    let mut text = String::new();
    let file = fs::File::open(path);
    let read = file.and_then(|file| file.take(MAX_FILE).read_to_string(&mut text));
    read.map_err(|error| format!("cannot read {}: {error}", path.display()))?;
    Ok(text.trim().chars().filter(|c| !c.is_control()).collect())
}
