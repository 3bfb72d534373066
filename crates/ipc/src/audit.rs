//! What daemon-audit answers.

use std::collections::BTreeMap;

use audit_log::{Actor, Draft, Operation as Recorded, Outcome};
use hardening::posture::Check;
use serde::{Deserialize, Serialize};
use site_config::AuditHash;
use uuid::Uuid;

use crate::clearance::Operation;
use crate::fault::Fault;

/// A request to daemon-audit.
#[derive(Debug, Serialize, Deserialize)]
pub enum AuditRequest<'a> {
    /// Which trail there is, how long, and its head.
    Status,
    /// The daemon's own security posture.
    Posture,
    /// Start the trail of a new installation.
    Genesis {
        /// The new installation.
        installation: Uuid,
        /// Its namespace.
        org: Option<&'a str>,
        /// What it is bound to, if it is: a keyed hash of the machine's id in hexadecimal, or `tpm`.
        machine_binding: Option<&'a str>,
    },
    /// Make one entry durable.
    Append(Record),
    /// Lines from sequence number `from` on, as many as fit into a reply.
    Read {
        /// First sequence number.
        from: u64,
    },
    /// The first checkpoint over more than `size` entries.
    Checkpoint {
        /// What the one before covers; 0 for the first.
        size: u64,
    },
    /// Make a checkpoint over the trail as it is.
    Seal,
    /// Record that the trail is about to be exported, and seal it.
    BeginExport {
        /// Where to, as the exporting person named it.
        destination: &'a str,
    },
    /// Record what came of an export.
    FinishExport {
        /// Where to, as before.
        destination: &'a str,
        /// What went wrong, if anything.
        failure: Option<&'a str>,
    },
    /// The trail's public keys.
    PublicKey,
    /// Make new signing keys; the present ones sign them into the trail, and are destroyed.
    RotateKey,
}

impl AuditRequest<'_> {
    /// The row of the clearance table.
    #[must_use]
    pub fn operation(&self) -> Operation {
        match self {
            Self::Status => Operation::AuditStatus,
            Self::Posture => Operation::AuditPosture,
            Self::Genesis { .. } => Operation::AuditGenesis,
            Self::Append(_) => Operation::AuditAppend,
            Self::Read { .. } => Operation::AuditRead,
            Self::Checkpoint { .. } => Operation::AuditCheckpoint,
            Self::Seal => Operation::AuditSeal,
            Self::BeginExport { .. } | Self::FinishExport { .. } => Operation::AuditExport,
            Self::PublicKey => Operation::AuditPublicKey,
            Self::RotateKey => Operation::AuditRotateKey,
        }
    }
}

/// What daemon-audit replies.
#[derive(Debug, Serialize, Deserialize)]
pub enum AuditReply<'a> {
    /// To `Status`: `None` before the first installation.
    Status(Option<TrailStatus>),
    /// To `Posture`.
    Posture(Vec<Check>),
    /// To `Genesis`: the installation whose trail this now is. Another id than the asked-for one
    /// means that an earlier `init` was interrupted after its genesis entry; it goes on with that id.
    Genesis(Uuid),
    /// To `Append` and `FinishExport`: the entry is on disk.
    Appended {
        /// Its sequence number.
        sequence: u64,
    },
    /// To `Read`: whole lines; empty at the end.
    Lines(#[serde(borrow, with = "serde_bytes")] &'a [u8]),
    /// To `Checkpoint`, when there is one.
    Checkpoint {
        /// How many entries it covers.
        size: u64,
        /// The signed note.
        #[serde(borrow, with = "serde_bytes")]
        note: &'a [u8],
    },
    /// To `Checkpoint`, when there is none.
    NoCheckpoint,
    /// To `Seal` and `BeginExport`: the trail is sealed up to here.
    Sealed {
        /// How many entries the checkpoint covers.
        size: u64,
    },
    /// To `PublicKey` and `RotateKey`: the keys that sign the next checkpoint, two C2SP verifier keys
    /// on two lines.
    PublicKey(&'a str),
    /// It was not done.
    Fault(Fault),
}

/// Where a trail stands.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TrailStatus {
    /// Whose trail it is.
    pub installation: Uuid,
    /// Number of entries.
    pub size: u64,
    /// Root of the RFC 6962 tree over them.
    pub root: [u8; 32],
    /// Number of entries that a checkpoint covers.
    pub sealed: u64,
    /// The chain's hash function.
    pub hash: AuditHash,
    /// Whether the trail knows of vaults: `init` was completed, and no wipe authorised since.
    pub has_vaults: bool,
}

/// What daemon-secrets has recorded; daemon-audit adds who reported it, the number and the time.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Record {
    /// What was asked for.
    pub operation: Recorded,
    /// What came of it.
    pub outcome: Outcome,
    /// The profile that it is about.
    pub profile: Option<String>,
    /// The secret or setting that it is about, by name.
    pub subject: Option<String>,
    /// The peer that asked, as the reporting daemon saw it.
    pub actor: Option<RecordedActor>,
    /// Whatever else is worth knowing.
    pub detail: BTreeMap<String, String>,
}

/// The peer that asked.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RecordedActor {
    /// Its uid.
    pub uid: u32,
    /// Its pid.
    pub pid: i32,
    /// The key it proved to hold.
    pub key: Option<[u8; 32]>,
    /// The name of that key in peers.toml.
    pub name: Option<String>,
}

impl Record {
    /// A record with no more than these two.
    #[must_use]
    pub const fn new(operation: Recorded, outcome: Outcome) -> Self {
        let detail = BTreeMap::new();
        Self { operation, outcome, profile: None, subject: None, actor: None, detail }
    }

    /// The entry to append, as reported by `reporter`.
    #[must_use]
    pub fn into_draft(self, reporter: Actor) -> Draft {
        let mut draft = Draft::new(self.operation, self.outcome).reporter(reporter);
        draft.profile = self.profile;
        draft.subject = self.subject;
        draft.actor = self.actor.map(RecordedActor::into_actor);
        draft.detail = self.detail;
        draft
    }
}

impl RecordedActor {
    /// As the trail writes it.
    #[must_use]
    pub fn into_actor(self) -> Actor {
        let mut actor = Actor::new(self.uid, u32::try_from(self.pid).unwrap_or(0));
        if let Some(key) = self.key {
            actor = actor.with_key(key);
        }
        match self.name {
            Some(name) => actor.with_name(name),
            None => actor,
        }
    }
}
