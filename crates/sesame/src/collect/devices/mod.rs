//! The drivers of `unlock-factors`, with the choices of the command line and its exit codes.

#[cfg(feature = "fido2")]
pub mod fido2;
#[cfg(not(all(feature = "fido2", feature = "tpm", feature = "yubikey")))]
mod left_out;
pub mod ssh_agent;
#[cfg(feature = "tpm")]
pub mod tpm;
#[cfg(feature = "yubikey")]
pub mod yubikey;

use std::path::PathBuf;

use key_hierarchy::Parameters;
use secret_memory::SecretBytes;
use unlock_factors::Environment;

use crate::cli::{Devices, EnrollOptions};
use crate::exit::{Code, Failure};

#[cfg(not(feature = "fido2"))]
pub use left_out::fido2;
#[cfg(not(feature = "tpm"))]
pub use left_out::tpm;
#[cfg(not(feature = "yubikey"))]
pub use left_out::yubikey;

/// Public parameters, and what the device answers to them.
pub type Made = (Parameters, SecretBytes);

/// Where agents and devices are looked for.
pub fn environment(devices: &Devices) -> Environment {
    let tcti = devices.tcti.clone().unwrap_or_else(|| "device:/dev/tpmrm0".to_owned());
    Environment { ssh_auth_sock: ssh_auth_sock(), tcti }
}

fn ssh_auth_sock() -> Option<PathBuf> {
    std::env::var_os("SSH_AUTH_SOCK").filter(|path| !path.is_empty()).map(PathBuf::from)
}
