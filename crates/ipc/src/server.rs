//! The server's end: a fixed pool of threads over one epoll set.
//!
//! Each descriptor is armed for one event at a time (`EPOLLONESHOT`), so that one thread at a time
//! works on a connection, and whichever thread is free takes the next. Reads and writes never
//! block: a peer that stops in the middle of a frame occupies its slot and no thread. Threads are
//! spawned before the seccomp filter goes on and wait at a gate until the daemon is ready.

use std::collections::HashMap;
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use nix::sys::epoll::{Epoll, EpollCreateFlags, EpollEvent, EpollFlags, EpollTimeout};
use secret_memory::SecretBytes;
use site_config::Role;

use crate::audit::RecordedActor;
use crate::connection::{Connection, End, Wait};
use crate::identity::{Credentials, Identity, Peer};
use crate::suite::Suite;

/// Bounds on what peers can take.
#[derive(Clone, Debug)]
pub struct Limits {
    /// Connections at once.
    pub connections: usize,
    /// Connections at once of one uid.
    pub connections_per_uid: usize,
    /// From connecting to the end of the handshake, and from the first to the last byte of a frame.
    pub handshake: Duration,
    /// Between two requests of a person's program.
    pub idle: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            connections: 256,
            connections_per_uid: 96,
            handshake: Duration::from_secs(5),
            idle: Duration::from_secs(300),
        }
    }
}

impl Limits {
    /// Daemons keep their connections; a person's program that says nothing is let go.
    pub(crate) fn idle_for(&self, role: Role) -> Duration {
        match role {
            Role::DaemonAudit | Role::DaemonSecrets => Duration::from_secs(365 * 86400),
            Role::Operator | Role::Custodian | Role::Auditor => self.idle,
        }
    }
}

/// A connection that was not let in.
#[derive(Clone, Debug)]
pub struct Refusal {
    /// Who it was, as the kernel says.
    pub credentials: Credentials,
    /// The key it proved to hold, if it came so far.
    pub key: Option<[u8; 32]>,
    /// What was wrong.
    pub reason: RefusalReason,
}

impl Refusal {
    /// As the trail records it.
    #[must_use]
    pub fn recorded(&self) -> RecordedActor {
        let Credentials { uid, pid } = self.credentials;
        RecordedActor { uid, pid, key: self.key, name: None }
    }
}

/// Why a connection was not let in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RefusalReason {
    /// The key is in no peers.toml.
    UnknownKey,
    /// The key belongs to another uid.
    WrongUid,
    /// The suite is below `crypto.minimum_peer_profile`.
    WeakSuite,
    /// No handshake of this protocol, or not for this daemon's key.
    BadHandshake,
    /// The handshake took too long.
    TimedOut,
    /// Too many connections.
    TooMany,
}

impl RefusalReason {
    /// The words that go into the trail.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::UnknownKey => "unknown key",
            Self::WrongUid => "key of another uid",
            Self::WeakSuite => "cipher suite below crypto.minimum_peer_profile",
            Self::BadHandshake => "bad handshake",
            Self::TimedOut => "handshake timed out",
            Self::TooMany => "too many connections",
        }
    }
}

/// What a daemon does with its peers.
pub trait Service: Send + Sync + 'static {
    /// State of each thread, such as a connection to another daemon.
    type Worker;

    /// Called once on each thread before the gate opens.
    fn worker(&self) -> Self::Worker;

    /// Whether a client may speak this suite.
    fn accepts(&self, suite: Suite) -> bool;

    /// Who holds `key`, if it may come from this uid.
    ///
    /// # Errors
    /// Why not.
    fn peer(&self, key: &[u8; 32], credentials: Credentials) -> Result<Peer, RefusalReason>;

    /// A connection was refused; to be recorded.
    fn refused(&self, worker: &mut Self::Worker, refusal: &Refusal);

    /// Answers one request; `None` closes the connection (bytes that are no request).
    fn handle(&self, worker: &mut Self::Worker, peer: &Peer, request: &[u8])
    -> Option<SecretBytes>;
}

/// A listening socket with its threads.
pub struct Server {
    core: Arc<Core>,
    threads: Vec<JoinHandle<()>>,
}

struct Core {
    listener: UnixListener,
    epoll: Epoll,
    slots: Vec<Mutex<Option<Connection>>>,
    free: Mutex<Free>,
    limits: Limits,
    identity: Arc<Identity>,
    gate: Mutex<Gate>,
    opened: Condvar,
}

struct Free {
    slots: Vec<usize>,
    per_uid: HashMap<u32, usize>,
}

#[derive(Default)]
struct Gate {
    arrived: usize,
    /// Threads on which the probe came out true.
    confirmed: usize,
    open: bool,
}

/// Bytes of stack of each worker: the deepest path (ML-DSA, unoptimised) needs well under half.
const STACK_BYTES: usize = 2 << 20;
/// Bytes that one read takes at most.
const CHUNK_BYTES: usize = 4096;
/// Token of the listener in the epoll set; a connection's token is its slot.
const LISTENER: u64 = u64::MAX;

impl Server {
    /// Listens on `socket` with mode `mode`. A socket left behind by a dead daemon is replaced: the
    /// caller holds the lock on the daemon's state, so it is not a living one's.
    ///
    /// # Errors
    /// What the system reported.
    pub fn bind(
        socket: &Path,
        mode: u32,
        identity: Arc<Identity>,
        limits: Limits,
    ) -> io::Result<Self> {
        match std::fs::remove_file(socket) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        let listener = UnixListener::bind(socket)?;
        std::fs::set_permissions(socket, std::fs::Permissions::from_mode(mode))?;
        listener.set_nonblocking(true)?;
        let epoll = Epoll::new(EpollCreateFlags::EPOLL_CLOEXEC)?;
        epoll.add(&listener, one_shot(Wait::Readable, LISTENER))?;
        let core = Core {
            listener,
            epoll,
            slots: (0..limits.connections).map(|_| Mutex::new(None)).collect(),
            free: Mutex::new(Free {
                slots: (0..limits.connections).collect(),
                per_uid: HashMap::new(),
            }),
            limits,
            identity,
            gate: Mutex::default(),
            opened: Condvar::new(),
        };
        Ok(Self { core: Arc::new(core), threads: Vec::new() })
    }

    /// Spawns the threads; returns once each is waiting at the gate, with the number of threads on
    /// which `probe` came out true. The probe is how a daemon learns that its sandbox holds on each.
    ///
    /// # Errors
    /// When a thread can't be spawned.
    pub fn spawn<S: Service>(
        &mut self,
        service: &Arc<S>,
        workers: usize,
        probe: fn() -> bool,
    ) -> io::Result<usize> {
        for number in 0..workers {
            let (core, service) = (Arc::clone(&self.core), Arc::clone(service));
            let thread = std::thread::Builder::new()
                .name(format!("worker-{number}"))
                .stack_size(STACK_BYTES)
                .spawn(move || core.work(&*service, probe))?;
            self.threads.push(thread);
        }
        let mut gate = lock(&self.core.gate);
        while gate.arrived < self.threads.len() {
            gate = self.core.opened.wait(gate).unwrap_or_else(PoisonError::into_inner);
        }
        Ok(gate.confirmed)
    }

    /// Lets the threads serve.
    pub fn open_gate(&self) {
        lock(&self.core.gate).open = true;
        self.core.opened.notify_all();
    }

    /// Closes connections whose time is up, and returns those that never finished their handshake,
    /// to be recorded. To be called about every second.
    #[must_use]
    pub fn sweep(&self) -> Vec<Refusal> {
        self.core.sweep(Instant::now())
    }

    /// Whether a thread has ended, which only a bug can cause.
    #[must_use]
    pub fn has_lost_a_thread(&self) -> bool {
        self.threads.iter().any(JoinHandle::is_finished)
    }
}

impl Core {
    fn work<S: Service>(&self, service: &S, probe: fn() -> bool) {
        let mut worker = service.worker();
        self.wait_at_gate(probe());
        let mut chunk = vec![0; CHUNK_BYTES];
        let mut events = [EpollEvent::empty()];
        loop {
            match self.epoll.wait(&mut events, EpollTimeout::NONE) {
                Ok(0) | Err(_) => continue,
                Ok(_) => {}
            }
            match events[0].data() {
                LISTENER => self.accept(service, &mut worker),
                slot => self.serve(service, &mut worker, &mut chunk, slot as usize),
            }
        }
    }

    fn wait_at_gate(&self, confirmed: bool) {
        let mut gate = lock(&self.gate);
        gate.arrived += 1;
        gate.confirmed += usize::from(confirmed);
        self.opened.notify_all();
        while !gate.open {
            gate = self.opened.wait(gate).unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// Takes one connection, so that a flood of them is shared out among the threads.
    fn accept<S: Service>(&self, service: &S, worker: &mut S::Worker) {
        let accepted = self.listener.accept();
        // Armed again before anything slow happens.
        let _ = self.epoll.modify(&self.listener, &mut one_shot(Wait::Readable, LISTENER));
        let Ok((stream, _)) = accepted else { return };
        let Ok(credentials) = Credentials::of(&stream) else { return };
        if let Err(reason) = self.admit(stream, credentials) {
            service.refused(worker, &Refusal { credentials, key: None, reason });
        }
    }

    fn admit(&self, stream: UnixStream, credentials: Credentials) -> Result<(), RefusalReason> {
        if stream.set_nonblocking(true).is_err() {
            return Ok(());
        }
        let slot = {
            let mut free = lock(&self.free);
            let held = free.per_uid.get(&credentials.uid).copied().unwrap_or(0);
            if held >= self.limits.connections_per_uid {
                return Err(RefusalReason::TooMany);
            }
            let slot = free.slots.pop().ok_or(RefusalReason::TooMany)?;
            free.per_uid.insert(credentials.uid, held + 1);
            slot
        };
        let mut place = lock(&self.slots[slot]);
        let connection = place.insert(Connection::new(stream, credentials, &self.limits));
        let armed = one_shot(Wait::Readable, slot as u64);
        if self.epoll.add(connection.stream(), armed).is_err() {
            self.vacate(slot, &mut place);
        }
        Ok(())
    }

    fn serve<S: Service>(
        &self,
        service: &S,
        worker: &mut S::Worker,
        chunk: &mut [u8],
        slot: usize,
    ) {
        let Some(mutex) = self.slots.get(slot) else { return };
        let mut place = lock(mutex);
        let Some(connection) = place.as_mut() else { return };
        let outcome = connection.advance(&self.identity, &self.limits, service, worker, chunk);
        match outcome {
            Ok(wait) => {
                let mut armed = one_shot(wait, slot as u64);
                if self.epoll.modify(connection.stream(), &mut armed).is_err() {
                    self.vacate(slot, &mut place);
                }
            }
            Err(end) => {
                self.vacate(slot, &mut place);
                drop(place);
                if let End::Refused(refusal) = end {
                    service.refused(worker, &refusal);
                }
            }
        }
    }

    fn sweep(&self, now: Instant) -> Vec<Refusal> {
        let mut refusals = Vec::new();
        for (slot, mutex) in self.slots.iter().enumerate() {
            // A connection that a thread is working on right now is not idle.
            let Ok(mut place) = mutex.try_lock() else { continue };
            let Some(connection) = place.as_ref() else { continue };
            if connection.deadline <= now {
                let end = connection.expired();
                self.vacate(slot, &mut place);
                if let End::Refused(refusal) = end {
                    refusals.push(refusal);
                }
            }
        }
        refusals
    }

    /// Closes a connection and frees its slot.
    fn vacate(&self, slot: usize, place: &mut MutexGuard<'_, Option<Connection>>) {
        let Some(connection) = place.take() else { return };
        let _ = self.epoll.delete(connection.stream());
        let mut free = lock(&self.free);
        free.slots.push(slot);
        let uid = connection.credentials().uid;
        if let Some(held) = free.per_uid.get_mut(&uid) {
            *held -= 1;
            if *held == 0 {
                free.per_uid.remove(&uid);
            }
        }
    }
}

fn one_shot(wait: Wait, token: u64) -> EpollEvent {
    let direction = match wait {
        Wait::Readable => EpollFlags::EPOLLIN,
        Wait::Writable => EpollFlags::EPOLLOUT,
    };
    // Not EPOLLRDHUP: of a peer that has said all and doesn't read it would be reported for ever.
    EpollEvent::new(direction | EpollFlags::EPOLLONESHOT, token)
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
