//! An operator who may use cicada, for the tests of `sesame cicada`.

#![allow(dead_code, reason = "each test uses a part of it")]

use std::fs;
use std::os::unix::fs::chown;
use std::path::PathBuf;

use serde_json::Value;
use tempfile::TempDir;
use testbed::cicada::{OPERATIONS, allow};
use testbed::{Host, Users};

/// A rule that lets the operator do these things with every identity.
pub fn operator_may(operations: &[&str]) -> String {
    allow(&format!("uid = {}", Users::available().operator), "*", operations)
}

/// A host whose operator may do everything; its profile is locked, and it has no key store.
pub fn host() -> Host {
    Host::with_cicada(&operator_may(&OPERATIONS))
}

/// The same with an unlocked key store, whose key is in the file that is named, and an identity.
pub fn with_identity(place: &Place) -> (Host, PathBuf) {
    let host = host();
    let key = place.path("unlock.key");
    host.sesame(["cicada", "init", "--key-file"]).args([&key]).succeed();
    host.sesame(["cicada", "identity", "create", "cloud-sync"]).succeed();
    (host, key)
}

/// A directory of the operator's.
pub struct Place(TempDir);

impl Place {
    pub fn new() -> Self {
        let place = tempfile::Builder::new().prefix("place-").tempdir_in("/tmp").unwrap();
        let operator = Users::available().operator;
        chown(place.path(), Some(operator), None).unwrap();
        Self(place)
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    pub fn names(&self) -> Vec<String> {
        let entries = fs::read_dir(self.0.path()).unwrap();
        entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect()
    }
}

pub fn json_of(text: &str) -> Value {
    serde_json::from_str(text).unwrap()
}

pub fn state(host: &Host) -> String {
    let status = json_of(&host.sesame(["cicada", "status", "--json"]).succeed());
    status["state"].as_str().unwrap().to_owned()
}
