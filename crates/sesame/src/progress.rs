//! A line on a terminal's standard error for what takes longer than a second.

use std::io::{self, IsTerminal, Write};
use std::time::{Duration, Instant};

/// Shows how far something is, at most ten times a second.
pub struct Progress {
    what: &'static str,
    total: u64,
    shown: Option<Instant>,
    start: Instant,
}

impl Progress {
    /// Of `total` steps; nothing is shown in the first second, nor where nobody looks.
    pub fn new(what: &'static str, total: u64) -> Self {
        Self { what, total, shown: None, start: Instant::now() }
    }

    /// `done` of `total` steps are done.
    pub fn of(&mut self, done: u64, total: u64) {
        self.total = total;
        self.at(done);
    }

    /// `done` steps are done.
    pub fn at(&mut self, done: u64) {
        let due = match self.shown {
            None => self.start.elapsed() > Duration::from_secs(1) && io::stderr().is_terminal(),
            Some(last) => last.elapsed() > Duration::from_millis(100),
        };
        if due {
            let percent = done.saturating_mul(100) / self.total.max(1);
            let filled = usize::try_from(percent / 4).unwrap_or(25).min(25);
            let mut stderr = io::stderr().lock();
            let _ = write!(stderr, "\r{} [{:<25}] {percent:>3} %", self.what, "#".repeat(filled));
            let _ = stderr.flush();
            self.shown = Some(Instant::now());
        }
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        if self.shown.is_some() {
            eprint!("\r\x1b[K");
        }
    }
}
