//! A connection that does not behave.

#![allow(clippy::unwrap_used, reason = "a test that panics has failed")]

mod mock;

use std::io::{ErrorKind, Write};
use std::os::unix::net::UnixStream;
use std::time::Duration;

use cicada_client::{Client, ClientError, Code, MAX_REPLY_BYTES};
use mock::{MockDaemon, key_reply, read_request};

const DENIED: &[u8] = br#"{"error":{"code":"denied","message":"no rule for uid 1000"}}"#;

fn get_key(cicada: &mut Client) -> Result<u8, ClientError> {
    cicada.get_key("cloud-sync", None).map(|key| key.expose()[0])
}

/// What a client makes of a reply that is written as `write` does.
fn after(write: impl FnOnce(&mut UnixStream) + Send + 'static) -> Result<u8, ClientError> {
    let mock = MockDaemon::start(move |mut stream| {
        let request = read_request(&mut stream);
        write(&mut stream);
        vec![request]
    });
    let key = get_key(&mut Client::connect(mock.socket()).unwrap());
    mock.requests();
    key
}

#[test]
fn nobody_listens() {
    let dir = tempfile::tempdir().unwrap();
    let socket = dir.path().join("none.sock");
    match Client::connect(&socket).err() {
        Some(ClientError::Unreachable { socket: named, source }) => {
            assert_eq!((named, source.kind()), (socket, ErrorKind::NotFound));
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_reply_in_single_bytes_is_a_reply() {
    let key = after(|stream| {
        for byte in key_reply(0x42) {
            stream.write_all(&[byte]).unwrap();
            std::thread::sleep(Duration::from_micros(200));
        }
    });
    assert_eq!(key.unwrap(), 0x42);
}

#[test]
fn several_requests_share_a_connection() {
    let mock = MockDaemon::answering([key_reply(1), DENIED.to_vec(), key_reply(3)]);
    let mut cicada = Client::connect(mock.socket()).unwrap();
    assert_eq!(get_key(&mut cicada).unwrap(), 1);
    let refused = get_key(&mut cicada).unwrap_err();
    assert!(matches!(refused, ClientError::Refused { code: Code::Denied, .. }));
    assert_eq!(get_key(&mut cicada).unwrap(), 3, "a refusal does not end the connection");
    assert_eq!(mock.requests().len(), 3);
}

#[test]
fn two_replies_to_one_request_are_no_answer_to_the_next() {
    let mock = MockDaemon::answering([[key_reply(1), key_reply(2)].concat()]);
    let mut cicada = Client::connect(mock.socket()).unwrap();
    assert!(matches!(get_key(&mut cicada), Err(ClientError::Protocol(_))));
    assert!(matches!(get_key(&mut cicada), Err(ClientError::Closed)));
}

#[test]
fn garbage_is_no_reply() {
    for garbage in [&b"HTTP/1.1 400 Bad Request"[..], b"null", b"[]", b" {}", b"{}", b"{\"key\"}"] {
        let key = after(|stream| stream.write_all(garbage).unwrap());
        assert!(matches!(key, Err(ClientError::Protocol(_))), "{garbage:?}: {key:?}");
    }
}

#[test]
fn after_a_reply_of_another_kind_nothing_more_is_sent() {
    let mock = MockDaemon::answering([b"{\"state\":\"locked\"}".to_vec(), key_reply(1)]);
    let mut cicada = Client::connect(mock.socket()).unwrap();
    assert!(matches!(get_key(&mut cicada), Err(ClientError::Protocol(_))));
    assert!(matches!(get_key(&mut cicada), Err(ClientError::Closed)));
}

#[test]
fn a_reply_without_an_end_is_given_up() {
    let key = after(|stream| {
        let _ = stream.write_all(b"{\"key\":\"");
        // The client hangs up in the middle.
        let _ = stream.write_all(&vec![b'A'; 2 * MAX_REPLY_BYTES]);
    });
    assert!(matches!(key, Err(ClientError::Protocol(_))), "{key:?}");
}

#[test]
fn half_a_reply_is_no_reply() {
    for length in 0..key_reply(1).len() {
        let key = after(move |stream| stream.write_all(&key_reply(1)[..length]).unwrap());
        let Err(ClientError::Io(error)) = key else { panic!("{length} bytes: {key:?}") };
        assert_eq!(error.kind(), ErrorKind::UnexpectedEof);
    }
}

#[test]
fn a_refusal_before_the_request_is_read_is_still_told() {
    let mock = MockDaemon::start(|mut stream| {
        stream.write_all(DENIED).unwrap();
        Vec::new()
    });
    let mut cicada = Client::connect(mock.socket()).unwrap();
    mock.requests();
    let refused = get_key(&mut cicada).unwrap_err();
    assert!(matches!(refused, ClientError::Refused { code: Code::Denied, .. }), "{refused:?}");
}

#[test]
fn silence_ends_in_time_and_a_late_reply_is_for_nobody() {
    let (late, told) = std::sync::mpsc::channel();
    let mock = MockDaemon::start(move |mut stream| {
        let request = read_request(&mut stream);
        told.recv().unwrap();
        stream.write_all(&key_reply(1)).unwrap();
        vec![request]
    });
    let mut cicada =
        Client::connect_with_timeout(mock.socket(), Duration::from_millis(50)).unwrap();
    let Err(ClientError::Io(error)) = get_key(&mut cicada) else { panic!("no reply came") };
    assert_eq!(error.kind(), ErrorKind::TimedOut);
    late.send(()).unwrap();
    assert_eq!(mock.requests().len(), 1);
    assert!(matches!(get_key(&mut cicada), Err(ClientError::Closed)));
}

#[test]
fn a_reply_that_drips_ends_in_time_too() {
    let mock = MockDaemon::start(|mut stream| {
        let request = read_request(&mut stream);
        // Each byte comes sooner than the limit, and all of them take longer.
        for byte in std::iter::once(b'{').chain(std::iter::repeat_n(b' ', 100)) {
            if stream.write_all(&[byte]).is_err() {
                break;
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        vec![request]
    });
    let limit = Duration::from_millis(100);
    let mut cicada = Client::connect_with_timeout(mock.socket(), limit).unwrap();
    let Err(ClientError::Io(error)) = get_key(&mut cicada) else { panic!("no reply came") };
    assert_eq!(error.kind(), ErrorKind::TimedOut);
    drop(cicada);
    mock.requests();
}

#[test]
fn a_daemon_that_does_not_read_ends_in_time_too() {
    let (done, told) = std::sync::mpsc::channel::<()>();
    let mock = MockDaemon::start(move |stream| {
        let _ = told.recv();
        drop(stream);
        Vec::new()
    });
    let limit = Duration::from_millis(50);
    let mut cicada = Client::connect_with_timeout(mock.socket(), limit).unwrap();
    let Err(ClientError::Io(error)) = cicada.sign("x", &[0; 40_000]) else {
        panic!("no reply came")
    };
    assert_eq!(error.kind(), ErrorKind::TimedOut);
    done.send(()).unwrap();
    mock.requests();
}

#[test]
fn a_request_that_is_too_large_is_not_sent() {
    let mock = MockDaemon::answering([key_reply(1)]);
    let mut cicada = Client::connect(mock.socket()).unwrap();
    for bytes in [50_000, 70_000, 10 << 20] {
        assert!(matches!(cicada.sign("x", &vec![0; bytes]), Err(ClientError::TooLarge)));
    }
    assert_eq!(get_key(&mut cicada).unwrap(), 1, "and the connection goes on");
    assert_eq!(mock.requests().len(), 1);
}
