//! The operations of `sesame cicada`.

use std::time::Duration;

use secret_memory::Secret;

use crate::base64::Base64Text;
use crate::client::Client;
use crate::connection::MAX_REQUEST_BYTES;
use crate::error::ClientError;
use crate::reply::{Backup, PublicKey, Reply, Revocation, State};
use crate::request::Request;

impl Client {
    /// Makes an empty store, encrypted under `unlock_key`, and leaves it unlocked.
    ///
    /// # Errors
    /// [`ClientError`]; `Refused` with `exists` when there is a store, which stays as it is.
    pub fn init(&mut self, unlock_key: &Secret<32>) -> Result<State, ClientError> {
        self.with_unlock_key("init", unlock_key)
    }

    /// Lets keys be used.
    ///
    /// # Errors
    /// [`ClientError`]; `Refused` with `wrong_key` when it is another key.
    pub fn unlock(&mut self, unlock_key: &Secret<32>) -> Result<State, ClientError> {
        self.with_unlock_key("unlock", unlock_key)
    }

    /// Wipes every key from the daemon's memory.
    ///
    /// # Errors
    /// [`ClientError`].
    pub fn lock(&mut self) -> Result<State, ClientError> {
        self.call(&Request { op: "lock", ..Request::default() }, Reply::state)
    }

    /// Makes a new identity, and returns its public keys.
    ///
    /// # Errors
    /// [`ClientError`]; `Refused` with `exists` when there is one of this name.
    pub fn create(&mut self, identity: &str) -> Result<PublicKey, ClientError> {
        let identity = Some(identity);
        self.call(&Request { op: "create", identity, ..Request::default() }, Reply::public_key)
    }

    /// Makes new keys for an identity, and returns their public halves. The old ones stay readable for
    /// `grace` (whole seconds), or for the `grace_seconds` of cicada.toml.
    ///
    /// # Errors
    /// [`ClientError`].
    pub fn rotate(
        &mut self,
        identity: &str,
        grace: Option<Duration>,
    ) -> Result<PublicKey, ClientError> {
        let grace_seconds = grace.map(|grace| grace.as_secs());
        let identity = Some(identity);
        let request = Request { op: "rotate", identity, grace_seconds, ..Request::default() };
        self.call(&request, Reply::public_key)
    }

    /// Ends an identity, all its versions, for good.
    ///
    /// # Errors
    /// [`ClientError`].
    pub fn revoke(&mut self, identity: &str) -> Result<Revocation, ClientError> {
        let identity = Some(identity);
        self.call(&Request { op: "revoke", identity, ..Request::default() }, Reply::read)
    }

    /// An identity as it rests on the disk, encrypted.
    ///
    /// # Errors
    /// [`ClientError`].
    pub fn backup(&mut self, identity: &str) -> Result<Backup, ClientError> {
        let identity = Some(identity);
        self.call(&Request { op: "backup", identity, ..Request::default() }, Reply::backup)
    }

    /// Brings an identity back from the sealed bytes of [`Client::backup`]. `unlock_key` is the key of
    /// the time of the backup, where that was not the present one.
    ///
    /// # Errors
    /// [`ClientError`]; `Refused` with `exists`, `wrong_key`.
    pub fn restore(
        &mut self,
        sealed: &[u8],
        unlock_key: Option<&Secret<32>>,
    ) -> Result<PublicKey, ClientError> {
        if sealed.len() > MAX_REQUEST_BYTES {
            return Err(ClientError::TooLarge);
        }
        let backup = Base64Text::of(sealed)?;
        let unlock_key = unlock_key.map(|key| Base64Text::of(key.expose())).transpose()?;
        let (backup, unlock_key) =
            (Some(backup.as_str()), unlock_key.as_ref().map(Base64Text::as_str));
        let request = Request { op: "restore", backup, unlock_key, ..Request::default() };
        self.call(&request, Reply::public_key)
    }

    fn with_unlock_key(
        &mut self,
        op: &'static str,
        unlock_key: &Secret<32>,
    ) -> Result<State, ClientError> {
        let unlock_key = Base64Text::of(unlock_key.expose())?;
        let unlock_key = Some(unlock_key.as_str());
        self.call(&Request { op, unlock_key, ..Request::default() }, Reply::state)
    }
}
