//! Peers that are turned away, and why.

use crate::audit::RecordedActor;
use crate::identity::Credentials;

/// A connection that was not let in.
#[derive(Clone, Debug)]
pub struct Refusal {
    /// Who it was, as the kernel says.
    pub credentials: Credentials,
    /// The key it proved to hold, if it came so far.
    pub key: Option<[u8; 32]>,
    /// What was wrong.
    pub reason: RefusalReason,
}

impl Refusal {
    /// As the trail records it.
    #[must_use]
    pub fn recorded(&self) -> RecordedActor {
        RecordedActor { key: self.key, ..self.credentials.recorded() }
    }
}

/// Why a connection was not let in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RefusalReason {
    /// The key is in no peers.toml.
    UnknownKey,
    /// The key belongs to another uid.
    WrongUid,
    /// The suite is below `crypto.minimum_peer_profile`.
    WeakSuite,
    /// No handshake of this protocol, or not for this daemon's key.
    BadHandshake,
    /// The handshake took too long.
    TimedOut,
    /// Too many connections.
    TooMany,
    /// Neither the uid nor a group has a rule in cicada.toml.
    NoRule,
}

impl RefusalReason {
    /// The words that go into the trail.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::UnknownKey => "unknown key",
            Self::WrongUid => "key of another uid",
            Self::WeakSuite => "cipher suite below crypto.minimum_peer_profile",
            Self::BadHandshake => "bad handshake",
            Self::TimedOut => "handshake timed out",
            Self::TooMany => "too many connections",
            Self::NoRule => "no rule in cicada.toml",
        }
    }
}
