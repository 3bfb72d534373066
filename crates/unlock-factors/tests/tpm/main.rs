//! The TPM driver against a real software TPM (swtpm), each test with a TPM of its own.

#![cfg(feature = "tpm")]
#![allow(clippy::unwrap_used, reason = "a test that panics has failed")]

mod bus;
mod refusals;
mod sealing;
mod swtpm;
