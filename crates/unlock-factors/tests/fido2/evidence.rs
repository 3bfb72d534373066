//! What comes back.

use secret_memory::SecretBytes;
use unlock_factors::fido2::{devices, enroll, evidence, present};

use crate::soft_token::{Options, Protocol, SoftToken};

pub fn pin(text: &str) -> SecretBytes {
    SecretBytes::copy_of(text.as_bytes()).unwrap()
}

#[test]
fn the_same_comes_back_each_time() {
    for protocol in [Protocol::One, Protocol::Two] {
        for pin_text in
            [None, Some("1234"), Some("ein längerer Satz, der gerade noch als PIN durchgeht")]
        {
            let token =
                SoftToken::plug_in(Options { protocol, pin: pin_text, ..Options::default() });
            let pin = pin_text.map(pin);
            let (parameters, first) = enroll(token.path(), pin.as_ref()).unwrap();
            assert_eq!(first.len(), 32);
            assert_eq!(parameters.pin, pin_text.is_some());
            for _ in 0..2 {
                let again = evidence(token.path(), &parameters, pin.as_ref()).unwrap();
                assert_eq!(again.expose(), first.expose(), "{protocol:?} {pin_text:?}");
            }
        }
    }
}

#[test]
fn it_comes_back_from_the_token_that_was_plugged_in_again() {
    let options = Options { pin: Some("1234"), ..Options::default() };
    let token = SoftToken::plug_in(options);
    let (parameters, first) = enroll(token.path(), Some(&pin("1234"))).unwrap();
    drop(token);
    let token = SoftToken::plug_in(options);
    let again = evidence(token.path(), &parameters, Some(&pin("1234"))).unwrap();
    assert_eq!(again.expose(), first.expose());
}

#[test]
fn another_salt_or_credential_gives_another() {
    let token = SoftToken::plug_in(Options::default());
    let (parameters, first) = enroll(token.path(), None).unwrap();
    let mut salted = parameters.clone();
    salted.salt[0] ^= 1;
    let (mut other, second) = enroll(token.path(), None).unwrap();
    assert_ne!(parameters.credential, other.credential);
    assert_ne!(parameters.salt, other.salt);
    other.salt = parameters.salt;
    let pieces = [
        first,
        second,
        evidence(token.path(), &salted, None).unwrap(),
        evidence(token.path(), &other, None).unwrap(),
    ];
    for (index, piece) in pieces.iter().enumerate() {
        for later in &pieces[index + 1..] {
            assert_ne!(piece.expose(), later.expose());
        }
    }
}

/// Who finds the token and edits the parameters gets the key of a holder without PIN: another one.
#[test]
fn without_the_pin_the_evidence_is_another() {
    let token = SoftToken::plug_in(Options { pin: Some("1234"), ..Options::default() });
    let (mut parameters, first) = enroll(token.path(), Some(&pin("1234"))).unwrap();
    parameters.pin = false;
    let without = evidence(token.path(), &parameters, None).unwrap();
    assert_ne!(without.expose(), first.expose());
}

#[test]
fn neither_pin_nor_evidence_goes_over_the_wire() {
    for protocol in [Protocol::One, Protocol::Two] {
        let text = "a PIN to look for";
        let token = SoftToken::plug_in(Options { protocol, pin: Some(text), ..Options::default() });
        let (parameters, first) = enroll(token.path(), Some(&pin(text))).unwrap();
        evidence(token.path(), &parameters, Some(&pin(text))).unwrap();
        assert!(token.heard(&parameters.credential), "what is public is heard");
        assert!(!token.heard(&first.expose()[..16]));
        assert!(!token.heard(text.as_bytes()));
    }
}

#[test]
fn the_right_one_of_several_is_found_without_a_touch() {
    let tokens = [1, 2, 3]
        .map(|seed| SoftToken::plug_in(Options { seed, pin: Some("1234"), ..Options::default() }));
    let (parameters, _) = enroll(tokens[1].path(), Some(&pin("1234"))).unwrap();
    for token in &tokens {
        token.touch(false);
    }
    let found = tokens.each_ref().map(|token| present(token.path(), &parameters).unwrap());
    assert_eq!(found, [false, true, false]);
}

/// No token is plugged in here, or some are: both are lists.
#[test]
fn the_tokens_are_listed() {
    for device in devices().unwrap() {
        assert!(device.path.is_absolute(), "{device:?}");
    }
}
