//! The machine that an installation is bound to.

use std::fmt;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use uuid::Uuid;

use crate::file::{self, FileError};
use crate::hex;

/// The context of the key that binds an installation to a machine.
const BINDING_CONTEXT: &str = "pds v2 machine-binding";

/// How a binding to a TPM is written.
const TPM: &str = "tpm";

/// What binds an installation to the machine of its birth.
///
/// As text it is `tpm` or 64 lower-case hexadecimal digits. [`MachineBinding::None`] has no text: a
/// file, a message or an entry of the trail leaves it out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MachineBinding {
    /// Nothing: it may move.
    None,
    /// What [`machine_binding`] gave on that machine.
    MachineId([u8; 32]),
    /// A piece that the machine's TPM unseals is part of the key of every profile.
    Tpm,
}

/// What a new installation is to be bound to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BindTo<'p> {
    /// Nothing.
    Nothing,
    /// The machine whose `machine-id` file is given.
    MachineId(&'p Path),
    /// The TPM of the machine; the profiles' factors make that true.
    Tpm,
}

/// The text is no binding to a machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the machine binding is \"tpm\" or 64 lower-case hexadecimal digits")]
pub struct MachineBindingError;

impl MachineBinding {
    /// Whether it is bound to a machine at all.
    #[must_use]
    pub const fn is_some(&self) -> bool {
        !matches!(self, Self::None)
    }

    /// The binding as text; `None` for [`MachineBinding::None`].
    #[must_use]
    pub fn to_text(&self) -> Option<String> {
        self.is_some().then(|| self.to_string())
    }

    /// The binding that [`MachineBinding::to_text`] gave as `text`.
    ///
    /// # Errors
    /// [`MachineBindingError`].
    pub fn from_text(text: Option<&str>) -> Result<Self, MachineBindingError> {
        text.map_or(Ok(Self::None), str::parse)
    }
}

/// For people [`MachineBinding::None`] is `none`, which does not read back.
impl fmt::Display for MachineBinding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::None => f.write_str("none"),
            Self::MachineId(bound) => f.write_str(&hex::encode(bound)),
            Self::Tpm => f.write_str(TPM),
        }
    }
}

impl FromStr for MachineBinding {
    type Err = MachineBindingError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text {
            TPM => Ok(Self::Tpm),
            digits => hex::decode(digits).map(Self::MachineId).ok_or(MachineBindingError),
        }
    }
}

impl BindTo<'_> {
    /// What binds installation `id` to it.
    ///
    /// # Errors
    /// [`MachineError`] when the machine's identity can't be had.
    pub fn binding(self, id: &Uuid) -> Result<MachineBinding, MachineError> {
        match self {
            Self::Nothing => Ok(MachineBinding::None),
            Self::MachineId(file) => machine_binding(id, file).map(MachineBinding::MachineId),
            Self::Tpm => Ok(MachineBinding::Tpm),
        }
    }
}

/// Why an installation does not run on this machine.
#[derive(Debug, thiserror::Error)]
pub enum MachineError {
    /// The machine's identity can't be read.
    #[error("cannot read the machine's identity")]
    File(#[from] FileError),
    /// There is none.
    #[error(
        "{} does not exist, so that the machine has no identity; see machine-id(5)",
        .path.display()
    )]
    Absent {
        /// The file.
        path: PathBuf,
    },
    /// The machine has not finished its first boot.
    #[error("{} holds no machine identity yet; see machine-id(5)", .path.display())]
    Uninitialized {
        /// The file.
        path: PathBuf,
    },
    /// Not what machine-id(5) describes.
    #[error("{} holds no 32 lower-case hexadecimal digits; see machine-id(5)", .path.display())]
    Malformed {
        /// The file.
        path: PathBuf,
    },
    /// Another machine.
    #[error(
        "installation {id} was bound to another machine; nothing was touched. Run it on the machine \
         that it was made on, or begin anew here with `sesame wipe` and `sesame init`"
    )]
    Mismatch {
        /// The installation.
        id: Uuid,
    },
}

/// What binds installation `id` to the machine whose `machine-id` file is given.
///
/// The machine's identity itself is confidential (machine-id(5)), so that only a keyed hash of it
/// is stored, and two installations on one machine can't be linked by it.
///
/// # Errors
/// [`MachineError`] when the file holds no identity.
pub fn machine_binding(id: &Uuid, machine_id_file: &Path) -> Result<[u8; 32], MachineError> {
    let path = machine_id_file.to_owned();
    let Some(text) = file::read(machine_id_file, None)? else {
        return Err(MachineError::Absent { path });
    };
    let machine = text.text.trim();
    if machine.is_empty() || machine == "uninitialized" {
        return Err(MachineError::Uninitialized { path });
    }
    let hexadecimal = machine.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
    // machine-id(5): the identity of all zeros is not valid.
    if machine.len() != 32 || !hexadecimal || machine.bytes().all(|byte| byte == b'0') {
        return Err(MachineError::Malformed { path });
    }
    let key = blake3::derive_key(BINDING_CONTEXT, id.as_bytes());
    Ok(*blake3::keyed_hash(&key, machine.as_bytes()).as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    const MACHINE: &str = "0123456789abcdef0123456789abcdef";

    fn machine(content: &str) -> tempfile::NamedTempFile {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), content).unwrap();
        file
    }

    /// Stored bindings must stay valid. The value was checked against another BLAKE3.
    #[test]
    fn the_binding_is_what_it_was() {
        let id = Uuid::from_bytes(*b"0123456789abcdef");
        let binding = machine_binding(&id, machine(MACHINE).path()).unwrap();
        assert_eq!(
            hex::encode(&binding),
            "767ec1b250f8228dbd3705dd7b88e2a8fe5635071bb02d89c48b92b915d5b384"
        );
        let other = Uuid::from_bytes(*b"0123456789abcdeg");
        assert_ne!(machine_binding(&other, machine(MACHINE).path()).unwrap(), binding);
    }

    #[test]
    fn a_binding_reads_back_from_its_text() {
        for binding in
            [MachineBinding::None, MachineBinding::MachineId([7; 32]), MachineBinding::Tpm]
        {
            let text = binding.to_text();
            assert_eq!(MachineBinding::from_text(text.as_deref()), Ok(binding));
            assert_eq!(text.is_some(), binding.is_some());
        }
    }

    #[test]
    fn one_text_for_one_binding() {
        for bad in ["", "none", "TPM", "tpm ", "tpm2", &"AB".repeat(32), &"ab".repeat(31)] {
            assert_eq!(bad.parse::<MachineBinding>(), Err(MachineBindingError), "{bad}");
        }
    }
}
