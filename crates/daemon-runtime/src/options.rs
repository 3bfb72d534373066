//! The daemons' command line.

use std::path::PathBuf;

use clap::Parser;
use site_config::{Environment, Layout, LayoutError};

/// Where this daemon's configuration, state and socket are.
#[derive(Debug, Parser)]
#[command(version, about = "A daemon of Sesame; started by systemd or by `sesame up`")]
pub struct Options {
    /// Everything below one directory, instead of the system's places
    #[arg(long, value_name = "DIR", conflicts_with = "session")]
    pub dir: Option<PathBuf>,
    /// The places of an ordinary user's session (XDG directories)
    #[arg(long)]
    pub session: bool,
    /// All peers are this user: a user namespace may give what root would, an empty network
    #[arg(long)]
    pub single_user: bool,
}

impl Options {
    /// Those that this process was given; one that makes no sense ends it with exit code 2.
    #[must_use]
    pub fn of_command_line() -> Self {
        Self::parse()
    }

    /// The layout that was asked for.
    ///
    /// # Errors
    /// When the session's directories can't be told, or `DIR` can't be made absolute.
    pub fn layout(&self) -> Result<Layout, LayoutError> {
        let environment = Environment::of_process();
        match (&self.dir, self.session) {
            (Some(dir), _) => Layout::dir(dir),
            (None, true) => Layout::session(&environment),
            (None, false) => Ok(Layout::system(&environment)),
        }
    }
}
