//! `config.toml`: settings as TOML sections.

use std::path::Path;

use toml::de::{DeTable, DeValue};

use crate::file;
use crate::keys::{Key, Kind, UnknownKey, Value, shown};
use crate::site::{ConfigError, Origin};

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
    let origin = |position| Origin::File {
        path: path.to_owned(),
        line: file::line_at(text.as_bytes(), position),
    };
    let unknown = |key, position| ConfigError::UnknownKey {
        origin: origin(position),
        unknown: UnknownKey::new(key),
    };
    let mut assignments = Vec::new();
    for (section, content) in file::table(text, path)? {
        let DeValue::Table(entries) = content.get_ref() else {
            return Err(unknown(section.get_ref().to_string(), section.span().start));
        };
        // Reported even when empty: a section that nothing reads is a typo.
        if !is_section(section.get_ref()) && entries.is_empty() {
            return Err(unknown(section.get_ref().to_string(), section.span().start));
        }
        for (name, found) in entries {
            let position = name.span().start;
            // The two parts are looked up apart: `"crypto.kdf" = …` must not be a second spelling.
            let key = Key::find(section.get_ref(), name.get_ref()).ok_or_else(|| {
                unknown(format!("{}.{}", section.get_ref(), name.get_ref()), position)
            })?;
            let origin = origin(position);
            let value = check(key, found.get_ref(), &origin)?;
            assignments.push(Assignment { key, value, origin });
        }
    }
    Ok(assignments)
}

/// A setting given on the command line.
pub(crate) fn parse_override(key: &str, text: &str) -> Result<Assignment, ConfigError> {
    let origin = Origin::CommandLine;
    let key: Key = match key.parse() {
        Ok(key) => key,
        Err(unknown) => return Err(ConfigError::UnknownKey { origin, unknown }),
    };
    match key.spec().kind.parse(text) {
        Some(value) => Ok(Assignment { key, value, origin }),
        None => Err(ConfigError::WrongValue { origin, key, found: shown(text) }),
    }
}

/// The value of `key` that `found` is.
pub(crate) fn check(key: Key, found: &DeValue<'_>, origin: &Origin) -> Result<Value, ConfigError> {
    let kind = &key.spec().kind;
    let value = match (found, kind) {
        (DeValue::String(text), _) => kind.choose(text),
        (DeValue::Boolean(value), Kind::Bool) => Some(Value::Bool(*value)),
        (DeValue::Integer(number), _) => u64::from_str_radix(number.as_str(), number.radix())
            .ok()
            .and_then(|number| kind.count(number)),
        _ => None,
    };
    value.ok_or_else(|| ConfigError::WrongValue {
        origin: origin.clone(),
        key,
        found: describe(found),
    })
}

fn describe(found: &DeValue<'_>) -> String {
    match found {
        DeValue::String(text) => shown(text),
        DeValue::Integer(number) => number.to_string(),
        DeValue::Float(number) => number.to_string(),
        DeValue::Boolean(value) => value.to_string(),
        DeValue::Datetime(_) => "a date".to_owned(),
        DeValue::Array(_) => "a list".to_owned(),
        DeValue::Table(_) => "a table".to_owned(),
    }
}

fn is_section(name: &str) -> bool {
    Key::all().any(|key| key.spec().section == name)
}

/// A table's field of this name.
pub(crate) fn field<'t, 'i>(
    table: &'t DeTable<'i>,
    name: &str,
) -> Option<&'t toml::Spanned<DeValue<'i>>> {
    table.iter().find(|(field, _)| field.get_ref() == name).map(|(_, value)| value)
}
