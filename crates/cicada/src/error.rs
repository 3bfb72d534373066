//! What a program is told when it doesn't get what it asked for.

use identity_keys::{KeyError, SignError};
use ipc::{Fault, FaultKind};
use serde::Serialize;

use crate::framing::{Broken, MAX_REQUEST_BYTES};
use crate::store::StoreError;

/// The kind of an error, for programs. Stable.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Code {
    /// No request of this protocol.
    BadRequest,
    /// More bytes than a request may have.
    TooLarge,
    /// Nested deeper than a request may be.
    TooDeep,
    /// No rule of cicada.toml allows it.
    Denied,
    /// No identity of that name.
    UnknownIdentity,
    /// The identity has no such version, or no longer.
    UnknownVersion,
    /// The identity's keys were destroyed.
    Revoked,
    /// There is something of that name already.
    Exists,
    /// The key store is locked.
    Locked,
    /// There is no key store yet.
    NotInitialised,
    /// The unlock key is not the one of this store, or of this backup.
    WrongKey,
    /// An algorithm or format that cicada doesn't have.
    Unsupported,
    /// Too much at once; try again.
    Busy,
    /// The audit trail can't be written, so that nothing was done.
    AuditUnavailable,
    /// Something that should not happen; the message says what.
    Internal,
}

impl Code {
    /// The name in a reply and in the trail.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::BadRequest => "bad_request",
            Self::TooLarge => "too_large",
            Self::TooDeep => "too_deep",
            Self::Denied => "denied",
            Self::UnknownIdentity => "unknown_identity",
            Self::UnknownVersion => "unknown_version",
            Self::Revoked => "revoked",
            Self::Exists => "exists",
            Self::Locked => "locked",
            Self::NotInitialised => "not_initialised",
            Self::WrongKey => "wrong_key",
            Self::Unsupported => "unsupported",
            Self::Busy => "busy",
            Self::AuditUnavailable => "audit_unavailable",
            Self::Internal => "internal",
        }
    }
}

impl Serialize for Code {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}

/// An error, with the sentence for a person. Never a secret.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, thiserror::Error)]
#[error("{message}")]
pub struct Refused {
    /// For programs.
    pub code: Code,
    /// What happened, what is untouched, what to do.
    pub message: String,
}

impl Refused {
    /// An error with its sentence.
    #[must_use]
    pub fn new(code: Code, message: impl Into<String>) -> Self {
        Self { code, message: message.into() }
    }

    /// Something that should not happen, in its own words.
    #[must_use]
    pub fn internal(error: impl std::fmt::Display) -> Self {
        Self::new(Code::Internal, error.to_string())
    }

    /// No room in secret memory.
    #[must_use]
    pub fn out_of_memory() -> Self {
        Self::new(Code::Busy, "out of secret memory; nothing was changed, try again")
    }
}

impl From<Fault> for Refused {
    /// What daemon-audit said.
    fn from(fault: Fault) -> Self {
        let code = match fault.kind {
            FaultKind::Busy => Code::Busy,
            FaultKind::AuditUnavailable | FaultKind::NotInitialised => Code::AuditUnavailable,
            _ => Code::Internal,
        };
        Self::new(code, fault.message)
    }
}

impl From<KeyError> for Refused {
    fn from(error: KeyError) -> Self {
        Self::new(Code::Busy, error.to_string())
    }
}

impl From<SignError> for Refused {
    fn from(error: SignError) -> Self {
        Self::internal(error)
    }
}

impl From<StoreError> for Refused {
    fn from(error: StoreError) -> Self {
        match error {
            StoreError::WrongKey => Self::new(Code::WrongKey, error.to_string()),
            error => Self::internal(error),
        }
    }
}

impl From<Broken> for Refused {
    fn from(broken: Broken) -> Self {
        match broken {
            Broken::NotAnObject => Self::new(Code::BadRequest, "a request is one JSON object"),
            Broken::TooDeep => Self::new(Code::TooDeep, "a request has no objects or lists inside"),
            Broken::TooLarge => {
                let text = format!(
                    "a request has at most {MAX_REQUEST_BYTES} bytes; sign a digest of what is so large"
                );
                Self::new(Code::TooLarge, text)
            }
        }
    }
}
