//! Somebody changes the file, with and without the database key. No wrong value ever comes out.
#![allow(clippy::unwrap_used)] // clippy.toml allows it in test functions, not in their helpers

mod common;

use common::{context, create, insider, keys, open, place, value};
use vault::{Keys, Vault, VaultError};

fn tampered<T: std::fmt::Debug>(result: Result<T, VaultError>, expected: &str) {
    assert!(
        matches!(&result, Err(VaultError::Tampered { name }) if name == expected),
        "{result:?}"
    );
}

/// The predecessor's ninth fault: values could be swapped between keys in the database.
#[test]
fn swapped_values_are_noticed() {
    let place = place();
    let vault = create(&place.path);
    vault.set("staging", b"harmless").unwrap();
    vault.set("production", b"precious").unwrap();
    vault.set("other", b"untouched").unwrap();
    vault.close().unwrap();

    insider(&place.path, &[1; 32])
        .execute_batch(
            "CREATE TEMP TABLE old AS SELECT * FROM secret;
             UPDATE secret SET (nonce, sealed) = (SELECT nonce, sealed FROM old WHERE name =
                 CASE secret.name WHEN 'staging' THEN 'production' ELSE 'staging' END)
             WHERE name IN ('staging', 'production');",
        )
        .unwrap();

    let vault = open(&place.path).unwrap();
    tampered(vault.get("staging"), "staging");
    tampered(vault.get("production"), "production");
    assert_eq!(value(&vault, "other").unwrap(), b"untouched");
    assert!(matches!(vault.verify(), Err(VaultError::Tampered { .. })));
    vault.set("staging", b"written anew").unwrap();
    assert_eq!(value(&vault, "staging").unwrap(), b"written anew");
}

/// Even when two profiles had the same keys, a row of one is nothing in the other.
#[test]
fn rows_of_another_profile_or_installation_are_noticed() {
    let place = place();
    create(&place.path).set("token", b"of work").unwrap();
    let vault = Vault::open(&place.path, keys(1), context("home")).unwrap();
    tampered(vault.get("token"), "token");
    vault.close().unwrap();

    let mut elsewhere = context("work");
    elsewhere.installation[15] ^= 1;
    let vault = Vault::open(&place.path, keys(1), elsewhere).unwrap();
    tampered(vault.get("token"), "token");
    vault.close().unwrap();
    assert_eq!(value(&open(&place.path).unwrap(), "token").unwrap(), b"of work");
}

#[test]
fn a_row_moved_between_files_is_noticed() {
    let place = place();
    create(&place.path).set("token", b"of work").unwrap();
    let home = place.directory.path().join("home.db");
    let vault = Vault::create(&home, keys(1), context("home")).unwrap();
    vault.set("token", b"of home").unwrap();
    vault.close().unwrap();

    let row: (Vec<u8>, Vec<u8>) = insider(&home, &[1; 32])
        .query_row("SELECT nonce, sealed FROM secret", [], |row| Ok((row.get(0)?, row.get(1)?)))
        .unwrap();
    insider(&place.path, &[1; 32])
        .execute("UPDATE secret SET nonce = ?1, sealed = ?2", row)
        .unwrap();
    tampered(open(&place.path).unwrap().get("token"), "token");
}

#[test]
fn nonsense_rows_are_noticed() {
    let place = place();
    create(&place.path).set("a", b"value").unwrap();
    for change in [
        "UPDATE secret SET sealed = x''",
        "UPDATE secret SET nonce = x'00'",
        "UPDATE secret SET sealed = zeroblob(100000)",
        "UPDATE secret SET nonce = zeroblob(12)",
    ] {
        insider(&place.path, &[1; 32]).execute_batch(change).unwrap();
        tampered(open(&place.path).unwrap().get("a"), "a");
    }
}

#[test]
fn the_wrong_keys_open_nothing() {
    let place = place();
    create(&place.path).set("a", b"value").unwrap();
    let opened = Vault::open(&place.path, keys(2), context("work"));
    assert!(matches!(opened, Err(VaultError::WrongKeyOrDamaged)), "{opened:?}");

    let mixed = Keys { database: keys(1).database, rows: keys(2).rows };
    let vault = Vault::open(&place.path, mixed, context("work")).unwrap();
    tampered(vault.get("a"), "a");
    vault.close().unwrap();
    assert_eq!(value(&open(&place.path).unwrap(), "a").unwrap(), b"value");
}

#[test]
fn other_files_are_not_vaults() {
    let place = place();
    create(&place.path).close().unwrap();
    let whole = std::fs::read(&place.path).unwrap();
    for (what, bytes) in [
        ("empty", Vec::new()),
        ("short", vec![7; 100]),
        ("zeros", vec![0; 8192]),
        ("text", b"SQLite format 3\0".repeat(512)),
        ("first page only", whole[..4096].to_vec()),
    ] {
        std::fs::write(&place.path, bytes).unwrap();
        let opened = open(&place.path);
        assert!(
            matches!(opened, Err(VaultError::WrongKeyOrDamaged | VaultError::Damaged { .. })),
            "{what}: {opened:?}"
        );
    }
    std::fs::write(&place.path, &whole[..whole.len() - 1]).unwrap();
    let checked = open(&place.path).unwrap().verify();
    assert!(matches!(checked, Err(VaultError::Damaged { .. })), "cut by a byte: {checked:?}");

    std::fs::remove_file(&place.path).unwrap();
    insider(&place.path, &[1; 32]).execute_batch("CREATE TABLE secret (name)").unwrap();
    let opened = open(&place.path);
    assert!(matches!(opened, Err(VaultError::Damaged { .. })), "no application_id: {opened:?}");
}

#[test]
fn another_format_is_named() {
    let place = place();
    create(&place.path).close().unwrap();
    insider(&place.path, &[1; 32]).execute_batch("PRAGMA user_version = 3").unwrap();
    let opened = open(&place.path);
    assert!(matches!(opened, Err(VaultError::Format { found: 3, known: 2 })), "{opened:?}");
}

#[test]
fn a_flipped_byte_never_yields_a_wrong_value() {
    let place = place();
    let expected = |n: usize| (0..n * 37).map(|i| (i * n) as u8).collect::<Vec<u8>>();
    let vault = create(&place.path);
    for n in 0..60 {
        vault.set(&format!("name {n}"), &expected(n)).unwrap();
    }
    vault.close().unwrap();

    let whole = std::fs::read(&place.path).unwrap();
    assert!(whole.len() > 20 * 4096, "several pages");
    let (mut refused, mut damaged) = (0, 0);
    for offset in (0..whole.len()).step_by(512).map(|start| start + start / 512 % 512) {
        let mut bytes = whole.clone();
        bytes[offset] ^= 0x10;
        std::fs::write(&place.path, &bytes).unwrap();
        let vault = match open(&place.path) {
            Ok(vault) => vault,
            Err(VaultError::WrongKeyOrDamaged | VaultError::Damaged { .. }) => {
                refused += 1;
                continue;
            }
            Err(other) => panic!("offset {offset}: {other:?}"),
        };
        let checked = vault.verify();
        assert!(matches!(checked, Err(VaultError::Damaged { .. })), "{offset}: {checked:?}");
        let mut failed = false;
        for n in 0..60 {
            match vault.get(&format!("name {n}")) {
                Ok(Some(value)) => assert_eq!(value.expose(), expected(n), "offset {offset}"),
                Err(VaultError::Damaged { .. }) => failed = true,
                other => panic!("offset {offset}, name {n}: {other:?}"),
            }
        }
        if failed {
            damaged += 1;
            let written = vault.set("name 1", b"x");
            assert!(matches!(written, Err(VaultError::Damaged { .. })), "{offset}: {written:?}");
        }
    }
    assert!(refused >= 8, "the first page: {refused}");
    assert!(damaged > 100, "the others: {damaged}");
}
