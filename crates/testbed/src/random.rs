//! Instants for kills. They need not be good, only different.

use std::time::{Duration, SystemTime};

/// A xorshift generator (Marsaglia, 2003).
pub struct Random(u64);

impl Random {
    /// Different in each run.
    #[must_use]
    pub fn seeded() -> Self {
        let now = SystemTime::UNIX_EPOCH.elapsed().unwrap_or_default();
        Self(now.as_nanos() as u64 | 1)
    }

    /// A number below `limit`.
    pub fn below(&mut self, limit: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % limit
    }

    /// A time below `limit`.
    pub fn up_to(&mut self, limit: Duration) -> Duration {
        Duration::from_micros(self.below(limit.as_micros() as u64))
    }
}
