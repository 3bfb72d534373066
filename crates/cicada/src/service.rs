//! The state behind the requests.

use std::fmt;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use audit_log::{Operation as Recorded, Outcome};
use daemon_runtime::{Posture, RefusalLog, StartError, Startup, log};
use ipc::audit::Record;
use ipc::trail::{AuditDaemon, Trail};
use ipc::{Credentials, Fault};
use key_hierarchy::Derivation;
use secret_memory::{Secret, SecretBytes};
use site_config::algorithms::Hkdf;
use site_config::names::IdentityName;
use site_config::{CicadaConfig, Daemon, LayoutKind, Requirement};

use crate::credential;
use crate::error::{Code, Refused};
use crate::identity::Identity;
use crate::isolation::Place;
use crate::keyring::{Keyring, Unlocked};
use crate::shares::Shares;
use crate::store::{Contents, Store};

/// More than a host has programs; their seeds fit into the arena.
const MAX_IDENTITIES: usize = 1024;

/// Everything that the threads share.
pub struct Cicada {
    /// Who may do what.
    pub config: CicadaConfig,
    /// The files.
    pub store: Store,
    /// The daemon's own confinement.
    pub posture: Arc<Posture>,
    /// How the daemon is run.
    pub place: Place,
    /// The checks that fail because the configuration leaves out a part of the sandbox, by name.
    pub(crate) left_out: Vec<&'static str>,
    keyring: RwLock<Keyring>,
    /// Excludes two changes of the store at once. A lock never waits for it.
    changing: Mutex<()>,
    pub(crate) audit: Arc<AuditDaemon>,
    pub(crate) shares: Arc<Shares>,
    pub(crate) refusals: RefusalLog<Record>,
    pub(crate) startup_detail: Vec<(String, String)>,
    pub(crate) start_is_recorded: AtomicBool,
    /// How many locks there have been.
    locks: AtomicU64,
    /// When earlier keys could last not be destroyed; seconds since 1970.
    pub(crate) expiry_failed: AtomicU64,
    /// The unlock key that came with the start, until it was used.
    pub(crate) credential: Mutex<Option<Secret<32>>>,
}

/// State of each thread.
pub struct Worker {
    pub(crate) trail: Trail,
    /// Scratch for one read; in secret memory, because an unlock key may be in it.
    pub(crate) chunk: SecretBytes,
}

impl Cicada {
    /// Opens the store and takes the credential; outside the sandbox still.
    ///
    /// # Errors
    /// [`StartError`].
    pub fn open(startup: &Startup, config: CicadaConfig) -> Result<Self, StartError> {
        let layout = &startup.site.layout;
        let derivation = match startup.site.settings.crypto.hkdf {
            Hkdf::Blake3 => Derivation::Blake3,
            Hkdf::HkdfSha256 => Derivation::HkdfSha256,
        };
        let store = Store::open(&startup.state, derivation)
            .map_err(|error| StartError::Service(error.to_string()))?;
        let keyring = if store.exists() { Keyring::Locked } else { Keyring::Uninitialised };
        let sandbox = &startup.site.settings.sandbox;
        let mut left_out = Vec::new();
        if sandbox.landlock == Requirement::Off {
            left_out.push("landlock");
        }
        if sandbox.seccomp == Requirement::Off {
            left_out.extend(["seccomp", "families"]);
        }
        let mut startup_detail = startup.site_detail();
        let digest: String = config.digest.iter().map(|byte| format!("{byte:02x}")).collect();
        startup_detail.push(("rules".to_owned(), digest));
        let identity = Arc::clone(&startup.identity);
        Ok(Self {
            audit: Arc::new(AuditDaemon::of(&startup.site, &startup.peers, identity)),
            posture: Arc::clone(&startup.posture),
            place: Place {
                unit: layout.kind() == LayoutKind::System,
                state: startup.state.clone(),
                runtime: layout.cicada_socket().with_file_name(""),
                socket: layout.cicada_socket(),
                group: String::new(),
            },
            left_out,
            keyring: RwLock::new(keyring),
            changing: Mutex::default(),
            shares: Arc::default(),
            refusals: RefusalLog::default(),
            start_is_recorded: AtomicBool::new(false),
            locks: AtomicU64::new(0),
            expiry_failed: AtomicU64::new(0),
            credential: Mutex::new(credential::take()?),
            config,
            store,
            startup_detail,
        })
    }

    /// What is unlocked.
    pub fn keyring(&self) -> RwLockReadGuard<'_, Keyring> {
        self.keyring.read().unwrap_or_else(PoisonError::into_inner)
    }

    /// The same, to change.
    pub fn keyring_mut(&self) -> RwLockWriteGuard<'_, Keyring> {
        self.keyring.write().unwrap_or_else(PoisonError::into_inner)
    }

    /// Excludes everything else that changes the store.
    pub fn changing(&self) -> MutexGuard<'_, ()> {
        self.changing.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// As [`Cicada::changing`], when nobody else is changing it.
    pub fn try_changing(&self) -> Option<MutexGuard<'_, ()>> {
        self.changing.try_lock().ok()
    }

    /// How many locks there have been.
    pub fn locks(&self) -> u64 {
        self.locks.load(Ordering::SeqCst)
    }

    /// Forgets all keys.
    pub fn forget_keys(&self) {
        let mut keyring = self.keyring_mut();
        self.locks.fetch_add(1, Ordering::SeqCst);
        if keyring.unlocked_mut().is_some() {
            *keyring = Keyring::Locked;
        }
    }

    /// Keeps what was unlocked, unless there was a lock since `locks_before`.
    pub fn keep(
        &self,
        unlock_key: Secret<32>,
        contents: Contents,
        locks_before: u64,
    ) -> Result<(), Refused> {
        let mut keyring = self.keyring_mut();
        if self.locks() != locks_before {
            *keyring = Keyring::Locked;
            return Err(Refused::new(Code::Locked, "it was locked meanwhile; no key was kept"));
        }
        let by_name = |identity: Identity| (identity.name.clone(), Arc::new(identity));
        *keyring = Keyring::Unlocked(Unlocked {
            unlock_key: Arc::new(unlock_key),
            identities: contents.identities.into_iter().map(by_name).collect(),
            damaged: contents.damaged.into_iter().map(|(name, _)| name).collect(),
        });
        Ok(())
    }

    /// An identity that can be changed, and the key to seal it with.
    pub fn present(
        &self,
        name: &IdentityName,
    ) -> Result<(Arc<Identity>, Arc<Secret<32>>), Refused> {
        let keyring = self.keyring();
        // Revoked ones have no version, and are gone for good.
        keyring.version(name, None)?;
        Ok((keyring.identity(name)?, Arc::clone(&keyring.unlocked()?.unlock_key)))
    }

    /// The key to seal a new identity with, if the name is free.
    pub fn key_for_new(&self, name: &IdentityName) -> Result<Arc<Secret<32>>, Refused> {
        let keyring = self.keyring();
        let unlocked = keyring.unlocked()?;
        let text = match unlocked.identities.get(name) {
            Some(identity) if identity.revoked.is_some() => {
                format!(
                    "there was an identity {name}; it is revoked, and its name is not given again"
                )
            }
            Some(_) => format!("there is an identity {name} already; it was not touched"),
            None if self.store.has(name) => {
                format!("the file of the identity {name} is damaged; it was not touched")
            }
            None if unlocked.identities.len() >= MAX_IDENTITIES => {
                let text =
                    format!("there are {MAX_IDENTITIES} identities already; nothing was made");
                return Err(Refused::new(Code::Busy, text));
            }
            None => return Ok(Arc::clone(&unlocked.unlock_key)),
        };
        Err(Refused::new(Code::Exists, text))
    }

    /// As [`Cicada::key_for_new`], for an identity out of a backup, which may take a damaged one's place.
    pub fn key_for_restored(&self, name: &IdentityName) -> Result<Arc<Secret<32>>, Refused> {
        {
            let keyring = self.keyring();
            let unlocked = keyring.unlocked()?;
            if unlocked.damaged.contains(name) {
                return Ok(Arc::clone(&unlocked.unlock_key));
            }
        }
        self.key_for_new(name)
    }

    /// Writes an identity, and uses it from now on. What was locked meanwhile stays locked. When the
    /// last step of writing fails, what is used is what the disk has now.
    pub fn put(&self, identity: Identity, unlock_key: &Secret<32>) -> Result<(), Refused> {
        let written = self.store.write(&identity, unlock_key);
        let identity = match &written {
            Ok(()) => Some(identity),
            Err(_) => self.store.read_identity(&identity.name, unlock_key).ok(),
        };
        if let (Some(identity), Some(unlocked)) = (identity, self.keyring_mut().unlocked_mut()) {
            unlocked.damaged.remove(&identity.name);
            unlocked.identities.insert(identity.name.clone(), Arc::new(identity));
        }
        Ok(written?)
    }

    /// Records this daemon's start, once there is a trail to record it in.
    pub(crate) fn record_start(&self, trail: &mut Trail) -> Result<(), Fault> {
        if self.start_is_recorded.load(Ordering::Acquire) {
            return Ok(());
        }
        let mut record = Record::new(Recorded::DaemonStart, Outcome::Done);
        record.subject = Some(Daemon::Cicada.as_str().to_owned());
        record.detail.extend(self.startup_detail.iter().cloned());
        record.detail.extend(self.posture.summary());
        trail.record(record)?;
        self.start_is_recorded.store(true, Ordering::Release);
        Ok(())
    }

    /// Records what was not allowed, or was and could not be; a flood of one kind becomes a count.
    pub(crate) fn record_refused(
        &self,
        trail: &mut Trail,
        kind: &'static str,
        record: Record,
    ) -> Noted {
        let uid = record.actor.as_ref().map_or(u32::MAX, |actor| actor.uid);
        match self.refusals.admit(uid, kind, &record) {
            Some(unrecorded) => self.write_refused(trail, record, unrecorded),
            None => Noted(true),
        }
    }

    /// Records a refusal, and that so many before it were not.
    pub(crate) fn write_refused(
        &self,
        trail: &mut Trail,
        mut record: Record,
        unrecorded: u64,
    ) -> Noted {
        if unrecorded > 0 {
            record.detail.insert("unrecorded".to_owned(), unrecorded.to_string());
        }
        let recorded = trail.record(record);
        if let Err(error) = &recorded {
            log::warning(format_args!("a refusal could not be recorded: {error}"));
        }
        Noted(recorded.is_ok())
    }
}

/// Whether a refusal stands in the trail, on its own or counted with another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Noted(pub bool);

impl fmt::Display for Noted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.0 {
            true => "the attempt was recorded",
            false => "the attempt could not be recorded",
        })
    }
}

/// Seconds since 1970.
#[must_use]
pub fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |time| time.as_secs())
}

/// The last second of the year 9999, which RFC 3339 can write.
pub const LAST_SECOND: u64 = 253_402_300_799;

/// A time as replies have it (RFC 3339).
#[must_use]
pub fn time(seconds: u64) -> String {
    let time = UNIX_EPOCH + Duration::from_secs(seconds.min(LAST_SECOND));
    humantime::format_rfc3339_seconds(time).to_string()
}

/// A refusal of whoever this is, as the trail records it.
#[must_use]
pub fn refusal(credentials: Credentials, reason: &str) -> Record {
    let mut record = Record::new(Recorded::PeerRefused, Outcome::Refused);
    record.actor = Some(credentials.recorded());
    record.subject = Some(Daemon::Cicada.as_str().to_owned());
    record.detail.insert("reason".to_owned(), reason.to_owned());
    record
}
