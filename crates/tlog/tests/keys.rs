//! Key files, public and secret.

#![allow(clippy::unwrap_used, reason = "a test that panics has failed")]

mod common;

use std::fs;
use std::io::ErrorKind;

use common::{ORIGIN, TIME, checkpoint, keys, log, verifies, witness};
use proptest::prelude::*;
use tlog::keys::MAX_KEY_FILE;
use tlog::{KeyFileError, PublicKeys, Role, SigningKeys, VerifierKeyError};

fn parse(text: &str) -> Result<PublicKeys, KeyFileError> {
    text.parse()
}

#[test]
fn a_key_file_is_written_as_it_was_read() {
    for (keys, role) in [(log(), Role::Log), (witness(), Role::Witness)] {
        let text = keys.public().to_string();
        let read = parse(&text).unwrap();
        assert_eq!(&read, keys.public());
        assert_eq!(read.to_string(), text);
        assert_eq!(read.role(), role);
        assert!(text.ends_with('\n') && text.lines().count() == 2);
    }
}

#[test]
fn order_blank_lines_and_comments_do_not_matter() {
    let keys = log();
    let text = keys.public().to_string();
    let (first, second) = text.split_once('\n').unwrap();
    let second = second.trim_end();
    for text in [
        format!("{second}\n{first}\n"),
        format!("{first}\n{second}"),
        format!("# of the log\n\n{second}\n  \n#{first}\n{first}\n#"),
    ] {
        assert_eq!(&parse(&text).unwrap(), keys.public(), "{text}");
    }
}

#[test]
fn what_is_not_a_key_file_is_refused() {
    use KeyFileError::*;
    let (log, witness) = (log(), witness());
    let log_text = log.public().to_string();
    let witness_text = witness.public().to_string();
    let (log_first, log_second) = log_text.split_once('\n').unwrap();
    let (witness_first, witness_second) = witness_text.split_once('\n').unwrap();
    let other = keys(ORIGIN, Role::Witness, 1);
    let names =
        Names { ed25519: log.public().name().clone(), ml_dsa_44: witness.public().name().clone() };
    for (text, error) in [
        (String::new(), Count(0)),
        ("# nothing\n".to_owned(), Count(0)),
        (format!("{log_first}\n"), Count(1)),
        (format!("{log_text}{log_first}\n"), Count(3)),
        (format!("{log_first}\n{log_first}\n"), Algorithms),
        (format!("{log_second}{log_second}"), Algorithms),
        (format!("{log_first}\n{}\n", other.public().ed25519()), Algorithms),
        (format!("{log_first}\n{witness_second}"), names),
        (log_text.replace('\n', "\r\n"), CarriageReturn),
        (format!("{log_text}\r"), CarriageReturn),
        (format!("{log_text}#{}", "x".repeat(MAX_KEY_FILE)), TooLong),
        (format!("x\n{log_text}"), Key { line: 1, reason: VerifierKeyError::Parts }),
        (format!("{log_first}\n\n x\n"), Key { line: 3, reason: VerifierKeyError::Parts }),
    ] {
        assert_eq!(parse(&text), Err(error), "{text}");
    }
    assert!(matches!(parse(&format!(" {log_text}")), Err(Key { line: 1, .. })));
    assert!(matches!(parse(&format!("\u{feff}{log_text}")), Err(Key { line: 1, .. })));
    assert!(matches!(parse(&format!("{witness_first}\n{log_second}")), Err(Names { .. })));
    assert_eq!(PublicKeys::parse(b"\xff"), Err(Utf8));
    let (first, second) = (log.public().ed25519().clone(), log.public().ml_dsa_44().clone());
    assert_eq!(PublicKeys::new(second.clone(), first), Err(Algorithms));
    assert_eq!(PublicKeys::new(second.clone(), second), Err(Algorithms));
}

#[test]
fn debug_is_short() {
    let text = format!("{:?}", log().public());
    assert_eq!(text, "PublicKeys(log example.com/trail, b6a9731a, 122c882e)");
}

#[test]
fn the_public_keys_are_fixed() {
    insta::assert_snapshot!(log().public());
}

#[test]
fn new_keys_are_new_and_come_back_from_their_file() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("keys");
    for role in [Role::Log, Role::Witness] {
        let new = || SigningKeys::generate(ORIGIN.parse().unwrap(), role).unwrap();
        let keys = new();
        assert_ne!(keys.public(), new().public());
        let mut file = Vec::new();
        keys.write_to(&mut file).unwrap();
        assert_eq!(file.len(), 64);
        assert_ne!(file[..32], file[32..]);
        fs::write(&path, &file).unwrap();
        let loaded = SigningKeys::load(&path, ORIGIN.parse().unwrap(), role).unwrap();
        assert_eq!(loaded.public(), keys.public());
        let mut again = Vec::new();
        loaded.write_to(&mut again).unwrap();
        assert_eq!(again, file);
        if role == Role::Log {
            assert!(verifies(&loaded.sign(checkpoint(), TIME).unwrap(), keys.public()));
        }
    }
}

#[test]
fn a_signing_key_file_has_64_bytes() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("keys");
    let load = || SigningKeys::load(&path, ORIGIN.parse().unwrap(), Role::Log);
    assert_eq!(load().unwrap_err().kind(), ErrorKind::NotFound);
    for size in [0, 31, 32, 63, 65, 128] {
        fs::write(&path, vec![1; size]).unwrap();
        assert_eq!(load().unwrap_err().kind(), ErrorKind::InvalidData, "{size} bytes");
    }
    fs::write(&path, [1; 64]).unwrap();
    assert!(load().is_ok());
}

proptest! {
    #[test]
    fn any_bytes_are_safe_to_parse(bytes in proptest::collection::vec(any::<u8>(), 0..400)) {
        let _ = PublicKeys::parse(&bytes);
    }

    #[test]
    fn one_changed_byte_makes_no_other_key(at in 0..10_000_usize, with in 0..128_u8) {
        let good = log().public().to_string().into_bytes();
        let mut bytes = good.clone();
        let at = at % bytes.len();
        bytes[at] = with;
        if let Ok(keys) = PublicKeys::parse(&bytes) {
            prop_assert_eq!(keys.to_string().into_bytes(), good);
        }
    }
}
