//! The value of a setting: what it may be, and what it is.

use std::fmt;

use toml::de::DeValue;

use crate::algorithms::quoted;
use crate::factor_kinds::{FactorKinds, FactorKindsError};
use crate::keys::{Key, shown};

/// A checked value of a setting.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Value {
    /// One of the names that the key allows.
    Choice(&'static str),
    /// A truth value.
    Bool(bool),
    /// A number in the key's range.
    Integer(u64),
    /// Some of the names that the key allows.
    Set(FactorKinds),
}

/// The values that a key allows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// One of these names.
    Choice(&'static [&'static str]),
    /// `true` or `false`.
    Bool,
    /// A whole number, both ends included.
    Integer {
        /// The smallest.
        min: u64,
        /// The largest.
        max: u64,
    },
    /// Any of these names, or none. They are those of [`crate::FactorKind`].
    Set(&'static [&'static str]),
}

/// Why something is no value of a key.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ValueError {
    /// Of the wrong type or out of range.
    #[error("{key} is {found}, and must be {}", .key.spec().kind)]
    Wrong {
        /// The setting.
        key: Key,
        /// What was written.
        found: String,
    },
    /// A list with an unknown name, or with one twice.
    #[error("{key}: {problem}")]
    Set {
        /// The setting.
        key: Key,
        /// What is wrong with the list.
        problem: FactorKindsError,
    },
}

impl Kind {
    /// The value that `text` is, as on a command line, where a list is written `password,tpm`.
    /// [`Key::parse_value`] also says what is wrong.
    #[must_use]
    pub fn parse(&self, text: &str) -> Option<Value> {
        match self {
            Self::Choice(names) => choose(names, text),
            Self::Bool => text.parse().ok().map(Value::Bool),
            Self::Integer { .. } => text.parse().ok().and_then(|number| self.count(number)),
            Self::Set(_) => text.parse().ok().map(Value::Set),
        }
    }

    fn count(&self, number: u64) -> Option<Value> {
        match *self {
            Self::Integer { min, max } => {
                (min..=max).contains(&number).then_some(Value::Integer(number))
            }
            Self::Choice(_) | Self::Bool | Self::Set(_) => None,
        }
    }
}

fn choose(names: &[&'static str], text: &str) -> Option<Value> {
    names.iter().find(|name| **name == text).map(|name| Value::Choice(name))
}

impl Key {
    /// The value of this key that `text` is, as on a command line: `password,tpm` is a list.
    ///
    /// # Errors
    /// [`ValueError`], which says what was expected.
    pub fn parse_value(self, text: &str) -> Result<Value, ValueError> {
        match self.spec().kind {
            Kind::Set(_) => text
                .parse()
                .map(Value::Set)
                .map_err(|problem| ValueError::Set { key: self, problem }),
            kind => kind.parse(text).ok_or_else(|| self.wrong(shown(text))),
        }
    }

    /// The value of this key that a file gives.
    pub(crate) fn check_value(self, found: &DeValue<'_>) -> Result<Value, ValueError> {
        let kind = self.spec().kind;
        let value = match (found, kind) {
            (DeValue::String(text), Kind::Choice(names)) => choose(names, text),
            (DeValue::Boolean(value), Kind::Bool) => Some(Value::Bool(*value)),
            (DeValue::Integer(number), _) => u64::from_str_radix(number.as_str(), number.radix())
                .ok()
                .and_then(|number| kind.count(number)),
            (DeValue::Array(list), Kind::Set(_)) => {
                return self.check_list(list.iter().map(toml::Spanned::get_ref));
            }
            _ => None,
        };
        value.ok_or_else(|| self.wrong(describe(found)))
    }

    fn check_list<'d, 'i: 'd>(
        self,
        list: impl Iterator<Item = &'d DeValue<'i>>,
    ) -> Result<Value, ValueError> {
        let mut set = FactorKinds::EMPTY;
        for found in list {
            let DeValue::String(name) = found else {
                return Err(self.wrong(format!("a list with {} in it", describe(found))));
            };
            set.insert_name(name).map_err(|problem| ValueError::Set { key: self, problem })?;
        }
        Ok(Value::Set(set))
    }

    fn wrong(self, found: String) -> ValueError {
        ValueError::Wrong { key: self, found }
    }
}

/// What a file holds, for an error text.
pub(crate) fn describe(found: &DeValue<'_>) -> String {
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

/// What a value must be, as an error text says it.
impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Choice(names) => write!(f, "one of {}", quoted(names)),
            Self::Bool => f.write_str("true or false"),
            Self::Integer { min, max } => write!(f, "a whole number from {min} to {max}"),
            Self::Set(names) => write!(f, "a list of any of {}", quoted(names)),
        }
    }
}

/// As TOML.
impl fmt::Display for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Choice(name) => write!(f, "\"{name}\""),
            Self::Bool(value) => write!(f, "{value}"),
            Self::Integer(number) => write!(f, "{number}"),
            Self::Set(kinds) => write!(f, "[{}]", quoted(&kinds.names())),
        }
    }
}
