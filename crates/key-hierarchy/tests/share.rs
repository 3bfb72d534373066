//! Recovery shares: which are accepted, what each refusal is, and what too few of them give.

#![allow(clippy::unwrap_used, reason = "a test that panics has failed")]

use std::collections::BTreeSet;

use key_hierarchy::kdf::{KdfParameters, WorkingMemory};
use key_hierarchy::parameters::ShareParameters;
use key_hierarchy::share::{
    LOCKED_BYTES, Lock, PLAIN_BYTES, Part, Share, ShareError, Split, SplitError,
};
use key_hierarchy::{
    Binding, Derivation, Enrolment, FactorError, FactorSecret, Metadata, Parameters, hex,
};
use secret_memory::Secret;
use site_config::{AuthMode, FactorKinds, UnlockPolicy};
use uuid::Uuid;

const DERIVATIONS: [Derivation; 2] = [Derivation::Blake3, Derivation::HkdfSha256];
const DERIVATION: Derivation = DERIVATIONS[0];
/// Bytes before the part: lock, installation, split, number, threshold.
const HEADER_BYTES: usize = 15;

fn installation() -> Uuid {
    Uuid::from_u128(0x0123_4567_89ab_cdef_0123_4567_89ab_cdef)
}

fn split(threshold: u8, shares: u8) -> Split {
    Split::new(&installation(), DERIVATION, threshold, shares).unwrap()
}

/// What its custodian gets.
fn written(split: &Split, number: u8, lock: Lock, passphrase: &[u8]) -> Vec<u8> {
    let header = split.parameters.header(number, lock);
    let part = &split.parts[usize::from(number) - 1];
    part.write(header, passphrase, &mut WorkingMemory::new()).unwrap().expose().to_vec()
}

fn accept(
    parameters: &ShareParameters,
    share: &[u8],
    passphrase: Option<&[u8]>,
) -> Result<Part, ShareError> {
    let share = Share::parse(share)?;
    parameters.accept(DERIVATION, &share, passphrase, &mut WorkingMemory::new())
}

/// The parts of these shares, accepted, with their numbers.
fn accepted(split: &Split, numbers: &[u8]) -> Vec<(u8, Part)> {
    let accept = |number: &u8| {
        let share = written(split, *number, Lock::None, b"");
        (*number, accept(&split.parameters, &share, None).unwrap())
    };
    numbers.iter().map(accept).collect()
}

fn combined(split: &Split, parts: &[(u8, Part)]) -> Option<Secret<32>> {
    let parts: Vec<(u8, &Part)> = parts.iter().map(|(number, part)| (*number, part)).collect();
    split.parameters.combine(&parts)
}

/// A profile that opens with this recovery secret alone.
fn profile(split: &Split, derivation: Derivation) -> Metadata {
    let binding = Binding { installation: installation(), profile: "default".to_owned() };
    let any = UnlockPolicy::new(AuthMode::Any, FactorKinds::EMPTY, 0).unwrap();
    let mut enrolment = Enrolment::new(binding, derivation, any);
    let parameters = Parameters::Share(split.parameters.clone());
    let secret = secret(&parameters, derivation, split.recovery.expose());
    enrolment.add("recovery".try_into().unwrap(), false, parameters, &secret).unwrap();
    Metadata::seal(enrolment, &key_hierarchy::MasterKey::generate().unwrap()).unwrap()
}

fn secret(parameters: &Parameters, derivation: Derivation, evidence: &[u8]) -> FactorSecret {
    FactorSecret::new(parameters, derivation, evidence, &mut WorkingMemory::new()).unwrap()
}

/// Every choice of so many of the numbers up to `most`.
fn choices(most: u8, count: usize) -> Vec<Vec<u8>> {
    let all = (0..1_u32 << most).map(|bits| (1..=most).filter(move |n| bits >> (n - 1) & 1 == 1));
    all.map(Vec::from_iter).filter(|choice| choice.len() == count).collect()
}

#[test]
fn every_choice_of_enough_shares_gives_the_recovery_secret_and_opens_the_profile() {
    for derivation in DERIVATIONS {
        for (threshold, shares) in [(1, 1), (1, 3), (2, 3), (3, 5), (4, 4)] {
            let split = Split::new(&installation(), derivation, threshold, shares).unwrap();
            let metadata = profile(&split, derivation);
            let parameters = &metadata.enrolment().factors()[0].parameters;
            for choice in choices(shares, threshold.into()) {
                let accept = |number: &u8| {
                    let share = written(&split, *number, Lock::None, b"");
                    let share = Share::parse(&share).unwrap();
                    let mut memory = WorkingMemory::new();
                    let part = split.parameters.accept(derivation, &share, None, &mut memory);
                    (*number, part.unwrap())
                };
                let parts: Vec<(u8, Part)> = choice.iter().map(accept).collect();
                let recovery = combined(&split, &parts).unwrap();
                assert_eq!(recovery.expose(), split.recovery.expose(), "{choice:?}");
                let secret = secret(parameters, derivation, recovery.expose());
                let piece = metadata.piece(1, &secret).unwrap().unwrap();
                assert!(metadata.open(&[(1, piece)].into()).is_ok());
            }
        }
    }
}

#[test]
fn fewer_shares_give_nothing_and_more_are_not_put_together() {
    let split = split(3, 5);
    for count in [0, 1, 2, 4, 5] {
        for choice in choices(5, count) {
            assert!(combined(&split, &accepted(&split, &choice)).is_none(), "{choice:?}");
        }
    }
}

/// Fewer shares under a header and parameters that say that they are enough: another secret comes out,
/// and the factor tells it.
#[test]
fn a_lower_threshold_makes_fewer_shares_give_a_wrong_secret() {
    let split = split(3, 5);
    let metadata = profile(&split, DERIVATION);
    let parameters = metadata.enrolment().factors()[0].parameters.clone();
    for threshold in [1, 2] {
        let lowered = ShareParameters { threshold, ..split.parameters.clone() };
        for choice in choices(5, threshold.into()) {
            let parts: Vec<(u8, Part)> = choice
                .iter()
                .map(|number| {
                    let mut share = written(&split, *number, Lock::None, b"");
                    share[HEADER_BYTES - 1] = threshold;
                    (*number, accept(&lowered, &share, None).unwrap())
                })
                .collect();
            let parts: Vec<(u8, &Part)> = parts.iter().map(|(n, part)| (*n, part)).collect();
            let wrong = lowered.combine(&parts).unwrap();
            assert_ne!(wrong.expose(), split.recovery.expose());
            let secret = secret(&parameters, DERIVATION, wrong.expose());
            assert!(matches!(metadata.piece(1, &secret), Err(FactorError::Wrong)));
        }
    }
}

#[test]
fn two_shares_of_one_number_count_once() {
    let split = split(2, 3);
    let twice = accepted(&split, &[2, 2]);
    assert!(combined(&split, &twice).is_none());
    let thrice = accepted(&split, &[1, 2, 2]);
    assert!(combined(&split, &thrice).is_none());
}

#[test]
fn every_changed_byte_of_a_share_is_told_for_what_it_is() {
    let split = split(2, 3);
    let share = written(&split, 2, Lock::None, b"");
    assert_eq!(share.len(), PLAIN_BYTES);
    for place in 0..share.len() {
        for change in [1, 0x80, 0xff] {
            let mut changed = share.clone();
            changed[place] ^= change;
            let error = accept(&split.parameters, &changed, None).map(drop).unwrap_err();
            let number = changed[13];
            let right = match (place, &error) {
                // Another lock has another length, or there is none such.
                (0, ShareError::Malformed) => true,
                (1..5, ShareError::OtherInstallation { number: n })
                | (5..13, ShareError::OtherSplit { number: n })
                | (13.., ShareError::Damaged { number: n }) => *n == number,
                _ => false,
            };
            assert!(right, "byte {place}: {error}");
        }
    }
}

#[test]
fn a_changed_byte_of_a_locked_share_is_told() {
    let split = split(2, 3);
    let share = written(&split, 2, Lock::Argon2id, b"passphrase");
    assert_eq!(share.len(), LOCKED_BYTES);
    // Each byte of the header, and some of what the passphrase opens: that takes its time.
    for place in (0..HEADER_BYTES).chain((HEADER_BYTES..LOCKED_BYTES).step_by(6)) {
        let mut changed = share.clone();
        changed[place] ^= 0x80;
        let error = accept(&split.parameters, &changed, Some(b"passphrase")).map(drop).unwrap_err();
        let right = match place {
            0 => matches!(error, ShareError::Malformed),
            1..5 => matches!(error, ShareError::OtherInstallation { .. }),
            5..13 => matches!(error, ShareError::OtherSplit { .. }),
            // The number, beyond all shares; and the threshold.
            13 | 14 => matches!(error, ShareError::Damaged { .. }),
            // As far as anybody can tell.
            _ => matches!(error, ShareError::WrongPassphrase { number: 2 }),
        };
        assert!(right, "byte {place}: {error}");
    }
    // The number of a share that there is: the passphrase opens nothing then.
    for (place, value) in [(13, 1), (13, 3), (0, 2)] {
        let mut changed = share.clone();
        changed[place] = value;
        let error = accept(&split.parameters, &changed, Some(b"passphrase")).map(drop);
        assert!(matches!(error, Err(ShareError::WrongPassphrase { .. })), "{place}");
    }
}

#[test]
fn a_part_under_another_number_is_damaged() {
    let split = split(2, 3);
    for (number, other) in [(1, 2), (2, 3), (3, 1), (1, 0), (1, 4), (1, 255)] {
        let mut share = written(&split, number, Lock::None, b"");
        share[13] = other;
        let error = accept(&split.parameters, &share, None).map(drop).unwrap_err();
        assert!(matches!(error, ShareError::Damaged { number: n } if n == other), "{error}");
    }
}

#[test]
fn shares_of_elsewhere_say_so() {
    let here = split(2, 3);
    let error = |other: &Split| {
        let share = written(other, 1, Lock::None, b"");
        accept(&here.parameters, &share, None).map(drop).unwrap_err()
    };
    assert!(matches!(error(&split(2, 3)), ShareError::OtherSplit { number: 1 }));
    let elsewhere = Split::new(&Uuid::from_u128(8), DERIVATION, 2, 3).unwrap();
    assert!(matches!(error(&elsewhere), ShareError::OtherInstallation { number: 1 }));
    // Its header forged to be of this split: the check value tells.
    let mut forged = written(&elsewhere, 1, Lock::None, b"");
    forged[..HEADER_BYTES].copy_from_slice(&written(&here, 1, Lock::None, b"")[..HEADER_BYTES]);
    let error = accept(&here.parameters, &forged, None).map(drop);
    assert!(matches!(error, Err(ShareError::Damaged { number: 1 })));
}

#[test]
fn a_locked_share_opens_with_its_passphrase_only() {
    let split = split(2, 3);
    for lock in [Lock::Argon2id, Lock::Pbkdf2Sha256] {
        let share = written(&split, 3, lock, b"correct horse");
        let accept = |passphrase| accept(&split.parameters, &share, passphrase);
        let error = accept(None).map(drop).unwrap_err();
        assert!(matches!(error, ShareError::PassphraseNeeded { number: 3 }), "{lock:?}: {error}");
        let error = accept(Some(b"correct horsf")).map(drop).unwrap_err();
        assert!(matches!(error, ShareError::WrongPassphrase { number: 3 }), "{lock:?}: {error}");
        let other = accepted(&split, &[1]);
        let part = accept(Some(b"correct horse")).unwrap();
        let parts = [(1, &other[0].1), (3, &part)];
        let recovery = split.parameters.combine(&parts).unwrap();
        assert_eq!(recovery.expose(), split.recovery.expose());
        // The part is not on the paper.
        let plain = written(&split, 3, Lock::None, b"");
        assert!(
            !share.windows(8).any(|some| plain[HEADER_BYTES..].windows(8).any(|it| it == some))
        );
    }
}

/// One passphrase for all locks each share under another key, since the salt derives from the header.
#[test]
fn the_locks_of_one_passphrase_have_different_keys() {
    let split = split(1, 2);
    let shares = [1, 2].map(|number| written(&split, number, Lock::Argon2id, b"the same"));
    // A threshold of 1 makes both parts the same, so that equal keys would show.
    let [one, other] = &shares;
    assert_ne!(one[HEADER_BYTES..][..32], other[HEADER_BYTES..][..32]);
}

#[test]
fn no_two_splits_have_anything_in_common() {
    let [one, other] = [split(2, 3), split(2, 3)];
    assert_ne!(one.recovery.expose(), other.recovery.expose());
    assert_ne!(one.parameters.split, other.parameters.split);
    assert!(one.parameters.checks.iter().all(|check| !other.parameters.checks.contains(check)));
    for number in 1..=3 {
        let part = |split| written(split, number, Lock::None, b"").split_off(HEADER_BYTES);
        assert_ne!(part(&one), part(&other));
        assert_ne!(part(&one), one.recovery.expose());
    }
}

/// Without its passphrase a share is written as one that is not locked: it is the lock that decides.
#[test]
fn an_unlocked_share_takes_no_notice_of_a_passphrase() {
    let split = split(1, 1);
    let share = written(&split, 1, Lock::None, b"ignored");
    assert!(accept(&split.parameters, &share, Some(b"anything")).is_ok());
}

#[test]
fn shares_of_another_length_are_none() {
    let split = split(2, 3);
    for lock in [Lock::None, Lock::Argon2id, Lock::Pbkdf2Sha256] {
        let share = written(&split, 1, lock, b"p");
        for length in (0..share.len()).chain([share.len() + 1, share.len() + 16, 4096]) {
            let mut cut = share.clone();
            cut.resize(length, 0);
            assert!(matches!(Share::parse(&cut), Err(ShareError::Malformed)), "{lock:?} {length}");
        }
        assert!(Share::parse(&share).is_ok());
    }
    let mut unknown = written(&split, 1, Lock::None, b"");
    for lock in 3..=255 {
        unknown[0] = lock;
        assert!(matches!(Share::parse(&unknown), Err(ShareError::Malformed)), "{lock}");
    }
}

#[test]
fn impossible_splits_are_refused() {
    for (threshold, shares) in [(0, 3), (4, 3), (1, 0), (2, 33), (33, 33)] {
        let split = Split::new(&installation(), DERIVATION, threshold, shares);
        assert!(matches!(split, Err(SplitError::Threshold(_))), "{threshold} of {shares}");
    }
    assert!(Split::new(&installation(), DERIVATION, 32, 32).is_ok());
}

/// A part is 32 random bytes, even of a secret that was not random: who guesses it by its check value
/// guesses a 256-bit key. The check value is half of a key that derives from it, and that for this split
/// and number only; it is no part, of no other use, and equal for no two shares.
#[test]
fn the_stored_check_values_are_of_no_use_without_the_parts() {
    for derivation in DERIVATIONS {
        // With a threshold of 1 all parts are the same, and their check values are not.
        for (threshold, shares) in [(1, 5), (3, 5)] {
            let split = Split::new(&installation(), derivation, threshold, shares).unwrap();
            let checks = &split.parameters.checks;
            let distinct: BTreeSet<[u8; 16]> = checks.iter().map(|check| check.0).collect();
            assert_eq!(distinct.len(), 5);
            let stored = serde_json::to_string(&split.parameters).unwrap();
            for (number, check) in (1..).zip(checks) {
                let share = written(&split, number, Lock::None, b"");
                let part = &share[HEADER_BYTES..];
                for some in part.windows(4).chain(split.recovery.expose().windows(4)) {
                    assert!(!stored.contains(&hex::encode(some)), "it is stored");
                }
                let material = [part, &split.parameters.split, &[number]].concat();
                let derived = derivation.derive("pds v2 share-check", &material);
                assert_eq!(derived.expose()[..16], check.0);
                // Not what anything else derives from the same bytes.
                for context in ["pds v2 factor-check", "pds v2 factor-private-key"] {
                    assert_ne!(derivation.derive(context, &material).expose()[..16], check.0);
                }
            }
        }
    }
}

#[test]
fn the_costs_of_a_lock_are_those_that_its_number_stands_for() {
    let split = split(1, 1);
    for (lock, number) in [(Lock::None, 0), (Lock::Argon2id, 1), (Lock::Pbkdf2Sha256, 2)] {
        let share = written(&split, 1, lock, b"p");
        assert_eq!(share[0], number);
        let header = &share[..HEADER_BYTES];
        let derived = Derivation::Blake3.derive("pds v2 share-salt", header);
        let salt = *derived.expose().first_chunk().unwrap();
        let kdf = match lock {
            Lock::None => continue,
            Lock::Argon2id => {
                KdfParameters::Argon2id { memory_kib: 19456, iterations: 2, parallelism: 1, salt }
            }
            Lock::Pbkdf2Sha256 => KdfParameters::Pbkdf2Sha256 { iterations: 600_000, salt },
        };
        let key = kdf.stretch(b"p", &mut WorkingMemory::new()).unwrap();
        let once = key_hierarchy::wrap::WrappedOnce {
            ciphertext: share[HEADER_BYTES..][..32].try_into().unwrap(),
            tag: share[HEADER_BYTES + 32..].try_into().unwrap(),
        };
        let part = key_hierarchy::wrap::unwrap_once(&key, once, header).unwrap();
        assert_eq!(part.expose(), split.recovery.expose());
    }
}
