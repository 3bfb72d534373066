//! One file a request.

pub mod append;
pub mod checkpoint;
pub mod export;
pub mod genesis;
pub mod public_key;
pub mod read;
pub mod rotate_key;
pub mod seal;
pub mod status;
