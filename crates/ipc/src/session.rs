//! The Noise IK handshake (one message each way) and the encrypted frames that follow.

use secret_memory::{SecretBytes, with_clean_stack};
use snow::{Builder, HandshakeState, TransportState};

use crate::frame::{self, MAX_FRAME_BYTES};
use crate::identity::Identity;
use crate::resolver::SecretMemoryResolver;
use crate::suite::Suite;

/// The client's message: ephemeral key, encrypted static key, tag of the empty payload.
pub const REQUEST_BYTES: usize = 32 + 48 + 16;
/// The server's message: ephemeral key, tag of the empty payload.
pub const RESPONSE_BYTES: usize = 32 + 16;
const TAG_BYTES: usize = 16;
/// Plaintext of one Noise message; a frame is a sequence of them, all but the last of full size.
const CHUNK_BYTES: usize = 65535 - TAG_BYTES;

/// The handshake failed or a frame did not decrypt. There is no way on but to close.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SessionError {
    /// The other end does not hold the expected key, or bytes were changed.
    #[error("the handshake failed")]
    Handshake,
    /// A frame was changed, replayed, reordered or cut.
    #[error("a frame does not decrypt")]
    Decrypt,
    /// The message is larger than a frame may be.
    #[error("the message is too large for a frame")]
    TooLarge,
    /// No room in secret memory.
    #[error("out of secret memory")]
    OutOfMemory,
}

fn builder<'a>(suite: Suite, identity: &'a Identity, prologue: &'a [u8]) -> Option<Builder<'a>> {
    let parameters = suite.noise_name().parse().ok()?;
    Builder::with_resolver(parameters, Box::new(SecretMemoryResolver))
        .local_private_key(identity.private().expose())
        .ok()?
        .prologue(prologue)
        .ok()
}

/// The client's side of a handshake, waiting for the response.
pub struct Initiator(HandshakeState);

impl Initiator {
    /// Starts: returns the state and the request to send after the preamble.
    ///
    /// # Errors
    /// [`SessionError::Handshake`] for a server key that is no curve point of use.
    pub fn start(
        suite: Suite,
        identity: &Identity,
        server: &[u8; 32],
    ) -> Result<(Self, [u8; REQUEST_BYTES]), SessionError> {
        with_clean_stack(|| {
            let prologue = suite.preamble();
            let mut state = builder(suite, identity, &prologue)
                .and_then(|builder| builder.remote_public_key(server).ok())
                .and_then(|builder| builder.build_initiator().ok())
                .ok_or(SessionError::Handshake)?;
            let mut request = [0; REQUEST_BYTES];
            match state.write_message(&[], &mut request) {
                Ok(REQUEST_BYTES) => Ok((Self(state), request)),
                _ => Err(SessionError::Handshake),
            }
        })
    }

    /// Checks the server's response.
    ///
    /// # Errors
    /// [`SessionError::Handshake`].
    pub fn finish(mut self, response: &[u8; RESPONSE_BYTES]) -> Result<Session, SessionError> {
        with_clean_stack(|| {
            self.0.read_message(response, &mut []).map_err(|_| SessionError::Handshake)?;
            Session::new(self.0)
        })
    }
}

/// The server's side of a handshake, after the request: the client's key is known, and nothing has
/// been sent to it yet.
pub struct Responder {
    state: HandshakeState,
    /// The client's static key. It is proven, for only its holder could have made the request; but
    /// the request may be a replay, so nothing is done until a first frame decrypts.
    pub client: [u8; 32],
}

impl Responder {
    /// Reads the client's request.
    ///
    /// # Errors
    /// [`SessionError::Handshake`].
    pub fn read(
        suite: Suite,
        identity: &Identity,
        request: &[u8; REQUEST_BYTES],
    ) -> Result<Self, SessionError> {
        with_clean_stack(|| {
            let prologue = suite.preamble();
            let mut state = builder(suite, identity, &prologue)
                .and_then(|builder| builder.build_responder().ok())
                .ok_or(SessionError::Handshake)?;
            state.read_message(request, &mut []).map_err(|_| SessionError::Handshake)?;
            let client = state
                .get_remote_static()
                .and_then(|key| <[u8; 32]>::try_from(key).ok())
                .ok_or(SessionError::Handshake)?;
            Ok(Self { state, client })
        })
    }

    /// Accepts the client: the response to send, and the session.
    ///
    /// # Errors
    /// [`SessionError::Handshake`].
    pub fn accept(mut self) -> Result<(Session, [u8; RESPONSE_BYTES]), SessionError> {
        with_clean_stack(|| {
            let mut response = [0; RESPONSE_BYTES];
            match self.state.write_message(&[], &mut response) {
                Ok(RESPONSE_BYTES) => Ok((Session::new(self.state)?, response)),
                _ => Err(SessionError::Handshake),
            }
        })
    }
}

/// An established session. Frames count up on each side, so that a replayed, reordered or dropped
/// one does not decrypt.
pub struct Session(TransportState);

impl Session {
    fn new(state: HandshakeState) -> Result<Self, SessionError> {
        state.into_transport_mode().map(Self).map_err(|_| SessionError::Handshake)
    }

    /// Appends one frame with `plaintext` to `out`.
    ///
    /// # Errors
    /// [`SessionError::TooLarge`]; nothing was appended and the session is as before.
    pub fn seal(&mut self, plaintext: &[u8], out: &mut Vec<u8>) -> Result<(), SessionError> {
        with_clean_stack(|| self.seal_chunks(plaintext, out))
    }

    /// Decrypts the content of one frame into secret memory.
    ///
    /// # Errors
    /// [`SessionError::Decrypt`] or [`SessionError::OutOfMemory`]; the session is over.
    pub fn open(&mut self, frame: &[u8]) -> Result<SecretBytes, SessionError> {
        with_clean_stack(|| self.open_chunks(frame))
    }

    fn seal_chunks(&mut self, plaintext: &[u8], out: &mut Vec<u8>) -> Result<(), SessionError> {
        let chunks = plaintext.len().div_ceil(CHUNK_BYTES).max(1);
        let len = plaintext.len() + chunks * TAG_BYTES;
        if len > MAX_FRAME_BYTES {
            return Err(SessionError::TooLarge);
        }
        frame::push_header(out, len);
        let mut at = out.len();
        out.resize(at + len, 0);
        let (first, rest) = plaintext.split_at(plaintext.len().min(CHUNK_BYTES));
        for chunk in std::iter::once(first).chain(rest.chunks(CHUNK_BYTES)) {
            at +=
                self.0.write_message(chunk, &mut out[at..]).map_err(|_| SessionError::TooLarge)?;
        }
        Ok(())
    }

    fn open_chunks(&mut self, frame: &[u8]) -> Result<SecretBytes, SessionError> {
        let mut plaintext =
            SecretBytes::zeroed(frame.len()).map_err(|_| SessionError::OutOfMemory)?;
        let mut len = 0;
        let (first, rest) = frame.split_at(frame.len().min(CHUNK_BYTES + TAG_BYTES));
        for chunk in std::iter::once(first).chain(rest.chunks(CHUNK_BYTES + TAG_BYTES)) {
            len += self
                .0
                .read_message(chunk, &mut plaintext.expose_mut()[len..])
                .map_err(|_| SessionError::Decrypt)?;
        }
        plaintext.truncate(len);
        Ok(plaintext)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pair(suite: Suite) -> (Session, Session) {
        let (client, server) = (Identity::generate().unwrap(), Identity::generate().unwrap());
        let (initiator, request) = Initiator::start(suite, &client, server.public()).unwrap();
        let responder = Responder::read(suite, &server, &request).unwrap();
        assert_eq!(&responder.client, client.public());
        let (theirs, response) = responder.accept().unwrap();
        (initiator.finish(&response).unwrap(), theirs)
    }

    fn frame(session: &mut Session, plaintext: &[u8]) -> Vec<u8> {
        let mut out = Vec::new();
        session.seal(plaintext, &mut out).unwrap();
        out.split_off(frame::HEADER_BYTES)
    }

    #[test]
    fn every_suite_carries_messages_of_every_size() {
        for suite in Suite::ALL {
            let (mut client, mut server) = pair(suite);
            for len in [0, 1, 300, CHUNK_BYTES - 1, CHUNK_BYTES, CHUNK_BYTES + 1, 90_000] {
                let message = vec![0x5a; len];
                let sealed = frame(&mut client, &message);
                assert_eq!(server.open(&sealed).unwrap().expose(), message, "{suite:?} {len}");
            }
        }
    }

    #[test]
    fn replayed_reordered_cut_and_changed_frames_do_not_decrypt() {
        let attacks: [fn(&mut Session) -> Vec<u8>; 4] = [
            |client| {
                let first = frame(client, b"one");
                let _ = frame(client, b"two");
                first
            },
            |client| {
                let _skipped = frame(client, b"one");
                frame(client, b"two")
            },
            |client| {
                let mut cut = frame(client, b"one");
                cut.pop();
                cut
            },
            |client| {
                let mut changed = frame(client, b"one");
                changed[0] ^= 1;
                changed
            },
        ];
        for (number, attack) in attacks.iter().enumerate() {
            let (mut client, mut server) = pair(Suite::ALL[0]);
            let sealed = attack(&mut client);
            if number == 0 {
                assert_eq!(server.open(&sealed).unwrap().expose(), b"one");
            }
            assert_eq!(server.open(&sealed).unwrap_err(), SessionError::Decrypt, "{number}");
        }
    }

    /// A request names its suite in the prologue: nobody can change the preamble under way.
    #[test]
    fn a_downgraded_preamble_fails_the_handshake() {
        let (client, server) = (Identity::generate().unwrap(), Identity::generate().unwrap());
        let (_, request) = Initiator::start(Suite::ALL[0], &client, server.public()).unwrap();
        for suite in &Suite::ALL[1..] {
            assert!(Responder::read(*suite, &server, &request).is_err());
        }
    }

    #[test]
    fn a_message_larger_than_a_frame_is_refused_and_the_session_goes_on() {
        let (mut client, mut server) = pair(Suite::ALL[0]);
        let mut out = Vec::new();
        assert_eq!(client.seal(&vec![0; MAX_FRAME_BYTES], &mut out), Err(SessionError::TooLarge));
        assert!(out.is_empty());
        let sealed = frame(&mut client, b"small");
        assert_eq!(server.open(&sealed).unwrap().expose(), b"small");
    }
}
