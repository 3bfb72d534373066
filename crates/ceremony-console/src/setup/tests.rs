use std::fs;
use std::os::unix::fs::PermissionsExt as _;

use nix::unistd::getuid;
use tempfile::TempDir;

use super::{SetupError, State, run};
use crate::host::Ended;
use crate::power::POWER_OFF;
use crate::scripted::Scripted;
use crate::volume::Places;

const ATTEST: &str = "/proc/self/exe attest";
const LISTED: &str = include_str!("../devices/listed.json");

struct Setup {
    host: Scripted,
    dir: TempDir,
}

impl Setup {
    fn new(host: Scripted) -> Self {
        Self { host, dir: tempfile::tempdir().unwrap() }
    }

    fn run(&mut self) -> Result<State, SetupError> {
        let volume = self.dir.path().join("volume");
        let machine_id = self.dir.path().join("machine-id");
        fs::write(&machine_id, "6be0a9b5361f4a43ac17f5ec24c19785\n").unwrap();
        let places = Places {
            volume,
            directories: vec![],
            machine_id,
            owner: (0, 0),
            root: getuid().as_raw(),
        };
        run(&mut self.host, &places, &self.dir.path().join("state"))
    }

    fn state(&self) -> Option<State> {
        State::read(&self.dir.path().join("state"))
    }
}

fn listing(answers: &[&str], times: usize) -> Scripted {
    (0..times).fold(Scripted::typing(answers), |host, _| host.with("lsblk", Ended::Exit(0), LISTED))
}

#[test]
fn the_attestation_comes_before_the_question() {
    let host = listing(&["1"], 1).with(ATTEST, Ended::Exit(0), "Root hash 6b75\n");
    let mut setup = Setup::new(host);
    assert_eq!(setup.run().unwrap(), State::Memory);
    assert_eq!(setup.host.run[0], ATTEST);
    assert!(setup.host.heard.contains("Root hash 6b75"));
    let kept = setup.dir.path().join("attestation");
    assert_eq!(fs::read_to_string(kept).unwrap(), "Root hash 6b75\n");
    assert!(!setup.host.heard.contains("attestation"), "{}", setup.host.heard);
    assert_eq!(setup.state(), Some(State::Memory));
}

#[test]
fn a_machine_that_attests_nothing_leads_nowhere_but_off() {
    // As when somebody interrupts it.
    let host = listing(&["1", "1"], 1).with(ATTEST, Ended::Signal, "");
    let mut setup = Setup::new(host);
    assert!(matches!(setup.run(), Err(SetupError::Tampered)));
    assert!(setup.host.heard.contains("THE BOOT ATTESTATION WAS NOT MADE"));
    assert!(!setup.host.heard.contains("Where is the state"));
}

#[test]
fn a_machine_below_the_floor_is_asked_all_the_same() {
    let said = "sesame: this machine is below the security floor\n";
    let mut setup = Setup::new(listing(&["1"], 1).with(ATTEST, Ended::Exit(21), said));
    assert_eq!(setup.run().unwrap(), State::Memory);
    assert_eq!(setup.host.heard.matches("below the security floor").count(), 1);
}

#[test]
fn a_medium_that_was_altered_leads_nowhere_but_off() {
    let host = listing(&["1", "1"], 1).with(ATTEST, Ended::Exit(26), "");
    let mut setup = Setup::new(host.with("systemctl", Ended::Exit(1), ""));
    assert!(matches!(setup.run(), Err(SetupError::Tampered)));
    assert!(!setup.host.heard.contains("Where is the state"));
    let off = POWER_OFF.join(" ");
    assert_eq!(setup.host.run, [ATTEST.to_owned(), off.clone(), off]);
    assert_eq!(setup.state(), None);
}

#[test]
fn a_wrong_passphrase_asks_again() {
    let host = listing(&["2", "1"], 2).with("cryptsetup open", Ended::Exit(2), "");
    let mut setup = Setup::new(host);
    assert_eq!(setup.run().unwrap(), State::Memory);
    assert!(setup.host.heard.contains("The passphrase is not that of sdb"));
}

#[test]
fn a_nonsensical_answer_asks_again() {
    let mut setup = Setup::new(listing(&["7", "no", "r", "1"], 4));
    assert_eq!(setup.run().unwrap(), State::Memory);
    assert_eq!(setup.host.heard.matches("That is none of the answers.").count(), 2);
    assert_eq!(setup.host.heard.matches("Where is the state").count(), 4);
}

#[test]
fn a_disk_is_made_a_volume_once_its_name_was_typed() {
    let mut setup = Setup::new(listing(&["4", "sdc"], 2));
    assert_eq!(setup.run().unwrap(), State::Volume("sdc".to_owned()));
    assert!(setup.host.has_run("cryptsetup luksFormat"));
    assert_eq!(setup.state(), Some(State::Volume("sdc".to_owned())));
}

#[test]
fn without_its_name_no_disk_is_erased() {
    for answer in ["", "yes", "sda", "/dev/sdc"] {
        let mut setup = Setup::new(listing(&["4", answer, "1"], 3));
        assert_eq!(setup.run().unwrap(), State::Memory);
        assert!(!setup.host.has_run("cryptsetup"), "{answer:?}");
        assert!(setup.host.heard.contains("No disk was erased."));
    }
}

#[test]
fn a_disk_that_was_exchanged_before_the_answer_is_not_erased() {
    for (old, new) in [
        ("0319", "0320"),
        ("31999999999", "31999999998"),
        ("Ultra Fit", "Ultra Fat"),
        ("\"sdc\"", "\"sdx\""),
    ] {
        let other = LISTED.replace(old, new);
        let host = listing(&["4", "sdc", "1"], 1).with("lsblk", Ended::Exit(0), &other);
        let mut setup = Setup::new(host.with("lsblk", Ended::Exit(0), &other));
        assert_eq!(setup.run().unwrap(), State::Memory);
        assert!(!setup.host.has_run("cryptsetup"), "{old}");
        assert!(
            setup.host.heard.contains("sdc is not the disk any more that was listed."),
            "{old}"
        );
    }
}

#[test]
fn a_list_that_makes_no_sense_leaves_memory() {
    for (ended, json) in [(Ended::Exit(1), LISTED), (Ended::Exit(0), "{"), (Ended::Signal, "")] {
        let mut setup = Setup::new(Scripted::typing(&["2", "1"]).with("lsblk", ended, json));
        let host = std::mem::take(&mut setup.host);
        setup.host = host.with("lsblk", ended, json);
        assert_eq!(setup.run().unwrap(), State::Memory);
        assert!(setup.host.heard.contains("lsblk"), "{}", setup.host.heard);
    }
}

#[test]
fn a_console_that_is_gone_chooses_nothing() {
    let mut setup = Setup::new(listing(&[], 1));
    assert!(matches!(setup.run(), Err(SetupError::Console(_))));
    assert_eq!(setup.state(), None);
}

#[test]
fn the_machine_can_be_switched_off_instead() {
    let mut setup = Setup::new(listing(&["o"], 1));
    assert!(matches!(setup.run(), Err(SetupError::PowerOff)));
    assert!(setup.host.has_run(&POWER_OFF.join(" ")));
    assert_eq!(setup.state(), None);
}

#[test]
fn everybody_may_read_where_state_is_kept() {
    let mut setup = Setup::new(listing(&["1"], 1));
    setup.run().unwrap();
    let mode = fs::metadata(setup.dir.path().join("state")).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o644);
}

#[test]
fn a_state_that_reads_otherwise_is_unknown() {
    let dir = tempfile::tempdir().unwrap();
    for text in ["", "memory?", "volume", "disk sdb"] {
        fs::write(dir.path().join("state"), text).unwrap();
        assert_eq!(State::read(&dir.path().join("state")), None, "{text:?}");
    }
}
