//! What something that listens in cicada's place answers.

use std::io::{Read, Write};
use std::os::unix::net::UnixListener;
use std::sync::{LazyLock, Mutex, PoisonError};
use std::time::Duration;

use cicada_client::{
    Client, ClientError, IdentitySummary, KEM_ALGORITHM, KEY_TYPE, ML_DSA_65_SIGNATURE_BYTES,
    ML_KEM_768_CIPHERTEXT_BYTES, SIGNATURE_ALGORITHM,
};
use data_encoding::BASE64;
use serde_json::{Deserializer, Value, json};
use tempfile::TempDir;

use crate::shape::{Source, shape};

/// What the client reads at once, if it is there: something behind the reply is seen then.
const READ_BYTES: usize = 8192;

/// One of each reply, in the order of [`ask`].
static REPLIES: LazyLock<Vec<Vec<u8>>> = LazyLock::new(|| {
    let public = json!({
        "identity": "cloud-sync", "version": 1, "type": KEY_TYPE, "algorithm": SIGNATURE_ALGORITHM,
        "x25519": base64(32), "ml_kem_768": base64(1184), "ml_dsa_65": base64(1952),
    });
    let replies = [
        json!({"key": base64(32), "type": KEY_TYPE}),
        json!({"signature": base64(3309), "algorithm": SIGNATURE_ALGORITHM}),
        public,
        json!({"ciphertext": base64(1088), "shared_secret": base64(32), "algorithm": KEM_ALGORITHM}),
        json!({"shared_secret": base64(32), "algorithm": KEM_ALGORITHM}),
        json!({"identities": [{
            "identity": "cloud-sync", "version": 2, "created": "2026-03-01T12:00:00Z",
            "readable": [1, 2], "revoked": null, "operations": ["get_key", "sign"],
        }]}),
        json!({
            "state": "locked", "version": "0.1.0", "identities": 2, "types": {"a": "b"},
            "algorithms": {}, "isolation": [{"check": "threads", "status": "pass", "found": "17"}],
        }),
        json!({"state": "unlocked"}),
        json!({"identity": "cloud-sync", "backup": base64(100)}),
        json!({"identity": "cloud-sync", "revoked": "2026-03-01T12:00:00Z"}),
        json!({"error": {"code": "denied", "message": "no \"rule\""}}),
    ];
    replies.iter().map(|reply| reply.to_string().into_bytes()).collect()
});

fn base64(bytes: usize) -> String {
    BASE64.encode(&vec![0x5a; bytes])
}

/// Answers each connection's first request with the same bytes, and closes.
struct Mock {
    answer: &'static Mutex<Vec<u8>>,
    directory: TempDir,
}

static MOCK: LazyLock<Mutex<Mock>> = LazyLock::new(|| {
    let directory = tempfile::tempdir().expect("a directory for a socket");
    let listener = UnixListener::bind(directory.path().join("cicada")).expect("a socket");
    let answer: &Mutex<Vec<u8>> = Box::leak(Box::default());
    std::thread::spawn(move || {
        let mut request = [0; 4096];
        for mut stream in listener.incoming().flatten() {
            if stream.read(&mut request).is_ok() {
                let answer = answer.lock().expect("nobody panics with it").clone();
                let _ = stream.write_all(&answer);
            }
        }
    });
    Mutex::new(Mock { answer, directory })
});

/// What a program gets out of a reply is what the reply says, of the size and kind that it asked for.
///
/// # Panics
/// When serde_json reads something else in the same reply, or when a connection can be used again
/// after a reply that was none.
pub fn cicada_replies(orders: &[u8]) {
    // A search for the shortest input goes on after a panic.
    let mock = MOCK.lock().unwrap_or_else(PoisonError::into_inner);
    let mut source = Source(orders);
    let (operation, any) = (source.byte() % 10, source.byte() < 32);
    let fitting = usize::from(operation)..=usize::from(operation);
    let reply = shape(if any { &REPLIES } else { &REPLIES[fitting] }, source.0);
    mock.answer.lock().expect("nobody panics with it").clone_from(&reply);
    let socket = mock.directory.path().join("cicada");
    let mut client =
        Client::connect_with_timeout(socket, Duration::from_secs(10)).expect("it listens");
    match ask(&mut client, operation) {
        Ok(told) => told.check(&reply),
        Err(ClientError::Refused { message, .. }) => {
            Told(vec![("/error/message".to_owned(), json!(message))]).check(&reply);
        }
        Err(error) => {
            assert!(matches!(error, ClientError::Protocol(_) | ClientError::Io(_)), "{error:?}");
            let again = ask(&mut client, operation);
            assert!(matches!(again, Err(ClientError::Closed)), "after {error:?}: {again:?}");
        }
    }
}

/// What a program has in its hands: places in the reply (RFC 6901), and what is to stand there.
#[derive(Debug)]
struct Told(Vec<(String, Value)>);

impl Told {
    fn check(&self, reply: &[u8]) {
        let mut values = Deserializer::from_slice(reply).into_iter::<Value>();
        // Fields that nobody asked for may have values that this type doesn't have, such as 1e400.
        let Some(Ok(value)) = values.next() else { return };
        let one_read = reply.len() <= READ_BYTES;
        assert!(!one_read || values.byte_offset() == reply.len(), "more than one reply came");
        for (place, told) in &self.0 {
            // A field that may be null may as well be missing.
            let found = value.pointer(place).unwrap_or(&Value::Null);
            assert_eq!(found, told, "{place} of {value}");
        }
    }
}

fn ask(client: &mut Client, operation: u8) -> Result<Told, ClientError> {
    let key_type = ("/type", json!(KEY_TYPE));
    let kem = ("/algorithm", json!(KEM_ALGORITHM));
    let signed = ("/algorithm", json!(SIGNATURE_ALGORITHM));
    let fields = match operation {
        0 => vec![("/key", text(client.get_key("x", None)?.expose())), key_type],
        1 => {
            let signature = client.sign("x", b"data")?;
            assert_eq!(signature.len(), ML_DSA_65_SIGNATURE_BYTES);
            vec![("/signature", text(&signature)), signed]
        }
        2 => {
            let public = client.public_key("x", None)?;
            vec![
                ("/identity", json!(public.identity)),
                ("/version", json!(public.version)),
                ("/x25519", text(&public.x25519)),
                ("/ml_kem_768", text(&public.ml_kem_768[..])),
                ("/ml_dsa_65", text(&public.ml_dsa_65[..])),
                key_type,
                signed,
            ]
        }
        3 => {
            let made = client.encapsulate("x", None)?;
            let secret = ("/shared_secret", text(made.shared_secret.expose()));
            vec![("/ciphertext", text(&made.ciphertext[..])), secret, kem]
        }
        4 => {
            let secret = client.decapsulate("x", &[0; ML_KEM_768_CIPHERTEXT_BYTES], None)?;
            vec![("/shared_secret", text(secret.expose())), kem]
        }
        5 => return Ok(listed(&client.identities()?)),
        6 => {
            let status = client.status()?;
            vec![
                ("/version", json!(status.version)),
                ("/identities", json!(status.identities)),
                ("/types", json!(status.types)),
                ("/algorithms", json!(status.algorithms)),
            ]
        }
        7 => vec![("/state", json!(format!("{:?}", client.lock()?).to_lowercase()))],
        8 => {
            let backup = client.backup("x")?;
            vec![("/identity", json!(backup.identity)), ("/backup", text(&backup.sealed))]
        }
        _ => {
            let revoked = client.revoke("x")?;
            vec![("/identity", json!(revoked.identity)), ("/revoked", json!(revoked.revoked))]
        }
    };
    Ok(Told(fields.into_iter().map(|(place, told)| (place.to_owned(), told)).collect()))
}

fn listed(identities: &[IdentitySummary]) -> Told {
    let fields = identities.iter().enumerate().flat_map(|(number, one)| {
        let place = |field| format!("/identities/{number}/{field}");
        [
            (place("identity"), json!(one.identity)),
            (place("version"), json!(one.version)),
            (place("readable"), json!(one.readable)),
            (place("operations"), json!(one.operations)),
        ]
    });
    Told(fields.collect())
}

fn text(bytes: &[u8]) -> Value {
    json!(BASE64.encode(bytes))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_samples_are_replies_to_what_is_asked() {
        let mock = MOCK.lock().expect("the only test");
        for (operation, reply) in (0..10).zip(REPLIES.iter()) {
            mock.answer.lock().expect("nobody panics with it").clone_from(reply);
            let mut client =
                Client::connect(mock.directory.path().join("cicada")).expect("it listens");
            let told: Result<Told, ClientError> = ask(&mut client, operation);
            assert!(told.is_ok(), "{operation}: {told:?}");
        }
    }
}
