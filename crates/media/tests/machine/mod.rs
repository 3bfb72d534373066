//! A machine that runs an image, for what is asked of the running system.

#![allow(dead_code, reason = "each test binary uses a part of it")]
#![allow(clippy::unwrap_used, reason = "a test that panics has failed")]

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;

use media::attest::{Attestation, Paths};

use crate::common::{self, Recipe};

/// The vendor of what boot loaders and stubs say (systemd.io/BOOT_LOADER_INTERFACE).
pub const LOADER: &str = "4a67b082-0a4c-41cf-b6c7-440b29bb8c4f";
/// Attributes of a variable that the firmware or the stub sets, and of one that outlives the power.
pub const VOLATILE: u32 = 6;
pub const NON_VOLATILE: u32 = 7;

/// A made-up machine: a /proc, a /sys and a /dev with an image in it.
pub struct Machine {
    _dir: tempfile::TempDir,
    pub paths: Paths,
}

impl Machine {
    pub fn write(&self, root: &Path, path: &str, content: impl AsRef<[u8]>) {
        let path = root.join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, content).unwrap();
    }

    pub fn new(recipe: &Recipe) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let at = |name: &str| dir.path().join(name);
        let paths = Paths { proc: at("proc"), sys: at("sys"), dev: at("dev") };
        let machine = Self { _dir: dir, paths: paths.clone() };
        let (proc, sys, dev) = (&paths.proc, &paths.sys, &paths.dev);
        let (_, root) = common::tree(&recipe.data, recipe.block);
        machine.write(proc, "cmdline", format!("roothash={} ro\n", common::hex(&root)));
        machine.write(proc, "sys/kernel/osrelease", "6.12.0-test\n");
        machine.write(proc, "sys/kernel/modules_disabled", "1\n");
        machine.write(sys, "kernel/security/lockdown", "none integrity [confidentiality]\n");
        // Another device mapper's device comes first, and has the same name.
        machine.write(sys, "block/dm-0/dm/uuid", "CRYPT-LUKS2-11-state\n");
        machine.write(sys, "block/dm-0/dm/name", "root\n");
        machine.write(sys, "block/dm-1/dm/uuid", "CRYPT-VERITY-11-root\n");
        machine.write(sys, "block/dm-1/dm/name", "root\n");
        machine.write(sys, "block/dm-1/ro", "1\n");
        machine.write(sys, "devices/pci0/block/sda/sda2/partition", "2\n");
        fs::create_dir_all(sys.join("block/dm-1/slaves")).unwrap();
        symlink("../../../devices/pci0/block/sda/sda2", sys.join("block/dm-1/slaves/sda2"))
            .unwrap();
        machine.write(dev, "sda", [recipe.disk(), vec![0; 4096]].concat());
        machine
    }

    pub fn ask(&self) -> Attestation {
        Attestation::collect(&self.paths)
    }

    /// Makes it one that UEFI started from the image's ESP.
    pub fn start_by_uefi(&self) {
        let file = "\\EFI\\BOOT\\BOOTX64.EFI";
        let esp = uuid::Uuid::from_u128(1).to_string().to_uppercase();
        for (name, text) in [("Loader", esp.as_str()), ("Stub", &esp)] {
            self.variable(&format!("{name}DevicePartUUID-{LOADER}"), VOLATILE, &utf16(text));
            self.variable(&format!("{name}ImageIdentifier-{LOADER}"), VOLATILE, &utf16(file));
        }
    }

    /// Sets a UEFI variable.
    pub fn variable(&self, name: &str, attributes: u32, value: &[u8]) {
        let path = format!("firmware/efi/efivars/{name}");
        self.write(&self.paths.sys, &path, [&attributes.to_le_bytes(), value].concat());
    }

    /// Sets registers 11 and 12 of a TPM.
    pub fn registers(&self, pcr11: &str, pcr12: &str) {
        self.write(&self.paths.sys, "class/tpm/tpm0/pcr-sha256/11", pcr11);
        self.write(&self.paths.sys, "class/tpm/tpm0/pcr-sha256/12", pcr12);
    }
}

/// A string as UEFI has it.
pub fn utf16(text: &str) -> Vec<u8> {
    text.encode_utf16().chain([0]).flat_map(u16::to_le_bytes).collect()
}
