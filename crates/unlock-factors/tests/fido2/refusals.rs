//! When there is no evidence, and what is said then.

use std::path::Path;
use std::time::{Duration, Instant};

use unlock_factors::fido2::{Fido2Error, enroll, evidence, present};

use crate::evidence::pin;
use crate::soft_token::{Manner, Options, Protocol, SoftToken};

fn with_pin(protocol: Protocol) -> SoftToken {
    SoftToken::plug_in(Options { pin: Some("1234"), protocol, ..Options::default() })
}

#[test]
fn a_wrong_pin_is_refused_with_the_tries_that_are_left() {
    for protocol in [Protocol::One, Protocol::Two] {
        let token = with_pin(protocol);
        let (parameters, first) = enroll(token.path(), Some(&pin("1234"))).unwrap();
        for left in [7, 6] {
            let error = evidence(token.path(), &parameters, Some(&pin("1235"))).unwrap_err();
            assert!(
                matches!(error, Fido2Error::WrongPin { left: Some(said) } if said == left),
                "{error:?}"
            );
            assert!(error.to_string().contains(&format!("{left} tries are left")), "{error}");
        }
        let again = evidence(token.path(), &parameters, Some(&pin("1234"))).unwrap();
        assert_eq!(again.expose(), first.expose());
    }
}

#[test]
fn three_wrong_pins_need_a_replug_and_eight_block_for_good() {
    let token = with_pin(Protocol::Two);
    let (parameters, _) = enroll(token.path(), Some(&pin("1234"))).unwrap();
    let ask = |text: &str| evidence(token.path(), &parameters, Some(&pin(text))).unwrap_err();
    for round in 0..2 {
        assert!(matches!(ask("wrong"), Fido2Error::WrongPin { .. }), "round {round}");
        assert!(matches!(ask("wrong"), Fido2Error::WrongPin { .. }), "round {round}");
        assert!(matches!(ask("wrong"), Fido2Error::PinRefusedUntilReplugged), "round {round}");
        assert!(matches!(ask("1234"), Fido2Error::PinRefusedUntilReplugged), "round {round}");
        token.replug();
    }
    let last = ask("wrong");
    assert!(last.to_string().contains(", 1 try is left;"), "{last}");
    assert!(matches!(ask("wrong"), Fido2Error::PinBlocked));
    token.replug();
    assert!(matches!(ask("1234"), Fido2Error::PinBlocked));
}

#[test]
fn anothers_token_is_refused_and_gets_no_pin() {
    let token = with_pin(Protocol::Two);
    let other = SoftToken::plug_in(Options { seed: 2, pin: Some("9999"), ..Options::default() });
    let (parameters, _) = enroll(token.path(), Some(&pin("1234"))).unwrap();
    let error = evidence(other.path(), &parameters, Some(&pin("1234"))).unwrap_err();
    assert!(matches!(error, Fido2Error::NotThisToken), "{error:?}");
    assert!(!other.commands().contains(&0x06), "no PIN command");
}

#[test]
fn a_credential_that_was_edited_is_not_this_token() {
    let token = SoftToken::plug_in(Options::default());
    let (mut parameters, _) = enroll(token.path(), None).unwrap();
    parameters.credential[3] ^= 1;
    let error = evidence(token.path(), &parameters, None).unwrap_err();
    assert!(matches!(error, Fido2Error::NotThisToken), "{error:?}");
    parameters.credential = Vec::new();
    evidence(token.path(), &parameters, None).unwrap_err();
}

#[test]
fn nobody_touches_it() {
    let token = SoftToken::plug_in(Options::default());
    let (parameters, _) = enroll(token.path(), None).unwrap();
    token.touch(false);
    let error = evidence(token.path(), &parameters, None).unwrap_err();
    assert!(matches!(error, Fido2Error::NotTouched), "{error:?}");
    let error = enroll(token.path(), None).unwrap_err();
    assert!(matches!(error, Fido2Error::NotTouched), "{error:?}");
    token.touch(true);
    evidence(token.path(), &parameters, None).unwrap();
}

#[test]
fn a_token_without_hmac_secret_is_refused_at_enrolment() {
    let token = SoftToken::plug_in(Options { hmac_secret: false, ..Options::default() });
    let error = enroll(token.path(), None).unwrap_err();
    assert!(matches!(error, Fido2Error::NoHmacSecret), "{error:?}");
}

#[test]
fn the_pin_is_given_when_and_only_when_it_is_due() {
    let protected = with_pin(Protocol::Two);
    let error = enroll(protected.path(), None).unwrap_err();
    assert!(matches!(error, Fido2Error::PinNeeded), "{error:?}");
    let (parameters, _) = enroll(protected.path(), Some(&pin("1234"))).unwrap();
    let error = evidence(protected.path(), &parameters, None).unwrap_err();
    assert!(matches!(error, Fido2Error::PinNeeded), "{error:?}");
    let open = SoftToken::plug_in(Options::default());
    let error = enroll(open.path(), Some(&pin("1234"))).unwrap_err();
    assert!(matches!(error, Fido2Error::PinNotSet), "{error:?}");
    let (parameters, _) = enroll(open.path(), None).unwrap();
    let error = evidence(open.path(), &parameters, Some(&pin("1234"))).unwrap_err();
    assert!(matches!(error, Fido2Error::PinUnexpected), "{error:?}");
}

#[test]
fn a_pin_that_no_token_has_costs_no_try() {
    let token = with_pin(Protocol::Two);
    let (parameters, _) = enroll(token.path(), Some(&pin("1234"))).unwrap();
    token.commands();
    let bytes = secret_memory::SecretBytes::copy_of(b"\xff\xfe12").unwrap();
    let pins = [pin(""), pin("123"), pin("12\u{e4}"), pin("12\x0034"), pin(&"x".repeat(64)), bytes];
    for pin in &pins {
        let error = evidence(token.path(), &parameters, Some(pin)).unwrap_err();
        assert!(matches!(error, Fido2Error::PinMalformed), "{error:?}");
        let error = enroll(token.path(), Some(pin)).unwrap_err();
        assert!(matches!(error, Fido2Error::PinMalformed), "{error:?}");
    }
    assert!(token.commands().is_empty(), "nothing was sent");
}

/// Its secret would be that of a verified holder, and another one as soon as the setting changes.
#[test]
fn a_token_that_verifies_unasked_is_refused() {
    let token = SoftToken::plug_in(Options { always_uv: true, ..Options::default() });
    let error = enroll(token.path(), None).unwrap_err();
    assert!(matches!(error, Fido2Error::OtherVerification), "{error:?}");
}

#[test]
fn what_is_no_token_is_refused() {
    let file = tempfile::NamedTempFile::new().unwrap();
    let paths =
        [Path::new("/dev/no-such-token"), file.path(), Path::new("/dev"), Path::new("pcsc://x")];
    for path in paths {
        let error = enroll(path, None).unwrap_err();
        assert!(matches!(error, Fido2Error::NoDevice { .. }), "{}: {error:?}", path.display());
    }
    let error = enroll(Path::new("/dev/null"), None).unwrap_err();
    assert!(matches!(error, Fido2Error::NotFido2 { .. }), "{error:?}");
}

#[test]
fn a_token_that_another_program_uses_is_busy() {
    let token = SoftToken::plug_in(Options::default());
    let (parameters, _) = enroll(token.path(), None).unwrap();
    let other = std::fs::File::options().read(true).write(true).open(token.path()).unwrap();
    other.lock().unwrap();
    let error = evidence(token.path(), &parameters, None).unwrap_err();
    assert!(matches!(error, Fido2Error::Busy { .. }), "{error:?}");
    drop(other);
    evidence(token.path(), &parameters, None).unwrap();
}

#[test]
fn a_device_that_speaks_nonsense_is_no_token() {
    for manner in [Manner::U2fOnly, Manner::BadInfo] {
        let token = SoftToken::plug_in(Options { manner, ..Options::default() });
        let error = enroll(token.path(), None).unwrap_err();
        assert!(matches!(error, Fido2Error::NotFido2 { .. }), "{error:?}");
    }
}

#[test]
fn a_device_that_says_nothing_does_not_hang_us() {
    gives_up_on(Manner::Silent);
}

#[test]
fn a_device_that_says_too_much_does_not_hang_us() {
    gives_up_on(Manner::Noise);
}

fn gives_up_on(manner: Manner) {
    let token = SoftToken::plug_in(Options { manner, ..Options::default() });
    let start = Instant::now();
    let error = enroll(token.path(), None).unwrap_err();
    assert!(matches!(error, Fido2Error::Silent { .. }), "{error:?}");
    assert!(start.elapsed() < Duration::from_secs(60), "it took {:?}", start.elapsed());
}

#[test]
fn answers_that_make_no_sense_are_refused() {
    let token = SoftToken::plug_in(Options { manner: Manner::BadAnswers, ..Options::default() });
    let error = enroll(token.path(), None).unwrap_err();
    assert!(matches!(error, Fido2Error::Protocol { .. } | Fido2Error::Gone), "{error:?}");
    let honest = SoftToken::plug_in(Options::default());
    let (parameters, _) = enroll(honest.path(), None).unwrap();
    let error = evidence(token.path(), &parameters, None).unwrap_err();
    assert!(matches!(error, Fido2Error::Protocol { .. } | Fido2Error::Gone), "{error:?}");
    present(token.path(), &parameters).unwrap_err();
    let token = SoftToken::plug_in(Options { manner: Manner::ShortSecret, ..Options::default() });
    let error = evidence(token.path(), &parameters, None).unwrap_err();
    assert!(matches!(error, Fido2Error::Protocol { .. }), "{error:?}");
}

#[test]
fn no_error_shows_a_pin() {
    let token = with_pin(Protocol::Two);
    let (parameters, _) = enroll(token.path(), Some(&pin("1234"))).unwrap();
    let error = evidence(token.path(), &parameters, Some(&pin("sekrit"))).unwrap_err();
    assert!(!format!("{error} {error:?}").contains("sekrit"), "{error:?}");
}
