//! One file a request.

pub mod append;
pub mod export;
pub mod genesis;
pub mod read;
pub mod status;
