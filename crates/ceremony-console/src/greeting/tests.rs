use super::{greeting, refuse};
use crate::host::Ended;
use crate::peers::{Peer, Unlisted};
use crate::power::POWER_OFF;
use crate::printable::Printable;
use crate::scripted::Scripted;
use crate::services::{Failed, Service};
use crate::setup::State;

fn failed() -> Vec<Failed> {
    let service = |unit: &str, active: &str, result: &str, status: &str| Service {
        unit: unit.to_owned(),
        active: active.to_owned(),
        result: result.to_owned(),
        status: status.to_owned(),
        tried: true,
    };
    let said = "ERROR: memfd_secret unavailable: secrets remain on kernel direct map.";
    vec![
        Failed {
            service: service("sesame-audit.service", "failed", "exit-code", "71"),
            said: vec![Printable::line(said), Printable::line("and an \u{1b}[31mescape")],
        },
        Failed {
            service: service("sesame-secrets.service", "inactive", "success", "0"),
            said: vec![],
        },
        Failed { service: service("ceremony-operator.service", "", "", ""), said: vec![] },
        Failed {
            service: service("sesame-provision.service", "activating", "success", "0"),
            said: vec![],
        },
    ]
}

#[test]
fn a_person_reads_this_before_the_first_prompt() {
    insta::assert_snapshot!("in_memory", greeting(Some(&State::Memory), &[], &Ok(vec![])));
    let volume = State::Volume("sdb1".to_owned());
    insta::assert_snapshot!("on_a_volume", greeting(Some(&volume), &[], &Ok(vec![])));
    let planted = Peer {
        name: "mal\u{1b}[2J".to_owned(),
        role: "operator".to_owned(),
        uid: 1000,
        key: "5e".repeat(32),
    };
    insta::assert_snapshot!("other_peers", greeting(Some(&volume), &[], &Ok(vec![planted])));
    insta::assert_snapshot!("no_peers", greeting(Some(&volume), &[], &Err(Unlisted)));
    insta::assert_snapshot!("no_ceremony", greeting(Some(&State::Memory), &failed(), &Ok(vec![])));
    insta::assert_snapshot!("no_answer", greeting(None, &failed()[1..2], &Ok(vec![])));
}

fn unstarted(answers: &[&str]) -> Scripted {
    let said = "Failed to mount /var\u{7}\nDependency failed\n";
    Scripted::typing(answers).with("journalctl", Ended::Exit(0), said)
}

#[test]
fn in_the_shells_place_stands_why() {
    let mut console = unstarted(&[""]);
    refuse(&mut console);
    insta::assert_snapshot!("refused", console.heard);
    assert_eq!(console.run[1..], [POWER_OFF.join(" ")]);
}

#[test]
fn a_console_that_nobody_can_type_on_keeps_the_reasons_on_its_screen() {
    let mut console = unstarted(&[]);
    refuse(&mut console);
    assert!(!console.has_run("systemctl"), "{:?}", console.run);
}
