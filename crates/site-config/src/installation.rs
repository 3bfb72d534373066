//! What `init` made: the identity of an installation, and the machine that it is bound to.

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use toml::Spanned;
use uuid::{Uuid, Variant};

use crate::file::{self, FileError};
use crate::hex;
use crate::keys::shown;
use crate::names::OrgNamespace;

/// The context of the key that binds an installation to a machine.
const BINDING_CONTEXT: &str = "pds v2 machine-binding";

/// An installation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Installation {
    /// Its random identity (UUIDv4, RFC 9562).
    pub id: Uuid,
    /// Whose it is.
    pub org: Option<OrgNamespace>,
    /// What [`machine_binding`] gave on the machine of its birth; `None` when it may move.
    pub machine_binding: Option<[u8; 32]>,
    /// When it was made (RFC 3339).
    pub created: String,
}

/// Why there is no installation to use.
#[derive(Debug, thiserror::Error)]
pub enum InstallationError {
    /// The file can't be read or parsed.
    #[error(transparent)]
    File(#[from] FileError),
    /// There is no file.
    #[error("{} does not exist; `sesame init` makes it", .path.display())]
    Absent {
        /// The file.
        path: PathBuf,
    },
    /// Not a time with a zone.
    #[error("the creation time {} is not an RFC 3339 time", shown(.0))]
    Created(String),
    /// No random bytes.
    #[error("the kernel gave no random bytes: {0}")]
    Random(getrandom::Error),
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

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Raw<S> {
    id: S,
    #[serde(skip_serializing_if = "Option::is_none")]
    org: Option<OrgNamespace>,
    #[serde(skip_serializing_if = "Option::is_none")]
    machine_binding: Option<S>,
    created: S,
}

impl Installation {
    /// A new installation with a random identity, bound to the machine whose `machine-id` file is
    /// given.
    ///
    /// # Errors
    /// [`NewInstallationError`].
    pub fn new(
        org: Option<OrgNamespace>,
        machine_id_file: Option<&Path>,
        created: String,
    ) -> Result<Self, NewInstallationError> {
        if !is_rfc3339(&created) {
            return Err(InstallationError::Created(created).into());
        }
        let mut random = [0; 16];
        getrandom::fill(&mut random).map_err(InstallationError::Random)?;
        let id = uuid::Builder::from_random_bytes(random).into_uuid();
        let machine_binding = machine_id_file.map(|file| machine_binding(&id, file)).transpose()?;
        Ok(Self { id, org, machine_binding, created })
    }

    /// Reads a file.
    ///
    /// # Errors
    /// [`InstallationError`].
    pub fn load(path: &Path) -> Result<Self, InstallationError> {
        match file::read(path, None)? {
            Some(text) => Self::parse(&text.text, path),
            None => Err(InstallationError::Absent { path: path.to_owned() }),
        }
    }

    /// Parses text that is said to come from `path`.
    ///
    /// # Errors
    /// [`InstallationError`].
    pub fn parse(text: &str, path: &Path) -> Result<Self, InstallationError> {
        let raw: Raw<Spanned<String>> =
            toml::from_str(text).map_err(|error| file::syntax(&error, text, path))?;
        let wrong = |at: &Spanned<String>, rule: &str| FileError::Syntax {
            path: path.to_owned(),
            line: file::line_at(text.as_bytes(), at.span().start),
            message: rule.to_owned(),
        };
        let id = parse_id(raw.id.get_ref())
            .ok_or_else(|| wrong(&raw.id, "the id is not a hyphenated UUID of version 4"))?;
        let machine_binding = match &raw.machine_binding {
            Some(binding) => Some(hex::decode(binding.get_ref()).ok_or_else(|| {
                wrong(binding, "the machine binding is 64 lower-case hexadecimal digits")
            })?),
            None => None,
        };
        if !is_rfc3339(raw.created.get_ref()) {
            return Err(wrong(&raw.created, "the creation time is not an RFC 3339 time").into());
        }
        Ok(Self { id, org: raw.org, machine_binding, created: raw.created.into_inner() })
    }

    /// The installation as TOML.
    #[must_use]
    pub fn render(&self) -> String {
        let raw = Raw {
            id: self.id.to_string(),
            org: self.org.clone(),
            machine_binding: self.machine_binding.as_ref().map(hex::encode),
            created: self.created.clone(),
        };
        toml::to_string(&raw).expect("strings are TOML")
    }

    /// Checks that this is the machine that the installation is bound to, if it is bound.
    ///
    /// # Errors
    /// [`MachineError`].
    pub fn check_machine(&self, machine_id_file: &Path) -> Result<(), MachineError> {
        match self.machine_binding {
            Some(bound) if machine_binding(&self.id, machine_id_file)? != bound => {
                Err(MachineError::Mismatch { id: self.id })
            }
            _ => Ok(()),
        }
    }
}

/// Why an installation could not be made.
#[derive(Debug, thiserror::Error)]
pub enum NewInstallationError {
    /// Its own data.
    #[error(transparent)]
    Installation(#[from] InstallationError),
    /// The machine that it would be bound to.
    #[error(transparent)]
    Machine(#[from] MachineError),
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

/// Only the one form that [`Installation::render`] writes.
fn parse_id(text: &str) -> Option<Uuid> {
    let id = Uuid::try_parse(text).ok()?;
    let random = id.get_version_num() == 4 && id.get_variant() == Variant::RFC4122;
    (random && id.to_string() == text).then_some(id)
}

fn is_rfc3339(text: &str) -> bool {
    text.parse::<toml::value::Datetime>()
        .is_ok_and(|time| time.date.is_some() && time.time.is_some() && time.offset.is_some())
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

    fn installation(machine: Option<&Path>) -> Installation {
        Installation::new(None, machine, "2026-03-01T12:00:00+01:00".to_owned()).unwrap()
    }

    #[test]
    fn a_rendered_installation_reads_back() {
        let file = machine(MACHINE);
        let mut installation = installation(Some(file.path()));
        for org in [None, Some("org.example".parse().unwrap())] {
            installation.org = org;
            let text = installation.render();
            let read = Installation::parse(&text, Path::new("installation.toml")).unwrap();
            assert_eq!(read, installation, "{text}");
        }
    }

    #[test]
    fn identities_are_random_and_of_version_4() {
        let (one, two) = (installation(None), installation(None));
        assert_ne!(one.id, two.id);
        assert_eq!(parse_id(&one.id.to_string()), Some(one.id));
    }

    #[test]
    fn a_bound_installation_runs_on_its_machine_only() {
        let (here, elsewhere) = (machine(MACHINE), machine(&MACHINE.replace('0', "f")));
        let bound = installation(Some(here.path()));
        bound.check_machine(here.path()).unwrap();
        bound.check_machine(machine(&format!("{MACHINE}\n")).path()).unwrap();
        let error = bound.check_machine(elsewhere.path()).unwrap_err();
        assert!(matches!(error, MachineError::Mismatch { .. }), "{error}");
        installation(None).check_machine(elsewhere.path()).unwrap();
    }

    #[test]
    fn a_bound_installation_does_not_run_where_the_machine_is_unknown() {
        let bound = installation(Some(machine(MACHINE).path()));
        for content in ["", "uninitialized\n", "0123", &MACHINE.to_uppercase(), &"0".repeat(32)] {
            assert!(bound.check_machine(machine(content).path()).is_err(), "{content:?}");
        }
        let error = bound.check_machine(Path::new("/nonexistent/machine-id")).unwrap_err();
        assert!(matches!(error, MachineError::Absent { .. }), "{error}");
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
}
