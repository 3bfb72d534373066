//! What an enrolment can be, what a file can be, and what each refusal is.

#![allow(clippy::unwrap_used, reason = "a test that panics has failed")]

mod common;

use key_hierarchy::enrolment::MAX_FACTORS;
use key_hierarchy::factor::{InvalidLabel, MAX_LABEL_BYTES};
use key_hierarchy::metadata::MAX_FILE_BYTES;
use key_hierarchy::policy_tree::Unsatisfiable;
use key_hierarchy::{
    Binding, EnrolmentError, FactorError, Label, MasterKey, Metadata, MetadataError, OpenError,
    Pieces,
};
use site_config::{AuthMode, FactorKind};
use uuid::Uuid;

use common::{DERIVATIONS, Plan, binding, parameters, piece, pieces, policy, secret, simple};

fn plan(policy: site_config::UnlockPolicy, kinds: &[FactorKind]) -> Plan {
    let factors = kinds.iter().map(|kind| (*kind, false)).collect();
    Plan { derivation: DERIVATIONS[0], policy, factors }
}

fn label(text: &str) -> Label {
    text.try_into().unwrap()
}

#[test]
fn what_was_sealed_reads_back_and_opens() {
    for derivation in DERIVATIONS {
        let plan = plan(simple(AuthMode::All), FactorKind::ALL);
        let scene = Plan { derivation, ..plan }.set();
        let read = Metadata::parse(&scene.file(), &binding()).unwrap();
        assert_eq!(read, scene.metadata);
        assert_eq!(Metadata::parse_any(&scene.file()).unwrap(), scene.metadata);
        let opened = common::unlock(&read, &scene.evidence).unwrap();
        assert_eq!(common::vault_key(&opened, derivation), scene.vault_key());
    }
}

#[test]
fn a_wrong_answer_is_told_from_an_edited_file() {
    let scene = plan(simple(AuthMode::All), FactorKind::ALL).set();
    for (id, answer) in &scene.evidence {
        let mut wrong = answer.clone();
        wrong[0] ^= 1;
        assert!(matches!(piece(&scene.metadata, *id, &wrong), Err(FactorError::Wrong)));
        assert!(matches!(piece(&scene.metadata, *id, b""), Err(FactorError::Wrong)));
    }
    assert!(matches!(piece(&scene.metadata, 99, b""), Err(FactorError::NoFactor(99))));
}

#[test]
fn too_few_factors_are_told_from_an_edited_file() {
    let scene = plan(simple(AuthMode::All), &[FactorKind::Password, FactorKind::Tpm]).set();
    let mut pieces = pieces(&scene.metadata, &scene.evidence).unwrap();
    pieces.remove(&1);
    assert!(matches!(scene.metadata.open(&pieces), Err(OpenError::Incomplete)));
    assert!(matches!(scene.metadata.open(&Pieces::new()), Err(OpenError::Incomplete)));
}

#[test]
fn more_pieces_than_are_needed_open_it_too() {
    let kinds = [FactorKind::Password, FactorKind::Tpm, FactorKind::Share, FactorKind::Share];
    for policy in [simple(AuthMode::Any), policy(&[], 2), policy(&[FactorKind::Share], 1)] {
        let scene = plan(policy, &kinds).set();
        assert!(common::unlock(&scene.metadata, &scene.evidence).is_ok(), "{policy}");
    }
}

#[test]
fn a_factor_that_the_policy_has_no_use_for_is_right_and_has_no_piece() {
    let kinds = [FactorKind::Password, FactorKind::Share];
    let scene = plan(policy(&[FactorKind::Password], 0), &kinds).set();
    assert!(matches!(piece(&scene.metadata, 2, &scene.evidence[&2]), Ok(None)));
    assert!(matches!(piece(&scene.metadata, 2, b"wrong"), Err(FactorError::Wrong)));
}

#[test]
fn two_factors_of_one_password_have_nothing_in_common() {
    let (mut enrolment, _) = plan(simple(AuthMode::Any), &[]).enrol();
    let parameters = parameters(FactorKind::Password);
    let secret = secret(&parameters, DERIVATIONS[0], b"the same");
    for text in ["one", "other"] {
        enrolment.add(label(text), false, parameters.clone(), &secret).unwrap();
    }
    let [one, other] = enrolment.factors() else { panic!("two factors") };
    assert_ne!(one.salt, other.salt);
    assert_ne!(one.check, other.check);
    assert_ne!(one.public_key, other.public_key);
}

#[test]
fn an_id_is_never_given_twice() {
    let (mut enrolment, _) = plan(simple(AuthMode::Any), &[FactorKind::Tpm; 3]).enrol();
    enrolment.remove(3).unwrap();
    assert!(matches!(enrolment.remove(3), Err(EnrolmentError::NoFactor(3))));
    let parameters = parameters(FactorKind::Tpm);
    let secret = secret(&parameters, DERIVATIONS[0], b"new");
    for expected in [4, 5] {
        let id = enrolment.add(label("new"), false, parameters.clone(), &secret).unwrap();
        assert_eq!(id, expected);
        enrolment.remove(id).unwrap();
    }
}

#[test]
fn labels_are_unique_through_adding_and_renaming() {
    let (mut enrolment, _) = plan(simple(AuthMode::Any), &[FactorKind::Tpm; 2]).enrol();
    let taken = enrolment.factors()[1].label.clone();
    let parameters = parameters(FactorKind::Tpm);
    let secret = secret(&parameters, DERIVATIONS[0], b"new");
    let added = enrolment.add(taken.clone(), false, parameters, &secret);
    assert!(matches!(added, Err(EnrolmentError::LabelTaken(_))));
    assert!(matches!(enrolment.rename(1, taken), Err(EnrolmentError::LabelTaken(_))));
    assert!(matches!(enrolment.rename(9, label("x")), Err(EnrolmentError::NoFactor(9))));
    enrolment.rename(1, label("renamed")).unwrap();
    assert_eq!(enrolment.factor(1).unwrap().label.as_str(), "renamed");
}

#[test]
fn a_profile_has_so_many_factors_and_no_more() {
    let kinds = [FactorKind::Tpm; MAX_FACTORS];
    let plan = plan(policy(&[], 16), &kinds);
    let (mut enrolment, evidence) = plan.enrol();
    let parameters = parameters(FactorKind::Tpm);
    let secret = secret(&parameters, DERIVATIONS[0], b"new");
    let added = enrolment.add(label("one too many"), false, parameters, &secret);
    assert!(matches!(added, Err(EnrolmentError::TooMany)));
    // As many as there can be are sealed, read and opened, in less than half of the largest file.
    let metadata = Metadata::seal(enrolment, &MasterKey::generate().unwrap()).unwrap();
    let file = metadata.render();
    assert!(file.len() < MAX_FILE_BYTES / 2, "{} bytes", file.len());
    let read = Metadata::parse(&file, &binding()).unwrap();
    assert!(common::unlock(&read, &evidence).is_ok());
}

#[test]
fn a_policy_that_nobody_can_satisfy_is_not_sealed() {
    let seal = |plan: Plan| Metadata::seal(plan.enrol().0, &MasterKey::generate().unwrap());
    for (policy, kinds) in [
        (simple(AuthMode::Any), &[][..]),
        (policy(&[FactorKind::Tpm], 0), &[FactorKind::Password]),
        (policy(&[], 3), &[FactorKind::Password, FactorKind::Tpm]),
    ] {
        let sealed = seal(plan(policy, kinds));
        assert!(matches!(sealed, Err(EnrolmentError::Unsatisfiable(_))), "{policy}");
    }
    let sealed = seal(plan(policy(&[FactorKind::Tpm], 0), &[FactorKind::Password]));
    let Err(EnrolmentError::Unsatisfiable(Unsatisfiable::NoneOfKind(kind))) = sealed else {
        panic!("it is told which")
    };
    assert_eq!(kind, FactorKind::Tpm);
}

#[test]
fn a_label_is_one_short_line() {
    let longest = "x".repeat(MAX_LABEL_BYTES);
    for good in ["a", "alice's token", "ключ", &longest] {
        assert_eq!(Label::try_from(good).unwrap().as_str(), good);
    }
    let too_long = format!("{longest}x");
    for bad in ["", " ", " a", "a ", "a\nb", "a\x1b[2J", "\u{85}", &too_long] {
        assert_eq!(Label::try_from(bad), Err(InvalidLabel), "{bad:?}");
    }
}

#[test]
fn what_cannot_be_a_file_says_why() {
    let scene = plan(simple(AuthMode::Any), &[FactorKind::Password]).set();
    let file = String::from_utf8(scene.file()).unwrap();
    let parse = |text: &str| Metadata::parse(text.as_bytes(), &binding());
    assert!(matches!(parse(""), Err(MetadataError::Malformed(_))));
    assert!(matches!(parse(&format!("{file}x")), Err(MetadataError::Malformed(_))));
    assert!(matches!(parse(&file[..file.len() / 2]), Err(MetadataError::Malformed(_))));
    let padded = format!("{file}{}", " ".repeat(MAX_FILE_BYTES));
    assert!(matches!(parse(&padded), Err(MetadataError::TooLarge)));
    assert!(parse(&padded[..MAX_FILE_BYTES]).is_ok());
    for version in [0, 1, 3] {
        let other = file.replacen("\"version\": 2", &format!("\"version\": {version}"), 1);
        assert!(matches!(parse(&other), Err(MetadataError::Version(v)) if v == version));
    }
    let elsewhere = [
        Binding { installation: Uuid::from_u128(8), ..binding() },
        Binding { profile: "other".to_owned(), ..binding() },
    ];
    for elsewhere in elsewhere {
        let foreign = Metadata::parse(file.as_bytes(), &elsewhere);
        let Err(MetadataError::Foreign { installation, profile }) = foreign else {
            panic!("{elsewhere:?}")
        };
        assert_eq!(Binding { installation, profile }, binding());
    }
}

/// What a stranger wrote into the file must not reach a terminal or a log as he wrote it.
#[test]
fn a_refusal_quotes_no_control_characters_of_the_file() {
    let scene = plan(simple(AuthMode::Any), &[FactorKind::Password]).set();
    let file = String::from_utf8(scene.file()).unwrap();
    for (from, to) in [
        ("\"factors\":", "\"fac\\u001b[2Jtors\":"),
        ("\"mode\": \"any\"", "\"mode\": \"any\\u001b[2J\""),
        ("\"password\": {", "\"pass\\u001b[2Jword\": {"),
        ("\"algorithm\": \"argon2id\"", "\"algorithm\": \"argon2id\\u001b[2J\""),
        ("\"profile\": \"default\"", "\"profile\": \"default\\u001b[2J\""),
        ("\"profile\": \"default\"", "\"profile\": \"de\\u202efault\""),
    ] {
        assert!(file.contains(from), "{from}");
        let edited = file.replacen(from, to, 1);
        let error = Metadata::parse(edited.as_bytes(), &binding()).unwrap_err().to_string();
        assert!(!error.contains(|c: char| c.is_control() || c == '\u{202e}'), "{from}: {error:?}");
    }
}
