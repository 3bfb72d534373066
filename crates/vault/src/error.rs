//! Why an operation on a vault failed.

use std::io;
use std::path::PathBuf;

use rusqlite::ffi as sqlite;
use rusqlite::{Connection, Error, ErrorCode};

use crate::ffi::system_errno;

/// Why an operation on a vault failed. No text holds a value, a key or a statement.
#[derive(Debug, thiserror::Error)]
pub enum VaultError {
    /// There is a file already, and creating never overwrites.
    #[error("{} exists already; a vault is never overwritten", .path.display())]
    Exists {
        /// The file.
        path: PathBuf,
    },
    /// There is no file.
    #[error("no vault at {}; create it with `sesame init`", .path.display())]
    Missing {
        /// The file.
        path: PathBuf,
    },
    /// The first page does not open. The two causes cannot be told apart from the file.
    #[error("the vault does not open: wrong key, or its first page is damaged")]
    WrongKeyOrDamaged,
    /// The file, or a later page of it, is not what was written.
    #[error("the vault is damaged ({detail}); restore it from a backup")]
    Damaged {
        /// What was found, in a few words.
        detail: String,
    },
    /// A value was not sealed for this name, profile and installation.
    #[error("the value of {name:?} was not written under this name by this installation")]
    Tampered {
        /// Name of the row.
        name: String,
    },
    /// Another process, or another [`crate::Vault`] of this one, has the file open.
    #[error("the vault is in use by another process")]
    InUse,
    /// The disk is full; nothing was changed.
    #[error("no space left for the vault; nothing was changed")]
    Full,
    /// The file or its directory cannot be written; nothing was changed.
    #[error("the vault or its directory is read-only; nothing was changed")]
    ReadOnly,
    /// The secret arena has no room.
    #[error("out of secret memory")]
    OutOfSecretMemory,
    /// A name or a value is over its limit.
    #[error("a {what} of {bytes} bytes is too large; the limit is {limit}")]
    TooLarge {
        /// `name` or `value`.
        what: &'static str,
        /// Its size in bytes.
        bytes: usize,
        /// The limit in bytes.
        limit: usize,
    },
    /// The file was written by another version of this program.
    #[error("the vault has format {found}, and this program knows format {known}")]
    Format {
        /// Version in the file.
        found: i64,
        /// Version that this program writes.
        known: i64,
    },
    /// The linked library is not a SQLCipher 4, so that nothing would be encrypted as it should.
    #[error("the database library is not SQLCipher 4")]
    NotSqlCipher,
    /// The system refused something.
    #[error("the vault cannot be read or written")]
    Io(#[from] io::Error),
    /// SQLite refused something that none of the above describes.
    #[error("the database reports: {detail} ({code})")]
    Sqlite {
        /// Extended result code.
        code: i32,
        /// SQLite's fixed text for it.
        detail: &'static str,
    },
}

impl VaultError {
    pub(crate) fn damaged(detail: impl Into<String>) -> Self {
        Self::Damaged { detail: detail.into() }
    }

    /// What `error`, the latest on `connection`, means.
    pub(crate) fn of(connection: &Connection, error: &Error) -> Self {
        let Error::SqliteFailure(failure, _) = error else {
            return Self::without_connection(error);
        };
        let errno = system_errno(connection);
        match failure.code {
            // An open vault opens one other file, its journal, and creates it first. SQLite then
            // tries to read what it could not create, and that is the errno which is left.
            ErrorCode::CannotOpen if errno == libc::ENOENT => Self::ReadOnly,
            ErrorCode::SystemIoFailure | ErrorCode::CannotOpen => {
                from_errno(errno).unwrap_or_else(|| failed_io(failure.extended_code, errno))
            }
            // A page that did not decrypt leaves SQLCipher in an error state that shows as almost
            // any code later, out of memory among them.
            _ if codec_failed(connection) => Self::damaged("a page failed its integrity check"),
            _ => Self::without_connection(error),
        }
    }

    /// What `error` means, going by its code alone.
    pub(crate) fn without_connection(error: &Error) -> Self {
        let Error::SqliteFailure(failure, _) = error else {
            return match error {
                Error::InvalidColumnType(..)
                | Error::FromSqlConversionFailure(..)
                | Error::IntegralValueOutOfRange(..)
                | Error::Utf8Error(..) => Self::damaged("a row has a value of the wrong type"),
                Error::NulError(_) | Error::InvalidPath(_) => {
                    Self::Io(io::Error::from(io::ErrorKind::InvalidInput))
                }
                _ => Self::Sqlite {
                    code: sqlite::SQLITE_ERROR,
                    detail: sqlite::code_to_str(sqlite::SQLITE_ERROR),
                },
            };
        };
        let detail = sqlite::code_to_str(failure.extended_code);
        match failure.code {
            ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked => Self::InUse,
            ErrorCode::DiskFull => Self::Full,
            ErrorCode::ReadOnly | ErrorCode::PermissionDenied => Self::ReadOnly,
            ErrorCode::OutOfMemory => Self::OutOfSecretMemory,
            ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase => Self::damaged(detail),
            _ => Self::Sqlite { code: failure.extended_code, detail },
        }
    }
}

impl From<crate::seal::SealError> for VaultError {
    fn from(error: crate::seal::SealError) -> Self {
        match error {
            crate::seal::SealError::NoRandomness(error) => Self::Io(io::Error::other(error)),
            crate::seal::SealError::TooLong => {
                Self::TooLarge { what: "value", bytes: usize::MAX, limit: crate::MAX_VALUE_BYTES }
            }
        }
    }
}

/// The errno values that say what to do about them.
fn from_errno(errno: i32) -> Option<VaultError> {
    match errno {
        libc::ENOSPC | libc::EDQUOT => Some(VaultError::Full),
        libc::EROFS | libc::EACCES | libc::EPERM => Some(VaultError::ReadOnly),
        // A journal that is there and can't be opened for writing is opened for reading, and then
        // written to.
        libc::EBADF => Some(VaultError::ReadOnly),
        _ => None,
    }
}

fn failed_io(code: i32, errno: i32) -> VaultError {
    let detail = sqlite::code_to_str(code);
    match code {
        sqlite::SQLITE_IOERR_NOMEM => VaultError::OutOfSecretMemory,
        sqlite::SQLITE_IOERR_READ
        | sqlite::SQLITE_IOERR_SHORT_READ
        | sqlite::SQLITE_IOERR_DATA
        | sqlite::SQLITE_IOERR_CORRUPTFS => VaultError::damaged(detail),
        _ if errno != 0 => VaultError::Io(io::Error::from_raw_os_error(errno)),
        _ => VaultError::Sqlite { code, detail },
    }
}

/// Whether SQLCipher has given up on this connection.
fn codec_failed(connection: &Connection) -> bool {
    connection
        .query_row("PRAGMA cipher_status", [], |row| row.get::<_, String>(0))
        .is_ok_and(|status| status == "0")
}
