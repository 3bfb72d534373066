//! How this machine was started, as UEFI variables say it: those of the firmware (UEFI specification 2.10,
//! 3.3), of the boot loader interface (systemd.io/BOOT_LOADER_INTERFACE) and of systemd-stub(7).
//!
//! Whoever has had the firmware can have left variables in it. What the firmware and the stub set is gone when
//! the machine is off, so a variable that outlives that is not theirs.

use std::fs;
use std::path::{Path, PathBuf};

use uuid::Uuid;

use super::bytes;

/// The vendor of the firmware's own variables.
const GLOBAL: &str = "8be4df61-93ca-11d2-aa0d-00e098032b8c";
/// The vendor of what boot loaders and stubs say.
const LOADER: &str = "4a67b082-0a4c-41cf-b6c7-440b29bb8c4f";
/// What systemd reads as a second command line (systemd 257, src/basic/efivars.c), by its name in efivarfs.
const SYSTEMD_OPTIONS: &str = "SystemdOptions-8cf2644b-4b0b-428f-9387-6d876050dc67";

/// Boot services and the running system see it, and it is gone with the power (UEFI specification, 8.2).
const VOLATILE: u32 = 0x6;

/// Whether the firmware checks signatures.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SecureBoot {
    /// It starts only what is signed.
    On,
    /// It could, and doesn't.
    Off,
    /// It has no such thing: there is no variable.
    Unsupported,
}

/// What the variables of a machine with UEFI say.
#[derive(Clone, Debug)]
pub struct Firmware {
    /// Whether it checks signatures.
    pub secure_boot: Result<SecureBoot, String>,
    /// The GUID of the partition that the stub was started from.
    pub partition: Result<Uuid, String>,
    /// The file that the stub was started from, with the separators of UEFI: `\EFI\BOOT\BOOTX64.EFI`.
    pub file: Result<String, String>,
    /// The boot loader that started the stub; `None` where that was the firmware itself.
    pub loader: Result<Option<String>, String>,
    /// Whether there is a variable that systemd would read as a second command line.
    pub systemd_options: bool,
}

impl Firmware {
    /// Reads the variables. `None` on a machine that was not started by UEFI.
    ///
    /// # Errors
    /// A sentence, where there are variables and they can't be read.
    pub(super) fn read(sys: &Path) -> Result<Option<Self>, String> {
        let efi = sys.join("firmware/efi");
        if !efi.exists() {
            return Ok(None);
        }
        let directory = efi.join("efivars");
        let unreadable =
            |error| format!("the UEFI variables can't be read: {}: {error}", directory.display());
        let mut entries =
            fs::read_dir(&directory).map_err(|error| unreadable(error.to_string()))?;
        // Every firmware has some.
        if entries.next().is_none() {
            return Err(unreadable("efivarfs is not mounted".to_owned()));
        }
        let systemd_options = directory.join(SYSTEMD_OPTIONS).try_exists();
        let systemd_options = systemd_options.map_err(|error| unreadable(error.to_string()))?;
        let variables = Variables { directory };
        let partition = said("StubDevicePartUUID", variables.partition("StubDevicePartUUID"));
        let file = said("StubImageIdentifier", variables.text("StubImageIdentifier"));
        let loader = variables.loader(partition.as_ref().ok(), file.as_deref().ok());
        let secure_boot = variables.secure_boot();
        Ok(Some(Self { secure_boot, partition, file, loader, systemd_options }))
    }

    /// Whether the stub was started from `path`, with slashes. Firmware doesn't care for case, and some
    /// doubles a separator.
    #[must_use]
    pub fn was_started_from(&self, path: &str) -> Option<bool> {
        let file = self.file.as_ref().ok()?;
        let parts = file.split(['\\', '/']).filter(|part| !part.is_empty());
        Some(parts.map(str::to_ascii_uppercase).eq(path.split('/').map(str::to_ascii_uppercase)))
    }
}

/// A mounted efivarfs.
struct Variables {
    directory: PathBuf,
}

impl Variables {
    /// The value of a variable; `None` where there is none of that name.
    fn value(&self, name: &str, vendor: &str) -> Result<Option<Vec<u8>>, String> {
        let path = self.directory.join(format!("{name}-{vendor}"));
        let content = match bytes(&path) {
            Ok(content) => content,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(format!("the variable {name} can't be read: {error}")),
        };
        let Some((attributes, value)) = content.split_first_chunk() else {
            return Err(format!("the variable {name} is too short"));
        };
        match u32::from_le_bytes(*attributes) {
            VOLATILE => Ok(Some(value.to_vec())),
            _ => Err(format!("the variable {name} was not set while this machine started")),
        }
    }

    /// A string of 16-bit characters with a zero at its end; `None` where there is no variable of that name.
    fn text(&self, name: &str) -> Result<Option<String>, String> {
        let Some(value) = self.value(name, LOADER)? else { return Ok(None) };
        let odd = || format!("the variable {name} is not text");
        let (units, []) = value.as_chunks() else { return Err(odd()) };
        let units: Vec<u16> = units.iter().map(|unit| u16::from_le_bytes(*unit)).collect();
        let (0, units) = units.split_last().ok_or_else(odd)? else { return Err(odd()) };
        let text = String::from_utf16(units).map_err(|_| odd())?;
        match text.is_empty() || text.chars().any(char::is_control) {
            true => Err(odd()),
            false => Ok(Some(text)),
        }
    }

    fn partition(&self, name: &str) -> Result<Option<Uuid>, String> {
        let Some(text) = self.text(name)? else { return Ok(None) };
        let id = Uuid::parse_str(&text);
        id.map(Some).map_err(|_| format!("the variable {name} is not a GUID: {text}"))
    }

    /// The stub says of itself what nobody before it has said: what differs is of a boot loader before it.
    /// A variable that is there already it leaves as it is, so one that can't be believed may hide a loader.
    fn loader(
        &self,
        partition: Option<&Uuid>,
        file: Option<&str>,
    ) -> Result<Option<String>, String> {
        let loader = self.text("LoaderImageIdentifier");
        let place = self.partition("LoaderDevicePartUUID");
        let known_loader = loader.as_ref().ok().and_then(Option::as_deref);
        let known_place = place.as_ref().ok().and_then(Option::as_ref);
        let other_file = known_loader.is_some() && known_loader != file;
        let other_partition = known_place.is_some() && known_place != partition;
        if other_file || other_partition {
            let loader = known_loader.unwrap_or("a file that is not known");
            return Ok(Some(match known_place {
                Some(place) => format!("{loader} on partition {place}"),
                None => loader.to_owned(),
            }));
        }
        loader.and(place).map(|_| None)
    }

    fn secure_boot(&self) -> Result<SecureBoot, String> {
        match self.value("SecureBoot", GLOBAL)?.as_deref() {
            None => Ok(SecureBoot::Unsupported),
            Some([1]) => Ok(SecureBoot::On),
            Some([0]) => Ok(SecureBoot::Off),
            Some(_) => Err("the variable SecureBoot is neither 0 nor 1".to_owned()),
        }
    }
}

/// What a stub always says: a variable that is not there is an error too.
fn said<T>(name: &str, value: Result<Option<T>, String>) -> Result<T, String> {
    value?.ok_or_else(|| format!("there is no variable {name}"))
}
