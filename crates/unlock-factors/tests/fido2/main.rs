//! The FIDO2 driver with libfido2 as it is, against a soft token.

#![cfg(feature = "fido2")]
#![allow(clippy::unwrap_used, reason = "a test that panics has failed")]

#[path = "../soft_token/mod.rs"]
mod soft_token;

mod evidence;
mod refusals;
