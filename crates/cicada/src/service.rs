//! The state behind the requests.

use std::collections::BTreeMap;
use std::io::Write;
use std::os::unix::net::UnixStream;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use audit_log::{Operation as Recorded, Outcome};
use daemon_runtime::{Posture, RefusalLog, StartError, Startup, log};
use ipc::audit::Record;
use ipc::pool::{Bounds, End, Protocol, Wait};
use ipc::trail::{AuditDaemon, Trail};
use ipc::{Credentials, Fault, Refusal, RefusalReason};
use key_hierarchy::Derivation;
use secret_memory::{Secret, SecretBytes};
use site_config::algorithms::Hkdf;
use site_config::names::IdentityName;
use site_config::{CicadaConfig, CicadaOperation, Daemon, LayoutKind, Requirement};

use crate::conversation::{CHUNK_BYTES, Caller, Conversation, Shares};
use crate::credential;
use crate::error::{Code, Refused};
use crate::handlers;
use crate::identity::Identity;
use crate::isolation::Place;
use crate::keyring::{Keyring, Unlocked};
use crate::reply::Reply;
use crate::request::Request;
use crate::store::Store;

/// Enough for a thousand programs that come at once, and one uid has at most half.
const BOUNDS: Bounds = Bounds { connections: 512, connections_per_uid: 256 };

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
    /// Whether the configuration leaves out a part of the sandbox, by name.
    pub(crate) sandbox_is_off: bool,
    keyring: RwLock<Keyring>,
    /// Excludes two changes of the store at once. A lock never waits for it.
    changing: Mutex<()>,
    audit: Arc<AuditDaemon>,
    shares: Arc<Shares>,
    socket_group: Option<u32>,
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
    chunk: SecretBytes,
}

impl Cicada {
    /// Reads cicada.toml, opens the store and takes the credential; outside the sandbox still.
    ///
    /// # Errors
    /// [`StartError`].
    pub fn open(startup: &Startup) -> Result<Self, StartError> {
        let layout = &startup.site.layout;
        let config = CicadaConfig::load(layout.cicada_config())
            .map_err(|error| StartError::Settings(error.to_string()))?;
        let derivation = match startup.site.settings.crypto.hkdf {
            Hkdf::Blake3 => Derivation::Blake3,
            Hkdf::HkdfSha256 => Derivation::HkdfSha256,
        };
        let store = Store::open(&startup.state, derivation)
            .map_err(|error| StartError::Service(error.to_string()))?;
        let keyring = if store.exists() { Keyring::Locked } else { Keyring::Uninitialised };
        let socket_group = config.group;
        if layout.kind() == LayoutKind::System {
            hand_over(&layout.cicada_socket(), socket_group)?;
        }
        let sandbox = &startup.site.settings.sandbox;
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
            sandbox_is_off: [sandbox.landlock, sandbox.seccomp].contains(&Requirement::Off),
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
            socket_group,
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
        identities: BTreeMap<IdentityName, Arc<Identity>>,
        locks_before: u64,
    ) -> Result<(), Refused> {
        let mut keyring = self.keyring_mut();
        if self.locks() != locks_before {
            *keyring = Keyring::Locked;
            return Err(Refused::new(Code::Locked, "it was locked meanwhile; no key was kept"));
        }
        *keyring = Keyring::Unlocked(Unlocked { unlock_key: Arc::new(unlock_key), identities });
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
                format!(
                    "there is a file of an identity {name} that can't be read; it was not touched"
                )
            }
            None => return Ok(Arc::clone(&unlocked.unlock_key)),
        };
        Err(Refused::new(Code::Exists, text))
    }

    /// Writes an identity, and uses it from now on. What was locked meanwhile stays locked.
    pub fn put(&self, identity: Identity, unlock_key: &Secret<32>) -> Result<(), Refused> {
        self.store.write(&identity, unlock_key)?;
        if let Some(unlocked) = self.keyring_mut().unlocked_mut() {
            unlocked.identities.insert(identity.name.clone(), Arc::new(identity));
        }
        Ok(())
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

    /// Records what was not allowed, or was and could not be; a flood of them becomes a count.
    pub(crate) fn record_refused(&self, trail: &mut Trail, record: Record) {
        if let Some(unrecorded) = self.refusals.admit(&record) {
            self.write_refused(trail, record, unrecorded);
        }
    }

    pub(crate) fn write_refused(&self, trail: &mut Trail, mut record: Record, unrecorded: u64) {
        if unrecorded > 0 {
            record.detail.insert("unrecorded".to_owned(), unrecorded.to_string());
        }
        if let Err(error) = trail.record(record) {
            log::warning(format_args!("a refusal could not be recorded: {error}"));
        }
    }

    /// One request, one reply.
    fn answer(&self, trail: &mut Trail, caller: &Caller, request: &[u8]) -> Reply {
        let answered = Request::parse(request).and_then(|request| {
            self.permit(trail, caller, request.operation(), request.identity())?;
            self.record_start(trail)?;
            handlers::handle(self, trail, caller, request)
        });
        answered.unwrap_or_else(|refused| Reply::error(&refused))
    }

    /// What is not in cicada.toml is refused, whether or not the identity exists.
    pub fn permit(
        &self,
        trail: &mut Trail,
        caller: &Caller,
        operation: CicadaOperation,
        identity: Option<&IdentityName>,
    ) -> Result<(), Refused> {
        if caller.grants.on(identity).contains(operation) {
            return Ok(());
        }
        let mut record = refusal(caller.credentials, "no rule in cicada.toml");
        record.detail.insert("request".to_owned(), operation.to_string());
        if let Some(identity) = identity {
            record.detail.insert("identity".to_owned(), identity.to_string());
        }
        self.record_refused(trail, record);
        let about = identity.map(|identity| format!(" on {identity}")).unwrap_or_default();
        let text = format!(
            "no rule in cicada.toml gives uid {} {operation}{about}; the attempt was recorded",
            caller.credentials.uid
        );
        Err(Refused::new(Code::Denied, text))
    }
}

impl Protocol for Cicada {
    type Worker = Worker;
    type Connection = Conversation;

    fn bounds(&self) -> Bounds {
        BOUNDS
    }

    fn socket_group(&self) -> Option<u32> {
        self.socket_group
    }

    fn worker(&self) -> Worker {
        let chunk = SecretBytes::zeroed(CHUNK_BYTES).expect("an arena with room for every thread");
        Worker { trail: Trail::new(Arc::clone(&self.audit)), chunk }
    }

    fn open(&self, stream: UnixStream, credentials: Credentials) -> Result<Conversation, Refusal> {
        let groups = hardening::peer::groups(&stream).unwrap_or_default();
        let grants = self.config.grants(credentials.uid, &groups);
        if grants.is_empty() {
            let text = format!(
                "neither uid {} nor one of its groups has a rule in cicada.toml; the attempt was \
                 recorded",
                credentials.uid
            );
            say(&stream, &Refused::new(Code::Denied, text));
            return Err(Refusal { credentials, key: None, reason: RefusalReason::NoRule });
        }
        Ok(Conversation::new(stream, Caller { credentials, grants }, &self.shares))
    }

    fn turn_away(&self, stream: UnixStream, credentials: Credentials) -> Refusal {
        let text = "too many connections at once; close some, or try again";
        say(&stream, &Refused::new(Code::Busy, text));
        Refusal { credentials, key: None, reason: RefusalReason::TooMany }
    }

    fn advance(&self, worker: &mut Worker, conversation: &mut Conversation) -> Result<Wait, End> {
        let Worker { trail, chunk } = worker;
        conversation
            .advance(chunk.expose_mut(), |caller, request| self.answer(trail, caller, request))
    }

    fn refused(&self, worker: &mut Worker, refused: &Refusal) {
        let record = refusal(refused.credentials, refused.reason.as_str());
        self.record_refused(&mut worker.trail, record);
    }
}

/// Seconds since 1970.
#[must_use]
pub fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |time| time.as_secs())
}

/// A time as replies have it (RFC 3339).
#[must_use]
pub fn time(seconds: u64) -> String {
    humantime::format_rfc3339_seconds(UNIX_EPOCH + Duration::from_secs(seconds)).to_string()
}

fn refusal(credentials: Credentials, reason: &str) -> Record {
    let mut record = Record::new(Recorded::PeerRefused, Outcome::Refused);
    record.actor =
        Some(Refusal { credentials, key: None, reason: RefusalReason::NoRule }.recorded());
    record.subject = Some(Daemon::Cicada.as_str().to_owned());
    record.detail.insert("reason".to_owned(), reason.to_owned());
    record
}

/// The one thing that is said to a program which is not let in; if it doesn't fit, then nothing.
fn say(mut stream: &UnixStream, refused: &Refused) {
    let _ = stream.write(Reply::error(refused).bytes());
}

/// The directory of the socket goes to the group of those who may connect.
fn hand_over(socket: &std::path::Path, group: Option<u32>) -> Result<(), StartError> {
    let Some(directory) = socket.parent() else { return Ok(()) };
    std::os::unix::fs::chown(directory, None, group)
        .map_err(|source| StartError::Listen { path: directory.to_owned(), source })
}
