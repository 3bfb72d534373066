//! The audit trail: what was asked of the daemons, what came of it, and proof that nobody changed it.
//!
//! # Format
//!
//! A trail is a directory of segments, `segment-%020d.jsonl`, each named by the first sequence number
//! in it. A segment holds one entry a line: JSON in UTF-8, ended by `\n`, at most [`MAX_LINE`] bytes
//! with it. The fields come in this order, without white space, and those that are empty are left
//! out:
//!
//! ```json
//! {"seq":1,"time":"2026-11-22T15:00:00.123456Z","operation":"secret.get","outcome":"done",
//!  "profile":"default","subject":"db/password","actor":{"uid":1000,"pid":42,"key":"<64 hex>",
//!  "name":"alice"},"reporter":{"uid":990,"pid":7,"name":"daemon-secrets"},"detail":{"k":"v"},
//!  "prev_hash":"<64 hex>","hash":"<64 hex>"}
//! ```
//!
//! (on one line). An entry has exactly one representation; any other spelling of the same JSON is
//! malformed. `hash` covers every byte of the line before `,"hash":"`, as it is on disk and never as
//! a parser would write it again; `prev_hash` is the `hash` of the entry before, or zeros in entry 0.
//! Entry 0 is the genesis, whose detail says how the trail hashes and to whom it belongs
//! ([`Genesis`]).
//!
//! Beside the segments are checkpoints, `checkpoint-%020d.note`, each named by how many entries it
//! covers: C2SP `tlog-checkpoint` notes over the tree of RFC 6962 whose leaves are the lines, without
//! their newlines. The trail's key signs them with Ed25519 and ML-DSA-44. The genesis names the first
//! key, and an `audit.key-rotate` entry the next one, which counts from the checkpoint on that the old
//! key signed over that entry. Every `genesis`, `audit.seal` and `audit.key-rotate` announces the
//! checkpoint that ends with it.
//!
//! A chain alone can't tell that its end was cut off, nor that all of it was written anew. The
//! checkpoints can, for whoever knows the key; a manifest ([`bundle`]) or a head noted on paper
//! ([`Expectation`]) can as well.
//!
//! # Where to look
//!
//! - [`entry`]: what an entry says; [`line`](mod@line): how it is spelt and hashed.
//! - [`trail`]: [`Writer`], the one process that appends, and how it recovers from a power cut.
//! - [`verify`](mod@verify): [`Verdict`]s, and how they are told apart.
//! - [`bundle`]: the export that an auditor carries away; [`cosign_bundle`]: what a witness does.
//! - [`proof`]: that one entry is in the trail, without the others.
//!
//! Nothing here knows a daemon or a socket.

#![forbid(unsafe_code)]

pub mod bundle;
mod cosign;
pub mod entry;
mod genesis;
mod hash;
mod keys;
pub mod line;
mod manifest;
mod operation;
mod outline;
pub mod proof;
mod segment;
mod source;
mod timestamp;
pub mod trail;
mod verdict;
pub mod verify;

pub use bundle::{ExportError, Exporter, verify_bundle, verify_bundle_with};
pub use cosign::{CosignError, cosign_bundle};
pub use entry::{Actor, Draft, Entry, Outcome};
pub use genesis::{Genesis, GenesisError, origin};
pub use hash::{
    ExpectedHead, Hash, HashAlgorithm, Head, ParseHashError, ParseHeadError, UnknownAlgorithm,
};
pub use keys::KeyDetailError;
pub use line::{LineError, MAX_LINE, parse_line, printable};
pub use manifest::{Manifest, ManifestFile};
pub use operation::{Operation, UnknownOperation};
pub use proof::{ProofFault, ProveError, ProvenEntry, Prover, prove_offline, verify_proof};
pub use timestamp::{ParseTimestampError, Timestamp};
pub use trail::{
    AppendError, Appended, CreateError, OpenError, ReadError, Repair, SealError, Writer,
};
pub use verdict::{Finding, Report, Verdict};
pub use verify::{Expectation, Verifier, VerifyError, verify};
