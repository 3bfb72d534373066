//! The open vault: named values in, named values out.

use std::io;
use std::path::Path;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{SystemTime, UNIX_EPOCH};

use rusqlite::types::ValueRef;
use rusqlite::{Connection, Error, Row};
use secret_memory::SecretBytes;

use crate::error::VaultError;
use crate::keys::{Context, Keys};
use crate::seal::{OpenError, Sealer};
use crate::{connection, create};

/// The longest name, in bytes.
pub const MAX_NAME_BYTES: usize = 256;
/// The largest value, in bytes.
pub const MAX_VALUE_BYTES: usize = 65536;

/// What [`Vault::set`] did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Written {
    /// There was a value of this name before.
    pub replaced: bool,
}

/// The open vault of one profile. Dropping it closes the file and wipes the keys.
///
/// Every method may be called from several threads; they take turns.
pub struct Vault {
    connection: Mutex<Connection>,
    sealer: Sealer,
}

impl Vault {
    /// Creates the vault at `path` (mode 0600) and opens it.
    ///
    /// File and directory are synced before this returns. A power cut on the way leaves no file at
    /// `path`, at worst a draft beside it (`vault.db.….new`) that holds no secret.
    ///
    /// # Errors
    /// [`VaultError::Exists`] for whatever is at `path` already; otherwise as [`Vault::open`].
    pub fn create(path: &Path, keys: Keys, context: Context) -> Result<Self, VaultError> {
        create::create(path, &keys.database)?;
        Self::open(path, keys, context)
    }

    /// Opens the vault at `path` and keeps every other process out of it.
    ///
    /// # Errors
    /// [`VaultError::Missing`], [`VaultError::WrongKeyOrDamaged`], [`VaultError::InUse`],
    /// [`VaultError::ReadOnly`] (a vault that cannot be written is not opened either),
    /// [`VaultError::Format`], and what the system reports.
    pub fn open(path: &Path, keys: Keys, context: Context) -> Result<Self, VaultError> {
        match path.metadata() {
            Ok(_) => {}
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                return Err(VaultError::Missing { path: path.to_owned() });
            }
            Err(error) => return Err(error.into()),
        }
        let connection = Mutex::new(connection::open(path, &keys.database)?);
        Ok(Self { connection, sealer: Sealer::new(keys.rows, &context) })
    }

    /// The value of `name`; `None` when there is none.
    ///
    /// # Errors
    /// [`VaultError::Tampered`], [`VaultError::Damaged`] (every later call fails too then),
    /// [`VaultError::OutOfSecretMemory`].
    pub fn get(&self, name: &str) -> Result<Option<SecretBytes>, VaultError> {
        check_name(name)?;
        let connection = self.lock();
        let failed = |error| VaultError::of(&connection, &error);
        let mut statement = connection
            .prepare_cached("SELECT nonce, sealed FROM secret WHERE name = ?1")
            .map_err(failed)?;
        let mut rows = statement.query([name]).map_err(failed)?;
        match rows.next().map_err(failed)? {
            Some(row) => self.unseal(name, row, 0).map(Some),
            None => Ok(None),
        }
    }

    /// Writes the value of `name`; durable when this returns, unchanged when it fails.
    ///
    /// # Errors
    /// [`VaultError::TooLarge`] over [`MAX_NAME_BYTES`] or [`MAX_VALUE_BYTES`],
    /// [`VaultError::Full`], [`VaultError::ReadOnly`], [`VaultError::Damaged`].
    pub fn set(&self, name: &str, value: &[u8]) -> Result<Written, VaultError> {
        check_name(name)?;
        check_size("value", value.len(), MAX_VALUE_BYTES)?;
        let sealed = self.sealer.seal(name, value)?;
        let row = (name, &sealed.nonce, &sealed.bytes, now());
        let connection = self.lock();
        let write = |sql| connection.prepare_cached(sql)?.execute(row);
        // Each is atomic by itself, and nobody else can write between them.
        let replaced = write(
            "UPDATE secret SET nonce = ?2, sealed = ?3, updated = ?4 WHERE name = ?1",
        )
        .and_then(|rows| {
            if rows == 0 {
                write("INSERT INTO secret (name, nonce, sealed, updated) VALUES (?1, ?2, ?3, ?4)")?;
            }
            Ok(rows > 0)
        })
        .map_err(|error| VaultError::of(&connection, &error))?;
        Ok(Written { replaced })
    }

    /// As [`Vault::set`], unless there is a value of that name. Returns whether it was written.
    ///
    /// # Errors
    /// As [`Vault::set`].
    pub fn insert(&self, name: &str, value: &[u8]) -> Result<bool, VaultError> {
        check_name(name)?;
        check_size("value", value.len(), MAX_VALUE_BYTES)?;
        let sealed = self.sealer.seal(name, value)?;
        let row = (name, &sealed.nonce, &sealed.bytes, now());
        self.with(|connection| {
            let sql = "INSERT INTO secret (name, nonce, sealed, updated) VALUES (?1, ?2, ?3, ?4) \
                       ON CONFLICT (name) DO NOTHING";
            connection.prepare_cached(sql)?.execute(row)
        })
        .map(|rows| rows > 0)
    }

    /// Removes `name` and overwrites its value in the file. Returns whether it was there.
    ///
    /// # Errors
    /// As [`Vault::set`].
    pub fn delete(&self, name: &str) -> Result<bool, VaultError> {
        check_name(name)?;
        self.with(|connection| {
            connection.prepare_cached("DELETE FROM secret WHERE name = ?1")?.execute([name])
        })
        .map(|rows| rows > 0)
    }

    /// All names, sorted by their bytes.
    ///
    /// # Errors
    /// [`VaultError::Damaged`].
    pub fn list(&self) -> Result<Vec<String>, VaultError> {
        self.with(|connection| {
            connection
                .prepare_cached("SELECT name FROM secret ORDER BY name")?
                .query_map([], |row| row.get(0))?
                .collect()
        })
    }

    /// Number of values.
    ///
    /// # Errors
    /// [`VaultError::Damaged`].
    pub fn count(&self) -> Result<u64, VaultError> {
        let count: i64 = self.with(|connection| {
            connection
                .prepare_cached("SELECT count(*) FROM secret")?
                .query_row([], |row| row.get(0))
        })?;
        u64::try_from(count).map_err(|_| VaultError::damaged("a negative number of rows"))
    }

    /// Which generation of the profile's unlock metadata this vault belongs to; 0 in a new one.
    ///
    /// # Errors
    /// [`VaultError::Damaged`].
    pub fn generation(&self) -> Result<u64, VaultError> {
        let generation: i64 = self.with(|connection| {
            connection
                .prepare_cached("SELECT generation FROM enrolment")?
                .query_row([], |row| row.get(0))
        })?;
        u64::try_from(generation).map_err(|_| VaultError::damaged("a negative generation"))
    }

    /// Notes the generation of the unlock metadata; durable when this returns.
    ///
    /// # Errors
    /// As [`Vault::set`].
    pub fn set_generation(&self, generation: u64) -> Result<(), VaultError> {
        let generation = i64::try_from(generation)
            .map_err(|_| VaultError::damaged("a generation beyond all numbers"))?;
        self.with(|connection| {
            connection.prepare_cached("UPDATE enrolment SET generation = ?1")?.execute([generation])
        })
        .map(drop)
    }

    /// Writes every value into a new vault at `path`, under other keys or for another profile, and
    /// returns it open. Each value is unsealed, and so checked, on its way.
    ///
    /// # Errors
    /// As [`Vault::create`] and [`Vault::get`]. What is at `path` then is to be removed.
    pub fn copy_to(&self, path: &Path, keys: Keys, context: Context) -> Result<Self, VaultError> {
        let copy = Self::create(path, keys, context)?;
        copy.with(|connection| connection.execute_batch("BEGIN EXCLUSIVE"))?;
        {
            let connection = self.lock();
            let failed = |error| VaultError::of(&connection, &error);
            let mut all = connection
                .prepare("SELECT name, nonce, sealed FROM secret ORDER BY name")
                .map_err(failed)?;
            let mut rows = all.query([]).map_err(failed)?;
            while let Some(row) = rows.next().map_err(failed)? {
                let name: String = row.get(0).map_err(failed)?;
                copy.set(&name, self.unseal(&name, row, 1)?.expose())?;
            }
        }
        copy.with(|connection| connection.execute_batch("COMMIT"))?;
        copy.set_generation(self.generation()?)?;
        Ok(copy)
    }

    /// Checks every page of the file and the seal of every value. Reads all of it.
    ///
    /// # Errors
    /// The first thing found: [`VaultError::Damaged`] or [`VaultError::Tampered`].
    pub fn verify(&self) -> Result<(), VaultError> {
        let connection = self.lock();
        let failed = |error| VaultError::of(&connection, &error);
        let mut pages = connection.prepare("PRAGMA cipher_integrity_check").map_err(failed)?;
        let mut findings = pages.query([]).map_err(failed)?;
        if let Some(row) = findings.next().map_err(failed)? {
            return Err(VaultError::damaged(row.get::<_, String>(0).map_err(failed)?));
        }
        let mut all =
            connection.prepare("SELECT name, nonce, sealed FROM secret").map_err(failed)?;
        let mut rows = all.query([]).map_err(failed)?;
        while let Some(row) = rows.next().map_err(failed)? {
            let name: String = row.get(0).map_err(failed)?;
            self.unseal(&name, row, 1)?;
        }
        Ok(())
    }

    /// Closes the file, and reports what dropping could not.
    ///
    /// # Errors
    /// What SQLite reports; the keys are wiped all the same.
    pub fn close(self) -> Result<(), VaultError> {
        let connection = self.connection.into_inner().unwrap_or_else(PoisonError::into_inner);
        connection.close().map_err(|(connection, error)| VaultError::of(&connection, &error))
    }

    /// Opens the seal of a row whose nonce is in `column` and whose value is in the next.
    fn unseal(&self, name: &str, row: &Row<'_>, column: usize) -> Result<SecretBytes, VaultError> {
        let tampered = || VaultError::Tampered { name: name.to_owned() };
        let (Ok(ValueRef::Blob(nonce)), Ok(ValueRef::Blob(sealed))) =
            (row.get_ref(column), row.get_ref(column + 1))
        else {
            return Err(tampered());
        };
        self.sealer.open(name, nonce, sealed).map_err(|error| match error {
            OpenError::Tampered => tampered(),
            OpenError::NoMemory => VaultError::OutOfSecretMemory,
        })
    }

    fn with<T>(&self, work: impl FnOnce(&Connection) -> Result<T, Error>) -> Result<T, VaultError> {
        let connection = self.lock();
        work(&connection).map_err(|error| VaultError::of(&connection, &error))
    }

    /// A thread that panicked has rolled back by unwinding, so that the connection is still good.
    fn lock(&self) -> MutexGuard<'_, Connection> {
        self.connection.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl std::fmt::Debug for Vault {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Vault")
    }
}

fn check_name(name: &str) -> Result<(), VaultError> {
    check_size("name", name.len(), MAX_NAME_BYTES)
}

fn check_size(what: &'static str, bytes: usize, limit: usize) -> Result<(), VaultError> {
    if bytes > limit { Err(VaultError::TooLarge { what, bytes, limit }) } else { Ok(()) }
}

/// Seconds since 1970, for people; nothing depends on it.
fn now() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_secs()).unwrap_or(i64::MAX)
}
