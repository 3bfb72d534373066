//! What a daemon answers when it does not do what was asked.

use serde::{Deserialize, Serialize};

/// The kind of a refusal or failure. The CLI gives each its own exit code.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum FaultKind {
    /// There is no installation yet.
    NotInitialised,
    /// There is one already; it was not touched.
    AlreadyInitialised,
    /// The profile is locked, or its vault is not active.
    Locked,
    /// More factors are needed; what was given is kept for a while.
    Incomplete,
    /// The factor is wrong. It was recorded.
    WrongFactor,
    /// Too many wrong tries; see `retry_after_seconds`.
    RateLimited,
    /// No profile or secret of that name.
    NotFound,
    /// A profile of that name is there already.
    Exists,
    /// The peer's role has no clearance for the request.
    NotCleared,
    /// A name, value or message that cannot be.
    InvalidInput,
    /// Enrolment below the security floor.
    BelowFloor,
    /// The audit trail can't be written, so nothing was done.
    AuditUnavailable,
    /// Stored data is not what was written.
    Tampered,
    /// The disk: full, read-only, failing.
    Storage,
    /// Out of secret memory, or too much at once; try again.
    Busy,
    /// Something that should not happen.
    Internal,
}

/// A refusal or failure, with the sentence for a person.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[error("{message}")]
pub struct Fault {
    /// For programs.
    pub kind: FaultKind,
    /// What happened, what is untouched, what to type next. Never a secret.
    pub message: String,
    /// With [`FaultKind::RateLimited`]: whole seconds until the next try counts.
    pub retry_after_seconds: Option<u64>,
}

impl Fault {
    /// A fault with its sentence.
    #[must_use]
    pub fn new(kind: FaultKind, message: impl Into<String>) -> Self {
        Self { kind, message: message.into(), retry_after_seconds: None }
    }

    /// The peer's role has no clearance.
    #[must_use]
    pub fn not_cleared(role: &str) -> Self {
        let text = format!("the role {role} has no clearance for this; the attempt was recorded");
        Self::new(FaultKind::NotCleared, text)
    }
}
