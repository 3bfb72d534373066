//! Commands and answers in the HID feature reports of a YubiKey's keyboard interface.
//!
//! A report is seven bytes of content and one of flags. A command is a frame of 70 bytes in up to ten
//! reports; an answer comes in as many as it needs. The source is Yubico's documentation of the OTP
//! interface, and the behaviour of its own `ykpers` and `yubikit` where that is silent.

use std::thread;
use std::time::{Duration, Instant};

use secret_memory::{Secret, SecretBytes, with_clean_stack};

use super::{Device, Slot, Version, YubikeyError};

/// How many bytes a report has.
pub(super) const REPORT: usize = 8;
/// How many of them are content.
const CONTENT: usize = REPORT - 1;
/// Bytes of content in a command.
const PAYLOAD: usize = 64;
/// The payload, the command's number, the checksum in two bytes and three zeros.
const FRAME: usize = PAYLOAD + 6;

/// The host has written a report, and the device has not read it.
const WRITTEN: u8 = 0x80;
/// The report is part of an answer.
const ANSWER: u8 = 0x40;
/// The device waits for a touch.
const WAITS_FOR_TOUCH: u8 = 0x20;
/// The number of a report in its answer.
const NUMBER: u8 = 0x1f;
/// Written, it makes the device forget the rest of an answer.
const RESET: u8 = 0x8f;

/// Tells the serial number.
const TELL_SERIAL: u8 = 0x10;
/// Answers by HMAC-SHA1, slot 1 and slot 2.
const HMAC: [u8; 2] = [0x30, 0x38];

const HMAC_BYTES: usize = 20;
/// The longest answer, with checksum, in whole reports.
const MAX_ANSWER: usize = (HMAC_BYTES + 2).next_multiple_of(CONTENT);

const FIRST_WITH_CHALLENGES: Version = Version { major: 2, minor: 2, build: 0 };

/// How long the device may take for a report.
const REPORT_TIME: Duration = Duration::from_secs(2);
/// How long for an answer; it gives up waiting for a touch sooner than that.
const ANSWER_TIME: Duration = Duration::from_secs(30);
const POLL: Duration = Duration::from_millis(5);

/// Where the reports go: to a device, or, in tests, to a mock of one.
pub(super) trait FeatureReports {
    fn read(&mut self, report: &mut [u8; REPORT]) -> Result<(), YubikeyError>;
    fn write(&mut self, report: &[u8; REPORT]) -> Result<(), YubikeyError>;

    /// How long [`ANSWER_TIME`] is; tests don't have that long.
    fn answer_time(&self) -> Duration {
        ANSWER_TIME
    }
}

/// What the device is.
pub(super) fn device(reports: &mut impl FeatureReports) -> Result<Device, YubikeyError> {
    let version = status(reports)?.version;
    let answer = match version >= FIRST_WITH_CHALLENGES {
        true => exchange::<4>(reports, TELL_SERIAL, &[0; PAYLOAD])?,
        false => None,
    };
    let serial = answer.map(|serial| u32::from_be_bytes(*serial.expose()));
    Ok(Device { serial, version })
}

/// What `slot` answers to `challenge`, which is shorter than 64 bytes.
pub(super) fn hmac_sha1(
    reports: &mut impl FeatureReports,
    slot: Slot,
    challenge: &[u8],
) -> Result<SecretBytes, YubikeyError> {
    let status = status(reports)?;
    if status.version < FIRST_WITH_CHALLENGES {
        return Err(YubikeyError::TooOld { version: status.version });
    }
    if !status.holds(slot) {
        return Err(YubikeyError::EmptySlot { slot });
    }
    let command = HMAC[usize::from(slot.number() - 1)];
    let answer = exchange::<HMAC_BYTES>(reports, command, &padded(challenge))?
        .ok_or(YubikeyError::NotChallengeResponse { slot })?;
    Ok(SecretBytes::copy_of(answer.expose())?)
}

/// A slot for challenges of any length takes off all last bytes that are alike, so the filling must
/// not be like the last byte of the challenge. These fillings are those of Yubico's own programs.
fn padded(challenge: &[u8]) -> [u8; PAYLOAD] {
    let filling = u8::from(challenge.last() == Some(&0));
    let mut payload = [filling; PAYLOAD];
    payload[..challenge.len()].copy_from_slice(challenge);
    payload
}

/// What an idle device says.
struct Status {
    version: Version,
    /// Which slots hold something, and whether they wait for a touch.
    slots: u8,
}

impl Status {
    fn holds(&self, slot: Slot) -> bool {
        self.slots & slot.number() != 0
    }
}

fn status(reports: &mut impl FeatureReports) -> Result<Status, YubikeyError> {
    await_idle(reports)?;
    let mut report = [0; REPORT];
    reports.read(&mut report)?;
    let [_, major, minor, build, _, slots, _, flags] = report;
    if flags != 0 || major == 0 {
        return Err(YubikeyError::Malformed("it tells no version"));
    }
    Ok(Status { version: Version { major, minor, build }, slots })
}

/// Waits until a report can be written, and drops an answer that nobody has read to its end.
fn await_idle(reports: &mut impl FeatureReports) -> Result<(), YubikeyError> {
    await_writable(reports)?;
    let mut report = Secret::<REPORT>::zeroed();
    reports.read(report.expose_mut())?;
    if flags(&report) != 0 {
        reset(reports)?;
    }
    Ok(())
}

fn reset(reports: &mut impl FeatureReports) -> Result<(), YubikeyError> {
    reports.write(&[0, 0, 0, 0, 0, 0, 0, RESET])?;
    await_writable(reports)
}

fn await_writable(reports: &mut impl FeatureReports) -> Result<(), YubikeyError> {
    let deadline = Instant::now() + REPORT_TIME;
    // It may be the rest of an answer.
    let mut report = Secret::<REPORT>::zeroed();
    loop {
        reports.read(report.expose_mut())?;
        if flags(&report) & WRITTEN == 0 {
            return Ok(());
        }
        if Instant::now() >= deadline {
            return Err(YubikeyError::Silent { seconds: REPORT_TIME.as_secs() });
        }
        thread::sleep(POLL);
    }
}

/// Sends a command and checks the answer; none when the device does not do this.
fn exchange<const N: usize>(
    reports: &mut impl FeatureReports,
    command: u8,
    payload: &[u8; PAYLOAD],
) -> Result<Option<Secret<N>>, YubikeyError> {
    with_clean_stack(|| {
        send(reports, &frame(command, payload))?;
        let Some(answer) = receive(reports)? else { return Ok(None) };
        let (content, checked) = match answer.expose() {
            bytes if bytes.len() >= N + 2 => (&bytes[..N], &bytes[..N + 2]),
            _ => return Err(YubikeyError::Malformed("it is too short")),
        };
        if crc16(checked) != CRC_RESIDUE {
            return Err(YubikeyError::Malformed("its checksum is wrong"));
        }
        Ok(Some(Secret::from_fn(|secret: &mut [u8; N]| secret.copy_from_slice(content))))
    })
}

fn frame(command: u8, payload: &[u8; PAYLOAD]) -> [u8; FRAME] {
    let mut frame = [0; FRAME];
    frame[..PAYLOAD].copy_from_slice(payload);
    frame[PAYLOAD] = command;
    frame[PAYLOAD + 1..PAYLOAD + 3].copy_from_slice(&crc16(payload).to_le_bytes());
    frame
}

/// Writes the frame in numbered reports. The device takes those that are left out for zeros, but needs
/// the first, which begins a frame, and the last, which ends it and is never zero: it has the command.
fn send(reports: &mut impl FeatureReports, frame: &[u8; FRAME]) -> Result<(), YubikeyError> {
    let (contents, _) = frame.as_chunks::<CONTENT>();
    for (number, content) in (0_u8..).zip(contents) {
        if number == 0 || *content != [0; CONTENT] {
            let mut report = [0; REPORT];
            report[..CONTENT].copy_from_slice(content);
            report[CONTENT] = WRITTEN | number;
            await_writable(reports)?;
            reports.write(&report)?;
        }
    }
    Ok(())
}

/// Reads reports until one has the number 0 again; none when the device goes idle instead.
fn receive(reports: &mut impl FeatureReports) -> Result<Option<SecretBytes>, YubikeyError> {
    let time = reports.answer_time();
    let deadline = Instant::now() + time;
    let mut answer = SecretBytes::with_capacity(MAX_ANSWER)?;
    let mut report = Secret::<REPORT>::zeroed();
    let mut waited_for_touch = false;
    while Instant::now() < deadline {
        reports.read(report.expose_mut())?;
        let flags = flags(&report);
        let expected = answer.len() / CONTENT;
        if flags & ANSWER != 0 && usize::from(flags & NUMBER) == expected {
            if answer.len() == MAX_ANSWER {
                reset(reports)?;
                return Err(YubikeyError::Malformed("it is too long"));
            }
            answer.extend_from_slice(&report.expose()[..CONTENT])?;
        } else if flags & ANSWER != 0 && flags & NUMBER == 0 {
            reset(reports)?;
            return Ok(Some(answer));
        } else if flags == 0 {
            return match (answer.is_empty(), waited_for_touch) {
                (false, _) => Err(YubikeyError::Malformed("it ends in the middle")),
                (true, true) => Err(YubikeyError::NotTouched),
                (true, false) => Ok(None),
            };
        } else {
            waited_for_touch |= flags & WAITS_FOR_TOUCH != 0;
            thread::sleep(POLL);
        }
    }
    reset(reports)?;
    Err(YubikeyError::Silent { seconds: time.as_secs() })
}

fn flags(report: &Secret<REPORT>) -> u8 {
    report.expose()[CONTENT]
}

/// What [`crc16`] gives over bytes and their own checksum.
const CRC_RESIDUE: u16 = 0xf0b8;

/// CRC-16/MCRF4XX: ISO/IEC 13239 without the inversion at the end.
pub(super) fn crc16(bytes: &[u8]) -> u16 {
    bytes.iter().fold(0xffff, |crc, byte| {
        (0..8).fold(crc ^ u16::from(*byte), |crc, _| match crc & 1 {
            0 => crc >> 1,
            _ => crc >> 1 ^ 0x8408,
        })
    })
}
