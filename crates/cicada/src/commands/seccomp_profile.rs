//! `cicada seccomp-profile`: the daemon's own tables of system calls, for whoever runs it in another
//! way than its unit.

use std::io::{self, Write};
use std::process::ExitCode;

use clap::{Args, ValueEnum};
use hardening::seccomp::{SERVICE, STARTUP, UNKNOWN, oci};

/// Print the system calls that cicada needs as a profile for a container runtime
#[derive(Args, Debug)]
pub struct SeccompProfile {
    /// The form of the profile
    #[arg(long, value_enum, default_value_t = Format::Oci)]
    format: Format,
}

/// A form that a runtime reads.
#[derive(Clone, Copy, Debug, ValueEnum)]
enum Format {
    /// The `seccomp` object of the OCI runtime specification, for crun, runc, nerdctl and podman
    Oci,
}

impl SeccompProfile {
    /// Runs the command: 0, or 1 when the profile could not be written.
    #[must_use]
    pub fn run(&self) -> ExitCode {
        let Format::Oci = self.format;
        match oci().and_then(|text| io::stdout().write_all(text.as_bytes())) {
            Ok(()) => ExitCode::SUCCESS,
            Err(error) => {
                eprintln!("cicada: the profile could not be written ({error})");
                ExitCode::FAILURE
            }
        }
    }
}

/// The same text each time, for a file that is kept and compared.
fn oci() -> io::Result<String> {
    let profile = oci::profile(&[SERVICE, STARTUP], UNKNOWN);
    Ok(serde_json::to_string_pretty(&profile)? + "\n")
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::path::Path;

    use super::*;

    /// The reviewed copy, which compose.yaml names. To renew it, run the command of the failure.
    #[test]
    #[cfg(target_arch = "x86_64")]
    fn the_shipped_profile_is_the_generated_one() {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("packaging/container/seccomp.json");
        let shipped = fs::read_to_string(&path).unwrap_or_default();
        let command = "cargo run -p cicada -- seccomp-profile --format oci";
        assert!(shipped == oci().unwrap(), "{command} > {}", path.display());
    }

    #[test]
    fn the_profile_is_the_same_each_time() {
        assert_eq!(oci().unwrap(), oci().unwrap());
    }
}
