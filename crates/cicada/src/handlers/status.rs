//! How the daemon is. Not a use of an identity, and not recorded: a monitor may ask every second.

use std::collections::BTreeMap;

use serde::Serialize;

use crate::isolation::{self, IsolationCheck};
use crate::reply::{KEM_ALGORITHM, KEY_TYPE, Reply, SIGNATURE_ALGORITHM};
use crate::service::Cicada;

#[derive(Serialize)]
struct Status {
    state: &'static str,
    version: &'static str,
    identities: usize,
    types: BTreeMap<&'static str, &'static str>,
    algorithms: BTreeMap<&'static str, &'static str>,
    isolation: Vec<IsolationCheck>,
}

pub fn handle(service: &Cicada) -> Reply {
    let isolation = isolation::inside(&service.place, service.posture.seccomp_filters());
    let keyring = service.keyring();
    Reply::of(&Status {
        state: keyring.state(),
        version: env!("CARGO_PKG_VERSION"),
        identities: keyring.unlocked().map_or(0, |unlocked| unlocked.identities.len()),
        types: [(KEY_TYPE, "X25519 (RFC 7748) with ML-KEM-768 (FIPS 203)")].into(),
        algorithms: [
            (SIGNATURE_ALGORITHM, "ML-DSA-65 (FIPS 204)"),
            (KEM_ALGORITHM, "ML-KEM-768 (FIPS 203)"),
        ]
        .into(),
        isolation,
    })
}
