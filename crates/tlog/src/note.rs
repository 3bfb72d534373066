//! A text with signatures below it: C2SP signed-note.

use std::fmt;
use std::str::FromStr;

use crate::encoding::{from_base64, to_base64};
use crate::name::{KeyId, KeyName, KeyNameError};

/// The longest note, in bytes. Some 60 ML-DSA-44 signatures fit; what is longer is no note of ours,
/// and we would hold it in memory before a signature says that it is worth it.
pub const MAX_NOTE: usize = 256 << 10;

/// The most signatures. C2SP asks for 16 at least; this is 32 hybrid signers.
pub const MAX_SIGNATURES: usize = 64;

/// Begins the line of a signature: an em dash and a space.
const SIGNATURE_START: &str = "\u{2014} ";

/// A line below a note: somebody's signature, of a key that we may not know.
#[derive(Clone, PartialEq, Eq)]
pub struct Signature {
    name: KeyName,
    id: KeyId,
    bytes: Vec<u8>,
}

/// A note: a text and its signatures, none of them checked.
///
/// A note that was read is written back byte by byte.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Note {
    text: String,
    signatures: Vec<Signature>,
}

/// Why some bytes are not a signed note.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NoteError {
    /// Longer than [`MAX_NOTE`].
    #[error("the note is longer than {MAX_NOTE} bytes")]
    TooLong,
    /// No text in UTF-8.
    #[error("the note is not in UTF-8")]
    Utf8,
    /// A control character other than a newline; a carriage return is one.
    #[error("the note has a control character, such as a carriage return")]
    ControlCharacter,
    /// No text that ends in a newline, or no empty line after it.
    #[error("the note has no empty line between its text and its signatures")]
    NoEmptyLine,
    /// Nothing below the empty line.
    #[error("the note has no signature")]
    NoSignature,
    /// More than [`MAX_SIGNATURES`].
    #[error("the note has more than {MAX_SIGNATURES} signatures")]
    TooManySignatures,
    /// A line that isn't a dash, a name and a signature.
    #[error("a line below the note is not a signature")]
    SignatureLine,
    /// The name in such a line.
    #[error("a signature has a name that is not one: {0}")]
    SignatureName(KeyNameError),
    /// Not base64 in its canonical form, or too short for a key id and a signature.
    #[error("a signature is not an id and a signature in canonical base64")]
    SignatureBytes,
}

impl Signature {
    /// A signature from its parts; `None` for one of no bytes.
    #[must_use]
    pub fn new(name: KeyName, id: KeyId, bytes: Vec<u8>) -> Option<Self> {
        (!bytes.is_empty()).then_some(Self { name, id, bytes })
    }

    /// Whose signature it claims to be.
    #[must_use]
    pub fn name(&self) -> &KeyName {
        &self.name
    }

    /// The id of the key that it claims to be from.
    #[must_use]
    pub fn id(&self) -> KeyId {
        self.id
    }

    /// The signature without the id; what it consists of depends on the key.
    #[must_use]
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }
}

impl FromStr for Signature {
    type Err = NoteError;

    /// Reads a line, without the newline.
    fn from_str(line: &str) -> Result<Self, Self::Err> {
        let line = line.strip_prefix(SIGNATURE_START).ok_or(NoteError::SignatureLine)?;
        let (name, bytes) = line.split_once(' ').ok_or(NoteError::SignatureLine)?;
        let name = KeyName::try_from(name).map_err(NoteError::SignatureName)?;
        let bytes = from_base64(bytes).ok_or(NoteError::SignatureBytes)?;
        let (id, bytes) = bytes.split_first_chunk().ok_or(NoteError::SignatureBytes)?;
        Self::new(name, KeyId(*id), bytes.to_vec()).ok_or(NoteError::SignatureBytes)
    }
}

impl fmt::Display for Signature {
    /// The line, without the newline.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let bytes = [&self.id.0, self.bytes.as_slice()].concat();
        write!(f, "{SIGNATURE_START}{} {}", self.name, to_base64(&bytes))
    }
}

impl fmt::Debug for Signature {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Signature({}+{}, {} bytes)", self.name, self.id, self.bytes.len())
    }
}

impl Note {
    /// Reads a note.
    ///
    /// # Errors
    /// [`NoteError`]; bytes of any length and content are safe to pass.
    pub fn parse(bytes: &[u8]) -> Result<Self, NoteError> {
        if bytes.len() > MAX_NOTE {
            return Err(NoteError::TooLong);
        }
        let note = std::str::from_utf8(bytes).map_err(|_| NoteError::Utf8)?;
        if note.bytes().any(|byte| byte < b' ' && byte != b'\n') {
            return Err(NoteError::ControlCharacter);
        }
        // The last empty line: a text may have some of its own.
        let end = note.rfind("\n\n").ok_or(NoteError::NoEmptyLine)? + 1;
        let (text, below) = (&note[..end], &note[end + 1..]);
        let lines = below.strip_suffix('\n').ok_or(match below {
            "" => NoteError::NoSignature,
            _ => NoteError::SignatureLine,
        })?;
        if lines.split('\n').count() > MAX_SIGNATURES {
            return Err(NoteError::TooManySignatures);
        }
        let signatures = lines.split('\n').map(str::parse).collect::<Result<_, _>>()?;
        Ok(Self { text: text.to_owned(), signatures })
    }

    /// What is signed, with the newline at its end. To be ignored until a signature is verified.
    #[must_use]
    pub fn text(&self) -> &str {
        &self.text
    }

    /// The signatures, in their order; one at least.
    #[must_use]
    pub fn signatures(&self) -> &[Signature] {
        &self.signatures
    }

    /// The text and the signatures.
    #[must_use]
    pub fn into_parts(self) -> (String, Vec<Signature>) {
        (self.text, self.signatures)
    }
}

impl fmt::Display for Note {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write_note(f, &self.text, &self.signatures)
    }
}

/// Writes a note of these parts.
pub(crate) fn write_note(
    f: &mut fmt::Formatter<'_>,
    text: &str,
    signatures: &[Signature],
) -> fmt::Result {
    writeln!(f, "{text}")?;
    signatures.iter().try_for_each(|signature| writeln!(f, "{signature}"))
}
