//! A fixed pool of threads over one epoll set, for any protocol on a Unix socket.
//!
//! Each descriptor is armed for one event at a time (`EPOLLONESHOT`), so that one thread at a time
//! works on a connection, and whichever thread is free takes the next. Reads and writes never
//! block: a peer that stops in the middle of a request occupies its slot and no thread. Threads are
//! spawned before the seccomp filter goes on and wait at a gate until the daemon is ready.

use std::collections::HashMap;
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::Instant;

use nix::sys::epoll::{Epoll, EpollCreateFlags, EpollEvent, EpollFlags, EpollTimeout};

use crate::identity::Credentials;
use crate::refusal::{Refusal, RefusalReason};

/// What a peer and the pool say to each other: one connection, one step at a time.
pub trait Protocol: Send + Sync + 'static {
    /// State of each thread, such as a connection to another daemon.
    type Worker;
    /// A peer.
    type Connection: Connection;

    /// How many connections there may be.
    fn bounds(&self) -> Bounds;

    /// Threads besides the others, for connections while they are [`Connection::is_preferred`] and for
    /// letting peers in: whatever the others wait for, these stay free.
    fn preferred_workers(&self) -> usize {
        0
    }

    /// Called once on each thread before the gate opens.
    fn worker(&self) -> Self::Worker;

    /// A peer has connected; its stream doesn't block, and neither may this.
    fn open(&self, stream: UnixStream, credentials: Credentials) -> Self::Connection;

    /// There is no room for a peer that has connected. It is recorded later; this must not block.
    fn turn_away(&self, connection: &Self::Connection);

    /// Goes one step on: one read, one request, one write. Must not block on the peer.
    ///
    /// # Errors
    /// [`End`] when the connection is over.
    fn advance(
        &self,
        worker: &mut Self::Worker,
        connection: &mut Self::Connection,
    ) -> Result<Wait, End>;

    /// A connection was refused; to be recorded.
    fn refused(&self, worker: &mut Self::Worker, refusal: &Refusal);
}

/// One connection, as far as the pool looks at it.
pub trait Connection: Send {
    /// The socket.
    fn stream(&self) -> &UnixStream;
    /// Who is at the other end.
    fn credentials(&self) -> Credentials;
    /// When the peer must have done its next step.
    fn deadline(&self) -> Instant;
    /// What a connection that ran out of time was.
    fn expired(&self) -> End;
    /// What to wait for before the first step.
    fn first_wait(&self) -> Wait {
        Wait::Readable
    }
    /// Whether its next step must not wait for those of others. It may change with each step.
    fn is_preferred(&self) -> bool {
        false
    }
}

/// How many connections there may be.
#[derive(Clone, Copy, Debug)]
pub struct Bounds {
    /// At once.
    pub connections: usize,
    /// At once of one uid.
    pub connections_per_uid: usize,
    /// How many of them are kept for those that are [`Connection::is_preferred`].
    pub preferred: usize,
}

/// What to wait for next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wait {
    /// Something to read.
    Readable,
    /// Room to write; at once, when there is room already.
    Writable,
}

/// Why a connection is over.
#[derive(Debug)]
pub enum End {
    /// The peer closed, broke the protocol or timed out.
    Closed,
    /// It was never let in; to be recorded.
    Refused(Refusal),
}

/// A listening socket with its threads.
pub struct Pool<P: Protocol> {
    core: Arc<Core<P>>,
    threads: Vec<JoinHandle<()>>,
}

struct Core<P: Protocol> {
    protocol: Arc<P>,
    bounds: Bounds,
    listener: UnixListener,
    epoll: Epoll,
    /// The listener and the preferred connections, where they have threads of their own.
    preferred: Option<Epoll>,
    /// Peers that there was no room for, to be recorded.
    turned_away: Mutex<HashMap<u32, (Refusal, u64)>>,
    slots: Vec<Mutex<Option<P::Connection>>>,
    free: Mutex<Free>,
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
/// Token of the listener in the epoll set; a connection's token is its slot.
const LISTENER: u64 = u64::MAX;

impl<P: Protocol> Pool<P> {
    /// Listens on `socket`. A socket left behind by a dead daemon is replaced: the caller holds the
    /// lock on the daemon's state, so it is not a living one's.
    ///
    /// # Errors
    /// What the system reported.
    pub fn bind(socket: &Path, mode: u32, protocol: Arc<P>) -> io::Result<Self> {
        match std::fs::remove_file(socket) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        let listener = UnixListener::bind(socket)?;
        std::fs::set_permissions(socket, std::fs::Permissions::from_mode(mode))?;
        listener.set_nonblocking(true)?;
        let epoll = Epoll::new(EpollCreateFlags::EPOLL_CLOEXEC)?;
        let preferred = match protocol.preferred_workers() {
            0 => None,
            _ => Some(Epoll::new(EpollCreateFlags::EPOLL_CLOEXEC)?),
        };
        preferred.as_ref().unwrap_or(&epoll).add(&listener, one_shot(Wait::Readable, LISTENER))?;
        let bounds = protocol.bounds();
        let core = Core {
            protocol,
            bounds,
            listener,
            epoll,
            preferred,
            turned_away: Mutex::default(),
            slots: (0..bounds.connections).map(|_| Mutex::new(None)).collect(),
            free: Mutex::new(Free {
                slots: (0..bounds.connections).collect(),
                per_uid: HashMap::new(),
            }),
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
    pub fn spawn(&mut self, workers: usize, probe: fn() -> bool) -> io::Result<usize> {
        let preferred = self.core.protocol.preferred_workers();
        for number in 0..workers + preferred {
            let core = Arc::clone(&self.core);
            let thread = std::thread::Builder::new()
                .name(format!("worker-{number}"))
                .stack_size(STACK_BYTES)
                .spawn(move || core.work(number < preferred, probe))?;
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

    /// Closes connections whose time is up, and returns the peers that were not let in, to be recorded,
    /// and how often each was.
    /// To be called about every second.
    #[must_use]
    pub fn sweep(&self) -> Vec<(Refusal, u64)> {
        self.core.sweep(Instant::now())
    }

    /// Whether a thread has ended, which only a bug can cause.
    #[must_use]
    pub fn has_lost_a_thread(&self) -> bool {
        self.threads.iter().any(JoinHandle::is_finished)
    }
}

impl<P: Protocol> Core<P> {
    fn work(&self, preferred: bool, probe: fn() -> bool) {
        let epoll = self.set(preferred);
        let mut worker = self.protocol.worker();
        self.wait_at_gate(probe());
        let mut events = [EpollEvent::empty()];
        loop {
            match epoll.wait(&mut events, EpollTimeout::NONE) {
                Ok(0) | Err(_) => continue,
                Ok(_) => {}
            }
            match events[0].data() {
                LISTENER => self.accept(),
                slot => self.serve(&mut worker, slot as usize),
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
    fn accept(&self) {
        let accepted = self.listener.accept();
        // Armed again before anything slow happens.
        let epoll = self.preferred.as_ref().unwrap_or(&self.epoll);
        let _ = epoll.modify(&self.listener, &mut one_shot(Wait::Readable, LISTENER));
        let Ok((stream, _)) = accepted else { return };
        let Ok(credentials) = Credentials::of(&stream) else { return };
        if stream.set_nonblocking(true).is_ok() {
            self.admit(stream, credentials);
        }
    }

    fn admit(&self, stream: UnixStream, credentials: Credentials) {
        let connection = self.protocol.open(stream, credentials);
        let Some(slot) = self.take_slot(credentials.uid, connection.is_preferred()) else {
            self.protocol.turn_away(&connection);
            let refusal = Refusal { credentials, key: None, reason: RefusalReason::TooMany };
            lock(&self.turned_away).entry(credentials.uid).or_insert((refusal, 0)).1 += 1;
            return;
        };
        let mut place = lock(&self.slots[slot]);
        let connection = place.insert(connection);
        let armed = one_shot(connection.first_wait(), slot as u64);
        if self.epoll_of(connection).add(connection.stream(), armed).is_err() {
            self.vacate(slot, &mut place);
        }
    }

    /// Waits for a connection again, in the set that it is to be waited for in now.
    fn arm(
        &self,
        connection: &P::Connection,
        before: bool,
        mut event: EpollEvent,
    ) -> nix::Result<()> {
        let now = self.epoll_of(connection);
        if self.preferred.is_none() || before == connection.is_preferred() {
            return now.modify(connection.stream(), &mut event);
        }
        self.set(before).delete(connection.stream())?;
        now.add(connection.stream(), event)
    }

    /// The set that a connection is waited for in.
    fn epoll_of(&self, connection: &P::Connection) -> &Epoll {
        self.set(connection.is_preferred())
    }

    fn set(&self, preferred: bool) -> &Epoll {
        self.preferred.as_ref().filter(|_| preferred).unwrap_or(&self.epoll)
    }

    fn serve(&self, worker: &mut P::Worker, slot: usize) {
        let Some(mutex) = self.slots.get(slot) else { return };
        let mut place = lock(mutex);
        let Some(connection) = place.as_mut() else { return };
        let before = connection.is_preferred();
        match self.protocol.advance(worker, connection) {
            Ok(wait) => {
                let armed = one_shot(wait, slot as u64);
                if self.arm(connection, before, armed).is_err() {
                    self.vacate(slot, &mut place);
                }
            }
            Err(end) => {
                self.vacate(slot, &mut place);
                drop(place);
                if let End::Refused(refusal) = end {
                    self.protocol.refused(worker, &refusal);
                }
            }
        }
    }

    fn sweep(&self, now: Instant) -> Vec<(Refusal, u64)> {
        let turned_away = std::mem::take(&mut *lock(&self.turned_away));
        let mut refusals: Vec<_> = turned_away.into_values().collect();
        for (slot, mutex) in self.slots.iter().enumerate() {
            // A connection that a thread is working on right now is not idle.
            let Ok(mut place) = mutex.try_lock() else { continue };
            let Some(connection) = place.as_ref() else { continue };
            if connection.deadline() <= now {
                let end = connection.expired();
                self.vacate(slot, &mut place);
                if let End::Refused(refusal) = end {
                    refusals.push((refusal, 1));
                }
            }
        }
        refusals
    }

    /// A free slot, unless this uid has its share, or the rest is for others.
    fn take_slot(&self, uid: u32, preferred: bool) -> Option<usize> {
        let mut free = lock(&self.free);
        let held = free.per_uid.get(&uid).copied().unwrap_or(0);
        if held >= self.bounds.connections_per_uid {
            return None;
        }
        if !preferred && free.slots.len() <= self.bounds.preferred {
            return None;
        }
        let slot = free.slots.pop()?;
        free.per_uid.insert(uid, held + 1);
        Some(slot)
    }

    fn free_slot(&self, slot: usize, uid: u32) {
        let mut free = lock(&self.free);
        free.slots.push(slot);
        if let Some(held) = free.per_uid.get_mut(&uid) {
            *held -= 1;
            if *held == 0 {
                free.per_uid.remove(&uid);
            }
        }
    }

    /// Closes a connection and frees its slot.
    fn vacate(&self, slot: usize, place: &mut MutexGuard<'_, Option<P::Connection>>) {
        let Some(connection) = place.take() else { return };
        let _ = self.epoll_of(&connection).delete(connection.stream());
        self.free_slot(slot, connection.credentials().uid);
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
