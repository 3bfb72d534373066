//! The fields of a manifest: texts that can be shown and file names that can be trusted with a path.

use std::fmt;

use data_encoding::HEXLOWER;
use serde::{Deserialize, Serialize};

/// The longest salt of dm-verity, in bytes.
const MAX_SALT: usize = 256;

/// Why a text can't be a field.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FieldError {
    /// Empty, too long, or with characters that aren't printable ASCII.
    #[error("a text has 1 to {0} characters of printable ASCII")]
    Text(usize),
    /// Not a file name.
    #[error("a file name has 1 to 255 characters of a-z, A-Z, 0-9 and ._+~- and no dot in front")]
    FileName,
    /// Not a commit.
    #[error("a commit has 40 or 64 hexadecimal digits, in lower case")]
    Commit,
    /// Not a salt.
    #[error("a salt is at most {MAX_SALT} bytes in hexadecimal digits, in lower case")]
    Salt,
}

macro_rules! text_form {
    ($type:ty $(, $generic:tt)*) => {
        impl $(<const $generic: usize>)* TryFrom<String> for $type {
            type Error = FieldError;

            fn try_from(text: String) -> Result<Self, Self::Error> {
                Self::new(text)
            }
        }

        impl $(<const $generic: usize>)* From<$type> for String {
            fn from(field: $type) -> Self {
                field.to_string()
            }
        }

        impl $(<const $generic: usize>)* std::str::FromStr for $type {
            type Err = FieldError;

            fn from_str(text: &str) -> Result<Self, Self::Err> {
                Self::new(text.to_owned())
            }
        }
    };
}

/// 1 to `MAX` characters of printable ASCII, spaces included.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Text<const MAX: usize>(String);

impl<const MAX: usize> Text<MAX> {
    /// Checks a text.
    ///
    /// # Errors
    /// [`FieldError::Text`] for what can't be one.
    pub fn new(text: String) -> Result<Self, FieldError> {
        let is_printable = text.bytes().all(|byte| (b' '..=b'~').contains(&byte));
        if text.is_empty() || text.len() > MAX || !is_printable {
            return Err(FieldError::Text(MAX));
        }
        Ok(Self(text))
    }

    /// The text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl<const MAX: usize> fmt::Display for Text<MAX> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

text_form!(Text<MAX>, MAX);

/// The name of a file in the manifest's own directory.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct FileName(String);

impl FileName {
    /// Checks a name: it can't lead elsewhere, nor be hidden or an option.
    ///
    /// # Errors
    /// [`FieldError::FileName`] for what can't be one.
    pub fn new(name: String) -> Result<Self, FieldError> {
        let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"._+~-".contains(&byte);
        let starts_well = name.starts_with(|c: char| c.is_ascii_alphanumeric());
        if !starts_well || name.len() > 255 || !name.bytes().all(is_plain) {
            return Err(FieldError::FileName);
        }
        Ok(Self(name))
    }

    /// The name.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for FileName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

text_form!(FileName);

/// The name of a commit: SHA-1 or SHA-256, in hexadecimal digits.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Commit(String);

impl Commit {
    /// Checks a name.
    ///
    /// # Errors
    /// [`FieldError::Commit`] for what can't be one.
    pub fn new(name: String) -> Result<Self, FieldError> {
        let is_hex = |byte: u8| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte);
        if ![40, 64].contains(&name.len()) || !name.bytes().all(is_hex) {
            return Err(FieldError::Commit);
        }
        Ok(Self(name))
    }
}

impl fmt::Display for Commit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

text_form!(Commit);

/// The salt of a dm-verity tree.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Salt(Vec<u8>);

impl Salt {
    /// Reads hexadecimal digits.
    ///
    /// # Errors
    /// [`FieldError::Salt`] for what can't be one.
    pub fn new(text: String) -> Result<Self, FieldError> {
        let bytes = HEXLOWER.decode(text.as_bytes()).map_err(|_| FieldError::Salt)?;
        Self::of_bytes(bytes)
    }

    /// Takes the bytes of a salt.
    ///
    /// # Errors
    /// [`FieldError::Salt`] for more than 256.
    pub fn of_bytes(bytes: Vec<u8>) -> Result<Self, FieldError> {
        if bytes.len() > MAX_SALT {
            return Err(FieldError::Salt);
        }
        Ok(Self(bytes))
    }

    /// The bytes.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }
}

impl fmt::Display for Salt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&HEXLOWER.encode(&self.0))
    }
}

text_form!(Salt);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_name_leads_nowhere_else() {
        for name in ["sesame-ceremony_0.1.0.raw", "a", "0.1.0~rc1+x.efi"] {
            assert_eq!(FileName::new(name.to_owned()).unwrap().as_str(), name);
        }
        for name in ["", ".", "..", "../a", "a/b", ".a", "-a", "a b", "a\n", "ä", "a\0"] {
            assert_eq!(FileName::new(name.to_owned()), Err(FieldError::FileName), "{name:?}");
        }
        assert!(FileName::new("a".repeat(256)).is_err());
    }

    #[test]
    fn a_text_moves_no_cursor() {
        assert!(Text::<4>::new("a b~".to_owned()).is_ok());
        for text in ["", "abcde", "\u{1b}[2J", "a\n", "ä", "\u{202e}"] {
            assert_eq!(Text::<4>::new(text.to_owned()), Err(FieldError::Text(4)), "{text:?}");
        }
    }

    #[test]
    fn commits_and_salts_have_one_spelling() {
        assert!(Commit::new("0123456789abcdef0123456789abcdef01234567".to_owned()).is_ok());
        for commit in ["", "0123", "0123456789ABCDEF0123456789abcdef01234567"] {
            assert_eq!(Commit::new(commit.to_owned()), Err(FieldError::Commit));
        }
        assert_eq!(Salt::new("00ff".to_owned()).unwrap().as_bytes(), [0, 255]);
        assert_eq!(Salt::new(String::new()).unwrap().to_string(), "");
        for salt in ["0", "0G", "FF", &"00".repeat(257)] {
            assert_eq!(Salt::new(salt.to_owned()), Err(FieldError::Salt), "{salt}");
        }
    }
}
