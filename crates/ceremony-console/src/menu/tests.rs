use proptest::prelude::*;

use super::{Choice, choice, named_disk, question, which_disk};
use crate::devices::Disks;

fn disks() -> Disks {
    Disks::parse(include_str!("../devices/listed.json")).unwrap()
}

#[test]
fn the_questions_are_these() {
    insta::assert_snapshot!("nothing_but_memory", question(&Disks::default()));
    insta::assert_snapshot!("every_way", question(&disks()));
    insta::assert_snapshot!("which_disk", which_disk(&disks()));
}

#[test]
fn enter_alone_is_memory() {
    assert_eq!(choice(&disks(), "\n"), Some(Choice::Memory));
    assert_eq!(choice(&disks(), " 1 \n"), Some(Choice::Memory));
}

#[test]
fn a_number_chooses_what_stands_beside_it() {
    let disks = disks();
    assert_eq!(choice(&disks, "2\n"), Some(Choice::Volume(&disks.volumes[0])));
    assert_eq!(choice(&disks, "3\n"), Some(Choice::Volume(&disks.volumes[1])));
    assert_eq!(choice(&disks, "4\n"), Some(Choice::New));
}

#[test]
fn what_was_not_offered_is_no_answer() {
    for answer in
        ["5", "0", "-1", "02", "+2", "2 3", "99999999999999999999", "yes", "\u{662}", "sdb", "1;r"]
    {
        assert_eq!(choice(&disks(), answer), None, "{answer:?}");
    }
    assert_eq!(choice(&Disks::default(), "2"), None);
}

#[test]
fn a_disk_is_erased_only_by_its_whole_name() {
    let disks = disks();
    assert_eq!(named_disk(&disks, "sdb\n"), Some(&disks.erasable[0]));
    for answer in ["", "\n", "sd", "SDB", "/dev/sdb", "sdb1", "sda", "sdd", "y", "1"] {
        assert_eq!(named_disk(&disks, answer), None, "{answer:?}");
    }
}

proptest! {
    #[test]
    fn no_answer_makes_it_panic(answer in ".*") {
        let disks = disks();
        let _ = choice(&disks, &answer);
        let named = named_disk(&disks, &answer);
        prop_assert!(named.is_none_or(|disk| disk.name.as_str() == answer.trim()));
    }
}
