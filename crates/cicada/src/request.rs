//! Requests: from one JSON object to a checked type.

use std::borrow::Cow;
use std::fmt;
use std::time::Duration;

use data_encoding::BASE64;
use identity_keys::{Ciphertext, EncapsulationKey};
use secret_memory::{Secret, SecretBytes, with_clean_stack};
use serde::Deserialize;
use serde::de::{Deserializer, Visitor};
use site_config::CicadaOperation as Operation;
use site_config::cicada::grace;
use site_config::names::IdentityName;

use crate::error::{Code, Refused};

/// A request that makes sense; whether it is allowed is another matter.
#[expect(missing_docs, reason = "README has the protocol, field by field")]
pub enum Request {
    GetKey { identity: IdentityName, version: Option<u32> },
    Sign { identity: IdentityName, data: Vec<u8> },
    PublicKey { identity: IdentityName, version: Option<u32>, wireguard: bool },
    Encapsulate { identity: IdentityName, to: Option<Box<EncapsulationKey>> },
    Decapsulate { identity: IdentityName, version: Option<u32>, ciphertext: Box<Ciphertext> },
    Identities,
    Status,
    Init { unlock_key: Secret<32> },
    Unlock { unlock_key: Secret<32> },
    Lock,
    Create { identity: IdentityName },
    Rotate { identity: IdentityName, grace: Option<Duration> },
    Revoke { identity: IdentityName },
    Backup { identity: IdentityName },
    Restore { backup: Vec<u8>, unlock_key: Option<Secret<32>> },
}

impl Request {
    /// Parses one JSON object.
    ///
    /// # Errors
    /// [`Code::BadRequest`] and [`Code::Unsupported`]; the message never has a value of the request.
    pub fn parse(bytes: &[u8]) -> Result<Self, Refused> {
        // serde reads a list as a struct too.
        if !bytes.trim_ascii_start().starts_with(b"{") {
            return Err(bad("a request is one JSON object"));
        }
        let mut fields: Fields<'_> =
            serde_json::from_slice(bytes).map_err(|error| explain(&error))?;
        let request = fields.take_request()?;
        match fields.first_left() {
            None => Ok(request),
            Some(left) => {
                let operation = request.operation();
                Err(bad(format!("{operation} takes no {left}")))
            }
        }
    }

    /// Which operation it asks for.
    #[must_use]
    pub fn operation(&self) -> Operation {
        match self {
            Self::GetKey { .. } => Operation::GetKey,
            Self::Sign { .. } => Operation::Sign,
            Self::PublicKey { .. } => Operation::PublicKey,
            Self::Encapsulate { .. } => Operation::Encapsulate,
            Self::Decapsulate { .. } => Operation::Decapsulate,
            Self::Identities => Operation::Identities,
            Self::Status => Operation::Status,
            Self::Init { .. } => Operation::Init,
            Self::Unlock { .. } => Operation::Unlock,
            Self::Lock => Operation::Lock,
            Self::Create { .. } => Operation::Create,
            Self::Rotate { .. } => Operation::Rotate,
            Self::Revoke { .. } => Operation::Revoke,
            Self::Backup { .. } => Operation::Backup,
            Self::Restore { .. } => Operation::Restore,
        }
    }

    /// The identity that it names. A backup names its own, inside.
    #[must_use]
    pub fn identity(&self) -> Option<&IdentityName> {
        match self {
            Self::GetKey { identity, .. }
            | Self::Sign { identity, .. }
            | Self::PublicKey { identity, .. }
            | Self::Encapsulate { identity, .. }
            | Self::Decapsulate { identity, .. }
            | Self::Create { identity }
            | Self::Rotate { identity, .. }
            | Self::Revoke { identity }
            | Self::Backup { identity } => Some(identity),
            Self::Identities
            | Self::Status
            | Self::Init { .. }
            | Self::Unlock { .. }
            | Self::Lock
            | Self::Restore { .. } => None,
        }
    }
}

/// Everything that a request can have. A field that an operation doesn't take is left over.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Fields<'a> {
    #[serde(borrow)]
    op: Text<'a>,
    identity: Option<Text<'a>>,
    format: Option<Text<'a>>,
    data: Option<Text<'a>>,
    algorithm: Option<Text<'a>>,
    version: Option<u32>,
    public_key: Option<Text<'a>>,
    ciphertext: Option<Text<'a>>,
    unlock_key: Option<Text<'a>>,
    grace_seconds: Option<u64>,
    backup: Option<Text<'a>>,
}

impl Fields<'_> {
    fn take_request(&mut self) -> Result<Request, Refused> {
        let operation: Operation = self.op.0.parse().map_err(|_| bad("there is no such op"))?;
        Ok(match operation {
            Operation::GetKey => {
                self.take_format()?;
                Request::GetKey { identity: self.take_identity()?, version: self.version.take() }
            }
            Operation::Sign => {
                self.take_algorithm(&["dilithium3", "ML-DSA-65"])?;
                let data = self.data.take().ok_or_else(|| bad("data is missing"))?;
                Request::Sign { identity: self.take_identity()?, data: decode("data", &data)? }
            }
            Operation::PublicKey => Request::PublicKey {
                wireguard: self.take_format()?,
                identity: self.take_identity()?,
                version: self.version.take(),
            },
            Operation::Encapsulate => {
                self.take_algorithm(&["kyber768", "ML-KEM-768"])?;
                let to = self.public_key.take();
                let to = to.map(|text| fixed("public_key", &text)).transpose()?;
                Request::Encapsulate { identity: self.take_identity()?, to }
            }
            Operation::Decapsulate => {
                self.take_algorithm(&["kyber768", "ML-KEM-768"])?;
                let text = self.ciphertext.take().ok_or_else(|| bad("ciphertext is missing"))?;
                let ciphertext = fixed("ciphertext", &text)?;
                let version = self.version.take();
                Request::Decapsulate { identity: self.take_identity()?, version, ciphertext }
            }
            Operation::Identities => Request::Identities,
            Operation::Status => Request::Status,
            Operation::Init => Request::Init { unlock_key: self.take_unlock_key()? },
            Operation::Unlock => Request::Unlock { unlock_key: self.take_unlock_key()? },
            Operation::Lock => Request::Lock,
            Operation::Create => Request::Create { identity: self.take_identity()? },
            Operation::Rotate => {
                let seconds = self.grace_seconds.take();
                let too_long = || bad("grace_seconds is at most 315360000, ten years");
                let grace = seconds.map(|s| grace(s).ok_or_else(too_long)).transpose()?;
                Request::Rotate { identity: self.take_identity()?, grace }
            }
            Operation::Revoke => Request::Revoke { identity: self.take_identity()? },
            Operation::Backup => Request::Backup { identity: self.take_identity()? },
            Operation::Restore => {
                let backup = self.backup.take().ok_or_else(|| bad("backup is missing"))?;
                let unlock_key = match self.unlock_key {
                    Some(_) => Some(self.take_unlock_key()?),
                    None => None,
                };
                Request::Restore { backup: decode("backup", &backup)?, unlock_key }
            }
        })
    }

    fn take_identity(&mut self) -> Result<IdentityName, Refused> {
        let text = self.identity.take().ok_or_else(|| bad("identity is missing"))?;
        IdentityName::try_from(&*text.0).map_err(|error| bad(error.to_string()))
    }

    /// Whether the format is WireGuard's, the only one there is.
    fn take_format(&mut self) -> Result<bool, Refused> {
        match self.format.take() {
            None => Ok(false),
            Some(text) if text.0 == "wg" => Ok(true),
            Some(_) => Err(Refused::new(Code::Unsupported, "the only format is \"wg\"")),
        }
    }

    fn take_algorithm(&mut self, names: &[&str; 2]) -> Result<(), Refused> {
        match self.algorithm.take() {
            Some(text) if !names.contains(&&*text.0) => {
                let text = format!("the only algorithm is {}, also called {}", names[1], names[0]);
                Err(Refused::new(Code::Unsupported, text))
            }
            _ => Ok(()),
        }
    }

    fn take_unlock_key(&mut self) -> Result<Secret<32>, Refused> {
        let text = self.unlock_key.take().ok_or_else(|| bad("unlock_key is missing"))?;
        let wrong = || bad("unlock_key is not the base64 of 32 bytes");
        if is_padded_inside(&text.0) {
            return Err(wrong());
        }
        let length = BASE64.decode_len(text.0.len()).map_err(|_| wrong())?;
        let mut decoded = SecretBytes::zeroed(length).map_err(|_| Refused::out_of_memory())?;
        let written =
            with_clean_stack(|| BASE64.decode_mut(text.0.as_bytes(), decoded.expose_mut()));
        decoded.truncate(written.map_err(|_| wrong())?);
        let key: &[u8; 32] = decoded.expose().try_into().map_err(|_| wrong())?;
        Ok(Secret::copy_of(key))
    }

    fn first_left(&self) -> Option<&'static str> {
        let left = [
            ("identity", self.identity.is_some()),
            ("format", self.format.is_some()),
            ("data", self.data.is_some()),
            ("algorithm", self.algorithm.is_some()),
            ("version", self.version.is_some()),
            ("public_key", self.public_key.is_some()),
            ("ciphertext", self.ciphertext.is_some()),
            ("unlock_key", self.unlock_key.is_some()),
            ("grace_seconds", self.grace_seconds.is_some()),
            ("backup", self.backup.is_some()),
        ];
        left.iter().find(|(_, is_left)| *is_left).map(|(name, _)| *name)
    }
}

/// A string, borrowed from the request unless it is written with escapes.
struct Text<'a>(Cow<'a, str>);

impl<'de: 'a, 'a> Deserialize<'de> for Text<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct TextVisitor;

        impl<'de> Visitor<'de> for TextVisitor {
            type Value = Text<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a string")
            }

            fn visit_borrowed_str<E: serde::de::Error>(
                self,
                text: &'de str,
            ) -> Result<Text<'de>, E> {
                Ok(Text(Cow::Borrowed(text)))
            }

            fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<Text<'de>, E> {
                Ok(Text(Cow::Owned(text.to_owned())))
            }
        }

        deserializer.deserialize_str(TextVisitor)
    }
}

fn decode(what: &str, text: &Text<'_>) -> Result<Vec<u8>, Refused> {
    let wrong = || bad(format!("{what} is not base64 (RFC 4648, padded)"));
    if is_padded_inside(&text.0) {
        return Err(wrong());
    }
    BASE64.decode(text.0.as_bytes()).map_err(|_| wrong())
}

/// data-encoding takes several padded texts in a row for one (RFC 4648 §3.3 does not).
fn is_padded_inside(text: &str) -> bool {
    text.trim_end_matches('=').contains('=')
}

fn fixed<const N: usize>(what: &str, text: &Text<'_>) -> Result<Box<[u8; N]>, Refused> {
    let bytes = decode(what, text)?.into_boxed_slice();
    bytes.try_into().map_err(|_| bad(format!("{what} is not the base64 of {N} bytes")))
}

fn bad(message: impl Into<String>) -> Refused {
    Refused::new(Code::BadRequest, message)
}

/// What was wrong with the JSON, without a value: serde quotes what it didn't expect, and that may be
/// a key in the wrong place.
fn explain(error: &serde_json::Error) -> Refused {
    let text = error.to_string();
    let known = ["duplicate field", "missing field", "unknown field"];
    let message = match known.iter().find(|start| text.starts_with(**start)) {
        // serde quotes the name of the field in backticks; of ours it knows how long they are.
        Some(start @ (&"duplicate field" | &"missing field")) => {
            let name = text.split('`').nth(1).unwrap_or_default();
            format!("{start} {name:?}")
        }
        Some(start) => format!("{start} at column {}", error.column()),
        None => format!("not the JSON of a request, at column {}", error.column()),
    };
    bad(message)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn refused(text: &str) -> Refused {
        match Request::parse(text.as_bytes()) {
            Ok(request) => panic!("{text} became {}", request.operation()),
            Err(refused) => refused,
        }
    }

    #[test]
    fn requests_that_programs_have_always_sent_are_understood() {
        let request = br#"{"op":"get_key","identity":"cloud-sync","format":"wg"}"#;
        let Ok(Request::GetKey { identity, version: None }) = Request::parse(request) else {
            panic!("get_key")
        };
        assert_eq!(identity.as_str(), "cloud-sync");
        let request = br#"{"op":"sign","identity":"cloud-sync","data":"YWJj"}"#;
        let Ok(Request::Sign { data, .. }) = Request::parse(request) else { panic!("sign") };
        assert_eq!(data, b"abc");
        // Some writers of JSON escape every slash.
        let request = br#"{"op":"sign","identity":"cloud-sync","data":"\/\/\/\/"}"#;
        let Ok(Request::Sign { data, .. }) = Request::parse(request) else { panic!("sign") };
        assert_eq!(data, [0xff; 3]);
    }

    #[test]
    fn algorithms_go_by_their_old_names_and_by_those_of_fips() {
        for (op, names) in
            [("sign", ["dilithium3", "ML-DSA-65"]), ("encapsulate", ["kyber768", "ML-KEM-768"])]
        {
            let text = |algorithm| {
                let data = if op == "sign" { r#","data":"""# } else { "" };
                format!(r#"{{"op":"{op}","identity":"a","algorithm":"{algorithm}"{data}}}"#)
            };
            for name in names {
                assert!(Request::parse(text(name).as_bytes()).is_ok(), "{name}");
            }
            assert_eq!(refused(&text("rsa")).code, Code::Unsupported);
        }
        let other = r#"{"op":"get_key","identity":"a","format":"pem"}"#;
        assert_eq!(refused(other).code, Code::Unsupported);
    }

    #[test]
    fn what_is_wrong_is_named() {
        for (text, said) in [
            (r#"{"op":"get_key","op":"sign"}"#, "duplicate field \"op\""),
            (r#"{"identity":"a"}"#, "missing field \"op\""),
            (r#"{"op":"get_key","identity":"a","colour":1}"#, "unknown field at column"),
            (r#"{"op":"steal","identity":"a"}"#, "there is no such op"),
            (r#"{"op":"sign","identity":"a"}"#, "data is missing"),
            (r#"{"op":"sign","data":""}"#, "identity is missing"),
            (r#"{"op":"get_key","identity":"../a"}"#, "a valid identity name"),
            (r#"{"op":"sign","identity":"a","data":"YWJ"}"#, "data is not base64"),
            (r#"{"op":"get_key","identity":"a","data":""}"#, "get_key takes no data"),
            (r#"{"op":"status","identity":"a"}"#, "status takes no identity"),
            (r#"{"op":"sign","identity":"a","data":{}}"#, "not the JSON of a request"),
            (r#"{"op":"get_key","identity":"a","version":-1}"#, "not the JSON of a request"),
            (r#"{"op":"decapsulate","identity":"a","ciphertext":"YWJj"}"#, "base64 of 1088 bytes"),
            (r#"{"op":"encapsulate","identity":"a","public_key":"YWJj"}"#, "base64 of 1184 bytes"),
            (r#"{"op":"unlock","unlock_key":"YWJj"}"#, "base64 of 32 bytes"),
            (r#"{"op":"rotate","identity":"a","grace_seconds":315360001}"#, "is at most"),
        ] {
            let refused = refused(text);
            assert_eq!(refused.code, Code::BadRequest, "{text}");
            assert!(refused.message.contains(said), "{text}: {}", refused.message);
        }
    }

    proptest! {
        /// serde quotes what it did not expect; a key in the wrong place must not come back in a message.
        #[test]
        fn no_value_of_a_request_is_in_an_error(
            field in prop::sample::select(vec![
                "op", "identity", "format", "data", "algorithm", "version", "public_key",
                "ciphertext", "unlock_key", "grace_seconds", "backup", "other",
            ]),
            op in prop::sample::select(vec!["get_key", "sign", "unlock", "rotate", "restore"]),
            shape in prop::sample::select(vec!["\"MARKER\"", "[\"MARKER\"]", "{\"MARKER\":1}"]),
        ) {
            let text = format!(r#"{{"op":"{op}","{field}":{shape}}}"#);
            if let Err(refused) = Request::parse(text.as_bytes()) {
                prop_assert!(!refused.message.contains("MARKER"), "{}", refused.message);
            }
            let text = format!(r#"{{"{field}":{shape},"op":"{op}"}}"#);
            if let Err(refused) = Request::parse(text.as_bytes()) {
                prop_assert!(!refused.message.contains("MARKER"), "{}", refused.message);
            }
        }
    }
}
