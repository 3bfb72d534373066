//! The calls into C that rusqlite has no safe form for: handing the secret arena to SQLite and
//! OpenSSL as their allocator, keying a connection, and asking for its errno.

use std::ffi::{c_char, c_int, c_void};
use std::ptr;
use std::sync::{Mutex, PoisonError};

use rusqlite::Connection;
use rusqlite::ffi as sqlite;
use secret_memory::{Secret, c_allocator};

/// Length of a raw key in SQLCipher's notation, `x'` and 64 hexadecimal digits and `'`.
pub(crate) const RAW_KEY_BYTES: usize = 67;

/// Why SQLite or OpenSSL did not take the secret arena as its allocator.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AllocatorError {
    /// SQLite had been initialised, so that it has ordinary memory already.
    #[error("SQLite was used before it was given secret memory (code {code})")]
    SqliteTooLate {
        /// What `sqlite3_config` returned.
        code: i32,
    },
    /// OpenSSL had allocated already.
    #[error("OpenSSL was used before it was given secret memory")]
    OpenSslTooLate,
    /// The libraries did not start with the secret arena as their allocator.
    #[error("SQLite does not start with secret memory (code {code}); the arena may be too small")]
    Start {
        /// What `sqlite3_initialize` returned.
        code: i32,
    },
}

/// Makes SQLite and OpenSSL allocate in the secret arena, in this process and for good, and starts
/// both, so that OpenSSL's look at its configuration file happens before a sandbox forbids it.
///
/// To be called once, after [`secret_memory::init`] and before anything opens a database or uses
/// OpenSSL. Calling it again changes nothing. Vaults work without it, and then leave copies of keys
/// and pages in ordinary memory.
///
/// An open vault needs about 1.5 MiB of the arena with its page cache full.
///
/// # Errors
/// [`AllocatorError`]: it came too late. The process should stop then, since no later call helps.
pub fn install_allocators() -> Result<(), AllocatorError> {
    static INSTALLED: Mutex<bool> = Mutex::new(false);
    let mut installed = INSTALLED.lock().unwrap_or_else(PoisonError::into_inner);
    if !*installed {
        // OpenSSL first: SQLite's side starts to use OpenSSL as soon as it is initialised.
        install_in_openssl()?;
        install_in_sqlite()?;
        start()?;
        *installed = true;
    }
    Ok(())
}

fn install_in_sqlite() -> Result<(), AllocatorError> {
    let methods = sqlite::sqlite3_mem_methods {
        xMalloc: Some(sqlite_malloc),
        xFree: Some(release),
        xRealloc: Some(sqlite_realloc),
        xSize: Some(sqlite_size),
        xRoundup: Some(sqlite_roundup),
        xInit: Some(sqlite_init),
        xShutdown: Some(sqlite_shutdown),
        pAppData: ptr::null_mut(),
    };
    // SAFETY: SQLITE_CONFIG_MALLOC takes one `sqlite3_mem_methods *` and copies what it points to.
    let mut code =
        unsafe { sqlite::sqlite3_config(sqlite::SQLITE_CONFIG_MALLOC, &raw const methods) };
    if code == sqlite::SQLITE_OK {
        // The arena counts for itself; SQLite's own statistics cost a mutex on every allocation.
        let off: c_int = 0;
        // SAFETY: SQLITE_CONFIG_MEMSTATUS takes one int.
        code = unsafe { sqlite::sqlite3_config(sqlite::SQLITE_CONFIG_MEMSTATUS, off) };
    }
    if code == sqlite::SQLITE_OK { Ok(()) } else { Err(AllocatorError::SqliteTooLate { code }) }
}

fn start() -> Result<(), AllocatorError> {
    // SAFETY: may be called at any time and from any thread; what it starts stays for ever.
    let code = unsafe { sqlite::sqlite3_initialize() };
    if code == sqlite::SQLITE_OK { Ok(()) } else { Err(AllocatorError::Start { code }) }
}

fn install_in_openssl() -> Result<(), AllocatorError> {
    // SAFETY: the hooks have the signatures of <openssl/crypto.h>, never unwind, and live for ever.
    let taken = unsafe { CRYPTO_set_mem_functions(openssl_malloc, openssl_realloc, openssl_free) };
    if taken == 1 { Ok(()) } else { Err(AllocatorError::OpenSslTooLate) }
}

/// Gives `connection` its raw key.
///
/// Returns SQLite's code. SQLCipher keeps a copy of the key's text until the first query.
pub(crate) fn key(connection: &Connection, key: &Secret<RAW_KEY_BYTES>) -> c_int {
    let text = key.expose();
    // SAFETY: the handle is open as long as `connection` is borrowed; SQLCipher copies exactly the
    // `RAW_KEY_BYTES` bytes that `text` holds.
    unsafe {
        sqlite::sqlite3_key(connection.handle(), text.as_ptr().cast(), RAW_KEY_BYTES as c_int)
    }
}

/// The errno behind the latest failure of `connection`; 0 when the system reported none.
pub(crate) fn system_errno(connection: &Connection) -> c_int {
    // SAFETY: the handle is open as long as `connection` is borrowed.
    unsafe { sqlite::sqlite3_system_errno(connection.handle()) }
}

type OpenSslMalloc = unsafe extern "C" fn(usize, *const c_char, c_int) -> *mut c_void;
type OpenSslRealloc = unsafe extern "C" fn(*mut c_void, usize, *const c_char, c_int) -> *mut c_void;
type OpenSslFree = unsafe extern "C" fn(*mut c_void, *const c_char, c_int);

// libcrypto is linked by libsqlite3-sys.
unsafe extern "C" {
    fn CRYPTO_set_mem_functions(
        malloc: OpenSslMalloc,
        realloc: OpenSslRealloc,
        free: OpenSslFree,
    ) -> c_int;
}

unsafe extern "C" fn release(block: *mut c_void) {
    // SAFETY: the library gives back what one of the hooks here gave it, once.
    unsafe { c_allocator::release(block) }
}

unsafe extern "C" fn sqlite_malloc(bytes: c_int) -> *mut c_void {
    usize::try_from(bytes).map_or(ptr::null_mut(), c_allocator::allocate)
}

unsafe extern "C" fn sqlite_realloc(block: *mut c_void, bytes: c_int) -> *mut c_void {
    let Ok(bytes) = usize::try_from(bytes) else { return ptr::null_mut() };
    // SAFETY: SQLite passes a live block of ours.
    unsafe { c_allocator::reallocate(block, bytes) }
}

unsafe extern "C" fn sqlite_size(block: *mut c_void) -> c_int {
    c_int::try_from(c_allocator::usable_size(block)).unwrap_or(c_int::MAX)
}

/// A multiple of eight is all that SQLite needs. To name the block's real size (a power of two)
/// would make it treat a page of 4.3 KiB as one of 8.
unsafe extern "C" fn sqlite_roundup(bytes: c_int) -> c_int {
    bytes.checked_add(7).map_or(bytes, |bytes| bytes & !7)
}

unsafe extern "C" fn sqlite_init(_: *mut c_void) -> c_int {
    sqlite::SQLITE_OK
}

unsafe extern "C" fn sqlite_shutdown(_: *mut c_void) {}

unsafe extern "C" fn openssl_malloc(bytes: usize, _: *const c_char, _: c_int) -> *mut c_void {
    if bytes == 0 { ptr::null_mut() } else { c_allocator::allocate(bytes) }
}

/// With OpenSSL's own meaning of zero, which hooks have to provide themselves.
unsafe extern "C" fn openssl_realloc(
    block: *mut c_void,
    bytes: usize,
    _: *const c_char,
    _: c_int,
) -> *mut c_void {
    // SAFETY: OpenSSL passes null or a live block of ours, and gives it up when `bytes` is 0.
    unsafe {
        if bytes == 0 {
            c_allocator::release(block);
            return ptr::null_mut();
        }
        c_allocator::reallocate(block, bytes)
    }
}

unsafe extern "C" fn openssl_free(block: *mut c_void, _: *const c_char, _: c_int) {
    // SAFETY: as for `release`.
    unsafe { c_allocator::release(block) }
}

#[cfg(test)]
mod tests {
    use super::*;

    unsafe extern "C" {
        fn CRYPTO_malloc(bytes: usize, file: *const c_char, line: c_int) -> *mut c_void;
        fn CRYPTO_realloc(
            block: *mut c_void,
            bytes: usize,
            file: *const c_char,
            line: c_int,
        ) -> *mut c_void;
    }

    /// The whole test of this binary that uses either library, so that it cannot come too late.
    #[test]
    fn both_libraries_allocate_in_the_arena() {
        assert_eq!(install_allocators(), Ok(()));
        // SAFETY: plain allocation calls; each block is used within its size and freed once.
        unsafe {
            let block = sqlite::sqlite3_malloc(100);
            assert_eq!(c_allocator::usable_size(block), 128, "SQLite's block is of the arena");
            let block = sqlite::sqlite3_realloc(block, 1000);
            assert_eq!(c_allocator::usable_size(block), 1024);
            sqlite::sqlite3_free(block);

            let block = CRYPTO_malloc(100, ptr::null(), 0);
            assert_eq!(c_allocator::usable_size(block), 128, "OpenSSL's block is of the arena");
            assert!(CRYPTO_realloc(block, 0, ptr::null(), 0).is_null(), "which frees");
            assert!(CRYPTO_malloc(0, ptr::null(), 0).is_null());
        }
        assert_eq!(install_allocators(), Ok(()), "a second call changes nothing");
    }
}
