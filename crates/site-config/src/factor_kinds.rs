//! A set of kinds of factors.

use std::fmt;
use std::str::FromStr;

use serde::de::{Deserialize, Deserializer, Error as _, SeqAccess, Visitor};
use serde::ser::{Serialize, Serializer};

use crate::algorithms::{FactorKind, quoted};
use crate::keys::shown;
use crate::nearest::nearest_name;

/// A set of [`FactorKind`]s, in their order.
///
/// As text it is their names with a comma between: `password, tpm`, and nothing for no kind.
/// Serialised it is the list of their names, in which none may stand twice.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct FactorKinds(u8);

const _: () = assert!(FactorKind::ALL.len() <= u8::BITS as usize, "each kind has a bit");

impl FactorKinds {
    /// No kind.
    pub const EMPTY: Self = Self(0);

    /// Adds `kind`, and says whether that was new.
    pub const fn insert(&mut self, kind: FactorKind) -> bool {
        let new = !self.contains(kind);
        self.0 |= 1 << kind as u8;
        new
    }

    /// Whether `kind` is one of them.
    #[must_use]
    pub const fn contains(self, kind: FactorKind) -> bool {
        self.0 & 1 << kind as u8 != 0
    }

    /// Whether there is none.
    #[must_use]
    pub const fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// How many there are.
    #[must_use]
    pub const fn len(self) -> usize {
        self.0.count_ones() as usize
    }

    /// The kinds, in the order of [`FactorKind::ALL`].
    pub fn iter(self) -> impl Iterator<Item = FactorKind> {
        FactorKind::ALL.iter().copied().filter(move |kind| self.contains(*kind))
    }

    /// Their names, in the same order.
    pub(crate) fn names(self) -> Vec<&'static str> {
        self.iter().map(FactorKind::as_str).collect()
    }

    /// Adds the kind of this name, as a list in a file gives one after the other.
    pub(crate) fn insert_name(&mut self, name: &str) -> Result<(), FactorKindsError> {
        let kind: FactorKind = name.parse().map_err(|_| FactorKindsError::unknown(name))?;
        if self.insert(kind) { Ok(()) } else { Err(FactorKindsError::Repeated(kind)) }
    }
}

/// Why names are no set of kinds.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FactorKindsError {
    /// There is no such kind.
    #[error(
        "{} is no kind of factor; the kinds are {}{}",
        shown(.name), quoted(FactorKind::NAMES), suggestion(.nearest)
    )]
    Unknown {
        /// The name as it was written.
        name: String,
        /// The kind that was probably meant.
        nearest: Option<FactorKind>,
    },
    /// Somebody who writes a kind twice may expect two factors of it to be needed.
    #[error(
        "\"{0}\" stands there twice, and one of each kind is all that can be required; remove one"
    )]
    Repeated(
        /// The kind.
        FactorKind,
    ),
}

impl FactorKindsError {
    fn unknown(name: &str) -> Self {
        let nearest = nearest_name(name, FactorKind::NAMES).and_then(|name| name.parse().ok());
        Self::Unknown { name: name.to_owned(), nearest }
    }
}

fn suggestion(nearest: &Option<FactorKind>) -> String {
    nearest.map_or_else(String::new, |kind| format!("; did you mean \"{kind}\"?"))
}

impl FromIterator<FactorKind> for FactorKinds {
    fn from_iter<I: IntoIterator<Item = FactorKind>>(kinds: I) -> Self {
        let mut set = Self::EMPTY;
        for kind in kinds {
            set.insert(kind);
        }
        set
    }
}

impl fmt::Display for FactorKinds {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.names().join(", "))
    }
}

impl FromStr for FactorKinds {
    type Err = FactorKindsError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let mut set = Self::EMPTY;
        if text.trim().is_empty() {
            return Ok(set);
        }
        for name in text.split(',') {
            set.insert_name(name.trim())?;
        }
        Ok(set)
    }
}

impl Serialize for FactorKinds {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        // Collected, because some formats want the length first.
        serializer.collect_seq(self.names())
    }
}

impl<'de> Deserialize<'de> for FactorKinds {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_seq(Names)
    }
}

/// Takes one name after the other: a list of any length costs no memory.
struct Names;

impl<'de> Visitor<'de> for Names {
    type Value = FactorKinds;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a list of kinds of factors")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut names: A) -> Result<FactorKinds, A::Error> {
        let mut set = FactorKinds::EMPTY;
        while let Some(name) = names.next_element::<String>()? {
            set.insert_name(&name).map_err(A::Error::custom)?;
        }
        Ok(set)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn kinds(text: &str) -> Result<FactorKinds, FactorKindsError> {
        text.parse()
    }

    #[test]
    fn a_set_holds_what_was_put_in_and_nothing_else() {
        assert!(FactorKinds::EMPTY.is_empty());
        for kind in FactorKind::ALL {
            let one = FactorKinds::from_iter([*kind]);
            assert_eq!((one.len(), one.is_empty()), (1, false));
            for other in FactorKind::ALL {
                assert_eq!(one.contains(*other), kind == other, "{kind} {other}");
            }
        }
        let all: FactorKinds = FactorKind::ALL.iter().copied().collect();
        assert_eq!(all.iter().collect::<Vec<_>>(), FactorKind::ALL);
    }

    #[test]
    fn the_order_is_that_of_the_kinds_whatever_was_written() {
        let set = kinds("tpm,password").unwrap();
        assert_eq!(set.to_string(), "password, tpm");
        assert_eq!(set, kinds(" password , tpm ").unwrap());
        assert_eq!(kinds("").unwrap(), FactorKinds::EMPTY);
        assert_eq!(FactorKinds::EMPTY.to_string(), "");
    }

    #[test]
    fn a_kind_that_stands_twice_is_refused() {
        assert_eq!(kinds("tpm,password,tpm"), Err(FactorKindsError::Repeated(FactorKind::Tpm)));
    }

    #[test]
    fn an_unknown_name_is_refused_with_the_names_and_the_nearest() {
        let error = kinds("password,yubi-key").unwrap_err();
        assert_eq!(
            error.to_string(),
            "\"yubi-key\" is no kind of factor; the kinds are \"password\", \"ssh-agent\", \"tpm\", \
             \"fido2\", \"yubikey\", \"share\"; did you mean \"yubikey\"?"
        );
        for (text, meant) in [
            ("pasword", Some(FactorKind::Password)),
            ("TPM", Some(FactorKind::Tpm)),
            ("ssh_agent", Some(FactorKind::SshAgent)),
            ("shares", Some(FactorKind::Share)),
            ("retina", None),
            ("password,", None),
        ] {
            let Err(FactorKindsError::Unknown { nearest, .. }) = kinds(text) else {
                panic!("{text} is taken")
            };
            assert_eq!(nearest, meant, "{text}");
        }
    }

    #[derive(Debug, PartialEq, serde::Serialize, serde::Deserialize)]
    struct Stored {
        kinds: FactorKinds,
    }

    #[test]
    fn it_is_stored_as_a_list_of_names_each_once() {
        let stored = Stored { kinds: kinds("tpm,password").unwrap() };
        let text = toml::to_string(&stored).unwrap();
        assert_eq!(text, "kinds = [\"password\", \"tpm\"]\n");
        assert_eq!(toml::from_str::<Stored>(&text).unwrap(), stored);
        for (bad, message) in [
            ("kinds = [\"tpm\", \"tpm\"]", "twice"),
            ("kinds = [\"tmp\"]", "did you mean \"tpm\"?"),
            ("kinds = [1]", "expected a string"),
            ("kinds = \"tpm\"", "expected a list of kinds of factors"),
        ] {
            let error = toml::from_str::<Stored>(bad).unwrap_err();
            assert!(error.message().contains(message), "{bad}: {error}");
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig {
            failure_persistence: None,
            ..ProptestConfig::default()
        })]

        #[test]
        fn every_set_reads_back_from_its_text_and_its_list(bits in 0..64_u8) {
            let chosen = |kind: &FactorKind| bits >> *kind as u8 & 1 == 1;
            let set: FactorKinds = FactorKind::ALL.iter().copied().filter(chosen).collect();
            prop_assert_eq!(set.to_string().parse(), Ok(set));
            let stored = Stored { kinds: set };
            let text = toml::to_string(&stored).unwrap();
            prop_assert_eq!(toml::from_str::<Stored>(&text).unwrap(), stored);
        }
    }
}
