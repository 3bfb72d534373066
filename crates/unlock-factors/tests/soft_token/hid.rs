//! CTAPHID (CTAP 2.1 §11.2) on a pseudo-terminal.

use std::io::{Read, Write};
use std::os::fd::AsFd;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::pty::openpty;
use nix::sys::termios::{SetArg, SpecialCharacterIndices, cfmakeraw, tcgetattr, tcsetattr};
use nix::unistd::ttyname;

use super::ctap::{Answer, Token};
use super::{Manner, Shared};

const REPORT: usize = 64;
const BROADCAST: [u8; 4] = [0xff; 4];
const CHANNEL: [u8; 4] = [0, 0, 0, 7];

const INIT: u8 = 0x80 | 0x06;
const CBOR: u8 = 0x80 | 0x10;
const CANCEL: u8 = 0x80 | 0x11;
const KEEPALIVE: u8 = 0x80 | 0x3b;

/// Capabilities in the answer to INIT.
const HAS_CBOR: u8 = 0x04;
const NO_MSG: u8 = 0x08;

/// Both ends of it; the slave stays open, so that the master never sees a hangup.
pub struct Terminal {
    master: std::fs::File,
    slave: std::os::fd::OwnedFd,
    shared: Arc<Shared>,
}

impl Terminal {
    pub fn open(shared: Arc<Shared>) -> Self {
        let pty = openpty(None, None).expect("a pseudo-terminal");
        let mut settings = tcgetattr(&pty.slave).expect("a terminal");
        cfmakeraw(&mut settings);
        // A report is read whole or not at all, as from a hidraw device.
        settings.control_chars[SpecialCharacterIndices::VMIN as usize] = REPORT as u8;
        settings.control_chars[SpecialCharacterIndices::VTIME as usize] = 0;
        tcsetattr(&pty.slave, SetArg::TCSANOW, &settings).expect("a terminal");
        Self { master: pty.master.into(), slave: pty.slave, shared }
    }

    pub fn path(&self) -> PathBuf {
        ttyname(&self.slave).expect("a terminal has a name")
    }

    /// The next report, without the report number before it; `None` when it is time to end.
    fn read(&mut self) -> Option<[u8; REPORT]> {
        loop {
            if self.shared.stop.load(Ordering::SeqCst) {
                return None;
            }
            let mut ready = [PollFd::new(self.master.as_fd(), PollFlags::POLLIN)];
            if poll(&mut ready, PollTimeout::from(20_u8)).expect("polls") > 0 {
                break;
            }
        }
        let mut report = [0; 1 + REPORT];
        self.master.read_exact(&mut report).expect("a whole report");
        assert_eq!(report[0], 0, "the report number");
        report[1..].try_into().ok()
    }

    fn write(&mut self, report: &[u8; REPORT]) {
        self.master.write_all(report).expect("writes");
    }

    /// A whole message: its channel, its command and its content.
    fn receive(&mut self) -> Option<([u8; 4], u8, Vec<u8>)> {
        let first = self.read()?;
        let channel = [first[0], first[1], first[2], first[3]];
        let length = usize::from(u16::from_be_bytes([first[5], first[6]]));
        assert!(first[4] & 0x80 != 0, "a message begins with its command");
        let mut content = first[7..].to_vec();
        for sequence in 0.. {
            if content.len() >= length {
                break;
            }
            let more = self.read()?;
            assert_eq!((&more[..4], more[4]), (&channel[..], sequence), "the next of this message");
            content.extend_from_slice(&more[5..]);
        }
        content.truncate(length);
        self.hear(&content);
        Some((channel, first[4], content))
    }

    pub fn send(&mut self, channel: [u8; 4], command: u8, content: &[u8]) {
        self.hear(content);
        let mut report = [0; REPORT];
        report[..4].copy_from_slice(&channel);
        report[4] = command;
        report[5..7].copy_from_slice(&(content.len() as u16).to_be_bytes());
        let (first, rest) = content.split_at(content.len().min(REPORT - 7));
        report[7..7 + first.len()].copy_from_slice(first);
        self.write(&report);
        for (sequence, part) in rest.chunks(REPORT - 5).enumerate() {
            let mut report = [0; REPORT];
            report[..4].copy_from_slice(&channel);
            report[4] = sequence as u8;
            report[5..5 + part.len()].copy_from_slice(part);
            self.write(&report);
        }
    }

    fn hear(&self, content: &[u8]) {
        self.shared.heard.lock().expect("one thread writes").extend_from_slice(content);
    }
}

/// Answers until it is unplugged.
pub fn run(mut terminal: Terminal, mut token: Token, manner: Manner) {
    while let Some((channel, command, content)) = terminal.receive() {
        match (manner, command) {
            (Manner::Silent, _) => {}
            (Manner::Noise, _) => {
                while !terminal.shared.stop.load(Ordering::SeqCst) {
                    terminal.write(&[0x5a; REPORT]);
                    std::thread::sleep(Duration::from_millis(1));
                }
            }
            (_, INIT) => {
                assert_eq!((channel, content.len()), (BROADCAST, 8), "INIT");
                let capabilities = if manner == Manner::U2fOnly { 0 } else { HAS_CBOR | NO_MSG };
                let answer = [&content[..], &CHANNEL, &[2, 0, 0, 1, capabilities]].concat();
                terminal.send(BROADCAST, INIT, &answer);
            }
            (_, CANCEL) => {}
            (_, CBOR) => {
                assert_eq!(channel, CHANNEL, "the channel that it was given");
                let (&command, request) = content.split_first().expect("a command");
                match token.command(command, request) {
                    Answer::Now(answer) => terminal.send(CHANNEL, CBOR, &answer),
                    Answer::AfterTouch(answer) => {
                        let answer = await_touch(&mut terminal, &token, answer);
                        terminal.send(CHANNEL, CBOR, &answer);
                    }
                }
            }
            (_, other) => panic!("CTAPHID command {other:#x}"),
        }
    }
}

/// Blinks for a while.
fn await_touch(terminal: &mut Terminal, token: &Token, answer: Vec<u8>) -> Vec<u8> {
    const USER_PRESENCE_NEEDED: u8 = 2;
    const USER_ACTION_TIMEOUT: u8 = 0x2f;
    for _ in 0..3 {
        terminal.send(CHANNEL, KEEPALIVE, &[USER_PRESENCE_NEEDED]);
        std::thread::sleep(Duration::from_millis(5));
        if token.is_touched() {
            return answer;
        }
    }
    vec![USER_ACTION_TIMEOUT]
}
