//! Keys and checkpoints that are the same in each run.

#![allow(dead_code, reason = "no test file uses all of it")]

use std::fs;

use tlog::{Checkpoint, PublicKeys, Role, SignedCheckpoint, SigningKeys};

pub const ORIGIN: &str = "example.com/trail";
pub const TIME: u64 = 1_790_000_000;

/// Keys from the seeds `seed` and `seed + 1`, each repeated.
pub fn keys(name: &str, role: Role, seed: u8) -> SigningKeys {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("keys");
    fs::write(&path, [[seed; 32], [seed + 1; 32]].concat()).unwrap();
    SigningKeys::load(&path, name.parse().unwrap(), role).unwrap()
}

pub fn log() -> SigningKeys {
    keys(ORIGIN, Role::Log, 1)
}

pub fn witness() -> SigningKeys {
    keys("example.com/witness", Role::Witness, 3)
}

pub fn checkpoint() -> Checkpoint {
    Checkpoint { origin: ORIGIN.parse().unwrap(), size: 1234, root: [7; 32] }
}

/// Signed by the log and the witness.
pub fn signed() -> SignedCheckpoint {
    let mut signed = log().sign(checkpoint(), TIME).unwrap();
    witness().cosign(&mut signed, TIME + 5).unwrap();
    signed
}

pub fn verifies(signed: &SignedCheckpoint, keys: &PublicKeys) -> bool {
    signed.verify(keys).is_ok()
}
