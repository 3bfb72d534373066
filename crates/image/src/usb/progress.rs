//! A bar on a terminal's standard error.

use std::io::{self, IsTerminal, Write};
use std::time::{Duration, Instant};

/// Shows how far something is, at most ten times a second, and how fast.
pub struct Bar {
    what: &'static str,
    total: u64,
    start: Instant,
    shown: Option<Instant>,
}

impl Bar {
    /// Of `total` bytes; nothing is shown where nobody looks.
    pub fn new(what: &'static str, total: u64) -> Self {
        Self { what, total, start: Instant::now(), shown: None }
    }

    /// So many bytes are done.
    pub fn at(&mut self, done: u64) {
        let due = self.shown.is_none_or(|shown| shown.elapsed() > Duration::from_millis(100));
        if !due || !io::stderr().is_terminal() {
            return;
        }
        let percent = done.saturating_mul(100) / self.total.max(1);
        let filled = usize::try_from(percent / 4).unwrap_or(25).min(25);
        let rate = done as f64 / 1e6 / self.start.elapsed().as_secs_f64().max(0.001);
        let mut stderr = io::stderr().lock();
        let _ = write!(
            stderr,
            "\r{} [{:<25}] {percent:>3} %  {rate:.0} MB/s ",
            self.what,
            "#".repeat(filled)
        );
        let _ = stderr.flush();
        self.shown = Some(Instant::now());
    }
}

impl Drop for Bar {
    fn drop(&mut self) {
        if self.shown.is_some() {
            eprint!("\r\x1b[K");
        }
    }
}
