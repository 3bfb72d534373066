//! Notes and verifier keys: what is read, what is refused, and that it is written back alike.

#![allow(clippy::unwrap_used, reason = "a test that panics has failed")]

mod common;

use common::{log, witness};
use data_encoding::BASE64;
use proptest::prelude::*;
use tlog::name::MAX_NAME;
use tlog::note::{MAX_NOTE, MAX_SIGNATURES};
use tlog::{
    KeyId, KeyName, KeyNameError, Note, NoteError, Signature, SignatureType, VerifierKey,
    VerifierKeyError,
};

fn parse(text: &str) -> Result<Note, NoteError> {
    Note::parse(text.as_bytes())
}

const LINE: &str = "\u{2014} a AAAAAAE=\n";

#[test]
fn a_text_ends_at_the_last_empty_line() {
    for text in ["a\n", "\n", "a\n\nb\n", "a\n\n", "\n\n\n", "a\n\n\u{2014} b AAAAAAE=\n", "é€\n"]
    {
        let whole = format!("{text}\n{LINE}{LINE}");
        let note = parse(&whole).unwrap();
        assert_eq!(note.text(), text);
        assert_eq!(note.signatures().len(), 2);
        assert_eq!(note.to_string(), whole);
    }
}

#[test]
fn what_is_not_a_note_is_refused() {
    use NoteError::*;
    let name = KeyNameError::Character;
    for (text, error) in [
        ("", NoEmptyLine),
        ("a\n", NoEmptyLine),
        ("\n\u{2014} a AAAAAAE=\n", NoEmptyLine),
        ("a\n\u{2014} a AAAAAAE=\n", NoEmptyLine),
        ("a\n\n", NoSignature),
        ("a\n\n\u{2014} a AAAAAAE=\n\n", NoSignature),
        ("a\n\n\u{2014} a AAAAAAE=", SignatureLine),
        ("a\n\n- a AAAAAAE=\n", SignatureLine),
        ("a\n\n\u{2014}a AAAAAAE=\n", SignatureLine),
        ("a\n\n\u{2014} a\n", SignatureLine),
        ("a\n\n\u{2014} a AAAAAAE=\nb\n", SignatureLine),
        ("a\n\n\u{2014}  AAAAAAE=\n", SignatureName(KeyNameError::Empty)),
        ("a\n\n\u{2014} a+b AAAAAAE=\n", SignatureName(name)),
        ("a\n\n\u{2014} a\u{2003}b AAAAAAE=\n", SignatureName(name)),
        ("a\n\n\u{2014} a\u{7f}b AAAAAAE=\n", SignatureName(name)),
        ("a\n\n\u{2014} a  AAAAAAE=\n", SignatureBytes),
        ("a\n\n\u{2014} a AAAAAAE= \n", SignatureBytes),
        ("a\n\n\u{2014} a AAAAAAF=\n", SignatureBytes), // stray bits
        ("a\n\n\u{2014} a AAAAAAE\n", SignatureBytes),  // no padding
        ("a\n\n\u{2014} a AAAAAA==\n", SignatureBytes), // an id and nothing else
        ("a\n\n\u{2014} a AAAA\n", SignatureBytes),
        ("a\n\n\u{2014} a \n", SignatureBytes),
        ("a\r\n\r\n\u{2014} a AAAAAAE=\r\n", ControlCharacter),
        ("a\tb\n\n\u{2014} a AAAAAAE=\n", ControlCharacter),
        ("a\0b\n\n\u{2014} a AAAAAAE=\n", ControlCharacter),
    ] {
        assert_eq!(parse(text), Err(error), "{text:?}");
    }
    assert_eq!(Note::parse(b"\xff\n\n\xe2\x80\x94 a AAAAAAE=\n"), Err(Utf8));
}

#[test]
fn a_note_has_limits() {
    let signatures = |count| format!("a\n\n{}", LINE.repeat(count));
    assert_eq!(parse(&signatures(MAX_SIGNATURES)).unwrap().signatures().len(), MAX_SIGNATURES);
    assert_eq!(parse(&signatures(MAX_SIGNATURES + 1)), Err(NoteError::TooManySignatures));
    let long = |size| format!("{}\n\n{LINE}", "a".repeat(size - LINE.len() - 2));
    assert_eq!(parse(&long(MAX_NOTE)).unwrap().to_string().len(), MAX_NOTE);
    assert_eq!(parse(&long(MAX_NOTE + 1)), Err(NoteError::TooLong));
}

#[test]
fn a_name_has_limits() {
    let name = |text: &str| KeyName::try_from(text);
    for good in ["a", "example.com/log42", "é", "oid/1.2.3", &"x".repeat(MAX_NAME)] {
        assert_eq!(name(good).unwrap().to_string(), good);
    }
    assert_eq!(name(""), Err(KeyNameError::Empty));
    assert_eq!(name(&"x".repeat(MAX_NAME + 1)), Err(KeyNameError::TooLong));
    for bad in ["a b", "a+b", "a\u{a0}b", "a\u{3000}", "\ta", "a\n", "a\u{85}", "a\u{1b}[0m"] {
        assert_eq!(name(bad), Err(KeyNameError::Character), "{bad:?}");
    }
}

#[test]
fn a_signature_has_a_name_an_id_and_bytes() {
    let signature: Signature = LINE.trim_end().parse().unwrap();
    assert_eq!((signature.name().as_str(), signature.id()), ("a", KeyId([0; 4])));
    assert_eq!(signature.bytes(), [1]);
    assert_eq!(signature.to_string(), LINE.trim_end());
    assert_eq!(format!("{signature:?}"), "Signature(a+00000000, 1 bytes)");
    assert!(Signature::new("a".parse().unwrap(), KeyId([0; 4]), Vec::new()).is_none());
    assert_eq!(LINE.parse::<Signature>(), Err(NoteError::SignatureBytes)); // with the newline
}

fn key(text: &str) -> Result<VerifierKey, VerifierKeyError> {
    text.parse()
}

#[test]
fn a_verifier_key_is_written_as_it_was_read() {
    for keys in [log(), witness()] {
        for line in keys.public().to_string().lines() {
            assert_eq!(key(line).unwrap().to_string(), line);
        }
    }
}

/// Of this name, with the id that belongs to it.
fn line(type_byte: u8, public_key: &[u8]) -> String {
    use sha2::Digest;
    let bytes = [&[type_byte], public_key].concat();
    let id = sha2::Sha256::digest([b"a\n".as_slice(), &bytes].concat());
    let id: String = id[..4].iter().map(|byte| format!("{byte:02x}")).collect();
    format!("a+{id}+{}", BASE64.encode(&bytes))
}

#[test]
fn what_is_not_a_verifier_key_is_refused() {
    use VerifierKeyError::*;
    let good = log().public().ed25519().to_string();
    let (name, rest) = good.split_once('+').unwrap();
    let (id, base64) = rest.split_once('+').unwrap();
    assert!(key(&good).is_ok());
    for (text, error) in [
        (String::new(), Parts),
        (format!("{name}+{id}"), Parts),
        (format!("+{id}+{base64}"), Name(KeyNameError::Empty)),
        (format!("a b+{id}+{base64}"), Name(KeyNameError::Character)),
        (format!("{name}+{id}+"), Type),
        (format!("{good}="), Base64),
        (format!("{good} "), Base64),
        (format!("{good}\r"), Base64),
        (good[..good.len() - 1].to_owned(), Base64),
        (line(0x02, &[9; 32]), Type),
        (line(0xff, &[9; 32]), Type),
        (line(0x01, &[9; 31]), Length(SignatureType::Ed25519)),
        (line(0x04, &[9; 33]), Length(SignatureType::CosignatureEd25519)),
        (line(0x06, &[9; 32]), Length(SignatureType::CosignatureMlDsa44)),
        (line(0x06, &[9; 1313]), Length(SignatureType::CosignatureMlDsa44)),
    ] {
        assert_eq!(key(&text), Err(error), "{text}");
    }
    assert!(key(&line(0x06, &[9; 1312])).is_ok());
}

#[test]
fn a_verifier_key_has_its_own_id_in_lower_case() {
    let good = log().public().ml_dsa_44().clone();
    let text = good.to_string();
    let id = good.id().to_string();
    assert_eq!(id.len(), 8);
    let other = witness().public().ml_dsa_44().id().to_string();
    for bad in [id.to_uppercase() + "x", other, id[1..].to_owned(), format!("0{id}"), String::new()]
    {
        let found = key(&text.replacen(&id, &bad, 1));
        let computed = good.id();
        assert_eq!(found, Err(VerifierKeyError::Id { given: bad, computed }));
    }
    let renamed = text.replacen("example.com", "example.org", 1);
    assert!(matches!(key(&renamed), Err(VerifierKeyError::Id { .. })));
}

/// The small-order points and second encodings of C2SP/CCTV, ed25519 (BSD-1-Clause), and values
/// that are no point at all.
#[test]
fn a_weak_or_malformed_ed25519_key_is_refused() {
    let prime = |low: u8| {
        let mut bytes = [0xff; 32];
        (bytes[0], bytes[31]) = (low, 0x7f);
        bytes
    };
    let mut bad = vec![[0; 32], prime(0xec), prime(0xed), prime(0xee), prime(0xff)];
    let mut identity = [0; 32];
    identity[0] = 1;
    bad.push(identity);
    identity[31] = 0x80; // x = 0 with the sign of a negative number
    bad.push(identity);
    for hex in [
        "26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05",
        "c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a",
        "26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc85",
        "0200000000000000000000000000000000000000000000000000000000000000",
    ] {
        bad.push(data_encoding::HEXLOWER.decode(hex.as_bytes()).unwrap().try_into().unwrap());
    }
    for (point, signature_type) in bad.iter().zip([0x01, 0x04].into_iter().cycle()) {
        assert_eq!(key(&line(signature_type, point)), Err(VerifierKeyError::Point), "{point:x?}");
    }
    let name = || "a".parse().unwrap();
    let built = VerifierKey::new(name(), SignatureType::Ed25519, &[0; 32]);
    assert_eq!(built, Err(VerifierKeyError::Point));
}

/// Texts of the characters that notes are made of.
fn notelike() -> impl Strategy<Value = String> {
    let part = prop_oneof![
        Just("\n".to_owned()),
        Just("\n\n".to_owned()),
        Just("\u{2014} ".to_owned()),
        Just(LINE.to_owned()),
        Just("a+00000000+AQ==".to_owned()),
        Just(" ".to_owned()),
        "[A-Za-z0-9+/=.#\r\n ]{0,8}",
        any::<String>(),
    ];
    proptest::collection::vec(part, 0..12).prop_map(|parts| parts.concat())
}

proptest! {
    #[test]
    fn a_note_that_is_read_is_written_back_alike(text in notelike()) {
        if let Ok(note) = parse(&text) {
            prop_assert_eq!(note.to_string(), text);
        }
    }

    #[test]
    fn any_bytes_are_safe_to_parse(bytes in proptest::collection::vec(any::<u8>(), 0..400)) {
        let _ = Note::parse(&bytes);
        let text = String::from_utf8_lossy(&bytes);
        let _ = (text.parse::<VerifierKey>(), text.parse::<Signature>(), text.parse::<KeyName>());
    }

    #[test]
    fn a_key_that_is_read_is_written_back_alike(
        at in 0..80_usize,
        with in "[a-f0-9+/=A-Z]",
        kind in 0..2,
    ) {
        let mut text = line([0x01, 0x04][kind as usize], log().public().ed25519().public_key());
        let at = at % text.len();
        text.replace_range(at..=at, &with);
        if let Ok(key) = key(&text) {
            prop_assert_eq!(key.to_string(), text);
        }
    }

    #[test]
    fn a_signature_of_any_bytes_is_written_and_read(
        id: [u8; 4],
        bytes in proptest::collection::vec(any::<u8>(), 1..100),
    ) {
        let signature = Signature::new("a".parse().unwrap(), KeyId(id), bytes).unwrap();
        prop_assert_eq!(signature.to_string().parse(), Ok(signature));
    }
}
