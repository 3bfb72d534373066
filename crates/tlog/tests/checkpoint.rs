//! Checkpoints: how they are spelt, signed and verified.

#![allow(clippy::unwrap_used, reason = "a test that panics has failed")]

mod common;

use common::{ORIGIN, TIME, checkpoint, log, signed, witness};
use proptest::prelude::*;
use tlog::cosignature::{MAX_TIME, message};
use tlog::{
    AddError, Checkpoint, CheckpointError, KeyNameError, NoteError, Role, SignError,
    SignedCheckpoint,
};

fn parse(text: &str) -> Result<SignedCheckpoint, CheckpointError> {
    SignedCheckpoint::parse(text.as_bytes())
}

#[test]
fn the_format_is_fixed() {
    insta::assert_snapshot!(signed());
}

#[test]
fn what_is_signed_is_fixed() {
    let (log, witness) = (log(), witness());
    let keys = [log.public(), witness.public()];
    let keys = keys.map(|keys| [keys.ed25519(), keys.ml_dsa_44()]);
    let messages = keys.concat().into_iter().map(|key| message(key, &checkpoint(), TIME));
    let lines: Vec<_> = messages.map(|message| message.escape_ascii().to_string()).collect();
    insta::assert_snapshot!(lines.join("\n"));
}

#[test]
fn a_checkpoint_is_written_as_it_was_read() {
    let text = signed().to_string();
    assert_eq!(parse(&text).unwrap(), signed());
    assert_eq!(parse(&text).unwrap().to_string(), text);
    let bare = checkpoint().text();
    assert_eq!(bare.parse::<Checkpoint>(), Ok(checkpoint()));
}

#[test]
fn what_is_not_a_checkpoint_is_refused() {
    use CheckpointError::*;
    const ROOT: &str = "BwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwc=";
    for (text, error) in [
        (String::new(), Lines),
        (format!("{ORIGIN}\n1234\n"), Lines),
        (format!("{ORIGIN}\n1234\n{ROOT}"), Lines),
        (format!("{ORIGIN}\n1234\n{ROOT}\nmore\n"), Extension),
        (format!("{ORIGIN}\n1234\n{ROOT}\nmore\nand more\n"), Extension),
        (format!("{ORIGIN}\n1234\n{ROOT}\n\n"), Extension),
        (format!("\n1234\n{ROOT}\n"), Origin(KeyNameError::Empty)),
        (format!("a b\n1234\n{ROOT}\n"), Origin(KeyNameError::Character)),
        (format!("a+b\n1234\n{ROOT}\n"), Origin(KeyNameError::Character)),
        (format!("{}\n1\n{ROOT}\n", "x".repeat(256)), Origin(KeyNameError::TooLong)),
        (format!("{ORIGIN}\n\n{ROOT}\n"), Size),
        (format!("{ORIGIN}\n01234\n{ROOT}\n"), Size),
        (format!("{ORIGIN}\n+1234\n{ROOT}\n"), Size),
        (format!("{ORIGIN}\n-1\n{ROOT}\n"), Size),
        (format!("{ORIGIN}\n 1234\n{ROOT}\n"), Size),
        (format!("{ORIGIN}\n1234 \n{ROOT}\n"), Size),
        (format!("{ORIGIN}\n0x4d2\n{ROOT}\n"), Size),
        (format!("{ORIGIN}\n18446744073709551616\n{ROOT}\n"), Size),
        (format!("{ORIGIN}\n1234\n\n"), Root),
        (format!("{ORIGIN}\n1234\nBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBw==\n"), Root), // 31
        (format!("{ORIGIN}\n1234\nBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcH\n"), Root), // 33
        (format!("{ORIGIN}\n1234\nBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwd=\n"), Root), // stray
        (format!("{ORIGIN}\n1234\n{}\n", &ROOT[..43]), Root),
    ] {
        assert_eq!(text.parse::<Checkpoint>(), Err(error), "{text:?}");
        if !text.contains("\n\n") && text.ends_with('\n') {
            let note = format!("{text}\n\u{2014} a AAAAAAE=\n");
            assert_eq!(parse(&note), Err(error), "{text:?}");
        }
    }
    let size = format!("{ORIGIN}\n18446744073709551615\n{ROOT}\n").parse::<Checkpoint>();
    assert_eq!(size.unwrap().size, u64::MAX);
    let text = signed().to_string();
    let crlf = text.replace('\n', "\r\n");
    assert_eq!(parse(&crlf), Err(Note(NoteError::ControlCharacter)));
    assert_eq!(parse(&checkpoint().text()), Err(Note(NoteError::NoEmptyLine)));
}

#[test]
fn a_role_signs_only_as_itself() {
    let (log, witness) = (log(), witness());
    let name = |keys: &tlog::SigningKeys| keys.public().name().clone();
    let refused = SignError::Role { name: name(&witness), wanted: Role::Log };
    assert_eq!(witness.sign(checkpoint(), TIME), Err(refused));
    let mut signed = signed();
    let before = signed.clone();
    let refused = SignError::Role { name: name(&log), wanted: Role::Witness };
    assert_eq!(log.cosign(&mut signed, TIME), Err(refused));
    assert_eq!(signed, before);
}

#[test]
fn a_log_signs_only_its_own_checkpoints() {
    let other = Checkpoint { origin: "example.com/other".parse().unwrap(), ..checkpoint() };
    let (origin, name) = (other.origin.clone(), log().public().name().clone());
    assert_eq!(log().sign(other, TIME), Err(SignError::Origin { origin, name }));
}

#[test]
fn nobody_signs_at_no_time() {
    let mut signed = signed();
    for time in [0, MAX_TIME + 1, u64::MAX] {
        assert_eq!(log().sign(checkpoint(), time), Err(SignError::Time(time)));
        assert_eq!(witness().cosign(&mut signed, time), Err(SignError::Time(time)));
    }
    assert!(log().sign(checkpoint(), MAX_TIME).unwrap().verify(log().public()).is_ok());
}

#[test]
fn a_witness_signs_once() {
    let mut signed = signed();
    let before = signed.clone();
    let key = witness().public().ed25519().clone();
    let twice = AddError::Duplicate { name: key.name().clone(), id: key.id() };
    assert_eq!(witness().cosign(&mut signed, TIME + 9), Err(SignError::Add(twice)));
    assert_eq!(signed, before);
}

#[test]
fn both_signers_are_found_and_the_time_is_that_of_signing() {
    let signed = signed();
    assert_eq!(signed.verify(log().public()), Ok(()));
    assert_eq!(signed.verify(witness().public()), Ok(()));
    assert_eq!(signed.cosigned_by(witness().public()), Ok(Some(TIME + 5)));
    assert_eq!(signed.cosigned_by(log().public()), Ok(Some(TIME)));
    let alone = log().sign(checkpoint(), TIME).unwrap();
    assert_eq!(alone.cosigned_by(witness().public()), Ok(None));
}

#[test]
fn signatures_are_added_all_or_none() {
    let mut alone = log().sign(checkpoint(), TIME).unwrap();
    let all = signed().signatures().to_vec();
    let before = alone.clone();
    let first = all[0].clone();
    let twice = AddError::Duplicate { name: first.name().clone(), id: first.id() };
    let order = vec![all[2].clone(), first];
    assert_eq!(alone.add_signatures(order), Err(twice));
    assert_eq!(alone, before);
    assert!(alone.add_signatures(vec![all[2].clone(), all[2].clone()]).is_err());
    assert_eq!(alone, before);
    alone.add_signatures(all[2..].to_vec()).unwrap();
    assert_eq!(alone, signed());
}

#[test]
fn a_checkpoint_never_outgrows_what_is_read() {
    let of = |n: u32, size| {
        let name = format!("n{n}").parse().unwrap();
        tlog::Signature::new(name, tlog::KeyId([0; 4]), vec![1; size]).unwrap()
    };
    let mut signed = log().sign(checkpoint(), TIME).unwrap();
    signed.add_signatures((0..62).map(|n| of(n, 1)).collect()).unwrap();
    assert_eq!(signed.add_signatures(vec![of(62, 1)]), Err(AddError::TooLarge));
    assert!(parse(&signed.to_string()).is_ok());
    let mut signed = log().sign(checkpoint(), TIME).unwrap();
    assert_eq!(signed.add_signatures(vec![of(0, 256 << 10)]), Err(AddError::TooLarge));
    signed.add_signatures(vec![of(0, 180 << 10)]).unwrap();
    assert!(parse(&signed.to_string()).is_ok());
}

proptest! {
    #[test]
    fn any_checkpoint_is_read_as_it_was_written(
        origin in "[^\\s+\\p{Cc}]{1,60}",
        size: u64,
        root: [u8; 32],
    ) {
        let checkpoint = Checkpoint { origin: origin.parse().unwrap(), size, root };
        prop_assert_eq!(checkpoint.text().parse(), Ok(checkpoint));
    }

    #[test]
    fn any_bytes_are_safe_to_parse(bytes in proptest::collection::vec(any::<u8>(), 0..400)) {
        let _ = SignedCheckpoint::parse(&bytes);
    }

    #[test]
    fn any_text_above_a_signature_is_read_as_it_was_written(
        lines in proptest::collection::vec("[a-z0-9+=/ ]{0,44}", 0..6),
    ) {
        let text = format!("{}\n\n\u{2014} a AAAAAAE=\n", lines.join("\n"));
        if let Ok(signed) = parse(&text) {
            prop_assert_eq!(signed.to_string(), text);
        }
    }
}
