//! Unified kernel images: a PE file (UEFI, Microsoft's PE format) with a kernel in its sections
//! (UAPI Group, Unified Kernel Image), and what systemd-stub(7) measures of it.

use std::io;

use object::LittleEndian as LE;
use object::pe::{ImageDosHeader, ImageNtHeaders64};
use object::read::pe::ImageNtHeaders;
use sha2::{Digest as _, Sha256};

use crate::digest::Digest;
use crate::storage::{CHUNK, Storage};

/// The headers of a PE file are looked for in so many bytes; a UKI has them in the first 4096.
const MAX_HEADERS: u64 = 64 << 10;

/// The most bytes of a section that are text: command line, release, os-release.
const MAX_TEXT: u64 = 64 << 10;

/// The most bytes that a section has in memory.
const MAX_SECTION: u64 = 1 << 30;

/// The sections that the stub measures, in the order in which it does (systemd 257,
/// src/fundamental/uki.h). `.pcrsig` is not measured: it is a signature over the result.
const MEASURED: [&str; 13] = [
    ".linux", ".osrel", ".cmdline", ".initrd", ".ucode", ".splash", ".dtb", ".uname", ".sbat",
    ".pcrpkey", ".profile", ".dtbauto", ".hwids",
];

/// Sections with which the machine chooses at boot what is measured.
const CHOSEN_AT_BOOT: [&str; 2] = [".profile", ".dtbauto"];

/// The words that systemd-pcrphase(8) measures after that, in their order.
const PHASES: [&str; 4] = ["enter-initrd", "leave-initrd", "sysinit", "ready"];

/// Why a file is no unified kernel image.
#[derive(Debug, thiserror::Error)]
pub enum UkiError {
    /// The device failed.
    #[error("the UKI can't be read: {0}")]
    Io(#[from] io::Error),
    /// Not a 64-bit PE file.
    #[error("the UKI is not a 64-bit PE file: {0}")]
    Pe(String),
    /// A section lies outside the file, or is larger than any.
    #[error("section {0} of the UKI lies outside of it, or is too large")]
    Bounds(String),
    /// A section that every UKI has is missing, or there twice.
    #[error("the UKI has no section {0}, or several")]
    Missing(&'static str),
    /// A section isn't text of a sensible length.
    #[error("section {0} of the UKI is not text, or too long")]
    Text(&'static str),
}

/// A unified kernel image.
pub struct Uki<'a> {
    file: &'a dyn Storage,
    sections: Vec<Section>,
}

/// A section of a PE file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Section {
    /// Its name, of at most 8 bytes; what isn't ASCII is U+FFFD.
    pub name: String,
    /// Where its content begins in the file, in bytes.
    pub start: u64,
    /// How many bytes of it are in the file.
    pub bytes: u64,
    /// How many bytes it has in memory: zeros follow what is in the file.
    pub bytes_in_memory: u64,
}

impl<'a> Uki<'a> {
    /// Reads the headers, and looks whether the sections are in the file.
    ///
    /// # Errors
    /// [`UkiError`] says which.
    pub fn open(file: &'a dyn Storage) -> Result<Self, UkiError> {
        let mut start = vec![0; file.size().min(MAX_HEADERS) as usize];
        file.read_exact_at(&mut start, 0)?;
        let headers = start.as_slice();
        let pe = |error: object::read::Error| UkiError::Pe(error.to_string());
        let dos = ImageDosHeader::parse(headers).map_err(pe)?;
        let mut at = dos.nt_headers_offset().into();
        let (nt, _) = ImageNtHeaders64::parse(headers, &mut at).map_err(pe)?;
        let table = nt.sections(headers, at).map_err(pe)?;
        let mut sections = Vec::new();
        for header in table.iter() {
            let name = header.raw_name().iter().map(|byte| match byte {
                b'!'..=b'~' => char::from(*byte),
                _ => char::REPLACEMENT_CHARACTER,
            });
            let name: String = name.collect();
            let bytes_in_memory = u64::from(header.virtual_size.get(LE));
            let (start, bytes) = header.pe_file_range();
            let (start, bytes) = (u64::from(start), u64::from(bytes));
            if start + bytes > file.size() || bytes_in_memory > MAX_SECTION {
                return Err(UkiError::Bounds(name));
            }
            sections.push(Section { name, start, bytes, bytes_in_memory });
        }
        Ok(Self { file, sections })
    }

    /// The sections in the order of the file.
    #[must_use]
    pub fn sections(&self) -> &[Section] {
        &self.sections
    }

    /// The command line in it, without white space at its ends.
    ///
    /// # Errors
    /// [`UkiError::Missing`] or [`UkiError::Text`] where there is none.
    pub fn command_line(&self) -> Result<String, UkiError> {
        self.text(".cmdline")
    }

    /// The release of the kernel, as `uname -r` prints it.
    ///
    /// # Errors
    /// As [`Uki::command_line`].
    pub fn kernel_release(&self) -> Result<String, UkiError> {
        self.text(".uname")
    }

    /// What systemd-stub(7) makes of PCR 11, in the SHA-256 bank, before the system is entered:
    /// for each section its name with a zero byte, then its content. `None` where profiles or
    /// device trees are chosen at boot.
    ///
    /// systemd-pcrphase extends the register further while the system boots.
    ///
    /// # Errors
    /// Those of the device.
    pub fn pcr11(&self) -> Result<Option<Digest>, UkiError> {
        if CHOSEN_AT_BOOT.iter().any(|name| self.named(name).next().is_some()) {
            return Ok(None);
        }
        let mut register = [0; 32];
        for name in MEASURED {
            // Of several of one name the stub takes the first.
            let Some(section) = self.named(name).find(|section| section.bytes_in_memory > 0) else {
                continue;
            };
            register = extended(&register, Sha256::new_with_prefix(name).chain_update([0]));
            register = extended(&register, self.measured(section)?);
        }
        Ok(Some(Digest(register)))
    }

    /// [`Uki::pcr11`] after each of the phases that systemd-pcrphase(8) adds while the system boots:
    /// the name of the last phase, and the value then.
    #[must_use]
    pub fn pcr11_in_phases(start: Digest) -> Vec<(&'static str, Digest)> {
        let mut values = vec![("start", start)];
        let mut register = start.0;
        for phase in PHASES {
            register = extended(&register, Sha256::new_with_prefix(phase));
            values.push((phase, Digest(register)));
        }
        values
    }

    fn named<'s>(&'s self, name: &'s str) -> impl Iterator<Item = &'s Section> {
        self.sections.iter().filter(move |section| section.name == name)
    }

    fn measured(&self, section: &Section) -> Result<Sha256, UkiError> {
        let mut hasher = Sha256::new();
        self.file.stream(section.start, section.bytes, &mut |bytes| {
            hasher.update(bytes);
            Ok(())
        })?;
        let mut zeros = section.bytes_in_memory - section.bytes;
        let block = vec![0; CHUNK.min(usize::try_from(zeros).unwrap_or(CHUNK))];
        while zeros > 0 {
            let size = block.len().min(usize::try_from(zeros).unwrap_or(CHUNK));
            hasher.update(&block[..size]);
            zeros -= size as u64;
        }
        Ok(hasher)
    }

    fn text(&self, name: &'static str) -> Result<String, UkiError> {
        let mut named = self.named(name);
        let (Some(section), None) = (named.next(), named.next()) else {
            return Err(UkiError::Missing(name));
        };
        if section.bytes > MAX_TEXT {
            return Err(UkiError::Text(name));
        }
        let mut bytes = vec![0; section.bytes as usize];
        self.file.read_exact_at(&mut bytes, section.start)?;
        let text = String::from_utf8(bytes).map_err(|_| UkiError::Text(name))?;
        let text = text.trim_matches(|c: char| c == '\0' || c.is_ascii_whitespace());
        if text.is_empty() || text.chars().any(char::is_control) {
            return Err(UkiError::Text(name));
        }
        Ok(text.to_owned())
    }
}

/// A register of a TPM after an event: the hash of its value and the hash of the event.
fn extended(register: &[u8; 32], event: Sha256) -> [u8; 32] {
    Sha256::new_with_prefix(register).chain_update(event.finalize()).finalize().into()
}
