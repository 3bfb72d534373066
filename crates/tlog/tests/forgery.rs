//! What somebody may try who can change a checkpoint but has no key, or only one.

#![allow(clippy::unwrap_used, reason = "a test that panics has failed")]

mod common;

use std::sync::LazyLock;

use common::{ORIGIN, TIME, checkpoint, keys, log, signed, witness};
use proptest::prelude::*;
use tlog::{
    Checkpoint, CheckpointError, KeyId, PublicKeys, Role, Signature, SignatureError, SignatureType,
    SignedCheckpoint, VerifierKey,
};

const LOG_ED25519: usize = 0;
const LOG_ML_DSA: usize = 1;
const WITNESS_ED25519: usize = 2;
const WITNESS_ML_DSA: usize = 3;

/// A checkpoint with these signatures, as it would come in.
fn with(checkpoint: &Checkpoint, signatures: &[Signature]) -> SignedCheckpoint {
    let lines: String = signatures.iter().map(|signature| format!("{signature}\n")).collect();
    SignedCheckpoint::parse(format!("{}\n{lines}", checkpoint.text()).as_bytes()).unwrap()
}

/// The signature of a line under another name or id.
fn relabelled(signature: &Signature, key: &VerifierKey) -> Signature {
    Signature::new(key.name().clone(), key.id(), signature.bytes().to_vec()).unwrap()
}

fn changed(signature: &Signature, change: impl FnOnce(&mut Vec<u8>)) -> Signature {
    let mut bytes = signature.bytes().to_vec();
    change(&mut bytes);
    Signature::new(signature.name().clone(), signature.id(), bytes).unwrap()
}

fn missing(key: &VerifierKey) -> SignatureError {
    SignatureError::Missing { name: key.name().clone(), algorithm: key.signature_type() }
}

fn wrong(key: &VerifierKey) -> SignatureError {
    SignatureError::Wrong { name: key.name().clone(), algorithm: key.signature_type() }
}

fn duplicate(key: &VerifierKey) -> SignatureError {
    SignatureError::Duplicate { name: key.name().clone(), algorithm: key.signature_type() }
}

#[test]
fn one_signature_of_two_is_not_enough() {
    let all = signed().signatures().to_vec();
    let (log, witness) = (log(), witness());
    let lone = |index: usize| with(&checkpoint(), &all[index..=index]);
    let (log, witness) = (log.public(), witness.public());
    assert_eq!(lone(LOG_ED25519).verify(log), Err(missing(log.ml_dsa_44())));
    assert_eq!(lone(LOG_ML_DSA).verify(log), Err(missing(log.ed25519())));
    assert_eq!(lone(WITNESS_ED25519).verify(log), Err(missing(log.ed25519())));
    assert_eq!(lone(WITNESS_ED25519).cosigned_by(witness), Err(missing(witness.ml_dsa_44())));
    assert_eq!(lone(WITNESS_ML_DSA).cosigned_by(witness), Err(missing(witness.ed25519())));
    assert_eq!(lone(LOG_ED25519).cosigned_by(witness), Ok(None));
    assert_eq!(lone(LOG_ED25519).verify(witness), Err(missing(witness.ed25519())));
}

#[test]
fn signatures_of_another_checkpoint_are_wrong() {
    let others = [
        Checkpoint { size: checkpoint().size + 1, ..checkpoint() },
        Checkpoint { root: [8; 32], ..checkpoint() },
    ];
    for other in others {
        let other = log().sign(other, TIME).unwrap();
        let (ours, theirs) = (signed().signatures().to_vec(), other.signatures().to_vec());
        let keys = log();
        let keys = keys.public();
        let of = |first: &Signature, second: &Signature| {
            with(&checkpoint(), &[first.clone(), second.clone()]).verify(keys)
        };
        assert_eq!(of(&ours[0], &ours[1]), Ok(()));
        assert_eq!(of(&theirs[0], &ours[1]), Err(wrong(keys.ed25519())));
        assert_eq!(of(&ours[0], &theirs[1]), Err(wrong(keys.ml_dsa_44())));
        assert_eq!(of(&theirs[0], &theirs[1]), Err(wrong(keys.ed25519())));
    }
}

/// A log whose checkpoints another log's keys signed is nobody's log.
#[test]
fn a_checkpoint_of_another_origin_is_not_this_logs() {
    let other = Checkpoint { origin: "example.com/other".parse().unwrap(), ..checkpoint() };
    let other = with(&other, signed().signatures());
    let mismatch = SignatureError::OriginMismatch {
        origin: other.checkpoint().origin.clone(),
        name: ORIGIN.parse().unwrap(),
    };
    assert_eq!(other.verify(log().public()), Err(mismatch.clone()));
    assert_eq!(other.cosigned_by(log().public()), Err(mismatch));
    let witness = witness();
    let witness = witness.public();
    assert_eq!(other.cosigned_by(witness), Err(wrong(witness.ed25519())));
}

#[test]
fn swapped_signatures_are_wrong() {
    let all = signed().signatures().to_vec();
    let (log, witness) = (log(), witness());
    let (log, witness) = (log.public(), witness.public());
    // Each label on each other's signature.
    let labels = [log.ed25519(), log.ml_dsa_44(), witness.ed25519(), witness.ml_dsa_44()];
    for (at, label) in labels.iter().enumerate() {
        for from in (0..4).filter(|from| *from != at) {
            let mut swapped = all.clone();
            swapped[at] = relabelled(&all[from], label);
            let swapped = with(&checkpoint(), &swapped);
            let keys = if at < 2 { log } else { witness };
            assert_eq!(swapped.verify(keys), Err(wrong(label)), "{from} as {at}");
        }
    }
    // The order of the lines means nothing.
    let reversed: Vec<_> = all.iter().rev().cloned().collect();
    let reversed = with(&checkpoint(), &reversed);
    assert_eq!((reversed.verify(log), reversed.verify(witness)), (Ok(()), Ok(())));
}

/// An id has four bytes, and a key that collides is quickly found. It then fails, and is no reason to
/// look for another line that might do.
#[test]
fn another_key_of_the_same_name_and_id_is_wrong() {
    let (log, impostor) = (log(), keys(ORIGIN, Role::Log, 77));
    let (keys, fake) = (log.public(), impostor.sign(checkpoint(), TIME).unwrap());
    let fake = fake.signatures();
    let (first, second) =
        (relabelled(&fake[0], keys.ed25519()), relabelled(&fake[1], keys.ml_dsa_44()));
    let real = log.sign(checkpoint(), TIME).unwrap().signatures().to_vec();
    let of = |signatures: &[Signature]| with(&checkpoint(), signatures).verify(keys);
    assert_eq!(of(&[first.clone(), second.clone()]), Err(wrong(keys.ed25519())));
    assert_eq!(of(&[first.clone(), real[1].clone()]), Err(wrong(keys.ed25519())));
    assert_eq!(of(&[real[0].clone(), second.clone()]), Err(wrong(keys.ml_dsa_44())));
    for signatures in [
        [first.clone(), real[0].clone(), real[1].clone()],
        [real[0].clone(), real[1].clone(), first],
    ] {
        assert_eq!(of(&signatures), Err(duplicate(keys.ed25519())));
    }
    let twice = [real[0].clone(), real[1].clone(), second];
    assert_eq!(of(&twice), Err(duplicate(keys.ml_dsa_44())));
    // Without the labels it is an unknown key, and those are ignored.
    let ignored = [fake, &real].concat();
    assert_eq!(of(&ignored), Ok(()));
}

#[test]
fn a_line_that_is_there_twice_is_refused() {
    let all = signed().signatures().to_vec();
    for (at, line) in all.iter().enumerate() {
        let twice = [all.as_slice(), std::slice::from_ref(line)].concat();
        let twice = with(&checkpoint(), &twice);
        let (log, witness) = (log(), witness());
        let (keys, others) = if at < 2 { (log, witness) } else { (witness, log) };
        let keys = keys.public();
        let key = [keys.ed25519(), keys.ml_dsa_44()][at % 2];
        assert_eq!(twice.verify(keys), Err(duplicate(key)));
        assert_eq!(twice.verify(others.public()), Ok(()), "what is unknown is ignored");
    }
}

/// The same seeds and the same name, in the other role: other ids, and another message.
#[test]
fn a_signature_of_the_other_role_does_not_count() {
    let as_log = keys(ORIGIN, Role::Log, 1);
    let as_witness = keys(ORIGIN, Role::Witness, 1);
    let (log, witness) = (as_log.public(), as_witness.public());
    assert_ne!(log.ed25519().id(), witness.ed25519().id());
    assert_eq!(log.ed25519().public_key(), witness.ed25519().public_key());

    let by_log = as_log.sign(checkpoint(), TIME).unwrap();
    assert_eq!(by_log.cosigned_by(witness), Err(missing(witness.ed25519())));
    let all = by_log.signatures();
    let relabelled_line = relabelled(&all[0], witness.ed25519());
    let forged = with(&checkpoint(), &[relabelled_line, all[1].clone()]);
    assert_eq!(forged.cosigned_by(witness), Err(wrong(witness.ed25519())));
    let timed = changed(&relabelled(&all[0], witness.ed25519()), |bytes| {
        bytes.splice(0..0, TIME.to_be_bytes());
    });
    let forged = with(&checkpoint(), &[timed, all[1].clone()]);
    assert_eq!(forged.cosigned_by(witness), Err(wrong(witness.ed25519())));

    let mut by_witness = with(&checkpoint(), &signed().signatures()[2..]);
    as_witness.cosign(&mut by_witness, TIME).unwrap();
    assert_eq!(by_witness.verify(log), Err(missing(log.ed25519())));
    let cosignature = &by_witness.signatures()[2];
    let bare = changed(&relabelled(cosignature, log.ed25519()), |bytes| {
        bytes.drain(..8);
    });
    let forged = with(&checkpoint(), &[bare, by_witness.signatures()[3].clone()]);
    assert_eq!(forged.verify(log), Err(wrong(log.ed25519())));
}

#[test]
fn a_changed_time_is_wrong() {
    let all = signed().signatures().to_vec();
    let (log, witness) = (log(), witness());
    let (log, witness) = (log.public(), witness.public());
    for time in [0, 1, TIME - 1, TIME + 1, u64::MAX] {
        let at = |index: usize| {
            let mut all = all.clone();
            all[index] = changed(&all[index], |bytes| {
                bytes[..8].copy_from_slice(&time.to_be_bytes());
            });
            with(&checkpoint(), &all)
        };
        assert_eq!(at(LOG_ML_DSA).verify(log), Err(wrong(log.ml_dsa_44())));
        assert_eq!(at(WITNESS_ED25519).verify(witness), Err(wrong(witness.ed25519())));
        assert_eq!(at(WITNESS_ML_DSA).verify(witness), Err(wrong(witness.ml_dsa_44())));
    }
}

#[test]
fn two_times_of_one_witness_are_refused() {
    let at = |time| {
        let mut signed = log().sign(checkpoint(), TIME).unwrap();
        witness().cosign(&mut signed, time).unwrap();
        signed.signatures().to_vec()
    };
    let (early, late) = (at(TIME), at(TIME + 1));
    let mixed = with(&checkpoint(), &[early[2].clone(), late[3].clone()]);
    let name = witness().public().name().clone();
    let differ = SignatureError::TimesDiffer { name, ed25519: TIME, ml_dsa_44: TIME + 1 };
    assert_eq!(mixed.cosigned_by(witness().public()), Err(differ));
}

/// Right signatures over a time that states nothing; only the holder of the key could make them, so
/// they are made here by hand.
#[test]
fn a_signed_time_of_zero_or_beyond_the_limit_is_refused() {
    use ed25519_dalek::Signer;
    let witness = witness();
    let key = witness.public().ed25519();
    let secret = ed25519_dalek::SigningKey::from_bytes(&[3; 32]);
    assert_eq!(secret.verifying_key().as_bytes().as_slice(), key.public_key());
    for time in [0, 1 << 63, u64::MAX] {
        let message = tlog::cosignature::message(key, &checkpoint(), time);
        let signature = secret.sign(&message).to_bytes();
        let bytes = [time.to_be_bytes().as_slice(), &signature].concat();
        let line = Signature::new(key.name().clone(), key.id(), bytes).unwrap();
        let forged = with(&checkpoint(), &[line, signed().signatures()[WITNESS_ML_DSA].clone()]);
        let (name, algorithm) = (key.name().clone(), SignatureType::CosignatureEd25519);
        let refused = SignatureError::Time { name, algorithm, time };
        assert_eq!(forged.cosigned_by(witness.public()), Err(refused));
    }
}

#[test]
fn a_signature_of_another_length_is_wrong() {
    let all = signed().signatures().to_vec();
    let (log, witness) = (log(), witness());
    let keys = [log.public(), log.public(), witness.public(), witness.public()];
    for (at, keys) in keys.into_iter().enumerate() {
        let key = [keys.ed25519(), keys.ml_dsa_44()][at % 2];
        for length in [1, 7, 8, 9, 64, 72, 2420, all[at].bytes().len() - 1] {
            let mut cut = all.clone();
            cut[at] = changed(&all[at], |bytes| bytes.resize(length, 0));
            if cut != all {
                assert_eq!(with(&checkpoint(), &cut).verify(keys), Err(wrong(key)), "{length}");
            }
        }
        let mut longer = all.clone();
        longer[at] = changed(&all[at], |bytes| bytes.push(0));
        assert_eq!(with(&checkpoint(), &longer).verify(keys), Err(wrong(key)));
    }
}

/// ML-DSA-44 doesn't sign them, so anyone could write one; they never get as far.
#[test]
fn an_extension_line_is_refused() {
    let text = signed().to_string();
    let more = text.replacen("\n\n", "\nmore\n\n", 1);
    let refused = SignedCheckpoint::parse(more.as_bytes());
    assert_eq!(refused, Err(CheckpointError::Extension));
}

/// Adding the group order to the second half of an Ed25519 signature gave a second one, once.
#[test]
fn an_ed25519_signature_has_one_form() {
    const ORDER: [u8; 32] = [
        0xed, 0xd3, 0xf5, 0x5c, 0x1a, 0x63, 0x12, 0x58, 0xd6, 0x9c, 0xf7, 0xa2, 0xde, 0xf9, 0xde,
        0x14, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0x10,
    ];
    let mut all = signed().signatures().to_vec();
    all[LOG_ED25519] = changed(&all[LOG_ED25519], |bytes| {
        let mut carry = 0;
        for (byte, order) in bytes[32..].iter_mut().zip(ORDER) {
            let sum = u16::from(*byte) + u16::from(order) + carry;
            (*byte, carry) = (sum as u8, sum >> 8);
        }
    });
    let keys = log();
    let found = with(&checkpoint(), &all).verify(keys.public());
    assert_eq!(found, Err(wrong(keys.public().ed25519())));
}

/// With the identity for its first half, a signature binds the key to no nonce: what RFC 8032 alone
/// would accept of the holder of the key. Computed from the seed of the test by the definition.
#[test]
fn an_ed25519_signature_with_a_point_of_small_order_is_wrong() {
    let mut forged = [0; 64];
    forged[0] = 1;
    let second = "a3704d3f8ad5bde29239cc49bc4138aa39d79b9d592a16f9cd22f59abeaa1204";
    forged[32..].copy_from_slice(&data_encoding::HEXLOWER.decode(second.as_bytes()).unwrap());
    let keys = log();
    let key = keys.public().ed25519();
    let lenient =
        ed25519_dalek::VerifyingKey::from_bytes(key.public_key().try_into().unwrap()).unwrap();
    let signature = ed25519_dalek::Signature::from_bytes(&forged);
    let text = checkpoint().text();
    assert!(ed25519_dalek::Verifier::verify(&lenient, text.as_bytes(), &signature).is_ok());
    let mut all = signed().signatures().to_vec();
    all[LOG_ED25519] = changed(&all[LOG_ED25519], |bytes| *bytes = forged.to_vec());
    assert_eq!(with(&checkpoint(), &all).verify(keys.public()), Err(wrong(key)));
}

#[test]
fn an_id_alone_or_a_name_alone_is_another_key() {
    let all = signed().signatures().to_vec();
    let other = "example.com/else".parse::<tlog::KeyName>().unwrap();
    let of = |signature: &Signature, name: &tlog::KeyName, id| {
        Signature::new(name.clone(), id, signature.bytes().to_vec()).unwrap()
    };
    let keys = log();
    let keys = keys.public();
    let renamed = of(&all[0], &other, all[0].id());
    let found = with(&checkpoint(), &[renamed, all[1].clone()]).verify(keys);
    assert_eq!(found, Err(missing(keys.ed25519())));
    let renumbered = of(&all[1], all[1].name(), KeyId([0; 4]));
    let found = with(&checkpoint(), &[all[0].clone(), renumbered]).verify(keys);
    assert_eq!(found, Err(missing(keys.ml_dsa_44())));
}

/// A signed checkpoint as bytes, and the keys of who signed it.
static SIGNED: LazyLock<(Vec<u8>, PublicKeys, PublicKeys)> = LazyLock::new(|| {
    let (log, witness) = (log().public().clone(), witness().public().clone());
    (signed().to_string().into_bytes(), log, witness)
});

#[test]
fn no_bit_of_the_text_can_be_flipped() {
    let (good, log, witness) = &*SIGNED;
    let mut read = 0;
    for bit in 0..checkpoint().text().len() * 8 {
        let mut bytes = good.clone();
        bytes[bit / 8] ^= 1 << (bit % 8);
        if let Ok(changed) = SignedCheckpoint::parse(&bytes) {
            assert!(changed.verify(log).is_err(), "bit {bit}");
            assert!(changed.verify(witness).is_err(), "bit {bit}");
            read += 1;
        }
    }
    assert!(read > 100, "most of the changed ones are still checkpoints: {read}");
}

proptest! {
    /// Wherever it is, and whatever it becomes: two signers vouch for the bytes as they were only.
    #[test]
    fn one_changed_byte_makes_no_other_checkpoint(at: usize, with in b'+'..=b'z') {
        let (good, log, witness) = &*SIGNED;
        let mut bytes = good.clone();
        let at = at % bytes.len();
        bytes[at] = with;
        if let Ok(changed) = SignedCheckpoint::parse(&bytes) {
            prop_assert_eq!(changed.to_string().into_bytes(), bytes.clone());
            let both = changed.verify(log).is_ok() && changed.verify(witness).is_ok();
            prop_assert_eq!(both, &bytes == good);
        }
    }
}
