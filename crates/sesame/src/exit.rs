//! Exit codes. They are documented in `sesame --help` and never change their meaning.

use ipc::{ClientError, Fault, FaultKind};
use serde_json::{Value, json};
use site_config::{ConfigError, LayoutError, PeersError};

/// What a failed command ends with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Code {
    /// The number.
    pub number: u8,
    /// The word in JSON.
    pub name: &'static str,
    /// The line in the help.
    pub meaning: &'static str,
}

macro_rules! codes {
    ($($constant:ident = $number:literal, $name:literal, $meaning:literal;)+) => {
        impl Code {
            $(#[doc = $meaning] pub const $constant: Self =
                Self { number: $number, name: $name, meaning: $meaning };)+
            /// All of them, in order.
            pub const ALL: &[Self] = &[$(Self::$constant),+];
        }
    };
}

codes! {
    FAILED = 1, "failed", "something else went wrong";
    USAGE = 2, "usage", "the command line cannot be";
    UNREACHABLE = 3, "unreachable", "a daemon is not running or does not answer";
    REFUSED = 4, "refused", "this key, uid or role is not allowed to do this";
    LOCKED = 5, "locked", "the profile or cicada is locked, or a vault is not open";
    WRONG_FACTOR = 6, "wrong-factor", "wrong password, unlock key or other factor";
    RATE_LIMITED = 7, "rate-limited", "too soon after wrong tries";
    NOT_FOUND = 8, "not-found", "no such profile, secret, factor, identity or device";
    EXISTS = 9, "exists", "it is there already and was not touched";
    EDITED = 10, "edited", "audit verify: an entry was edited";
    DELETED = 11, "deleted", "audit verify: entries were deleted";
    REORDERED = 12, "reordered", "audit verify: entries were reordered or repeated";
    TRUNCATED = 13, "truncated", "audit verify: the end is missing";
    ROLLED_BACK = 14, "rolled-back", "audit verify: older than the expected head";
    REWRITTEN = 15, "rewritten", "audit verify: another history than the expected one";
    ABSENT = 16, "absent", "there is no trail, image or manifest to verify";
    SIGNATURE = 17, "signature", "verify: a signature or key is wrong or missing";
    MALFORMED = 18, "malformed", "verify: not a trail, manifest or image";
    UNSEALED = 19, "unsealed", "audit verify: no checkpoint covers the newest entries";
    CONFIG = 20, "config", "configuration or policy contradict themselves or each other";
    BELOW_FLOOR = 21, "below-floor", "this machine is below the security floor";
    AUDIT_UNAVAILABLE = 22, "audit-unavailable", "the audit trail can't be written; nothing was done";
    NOT_INITIALISED = 23, "not-initialised", "there is no installation yet, or no key store of cicada";
    INVALID = 24, "invalid", "a name or value that cannot be";
    STORAGE = 25, "storage", "the disk is full, read-only or failing";
    TAMPERED = 26, "tampered", "stored data, or a boot medium, is not what was written";
    BUSY = 27, "busy", "too much at once, or out of secret memory; try again";
    CANCELLED = 28, "cancelled", "a prompt was cancelled; nothing was done";
    INCOMPLETE = 29, "incomplete", "more factors are needed; what was given is kept for a while";
}

impl From<audit_log::Verdict> for Code {
    fn from(verdict: audit_log::Verdict) -> Self {
        let number = verdict.exit_code();
        *Self::ALL.iter().find(|code| code.number == number).unwrap_or(&Self::FAILED)
    }
}

/// A failed command: its code and the sentence for a person.
#[derive(Clone, Debug)]
pub struct Failure {
    /// The exit code.
    pub code: Code,
    /// What happened, what is untouched, what to type next.
    pub message: String,
    /// Seconds until another try counts.
    pub retry_after_seconds: Option<u64>,
    /// What else a program may want to know.
    pub detail: Option<Value>,
}

impl Failure {
    pub fn new(code: Code, message: impl Into<String>) -> Self {
        Self { code, message: message.into(), retry_after_seconds: None, detail: None }
    }
}

impl From<Fault> for Failure {
    fn from(fault: Fault) -> Self {
        let code = match fault.kind {
            FaultKind::NotInitialised => Code::NOT_INITIALISED,
            FaultKind::AlreadyInitialised | FaultKind::Exists => Code::EXISTS,
            FaultKind::Locked => Code::LOCKED,
            FaultKind::Incomplete => Code::INCOMPLETE,
            FaultKind::WrongFactor => Code::WRONG_FACTOR,
            FaultKind::RateLimited => Code::RATE_LIMITED,
            FaultKind::NotFound => Code::NOT_FOUND,
            FaultKind::NotCleared => Code::REFUSED,
            FaultKind::InvalidInput => Code::INVALID,
            FaultKind::BelowFloor => Code::BELOW_FLOOR,
            FaultKind::AuditUnavailable => Code::AUDIT_UNAVAILABLE,
            FaultKind::Tampered => Code::TAMPERED,
            FaultKind::Storage => Code::STORAGE,
            FaultKind::Busy => Code::BUSY,
            FaultKind::Internal => Code::FAILED,
        };
        let retry_after_seconds = fault.retry_after_seconds;
        Self { retry_after_seconds, ..Self::new(code, fault.message) }
    }
}

impl From<ClientError> for Failure {
    fn from(error: ClientError) -> Self {
        match &error {
            ClientError::Unreachable { source, .. } => Self::new(
                Code::UNREACHABLE,
                format!("{error} ({source}); start the daemons with `sesame up`, or as services"),
            ),
            ClientError::WrongServer { .. } => Self::new(Code::REFUSED, error.to_string()),
            ClientError::Refused => Self::new(
                Code::REFUSED,
                "the daemon refused this connection: your key is unknown to it (`sesame peer add`, and \
                 a restart of the daemons), has another uid or too weak a suite, or there are too \
                 many connections; `sesame audit tail` says which",
            ),
            ClientError::Broken(source) => Self::new(
                Code::UNREACHABLE,
                format!("{error} ({source}); whether it was done is in `sesame audit tail`"),
            ),
            ClientError::Protocol => Self::new(Code::UNREACHABLE, error.to_string()),
            ClientError::TooLarge => Self::new(Code::INVALID, error.to_string()),
            ClientError::OutOfMemory => Self::new(Code::BUSY, error.to_string()),
        }
    }
}

/// Its own code tells a program more than the exit code, so it is in the detail.
impl From<cicada_client::ClientError> for Failure {
    fn from(error: cicada_client::ClientError) -> Self {
        use cicada_client::ClientError as Error;
        match error {
            Error::Refused { code, message } => {
                let detail = Some(json!({ "code": code.as_str() }));
                Self { detail, ..Self::new(Code::from(&code), audit_log::printable(&message)) }
            }
            Error::Unreachable { .. } | Error::Protocol(_) | Error::Closed => {
                Self::new(Code::UNREACHABLE, error.to_string())
            }
            Error::Io(source) => {
                let text = "the connection to cicada broke";
                let next = "whether it was done is in `sesame audit tail`";
                Self::new(Code::UNREACHABLE, format!("{text} ({source}); {next}"))
            }
            Error::TooLarge => Self::new(Code::INVALID, error.to_string()),
            Error::OutOfMemory => {
                Self::new(Code::BUSY, secret_memory::OutOfSecretMemory.to_string())
            }
        }
    }
}

impl From<&cicada_client::Code> for Code {
    fn from(code: &cicada_client::Code) -> Self {
        use cicada_client::Code as Cicada;
        match code {
            Cicada::BadRequest | Cicada::TooLarge | Cicada::TooDeep | Cicada::Unsupported => {
                Self::INVALID
            }
            Cicada::Denied => Self::REFUSED,
            Cicada::UnknownIdentity | Cicada::UnknownVersion | Cicada::Revoked => Self::NOT_FOUND,
            Cicada::Exists => Self::EXISTS,
            Cicada::Locked => Self::LOCKED,
            Cicada::NotInitialised => Self::NOT_INITIALISED,
            Cicada::WrongKey => Self::WRONG_FACTOR,
            Cicada::Busy => Self::BUSY,
            Cicada::AuditUnavailable => Self::AUDIT_UNAVAILABLE,
            Cicada::Internal | Cicada::Other(_) => Self::FAILED,
        }
    }
}

impl From<ConfigError> for Failure {
    fn from(error: ConfigError) -> Self {
        Self::new(Code::CONFIG, error.to_string())
    }
}

impl From<LayoutError> for Failure {
    fn from(error: LayoutError) -> Self {
        Self::new(Code::CONFIG, error.to_string())
    }
}

impl From<PeersError> for Failure {
    fn from(error: PeersError) -> Self {
        match error {
            PeersError::Absent { .. } => Self::new(Code::UNREACHABLE, error.to_string()),
            _ => Self::new(Code::CONFIG, error.to_string()),
        }
    }
}

impl From<secret_memory::OutOfSecretMemory> for Failure {
    fn from(error: secret_memory::OutOfSecretMemory) -> Self {
        Self::new(Code::BUSY, error.to_string())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_verdict_has_its_code() {
        for verdict in audit_log::Verdict::ALL {
            if verdict != audit_log::Verdict::Sound {
                assert_eq!(Code::from(verdict).number, verdict.exit_code(), "{verdict:?}");
                assert_eq!(Code::from(verdict).name, verdict.as_str());
            }
        }
    }

    #[test]
    fn a_refusal_of_cicada_has_its_exit_code_and_its_own_code() {
        let exit_codes = [
            ("bad_request", 24),
            ("too_large", 24),
            ("too_deep", 24),
            ("denied", 4),
            ("unknown_identity", 8),
            ("unknown_version", 8),
            ("revoked", 8),
            ("exists", 9),
            ("locked", 5),
            ("not_initialised", 23),
            ("wrong_key", 6),
            ("unsupported", 24),
            ("busy", 27),
            ("audit_unavailable", 22),
            ("internal", 1),
            ("of_a_later_version", 1),
        ];
        for (name, number) in exit_codes {
            let code = cicada_client::Code::from(name.to_owned());
            let message = "no \u{1b}[2J".to_owned();
            let failure = Failure::from(cicada_client::ClientError::Refused { code, message });
            assert_eq!(
                (failure.code.number, failure.detail),
                (number, Some(json!({"code": name})))
            );
            assert_eq!(failure.message, "no \\u{1b}[2J");
        }
    }

    #[test]
    fn no_number_and_no_name_is_used_twice() {
        for (index, code) in Code::ALL.iter().enumerate() {
            for earlier in &Code::ALL[..index] {
                assert!(earlier.number < code.number && earlier.name != code.name, "{code:?}");
            }
        }
    }
}
