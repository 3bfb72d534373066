//! The types of what users name. A value of one of them has passed its check.

use std::fmt;
use std::str::FromStr;

use serde::de::{Deserialize, Deserializer, Error as _};
use serde::ser::{Serialize, Serializer};

/// The largest value that a secret may have.
pub const MAX_SECRET_VALUE_BYTES: usize = 65_536;

/// The text is no name of its type.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a valid {what} is {rule}")]
pub struct NameError {
    /// What would have been named.
    pub what: &'static str,
    /// What its names look like.
    pub rule: &'static str,
}

macro_rules! name_type {
    ($(#[$meta:meta])* $type:ident, $what:literal, $rule:expr, $check:path) => {
        $(#[$meta])*
        #[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $type(String);

        impl $type {
            /// The name.
            #[must_use]
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl TryFrom<&str> for $type {
            type Error = NameError;

            fn try_from(text: &str) -> Result<Self, Self::Error> {
                if $check(text) {
                    Ok(Self(text.to_owned()))
                } else {
                    Err(NameError { what: $what, rule: $rule })
                }
            }
        }

        impl FromStr for $type {
            type Err = NameError;

            fn from_str(text: &str) -> Result<Self, Self::Err> {
                Self::try_from(text)
            }
        }

        impl fmt::Display for $type {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.pad(&self.0)
            }
        }

        impl AsRef<str> for $type {
            fn as_ref(&self) -> &str {
                &self.0
            }
        }

        impl Serialize for $type {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.serialize_str(&self.0)
            }
        }

        impl<'de> Deserialize<'de> for $type {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                let text = String::deserialize(deserializer)?;
                Self::try_from(text.as_str()).map_err(D::Error::custom)
            }
        }
    };
}

const SLUG: &str = "1 to 64 of a-z, 0-9 and \"-\", and begins with a letter or a digit";

name_type! {
    /// A profile: one vault, one policy, one master key. Also a file's name.
    ProfileName, "profile name", SLUG, is_slug
}

name_type! {
    /// A peer, in `peers.toml` and in the trail.
    PeerName, "peer name", SLUG, is_slug
}

name_type! {
    /// One of cicada's identities. Also a file's name.
    IdentityName, "identity name",
    "1 to 64 of a-z, 0-9, \"-\", \"_\" and \".\", and begins with a letter or a digit", is_identity_name
}

name_type! {
    /// An organisation, as a reverse domain name or a simple word.
    OrgNamespace, "organisation namespace", "1 to 253 of a-z, 0-9, \".\" and \"-\"", is_namespace
}

name_type! {
    /// A secret within a profile. It may be any text that reads as what it is: what is displayed
    /// can't hide, reorder or imitate.
    SecretName, "secret name",
    "1 to 256 bytes of text with no control, invisible or direction-changing character, and no \
     space at its ends", is_secret_name
}

fn is_slug(text: &str) -> bool {
    (1..=64).contains(&text.len())
        && !text.starts_with('-')
        && text.bytes().all(|byte| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'-'))
}

fn is_identity_name(text: &str) -> bool {
    let inner = |byte| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'-' | b'_' | b'.');
    (1..=64).contains(&text.len())
        && text.starts_with(|first: char| first.is_ascii_alphanumeric())
        && text.bytes().all(inner)
}

fn is_namespace(text: &str) -> bool {
    (1..=253).contains(&text.len())
        && text.bytes().all(|byte| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.'))
}

fn is_secret_name(text: &str) -> bool {
    (1..=256).contains(&text.len()) && text.trim() == text && !text.chars().any(deceives)
}

/// Characters that make a display show something other than the text.
fn deceives(char: char) -> bool {
    char.is_control()
        || matches!(char,
            '\u{200b}'..='\u{200f}' // zero-width, and marks of direction
            | '\u{2028}' | '\u{2029}' // separators of lines and paragraphs
            | '\u{202a}'..='\u{202e}' // embeddings and overrides of direction
            | '\u{2066}'..='\u{2069}' // isolates of direction
            | '\u{feff}') // a byte order mark, or a zero-width space
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slugs() {
        for good in ["a", "0", "work", "a-b-", &"x".repeat(64)] {
            assert_eq!(good.parse::<ProfileName>().unwrap().as_ref(), good);
        }
        for bad in ["", "-a", "A", "a_b", "a.b", "../x", "a b", "é", "a\n", &"x".repeat(65)] {
            assert!(bad.parse::<ProfileName>().is_err(), "{bad:?}");
            assert!(bad.parse::<PeerName>().is_err(), "{bad:?}");
        }
    }

    #[test]
    fn identity_names() {
        for good in ["a", "cloud-sync", "host.example", "cloud_sync", &"x".repeat(64)] {
            assert!(good.parse::<IdentityName>().is_ok(), "{good:?}");
        }
        for bad in ["", ".", "..", "-a", "_a", "A", "a/b", "*", "a b", "a\0", &"x".repeat(65)] {
            assert!(bad.parse::<IdentityName>().is_err(), "{bad:?}");
        }
    }

    #[test]
    fn namespaces() {
        for good in ["org.example", "simple", &"x".repeat(253)] {
            assert!(good.parse::<OrgNamespace>().is_ok(), "{good:?}");
        }
        for bad in ["", "Org", "a/b", "a b", &"x".repeat(254)] {
            assert!(bad.parse::<OrgNamespace>().is_err(), "{bad:?}");
        }
    }

    #[test]
    fn secret_names() {
        for good in ["k", "db/password", "Schlüssel für Ägypten", "密钥", &"x".repeat(256)] {
            assert!(good.parse::<SecretName>().is_ok(), "{good:?}");
        }
        for bad in ["", " ", " a", "a ", "a\u{a0}", "a\nb", "a\0b", "\u{7f}", &"é".repeat(129)] {
            assert!(bad.parse::<SecretName>().is_err(), "{bad:?}");
        }
    }

    #[test]
    fn no_character_that_deceives_a_display_is_in_a_secret_name() {
        let (controls, directions) = ([0..=0x1f, 0x7f..=0x9f], [0x202a..=0x202e, 0x2066..=0x2069]);
        let (zero_width, separators) = ([0x200b..=0x200f, 0xfeff..=0xfeff], [0x2028..=0x2029]);
        let ranges = controls.into_iter().chain(directions).chain(zero_width).chain(separators);
        for code in ranges.flatten() {
            let text = format!("a{}b", char::from_u32(code).unwrap());
            assert!(text.parse::<SecretName>().is_err(), "U+{code:04X}");
        }
    }

    #[test]
    fn stored_names_are_checked() {
        #[derive(serde::Deserialize)]
        struct Stored {
            #[allow(dead_code)]
            name: ProfileName,
        }
        assert!(toml::from_str::<Stored>("name = \"ok\"").is_ok());
        let error = toml::from_str::<Stored>("name = \"../x\"").err().unwrap();
        assert!(error.message().starts_with("a valid profile name is 1 to 64 of"), "{error}");
    }
}
