use super::{Request, request};
use crate::scripted::Scripted;
use crate::setup::State;

fn is_asked_of_root(answer: &str, yes: bool, state: Option<State>) -> bool {
    let requests = tempfile::tempdir().unwrap();
    let mut person = Scripted::typing(&[answer]);
    request(&mut person, Request::PowerOff, yes, state.as_ref(), requests.path()).unwrap();
    assert_eq!(person.run, [""; 0], "nothing is to be run");
    requests.path().join("poweroff").exists()
}

#[test]
fn what_is_in_memory_is_not_lost_by_a_slip() {
    for answer in ["", "y", "no"] {
        assert!(!is_asked_of_root(answer, false, Some(State::Memory)), "{answer:?}");
    }
    assert!(is_asked_of_root("yes", false, Some(State::Memory)));
    assert!(is_asked_of_root("", true, Some(State::Memory)));
}

#[test]
fn with_a_volume_nothing_is_lost_and_nothing_asked() {
    assert!(is_asked_of_root("", false, Some(State::Volume("sdb".to_owned()))));
    assert!(is_asked_of_root("", false, None));
}

#[test]
fn without_the_directory_the_person_hears_that_the_machine_stays_on() {
    let gone = std::path::Path::new("/nonexistent");
    let error = request(&mut Scripted::default(), Request::Reboot, true, None, gone).unwrap_err();
    assert!(error.to_string().contains("the machine stays on"), "{error}");
}

#[test]
fn only_the_two_can_be_asked_for() {
    assert_eq!(Request::parse("poweroff"), Some(Request::PowerOff));
    assert_eq!(Request::parse("reboot"), Some(Request::Reboot));
    for text in ["", "halt", "kexec", "../../x", "poweroff "] {
        assert_eq!(Request::parse(text), None);
    }
}
