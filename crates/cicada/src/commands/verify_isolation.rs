//! `cicada verify-isolation`: looks at a running daemon from outside, one line a check.

use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::Args;
use site_config::{Daemon, Environment, Layout, LayoutError, LayoutKind};

use crate::isolation::{self, DaemonError, IsolationCheck, Place};

/// Look at a running cicada from outside and ask it for its own view; exit 1 when anything fails
#[derive(Args, Debug)]
pub struct VerifyIsolation {
    /// The daemon of this directory; what only cicada.service gives is skipped
    #[arg(long, value_name = "DIR", conflicts_with = "socket")]
    dir: Option<PathBuf>,
    /// The daemon on this socket, which must have all that cicada.service gives (a container)
    #[arg(long, value_name = "PATH")]
    socket: Option<PathBuf>,
    /// The group whose the socket must be, by name or number
    #[arg(long, value_name = "GROUP", default_value = "cloud-sync")]
    group: String,
    /// The checks as JSON
    #[arg(long)]
    json: bool,
}

/// Why nothing was verified.
#[derive(Debug, thiserror::Error)]
pub enum VerifyIsolationError {
    /// No such place.
    #[error(transparent)]
    Layout(#[from] LayoutError),
    /// No daemon.
    #[error(transparent)]
    Daemon(#[from] DaemonError),
    /// The result could not be written.
    #[error("the result could not be written ({0})")]
    Output(#[from] io::Error),
}

impl VerifyIsolation {
    /// Runs the command: 0 when every check passed or was skipped, 1 when one failed or nothing could
    /// be verified.
    #[must_use]
    pub fn run(&self) -> ExitCode {
        match self.verify() {
            Ok(true) => ExitCode::SUCCESS,
            Ok(false) => ExitCode::FAILURE,
            Err(error) => {
                eprintln!("cicada: {error}");
                ExitCode::FAILURE
            }
        }
    }

    fn verify(&self) -> Result<bool, VerifyIsolationError> {
        let place = self.place()?;
        let daemon = isolation::Daemon::find(&place.socket)?;
        let checks = isolation::outside(&place, &daemon);
        let mut output = io::stdout().lock();
        if self.json {
            serde_json::to_writer(&mut output, &checks).map_err(io::Error::from)?;
            writeln!(output)?;
        } else {
            output.write_all(lines(&checks).as_bytes())?;
        }
        Ok(isolation::holds(&checks))
    }

    fn place(&self) -> Result<Place, LayoutError> {
        let place = |layout: &Layout, unit| {
            let socket = layout.socket(Daemon::Cicada);
            Place {
                unit,
                state: layout.state(Daemon::Cicada).to_owned(),
                runtime: socket.parent().unwrap_or(Path::new("/")).to_owned(),
                socket,
                group: self.group.clone(),
            }
        };
        if let Some(socket) = &self.socket {
            // A container has the system's places, wherever the host has its directories.
            let system = Layout::system(&Environment::default());
            return Ok(Place { socket: socket.clone(), ..place(&system, true) });
        }
        let layout = Layout::choose(self.dir.clone())?;
        Ok(place(&layout, layout.kind() == LayoutKind::System))
    }
}

fn lines(checks: &[IsolationCheck]) -> String {
    let width = checks.iter().map(|check| check.check.len()).max().unwrap_or(0);
    let line = |check: &IsolationCheck| {
        format!("{}  {:width$}  {}\n", check.status.as_str(), check.check, check.found)
    };
    checks.iter().map(line).collect()
}

#[cfg(test)]
mod tests {
    use crate::isolation::Status;

    use super::*;

    #[test]
    fn a_check_is_a_line() {
        let check = |check: &str, status, found: &str| IsolationCheck {
            check: check.to_owned(),
            status,
            found: found.to_owned(),
        };
        let checks = [
            check("capabilities", Status::Pass, "none on 17 of 17 threads"),
            check("tmp", Status::Fail, "tmpfs without a limit"),
            check("nftables", Status::Skip, "nft is not installed"),
        ];
        let expected = "pass  capabilities  none on 17 of 17 threads\n\
            fail  tmp           tmpfs without a limit\n\
            skip  nftables      nft is not installed\n";
        assert_eq!(lines(&checks), expected);
    }
}
