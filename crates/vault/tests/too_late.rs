//! Allocators that come too late are refused, not half installed in silence. One process a case.

mod common;

use vault::AllocatorError;

#[test]
fn allocators_after_the_first_use_are_refused() {
    // SQLCipher initialises OpenSSL too, so that either library may be the one to say so.
    drop(rusqlite::Connection::open_in_memory());
    let late = vault::install_allocators();
    assert!(
        matches!(late, Err(AllocatorError::OpenSslTooLate | AllocatorError::SqliteTooLate { .. })),
        "{late:?}"
    );
    assert_eq!(vault::install_allocators(), late, "and it stays so");
}

/// Without them everything works as well, with more copies in ordinary memory.
#[test]
fn a_vault_needs_no_allocators() {
    let directory = tempfile::tempdir().unwrap();
    let vault = common::create(&directory.path().join("vault.db"));
    vault.set("a", b"value").unwrap();
    assert_eq!(common::value(&vault, "a").unwrap(), b"value");
}
