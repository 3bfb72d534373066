//! READY, the watchdog, the tick of every second, and going down.

use std::io;
use std::os::fd::AsFd;
use std::sync::Arc;
use std::time::{Duration, Instant};

use ipc::server::NoiseWorker;
use ipc::{Fault, Noise, Pool, Protocol, Service};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::signal::{SigSet, Signal};
use nix::sys::signalfd::{SfdFlags, SignalFd};
use sd_notify::NotifyState;

use crate::log;
use crate::startup::{StartError, Startup};

/// What a service does besides answering; `W` is the state of the thread that it does it on.
pub trait Lifecycle<W> {
    /// The sandbox is in force: whatever this daemon wants to see of it besides.
    ///
    /// # Errors
    /// What is missing; the daemon does not start.
    fn confirm_isolation(&self) -> Result<(), String> {
        Ok(())
    }

    /// The sandbox is confirmed: record the start. Nothing is served before this returns.
    ///
    /// # Errors
    /// The daemon does not start.
    fn start(&self, worker: &mut W) -> Result<(), Fault>;

    /// About every second.
    ///
    /// # Errors
    /// The daemon ends, for the reason given: its manager starts it again from what is on disk.
    fn tick(&self, worker: &mut W) -> Result<(), String>;

    /// The last call before the process ends.
    fn stop(&self, worker: &mut W);
}

impl<S: Service + Lifecycle<S::Worker>> Lifecycle<NoiseWorker<S::Worker>> for Noise<S> {
    fn start(&self, worker: &mut NoiseWorker<S::Worker>) -> Result<(), Fault> {
        self.service.start(&mut worker.service)
    }

    fn tick(&self, worker: &mut NoiseWorker<S::Worker>) -> Result<(), String> {
        self.service.tick(&mut worker.service)
    }

    fn stop(&self, worker: &mut NoiseWorker<S::Worker>) {
        self.service.stop(&mut worker.service);
    }
}

/// SIGTERM and SIGINT, taken from the threads before there are any.
pub(crate) struct Signals(SignalFd);

impl Signals {
    pub(crate) fn block() -> io::Result<Self> {
        let mut set = SigSet::empty();
        set.add(Signal::SIGTERM);
        set.add(Signal::SIGINT);
        set.thread_block()?;
        let flags = SfdFlags::SFD_CLOEXEC | SfdFlags::SFD_NONBLOCK;
        Ok(Self(SignalFd::with_flags(&set, flags)?))
    }

    /// Waits; true when the daemon is asked to end.
    fn arrived_within(&self, milliseconds: u16) -> bool {
        let mut fds = [PollFd::new(self.0.as_fd(), PollFlags::POLLIN)];
        matches!(poll(&mut fds, PollTimeout::from(milliseconds)), Ok(1..))
    }
}

pub(crate) fn run<P: Protocol + Lifecycle<P::Worker>>(
    startup: &Startup,
    service: &Arc<P>,
    server: &Pool<P>,
    signals: Signals,
) -> Result<(), StartError> {
    let mut worker = service.worker();
    service.confirm_isolation().map_err(StartError::NotIsolated)?;
    service.start(&mut worker).map_err(StartError::NotRecorded)?;
    server.open_gate();
    notify(NotifyState::Ready);
    log::info(format_args!("ready, state in {}", startup.state.display()));
    let watchdog = sd_notify::watchdog_enabled().map(|limit| limit / 3);
    let mut patted = Instant::now();
    while !signals.arrived_within(1000) {
        if server.has_lost_a_thread() {
            return Err(StartError::Service("a worker thread ended".to_owned()));
        }
        if watchdog.is_some_and(|interval: Duration| patted.elapsed() >= interval) {
            notify(NotifyState::Watchdog);
            patted = Instant::now();
        }
        let expired = server.sweep();
        service.tick(&mut worker).map_err(StartError::Service)?;
        // Last, because recording them may have to wait for somebody.
        for (refusal, times) in expired {
            (0..times).for_each(|_| service.refused(&mut worker, &refusal));
        }
    }
    notify(NotifyState::Stopping);
    service.stop(&mut worker);
    log::info("stopped");
    Ok(())
}

/// No manager, no notification; a manager that can't be reached is worth a line. `sesame up` listens
/// for READY only, and is gone when the daemon stops.
fn notify(state: NotifyState<'_>) {
    let stopping = matches!(state, NotifyState::Stopping);
    if let Err(error) = sd_notify::notify(&[state])
        && !stopping
    {
        log::warning(format_args!("cannot notify the service manager: {error}"));
    }
}
