//! One character of the file is another one.

use site_config::{AuthMode, FactorKind};

use key_hierarchy::Metadata;

use crate::common::{DERIVATIONS, Plan, Scene, binding, policy, simple, unlock};

/// Flips the characters at these places; returns how many edits could be read and were refused by all
/// factors together.
fn refused(scene: &Scene, places: impl Iterator<Item = usize>) -> usize {
    let file = scene.file();
    let mut refused = 0;
    for place in places {
        let mut edited = file.clone();
        edited[place] ^= 1;
        let Ok(metadata) = Metadata::parse(&edited, &binding()) else { continue };
        if metadata == scene.metadata {
            continue; // white space between two tokens
        }
        assert!(unlock(&metadata, &scene.evidence).is_err(), "place {place}");
        refused += 1;
    }
    refused
}

#[test]
fn every_flipped_character_of_a_file_is_refused() {
    let factors = vec![(FactorKind::Password, false)];
    let scene = Plan { derivation: DERIVATIONS[0], policy: simple(AuthMode::Any), factors }.set();
    let length = scene.file().len();
    let refused = refused(&scene, 0..length);
    assert!(refused > 4000, "{refused} of {length} edits reached the checks");
}

/// Beside the long blobs, of which the test above has each character.
#[test]
fn every_flipped_character_between_the_blobs_of_several_factors_is_refused() {
    let factors = vec![(FactorKind::Share, false), (FactorKind::Yubikey, true)];
    let plan =
        Plan { derivation: DERIVATIONS[1], policy: policy(&[FactorKind::Share], 0), factors };
    let scene = plan.set();
    let file = scene.file();
    let mut at = 0;
    let mut places = Vec::new();
    for line in file.split_inclusive(|byte| *byte == b'\n') {
        let in_text = line.iter().take_while(|byte| **byte == b' ').count();
        places.extend(at + in_text..at + line.len().min(200));
        at += line.len();
    }
    let refused = refused(&scene, places.into_iter());
    assert!(refused > 500, "{refused} edits reached the checks");
}
