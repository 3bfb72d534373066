//! The operations of a program that uses keys.

use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::Duration;

use secret_memory::Secret;

use crate::ML_KEM_768_CIPHERTEXT_BYTES;
use crate::ML_KEM_768_PUBLIC_BYTES;
use crate::base64::Base64Text;
use crate::connection::Connection;
use crate::error::ClientError;
use crate::reply::{Encapsulated, IdentitySummary, PublicKey, Reply, Status};
use crate::request::Request;

/// How long a request and its reply may take together, unless the program says otherwise.
pub const DEFAULT_TIMEOUT: Duration = Duration::from_secs(30);

/// A connection to cicada. One request at a time; as many as one likes.
///
/// After [`ClientError::Refused`], [`ClientError::TooLarge`] and [`ClientError::OutOfMemory`] of a
/// request that was not sent the connection can go on. After any other error a late reply could be
/// taken for the answer to another request, so the connection refuses further ones
/// ([`ClientError::Closed`]).
pub struct Client(Connection);

impl Client {
    /// Connects to `socket` ([`SOCKET`](crate::SOCKET) on an installed host), with [`DEFAULT_TIMEOUT`].
    ///
    /// # Errors
    /// [`ClientError::Unreachable`]. A user without a rule in cicada.toml learns that with the first
    /// request.
    pub fn connect(socket: impl AsRef<Path>) -> Result<Self, ClientError> {
        Self::connect_with_timeout(socket, DEFAULT_TIMEOUT)
    }

    /// As [`Client::connect`], with a limit on the time that each request and its reply take together.
    /// connect(2) itself waits while more clients are waiting than the daemon's backlog holds.
    ///
    /// # Errors
    /// As [`Client::connect`].
    pub fn connect_with_timeout(
        socket: impl AsRef<Path>,
        timeout: Duration,
    ) -> Result<Self, ClientError> {
        Connection::open(socket.as_ref(), timeout).map(Self)
    }

    /// Over a connection that the program made itself, for instance to see who listens (SO_PEERCRED,
    /// unix(7)) before it sends an unlock key.
    #[must_use]
    pub fn over(stream: UnixStream, timeout: Duration) -> Self {
        Self(Connection::over(stream, timeout))
    }

    /// The X25519 private key of an identity, clamped, as WireGuard takes it; of an older `version`
    /// while its grace time lasts.
    ///
    /// # Errors
    /// [`ClientError`].
    pub fn get_key(
        &mut self,
        identity: &str,
        version: Option<u32>,
    ) -> Result<Secret<32>, ClientError> {
        let (identity, format) = (Some(identity), Some("wg"));
        let request = Request { op: "get_key", identity, format, version, ..Request::default() };
        self.call(&request, Reply::private_key)
    }

    /// An ML-DSA-65 signature (FIPS 204, hedged, empty context) of `data`: 3309 bytes.
    ///
    /// # Errors
    /// [`ClientError`]; `TooLarge` above about 49,000 bytes of data.
    pub fn sign(&mut self, identity: &str, data: &[u8]) -> Result<Vec<u8>, ClientError> {
        // Longer data makes a request that is too large, and need not be encoded to find that out.
        if data.len() > crate::MAX_REQUEST_BYTES {
            return Err(ClientError::TooLarge);
        }
        let data = Base64Text::of(data)?;
        let (identity, data) = (Some(identity), Some(data.as_str()));
        self.call(&Request { op: "sign", identity, data, ..Request::default() }, Reply::signature)
    }

    /// The public keys of an identity, of the present version or another.
    ///
    /// # Errors
    /// [`ClientError`].
    pub fn public_key(
        &mut self,
        identity: &str,
        version: Option<u32>,
    ) -> Result<PublicKey, ClientError> {
        let identity = Some(identity);
        let request = Request { op: "public_key", identity, version, ..Request::default() };
        self.call(&request, Reply::public_key)
    }

    /// A new shared secret for whoever holds `recipient` (ML-KEM-768, FIPS 203); without one, for the
    /// identity itself.
    ///
    /// # Errors
    /// [`ClientError`]; `Refused` with `bad_request` when `recipient` is no encapsulation key.
    pub fn encapsulate(
        &mut self,
        identity: &str,
        recipient: Option<&[u8; ML_KEM_768_PUBLIC_BYTES]>,
    ) -> Result<Encapsulated, ClientError> {
        let public_key = recipient.map(|key| Base64Text::of(key)).transpose()?;
        let public_key = public_key.as_ref().map(Base64Text::as_str);
        let identity = Some(identity);
        let request = Request { op: "encapsulate", identity, public_key, ..Request::default() };
        self.call(&request, Reply::encapsulated)
    }

    /// The shared secret of a ciphertext that was made for this identity; of an older `version` while
    /// its grace time lasts. A ciphertext that was made for another key gives a different secret and
    /// no error (FIPS 203, implicit rejection).
    ///
    /// # Errors
    /// [`ClientError`].
    pub fn decapsulate(
        &mut self,
        identity: &str,
        ciphertext: &[u8; ML_KEM_768_CIPHERTEXT_BYTES],
        version: Option<u32>,
    ) -> Result<Secret<32>, ClientError> {
        let ciphertext = Base64Text::of(ciphertext)?;
        let (identity, ciphertext) = (Some(identity), Some(ciphertext.as_str()));
        let op = "decapsulate";
        let request = Request { op, identity, ciphertext, version, ..Request::default() };
        self.call(&request, Reply::shared_secret)
    }

    /// The identities that this user has a rule for.
    ///
    /// # Errors
    /// [`ClientError`].
    pub fn identities(&mut self) -> Result<Vec<IdentitySummary>, ClientError> {
        self.call(&Request { op: "identities", ..Request::default() }, Reply::identities)
    }

    /// What cicada says about itself.
    ///
    /// # Errors
    /// [`ClientError`].
    pub fn status(&mut self) -> Result<Status, ClientError> {
        self.call(&Request { op: "status", ..Request::default() }, Reply::read)
    }

    pub(crate) fn call<T>(
        &mut self,
        request: &Request<'_>,
        read: impl FnOnce(&Reply) -> Result<T, ClientError>,
    ) -> Result<T, ClientError> {
        let json = request.to_json()?;
        let reply = self.0.exchange(json.expose())?;
        let answer = Reply::new(reply).and_then(|reply| read(&reply));
        if matches!(answer, Err(ClientError::Protocol(_))) {
            self.0.close();
        }
        answer
    }
}
