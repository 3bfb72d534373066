//! A pseudo-terminal with `sesame` on it, and the fingers and eyes of a person.

use std::ffi::OsStr;
use std::fs::File;
use std::io::{Read, Write};
use std::os::fd::AsFd;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::pty::openpty;
use nix::sys::termios::{LocalFlags, Termios, tcgetattr};

use crate::host::Host;
use crate::users::group_of;

/// Longest that anything on the screen is waited for.
const PATIENCE: Duration = Duration::from_secs(60);

/// A terminal whose session is one command's. The command is killed when it is dropped.
pub struct Terminal {
    master: File,
    /// Held open, so that the terminal and its flags outlive the command.
    slave: File,
    child: Child,
    before: Termios,
    screen: Vec<u8>,
    /// How much of the screen was expected already.
    read: usize,
}

impl Terminal {
    /// `sesame --dir … ARGS` as the operator, with all three streams on the terminal.
    ///
    /// # Panics
    /// When there is no terminal to be had.
    #[must_use]
    pub fn sesame<S: AsRef<OsStr>>(host: &Host, args: impl IntoIterator<Item = S>) -> Self {
        let mut line = vec![OsStr::new("--dir").to_owned(), host.dir().into()];
        line.extend(args.into_iter().map(|arg| arg.as_ref().to_owned()));
        Self::start(&crate::binary("sesame"), line, host.users.operator, |_| {})
    }

    /// `program ARGS` as `uid`; `adjust` may put its streams elsewhere, but not standard input.
    ///
    /// # Panics
    /// When there is no terminal to be had.
    #[must_use]
    pub fn start<S: AsRef<OsStr>>(
        program: &Path,
        args: impl IntoIterator<Item = S>,
        uid: u32,
        adjust: impl FnOnce(&mut Command),
    ) -> Self {
        let pty = openpty(None, None).expect("a pseudo-terminal");
        let (master, slave) = (File::from(pty.master), File::from(pty.slave));
        let before = tcgetattr(slave.as_fd()).expect("a terminal has flags");
        let stream = || Stdio::from(slave.try_clone().expect("a descriptor"));
        // setsid(1) is a new session's leader, makes standard input its controlling terminal, and
        // becomes the program: /dev/tty is this terminal, and the child's process id is the program's.
        let mut command = Command::new("setsid");
        command.arg("--ctty").arg(program).args(args);
        command.env_clear().env("PATH", "/usr/bin:/bin").env("HOME", "/nonexistent");
        command.current_dir("/").stdin(stream()).stdout(stream()).stderr(stream());
        if uid != nix::unistd::Uid::effective().as_raw() {
            command.uid(uid).gid(group_of(uid));
        }
        adjust(&mut command);
        let child = command.spawn().expect("setsid(1) of util-linux");
        Self { master, slave, child, before, screen: Vec::new(), read: 0 }
    }

    /// Waits until `text` appears, after whatever was expected before.
    ///
    /// # Panics
    /// When it doesn't.
    #[track_caller]
    pub fn expect(&mut self, text: &str) {
        let deadline = Instant::now() + PATIENCE;
        loop {
            if let Some(at) = find(&self.screen[self.read..], text.as_bytes()) {
                self.read += at + text.len();
                return;
            }
            let ended = self.child.try_wait().ok().flatten().is_some();
            if !self.look() {
                let late = ended || Instant::now() > deadline;
                assert!(!late, "{text:?} never came; on the screen: {:?}", self.screen());
            }
        }
    }

    /// Presses keys.
    ///
    /// # Panics
    /// When the terminal is gone.
    pub fn press(&mut self, keys: impl AsRef<[u8]>) {
        self.master.write_all(keys.as_ref()).expect("a terminal takes keys");
    }

    /// Waits until a prompt has switched the echo off, as it does before it writes itself.
    ///
    /// # Panics
    /// When it doesn't.
    #[track_caller]
    pub fn expect_prompt(&mut self, text: &str) {
        self.expect(text);
        assert!(!self.echoes(), "{text:?} is asked with the echo on");
    }

    /// Whether what is pressed now would appear on the screen.
    #[must_use]
    pub fn echoes(&self) -> bool {
        self.flags().local_flags.contains(LocalFlags::ECHO)
    }

    /// Whether the terminal is again as it was before the command started.
    #[must_use]
    pub fn is_as_before(&self) -> bool {
        self.flags() == self.before
    }

    fn flags(&self) -> Termios {
        tcgetattr(self.slave.as_fd()).expect("a terminal has flags")
    }

    /// All that was ever on the screen.
    #[must_use]
    pub fn screen(&self) -> String {
        String::from_utf8_lossy(&self.screen).into_owned()
    }

    /// The command's process id.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Waits for the command's end: its exit code, or -1 when a signal ended it.
    ///
    /// # Panics
    /// When it doesn't end.
    #[track_caller]
    pub fn finish(&mut self) -> i32 {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let ended = self.child.try_wait().expect("a child");
            let more = self.look();
            match ended {
                Some(status) if !more => return status.code().unwrap_or(-1),
                _ => assert!(Instant::now() < deadline, "it runs on: {:?}", self.screen()),
            }
        }
    }

    /// Takes in what comes within a moment; whether anything did.
    fn look(&mut self) -> bool {
        let mut wait = [PollFd::new(self.master.as_fd(), PollFlags::POLLIN)];
        if poll(&mut wait, PollTimeout::from(20_u8)) != Ok(1) {
            return false;
        }
        let mut chunk = [0; 4096];
        let read = self.master.read(&mut chunk).unwrap_or(0);
        self.screen.extend_from_slice(&chunk[..read]);
        read > 0
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn find(haystack: &[u8], needle: &[u8]) -> Option<usize> {
    haystack.windows(needle.len()).position(|window| window == needle)
}
