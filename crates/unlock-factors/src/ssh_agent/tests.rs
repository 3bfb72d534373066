//! Agents that answer what no agent should.

use std::io::{Read, Write};
use std::os::unix::net::{UnixListener, UnixStream};
use std::thread;
use std::time::Instant;

use proptest::prelude::*;
use tempfile::TempDir;

use super::*;

const ED25519: &str =
    "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIFFRUVFRUVFRUVFRUVFRUVFRUVFRUVFRUVFRUVFRUVFR";

#[test]
fn an_answer_of_an_impossible_length_is_malformed() {
    for length in [0, (256 << 10) + 1, u32::MAX] {
        let agent = MockAgent::answering(length.to_be_bytes().to_vec());
        let error = agent.client().keys().unwrap_err();
        assert!(matches!(error, SshAgentError::Malformed(_)), "{error}");
    }
}

#[test]
fn an_agent_that_closes_before_the_end_is_broken() {
    let whole = message(&[12, 0, 0, 0, 0]);
    for cut in 0..whole.len() {
        let agent = MockAgent::answering(whole[..cut].to_vec());
        let error = agent.client().keys().unwrap_err();
        assert!(matches!(error, SshAgentError::Broken(_)), "{cut}: {error}");
    }
    assert_eq!(MockAgent::answering(whole).client().keys().unwrap(), []);
}

#[test]
fn a_silent_agent_is_not_waited_for_longer_than_it_may_take() {
    let agent = MockAgent::new(wait_for_the_end);
    assert_silent(|| agent.client().keys().unwrap_err());
}

#[test]
fn an_agent_that_announces_much_and_sends_little_is_not_waited_for() {
    let agent = MockAgent::new(|stream| {
        stream.write_all(&(256_u32 << 10).to_be_bytes()).unwrap();
        wait_for_the_end(stream);
    });
    assert_silent(|| agent.client().keys().unwrap_err());
}

#[test]
fn an_agent_that_sends_a_byte_now_and_then_gets_no_more_time() {
    let agent = MockAgent::new(|stream| {
        let _ = stream.write_all(&1000_u32.to_be_bytes());
        while stream.write_all(&[12]).is_ok() {
            thread::sleep(PATIENCE / 10);
        }
    });
    assert_silent(|| agent.client().keys().unwrap_err());
}

#[test]
fn an_agent_that_accepts_nobody_is_not_waited_for() {
    let directory = TempDir::new().unwrap();
    let path = directory.path().join("agent");
    let (family, kind) =
        (nix::sys::socket::AddressFamily::Unix, nix::sys::socket::SockType::Stream);
    let flags = nix::sys::socket::SockFlag::SOCK_CLOEXEC;
    let socket = nix::sys::socket::socket(family, kind, flags, None).unwrap();
    let address = nix::sys::socket::UnixAddr::new(&path).unwrap();
    nix::sys::socket::bind(std::os::fd::AsRawFd::as_raw_fd(&socket), &address).unwrap();
    nix::sys::socket::listen(&socket, nix::sys::socket::Backlog::new(0).unwrap()).unwrap();
    let _only_place_in_the_queue = UnixStream::connect(&path).unwrap();
    assert_silent(|| wire::connect(&path, PATIENCE).unwrap_err());
}

#[test]
fn an_endless_answer_is_read_no_further_than_it_announced() {
    let agent = MockAgent::new(|stream| {
        let _ = stream.write_all(&message(&[12, 0, 0, 0, 0]));
        while stream.write_all(&[0; 4096]).is_ok() {}
    });
    assert_eq!(agent.client().keys().unwrap(), []);
}

#[test]
fn signatures_that_differ_make_no_factor() {
    let count = std::sync::atomic::AtomicU8::new(0);
    let agent = MockAgent::new(move |stream| {
        let n = count.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        let _ = stream.write_all(&message(&signature(b"ssh-ed25519", &[n; 64])));
    });
    let error = agent.client().enroll(&usable()).unwrap_err();
    assert!(matches!(error, SshAgentError::NotDeterministic { .. }), "{error}");
}

#[test]
fn an_unusable_key_is_refused_before_the_agent_is_asked() {
    let client = Agent { socket: "/nonexistent".into(), patience: Patience::default() };
    let key = AgentKey { unusable: Some(UnusableKey::Ecdsa), ..usable() };
    let error = client.enroll(&key).unwrap_err();
    assert!(matches!(error, SshAgentError::Unusable { .. }), "{error}");
}

#[test]
fn a_damaged_stored_key_is_told_from_one_that_is_missing() {
    let client = Agent { socket: "/nonexistent".into(), patience: Patience::default() };
    for text in ["", "ssh-ed25519", "ssh-ed25519 A", "ssh-rsa AAAA", &ED25519.replace("ed2", "ed3")]
    {
        let parameters = SshAgentParameters { public_key: text.to_owned(), challenge: [0; 32] };
        let error = client.evidence(&parameters).unwrap_err();
        assert!(matches!(error, SshAgentError::BadParameters), "{text}: {error}");
        let error = client.holds(&parameters).unwrap_err();
        assert!(matches!(error, SshAgentError::BadParameters), "{text}: {error}");
    }
}

#[test]
fn only_a_whole_signature_by_the_right_algorithm_counts() {
    let (ed25519, rsa) = (PublicKey::from_text(ED25519).unwrap(), rsa_key(2048));
    let length = |key, message: &[u8]| {
        answer::signature(message, key).map(|found| found.map(|found| found.len()))
    };
    assert!(matches!(length(&ed25519, &signature(b"ssh-ed25519", &[1; 64])), Ok(Some(64))));
    assert!(matches!(length(&rsa, &signature(b"rsa-sha2-512", &[1; 256])), Ok(Some(256))));
    assert!(matches!(length(&rsa, &[5]), Ok(None)));
    let bad = [
        (&ed25519, signature(b"ssh-ed25519", &[1; 63])),
        (&ed25519, signature(b"ssh-ed25519", &[1; 65])),
        (&ed25519, signature(b"ssh-ed448", &[1; 64])),
        (&ed25519, [signature(b"ssh-ed25519", &[1; 64]), vec![0]].concat()),
        (&ed25519, [vec![14], strings(&[&strings(&[b"ssh-ed25519", &[1; 64], b""])])].concat()),
        (&ed25519, vec![]),
        (&ed25519, vec![6]),
        (&ed25519, vec![14]),
        (&rsa, signature(b"ssh-rsa", &[1; 256])),
        (&rsa, signature(b"rsa-sha2-256", &[1; 256])),
        (&rsa, signature(b"rsa-sha2-512", &[1; 257])),
        (&rsa, signature(b"rsa-sha2-512", &[])),
    ];
    for (key, message) in bad {
        let error = length(key, &message).unwrap_err();
        assert!(matches!(error, SshAgentError::Malformed(_)), "{message:?}: {error}");
    }
}

#[test]
fn zeros_in_front_of_an_rsa_signature_are_kept_and_put_back() {
    let key = rsa_key(2048);
    let whole = [vec![0, 0], vec![7; 254]].concat();
    for sent in [&whole[..], &whole[1..], &whole[2..]] {
        let found = answer::signature(&signature(b"rsa-sha2-512", sent), &key).unwrap().unwrap();
        assert_eq!(found.expose(), whole);
    }
}

#[test]
fn a_request_to_sign_is_as_the_draft_has_it() {
    let ed25519 = wire::sign_request(&PublicKey::from_text(ED25519).unwrap(), b"data");
    let blob = [b"\0\0\0\x0bssh-ed25519\0\0\0\x20".as_slice(), &[b'Q'; 32]].concat();
    assert_eq!(ed25519, [b"\x0d\0\0\0\x33", &blob[..], b"\0\0\0\x04data\0\0\0\0"].concat());
    assert!(wire::sign_request(&rsa_key(2048), b"data").ends_with(b"\0\0\0\x04data\0\0\0\x04"));
}

#[test]
fn the_reason_why_a_key_is_unusable_is_its_own() {
    let named = |name: &[u8]| key::AgentKey::new(&strings(&[name, &[1; 32]]), b"").unusable;
    assert_eq!(named(b"ssh-ed25519"), None);
    assert_eq!(named(b"ssh-dss"), Some(UnusableKey::Dsa));
    assert_eq!(named(b"ecdsa-sha2-nistp384"), Some(UnusableKey::Ecdsa));
    assert_eq!(named(b"sk-ssh-ed25519@openssh.com"), Some(UnusableKey::SecurityKey));
    assert_eq!(named(b"sk-ecdsa-sha2-nistp256@openssh.com"), Some(UnusableKey::SecurityKey));
    assert_eq!(named(b"ssh-rsa-cert-v01@openssh.com"), Some(UnusableKey::Certificate));
    assert_eq!(named(b"sk-ssh-ed25519-cert-v01@openssh.com"), Some(UnusableKey::Certificate));
    assert_eq!(named(b"ssh-ed448"), Some(UnusableKey::Unknown("ssh-ed448".to_owned())));
    assert_eq!(key::AgentKey::new(b"", b"").unusable, Some(UnusableKey::Malformed));
    let short = strings(&[b"ssh-ed25519", &[1; 31]]);
    let long = strings(&[b"ssh-ed25519", &[1; 32], b""]);
    let rsa = strings(&[b"ssh-rsa", &[1, 0, 1], &[0x55; 256], b""]);
    for blob in [short, long, rsa] {
        assert_eq!(key::AgentKey::new(&blob, b"").unusable, Some(UnusableKey::Malformed));
    }
}

#[test]
fn rsa_keys_count_by_the_bits_of_their_modulus() {
    let unusable = |modulus: &[u8]| {
        key::AgentKey::new(&strings(&[b"ssh-rsa", &[1, 0, 1], modulus]), b"").unusable
    };
    let modulus = |first: &[u8], bytes: usize| [first, &vec![0x55; bytes - 1]].concat();
    assert_eq!(unusable(&modulus(&[0, 0x80], 256)), None);
    assert_eq!(unusable(&modulus(&[0, 0xff], 2048)), None);
    assert_eq!(unusable(&modulus(&[1], 257)), None, "2049 bits");
    assert_eq!(unusable(&modulus(&[0x40], 256)), Some(UnusableKey::RsaSize { bits: 2047 }));
    assert_eq!(unusable(&modulus(&[0x01], 2049)), Some(UnusableKey::RsaSize { bits: 16385 }));
    for malformed in [&[][..], &[0], &modulus(&[0x80], 256), &modulus(&[0, 0x40], 256)] {
        assert_eq!(unusable(malformed), Some(UnusableKey::Malformed));
    }
}

#[test]
fn what_an_agent_calls_its_keys_cannot_steer_a_terminal() {
    let comment = "caf\u{e9}\x1b[2J\r\n\u{202e}\u{200b}".as_bytes();
    let key = key::AgentKey::new(&strings(&[b"ssh\x1b[2J", &[1; 32]]), comment);
    assert_eq!(key.comment, "caf\u{e9}\u{fffd}[2J\u{fffd}\u{fffd}\u{fffd}\u{fffd}");
    assert_eq!(key.unusable, Some(UnusableKey::Unknown("ssh\u{fffd}[2J".to_owned())));
    assert!(!key.public_key.chars().any(char::is_control));
    let long = key::AgentKey::new(b"", &[b'x'; 10_000]);
    assert_eq!(long.comment.len(), 128);
}

#[test]
fn no_more_keys_are_listed_than_openssh_holds() {
    let list = |count: u32| {
        let keys = strings(&[b"", b""]).repeat(count as usize);
        answer::identities(&[&[12], &count.to_be_bytes()[..], &keys].concat())
    };
    assert_eq!(list(2048).unwrap().len(), 2048);
    assert!(matches!(list(2049).unwrap_err(), SshAgentError::Malformed(_)));
}

#[test]
fn a_list_that_is_longer_or_shorter_than_it_says_is_malformed() {
    let whole = list_of_keys();
    assert_eq!(answer::identities(&whole).unwrap().len(), 2);
    let longer = [&whole[..], &[0]].concat();
    for message in
        [&longer[..], &whole[..whole.len() - 1], &[12, 0, 0, 0, 1], &[12], &[5], &[6], &[]]
    {
        let error = answer::identities(message).unwrap_err();
        assert!(matches!(error, SshAgentError::Malformed(_)), "{message:?}: {error}");
    }
}

#[test]
fn no_error_is_silent_about_what_to_do() {
    let fingerprint = || "SHA256:abc".to_owned();
    let errors = [
        SshAgentError::NoAgent { socket: "/x".into(), source: std::io::ErrorKind::NotFound.into() },
        SshAgentError::Broken(std::io::ErrorKind::UnexpectedEof.into()),
        SshAgentError::Silent { seconds: 60 },
        SshAgentError::KeyMissing { fingerprint: fingerprint() },
        SshAgentError::NoKeys { fingerprint: fingerprint() },
        SshAgentError::Refused { fingerprint: fingerprint() },
        SshAgentError::Unusable { fingerprint: fingerprint(), reason: UnusableKey::Ecdsa },
        SshAgentError::NotDeterministic { fingerprint: fingerprint() },
        SshAgentError::Malformed("x"),
        SshAgentError::BadParameters,
        SshAgentError::Memory(secret_memory::OutOfSecretMemory),
        SshAgentError::Randomness,
    ];
    for error in errors {
        let (cause, remedy) = error.to_string().split_once("nothing was changed. ").map_or_else(
            || panic!("{error}"),
            |(cause, remedy)| (cause.to_owned(), remedy.to_owned()),
        );
        assert!(!cause.is_empty() && remedy.len() > 8 && !remedy.ends_with('.'), "{error}");
    }
}

proptest! {
    #[test]
    fn any_list_of_keys_is_read_or_refused(message in damaged(list_of_keys())) {
        if let Ok(keys) = answer::identities(&message) {
            prop_assert!(keys.len() * 8 <= message.len());
            for key in keys {
                prop_assert!(!key.comment.chars().any(char::is_control));
                let parsed = PublicKey::from_text(&key.public_key);
                prop_assert_eq!(parsed.is_ok(), key.unusable.is_none());
            }
        }
    }

    #[test]
    fn any_signature_is_of_the_right_length_or_refused(
        message in damaged(signature(b"rsa-sha2-512", &[9; 256])),
        other in damaged(signature(b"ssh-ed25519", &[9; 64])),
    ) {
        for (key, length) in [(rsa_key(2048), 256), (PublicKey::from_text(ED25519).unwrap(), 64)] {
            for message in [&message, &other] {
                if let Ok(Some(found)) = answer::signature(message, &key) {
                    prop_assert_eq!(found.len(), length);
                }
            }
        }
    }
}

/// A valid message, whole or with bytes replaced, cut out or put in; or any bytes at all.
fn damaged(valid: Vec<u8>) -> impl Strategy<Value = Vec<u8>> {
    let length = valid.len();
    let place = (0..=length, 0..=8_usize, prop::collection::vec(any::<u8>(), 0..8));
    let edited = prop::collection::vec(place, 0..3).prop_map(move |edits| {
        edits.into_iter().fold(valid.clone(), |mut message, (at, cut, new)| {
            let at = at.min(message.len());
            let end = (at + cut).min(message.len());
            message.splice(at..end, new);
            message
        })
    });
    prop_oneof![4 => edited, 1 => prop::collection::vec(any::<u8>(), 0..200)]
}

fn list_of_keys() -> Vec<u8> {
    let key = PublicKey::from_text(ED25519).unwrap().blob;
    let keys = [strings(&[&key, b"one"]), strings(&[&rsa_key(2048).blob, b"two"])].concat();
    [&[12, 0, 0, 0, 2][..], &keys].concat()
}

fn usable() -> AgentKey {
    AgentKey::new(&PublicKey::from_text(ED25519).unwrap().blob, b"")
}

fn rsa_key(bits: usize) -> PublicKey {
    let modulus = [vec![0, 0x80], vec![0x55; bits / 8 - 1]].concat();
    let blob = strings(&[b"ssh-rsa", &[1, 0, 1], &modulus]);
    PublicKey::from_text(&AgentKey::new(&blob, b"").public_key).unwrap()
}

fn signature(name: &[u8], bytes: &[u8]) -> Vec<u8> {
    [vec![14], strings(&[&strings(&[name, bytes])])].concat()
}

fn strings(parts: &[&[u8]]) -> Vec<u8> {
    let mut all = Vec::new();
    parts.iter().for_each(|part| wire::put_string(&mut all, part));
    all
}

fn message(body: &[u8]) -> Vec<u8> {
    strings(&[body])
}

const PATIENCE: Duration = Duration::from_secs(1);

fn assert_silent(ask: impl FnOnce() -> SshAgentError) {
    let start = Instant::now();
    let error = ask();
    assert!(matches!(error, SshAgentError::Silent { seconds: 1 }), "{error}");
    assert!(start.elapsed() >= PATIENCE - Duration::from_millis(50), "gave up early");
    assert!(start.elapsed() < 5 * PATIENCE, "waited {:?}", start.elapsed());
}

/// Until the client closes the connection.
fn wait_for_the_end(stream: &mut UnixStream) {
    let _ = stream.read(&mut [0; 16]);
}

/// A thread that takes requests, and answers as it likes.
struct MockAgent {
    directory: TempDir,
}

impl MockAgent {
    fn new(answer: impl Fn(&mut UnixStream) + Send + 'static) -> Self {
        let directory = TempDir::new().unwrap();
        let listener = UnixListener::bind(directory.path().join("agent")).unwrap();
        // Ends with the test's process: nothing tells it that nobody will ask again.
        thread::spawn(move || {
            for stream in listener.incoming() {
                let mut stream = stream.unwrap();
                if read_request(&mut stream).is_ok() {
                    answer(&mut stream);
                }
            }
        });
        Self { directory }
    }

    fn answering(bytes: Vec<u8>) -> Self {
        Self::new(move |stream| drop(stream.write_all(&bytes)))
    }

    fn client(&self) -> Agent {
        let patience = Patience { list: PATIENCE, sign: PATIENCE };
        Agent { socket: self.directory.path().join("agent"), patience }
    }
}

fn read_request(stream: &mut UnixStream) -> std::io::Result<Vec<u8>> {
    let mut length = [0; 4];
    stream.read_exact(&mut length)?;
    let mut request = vec![0; u32::from_be_bytes(length) as usize];
    stream.read_exact(&mut request)?;
    Ok(request)
}
