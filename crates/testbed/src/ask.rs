//! Requests to daemon-secrets as one-liners.

use ipc::secrets::{Purpose, SecretsReply, SecretsRequest, Status};
use ipc::{Client, ClientError, Fault, FaultKind, codec};

use crate::factors;
use crate::host::PASSWORD;

/// Why a request was not answered with what it asked for.
#[derive(Debug)]
pub enum Refused {
    /// No reply: whether it was done is unknown.
    Connection(ClientError),
    /// A reply that says no.
    Fault(Fault),
}

impl Refused {
    /// The kind of the fault, if the daemon replied.
    #[must_use]
    pub fn kind(&self) -> Option<FaultKind> {
        match self {
            Self::Connection(_) => None,
            Self::Fault(fault) => Some(fault.kind),
        }
    }
}

/// Sends any request; `read` takes what is expected out of the reply.
///
/// # Errors
/// [`Refused`].
///
/// # Panics
/// When the reply is neither a fault nor what was expected.
pub fn ask<T>(
    client: &mut Client,
    request: &SecretsRequest<'_>,
    read: impl FnOnce(SecretsReply<'_>) -> Option<T>,
) -> Result<T, Refused> {
    let reply = client.call(request).map_err(Refused::Connection)?;
    match codec::decode(reply.expose()) {
        Ok(SecretsReply::Fault(fault)) => Err(Refused::Fault(fault)),
        Ok(reply) => Ok(read(reply).expect("a reply to this request")),
        Err(error) => Err(Refused::Connection(error.into())),
    }
}

/// Writes a secret of the default profile.
///
/// # Errors
/// [`Refused`].
pub fn set(client: &mut Client, name: &str, value: &[u8]) -> Result<(), Refused> {
    let request = SecretsRequest::SecretSet { profile: None, name, value, only_new: false };
    ask(client, &request, |reply| matches!(reply, SecretsReply::Written { .. }).then_some(()))
}

/// Reads a secret of the default profile.
///
/// # Errors
/// [`Refused`].
pub fn get(client: &mut Client, name: &str) -> Result<Vec<u8>, Refused> {
    let request = SecretsRequest::SecretGet { profile: None, name, purpose: Purpose::Read };
    ask(client, &request, |reply| match reply {
        SecretsReply::Value(value) => Some(value.to_vec()),
        _ => None,
    })
}

/// Unlocks the default profile with [`PASSWORD`], its first and only factor.
///
/// # Errors
/// [`Refused`].
pub fn unlock(client: &mut Client) -> Result<(), Refused> {
    factors::unlock_with(client, &[(1, PASSWORD)])
}

/// Where everything stands.
///
/// # Errors
/// [`Refused`].
pub fn status(client: &mut Client) -> Result<Status, Refused> {
    ask(client, &SecretsRequest::Status, |reply| match reply {
        SecretsReply::Status(status) => Some(status),
        _ => None,
    })
}

/// A request whose reply has nothing to say.
///
/// # Errors
/// [`Refused`].
pub fn done(client: &mut Client, request: &SecretsRequest<'_>) -> Result<(), Refused> {
    ask(client, request, |reply| matches!(reply, SecretsReply::Done).then_some(()))
}
