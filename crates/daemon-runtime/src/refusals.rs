//! Refused peers go into the trail, and may not flood it.

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// One refusal a second is recorded on its own; what comes between is counted with the next.
#[derive(Default)]
pub struct RefusalLog(Mutex<State>);

#[derive(Default)]
struct State {
    last: Option<Instant>,
    unrecorded: u64,
}

const INTERVAL: Duration = Duration::from_secs(1);

impl RefusalLog {
    /// Whether to record the refusal that happened just now; if so, how many before it were not.
    pub fn admit(&self) -> Option<u64> {
        let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let now = Instant::now();
        if state.last.is_some_and(|last| now.duration_since(last) < INTERVAL) {
            state.unrecorded += 1;
            return None;
        }
        state.last = Some(now);
        Some(std::mem::take(&mut state.unrecorded))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_flood_becomes_one_entry_and_a_count() {
        let log = RefusalLog::default();
        assert_eq!(log.admit(), Some(0));
        for _ in 0..1000 {
            assert_eq!(log.admit(), None);
        }
        log.0.lock().unwrap().last = Some(Instant::now() - INTERVAL);
        assert_eq!(log.admit(), Some(1000));
    }
}
