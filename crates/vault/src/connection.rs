//! A keyed connection with every setting that matters made explicit, and checked.

use std::path::Path;

use rusqlite::{Connection, OpenFlags};
use secret_memory::Secret;

use crate::error::VaultError;
use crate::ffi;

/// `SesV`: tells a vault from any other SQLCipher file that the key might open.
const APPLICATION_ID: i64 = 0x5365_7356;
/// Version of the schema below.
const FORMAT: i64 = 2;

/// Before the key. SQLCipher logs to standard error by itself, and rusqlite waits five seconds for
/// somebody else's lock, who will hold it until he stops.
const FIRST: &str = "\
PRAGMA cipher_log_level = NONE;
PRAGMA cipher_log = off;
PRAGMA busy_timeout = 0;";

/// After the key and before the first query. These are SQLCipher 4's defaults; they are spelt out so
/// that a later default cannot change the file format. The KDF turns the raw key into the HMAC key.
const CIPHER: &str = "\
PRAGMA cipher_page_size = 4096;
PRAGMA cipher_use_hmac = ON;
PRAGMA cipher_hmac_algorithm = HMAC_SHA512;
PRAGMA cipher_kdf_algorithm = PBKDF2_HMAC_SHA512;
PRAGMA cipher_plaintext_header_size = 0;
PRAGMA cipher_memory_security = OFF;";
// cipher_memory_security would lock and wipe every allocation. The arena's pages are locked and its
// blocks are wiped already, and it would munlock(2) pages that hold other secrets.

const BEHAVIOUR: &str = "\
PRAGMA locking_mode = EXCLUSIVE;
PRAGMA journal_mode = TRUNCATE;
PRAGMA synchronous = FULL;
PRAGMA secure_delete = ON;
PRAGMA temp_store = MEMORY;
PRAGMA mmap_size = 0;
PRAGMA cache_size = -512;
PRAGMA trusted_schema = OFF;";

const SCHEMA: &str = "\
BEGIN EXCLUSIVE;
PRAGMA application_id = 1399157590;
PRAGMA user_version = 2;
CREATE TABLE secret (
    name TEXT NOT NULL PRIMARY KEY,
    nonce BLOB NOT NULL,
    sealed BLOB NOT NULL,
    updated INTEGER NOT NULL
) STRICT;
CREATE TABLE enrolment (
    generation INTEGER NOT NULL
) STRICT;
INSERT INTO enrolment VALUES (0);
COMMIT;";

/// Opens, locks and checks the vault at `path`.
pub(crate) fn open(path: &Path, key: &Secret<32>) -> Result<Connection, VaultError> {
    let connection = keyed(path, key)?;
    // The first query: it derives the key, and fails when the first page does not verify.
    lock(&connection)?;
    check_format(&connection)?;
    Ok(connection)
}

/// Writes the empty vault into the existing, empty file at `path`.
pub(crate) fn initialise(path: &Path, key: &Secret<32>) -> Result<(), VaultError> {
    let connection = keyed(path, key)?;
    connection.execute_batch(SCHEMA).map_err(|error| VaultError::of(&connection, &error))?;
    connection.close().map_err(|(_, error)| VaultError::without_connection(&error))
}

fn keyed(path: &Path, key: &Secret<32>) -> Result<Connection, VaultError> {
    // The mutex is our own (`Vault`). No URI: a path is a path.
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE
        | OpenFlags::SQLITE_OPEN_NO_MUTEX
        | OpenFlags::SQLITE_OPEN_EXRESCODE;
    let connection = Connection::open_with_flags(path, flags)
        .map_err(|error| VaultError::without_connection(&error))?;
    let run =
        |sql| connection.execute_batch(sql).map_err(|error| VaultError::of(&connection, &error));
    run(FIRST)?;
    check_library(&connection)?;
    if ffi::key(&connection, &raw_key(key)) != rusqlite::ffi::SQLITE_OK {
        return Err(VaultError::NotSqlCipher);
    }
    run(CIPHER)?;
    Ok(connection)
}

/// The settings of this connection, and the lock that keeps everybody else out until it closes.
fn lock(connection: &Connection) -> Result<(), VaultError> {
    let first = connection.query_row("SELECT count(*) FROM sqlite_schema", [], |_| Ok(()));
    let first = first.and_then(|()| connection.execute_batch(BEHAVIOUR));
    first.and_then(|()| connection.execute_batch("BEGIN EXCLUSIVE; COMMIT;")).map_err(|error| {
        match VaultError::of(connection, &error) {
            VaultError::Damaged { .. } => VaultError::WrongKeyOrDamaged,
            other => other,
        }
    })
}

fn check_library(connection: &Connection) -> Result<(), VaultError> {
    let version = connection.query_row("PRAGMA cipher_version", [], |row| row.get::<_, String>(0));
    match version {
        Ok(version) if version.starts_with("4.") => Ok(()),
        _ => Err(VaultError::NotSqlCipher),
    }
}

fn check_format(connection: &Connection) -> Result<(), VaultError> {
    let number = |pragma: &str| {
        connection
            .query_row(pragma, [], |row| row.get::<_, i64>(0))
            .map_err(|error| VaultError::of(connection, &error))
    };
    if connection.is_readonly("main").map_err(|error| VaultError::of(connection, &error))? {
        return Err(VaultError::ReadOnly);
    }
    if number("PRAGMA application_id")? != APPLICATION_ID {
        return Err(VaultError::damaged("it is not a vault"));
    }
    match number("PRAGMA user_version")? {
        FORMAT => Ok(()),
        found => Err(VaultError::Format { found, known: FORMAT }),
    }
}

/// `x'<64 hexadecimal digits>'`: SQLCipher's notation for a key that no password KDF touches.
fn raw_key(key: &Secret<32>) -> Secret<{ ffi::RAW_KEY_BYTES }> {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    Secret::from_fn(|text: &mut [u8; ffi::RAW_KEY_BYTES]| {
        *text = [b'\''; ffi::RAW_KEY_BYTES];
        text[0] = b'x';
        for (pair, byte) in text[2..].chunks_exact_mut(2).zip(key.expose()) {
            pair[0] = DIGITS[usize::from(byte >> 4)];
            pair[1] = DIGITS[usize::from(byte & 15)];
        }
    })
}
