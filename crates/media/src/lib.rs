//! Bootable media: what is on a disk, and whether it is what a manifest says.
//!
//! - [`storage`]: bytes that are read at an offset.
//! - [`gpt`], [`fat`], [`uki`], [`verity`]: what somebody else wrote, read strictly and streamed.
//! - [`layout`]: the parts of an image.
//! - [`manifest`]: what an image must be.
#![forbid(unsafe_code)]

pub mod attest;
pub mod digest;
pub mod fat;
pub mod gpt;
pub mod layout;
pub mod manifest;
pub mod progress;
pub mod signature;
pub mod storage;
pub mod uki;
pub mod verify;
pub mod verity;
pub mod words;

pub use digest::Digest;
pub use manifest::{Description, Manifest};
pub use progress::Progress;
