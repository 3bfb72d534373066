//! A forger at work: what each forgery is called, under both hashes and in every form of a trail.
//!
//! The forger has the files and knows the format fully. What of the keys he has differs.

#![allow(clippy::unwrap_used, reason = "a test that panics has failed")]

#[path = "../common/mod.rs"]
mod common;

mod archives;
mod chain;
mod checkpoints;
mod files;
mod rewrite;
mod rotation;
mod scene;
mod witnesses;
