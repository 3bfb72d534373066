//! What `init` made: the identity of an installation, and the machine that it is bound to.

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use toml::Spanned;
use uuid::{Uuid, Variant};

use crate::file::{self, FileError};
use crate::keys::shown;
use crate::machine::{BindTo, MachineBinding, MachineBindingError, MachineError, machine_binding};
use crate::names::OrgNamespace;

/// An installation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Installation {
    /// Its random identity (UUIDv4, RFC 9562).
    pub id: Uuid,
    /// Whose it is.
    pub org: Option<OrgNamespace>,
    /// The machine that it is bound to.
    pub machine_binding: MachineBinding,
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
    /// A new installation with a random identity, bound to what is wanted.
    ///
    /// # Errors
    /// [`NewInstallationError`].
    pub fn new(
        org: Option<OrgNamespace>,
        bind_to: BindTo<'_>,
        created: String,
    ) -> Result<Self, NewInstallationError> {
        if !is_rfc3339(&created) {
            return Err(InstallationError::Created(created).into());
        }
        let mut random = [0; 16];
        getrandom::fill(&mut random).map_err(InstallationError::Random)?;
        let id = uuid::Builder::from_random_bytes(random).into_uuid();
        let machine_binding = bind_to.binding(&id)?;
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
            Some(binding) => {
                let text = binding.get_ref();
                text.parse().map_err(|e: MachineBindingError| wrong(binding, &e.to_string()))?
            }
            None => MachineBinding::None,
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
            machine_binding: self.machine_binding.to_text(),
            created: self.created.clone(),
        };
        toml::to_string(&raw).expect("strings are TOML")
    }

    /// Checks that this is the machine that the installation is bound to by its `machine-id`.
    ///
    /// With [`MachineBinding::Tpm`] there is nothing to compare: the TPM's piece is part of the key
    /// of every profile, so that another machine can't unlock any.
    ///
    /// # Errors
    /// [`MachineError`].
    pub fn check_machine(&self, machine_id_file: &Path) -> Result<(), MachineError> {
        let MachineBinding::MachineId(bound) = self.machine_binding else { return Ok(()) };
        if machine_binding(&self.id, machine_id_file)? == bound {
            Ok(())
        } else {
            Err(MachineError::Mismatch { id: self.id })
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

    fn installation(bind_to: BindTo<'_>) -> Installation {
        Installation::new(None, bind_to, "2026-03-01T12:00:00+01:00".to_owned()).unwrap()
    }

    #[test]
    fn a_rendered_installation_reads_back() {
        let file = machine(MACHINE);
        for bind_to in [BindTo::Nothing, BindTo::MachineId(file.path()), BindTo::Tpm] {
            let mut installation = installation(bind_to);
            for org in [None, Some("org.example".parse().unwrap())] {
                installation.org = org;
                let text = installation.render();
                let read = Installation::parse(&text, Path::new("installation.toml")).unwrap();
                assert_eq!(read, installation, "{text}");
            }
        }
    }

    #[test]
    fn the_binding_is_absent_the_word_tpm_or_digits() {
        let line = |bind_to| {
            let text = installation(bind_to).render();
            text.lines().find(|line| line.starts_with("machine_binding")).map(str::to_owned)
        };
        assert_eq!(line(BindTo::Nothing), None);
        assert_eq!(line(BindTo::Tpm).as_deref(), Some("machine_binding = \"tpm\""));
        let digits = line(BindTo::MachineId(machine(MACHINE).path())).unwrap();
        assert_eq!(digits.len(), "machine_binding = \"\"".len() + 64, "{digits}");
    }

    #[test]
    fn an_installation_bound_to_a_tpm_asks_for_no_machine_id() {
        let bound = installation(BindTo::Tpm);
        bound.check_machine(Path::new("/nonexistent/machine-id")).unwrap();
        assert_eq!(bound.machine_binding, MachineBinding::Tpm);
    }

    #[test]
    fn identities_are_random_and_of_version_4() {
        let (one, two) = (installation(BindTo::Nothing), installation(BindTo::Nothing));
        assert_ne!(one.id, two.id);
        assert_eq!(parse_id(&one.id.to_string()), Some(one.id));
    }

    #[test]
    fn a_bound_installation_runs_on_its_machine_only() {
        let (here, elsewhere) = (machine(MACHINE), machine(&MACHINE.replace('0', "f")));
        let bound = installation(BindTo::MachineId(here.path()));
        bound.check_machine(here.path()).unwrap();
        bound.check_machine(machine(&format!("{MACHINE}\n")).path()).unwrap();
        let error = bound.check_machine(elsewhere.path()).unwrap_err();
        assert!(matches!(error, MachineError::Mismatch { .. }), "{error}");
        installation(BindTo::Nothing).check_machine(elsewhere.path()).unwrap();
    }

    #[test]
    fn a_bound_installation_does_not_run_where_the_machine_is_unknown() {
        let bound = installation(BindTo::MachineId(machine(MACHINE).path()));
        for content in ["", "uninitialized\n", "0123", &MACHINE.to_uppercase(), &"0".repeat(32)] {
            assert!(bound.check_machine(machine(content).path()).is_err(), "{content:?}");
        }
        let error = bound.check_machine(Path::new("/nonexistent/machine-id")).unwrap_err();
        assert!(matches!(error, MachineError::Absent { .. }), "{error}");
    }
}
