use std::collections::VecDeque;
use std::io;

use super::{greeting, refuse};
use crate::host::{Ended, Host};
use crate::power::POWER_OFF;
use crate::printable::Printable;
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
    insta::assert_snapshot!("in_memory", greeting(Some(&State::Memory), &[]));
    let volume = State::Volume("sdb1".to_owned());
    insta::assert_snapshot!("on_a_volume", greeting(Some(&volume), &[]));
    insta::assert_snapshot!("no_ceremony", greeting(Some(&State::Memory), &failed()));
    insta::assert_snapshot!("no_answer", greeting(None, &failed()[1..2]));
}

#[derive(Default)]
struct Console {
    answers: VecDeque<&'static str>,
    heard: String,
    run: Vec<String>,
}

impl Host for Console {
    fn run(&mut self, command: &[&str]) -> io::Result<Ended> {
        self.run.push(command.join(" "));
        Ok(Ended::Exit(0))
    }

    fn capture(&mut self, _: &[&str]) -> io::Result<(Ended, String)> {
        Ok((Ended::Exit(0), "Failed to mount /var\u{7}\nDependency failed\n".to_owned()))
    }

    fn say(&mut self, text: &str) {
        self.heard.push_str(text);
    }

    fn ask(&mut self, prompt: &str) -> io::Result<String> {
        self.say(prompt);
        self.answers
            .pop_front()
            .map(str::to_owned)
            .ok_or_else(|| io::ErrorKind::UnexpectedEof.into())
    }
}

#[test]
fn in_the_shells_place_stands_why() {
    let mut console = Console { answers: ["\n"].into(), ..Console::default() };
    refuse(&mut console);
    insta::assert_snapshot!("refused", console.heard);
    assert_eq!(console.run, [POWER_OFF.join(" ")]);
}

#[test]
fn a_console_that_nobody_can_type_on_keeps_the_reasons_on_its_screen() {
    let mut console = Console::default();
    refuse(&mut console);
    assert!(console.run.is_empty());
}
