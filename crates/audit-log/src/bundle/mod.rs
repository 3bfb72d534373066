//! The export of a trail: a directory that an auditor carries away and checks with no daemon.
//!
//! ```text
//! manifest.json                         what there is (Manifest)
//! trail/segment-00000000000000000000.jsonl
//! trail/segment-00000000000000061234.jsonl
//! ```

mod export;
mod import;

pub use export::{ExportError, Exporter};
pub use import::verify_bundle;

/// The directory of the segments.
const TRAIL: &str = "trail";

/// The directory of the segments before the export is complete: no verifier takes it for a trail.
const PARTIAL: &str = "trail.partial";

/// The manifest.
const MANIFEST: &str = "manifest.json";
