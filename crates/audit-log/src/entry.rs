//! What an entry says: [`Draft`] as a caller hands it in, [`Entry`] as it stands in the trail.

use std::collections::BTreeMap;
use std::fmt;
use std::marker::PhantomData;
use std::str::FromStr;

use serde::de::{self, Deserializer, Visitor};
use serde::{Deserialize, Serialize};

use crate::hash::Hash;
use crate::operation::Operation;
use crate::timestamp::Timestamp;

/// How far an operation came.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Outcome {
    /// It may happen now that this entry is durable.
    Authorised,
    /// It happened.
    Done,
    /// It was allowed and went wrong.
    Failed,
    /// It was not allowed.
    Refused,
}

impl Outcome {
    /// Every outcome.
    pub const ALL: [Self; 4] = [Self::Authorised, Self::Done, Self::Failed, Self::Refused];

    /// The name in the trail.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Authorised => "authorised",
            Self::Done => "done",
            Self::Failed => "failed",
            Self::Refused => "refused",
        }
    }
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// The name of no outcome.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("unknown outcome {0:?}: expected authorised, done, failed or refused")]
pub struct UnknownOutcome(pub String);

impl FromStr for Outcome {
    type Err = UnknownOutcome;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let found = Self::ALL.into_iter().find(|outcome| outcome.as_str() == text);
        found.ok_or_else(|| UnknownOutcome(text.to_owned()))
    }
}

/// A process on the other end of a socket, as the kernel and the handshake know it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Actor {
    /// The user, from `SO_PEERCRED`.
    pub uid: u32,
    /// The process, from `SO_PEERCRED`; 0 when it lives in another pid namespace.
    pub pid: u32,
    /// The X25519 static key that it proved to hold; none when the handshake didn't come that far.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key: Option<Hash>,
    /// The name that the installation gives to this key.
    #[serde(default, skip_serializing_if = "is_empty")]
    pub name: Option<String>,
}

impl Actor {
    /// A process of which no more is known than what the kernel says.
    #[must_use]
    pub const fn new(uid: u32, pid: u32) -> Self {
        Self { uid, pid, key: None, name: None }
    }

    /// As before, with the key that it proved to hold.
    #[must_use]
    pub const fn with_key(mut self, key: [u8; 32]) -> Self {
        self.key = Some(Hash(key));
        self
    }

    /// As before, with a name.
    #[must_use]
    pub fn with_name(mut self, name: impl Into<String>) -> Self {
        self.name = Some(name.into());
        self
    }
}

/// An entry that is not in the trail yet; the writer adds number, time and hashes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Draft {
    /// What was asked for.
    pub operation: Operation,
    /// What came of it.
    pub outcome: Outcome,
    /// The profile that it is about; an empty text counts as none, here and below.
    pub profile: Option<String>,
    /// The secret, factor or setting that it is about, by name and never by value.
    pub subject: Option<String>,
    /// Who asked.
    pub actor: Option<Actor>,
    /// The daemon that tells us, when that isn't who asked.
    pub reporter: Option<Actor>,
    /// Whatever else is worth knowing.
    pub detail: BTreeMap<String, String>,
}

impl Draft {
    /// A draft with no more than these two.
    #[must_use]
    pub const fn new(operation: Operation, outcome: Outcome) -> Self {
        Self {
            operation,
            outcome,
            profile: None,
            subject: None,
            actor: None,
            reporter: None,
            detail: BTreeMap::new(),
        }
    }

    /// As before, about a profile.
    #[must_use]
    pub fn profile(mut self, profile: impl Into<String>) -> Self {
        self.profile = Some(profile.into());
        self
    }

    /// As before, about a named thing.
    #[must_use]
    pub fn subject(mut self, subject: impl Into<String>) -> Self {
        self.subject = Some(subject.into());
        self
    }

    /// As before, asked for by `actor`.
    #[must_use]
    pub fn actor(mut self, actor: Actor) -> Self {
        self.actor = Some(actor);
        self
    }

    /// As before, reported by `reporter`.
    #[must_use]
    pub fn reporter(mut self, reporter: Actor) -> Self {
        self.reporter = Some(reporter);
        self
    }

    /// As before, with one more detail.
    #[must_use]
    pub fn detail(mut self, key: impl Into<String>, value: impl Into<String>) -> Self {
        self.detail.insert(key.into(), value.into());
        self
    }
}

/// An entry of the trail, as [`parse_line`](crate::parse_line) reads it.
///
/// The order of the fields is the order in the line; the meanings are those of [`Draft`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Entry {
    /// The number of the entry, from 0.
    pub seq: u64,
    /// When it was written, by the wall clock of the machine.
    pub time: Timestamp,
    /// What was asked for.
    pub operation: Operation,
    /// What came of it.
    pub outcome: Outcome,
    /// The profile that it is about.
    #[serde(default, skip_serializing_if = "is_empty")]
    pub profile: Option<String>,
    /// What it is about.
    #[serde(default, skip_serializing_if = "is_empty")]
    pub subject: Option<String>,
    /// Who asked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub actor: Option<Actor>,
    /// Who told us.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reporter: Option<Actor>,
    /// Whatever else is worth knowing.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub detail: BTreeMap<String, String>,
    /// The hash of the entry before; zeros in entry 0.
    pub prev_hash: Hash,
    /// The hash of this entry.
    pub hash: Hash,
}

fn is_empty(text: &Option<String>) -> bool {
    text.as_ref().is_none_or(String::is_empty)
}

/// Deserialises what is written as text, without a copy of the text.
pub(crate) fn from_text<'de, T, D>(deserializer: D) -> Result<T, D::Error>
where
    T: FromStr<Err: fmt::Display>,
    D: Deserializer<'de>,
{
    struct Text<T>(PhantomData<T>);

    impl<T: FromStr<Err: fmt::Display>> Visitor<'_> for Text<T> {
        type Value = T;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("a text")
        }

        fn visit_str<E: de::Error>(self, text: &str) -> Result<T, E> {
            text.parse().map_err(E::custom)
        }
    }

    deserializer.deserialize_str(Text(PhantomData))
}
