use std::cell::Cell;
use std::time::Duration;

use nix::pty::openpty;
use nix::sys::termios::cfmakeraw;
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
    let mut people = File::from(pty.master);
    // After the echo of what was typed.
    while !heard(&mut people).as_bytes().ends_with(RESET) {}
    (people, room)
}

fn heard(people: &mut File) -> String {
    let shown = poll(&mut [PollFd::new(people.as_fd(), PollFlags::POLLIN)], LOOK_MS).unwrap();
    assert_eq!(shown, 1, "nothing is shown");
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

/// What a program of the user's may do to the terminal it has open.
fn make_raw(tty: &File) {
    let mut modes = tcgetattr(tty).unwrap();
    cfmakeraw(&mut modes);
    tcsetattr(tty, SetArg::TCSANOW, &modes).unwrap();
}

#[test]
fn what_enter_does_not_end_is_no_answer() {
    for typed in ["x".repeat(200), format!("lock{}", " ".repeat(60))] {
        let (mut people, mut room) = room(|| true);
        make_raw(&room.tty);
        people.write_all(typed.as_bytes()).unwrap();
        let error = room.line(Duration::from_secs(5)).unwrap_err();
        assert_eq!(error.to_string(), "what was typed is longer than any answer");
    }
    let (mut people, mut room) = room(|| true);
    make_raw(&room.tty);
    people.write_all(b"lock").unwrap();
    assert_eq!(room.line(Duration::from_secs(1)).unwrap_err().to_string(), "there was no answer");
}

#[test]
fn a_line_is_typed_whatever_a_program_made_of_the_terminal() {
    let pty = openpty(None, None).unwrap();
    let (tty, mut people) = (File::from(pty.slave), File::from(pty.master));
    make_raw(&tty);
    let mut room = Room::on(&ttyname(&tty).unwrap(), || true).unwrap();
    // Enter is a carriage return, and what is taken back before it was never typed.
    people.write_all(b"x\x7flock\r").unwrap();
    assert_eq!(room.line(Duration::from_secs(5)).unwrap(), "lock\n");
    assert!(heard(&mut people).contains('x'), "typed is seen");
}

#[test]
fn a_question_that_is_not_seen_is_not_asked() {
    let (people, mut room) = room(|| true);
    drop(people);
    room.say("A question.\n");
    assert_eq!(room.ask("lock? ").unwrap_err().to_string(), "the question cannot be shown");
}
