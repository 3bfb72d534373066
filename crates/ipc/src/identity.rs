//! Who a process is (its static key) and who the other end is (key and uid).

use std::fs::File;
use std::io::{self, Read};
use std::os::unix::net::UnixStream;
use std::path::Path;

use nix::sys::socket::{getsockopt, sockopt};
use secret_memory::Secret;
use site_config::Role;

use crate::audit::RecordedActor;
use crate::resolver::public_key;

/// This process's X25519 key pair; the private half in secret memory.
pub struct Identity {
    private: Secret<32>,
    public: [u8; 32],
}

impl Identity {
    /// A new key, straight from the kernel into secret memory.
    ///
    /// # Errors
    /// When the kernel gives no random bytes.
    pub fn generate() -> io::Result<Self> {
        let private = Secret::try_from_fn(|key| getrandom::fill(key))
            .map_err(|_| io::Error::other("no random bytes from the kernel"))?;
        Ok(Self::from_private(private))
    }

    /// Reads a key file: exactly 32 bytes.
    ///
    /// # Errors
    /// What opening or reading reported; `InvalidData` for any other size.
    pub fn load(path: &Path) -> io::Result<Self> {
        let mut file = File::open(path)?;
        let wrong_size = || io::Error::new(io::ErrorKind::InvalidData, "a key file has 32 bytes");
        let private = Secret::try_from_fn(|key| {
            file.read_exact(key).map_err(|error| match error.kind() {
                io::ErrorKind::UnexpectedEof => wrong_size(),
                _ => error,
            })
        })?;
        if file.read(&mut [0])? != 0 {
            return Err(wrong_size());
        }
        Ok(Self::from_private(private))
    }

    fn from_private(private: Secret<32>) -> Self {
        let public = public_key(&private);
        Self { private, public }
    }

    /// The public key, as it stands in peers.toml.
    #[must_use]
    pub fn public(&self) -> &[u8; 32] {
        &self.public
    }

    /// The private key, for the handshake and for writing a new key file.
    #[must_use]
    pub fn private(&self) -> &Secret<32> {
        &self.private
    }
}

/// What the kernel says of the process at the other end of a Unix socket (`SO_PEERCRED`, unix(7)).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Credentials {
    /// Its user id when it connected (or listened).
    pub uid: u32,
    /// Its process id then.
    pub pid: i32,
}

impl Credentials {
    /// Asks the kernel.
    ///
    /// # Errors
    /// The errno of getsockopt(2).
    pub fn of(stream: &UnixStream) -> io::Result<Self> {
        let peer = getsockopt(stream, sockopt::PeerCredentials)?;
        Ok(Self { uid: peer.uid(), pid: peer.pid() })
    }

    /// As the trail records somebody of whom no more is known.
    #[must_use]
    pub fn recorded(self) -> RecordedActor {
        RecordedActor { uid: self.uid, pid: self.pid, key: None, name: None }
    }
}

/// A peer that proved its key and has the uid that belongs to it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Peer {
    /// Its name in peers.toml.
    pub name: String,
    /// What it may do, by [`crate::clearance`].
    pub role: Role,
    /// Its public key.
    pub key: [u8; 32],
    /// What the kernel says of it.
    pub credentials: Credentials,
}

impl Peer {
    /// As the trail records it.
    #[must_use]
    pub fn recorded(&self) -> RecordedActor {
        RecordedActor {
            uid: self.credentials.uid,
            pid: self.credentials.pid,
            key: Some(self.key),
            name: Some(self.name.clone()),
        }
    }
}
