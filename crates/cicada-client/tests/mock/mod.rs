//! A stand-in for cicada: one connection, and a script of what it answers.

#![allow(dead_code, reason = "each test program uses its own part")]

use std::io::{Read, Write};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::thread::JoinHandle;

use data_encoding::BASE64;
use tempfile::TempDir;

/// A `UnixListener` in a thread. It is joined, and its panic passed on, by [`MockDaemon::requests`].
pub struct MockDaemon {
    dir: TempDir,
    thread: JoinHandle<Vec<String>>,
}

impl MockDaemon {
    /// Accepts one connection and hands it to `serve`, which returns the requests that it saw.
    pub fn start(serve: impl FnOnce(UnixStream) -> Vec<String> + Send + 'static) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let listener = UnixListener::bind(dir.path().join("mock.sock")).unwrap();
        let thread = std::thread::spawn(move || serve(listener.accept().unwrap().0));
        Self { dir, thread }
    }

    /// Answers each request with the next of `replies`, and closes after the last.
    pub fn answering(replies: impl IntoIterator<Item = Vec<u8>>) -> Self {
        let replies: Vec<_> = replies.into_iter().collect();
        Self::start(move |mut stream| {
            let answer = |reply: Vec<u8>| {
                let request = read_request(&mut stream);
                stream.write_all(&reply).unwrap();
                request
            };
            replies.into_iter().map(answer).collect()
        })
    }

    pub fn socket(&self) -> PathBuf {
        Path::new(self.dir.path()).join("mock.sock")
    }

    /// What was asked, once the connection is over.
    pub fn requests(self) -> Vec<String> {
        self.thread.join().expect("the mock ends well")
    }
}

/// One request: serde_json says when it is whole.
pub fn read_request(stream: &mut UnixStream) -> String {
    let mut text = Vec::new();
    let mut byte = [0];
    while serde_json::from_slice::<serde_json::Value>(&text).is_err() {
        assert_eq!(stream.read(&mut byte).unwrap(), 1, "a whole request, not {text:?}");
        text.push(byte[0]);
    }
    String::from_utf8(text).unwrap()
}

/// Base64 of `bytes` bytes of value `fill`.
pub fn base64(bytes: usize, fill: u8) -> String {
    BASE64.encode(&vec![fill; bytes])
}

/// The reply to `get_key`, with a key of this byte.
pub fn key_reply(fill: u8) -> Vec<u8> {
    format!(r#"{{"key":"{}","type":"x25519+kyber768"}}"#, base64(32, fill)).into_bytes()
}

/// The reply to `public_key`, `create`, `rotate`, `restore`.
pub fn public_key_reply() -> Vec<u8> {
    let (x25519, kem, dsa) = (base64(32, 1), base64(1184, 2), base64(1952, 3));
    format!(
        r#"{{"identity":"cloud-sync","version":4,"type":"x25519+kyber768","algorithm":"dilithium3","x25519":"{x25519}","ml_kem_768":"{kem}","ml_dsa_65":"{dsa}"}}"#
    )
    .into_bytes()
}
