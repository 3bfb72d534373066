//! The protocol against a mock of the device. No test here has seen a YubiKey.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use hmac::{Hmac, KeyInit, Mac};
use proptest::prelude::*;
use sha1::Sha1;

use super::protocol::REPORT;
use super::*;

/// The check value of CRC-16/MCRF4XX in the catalogue of parametrised CRC algorithms, and what is
/// left over a message with its inverted checksum.
#[test]
fn the_checksum_is_the_published_one() {
    assert_eq!(protocol::crc16(b"123456789"), 0x6f91);
    let checked = [b"123456789", &(!0x6f91_u16).to_le_bytes()[..]].concat();
    assert_eq!(protocol::crc16(&checked), 0xf0b8);
}

/// RFC 2202 §3, test cases 1 and 2.
#[test]
fn hmacs_of_rfc_2202_come_through() {
    let cases: [(&[u8], &[u8], &str); 2] = [
        (&[0x0b; 20], b"Hi There", "b617318655057264e28bc0b6fb378c8ef146be00"),
        (b"Jefe", b"what do ya want for nothing?", "effcdf6ae5eb2fa2d27416d5f184df9c259a7c79"),
    ];
    for (key, challenge, expected) in cases {
        for slot in [Slot::One, Slot::Two] {
            let mut mock = MockYubikey::with_key(slot, key);
            let answer = protocol::hmac_sha1(&mut mock, slot, challenge).unwrap();
            assert_eq!(key_hierarchy::hex::encode(answer.expose()), expected);
        }
    }
}

#[test]
fn evidence_comes_back_from_the_parameters() {
    let plugged_in = || vec![MockYubikey::new()];
    let (parameters, evidence) = enroll_one_of(plugged_in(), None, Slot::Two).unwrap();
    assert_eq!((parameters.serial, parameters.slot), (Some(1_234_567), 2));
    assert_eq!(evidence.len(), 20);
    let again = evidence_of_one_of(plugged_in(), &parameters).unwrap();
    assert_eq!(again.expose(), evidence.expose());

    let (other, other_evidence) = enroll_one_of(plugged_in(), None, Slot::Two).unwrap();
    assert_ne!(other.challenge, parameters.challenge);
    assert_ne!(other_evidence.expose(), evidence.expose());
}

#[test]
fn whatever_the_challenge_ends_with_all_of_it_counts() {
    let answer = |challenge: &[u8; 32]| {
        let mut mock = MockYubikey::new();
        let answer = protocol::hmac_sha1(&mut mock, Slot::Two, challenge).unwrap();
        assert_eq!(answer.expose(), hmac(&mock.slots[1].as_ref().unwrap().key, challenge));
    };
    for last in [0, 1, 2, 0xff] {
        answer(&[[7; 31].as_slice(), &[last]].concat().try_into().unwrap());
        answer(&[last; 32]);
    }
}

#[test]
fn a_slot_for_challenges_of_fixed_length_works_too() {
    let mut mock = MockYubikey::new();
    mock.slots[1].as_mut().unwrap().fixed_length = true;
    let answer = protocol::hmac_sha1(&mut mock, Slot::Two, &[7; 32]).unwrap();
    let whole = [[7; 32], [0; 32]].concat();
    assert_eq!(answer.expose(), hmac(&mock.slots[1].as_ref().unwrap().key, &whole));
}

#[test]
fn a_slot_that_waits_for_a_touch_answers_after_it() {
    let mut mock = MockYubikey::new();
    mock.touch = Touch::Comes;
    assert_eq!(protocol::hmac_sha1(&mut mock, Slot::Two, &[7; 32]).unwrap().len(), 20);
    mock.touch = Touch::NeverComes;
    let error = protocol::hmac_sha1(&mut mock, Slot::Two, &[7; 32]).unwrap_err();
    assert!(matches!(error, YubikeyError::NotTouched), "{error}");
}

#[test]
fn an_empty_slot_is_told_from_one_that_answers_no_challenges() {
    let mut mock = MockYubikey::new();
    let error = protocol::hmac_sha1(&mut mock, Slot::One, &[7; 32]).unwrap_err();
    assert!(matches!(error, YubikeyError::EmptySlot { slot: Slot::One }), "{error}");
    mock.slots[1].as_mut().unwrap().answers = false;
    let error = protocol::hmac_sha1(&mut mock, Slot::Two, &[7; 32]).unwrap_err();
    assert!(matches!(error, YubikeyError::NotChallengeResponse { slot: Slot::Two }), "{error}");
}

#[test]
fn firmware_without_challenges_is_refused_and_not_asked_for_a_serial_number() {
    let mut mock = MockYubikey { version: [2, 1, 9], ..MockYubikey::new() };
    assert_eq!(protocol::device(&mut mock).unwrap().serial, None);
    let error = protocol::hmac_sha1(&mut mock, Slot::Two, &[7; 32]).unwrap_err();
    assert!(matches!(error, YubikeyError::TooOld { .. }), "{error}");
    assert_eq!(mock.commands, 0);
}

#[test]
fn answers_that_differ_make_no_factor() {
    let mock = MockYubikey { counts: true, ..MockYubikey::new() };
    let error = enroll_one_of(vec![mock], None, Slot::Two).unwrap_err();
    assert!(matches!(error, YubikeyError::NotDeterministic { slot: Slot::Two }), "{error}");
}

#[test]
fn only_the_right_device_is_asked() {
    let device = |serial| MockYubikey { serial, ..MockYubikey::new() };
    let error = enroll_one_of(Vec::<MockYubikey>::new(), None, Slot::Two).unwrap_err();
    assert!(matches!(error, YubikeyError::NoDevice), "{error}");
    let both = || vec![device(Some(1)), device(Some(2))];
    let error = enroll_one_of(both(), None, Slot::Two).unwrap_err();
    assert!(matches!(error, YubikeyError::SeveralDevices { count: 2 }), "{error}");
    let error = enroll_one_of(both(), Some(3), Slot::Two).unwrap_err();
    assert!(matches!(error, YubikeyError::OtherDevice { serial: 3 }), "{error}");

    let (parameters, _) = enroll_one_of(both(), Some(2), Slot::Two).unwrap();
    assert_eq!(parameters.serial, Some(2));
    let error = evidence_of_one_of(vec![device(None)], &parameters).unwrap_err();
    assert!(matches!(error, YubikeyError::OtherDevice { serial: 2 }), "{error}");

    let (parameters, evidence) = enroll_one_of(vec![device(None)], None, Slot::Two).unwrap();
    assert_eq!(parameters.serial, None);
    let again = evidence_of_one_of(vec![device(None)], &parameters).unwrap();
    assert_eq!(again.expose(), evidence.expose());
}

#[test]
fn a_stored_slot_that_no_device_has_is_refused() {
    for slot in [0, 3, 255] {
        let parameters = YubikeyParameters { serial: None, slot, challenge: [7; 32] };
        let error = evidence_of_one_of(vec![MockYubikey::new()], &parameters).unwrap_err();
        assert!(matches!(error, YubikeyError::NoSuchSlot { number } if number == slot), "{error}");
    }
}

#[test]
fn an_answer_that_nobody_read_is_not_taken_for_the_next_one() {
    let mut mock = MockYubikey::new();
    mock.answer(&[0xaa; 20]);
    let expected = hmac(&mock.slots[1].as_ref().unwrap().key, &[7; 32]);
    let answer = protocol::hmac_sha1(&mut mock, Slot::Two, &[7; 32]).unwrap();
    assert_eq!(answer.expose(), expected);
}

#[test]
fn a_damaged_answer_is_malformed() {
    for bit in (0..22 * 8).step_by(5) {
        let mut mock = MockYubikey { damaged_bit: Some(bit), ..MockYubikey::new() };
        let error = protocol::hmac_sha1(&mut mock, Slot::Two, &[7; 32]).unwrap_err();
        assert!(matches!(error, YubikeyError::Malformed(_)), "{bit}: {error}");
    }
}

#[test]
fn answers_of_wrong_lengths_are_malformed() {
    for reports in [1, 2, 3, 5, 31] {
        let mut mock = MockYubikey { reports: Some(reports), ..MockYubikey::new() };
        let error = protocol::hmac_sha1(&mut mock, Slot::Two, &[7; 32]).unwrap_err();
        assert!(matches!(error, YubikeyError::Malformed(_)), "{reports}: {error}");
    }
    let mut mock = MockYubikey { ends_early: true, ..MockYubikey::new() };
    let error = protocol::hmac_sha1(&mut mock, Slot::Two, &[7; 32]).unwrap_err();
    assert!(matches!(error, YubikeyError::Malformed(_)), "{error}");
}

#[test]
fn a_device_that_stays_busy_is_not_waited_for() {
    let mut mock = MockYubikey { touch: Touch::WaitedForAlways, ..MockYubikey::new() };
    let start = Instant::now();
    let error = protocol::hmac_sha1(&mut mock, Slot::Two, &[7; 32]).unwrap_err();
    assert!(matches!(error, YubikeyError::Silent { .. }), "{error}");
    assert!(start.elapsed() < Duration::from_secs(5), "waited {:?}", start.elapsed());
}

#[test]
fn no_error_is_silent_about_what_to_do() {
    let slot = Slot::Two;
    let errors = [
        YubikeyError::NoDevice,
        YubikeyError::OtherDevice { serial: 1 },
        YubikeyError::SeveralDevices { count: 2 },
        YubikeyError::NoSuchSlot { number: 3 },
        YubikeyError::TooOld { version: Version { major: 2, minor: 1, build: 9 } },
        YubikeyError::EmptySlot { slot },
        YubikeyError::NotChallengeResponse { slot },
        YubikeyError::NotTouched,
        YubikeyError::Silent { seconds: 30 },
        YubikeyError::Malformed("x"),
        YubikeyError::NotDeterministic { slot },
        YubikeyError::Usb(std::io::ErrorKind::PermissionDenied.into()),
        YubikeyError::Memory(secret_memory::OutOfSecretMemory),
        YubikeyError::Randomness,
    ];
    for error in errors {
        let text = error.to_string();
        let remedy = text.split_once("nothing was changed. ").map(|(_, remedy)| remedy);
        assert!(remedy.is_some_and(|remedy| remedy.len() > 8 && !remedy.ends_with('.')), "{text}");
    }
}

proptest! {
    #[test]
    fn any_reports_are_an_answer_or_an_error(reports in prop::collection::vec(any::<[u8; 8]>(), 1..20)) {
        let mut noise = Noise { reports, next: 0 };
        if let Ok(answer) = protocol::hmac_sha1(&mut noise, Slot::Two, &[7; 32]) {
            prop_assert_eq!(answer.len(), 20);
        }
    }
}

/// A device of a slot's own making: what it says has no relation to what it is told.
struct Noise {
    reports: Vec<[u8; REPORT]>,
    next: usize,
}

impl FeatureReports for Noise {
    fn read(&mut self, report: &mut [u8; REPORT]) -> Result<(), YubikeyError> {
        *report = self.reports[self.next % self.reports.len()];
        // Never busy for long, or the test would wait for it.
        if self.next.is_multiple_of(3) {
            report[7] = 0;
        }
        self.next += 1;
        Ok(())
    }

    fn write(&mut self, _: &[u8; REPORT]) -> Result<(), YubikeyError> {
        Ok(())
    }

    fn answer_time(&self) -> Duration {
        Duration::from_millis(20)
    }
}

/// Behaves as the documents say that a YubiKey does.
struct MockYubikey {
    version: [u8; 3],
    serial: Option<u32>,
    slots: [Option<MockSlot>; 2],
    touch: Touch,
    /// Whether it mixes the number of the command into its answers.
    counts: bool,
    /// Which bit of the answer is turned over.
    damaged_bit: Option<usize>,
    /// How many reports an answer has, instead of as many as it needs.
    reports: Option<usize>,
    /// Whether it goes idle without saying that the answer was whole.
    ends_early: bool,
    commands: u8,
    frame: [u8; 70],
    begun: bool,
    /// What it says before it is idle again.
    says: VecDeque<[u8; REPORT]>,
}

struct MockSlot {
    key: Vec<u8>,
    fixed_length: bool,
    answers: bool,
}

#[derive(Clone, Copy, PartialEq)]
enum Touch {
    NotNeeded,
    Comes,
    NeverComes,
    WaitedForAlways,
}

impl MockYubikey {
    fn new() -> Self {
        Self::with_key(Slot::Two, &[0x42; 20])
    }

    fn with_key(slot: Slot, key: &[u8]) -> Self {
        let mut slots = [None, None];
        slots[usize::from(slot.number() - 1)] =
            Some(MockSlot { key: key.to_vec(), fixed_length: false, answers: true });
        Self {
            version: [5, 4, 3],
            serial: Some(1_234_567),
            slots,
            touch: Touch::NotNeeded,
            counts: false,
            damaged_bit: None,
            reports: None,
            ends_early: false,
            commands: 0,
            frame: [0; 70],
            begun: false,
            says: VecDeque::new(),
        }
    }

    fn obey(&mut self) {
        let checksum = u16::from_le_bytes([self.frame[65], self.frame[66]]);
        assert_eq!(checksum, protocol::crc16(&self.frame[..64]), "the frame's checksum");
        assert_eq!(self.frame[67..], [0; 3]);
        self.commands += 1;
        match self.frame[64] {
            0x10 => {
                if let Some(serial) = self.serial {
                    self.answer(&serial.to_be_bytes());
                }
            }
            0x30 => self.hmac(0),
            0x38 => self.hmac(1),
            other => panic!("command {other:#x}"),
        }
    }

    fn hmac(&mut self, slot: usize) {
        let Some(slot) = self.slots[slot].as_ref().filter(|slot| slot.answers) else { return };
        let payload = &self.frame[..64];
        let last = payload[63];
        let significant = payload.iter().rposition(|byte| *byte != last).map_or(0, |at| at + 1);
        let challenge = if slot.fixed_length { payload } else { &payload[..significant] };
        let mut answer = hmac(&slot.key, challenge);
        answer[0] ^= if self.counts { self.commands } else { 0 };
        if self.touch != Touch::NotNeeded {
            self.says.extend([[0, 0, 0, 0, 0, 0, 0, 0x20]; 3]);
        }
        match self.touch {
            Touch::NeverComes => {}
            Touch::WaitedForAlways => self.says.extend([[0, 0, 0, 0, 0, 0, 0, 0x20]; 10_000]),
            Touch::NotNeeded | Touch::Comes => {
                // Busy for a moment.
                self.says.push_back([0, 0, 0, 0, 0, 0, 0, 0x80]);
                self.answer_as_told(&answer);
            }
        }
    }

    fn answer_as_told(&mut self, answer: &[u8]) {
        let start = self.says.len();
        self.answer(answer);
        if let Some(bit) = self.damaged_bit {
            self.says[start + bit / 8 / 7][bit / 8 % 7] ^= 1 << (bit % 8);
        }
        if let Some(count) = self.reports {
            self.says.truncate(start + count.min(4));
            self.says.extend((4..count as u8).map(|n| [1, 2, 3, 4, 5, 6, 7, 0x40 | n]));
            self.says.push_back([0, 0, 0, 0, 0, 0, 0, 0x40]);
        }
        if self.ends_early {
            self.says.truncate(start + 4);
        }
    }

    fn answer(&mut self, answer: &[u8]) {
        let mut bytes = [answer, &(!protocol::crc16(answer)).to_le_bytes()].concat();
        bytes.resize(bytes.len().next_multiple_of(7), 0);
        for (number, content) in (0_u8..).zip(bytes.chunks(7)) {
            let report = [content, &[0x40 | number]].concat();
            self.says.push_back(report.try_into().unwrap());
        }
        self.says.push_back([0, 0, 0, 0, 0, 0, 0, 0x40]);
    }
}

impl FeatureReports for MockYubikey {
    fn read(&mut self, report: &mut [u8; REPORT]) -> Result<(), YubikeyError> {
        let [major, minor, build] = self.version;
        let slots = (0..2).filter(|n| self.slots[*n].is_some()).map(|n| 1 << n).sum();
        let idle = [0, major, minor, build, 1, slots, 0, 0];
        *report = self.says.pop_front().unwrap_or(idle);
        Ok(())
    }

    fn write(&mut self, report: &[u8; REPORT]) -> Result<(), YubikeyError> {
        if report[7] == 0x8f {
            self.says.clear();
            return Ok(());
        }
        assert_eq!(report[7] & 0xe0, 0x80, "the flags of a written report");
        let number = usize::from(report[7] & 0x1f);
        match number {
            0 => self.frame = [0; 70],
            _ => assert!(self.begun, "a frame without its first report"),
        }
        self.begun = number != 9;
        self.frame[number * 7..][..7].copy_from_slice(&report[..7]);
        // Not read yet, at the next look.
        self.says.push_back([0, 0, 0, 0, 0, 0, 0, 0x80]);
        if number == 9 {
            self.obey();
        }
        Ok(())
    }

    fn answer_time(&self) -> Duration {
        Duration::from_millis(200)
    }
}

fn hmac(key: &[u8], message: &[u8]) -> Vec<u8> {
    let mut hmac = Hmac::<Sha1>::new_from_slice(key).unwrap();
    hmac.update(message);
    hmac.finalize().into_bytes().to_vec()
}
