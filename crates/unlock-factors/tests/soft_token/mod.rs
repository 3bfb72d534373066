//! A soft FIDO2 token: keys in ordinary memory, a touch by program. For tests only.
//!
//! It speaks CTAPHID and CTAP 2.0 or 2.1 on the master of a pseudo-terminal. libfido2 opens the slave as
//! it opens a hidraw(4) device: any character device will do, and where the report descriptor can't be
//! had it takes reports of 64 bytes. Whatever a correct driver never does makes it panic.

mod ctap;
mod hid;
mod pin;

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;

pub use pin::Protocol;

/// What the token is like.
#[derive(Clone, Copy)]
pub struct Options {
    /// Everything secret in it is derived from this.
    pub seed: u8,
    /// Its PIN, where one is set.
    pub pin: Option<&'static str>,
    /// The PIN protocol; the second comes with CTAP 2.1 and its permissions.
    pub protocol: Protocol,
    /// Whether it has the extension.
    pub hmac_secret: bool,
    /// Whether it verifies a finger, asked or not.
    pub always_uv: bool,
    /// What it answers.
    pub manner: Manner,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            seed: 1,
            pin: None,
            protocol: Protocol::Two,
            hmac_secret: true,
            always_uv: false,
            manner: Manner::Honest,
        }
    }
}

/// How well it behaves.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Manner {
    /// As CTAP demands.
    Honest,
    /// Says nothing.
    Silent,
    /// Sends reports of a channel that nobody has, without end.
    Noise,
    /// Speaks U2F only.
    U2fOnly,
    /// Says what it is in something else than CBOR.
    BadInfo,
    /// Answers commands with something else than CBOR.
    BadAnswers,
    /// Gives 16 bytes in place of 32.
    ShortSecret,
}

/// What is known and wanted from outside while it runs.
#[derive(Default)]
struct Shared {
    nobody_touches: AtomicBool,
    replugged: AtomicBool,
    stop: AtomicBool,
    commands: Mutex<Vec<u8>>,
    heard: Mutex<Vec<u8>>,
}

/// A token that is plugged in; unplugged when dropped, with a panic if the driver broke the protocol.
pub struct SoftToken {
    path: PathBuf,
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
}

impl SoftToken {
    pub fn plug_in(options: Options) -> Self {
        let shared = Arc::new(Shared::default());
        let terminal = hid::Terminal::open(Arc::clone(&shared));
        let path = terminal.path();
        let token = ctap::Token::new(options, Arc::clone(&shared));
        let thread = std::thread::spawn(move || hid::run(terminal, token, options.manner));
        Self { path, shared, thread: Some(thread) }
    }

    /// What stands for its hidraw(4) device.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Whether somebody touches it when it blinks; at first, yes.
    pub fn touch(&self, touched: bool) {
        self.shared.nobody_touches.store(!touched, Ordering::SeqCst);
    }

    /// Power off and on.
    pub fn replug(&self) {
        self.shared.replugged.store(true, Ordering::SeqCst);
    }

    /// The CTAP commands since the last call, by number.
    pub fn commands(&self) -> Vec<u8> {
        std::mem::take(&mut self.shared.commands.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Whether these bytes went over the wire.
    pub fn heard(&self, needle: &[u8]) -> bool {
        let heard = self.shared.heard.lock().unwrap_or_else(PoisonError::into_inner);
        heard.windows(needle.len()).any(|window| window == needle)
    }
}

impl Drop for SoftToken {
    fn drop(&mut self) {
        self.shared.stop.store(true, Ordering::SeqCst);
        let ended = self.thread.take().map(JoinHandle::join);
        if !std::thread::panicking() {
            assert!(matches!(ended, Some(Ok(()))), "the driver broke the protocol: see above");
        }
    }
}
