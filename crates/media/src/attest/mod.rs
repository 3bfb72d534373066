//! What a machine that runs an image can say about itself and the medium that it booted from.
//!
//! All of it is said by the system that is asked: it is worth something beside a TPM's quote or a sheet
//! of paper, and nothing against a kernel that lies.

mod firmware;
mod medium;
mod objection;
mod twins;

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use crate::digest::Digest;
use crate::layout::root_hash_of;

pub use firmware::{Firmware, SecureBoot};
pub use medium::{Medium, boot_device};
pub use objection::Objection;

/// The most bytes of a file in /proc or /sys that are looked at.
const MAX_FILE: u64 = 64 << 10;

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
    /// How this machine was started; `None` where it was not by UEFI.
    pub firmware: Result<Option<Firmware>, String>,
    /// Other disks that have a partition with the GUID of the medium's ESP.
    pub twins: Vec<String>,
    /// `None` without a TPM.
    pub tpm: Option<Tpm>,
}

/// Registers of a TPM's SHA-256 bank.
#[derive(Clone, Debug)]
pub struct Tpm {
    /// What was started (systemd-stub(7)).
    pub pcr11: Result<Digest, String>,
    /// What came from outside of that: command line, credentials, addons. Zero where there was none.
    pub pcr12: Result<Digest, String>,
    /// The boot loaders, by the firmware.
    pub pcr4: Result<Digest, String>,
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
        let medium = boot_device(paths).and_then(|device| Medium::read(&device));
        let twins = medium.as_ref().map(|medium| twins::twins(paths, &medium.path, &medium.esp));
        Self {
            root_hash,
            device: medium::verity_device(paths).map(|device| device.to_string()),
            twins: twins.unwrap_or_default(),
            medium,
            release: text(&proc.join("sys/kernel/osrelease")),
            lockdown: lockdown.map(|modes| chosen(&modes).to_owned()),
            modules_disabled: modules.map(|value| value == "1"),
            firmware: Firmware::read(sys),
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
        let found = self.tpm.as_ref()?.pcr11.as_ref().ok()?;
        let phases = crate::uki::Uki::pcr11_in_phases(expected);
        phases.into_iter().find(|(_, value)| value == found).map(|(phase, _)| phase)
    }

    /// What speaks against this machine; empty where nothing does. Root reads the medium and the UEFI
    /// variables, so for root what can't be read is an objection, and for anybody else it isn't.
    #[must_use]
    pub fn objections(&self, is_root: bool) -> Vec<Objection> {
        objection::objections(self, is_root)
    }

    /// Why the medium was not read to its end.
    fn unread(&self) -> Option<String> {
        let medium = match &self.medium {
            Ok(medium) => medium,
            Err(reason) => return Some(reason.clone()),
        };
        let reasons = [medium.uki.as_ref().err(), medium.root_hash.as_ref().err()];
        reasons.into_iter().flatten().chain(self.root_hash.as_ref().err()).next().cloned()
    }
}

/// `confidentiality` of `none integrity [confidentiality]`.
fn chosen(modes: &str) -> &str {
    let chosen = modes.split_once('[').and_then(|(_, rest)| rest.split_once(']'));
    chosen.map_or(modes, |(chosen, _)| chosen)
}

fn tpm(sys: &Path) -> Option<Tpm> {
    // The bank of registers that stub and firmware measure into; a TPM 1.2 has none, and is of no use here.
    let bank = sys.join("class/tpm/tpm0/pcr-sha256");
    bank.exists().then(|| {
        let register = |number: u8| {
            let value = text(&bank.join(number.to_string()))?;
            value.to_ascii_lowercase().parse().map_err(|_| "not a SHA-256 value".to_owned())
        };
        Tpm { pcr11: register(11), pcr12: register(12), pcr4: register(4) }
    })
}

/// A short file without white space at its ends and without control characters.
fn text(path: &Path) -> Result<String, String> {
    let unreadable = |error: String| format!("cannot read {}: {error}", path.display());
    let bytes = bytes(path).map_err(|error| unreadable(error.to_string()))?;
    let text = String::from_utf8(bytes).map_err(|_| unreadable("not UTF-8".to_owned()))?;
    Ok(text.trim().chars().filter(|c| !c.is_control()).collect())
}

/// At most [`MAX_FILE`] bytes of a file.
fn bytes(path: &Path) -> io::Result<Vec<u8>> {
    use std::io::Read;
    let mut bytes = Vec::new();
    fs::File::open(path)?.take(MAX_FILE).read_to_end(&mut bytes)?;
    Ok(bytes)
}
