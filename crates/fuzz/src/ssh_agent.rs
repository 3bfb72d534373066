//! What an ssh-agent answers.

use std::io::{Read, Write};
use std::os::unix::net::UnixListener;
use std::sync::{LazyLock, Mutex};

use key_hierarchy::parameters::SshAgentParameters;
use tempfile::TempDir;
use unlock_factors::ssh_agent::{Agent, SshAgentError};

use crate::shape::shape;

/// `SSH_AGENT_IDENTITIES_ANSWER` and `SSH_AGENT_SIGN_RESPONSE`.
const IDENTITIES_ANSWER: u8 = 12;
const SIGN_RESPONSE: u8 = 14;

static ANSWERS: LazyLock<Vec<Vec<u8>>> = LazyLock::new(|| {
    let ed25519 = strings(&[b"ssh-ed25519", &[b'Q'; 32]]);
    let modulus = [vec![0, 0x80], vec![0x55; 255]].concat();
    let rsa = strings(&[b"ssh-rsa", &[1, 0, 1], &modulus]);
    let ecdsa = strings(&[b"ecdsa-sha2-nistp256", b"nistp256", &[4; 65]]);
    let keys = strings(&[&ed25519, b"one", &rsa, b"two", &ecdsa, b"three"]);
    let signature = strings(&[&strings(&[b"ssh-ed25519", &[7; 64]])]);
    let bodies = [
        [&[IDENTITIES_ANSWER, 0, 0, 0, 3][..], &keys].concat(),
        [&[SIGN_RESPONSE][..], &signature].concat(),
    ];
    bodies.iter().map(|body| strings(&[body])).collect()
});

/// An agent that answers everything with the same bytes.
struct Mock {
    answer: &'static Mutex<Vec<u8>>,
    directory: TempDir,
}

static MOCK: LazyLock<Mutex<Mock>> = LazyLock::new(|| {
    let directory = tempfile::tempdir().expect("a directory for a socket");
    let listener = UnixListener::bind(directory.path().join("agent")).expect("a socket");
    let answer: &Mutex<Vec<u8>> = Box::leak(Box::default());
    std::thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            let mut length = [0; 4];
            if stream.read_exact(&mut length).is_ok() {
                let mut request = vec![0; u32::from_be_bytes(length) as usize];
                let _ = stream.read_exact(&mut request);
                let answer = answer.lock().expect("nobody panics with it").clone();
                let _ = stream.write_all(&answer);
            }
        }
    });
    Mutex::new(Mock { answer, directory })
});

/// Keys are fit to be shown, and those that can be used have a name that is read again; evidence has
/// the length of its kind.
///
/// # Panics
/// When they aren't, or it has not.
pub fn ssh_agent(orders: &[u8]) {
    let mock = MOCK.lock().expect("the target that panicked was the last one");
    *mock.answer.lock().expect("nobody panics with it") = shape(&ANSWERS, orders);
    let agent = Agent::connect(&mock.directory.path().join("agent")).expect("it listens");
    let Ok(keys) = agent.keys() else { return evidence(&agent) };
    for key in keys {
        let shown = [&key.public_key, &key.comment, &key.fingerprint];
        assert!(!shown.iter().any(|text| text.chars().any(char::is_control)), "{key:?}");
        if key.unusable.is_none() {
            let error = agent.enroll(&key).expect_err("a list is no signature");
            assert!(matches!(error, SshAgentError::Malformed(_)), "{key:?}: {error}");
        }
    }
}

fn evidence(agent: &Agent) {
    let parameters = SshAgentParameters {
        public_key:
            "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIFFRUVFRUVFRUVFRUVFRUVFRUVFRUVFRUVFRUVFRUVFR"
                .to_owned(),
        challenge: [7; 32],
    };
    if let Ok(evidence) = agent.evidence(&parameters) {
        assert_eq!(evidence.len(), 64);
    }
}

/// Each with its length in front (RFC 4251 §5).
fn strings(parts: &[&[u8]]) -> Vec<u8> {
    let with_length = |part: &&[u8]| [&(part.len() as u32).to_be_bytes()[..], part].concat();
    parts.iter().flat_map(with_length).collect()
}
