//! Checkpoints that witnesses have cosigned, and some that look like it.

use std::sync::LazyLock;

use audit_log::Expectation;
use tlog::{PublicKeys, Role, SignedCheckpoint, SigningKeys};

use crate::common::forged::Forged;
use crate::common::keys;
use crate::scene::{Form, SEALED, Scene, after, outcome, row};

static WITNESSES: LazyLock<[SigningKeys; 3]> =
    LazyLock::new(|| ["ada", "ben", "cleo"].map(|name| witness(&format!("example.org/{name}"))));

fn witness(name: &str) -> SigningKeys {
    SigningKeys::generate(name.parse().unwrap(), Role::Witness).unwrap()
}

fn cosign(it: &mut Forged, size: u64, witness: &SigningKeys) {
    let mut signed = SignedCheckpoint::parse(&it.checkpoints[&size]).unwrap();
    witness.cosign(&mut signed, 1_800_000_000).unwrap();
    it.checkpoints.insert(size, signed.to_string().into_bytes());
}

fn public(witnesses: &[&SigningKeys]) -> Vec<PublicKeys> {
    witnesses.iter().map(|witness| witness.public().clone()).collect()
}

/// The outcome for each number of witnesses that must have signed, of the three.
fn by_number(name: &str, scene: &Scene, forge: impl FnOnce(&mut Forged)) -> String {
    let mut forged = scene.forged();
    forge(&mut forged);
    let cases = (0..=3).map(|required| {
        let expectation = Expectation {
            witnesses: public(&WITNESSES.each_ref()),
            witnesses_required: required,
            ..Expectation::default()
        };
        let report = after(Form::Bare, scene, &forged, &expectation);
        assert_eq!(report, after(Form::Bare, scene, &forged, &expectation));
        let sealed = report.sealed.map_or(String::new(), |sealed| format!(" Sealed: {sealed},"));
        let names = report.cosigners.join(" ");
        (format!("{required} of 3"), format!("{}{sealed} by [{names}]", outcome(&report)))
    });
    row(name, &cases.collect::<Vec<_>>())
}

#[test]
fn cosigners_count_when_their_signatures_are_right() {
    let [ada, ben, cleo] = &*WITNESSES;
    let tables = SEALED.each_ref().map(|scene| {
        [
            by_number("nobody", scene, |_| {}),
            by_number("one at the end", scene, |it| cosign(it, 24, ada)),
            by_number("two at the end", scene, |it| {
                cosign(it, 24, ben);
                cosign(it, 24, ada);
            }),
            by_number("all at the end", scene, |it| {
                for witness in [ada, ben, cleo] {
                    cosign(it, 24, witness);
                }
            }),
            by_number("two in the middle, one at the end", scene, |it| {
                cosign(it, 16, ada);
                cosign(it, 16, ben);
                cosign(it, 24, cleo);
            }),
            by_number("somebody unknown", scene, |it| cosign(it, 24, &witness("example.org/eve"))),
            by_number("somebody of a known name, with another key", scene, |it| {
                cosign(it, 24, &witness("example.org/ada"));
            }),
            by_number("a flipped bit in Ed25519", scene, |it| {
                cosign(it, 24, ada);
                it.flip(24, 2);
            }),
            by_number("a flipped bit in ML-DSA-44", scene, |it| {
                cosign(it, 24, ada);
                it.flip(24, 3);
            }),
            by_number("Ed25519 alone", scene, |it| {
                cosign(it, 24, ada);
                let (text, signatures) = it.note(24);
                it.set_note(24, &text, &signatures[..3]);
            }),
            by_number("ML-DSA-44 alone", scene, |it| {
                cosign(it, 24, ada);
                let (text, mut signatures) = it.note(24);
                signatures.remove(2);
                it.set_note(24, &text, &signatures);
            }),
            by_number("a cosignature of another checkpoint", scene, |it| {
                cosign(it, 16, ada);
                let (_, of_16) = it.note(16);
                let (text, mut signatures) = it.note(24);
                signatures.extend_from_slice(&of_16[2..]);
                it.set_note(24, &text, &signatures);
            }),
            by_number("the same cosigner twice", scene, |it| {
                cosign(it, 24, ada);
                let (text, mut signatures) = it.note(24);
                signatures.extend_from_within(2..);
                it.set_note(24, &text, &signatures);
            }),
            by_number("no signature of the trail, but all of the witnesses", scene, |it| {
                for witness in [ada, ben, cleo] {
                    cosign(it, 24, witness);
                }
                let (text, signatures) = it.note(24);
                it.set_note(24, &text, &signatures[2..]);
            }),
        ]
        .concat()
    });
    assert_eq!(tables[0], tables[1]);
    insta::assert_snapshot!(tables[0]);
}

/// `--witness a --witness a` asks one person twice, and the trail would speak for itself.
#[test]
fn one_witness_is_one_and_the_trail_is_none() {
    let [ada, ben, _] = &*WITNESSES;
    let scene = &SEALED[0];
    let mut forged = scene.forged();
    cosign(&mut forged, 24, ada);
    let verdict = |witnesses: &[&SigningKeys], required| {
        let witnesses = public(witnesses);
        let expectation =
            Expectation { witnesses, witnesses_required: required, ..Expectation::default() };
        after(Form::Bare, scene, &forged, &expectation).verdict.exit_code()
    };
    assert_eq!(verdict(&[ada], 1), 0);
    assert_eq!(verdict(&[ada, ada], 2), 17);
    assert_eq!(verdict(&[ada, keys()], 2), 17);
    assert_eq!(verdict(&[keys()], 1), 17);
    assert_eq!(verdict(&[ada, ben], 2), 17);
    assert_eq!(verdict(&[ada], 2), 17);
}

/// The key that the whole trail hangs on has to be that of a trail.
#[test]
fn a_witness_is_no_key_of_a_trail() {
    let [ada, ..] = &*WITNESSES;
    let scene = &SEALED[0];
    let mut forged = scene.forged();
    cosign(&mut forged, 24, ada);
    let expectation = Expectation { key: Some(ada.public().clone()), ..Expectation::default() };
    assert_eq!(after(Form::Bare, scene, &forged, &expectation).verdict.exit_code(), 17);
}
