//! Refused peers go into the trail, and may not flood it.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// Of each uid and each kind of refusal one a second is recorded on its own; what comes between is
/// counted with the next, or with the last of them once nobody comes any more. So nobody hides in a
/// flood of another, or of something else.
pub struct RefusalLog<T>(Mutex<HashMap<Kind, State<T>>>);

/// Whose refusal, and of what.
type Kind = (u32, &'static str);

struct State<T> {
    last: Instant,
    unrecorded: u64,
    newest_unrecorded: Option<T>,
}

const INTERVAL: Duration = Duration::from_secs(1);

impl<T> Default for RefusalLog<T> {
    fn default() -> Self {
        Self(Mutex::default())
    }
}

impl<T: Clone> RefusalLog<T> {
    /// Whether to record the refusal that `uid` has just met with; if so, how many of its kind before
    /// it were not.
    pub fn admit(&self, uid: u32, kind: &'static str, refusal: &T) -> Option<u64> {
        let mut states = self.states();
        let Some(state) = states.get_mut(&(uid, kind)) else {
            let state = State { last: Instant::now(), unrecorded: 0, newest_unrecorded: None };
            states.insert((uid, kind), state);
            return Some(0);
        };
        if state.is_within_interval() {
            state.unrecorded += 1;
            state.newest_unrecorded = Some(refusal.clone());
            return None;
        }
        state.last = Instant::now();
        state.newest_unrecorded = None;
        Some(std::mem::take(&mut state.unrecorded))
    }

    /// The last refusals of floods that are over, and how many before each were not recorded either. To
    /// be called about every second.
    pub fn overdue(&self) -> Vec<(T, u64)> {
        let mut states = self.states();
        let overdue = states.values_mut().filter(|state| !state.is_within_interval());
        let overdue = overdue.filter_map(State::take).collect();
        states.retain(|_, state| state.is_within_interval());
        overdue
    }

    /// As [`RefusalLog::overdue`], when there is no later: the daemon ends.
    pub fn drain(&self) -> Vec<(T, u64)> {
        self.states().values_mut().filter_map(State::take).collect()
    }

    fn states(&self) -> MutexGuard<'_, HashMap<Kind, State<T>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<T> State<T> {
    fn is_within_interval(&self) -> bool {
        self.last.elapsed() < INTERVAL
    }

    fn take(&mut self) -> Option<(T, u64)> {
        let refusal = self.newest_unrecorded.take()?;
        self.last = Instant::now();
        Some((refusal, std::mem::take(&mut self.unrecorded) - 1))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const KIND: &str = "unknown key";

    fn flooded() -> RefusalLog<i32> {
        let log = RefusalLog::default();
        assert_eq!(log.admit(1000, KIND, &0), Some(0));
        for pid in 1..=1000 {
            assert_eq!(log.admit(1000, KIND, &pid), None);
        }
        assert!(log.overdue().is_empty(), "the flood may go on");
        log
    }

    fn wait(log: &RefusalLog<i32>) {
        for state in log.states().values_mut() {
            state.last -= INTERVAL;
        }
    }

    #[test]
    fn a_flood_becomes_one_entry_and_a_count() {
        let log = flooded();
        wait(&log);
        assert_eq!(log.admit(1000, KIND, &1001), Some(1000));
        wait(&log);
        assert!(log.overdue().is_empty(), "all are recorded");
    }

    #[test]
    fn a_flood_that_ends_is_counted_all_the_same() {
        let log = flooded();
        wait(&log);
        assert_eq!(log.overdue(), [(1000, 999)]);
        assert!(log.overdue().is_empty());
        assert_eq!(flooded().drain(), [(1000, 999)]);
    }

    #[test]
    fn nobody_hides_in_the_flood_of_another_or_of_something_else() {
        let log = flooded();
        assert_eq!(log.admit(1001, KIND, &7), Some(0));
        assert_eq!(log.admit(1000, "key of another uid", &8), Some(0));
    }

    #[test]
    fn what_is_over_takes_no_memory() {
        let log = flooded();
        wait(&log);
        log.overdue();
        wait(&log);
        log.overdue();
        assert!(log.states().is_empty());
    }
}
