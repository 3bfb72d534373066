//! The state behind the requests, and what happens without being asked.

mod lifecycle;
mod requests;

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use audit_log::{Operation, Outcome};
use daemon_runtime::{Directory, Posture, RefusalLog, StartError, Startup, log};
use ipc::audit::Record;
use ipc::secrets::ProfileState;
use ipc::{Fault, FaultKind, Refusal};
use key_hierarchy::WorkingMemory;
use site_config::{Daemon, Installation, Key, Origin, ProfileName, Settings, Site};
use vault::Vault;

use crate::attempts::{Attempts, boot_clock};
use crate::collection::Collections;
use crate::faults;
use crate::handlers;
use crate::keyring::{Held, Keyring};
use crate::store::Store;
use ipc::trail::{AuditDaemon, Trail};

/// How long the working memory of a try is kept for the next one.
const KEEP_WORKING_MEMORY_SECONDS: u64 = 30;

pub struct SecretsService {
    pub store: Store,
    pub settings: Settings,
    pub posture: Arc<Posture>,
    audit: Arc<AuditDaemon>,
    directory: Directory,
    refusals: RefusalLog<Refusal>,
    installation: RwLock<Option<Arc<Installation>>>,
    /// Held by whatever opens, makes, changes or destroys a profile, from its first check to its end.
    changing: Mutex<()>,
    /// Counts locks: what was begun before one must not end after it.
    locks: AtomicU64,
    /// What `default-profile` says; read from the disk when it may have changed.
    default_profile: RwLock<Option<ProfileName>>,
    keyring: RwLock<Keyring>,
    /// What was given of factors that don't suffice yet.
    pub collections: Collections,
    /// Where policy.toml demands the unlock policy, if it does.
    pub policy_lock: Option<String>,
    /// Held while a factor is tried: one at a time, so that tries are counted in order and the
    /// working memory of one suffices.
    attempts: Mutex<Attempts>,
    working_memory: Mutex<WorkingMemory>,
    /// Seconds of the boot clock at the last use of the working memory.
    last_stretch: AtomicU64,
    startup_detail: Vec<(String, String)>,
    start_is_recorded: AtomicBool,
    /// Seconds of the boot clock at the last request for a secret.
    last_use: AtomicU64,
}

impl SecretsService {
    pub fn open(startup: &Startup) -> Result<Self, StartError> {
        let failed = |error: &dyn std::fmt::Display| StartError::Service(error.to_string());
        vault::install_allocators().map_err(|error| failed(&error))?;
        let store = Store::new(startup.state.clone());
        store.remove_leftovers().map_err(|error| failed(&error))?;
        let installation = store.installation()?;
        if let Some(installation) = &installation {
            startup.check_machine(installation)?;
        }
        let settings = startup.site.settings.clone();
        let identity = Arc::clone(&startup.identity);
        let audit = AuditDaemon::of(&startup.site, &startup.peers, identity);
        let directory = Directory::new(startup.peers.clone(), settings.crypto.minimum_peer_profile);
        let attempts = Attempts::new(settings.unlock.clone()).map_err(|error| failed(&error))?;
        Ok(Self {
            store,
            settings,
            posture: Arc::clone(&startup.posture),
            audit: Arc::new(audit),
            directory,
            refusals: RefusalLog::default(),
            installation: RwLock::new(installation.map(Arc::new)),
            changing: Mutex::default(),
            locks: AtomicU64::new(0),
            default_profile: RwLock::default(),
            keyring: RwLock::default(),
            collections: Collections::default(),
            policy_lock: policy_lock(&startup.site),
            attempts: Mutex::new(attempts),
            working_memory: Mutex::default(),
            last_stretch: AtomicU64::new(0),
            startup_detail: startup.site_detail(),
            start_is_recorded: AtomicBool::new(false),
            last_use: AtomicU64::new(0),
        })
    }

    pub fn installation(&self) -> Option<Arc<Installation>> {
        self.installation.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// There is another installation now, or none.
    pub fn set_installation(&self, installation: Option<Installation>) {
        *self.installation.write().unwrap_or_else(PoisonError::into_inner) =
            installation.map(Arc::new);
    }

    /// Excludes everything else that opens, makes, changes or destroys a profile. A lock never waits
    /// for it.
    pub fn changing(&self) -> MutexGuard<'_, ()> {
        self.changing.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// How many locks there have been.
    pub fn locks(&self) -> u64 {
        self.locks.load(Ordering::SeqCst)
    }

    /// Forgets the keys of one profile, or of all; the names of those that were unlocked.
    pub fn forget_keys(&self, profile: Option<&ProfileName>) -> Vec<String> {
        let mut keyring = self.keyring_mut();
        self.locks.fetch_add(1, Ordering::SeqCst);
        self.collections.forget(profile);
        match profile {
            Some(profile) => {
                keyring.remove(profile).then(|| profile.to_string()).into_iter().collect()
            }
            None => keyring.clear(),
        }
    }

    /// Keeps the keys of a profile that was unlocked, unless there was a lock since `locks_before`.
    pub fn keep_keys(
        &self,
        profile: &ProfileName,
        held: Held,
        locks_before: u64,
    ) -> Result<(), Fault> {
        let mut keyring = self.keyring_mut();
        self.still_unlocked(locks_before)?;
        keyring.insert(profile, held);
        Ok(())
    }

    /// Refuses what was begun before a lock and would end after it.
    pub fn still_unlocked(&self, locks_before: u64) -> Result<(), Fault> {
        if self.locks() == locks_before {
            return Ok(());
        }
        Err(Fault::new(FaultKind::Locked, "it was locked meanwhile; nothing was done"))
    }

    pub fn keyring(&self) -> RwLockReadGuard<'_, Keyring> {
        self.keyring.read().unwrap_or_else(PoisonError::into_inner)
    }

    pub fn keyring_mut(&self) -> RwLockWriteGuard<'_, Keyring> {
        self.keyring.write().unwrap_or_else(PoisonError::into_inner)
    }

    pub fn attempts(&self) -> MutexGuard<'_, Attempts> {
        self.attempts.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The memory in which passwords are stretched, one at a time.
    pub fn working_memory(&self) -> MutexGuard<'_, WorkingMemory> {
        self.last_stretch.store(boot_clock().as_secs(), Ordering::Relaxed);
        self.working_memory.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Forgets all keys when nobody has used any for `unlock.auto_lock_seconds`, time asleep included.
    fn lock_when_idle(&self, trail: &mut Trail) {
        let Some(limit) = self.settings.unlock.auto_lock else { return };
        let idle = boot_clock().as_secs().saturating_sub(self.last_use.load(Ordering::Relaxed));
        if idle >= limit.as_secs() && !self.keyring().is_empty() {
            handlers::lock::lock_all(self, trail, None, "idle");
        }
    }

    /// Gives the working memory back when nobody has used it for a while.
    fn release_working_memory(&self) {
        let last = self.last_stretch.load(Ordering::Relaxed);
        if boot_clock().as_secs().saturating_sub(last) < KEEP_WORKING_MEMORY_SECONDS {
            return;
        }
        if let Ok(mut memory) = self.working_memory.try_lock() {
            memory.release();
        }
    }

    /// The installation, or the fault that there is none.
    pub fn initialised(&self) -> Result<Arc<Installation>, Fault> {
        self.installation().ok_or_else(|| {
            Fault::new(FaultKind::NotInitialised, "there is no installation yet; run `sesame init`")
        })
    }

    /// The profile that is meant: the named one, or the default.
    pub fn profile(&self, name: Option<&str>) -> Result<ProfileName, Fault> {
        self.initialised()?;
        let Some(name) = name else { return self.default_profile() };
        let profile = ProfileName::try_from(name).map_err(|error| faults::from_name(&error))?;
        if self.store.profile_exists(&profile) {
            return Ok(profile);
        }
        let text = format!("there is no profile {profile}; `sesame profile list` shows all");
        Err(Fault::new(FaultKind::NotFound, text))
    }

    /// The profile that is meant when none is named.
    pub fn default_profile(&self) -> Result<ProfileName, Fault> {
        let known = self.default_profile.read().unwrap_or_else(PoisonError::into_inner).clone();
        if let Some(profile) = known {
            return Ok(profile);
        }
        // Read under the lock, so that an older answer can't overwrite a newer one.
        let mut place = self.default_profile.write().unwrap_or_else(PoisonError::into_inner);
        let profile = self.store.default_profile().map_err(|error| {
            faults::from_storage("cannot read which profile is the default", &error)
        })?;
        *place = Some(profile.clone());
        Ok(profile)
    }

    /// Another default, or another installation: what is known of the default no longer counts.
    pub fn forget_default_profile(&self) {
        *self.default_profile.write().unwrap_or_else(PoisonError::into_inner) = None;
    }

    /// The vault of an active profile, for the operation that `record` describes. An attempt on one
    /// that is not open is recorded as refused.
    pub fn vault(
        &self,
        trail: &mut Trail,
        profile: &ProfileName,
        record: &Record,
    ) -> Result<Arc<Vault>, Fault> {
        self.touch();
        let (vault, state) = {
            let keyring = self.keyring();
            (keyring.vault(profile), keyring.state(profile))
        };
        if let Some(vault) = vault {
            return Ok(vault);
        }
        let (word, command) = match state {
            ProfileState::Locked => ("locked", "sesame unlock --profile"),
            ProfileState::Unlocked | ProfileState::Active => {
                ("not active", "sesame profile activate")
            }
        };
        let mut refusal = record.clone();
        refusal.outcome = Outcome::Refused;
        refusal.detail.insert("reason".to_owned(), word.to_owned());
        trail.record(refusal)?;
        let text = format!("profile {profile} is {word}; run `{command} {profile}`");
        Err(Fault::new(FaultKind::Locked, text))
    }

    /// Puts off the automatic lock.
    pub fn touch(&self) {
        self.last_use.store(boot_clock().as_secs(), Ordering::Relaxed);
    }

    /// Records this daemon's start once there is a trail to record it in.
    pub fn record_start(&self, trail: &mut Trail) -> Result<(), Fault> {
        if self.start_is_recorded.load(Ordering::Acquire) {
            return Ok(());
        }
        let mut record = Record::new(Operation::DaemonStart, Outcome::Done);
        record.subject = Some(Daemon::Secrets.as_str().to_owned());
        record.detail.extend(self.startup_detail.iter().cloned());
        record.detail.extend(self.posture.summary());
        trail.record(record)?;
        self.start_is_recorded.store(true, Ordering::Release);
        Ok(())
    }

    fn record_refusal(&self, trail: &mut Trail, refusal: &Refusal, unrecorded: u64) {
        let mut record = Record::new(Operation::PeerRefused, Outcome::Refused);
        record.actor = Some(refusal.recorded());
        record.subject = Some(Daemon::Secrets.as_str().to_owned());
        record.detail.insert("reason".to_owned(), refusal.reason.as_str().to_owned());
        if unrecorded > 0 {
            record.detail.insert("unrecorded".to_owned(), unrecorded.to_string());
        }
        if let Err(error) = trail.record(record) {
            log::warning(format_args!("a refused peer could not be recorded: {error}"));
        }
    }

    /// The trail of the next installation does not know of this daemon's start yet.
    pub fn forget_recorded_start(&self) {
        self.start_is_recorded.store(false, Ordering::Release);
    }
}

/// The source of the first entry of policy.toml about `auth`.
fn policy_lock(site: &Site) -> Option<String> {
    let keys = [Key::AuthMode, Key::AuthPolicyRequired, Key::AuthPolicyAdditionalRequired];
    keys.into_iter().find_map(|key| match site.origin(key) {
        Origin::Policy { source, .. } => Some(source.clone()),
        _ => None,
    })
}
