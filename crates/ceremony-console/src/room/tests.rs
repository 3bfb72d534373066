use std::cell::Cell;
use std::time::Duration;

use nix::pty::openpty;
use nix::unistd::ttyname;

use super::*;

/// The far end of a terminal, where people are, and the room at the near one.
fn room<W: Fn() -> bool>(waits: W) -> (File, Room<W>) {
    room_with(b"", waits)
}

/// As [`room`], where something was typed before.
fn room_with<W: Fn() -> bool>(typed: &[u8], waits: W) -> (File, Room<W>) {
    let pty = openpty(None, None).unwrap();
    nix::unistd::write(&pty.master, typed).unwrap();
    // The slave has it once the kernel's worker was there.
    std::thread::sleep(Duration::from_millis(200));
    let room = Room::on(&ttyname(&pty.slave).unwrap(), waits).unwrap();
    (File::from(pty.master), room)
}

fn heard(people: &mut File) -> String {
    let mut bytes = [0; 1024];
    let count = people.read(&mut bytes).unwrap();
    String::from_utf8_lossy(&bytes[..count]).into_owned()
}

#[test]
fn a_line_that_is_typed_after_the_question_is_the_answer() {
    let (mut people, mut room) = room(|| true);
    room.say("A question.\n");
    assert_eq!(heard(&mut people), "A question.\r\n");
    people.write_all(b"lock\n").unwrap();
    assert_eq!(room.line(Duration::from_secs(5)).unwrap(), "lock\n");
}

#[test]
fn what_was_typed_before_the_question_is_no_answer() {
    let asked = Cell::new(0);
    // Whoever asked is gone at the third look: by then an answer would have been read.
    let (_people, mut room) = room_with(b"lock\n", || asked.replace(asked.get() + 1) < 3);
    assert_eq!(room.ask("lock? ").unwrap_err().to_string(), "whoever asked is gone");
}

#[test]
fn nobody_is_waited_for_for_ever() {
    let (_people, mut room) = room(|| true);
    let error = room.line(Duration::from_millis(1)).unwrap_err();
    assert_eq!(error.to_string(), "there was no answer");
}

#[test]
fn more_than_a_line_is_not_read() {
    let (mut people, mut room) = room(|| true);
    people.write_all(&[b'x'; 200]).unwrap();
    people.write_all(b"\n").unwrap();
    let line = room.line(Duration::from_secs(5)).unwrap();
    assert!(line.len() <= MOST_BYTES && !line.contains("lock"), "{line}");
}

#[test]
fn a_question_that_is_not_seen_is_not_asked() {
    let (people, mut room) = room(|| true);
    drop(people);
    room.say("A question.\n");
    assert_eq!(room.ask("lock? ").unwrap_err().to_string(), "the question cannot be shown");
}
