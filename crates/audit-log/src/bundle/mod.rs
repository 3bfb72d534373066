//! The export of a trail: what an auditor carries away and checks with no daemon, as a directory or
//! as one tar file.
//!
//! ```text
//! manifest.json                         what there is (Manifest)
//! public-key.txt                        the trail's first key: two C2SP verifier keys
//! trail/segment-00000000000000000000.jsonl
//! trail/segment-00000000000000061234.jsonl
//! trail/checkpoint-00000000000000061300.note
//! ```
//!
//! A copy of the directory of a trail, or of the one around it, can be verified too; it has no
//! manifest.

mod destination;
mod export;
mod import;

pub use export::{ExportError, Exporter};
pub(crate) use import::{Opened, open};
pub use import::{verify_bundle, verify_bundle_with};

/// The directory of the segments and checkpoints.
const TRAIL: &str = "trail";

/// The directory of the segments before the export is complete: no verifier takes it for a trail.
const PARTIAL: &str = "trail.partial";

/// The manifest.
const MANIFEST: &str = "manifest.json";

/// The first key.
const PUBLIC_KEY: &str = "public-key.txt";
