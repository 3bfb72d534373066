//! `config.toml`: settings as TOML sections, some within others.

use std::path::Path;

use toml::de::{DeTable, DeValue};

use crate::file;
use crate::keys::{Key, UnknownKey, Value};
use crate::site::{ConfigError, Origin};
use crate::value::describe;

/// A value that somebody set, and where.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Assignment {
    /// The key.
    pub key: Key,
    /// Its value.
    pub value: Value,
    /// Where it was set.
    pub origin: Origin,
}

/// The settings in text that is said to come from `path`.
///
/// # Errors
/// [`ConfigError`], with the line.
pub fn parse(text: &str, path: &Path) -> Result<Vec<Assignment>, ConfigError> {
    let mut reader = Reader { text, path, assignments: Vec::new() };
    reader.section("", &file::table(text, path)?)?;
    Ok(reader.assignments)
}

/// The settings found so far, and the text that they stand in.
struct Reader<'t> {
    text: &'t str,
    path: &'t Path,
    assignments: Vec<Assignment>,
}

impl Reader<'_> {
    /// Reads the table that is `section`; the file itself has no name.
    fn section(&mut self, section: &str, entries: &DeTable<'_>) -> Result<(), ConfigError> {
        for (name, found) in entries {
            let origin = self.origin(name);
            // Section and name are looked up apart: `"crypto.kdf" = …` must not be a second
            // spelling.
            if let Some(key) = Key::find(section, name.get_ref()) {
                let value = check(key, found.get_ref(), &origin)?;
                self.assignments.push(Assignment { key, value, origin });
                continue;
            }
            match (Key::find_section(section, name.get_ref()), found.get_ref()) {
                (Some(section), DeValue::Table(entries)) => self.section(section, entries)?,
                (Some(section), other) => {
                    let found = describe(other);
                    return Err(ConfigError::NotASection { origin, section, found });
                }
                (None, other) => return Err(self.unknown(section, name, other)),
            }
        }
        Ok(())
    }

    /// The error for what is neither a key nor a section. Within a table its first entry is named,
    /// as that may be a key in the wrong place; an empty one is a typo as well.
    fn unknown(&self, section: &str, name: &Name<'_>, found: &DeValue<'_>) -> ConfigError {
        let path = match section {
            "" => name.get_ref().to_string(),
            _ => format!("{section}.{}", name.get_ref()),
        };
        let inner = found.as_table().and_then(|entries| entries.iter().next());
        let (key, at) = match inner {
            Some((inner, _)) => (format!("{path}.{}", inner.get_ref()), inner),
            None => (path, name),
        };
        ConfigError::UnknownKey { origin: self.origin(at), unknown: UnknownKey::new(key) }
    }

    fn origin(&self, name: &Name<'_>) -> Origin {
        let line = file::line_at(self.text.as_bytes(), name.span().start);
        Origin::File { path: self.path.to_owned(), line }
    }
}

type Name<'i> = toml::Spanned<toml::de::DeString<'i>>;

/// A setting given on the command line.
pub(crate) fn parse_override(key: &str, text: &str) -> Result<Assignment, ConfigError> {
    let origin = Origin::CommandLine;
    let key: Key = match key.parse() {
        Ok(key) => key,
        Err(unknown) => return Err(ConfigError::UnknownKey { origin, unknown }),
    };
    match key.parse_value(text) {
        Ok(value) => Ok(Assignment { key, value, origin }),
        Err(error) => Err(ConfigError::WrongValue { origin, error }),
    }
}

/// The value of `key` that `found` is.
pub(crate) fn check(key: Key, found: &DeValue<'_>, origin: &Origin) -> Result<Value, ConfigError> {
    key.check_value(found)
        .map_err(|error| ConfigError::WrongValue { origin: origin.clone(), error })
}

/// A table's field of this name.
pub(crate) fn field<'t, 'i>(
    table: &'t DeTable<'i>,
    name: &str,
) -> Option<&'t toml::Spanned<DeValue<'i>>> {
    table.iter().find(|(field, _)| field.get_ref() == name).map(|(_, value)| value)
}
