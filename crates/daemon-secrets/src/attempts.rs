//! Wrong tries of each factor: counted on disk before each try, slowed down exponentially.
//!
//! A try is counted as wrong *before* the factor is looked at and uncounted when it was right, so that
//! killing the daemon in between gains nothing. Delays run on the boot clock, which nobody can set;
//! after a reboot the whole delay starts again.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use nix::time::{ClockId, clock_gettime};
use serde::{Deserialize, Serialize};
use site_config::UnlockSettings;
use site_config::durable::write_atomically;

/// What a file counts as that says nothing sensible: enough for the longest delay there can be.
const AS_MANY_AS_NEEDED: u32 = 1000;

/// In place of a factor's id: every factor that is not named. No factor has this id.
const EVERY: u32 = u32::MAX;

/// Tells one boot from another (random(4)).
const BOOT_ID: &str = "/proc/sys/kernel/random/boot_id";

/// The wrong tries of every factor of every profile.
pub struct Attempts {
    settings: UnlockSettings,
    boot_id: String,
    /// What each file says, or what counts instead.
    files: BTreeMap<PathBuf, Counts>,
}

/// A profile's file: each factor's tries by its id. What is not there has none.
type Counts = BTreeMap<u32, Tries>;

/// What was counted of the factors of a try before it.
pub struct Before(BTreeMap<u32, Option<Tries>>);

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Tries {
    /// Since the last success.
    failures: u32,
    /// The boot in which `not_before` counts.
    boot_id: String,
    /// Milliseconds of the boot clock before which no try counts.
    not_before_ms: u64,
}

impl Attempts {
    /// Reads the id of this boot; to be called outside the sandbox.
    pub fn new(settings: UnlockSettings) -> io::Result<Self> {
        let named = |error| io::Error::other(format!("cannot read {BOOT_ID}: {error}"));
        let boot_id = fs::read_to_string(BOOT_ID).map_err(named)?.trim().to_owned();
        Ok(Self { settings, boot_id, files: BTreeMap::new() })
    }

    /// Wrong tries of a factor since its last success, and how long until the next may come.
    pub fn standing(&mut self, file: &Path, factor: u32) -> (u32, Duration) {
        let counts = self.counts(file);
        let Some(tries) = counts.get(&factor).or_else(|| counts.get(&EVERY)) else {
            return (0, Duration::ZERO);
        };
        // Not before: loading the file asks the clock too, and `not_before_ms` may be that moment.
        let wait = Duration::from_millis(tries.not_before_ms).saturating_sub(boot_clock());
        (tries.failures, wait)
    }

    /// Counts a try of each of these factors, durably, before it is made. Returns what was counted
    /// before.
    pub fn begin(&mut self, file: &Path, factors: &[u32]) -> io::Result<Before> {
        let mut counts = self.counts(file).clone();
        let known = |factor: &u32| counts.get(factor).or_else(|| counts.get(&EVERY)).cloned();
        let before = Before(factors.iter().map(|factor| (*factor, known(factor))).collect());
        for (factor, tried) in &before.0 {
            let failures = tried.as_ref().map_or(0, |tried| tried.failures).saturating_add(1);
            counts.insert(*factor, tries(&self.settings, &self.boot_id, failures));
        }
        self.write(file, counts)?;
        Ok(before)
    }

    /// The try was not wrong, or could not be made: none stands of the factor that was right, and of
    /// the others what was counted before, with a wait that goes on and does not begin again.
    pub fn settle(&mut self, file: &Path, before: &Before, right: Option<u32>) -> io::Result<()> {
        let mut counts = self.counts(file).clone();
        for (factor, tried) in &before.0 {
            let stands = tried.clone().filter(|_| right != Some(*factor));
            let none = || tries(&self.settings, &self.boot_id, 0);
            counts.insert(*factor, stands.unwrap_or_else(none));
        }
        self.write(file, counts)
    }

    fn write(&mut self, file: &Path, counts: Counts) -> io::Result<()> {
        let bytes = serde_json::to_vec(&counts).map_err(io::Error::other)?;
        write_atomically(file, &bytes, 0o600)?;
        self.files.insert(file.to_owned(), counts);
        Ok(())
    }

    /// Forgets what is in memory (after a wipe, or when a file went elsewhere).
    pub fn forget(&mut self) {
        self.files.clear();
    }

    fn counts(&mut self, file: &Path) -> &Counts {
        let Self { settings, boot_id, files } = self;
        files.entry(file.to_owned()).or_insert_with(|| load(settings, boot_id, file))
    }
}

/// So many wrong tries, as of now.
fn tries(settings: &UnlockSettings, boot_id: &str, failures: u32) -> Tries {
    let not_before = boot_clock() + delay(settings, failures);
    Tries {
        failures,
        boot_id: boot_id.to_owned(),
        not_before_ms: u64::try_from(not_before.as_millis()).unwrap_or(u64::MAX),
    }
}

/// What the file says; one that says nothing sensible counts as many wrong tries of every factor.
fn load(settings: &UnlockSettings, boot_id: &str, file: &Path) -> Counts {
    let garbage = || Counts::from([(EVERY, tries(settings, boot_id, AS_MANY_AS_NEEDED))]);
    let bytes = match fs::read(file) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Counts::new(),
        Err(_) => return garbage(),
        Ok(bytes) => bytes,
    };
    let Ok(mut counts) = serde_json::from_slice::<Counts>(&bytes) else { return garbage() };
    for counted in counts.values_mut().filter(|tries| tries.boot_id != boot_id) {
        *counted = tries(settings, boot_id, counted.failures);
    }
    counts
}

/// The wait after so many wrong tries: none for the first few, then doubling up to the maximum.
fn delay(settings: &UnlockSettings, failures: u32) -> Duration {
    let Some(doublings) = failures.checked_sub(settings.free_attempts + 1) else {
        return Duration::ZERO;
    };
    let factor = 1_u32.checked_shl(doublings).unwrap_or(u32::MAX);
    settings.backoff_base.saturating_mul(factor).min(settings.backoff_max)
}

/// Time since boot, suspension included; it can't be set.
pub fn boot_clock() -> Duration {
    clock_gettime(ClockId::CLOCK_BOOTTIME).map(Duration::from).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings() -> UnlockSettings {
        UnlockSettings {
            minimum_password_length: 8,
            free_attempts: 2,
            backoff_base: Duration::from_secs(1),
            backoff_max: Duration::from_secs(900),
            auto_lock: None,
            deadline: Duration::from_secs(300),
        }
    }

    #[test]
    fn delays_double_up_to_the_maximum() {
        let seconds: Vec<u64> =
            (0..=16).map(|failures| delay(&settings(), failures).as_secs()).collect();
        assert_eq!(seconds, [0, 0, 0, 1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 900, 900, 900, 900]);
        assert_eq!(delay(&settings(), u32::MAX).as_secs(), 900);
    }

    #[test]
    fn tries_survive_a_restart_and_a_success_clears_them() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("attempts.json");
        let mut attempts = Attempts::new(settings()).unwrap();
        for _ in 0..5 {
            attempts.begin(&file, &[1, 7]).unwrap();
        }
        let mut restarted = Attempts::new(settings()).unwrap();
        for factor in [1, 7] {
            let (failures, wait) = restarted.standing(&file, factor);
            assert_eq!(failures, 5);
            assert!(wait > Duration::from_secs(3) && wait <= Duration::from_secs(4), "{wait:?}");
        }
        let before = restarted.begin(&file, &[1, 7]).unwrap();
        restarted.settle(&file, &before, Some(1)).unwrap();
        let mut again = Attempts::new(settings()).unwrap();
        assert_eq!(again.standing(&file, 1), (0, Duration::ZERO));
        assert_eq!(again.standing(&file, 7).0, 5, "each factor has its own count");
    }

    #[test]
    fn a_right_factor_does_not_make_another_wait_again() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("attempts.json");
        let mut attempts = Attempts::new(settings()).unwrap();
        let over = Tries { failures: 5, boot_id: attempts.boot_id.clone(), not_before_ms: 0 };
        let text = serde_json::to_vec(&Counts::from([(1, over.clone()), (7, over)])).unwrap();
        fs::write(&file, text).unwrap();
        for right in [Some(1), None] {
            let before = attempts.begin(&file, &[1, 7]).unwrap();
            assert_eq!(attempts.standing(&file, 7).0, 6);
            attempts.settle(&file, &before, right).unwrap();
            assert_eq!(attempts.standing(&file, 7), (5, Duration::ZERO));
        }
        assert_eq!(attempts.standing(&file, 1), (0, Duration::ZERO));
    }

    /// The clock goes on between two looks at it.
    #[test]
    fn a_first_try_never_waits() {
        let dir = tempfile::tempdir().unwrap();
        for _ in 0..3000 {
            let mut attempts = Attempts::new(settings()).unwrap();
            let file = dir.path().join("attempts.json");
            assert_eq!(attempts.standing(&file, 1), (0, Duration::ZERO));
        }
    }

    #[test]
    fn a_reboot_starts_the_delay_again_and_garbage_counts_as_many_tries() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("attempts.json");
        let text = r#"{"3":{"failures":6,"boot_id":"another","not_before_ms":0}}"#;
        fs::write(&file, text).unwrap();
        let (failures, wait) = Attempts::new(settings()).unwrap().standing(&file, 3);
        assert!(failures == 6 && wait > Duration::from_secs(7), "{wait:?}");
        fs::write(&file, "garbage").unwrap();
        let (_, wait) = Attempts::new(settings()).unwrap().standing(&file, 3);
        assert!(wait > Duration::from_secs(890), "{wait:?}");
    }
}
