//! A file that somebody edited: refused by whoever can open it, and for the right reason.

use std::collections::BTreeSet;

use insta::assert_snapshot;
use key_hierarchy::{
    Binding, Enrolment, FactorError, MasterKey, Metadata, MetadataError, OpenError, Pieces,
};
use serde_json::{Value, json};
use site_config::{AuthMode, FactorKind};
use uuid::Uuid;

use crate::common::{
    DERIVATIONS, Plan, Scene, binding, parameters, piece, pieces, policy, secret, simple,
};

/// A password, one of three others, and the machine.
fn scene(derivation: key_hierarchy::Derivation) -> Scene {
    use FactorKind::{Fido2, Password, Share, SshAgent, Tpm};
    let people = [Password, SshAgent, Fido2, Share].map(|kind| (kind, false));
    let factors = [&people[..], &[(Tpm, true)]].concat();
    Plan { derivation, policy: policy(&[Password], 1), factors }.set()
}

/// What the owners, all of them, are told of an edited file. Nobody may get a key.
fn verdict(scene: &Scene, original: &Pieces, edited: &Value) -> String {
    let bytes = serde_json::to_vec(edited).unwrap();
    let metadata = match Metadata::parse(&bytes, &binding()) {
        Ok(metadata) => metadata,
        Err(MetadataError::Malformed(_)) => return "cannot be read".to_owned(),
        Err(error) => return error.to_string(),
    };
    assert_ne!(metadata, scene.metadata, "nothing was edited");
    // Whoever opened pieces of the true file still has them.
    assert!(metadata.open(original).is_err(), "the true pieces open it");
    let mut told = BTreeSet::new();
    let mut given = Pieces::new();
    for (id, answer) in &scene.evidence {
        match piece(&metadata, *id, answer) {
            Ok(Some(piece)) => {
                given.insert(*id, secret_memory::Secret::copy_of(&piece));
            }
            Ok(None) => drop(told.insert("not asked for")),
            Err(FactorError::Edited) => drop(told.insert("edited")),
            Err(FactorError::Wrong) => drop(told.insert("wrong")),
            Err(FactorError::NoFactor(_)) => drop(told.insert("gone")),
            Err(error) => panic!("{error}"),
        }
    }
    let opened = match metadata.open(&given) {
        Ok(_) => panic!("it opens"),
        Err(OpenError::Edited) => "edited",
        Err(OpenError::Incomplete) => "incomplete",
        Err(error) => panic!("{error}"),
    };
    let all_are_wrong = given.is_empty() && told == BTreeSet::from(["wrong"]);
    let is_told = opened == "edited" || told.contains("edited") || all_are_wrong;
    assert!(is_told, "nobody is told of the edit");
    let told = Vec::from_iter(told).join(", ");
    let others = if told.is_empty() { String::new() } else { format!("; the others: {told}") };
    format!("pieces that open: {}{others}; all together: {opened}", given.len())
}

type Edit = (&'static str, fn(&mut Value));

/// Edits of the policy, of the factors, of what they open. Factors have ids 1 to 5.
const EDITS: &[Edit] = &[
    ("one other factor less", |file| file["enrolment"]["policy"]["additional_required"] = json!(0)),
    ("one other factor less, and no pieces of the others", |file| {
        file["enrolment"]["policy"]["additional_required"] = json!(0);
        let pieces = file["pieces"].as_object_mut().unwrap();
        pieces.retain(|id, _| ["1", "5"].contains(&id.as_str()));
    }),
    ("one other factor more", |file| file["enrolment"]["policy"]["additional_required"] = json!(2)),
    ("no required kind", |file| file["enrolment"]["policy"]["required"] = json!([])),
    ("another required kind", |file| {
        file["enrolment"]["policy"]["required"] = json!(["ssh-agent"]);
    }),
    ("any factor", |file| {
        let any = json!({ "mode": "any", "required": [], "additional_required": 0 });
        file["enrolment"]["policy"] = any;
    }),
    ("all factors", |file| {
        let all = json!({ "mode": "all", "required": [], "additional_required": 0 });
        file["enrolment"]["policy"] = all;
    }),
    ("any factor, and still a required kind", |file| {
        file["enrolment"]["policy"]["mode"] = json!("any");
    }),
    ("the other derivation", |file| {
        let now = file["enrolment"]["derivation"] == "blake3";
        file["enrolment"]["derivation"] = json!(if now { "hkdf-sha256" } else { "blake3" });
    }),
    ("generation 0", |file| file["enrolment"]["generation"] = json!(0)),
    ("the next generation", |file| file["enrolment"]["generation"] = json!(2)),
    ("the last generation", |file| file["enrolment"]["generation"] = json!(u64::MAX)),
    ("a higher next id", |file| file["enrolment"]["next_id"] = json!(99)),
    ("a next id that was given already", |file| file["enrolment"]["next_id"] = json!(5)),
    ("a label", |file| file["enrolment"]["factors"][1]["label"] = json!("mallory")),
    ("two labels swapped", |file| {
        let factors = &mut file["enrolment"]["factors"];
        let (one, other) = (factors[1]["label"].clone(), factors[2]["label"].clone());
        (factors[1]["label"], factors[2]["label"]) = (other, one);
    }),
    ("a label that another has", |file| {
        file["enrolment"]["factors"][1]["label"] = file["enrolment"]["factors"][2]["label"].clone();
    }),
    ("the machine is a person", |file| file["enrolment"]["factors"][4]["machine"] = json!(false)),
    ("a person is a machine", |file| file["enrolment"]["factors"][3]["machine"] = json!(true)),
    ("the machine removed", |file| {
        file["enrolment"]["factors"].as_array_mut().unwrap().remove(4);
        file["pieces"].as_object_mut().unwrap().remove("5");
    }),
    ("the machine removed, its piece left", |file| {
        file["enrolment"]["factors"].as_array_mut().unwrap().remove(4);
    }),
    ("a factor removed", |file| {
        file["enrolment"]["factors"].as_array_mut().unwrap().remove(1);
        file["pieces"].as_object_mut().unwrap().remove("2");
    }),
    ("a piece removed", |file| drop(file["pieces"].as_object_mut().unwrap().remove("2"))),
    ("an id twice", |file| file["enrolment"]["factors"][2]["id"] = json!(2)),
    ("two factors out of order", |file| {
        file["enrolment"]["factors"].as_array_mut().unwrap().swap(1, 2);
    }),
    ("two factors have swapped ids", |file| {
        file["enrolment"]["factors"].as_array_mut().unwrap().swap(1, 2);
        file["enrolment"]["factors"][1]["id"] = json!(2);
        file["enrolment"]["factors"][2]["id"] = json!(3);
    }),
    ("two factors have swapped ids and pieces", |file| {
        file["enrolment"]["factors"].as_array_mut().unwrap().swap(1, 2);
        file["enrolment"]["factors"][1]["id"] = json!(2);
        file["enrolment"]["factors"][2]["id"] = json!(3);
        let pieces = &mut file["pieces"];
        (pieces["2"], pieces["3"]) = (pieces["3"].clone(), pieces["2"].clone());
    }),
    ("two pieces swapped", |file| {
        let pieces = &mut file["pieces"];
        (pieces["2"], pieces["3"]) = (pieces["3"].clone(), pieces["2"].clone());
    }),
    ("two wraps swapped", |file| {
        let pieces = &mut file["pieces"];
        let (one, other) = (pieces["2"]["wrapped"].clone(), pieces["3"]["wrapped"].clone());
        (pieces["2"]["wrapped"], pieces["3"]["wrapped"]) = (other, one);
    }),
    ("a piece in place of the master key", |file| {
        file["master"] = file["pieces"]["1"]["wrapped"].clone();
    }),
    ("the master key in place of a piece", |file| {
        file["pieces"]["1"]["wrapped"] = file["master"].clone();
    }),
    ("a kind", |file| {
        let yubikey = serde_json::to_value(parameters(FactorKind::Yubikey)).unwrap();
        file["enrolment"]["factors"][1]["parameters"] = yubikey;
    }),
    ("a challenge", |file| {
        let challenge =
            &mut file["enrolment"]["factors"][1]["parameters"]["ssh-agent"]["challenge"];
        *challenge = json!("00".repeat(32));
    }),
    ("cheaper costs", |file| {
        let kdf = &mut file["enrolment"]["factors"][0]["parameters"]["password"]["kdf"];
        kdf["memory_kib"] = json!(8);
    }),
    ("a lower threshold of shares", |file| {
        file["enrolment"]["factors"][3]["parameters"]["share"]["threshold"] = json!(1);
    }),
    ("a public key of another factor", |file| {
        let factors = &mut file["enrolment"]["factors"];
        factors[1]["public_key"] = factors[2]["public_key"].clone();
    }),
    ("a salt", |file| file["enrolment"]["factors"][1]["salt"] = json!("00".repeat(16))),
    ("a check", |file| file["enrolment"]["factors"][1]["check"] = json!("00".repeat(16))),
    ("another profile", |file| file["enrolment"]["binding"]["profile"] = json!("other")),
    ("another installation", |file| {
        file["enrolment"]["binding"]["installation"] = json!(Uuid::from_u128(8).to_string());
    }),
    ("no authentication", |file| file["mac"] = json!("00".repeat(32))),
    ("an unknown field", |file| file["enrolment"]["factors"][0]["admin"] = json!(true)),
    ("version 1", |file| file["version"] = json!(1)),
    ("version 3", |file| file["version"] = json!(3)),
];

#[test]
fn every_edit_is_refused_and_says_what_it_is() {
    let mut verdicts = Vec::new();
    for derivation in DERIVATIONS {
        let scene = scene(derivation);
        let original = pieces(&scene.metadata, &scene.evidence).unwrap();
        assert!(scene.metadata.open(&original).is_ok());
        let file: Value = serde_json::from_slice(&scene.file()).unwrap();
        let lines = EDITS.iter().map(|(name, edit)| {
            let mut edited = file.clone();
            edit(&mut edited);
            format!("{name}: {}\n", verdict(&scene, &original, &edited))
        });
        verdicts.push(lines.collect::<String>());
    }
    assert_eq!(verdicts[0], verdicts[1], "both derivations refuse alike");
    assert_snapshot!(verdicts[0]);
}

/// Blobs and factors of other profiles of the same people, with the same passwords, under the same ids:
/// of another installation, of another profile, and of the same name, made twice.
#[test]
fn nothing_of_another_profile_fits_here() {
    let scene = scene(DERIVATIONS[0]);
    let original = pieces(&scene.metadata, &scene.evidence).unwrap();
    let here: Value = serde_json::from_slice(&scene.file()).unwrap();
    let elsewhere = [
        Binding { installation: Uuid::from_u128(8), ..binding() },
        Binding { profile: "other".to_owned(), ..binding() },
        binding(),
    ];
    for elsewhere in elsewhere {
        let (mut enrolment, _) = scene.plan.enrol();
        enrolment.binding = elsewhere.clone();
        let other = Metadata::seal(enrolment, &MasterKey::generate().unwrap()).unwrap();
        let file = other.render();
        if elsewhere != binding() {
            let foreign = Metadata::parse(&file, &binding());
            assert!(matches!(foreign, Err(MetadataError::Foreign { .. })), "{elsewhere:?}");
            let mut moved: Value = serde_json::from_slice(&file).unwrap();
            moved["enrolment"]["binding"] = here["enrolment"]["binding"].clone();
            verdict(&scene, &original, &moved);
        }
        let there: Value = serde_json::from_slice(&file).unwrap();
        let mut moves = vec!["/master".to_owned(), "/mac".to_owned(), "/pieces".to_owned()];
        moves.push("/enrolment/factors".to_owned());
        for at in 0..5 {
            moves.push(format!("/pieces/{}", at + 1));
            moves.push(format!("/pieces/{}/wrapped", at + 1));
            moves.push(format!("/enrolment/factors/{at}"));
            moves.push(format!("/enrolment/factors/{at}/public_key"));
        }
        for path in moves {
            let mut edited = here.clone();
            *edited.pointer_mut(&path).unwrap() = there.pointer(&path).unwrap().clone();
            assert_ne!(edited, here, "{path}");
            verdict(&scene, &original, &edited);
        }
    }
}

/// A stranger enrols himself with a key of his own and seals to it the piece that he knows, which is
/// the right one when he is a member of the same group.
#[test]
fn a_factor_that_was_added_by_editing_opens_nothing_and_is_told() {
    let scene = Plan {
        derivation: DERIVATIONS[0],
        policy: simple(AuthMode::Any),
        factors: vec![(FactorKind::Password, false), (FactorKind::SshAgent, false)],
    }
    .set();
    let known = piece(&scene.metadata, 2, &scene.evidence[&2]).unwrap().unwrap();
    let mut edited: Value = serde_json::from_slice(&scene.file()).unwrap();
    edited["enrolment"]["factors"].as_array_mut().unwrap().push(strangers_factor(3));
    edited["enrolment"]["next_id"] = json!(4);
    edited["pieces"]["3"] = edited["pieces"]["2"].clone();
    let without_piece = parsed(&edited);
    let bound_to = crate::attacker::bound_to(&without_piece, Some(3));
    let sealed = without_piece.enrolment().factor(3).unwrap().public_key.seal(
        DERIVATIONS[0],
        &secret_memory::Secret::copy_of(&known),
        &bound_to,
    );
    edited["pieces"]["3"] = serde_json::to_value(sealed.unwrap()).unwrap();

    let metadata = parsed(&edited);
    let his = piece(&metadata, 3, b"mallory").unwrap().unwrap();
    assert_eq!(his, known, "his own piece opens to him");
    for id in 1..=3 {
        let pieces = Pieces::from([(id, secret_memory::Secret::copy_of(&his))]);
        assert!(matches!(metadata.open(&pieces), Err(OpenError::Edited)));
    }
    for id in 1..=2 {
        let honest = piece(&metadata, id, &scene.evidence[&id]);
        assert!(matches!(honest, Err(FactorError::Edited)), "factor {id} is told");
    }
}

/// What the next change would seal to is looked at before any change: by opening.
#[test]
fn a_public_key_that_was_replaced_is_found_before_anything_is_sealed_to_it() {
    for replaced in 0..5 {
        let scene = scene(DERIVATIONS[1]);
        let mut edited: Value = serde_json::from_slice(&scene.file()).unwrap();
        let factor = &mut edited["enrolment"]["factors"][replaced];
        factor["public_key"] = strangers_factor(9)["public_key"].clone();
        let metadata = parsed(&edited);
        for (id, answer) in &scene.evidence {
            let found = piece(&metadata, *id, answer);
            assert!(matches!(found, Err(FactorError::Edited)), "{replaced}: factor {id}");
        }
        let original = pieces(&scene.metadata, &scene.evidence).unwrap();
        assert!(matches!(metadata.open(&original), Err(OpenError::Edited)), "{replaced}");
    }
}

fn parsed(file: &Value) -> Metadata {
    Metadata::parse(&serde_json::to_vec(file).unwrap(), &binding()).unwrap()
}

/// As the program would write it.
fn strangers_factor(id: u32) -> Value {
    let mut enrolment = Enrolment::new(binding(), DERIVATIONS[0], simple(AuthMode::Any));
    let parameters = parameters(FactorKind::SshAgent);
    let secret = secret(&parameters, DERIVATIONS[0], b"mallory");
    enrolment.add("mallory".try_into().unwrap(), false, parameters, &secret).unwrap();
    let mut factor = serde_json::to_value(&enrolment.factors()[0]).unwrap();
    factor["id"] = json!(id);
    factor
}
