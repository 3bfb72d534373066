//! What comes from an unknown process: preamble, handshake, frames.

use std::cell::OnceCell;

use ipc::frame::{FrameBuffer, MAX_FRAME_BYTES};
use ipc::session::{Initiator, REQUEST_BYTES, Responder, Session};
use ipc::suite::PREAMBLE_BYTES;
use ipc::{Identity, Suite};

use crate::shape::{Source, damage};

/// The messages that an honest client sends.
const MESSAGES: [&[u8]; 4] = [b"", b"one", &[0x5a; 300], b"the last"];

thread_local! {
    /// A server's key and a client's. Private keys are not to be shared between threads.
    static KEYS: OnceCell<(Identity, Identity)> = const { OnceCell::new() };
}

/// A server's side of one connection, as `ipc::connection` has it: first bytes to last.
///
/// The stream is noise, or an honest client's, damaged before the handshake is over or after, and
/// cut into any pieces.
///
/// # Panics
/// When a changed handshake is accepted, when anything but the client's messages in their order
/// comes out of the frames, or when bytes are kept that no frame can need.
pub fn frames(orders: &[u8]) {
    KEYS.with(|keys| {
        let (server, client) = keys.get_or_init(|| {
            let key = || Identity::generate().expect("random bytes");
            (key(), key())
        });
        connection(server, client, orders);
    });
}

fn connection(server: &Identity, client: &Identity, orders: &[u8]) {
    let mut source = Source(orders);
    let (kind, suite) = (source.byte() % 4, source.choice(&Suite::ALL));
    let pieces: [u8; 4] = source.array();
    let rest = source.0;
    let (initiator, request) =
        Initiator::start(suite, client, server.public()).expect("an honest start");
    let honest = [&suite.preamble()[..], &request].concat();
    let mut hello = honest.clone();
    match kind {
        0 => hello = rest.to_vec(),
        1 => damage(&mut hello, std::slice::from_ref(&honest), rest),
        _ => {}
    }

    let mut inbox = FrameBuffer::default();
    feed(&mut inbox, &hello, pieces);
    let Some(preamble) = inbox.take::<PREAMBLE_BYTES>() else { return };
    let Some(request) = inbox.take::<REQUEST_BYTES>() else { return };
    let Some(found) = Suite::from_preamble(&preamble) else { return };
    let Ok(responder) = Responder::read(found, server, &request) else {
        assert!(!hello.starts_with(&honest), "an honest handshake was refused");
        return;
    };
    assert!(hello.starts_with(&honest), "a changed handshake was accepted: {hello:?}");
    assert_eq!(&responder.client, client.public());
    let (mut session, response) = responder.accept().expect("a response");
    let mut theirs = initiator.finish(&response).expect("an honest response");

    let mut sent: Vec<Vec<u8>> = Vec::new();
    for message in MESSAGES {
        let mut frame = Vec::new();
        theirs.seal(message, &mut frame).expect("a small message");
        sent.push(frame);
    }
    let mut stream = sent.concat();
    if kind == 3 {
        damage(&mut stream, &sent, rest);
    }
    let untouched = stream == sent.concat() && hello == honest;
    let received = receive(&mut session, &mut inbox, &stream, pieces);
    assert!(received.len() <= MESSAGES.len(), "a frame was taken twice");
    for (got, meant) in received.iter().zip(MESSAGES) {
        assert_eq!(got, meant, "something came out that was not sent");
    }
    assert!(!untouched || received.len() == MESSAGES.len(), "an honest frame was refused");
}

/// What decrypts, up to the first frame that does not.
fn receive(
    session: &mut Session,
    inbox: &mut FrameBuffer,
    stream: &[u8],
    pieces: [u8; 4],
) -> Vec<Vec<u8>> {
    let mut received = Vec::new();
    for piece in cut(stream, pieces) {
        inbox.push(piece);
        loop {
            match inbox.next_frame() {
                Ok(Some(frame)) => match session.open(frame) {
                    Ok(plaintext) => received.push(plaintext.expose().to_vec()),
                    Err(_) => return received,
                },
                Ok(None) => break,
                Err(oversized) => {
                    assert!(oversized.announced > MAX_FRAME_BYTES);
                    return received;
                }
            }
        }
        assert!(inbox.pending() <= MAX_FRAME_BYTES + 4 + stream.len());
    }
    received
}

fn feed(inbox: &mut FrameBuffer, bytes: &[u8], pieces: [u8; 4]) {
    for piece in cut(bytes, pieces) {
        inbox.push(piece);
    }
}

/// Pieces of these lengths, over and over.
fn cut(mut bytes: &[u8], lengths: [u8; 4]) -> Vec<&[u8]> {
    let mut pieces = Vec::new();
    for length in lengths.iter().cycle() {
        if bytes.is_empty() {
            break;
        }
        let (piece, rest) = bytes.split_at(usize::from(*length).max(1).min(bytes.len()));
        pieces.push(piece);
        bytes = rest;
    }
    pieces
}
