//! Each operation: the request is the one of the protocol, and the reply becomes its type.

#![allow(clippy::unwrap_used, reason = "a test that panics has failed")]

mod mock;

use std::time::Duration;

use cicada_client::{Client, ClientError, Code, State};
use mock::{MockDaemon, base64, key_reply, public_key_reply};
use secret_memory::Secret;

/// Asks `MockDaemon` one thing, and returns what was sent and what came back.
fn ask<T>(
    reply: impl Into<Vec<u8>>,
    call: impl FnOnce(&mut Client) -> Result<T, ClientError>,
) -> (String, Result<T, ClientError>) {
    let mock = MockDaemon::answering([reply.into()]);
    let result = call(&mut Client::connect(mock.socket()).unwrap());
    (mock.requests().remove(0), result)
}

#[test]
fn a_key_has_its_32_bytes() {
    let (sent, key) = ask(key_reply(0x42), |cicada| cicada.get_key("cloud-sync", None));
    assert_eq!(sent, r#"{"op":"get_key","identity":"cloud-sync","format":"wg"}"#);
    assert_eq!(key.unwrap().expose(), &[0x42; 32]);
    let (sent, _) = ask(key_reply(0x42), |cicada| cicada.get_key("cloud-sync", Some(3)));
    assert_eq!(sent, r#"{"op":"get_key","identity":"cloud-sync","format":"wg","version":3}"#);
}

#[test]
fn a_key_of_another_type_or_size_is_none() {
    let other_type = String::from_utf8(key_reply(1)).unwrap().replace("kyber768", "kyber1024");
    let short = format!(r#"{{"key":"{}","type":"x25519+kyber768"}}"#, base64(31, 1));
    let escaped = String::from_utf8(key_reply(0xff)).unwrap().replace('/', "\\/");
    for reply in [other_type, short, escaped, r#"{"type":"x25519+kyber768"}"#.to_owned()] {
        let (_, key) = ask(reply.clone(), |cicada| cicada.get_key("cloud-sync", None));
        assert!(matches!(key, Err(ClientError::Protocol(_))), "{reply}");
    }
}

#[test]
fn a_signature_has_the_size_of_ml_dsa_65() {
    let reply =
        |bytes| format!(r#"{{"signature":"{}","algorithm":"dilithium3"}}"#, base64(bytes, 9));
    let (sent, signature) = ask(reply(3309), |cicada| cicada.sign("cloud-sync", b"data"));
    assert_eq!(sent, r#"{"op":"sign","identity":"cloud-sync","data":"ZGF0YQ=="}"#);
    assert_eq!(signature.unwrap(), [9; 3309]);
    let (_, signature) = ask(reply(3293), |cicada| cicada.sign("cloud-sync", b"data"));
    assert!(
        matches!(signature, Err(ClientError::Protocol(_))),
        "round 3 of Dilithium is not FIPS 204"
    );
}

#[test]
fn a_public_key_has_its_three_parts() {
    let (sent, key) = ask(public_key_reply(), |cicada| cicada.public_key("cloud-sync", Some(4)));
    assert_eq!(sent, r#"{"op":"public_key","identity":"cloud-sync","version":4}"#);
    let key = key.unwrap();
    assert_eq!((key.identity.as_str(), key.version, key.x25519), ("cloud-sync", 4, [1; 32]));
    assert_eq!((*key.ml_kem_768, *key.ml_dsa_65), ([2; 1184], [3; 1952]));
}

#[test]
fn a_shared_secret_comes_with_its_ciphertext() {
    let reply = format!(
        r#"{{"ciphertext":"{}","shared_secret":"{}","algorithm":"kyber768"}}"#,
        base64(1088, 5),
        base64(32, 6)
    );
    let (sent, made) = ask(reply, |cicada| cicada.encapsulate("cloud-sync", Some(&[7; 1184])));
    let key = base64(1184, 7);
    assert_eq!(
        sent,
        format!(r#"{{"op":"encapsulate","identity":"cloud-sync","public_key":"{key}"}}"#)
    );
    let made = made.unwrap();
    assert_eq!((*made.ciphertext, made.shared_secret.expose()), ([5; 1088], &[6; 32]));

    let reply = format!(r#"{{"shared_secret":"{}","algorithm":"kyber768"}}"#, base64(32, 6));
    let (sent, secret) = ask(reply.clone(), |cicada| cicada.decapsulate("x", &[5; 1088], None));
    let ciphertext = base64(1088, 5);
    assert_eq!(
        sent,
        format!(r#"{{"op":"decapsulate","identity":"x","ciphertext":"{ciphertext}"}}"#)
    );
    assert_eq!(secret.unwrap().expose(), &[6; 32]);

    let (_, made) = ask(reply, |cicada| cicada.encapsulate("x", None));
    assert!(matches!(made, Err(ClientError::Protocol(_))), "without a ciphertext");
}

#[test]
fn identities_and_status_are_read_whole() {
    let reply = r#"{"identities":[{"identity":"a","version":2,"created":"2026-11-01T00:00:00Z","readable":[1,2],"revoked":null,"operations":["get_key"]},{"identity":"b","version":null,"created":"2026-11-02T00:00:00Z","readable":[],"revoked":"2026-11-03T00:00:00Z","operations":[]}]}"#;
    let (sent, identities) = ask(reply, Client::identities);
    assert_eq!(sent, r#"{"op":"identities"}"#);
    let identities = identities.unwrap();
    assert_eq!((identities[0].readable.as_slice(), &identities[0].revoked), (&[1, 2][..], &None));
    assert_eq!((identities[0].version, identities[1].version), (Some(2), None));
    assert_eq!(identities[1].revoked.as_deref(), Some("2026-11-03T00:00:00Z"));

    let reply = r#"{"state":"locked","version":"0.1.0","identities":2,"types":{"x25519+kyber768":"X25519 (RFC 7748) with ML-KEM-768 (FIPS 203)"},"algorithms":{"dilithium3":"ML-DSA-65 (FIPS 204)"},"isolation":[{"check":"threads","status":"pass","found":"17 of 17 {\"}"}]}"#;
    let (sent, status) = ask(reply, Client::status);
    assert_eq!(sent, r#"{"op":"status"}"#);
    let status = status.unwrap();
    assert_eq!((status.state, status.identities), (State::Locked, 2));
    assert_eq!(status.algorithms["dilithium3"], "ML-DSA-65 (FIPS 204)");
    assert_eq!(status.isolation[0].found, "17 of 17 {\"}");
}

#[test]
fn administration_sends_what_the_protocol_shows() {
    let key = Secret::copy_of(&[8; 32]);
    let text = base64(32, 8);
    let unlocked = r#"{"state":"unlocked"}"#;
    let (sent, state) = ask(unlocked, |cicada| cicada.init(&key));
    assert_eq!(sent, format!(r#"{{"op":"init","unlock_key":"{text}"}}"#));
    assert_eq!(state.unwrap(), State::Unlocked);
    let (sent, _) = ask(unlocked, |cicada| cicada.unlock(&key));
    assert_eq!(sent, format!(r#"{{"op":"unlock","unlock_key":"{text}"}}"#));
    let (sent, state) = ask(r#"{"state":"locked"}"#, Client::lock);
    assert_eq!((sent.as_str(), state.unwrap()), (r#"{"op":"lock"}"#, State::Locked));

    let (sent, made) = ask(public_key_reply(), |cicada| cicada.create("x"));
    assert_eq!((sent.as_str(), made.unwrap().version), (r#"{"op":"create","identity":"x"}"#, 4));
    let (sent, made) = ask(public_key_reply(), |cicada| cicada.rotate("x", None));
    assert_eq!((sent.as_str(), made.is_ok()), (r#"{"op":"rotate","identity":"x"}"#, true));
    let hour = Some(Duration::from_secs(3600));
    let (sent, _) = ask(public_key_reply(), |cicada| cicada.rotate("x", hour));
    assert_eq!(sent, r#"{"op":"rotate","identity":"x","grace_seconds":3600}"#);

    let reply = r#"{"identity":"x","revoked":"2026-11-03T00:00:00Z"}"#;
    let (sent, revoked) = ask(reply, |cicada| cicada.revoke("x"));
    assert_eq!(sent, r#"{"op":"revoke","identity":"x"}"#);
    assert_eq!(revoked.unwrap().revoked, "2026-11-03T00:00:00Z");

    let reply = r#"{"identity":"x","backup":"c2VhbGVk"}"#;
    let (sent, backup) = ask(reply, |cicada| cicada.backup("x"));
    assert_eq!(sent, r#"{"op":"backup","identity":"x"}"#);
    assert_eq!(backup.unwrap().sealed, b"sealed");
    let (sent, _) = ask(public_key_reply(), |cicada| cicada.restore(b"sealed", None));
    assert_eq!(sent, r#"{"op":"restore","backup":"c2VhbGVk"}"#);
    let (sent, _) = ask(public_key_reply(), |cicada| cicada.restore(b"sealed", Some(&key)));
    assert_eq!(sent, format!(r#"{{"op":"restore","backup":"c2VhbGVk","unlock_key":"{text}"}}"#));
}

#[test]
fn an_error_reply_can_be_told_by_its_code() {
    let reply = r#"{"error":{"code":"locked","message":"the keys are locked"}}"#;
    let (_, key) = ask(reply, |cicada| cicada.get_key("cloud-sync", None));
    match key.unwrap_err() {
        ClientError::Refused { code: Code::Locked, message } => {
            assert_eq!(message, "the keys are locked");
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn no_error_text_repeats_what_was_in_the_reply() {
    let planted = base64(31, 0x42);
    for reply in [
        format!(r#"{{"key":"{planted}","type":"x25519+kyber768"}}"#),
        format!(r#"{{"key":["{planted}"],"type":"x25519+kyber768"}}"#),
        format!(r#"{{"key":"\u0041{planted}","type":"x25519+kyber768"}}"#),
        format!(r#"{{"error":"{planted}"}}"#),
    ] {
        let (_, key) = ask(reply.clone(), |cicada| cicada.get_key("cloud-sync", None));
        let error = key.unwrap_err();
        assert!(!format!("{error} {error:?}").contains(&planted[4..20]), "{reply}: {error:?}");
    }
}
