//! Values go in and come out, names are listed, limits hold, and a vault is never overwritten.
#![allow(clippy::unwrap_used)] // clippy.toml allows it in test functions, not in their helpers

mod common;

use std::os::unix::fs::PermissionsExt;

use common::{context, create, keys, open, place, value};
use vault::{MAX_NAME_BYTES, MAX_VALUE_BYTES, Vault, VaultError, Written};

#[test]
fn values_come_back_as_they_went_in() {
    let place = place();
    let vault = create(&place.path);
    let binary: Vec<u8> = (0..=255).cycle().take(10_000).collect();
    let large = vec![0xa5; MAX_VALUE_BYTES];
    let values: [(&str, &[u8]); 6] = [
        ("empty", b""),
        ("text", b"hunter2"),
        ("binary", &binary),
        ("large", &large),
        ("", b"the empty name"),
        ("sp ace/\u{1f512}'\"", b"a name with everything"),
    ];
    for (name, bytes) in values {
        assert_eq!(vault.set(name, bytes).unwrap(), Written { replaced: false });
        assert_eq!(value(&vault, name).as_deref(), Some(bytes), "{name:?} from memory");
    }
    vault.verify().unwrap();
    vault.close().unwrap();

    let vault = open(&place.path).unwrap();
    for (name, bytes) in values {
        assert_eq!(value(&vault, name).as_deref(), Some(bytes), "{name:?} from disk");
    }
    assert_eq!(value(&vault, "other"), None);
    assert_eq!(vault.count().unwrap(), 6);
    vault.verify().unwrap();
}

#[test]
fn the_last_write_counts() {
    let place = place();
    let vault = create(&place.path);
    assert!(!vault.set("a", b"one").unwrap().replaced);
    assert!(vault.set("a", b"two, and longer").unwrap().replaced);
    assert_eq!(value(&vault, "a").unwrap(), b"two, and longer");
    assert!(vault.delete("a").unwrap());
    assert!(!vault.delete("a").unwrap());
    assert_eq!(value(&vault, "a"), None);
    assert!(!vault.set("a", b"three").unwrap().replaced);
    assert_eq!(vault.count().unwrap(), 1);
}

#[test]
fn what_must_be_new_replaces_nothing() {
    let place = place();
    let vault = create(&place.path);
    assert!(vault.insert("a", b"one").unwrap());
    assert!(!vault.insert("a", b"two").unwrap());
    assert_eq!(value(&vault, "a").unwrap(), b"one");
}

#[test]
fn names_are_listed_in_order() {
    let place = place();
    let vault = create(&place.path);
    assert!(vault.list().unwrap().is_empty());
    for name in ["b", "a", "a/b", "B", "\u{e9}", "a1"] {
        vault.set(name, b"x").unwrap();
    }
    assert_eq!(vault.list().unwrap(), ["B", "a", "a/b", "a1", "b", "\u{e9}"]);
}

#[test]
fn limits_hold() {
    let place = place();
    let vault = create(&place.path);
    let (longest, too_long) = ("n".repeat(MAX_NAME_BYTES), "n".repeat(MAX_NAME_BYTES + 1));
    vault.set(&longest, b"x").unwrap();
    assert_eq!(value(&vault, &longest).unwrap(), b"x");
    let refused = |result: Result<(), VaultError>, expected: &str| {
        assert!(
            matches!(result, Err(VaultError::TooLarge { what, .. }) if what == expected),
            "{result:?}"
        );
    };
    refused(vault.set(&too_long, b"x").map(drop), "name");
    refused(vault.get(&too_long).map(drop), "name");
    refused(vault.delete(&too_long).map(drop), "name");
    refused(vault.set("v", &vec![0; MAX_VALUE_BYTES + 1]).map(drop), "value");
    assert_eq!(vault.list().unwrap(), [longest]);
}

#[test]
fn a_vault_is_never_overwritten() {
    let place = place();
    create(&place.path).set("kept", b"x").unwrap();
    let again = Vault::create(&place.path, keys(2), context("work"));
    assert!(matches!(again, Err(VaultError::Exists { .. })), "{again:?}");
    assert_eq!(value(&open(&place.path).unwrap(), "kept").unwrap(), b"x");

    let other = place.directory.path().join("other");
    std::fs::write(&other, b"").unwrap();
    let again = Vault::create(&other, keys(2), context("work"));
    assert!(matches!(again, Err(VaultError::Exists { .. })), "an empty file counts: {again:?}");
}

#[test]
fn a_missing_vault_is_not_created_by_opening() {
    let place = place();
    assert!(matches!(open(&place.path), Err(VaultError::Missing { .. })));
    assert!(!place.path.exists());
}

#[test]
fn creating_leaves_one_private_file() {
    let place = place();
    create(&place.path).close().unwrap();
    let names: Vec<_> = std::fs::read_dir(place.directory.path())
        .unwrap()
        .map(|entry| entry.unwrap().file_name())
        .collect();
    assert_eq!(names, ["vault.db"]);
    let mode = place.path.metadata().unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);

    let vault = open(&place.path).unwrap();
    vault.set("a", b"x").unwrap();
    let journal = place.directory.path().join("vault.db-journal").metadata().unwrap();
    assert_eq!(journal.permissions().mode() & 0o777, 0o600);
    assert_eq!(journal.len(), 0, "the journal is truncated at commit");
}

#[test]
fn the_cipher_is_the_one_that_was_chosen() {
    let place = place();
    create(&place.path).set("a", b"a value in the clear").unwrap();
    let bytes = std::fs::read(&place.path).unwrap();
    assert_eq!(bytes.len() % 4096, 0);
    assert!(!bytes.starts_with(b"SQLite format 3"));
    let connection = common::insider(&place.path, &[1; 32]);
    connection
        .execute_batch(
            "PRAGMA cipher_page_size = 4096; PRAGMA cipher_hmac_algorithm = HMAC_SHA512;",
        )
        .unwrap();
    let name: String =
        connection.query_row("SELECT name FROM secret", [], |row| row.get(0)).unwrap();
    assert_eq!(name, "a");
}

#[test]
fn threads_take_turns() {
    let place = place();
    let vault = create(&place.path);
    std::thread::scope(|scope| {
        for thread in 0..4_u8 {
            let vault = &vault;
            scope.spawn(move || {
                for round in 0..10_u8 {
                    let name = format!("{thread}/{}", round % 3);
                    vault.set(&name, &[thread, round]).unwrap();
                    assert_eq!(value(vault, &name).unwrap(), [thread, round]);
                }
            });
        }
    });
    assert_eq!(vault.count().unwrap(), 12);
    vault.verify().unwrap();
}
