//! Why a request got no answer.

use std::fmt;
use std::io;
use std::path::PathBuf;

use secret_memory::OutOfSecretMemory;

/// Why a request got no answer. No text here contains a secret.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// Nobody listens there, or this user may not connect.
    #[error(
        "cannot reach cicada at {}; nothing was asked of it. See `systemctl status cicada`, and \
         whether this user is in the group of the socket",
        .socket.display()
    )]
    Unreachable {
        /// The socket.
        socket: PathBuf,
        /// The errno of connect(2).
        #[source]
        source: io::Error,
    },
    /// Cicada answered with an error; the connection may go on, unless cicada closes it.
    #[error("cicada refused: {message} ({code})")]
    Refused {
        /// What kind of refusal.
        code: Code,
        /// Cicada's own sentence.
        message: String,
    },
    /// What came is no reply to this request. The connection is of no further use.
    #[error(
        "what answered is not cicada, or another version of it: {0}; whether the request was carried \
         out is unknown. See `sesame cicada status`"
    )]
    Protocol(&'static str),
    /// The connection ended, or no whole reply came in time. It is of no further use.
    #[error(
        "the connection to cicada broke; whether the request was carried out is unknown. Connect again"
    )]
    Io(#[source] io::Error),
    /// The request has more than [`MAX_REQUEST_BYTES`](crate::MAX_REQUEST_BYTES) bytes. Nothing was
    /// sent, and the connection can go on.
    #[error(
        "the request would have more than 65536 bytes, and was not sent. Sign a digest of what is so \
         large"
    )]
    TooLarge,
    /// An earlier request on this connection ended in an error that leaves its state unknown.
    #[error("an earlier error ended this connection, and nothing was sent. Connect again")]
    Closed,
    /// No room in secret memory. See `LimitMEMLOCK=` and the size given to [`secret_memory::init`].
    #[error("out of secret memory; nothing was lost. Give secret_memory::init a larger arena")]
    OutOfMemory,
}

impl From<OutOfSecretMemory> for ClientError {
    fn from(_: OutOfSecretMemory) -> Self {
        Self::OutOfMemory
    }
}

/// The `code` of an error reply.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Code {
    /// The request is no request of the protocol.
    BadRequest,
    /// The request has too many bytes.
    TooLarge,
    /// The request is nested.
    TooDeep,
    /// No rule of cicada.toml gives this user this operation on this identity.
    Denied,
    /// There is no such identity.
    UnknownIdentity,
    /// There is no such version, or its grace time is over.
    UnknownVersion,
    /// The identity was revoked.
    Revoked,
    /// There is such an identity already.
    Exists,
    /// The keys are locked.
    Locked,
    /// There is no store yet.
    NotInitialised,
    /// The unlock key is another one.
    WrongKey,
    /// This version of cicada does not do that.
    Unsupported,
    /// Too many clients at once: later.
    Busy,
    /// The audit trail can't be written, so nothing was done.
    AuditUnavailable,
    /// Something that should not have happened; the journal of cicada has more.
    Internal,
    /// A code of a later version.
    Other(String),
}

impl Code {
    const KNOWN: [Self; 15] = [
        Self::BadRequest,
        Self::TooLarge,
        Self::TooDeep,
        Self::Denied,
        Self::UnknownIdentity,
        Self::UnknownVersion,
        Self::Revoked,
        Self::Exists,
        Self::Locked,
        Self::NotInitialised,
        Self::WrongKey,
        Self::Unsupported,
        Self::Busy,
        Self::AuditUnavailable,
        Self::Internal,
    ];

    /// The name in the protocol.
    #[must_use]
    pub fn as_str(&self) -> &str {
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
            Self::Other(name) => name,
        }
    }
}

impl From<String> for Code {
    fn from(name: String) -> Self {
        let known = Self::KNOWN.into_iter().find(|code| code.as_str() == name);
        known.unwrap_or(Self::Other(name))
    }
}

impl fmt::Display for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_code_of_the_protocol_is_read_as_what_it_is_written_as() {
        let names = "bad_request too_large too_deep denied unknown_identity unknown_version revoked \
                     exists locked not_initialised wrong_key unsupported busy audit_unavailable internal";
        for (name, code) in names.split_whitespace().zip(Code::KNOWN) {
            assert_eq!(Code::from(name.to_owned()), code);
            assert_eq!(code.to_string(), name);
        }
        assert_eq!(names.split_whitespace().count(), Code::KNOWN.len());
    }

    #[test]
    fn a_code_of_a_later_version_keeps_its_name() {
        assert_eq!(Code::from("asleep".to_owned()), Code::Other("asleep".to_owned()));
    }
}
