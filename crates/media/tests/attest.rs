//! A made-up machine: a /proc, a /sys and a /dev with an image in it.

#![allow(clippy::unwrap_used, reason = "a test that panics has failed")]

mod common;
mod machine;

use std::fs;

use media::Digest;
use media::attest::{Attestation, Paths, boot_device};
use media::uki::Uki;

use common::Recipe;
use machine::Machine;

#[test]
fn a_booted_image_says_what_it_is() {
    let recipe = Recipe::new();
    let machine = Machine::new(&recipe);
    assert_eq!(boot_device(&machine.paths).unwrap(), machine.paths.dev.join("sda"));
    let found = machine.ask();
    let (_, root) = common::tree(&recipe.data, recipe.block);
    assert_eq!(found.root_hash, Ok(Digest(root)));
    assert_eq!(found.root_hashes_agree(), Some(true));
    assert_eq!(found.device.as_deref(), Ok("dm-1 \"root\", read-only"));
    let medium = found.medium.clone().unwrap();
    assert_eq!(medium.uki, Ok(Digest::of(&recipe.uki())));
    assert!(medium.strangers.is_empty());
    assert_eq!(found.release.as_deref(), Ok("6.12.0-test"));
    assert_eq!(found.lockdown.as_deref(), Ok("confidentiality"));
    assert_eq!(found.modules_disabled, Ok(true));
    assert!(matches!(found.firmware, Ok(None)) && found.tpm.is_none());
    assert_eq!(found.objections(true), []);
}

#[test]
fn a_tpm_says_which_uki_was_booted() {
    let recipe = Recipe::new();
    let machine = Machine::new(&recipe);
    let uki = recipe.uki();
    let start = Uki::open(&uki.as_slice()).unwrap().pcr11().unwrap().unwrap();
    let sys = machine.paths.sys.clone();
    for (phase, value) in Uki::pcr11_in_phases(start) {
        let value = value.to_string().to_uppercase();
        machine.write(&sys, "class/tpm/tpm0/pcr-sha256/11", format!("{value}\n"));
        machine.write(&sys, "class/tpm/tpm0/pcr-sha256/4", "00\n");
        let found = machine.ask();
        assert_eq!(found.pcr11_phase(), Some(phase));
        assert!(found.tpm.unwrap().pcr4.is_err());
    }
    machine.write(&sys, "class/tpm/tpm0/pcr-sha256/11", "F".repeat(64));
    assert_eq!(machine.ask().pcr11_phase(), None);
}

#[test]
fn another_medium_and_what_lies_on_it_are_noticed() {
    let recipe = Recipe::new();
    let machine = Machine::new(&recipe);
    let mut other = recipe.clone();
    other.data[0] ^= 1;
    other.files.push(("loader/credentials/x.cred".to_owned(), vec![1]));
    let dev = machine.paths.dev.clone();
    machine.write(&dev, "sda", other.disk());
    let found = machine.ask();
    assert_eq!(found.root_hashes_agree(), Some(false));
    let strangers = found.medium.unwrap().strangers;
    assert!(strangers.contains(&"loader/credentials/x.cred".to_owned()), "{strangers:?}");
}

#[test]
fn a_root_that_is_on_no_partition_has_no_medium() {
    let machine = Machine::new(&Recipe::new());
    fs::remove_file(machine.paths.sys.join("devices/pci0/block/sda/sda2/partition")).unwrap();
    let reason = boot_device(&machine.paths).unwrap_err();
    assert_eq!(reason, "dm-1 is on no partition of a disk");
}

#[test]
fn a_machine_without_anything_says_what_is_missing() {
    let dir = tempfile::tempdir().unwrap();
    let nowhere = dir.path().join("nowhere");
    let paths = Paths { proc: nowhere.clone(), sys: nowhere.clone(), dev: nowhere };
    let found = Attestation::collect(&paths);
    assert!(found.root_hash.is_err() && found.device.is_err() && found.medium.is_err());
    assert!(found.release.is_err() && found.lockdown.is_err() && found.modules_disabled.is_err());
    assert_eq!((found.root_hashes_agree(), found.pcr11_phase()), (None, None));
    assert_eq!(found.objections(true), [], "not an appliance");
}

#[test]
fn an_unreadable_medium_hides_nothing_else() {
    let machine = Machine::new(&Recipe::new());
    let dev = machine.paths.dev.clone();
    machine.write(&dev, "sda", vec![0; 4096]);
    let found = machine.ask();
    assert!(found.medium.is_err());
    assert!(found.root_hash.is_ok() && found.device.is_ok());
    fs::remove_file(dev.join("sda")).unwrap();
    assert!(machine.ask().medium.unwrap_err().contains("cannot read"));
}
