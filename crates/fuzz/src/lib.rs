//! Everything that reads bytes which somebody else wrote, under bytes that nobody would write.
//!
//! One public function a target. Each takes any bytes, demands more than that nothing panics, and
//! says what in its own words. The bytes are either the input itself or orders to damage a valid
//! one ([`shape`]): noise alone would be refused at the door, and never reach the rooms.
//!
//! `cargo test -p fuzz` runs every target for a moment with random bytes, on stable. To search for
//! longer, and guided by coverage (libFuzzer; needs a nightly compiler):
//!
//! ```text
//! cargo install cargo-bolero
//! cargo +nightly bolero test -p fuzz messages_decode_or_are_refused -T 10min
//! ```
//!
//! Without a nightly, `BOLERO_RANDOM_TEST_TIME_MS=600000 BOLERO_RANDOM_ITERATIONS=1000000000 cargo
//! test -p fuzz` is the same search in the dark. What it finds is printed with a seed;
//! `BOLERO_RANDOM_SEED=… cargo test -p fuzz NAME` shows it again. An input that is to be tried for
//! ever belongs into `tests/__fuzz__/NAME/corpus/`, a zero byte in front of it ([`shape`]).

#![forbid(unsafe_code)]

mod audit_files;
mod audit_lines;
mod audit_trail;
mod cicada_config;
mod cicada_replies;
mod cicada_requests;
mod frames;
mod media;
mod messages;
mod metadata;
mod notes;
mod replies;
mod requests;
mod settings;
mod shape;
mod shares;
mod ssh_agent;

pub use self::media::{fat, gpt, manifest, signer, uki, verity};
pub use audit_files::{audit_archive, audit_files};
pub use audit_lines::audit_lines;
pub use cicada_config::cicada_config;
pub use cicada_replies::cicada_replies;
pub use cicada_requests::{cicada_request, cicada_stream};
pub use frames::frames;
pub use messages::{messages, round_trip};
pub use metadata::{metadata, parameters};
pub use notes::{keys, notes, proofs};
pub use settings::{config, installation, peers, policy};
pub use shape::shape;
pub use shares::shares;
pub use ssh_agent::ssh_agent;
