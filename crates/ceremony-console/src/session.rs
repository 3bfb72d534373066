//! The session of the ceremony user, which stands still while root asks something on its console.
//!
//! Every program of the session has the terminal open, and could write over what root shows there. Frozen, by
//! the kernel's cgroup freezer (Documentation/admin-guide/cgroup-v2.rst), none of them runs until it is thawed.
//! `systemctl freeze` does the same where there is a D-Bus daemon, which the appliance has not.

use std::fs;
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};
use std::thread;
use std::time::Duration;

/// Of the shells, in either terminal.
const SLICE: &str = r"/sys/fs/cgroup/system.slice/system-ceremony\x2dshell.slice";
/// Until everything stands still: a program may be waiting for a stick.
const LOOKS: u32 = 200;
const LOOK: Duration = Duration::from_millis(50);

/// The terminal of the ceremony, in /dev: the screen where there is one, else the first serial port.
#[must_use]
pub fn console() -> &'static str {
    // As images/appliance/tree/usr/lib/systemd/system/ceremony-@*.service.d/console.conf has it.
    if Path::new("/dev/fb0").exists() { "tty1" } else { "ttyS0" }
}

/// All processes of the shell and of what it started, whatever they did to be alone.
#[derive(Debug)]
pub struct Session {
    cgroup: PathBuf,
}

impl Session {
    /// That of the appliance.
    #[must_use]
    pub fn of_the_appliance() -> Self {
        Self { cgroup: Path::new(SLICE).join(format!("ceremony-shell@{}.service", console())) }
    }

    /// Returns once every process of the session stands still.
    ///
    /// # Errors
    /// If one of them goes on for ten seconds, or what the kernel says; the session goes on then.
    pub fn freeze(&self) -> io::Result<()> {
        self.write("1")?;
        let stopped = self.wait_until_frozen();
        if stopped.is_err() {
            self.thaw()?;
        }
        stopped
    }

    fn wait_until_frozen(&self) -> io::Result<()> {
        for _ in 0..LOOKS {
            // It lists what is so at this moment, a line each.
            let events = fs::read_to_string(self.cgroup.join("cgroup.events"))?;
            if events.lines().any(|line| line == "frozen 1") {
                return Ok(());
            }
            thread::sleep(LOOK);
        }
        Err(io::Error::other("a program of the session cannot be stopped"))
    }

    /// Lets the session go on; one that isn't frozen does, and one that is gone needs not.
    ///
    /// # Errors
    /// What the kernel says: the session stands still.
    pub fn thaw(&self) -> io::Result<()> {
        match self.write("0") {
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(()),
            written => written,
        }
    }

    fn write(&self, text: &str) -> io::Result<()> {
        fs::write(self.cgroup.join("cgroup.freeze"), text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A directory of plain files, where a kernel would do something: the VM scenario `policy-lock` has one.
    fn mock_cgroup(events: &str) -> (tempfile::TempDir, Session) {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join("cgroup.events"), events).unwrap();
        let session = Session { cgroup: dir.path().into() };
        (dir, session)
    }

    fn written(session: &Session) -> String {
        fs::read_to_string(session.cgroup.join("cgroup.freeze")).unwrap()
    }

    #[test]
    fn frozen_is_what_the_kernel_calls_frozen() {
        let (_dir, session) = mock_cgroup("populated 1\nfrozen 1\n");
        session.freeze().unwrap();
        assert_eq!(written(&session), "1");
        session.thaw().unwrap();
        assert_eq!(written(&session), "0");
    }

    #[test]
    fn a_session_that_cannot_be_stopped_goes_on() {
        let (_dir, session) = mock_cgroup("populated 1\nfrozen 0\n");
        let error = session.freeze().unwrap_err();
        assert_eq!(error.to_string(), "a program of the session cannot be stopped");
        assert_eq!(written(&session), "0");

        fs::remove_file(session.cgroup.join("cgroup.events")).unwrap();
        assert_eq!(session.freeze().unwrap_err().kind(), ErrorKind::NotFound);
        assert_eq!(written(&session), "0");
    }

    #[test]
    fn a_session_that_is_gone_needs_no_thaw_and_is_not_frozen() {
        let session = Session { cgroup: "/nonexistent".into() };
        session.thaw().unwrap();
        assert_eq!(session.freeze().unwrap_err().kind(), ErrorKind::NotFound);
    }
}
