//! Refused peers go into the trail, and may not flood it.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// One refusal a second is recorded on its own; what comes between is counted with the next, or with
/// the last of them once nobody comes any more.
pub struct RefusalLog<T>(Mutex<State<T>>);

struct State<T> {
    last: Option<Instant>,
    unrecorded: u64,
    newest_unrecorded: Option<T>,
}

const INTERVAL: Duration = Duration::from_secs(1);

impl<T> Default for RefusalLog<T> {
    fn default() -> Self {
        Self(Mutex::new(State { last: None, unrecorded: 0, newest_unrecorded: None }))
    }
}

impl<T: Clone> RefusalLog<T> {
    /// Whether to record the refusal that happened just now; if so, how many before it were not.
    pub fn admit(&self, refusal: &T) -> Option<u64> {
        let mut state = self.state();
        if state.is_within_interval() {
            state.unrecorded += 1;
            state.newest_unrecorded = Some(refusal.clone());
            return None;
        }
        state.last = Some(Instant::now());
        state.newest_unrecorded = None;
        Some(std::mem::take(&mut state.unrecorded))
    }

    /// The last refusal of a flood that is over, and how many before it were not recorded either. To
    /// be called about every second.
    pub fn overdue(&self) -> Option<(T, u64)> {
        let mut state = self.state();
        if state.is_within_interval() { None } else { state.take() }
    }

    /// As [`RefusalLog::overdue`], when there is no later: the daemon ends.
    pub fn drain(&self) -> Option<(T, u64)> {
        self.state().take()
    }

    fn state(&self) -> MutexGuard<'_, State<T>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<T> State<T> {
    fn is_within_interval(&self) -> bool {
        self.last.is_some_and(|last| last.elapsed() < INTERVAL)
    }

    fn take(&mut self) -> Option<(T, u64)> {
        let refusal = self.newest_unrecorded.take()?;
        self.last = Some(Instant::now());
        Some((refusal, std::mem::take(&mut self.unrecorded) - 1))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use ipc::{Credentials, Refusal, RefusalReason};

    fn refusal(pid: i32) -> Refusal {
        let credentials = Credentials { uid: 1000, pid };
        Refusal { credentials, key: None, reason: RefusalReason::UnknownKey }
    }

    fn flooded() -> RefusalLog<Refusal> {
        let log = RefusalLog::default();
        assert_eq!(log.admit(&refusal(0)), Some(0));
        for pid in 1..=1000 {
            assert_eq!(log.admit(&refusal(pid)), None);
        }
        assert!(log.overdue().is_none(), "the flood may go on");
        log
    }

    #[test]
    fn a_flood_becomes_one_entry_and_a_count() {
        let log = flooded();
        log.state().last = Some(Instant::now() - INTERVAL);
        assert_eq!(log.admit(&refusal(1001)), Some(1000));
        log.state().last = Some(Instant::now() - INTERVAL);
        assert!(log.overdue().is_none(), "all are recorded");
    }

    #[test]
    fn a_flood_that_ends_is_counted_all_the_same() {
        let log = flooded();
        log.state().last = Some(Instant::now() - INTERVAL);
        let (last, before) = log.overdue().unwrap();
        assert_eq!((last.credentials.pid, before), (1000, 999));
        assert!(log.overdue().is_none());
        let (last, before) = flooded().drain().unwrap();
        assert_eq!((last.credentials.pid, before), (1000, 999));
    }
}
