//! The unlock key as a credential of the service manager (systemd.exec(5), Credentials).

use std::fs::File;
use std::io;
use std::path::PathBuf;

use daemon_runtime::StartError;
use secret_memory::{Secret, SecretBytes};

/// The name of the credential: 32 bytes, as they are.
pub const NAME: &str = "cicada.unlock-key";

/// The unlock key, if the service manager has brought one.
///
/// # Errors
/// When there is one that is none.
pub fn take() -> Result<Option<Secret<32>>, StartError> {
    let Some(directory) = std::env::var_os("CREDENTIALS_DIRECTORY") else { return Ok(None) };
    let path = PathBuf::from(directory).join(NAME);
    let mut file = match File::open(&path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        file => file.map_err(|source| StartError::Key { path: path.clone(), source })?,
    };
    let wrong_size = || io::Error::new(io::ErrorKind::InvalidData, "an unlock key has 32 bytes");
    let key = SecretBytes::read_from(&mut file, 32).and_then(|bytes| {
        let key: &[u8; 32] = bytes.expose().try_into().map_err(|_| wrong_size())?;
        Ok(Secret::copy_of(key))
    });
    key.map(Some).map_err(|source| StartError::Key { path, source })
}
