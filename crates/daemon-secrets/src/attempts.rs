//! Wrong tries: counted on disk before each try, slowed down exponentially.
//!
//! A try is counted as wrong *before* the password is stretched and uncounted when it was right, so
//! that killing the daemon in between gains nothing. Delays run on the boot clock, which nobody can
//! set; after a reboot the whole delay starts again.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::Path;
use std::time::Duration;

use nix::time::{ClockId, clock_gettime};
use serde::{Deserialize, Serialize};
use site_config::durable::write_atomically;
use site_config::{ProfileName, UnlockSettings};

/// What a file counts as that says nothing sensible: enough for the longest delay there can be.
const AS_MANY_AS_NEEDED: u32 = 1000;

/// Tells one boot from another (random(4)).
const BOOT_ID: &str = "/proc/sys/kernel/random/boot_id";

/// The wrong tries of every profile.
pub struct Attempts {
    settings: UnlockSettings,
    boot_id: String,
    profiles: BTreeMap<String, Tries>,
}

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
        Ok(Self { settings, boot_id, profiles: BTreeMap::new() })
    }

    /// Wrong tries since the last success, and how long until the next may come.
    pub fn standing(&mut self, profile: &ProfileName, file: &Path) -> (u32, Duration) {
        let tries = self.tries(profile, file);
        // Not before: loading the file asks the clock too, and `not_before_ms` may be that moment.
        let wait = Duration::from_millis(tries.not_before_ms).saturating_sub(boot_clock());
        (tries.failures, wait)
    }

    /// Counts a try, durably, before it is made.
    pub fn begin(&mut self, profile: &ProfileName, file: &Path) -> io::Result<()> {
        let failures = self.tries(profile, file).failures.saturating_add(1);
        self.write(profile, file, failures)
    }

    /// So many wrong tries stand: none after a right one, as many as before after one that could
    /// not be made.
    pub fn settle(&mut self, profile: &ProfileName, file: &Path, failures: u32) -> io::Result<()> {
        self.write(profile, file, failures)
    }

    /// Forgets what is in memory of all profiles (after a wipe).
    pub fn forget(&mut self) {
        self.profiles.clear();
    }

    fn write(&mut self, profile: &ProfileName, file: &Path, failures: u32) -> io::Result<()> {
        let not_before = boot_clock() + delay(&self.settings, failures);
        let tries = Tries {
            failures,
            boot_id: self.boot_id.clone(),
            not_before_ms: u64::try_from(not_before.as_millis()).unwrap_or(u64::MAX),
        };
        let bytes = serde_json::to_vec(&tries).map_err(io::Error::other)?;
        write_atomically(file, &bytes, 0o600)?;
        self.profiles.insert(profile.as_str().to_owned(), tries);
        Ok(())
    }

    fn tries(&mut self, profile: &ProfileName, file: &Path) -> &Tries {
        let Self { settings, boot_id, profiles } = self;
        profiles.entry(profile.as_str().to_owned()).or_insert_with(|| load(settings, boot_id, file))
    }
}

/// What the file says; a file that says nothing sensible counts as many wrong tries.
fn load(settings: &UnlockSettings, boot_id: &str, file: &Path) -> Tries {
    let fresh = |failures| Tries {
        failures,
        boot_id: boot_id.to_owned(),
        not_before_ms: u64::try_from((boot_clock() + delay(settings, failures)).as_millis())
            .unwrap_or(u64::MAX),
    };
    match fs::read(file) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => fresh(0),
        Err(_) => fresh(AS_MANY_AS_NEEDED),
        Ok(bytes) => match serde_json::from_slice::<Tries>(&bytes) {
            Ok(tries) if tries.boot_id == boot_id => tries,
            Ok(tries) => fresh(tries.failures),
            Err(_) => fresh(AS_MANY_AS_NEEDED),
        },
    }
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
        let profile = ProfileName::try_from("default").unwrap();
        let mut attempts = Attempts::new(settings()).unwrap();
        for _ in 0..5 {
            attempts.begin(&profile, &file).unwrap();
        }
        let mut restarted = Attempts::new(settings()).unwrap();
        let (failures, wait) = restarted.standing(&profile, &file);
        assert_eq!(failures, 5);
        assert!(wait > Duration::from_secs(3) && wait <= Duration::from_secs(4), "{wait:?}");
        restarted.settle(&profile, &file, 0).unwrap();
        let mut again = Attempts::new(settings()).unwrap();
        assert_eq!(again.standing(&profile, &file), (0, Duration::ZERO));
    }

    /// The clock goes on between two looks at it.
    #[test]
    fn a_first_try_never_waits() {
        let dir = tempfile::tempdir().unwrap();
        let profile = ProfileName::try_from("default").unwrap();
        for _ in 0..3000 {
            let mut attempts = Attempts::new(settings()).unwrap();
            let file = dir.path().join("attempts.json");
            assert_eq!(attempts.standing(&profile, &file), (0, Duration::ZERO));
        }
    }

    #[test]
    fn a_reboot_starts_the_delay_again_and_garbage_counts_as_many_tries() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("attempts.json");
        let profile = ProfileName::try_from("default").unwrap();
        let text = r#"{"failures":6,"boot_id":"another","not_before_ms":0}"#;
        fs::write(&file, text).unwrap();
        let (failures, wait) = Attempts::new(settings()).unwrap().standing(&profile, &file);
        assert!(failures == 6 && wait > Duration::from_secs(7), "{wait:?}");
        fs::write(&file, "garbage").unwrap();
        let (_, wait) = Attempts::new(settings()).unwrap().standing(&profile, &file);
        assert!(wait > Duration::from_secs(890), "{wait:?}");
    }
}
