//! Attacks on a profile's `unlock.json`, by people who know some of its factors, or none.

#![allow(clippy::unwrap_used, reason = "a test that panics has failed")]

#[path = "../common/mod.rs"]
mod common;

mod attacker;
mod edits;
mod flips;
mod forgery;
mod guesses;
mod replays;
mod subsets;
