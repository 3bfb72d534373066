//! One process at a time.
#![allow(clippy::unwrap_used)] // clippy.toml allows it in test functions, not in their helpers

mod common;

use common::{child, create, open, place, value};
use vault::VaultError;

#[test]
fn a_second_process_is_told_so() {
    let place = place();
    let vault = create(&place.path);
    vault.set("a", b"first").unwrap();
    let run = || child("open_as_a_second_process").env("VAULT", &place.path).output().unwrap();
    assert!(String::from_utf8_lossy(&run().stdout).contains("RESULT in use"));
    vault.set("a", b"second").unwrap();
    vault.close().unwrap();
    assert!(String::from_utf8_lossy(&run().stdout).contains("RESULT opened"));

    // Opened but neither read nor written yet: the lock must be there all the same.
    let vault = open(&place.path).unwrap();
    assert!(String::from_utf8_lossy(&run().stdout).contains("RESULT in use"));
    assert_eq!(value(&vault, "a").unwrap(), b"second");
}

#[test]
fn a_second_opening_in_this_process_too() {
    let place = place();
    let vault = create(&place.path);
    assert!(matches!(open(&place.path), Err(VaultError::InUse)));
    vault.set("a", b"still works").unwrap();
    drop(vault);
    assert_eq!(value(&open(&place.path).unwrap(), "a").unwrap(), b"still works");
}

#[test]
#[ignore = "the other process of a test above"]
fn open_as_a_second_process() {
    let Some(path) = std::env::var_os("VAULT") else { return };
    common::setup();
    match open(path.as_ref()) {
        Ok(_) => println!("RESULT opened"),
        Err(VaultError::InUse) => println!("RESULT in use"),
        Err(other) => println!("RESULT {other:?}"),
    }
}
