//! `policy.toml`: settings that nobody below root can change.

use std::path::Path;

use toml::de::{DeTable, DeValue};

use crate::algorithms::CryptoProfile;
use crate::config::{check, field};
use crate::file::{self, FileError};
use crate::keys::{Key, UnknownKey, Value, shown};
use crate::settings::named;
use crate::site::{ConfigError, Origin};

/// The fields of a `[[policy]]` entry, all of them required.
const FIELDS: [&str; 3] = ["key", "value", "source"];

/// A source is a citation for one line of an error text.
const MAX_SOURCE_CHARS: usize = 256;

/// A setting that is locked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PolicyEntry {
    /// The key.
    pub key: Key,
    /// The value that it is locked to.
    pub value: Value,
    /// Who demands it, for error texts: "NIST SP 800-57", "ceremony of 2026-03-01".
    pub source: String,
}

/// The entries in text that is said to come from `path`, checked each and against each other.
///
/// # Errors
/// [`ConfigError`], with the line.
pub fn parse(text: &str, path: &Path) -> Result<Vec<PolicyEntry>, ConfigError> {
    // A cut-off write leaves an empty file, and an empty policy locks nothing.
    if text.is_empty() {
        return Err(ConfigError::EmptyPolicy { path: path.to_owned() });
    }
    let syntax = |position, message: String| {
        let line = file::line_at(text.as_bytes(), position);
        ConfigError::File(FileError::Syntax { path: path.to_owned(), line, message })
    };
    let mut entries: Vec<PolicyEntry> = Vec::new();
    for (name, content) in file::table(text, path)? {
        let (DeValue::Array(tables), "policy") = (content.get_ref(), name.get_ref().as_ref())
        else {
            let message = format!("{} is not a [[policy]] entry", shown(name.get_ref()));
            return Err(syntax(name.span().start, message));
        };
        for table in tables.iter() {
            let position = table.span().start;
            let DeValue::Table(fields) = table.get_ref() else {
                return Err(syntax(position, "a policy entry is a table".to_owned()));
            };
            let entry = parse_entry(fields, text, path, position, &syntax)?;
            if entries.iter().any(|earlier| earlier.key == entry.key) {
                return Err(syntax(position, format!("a second policy entry for {}", entry.key)));
            }
            entries.push(entry);
        }
    }
    check_consistent(&entries)?;
    Ok(entries)
}

fn parse_entry(
    fields: &DeTable<'_>,
    text: &str,
    path: &Path,
    position: usize,
    syntax: &impl Fn(usize, String) -> ConfigError,
) -> Result<PolicyEntry, ConfigError> {
    if let Some((name, _)) = fields.iter().find(|(name, _)| !FIELDS.contains(&&**name.get_ref())) {
        let message = format!(
            "unknown field {} in a policy entry, which has key, value and source",
            shown(name.get_ref())
        );
        return Err(syntax(name.span().start, message));
    }
    let required = |name| {
        field(fields, name)
            .ok_or_else(|| syntax(position, format!("a policy entry without {name}")))
    };
    let string = |name| {
        let value = required(name)?;
        let text = value.get_ref().as_str();
        text.map(|text| (text, value.span().start)).ok_or_else(|| {
            syntax(value.span().start, format!("the {name} of a policy entry is a string"))
        })
    };
    let at = |position| Origin::File {
        path: path.to_owned(),
        line: file::line_at(text.as_bytes(), position),
    };

    let (key, key_position) = string("key")?;
    let key: Key = key.parse().map_err(|unknown: UnknownKey| ConfigError::UnknownPolicyKey {
        origin: at(key_position),
        unknown,
    })?;
    let value = required("value")?;
    let value = check(key, value.get_ref(), &at(value.span().start))?;
    let (source, source_position) = string("source")?;
    if source.trim().is_empty()
        || source.chars().count() > MAX_SOURCE_CHARS
        || source.chars().any(char::is_control)
    {
        let message = "the source of a policy entry is one line of 1 to 256 characters";
        return Err(syntax(source_position, message.to_owned()));
    }
    Ok(PolicyEntry { key, value, source: source.to_owned() })
}

/// The entry that locks `key`, and to what. An entry for `crypto.profile` locks what it picks.
pub(crate) fn locked(entries: &[PolicyEntry], key: Key) -> Option<(&PolicyEntry, Value)> {
    let direct = entries.iter().find(|entry| entry.key == key).map(|entry| (entry, entry.value));
    direct.or_else(|| {
        let entry = entries.iter().find(|entry| entry.key == Key::CryptoProfile)?;
        Some((entry, key.picked_by(named::<CryptoProfile>(entry.value))?))
    })
}

/// A policy on `crypto.profile` and one on what it picks must agree.
fn check_consistent(entries: &[PolicyEntry]) -> Result<(), ConfigError> {
    let Some(profile) = entries.iter().find(|entry| entry.key == Key::CryptoProfile) else {
        return Ok(());
    };
    for entry in entries {
        let picked = entry.key.picked_by(named::<CryptoProfile>(profile.value));
        if picked.is_some_and(|picked| picked != entry.value) {
            let (profile, entry) = (profile.clone(), entry.clone());
            return Err(ConfigError::PolicyConflict(Box::new((profile, entry))));
        }
    }
    Ok(())
}
