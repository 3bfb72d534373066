//! A slot of a YubiKey that answers challenges by HMAC-SHA1.
//!
//! The evidence is the 20 bytes that the slot answers to the stored challenge of 32 bytes: HMAC-SHA1
//! (RFC 2104) under a key that does not leave the device. `ykman otp chalresp --generate 2` puts such a
//! key into slot 2, and `--touch` makes the slot wait for a touch; `ykman otp calculate` gives the
//! same answer. A slot set to challenges of fixed length works too; it answers to the challenge and
//! 32 bytes of filling.
//!
//! Not tested on hardware. The tests run the protocol against a mock of the device that is written
//! from the same documents, so they cannot show that the documents are right.

mod error;
mod protocol;
#[cfg(test)]
mod tests;
mod usb;

use std::fmt;

use key_hierarchy::parameters::YubikeyParameters;
use secret_memory::SecretBytes;

pub use error::YubikeyError;

use protocol::FeatureReports;

/// A YubiKey that is plugged in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Device {
    /// Its serial number, where it tells it.
    pub serial: Option<u32>,
    /// Its firmware.
    pub version: Version,
}

/// The version of a YubiKey's firmware, such as 5.4.3.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Version {
    /// The first number.
    pub major: u8,
    /// The second number.
    pub minor: u8,
    /// The third number.
    pub build: u8,
}

/// One of the two slots that can be set to challenge-response.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Slot {
    /// Slot 1; new devices have a Yubico one-time password there.
    One,
    /// Slot 2; empty in new devices.
    Two,
}

/// The YubiKeys that are plugged in, of those whose keyboard interface is on.
///
/// Each of them is no keyboard for the moment that this takes.
///
/// # Errors
/// [`YubikeyError::Usb`] when USB devices can't be listed, or one of them can't be used.
pub fn devices() -> Result<Vec<Device>, YubikeyError> {
    let told = |mut reports| protocol::device(&mut reports);
    usb::open_all()?.into_iter().map(told).collect()
}

/// Makes a factor of a slot of the YubiKey with this serial number, or of the only one there is: a
/// new random challenge, and the first evidence.
///
/// The device answers twice, so a slot that waits for a touch waits twice.
///
/// # Errors
/// [`YubikeyError::NotDeterministic`] when the two answers differ, and those of [`evidence`].
pub fn enroll(
    serial: Option<u32>,
    slot: Slot,
) -> Result<(YubikeyParameters, SecretBytes), YubikeyError> {
    enroll_one_of(usb::open_all()?, serial, slot)
}

/// Asks for the evidence again: 20 bytes. Waits for a touch as long as the device does.
///
/// # Errors
/// When the device is not there, the slot does not answer challenges, nobody touches it, or what it
/// answers makes no sense.
pub fn evidence(parameters: &YubikeyParameters) -> Result<SecretBytes, YubikeyError> {
    evidence_of_one_of(usb::open_all()?, parameters)
}

fn enroll_one_of<R: FeatureReports>(
    plugged_in: Vec<R>,
    serial: Option<u32>,
    slot: Slot,
) -> Result<(YubikeyParameters, SecretBytes), YubikeyError> {
    let (mut reports, device) = select(plugged_in, serial)?;
    let mut challenge = [0; 32];
    getrandom::fill(&mut challenge).map_err(|_| YubikeyError::Randomness)?;
    let first = protocol::hmac_sha1(&mut reports, slot, &challenge)?;
    let second = protocol::hmac_sha1(&mut reports, slot, &challenge)?;
    if first.expose() != second.expose() {
        return Err(YubikeyError::NotDeterministic { slot });
    }
    Ok((YubikeyParameters { serial: device.serial, slot: slot.number(), challenge }, first))
}

fn evidence_of_one_of<R: FeatureReports>(
    plugged_in: Vec<R>,
    parameters: &YubikeyParameters,
) -> Result<SecretBytes, YubikeyError> {
    let slot = Slot::try_from(parameters.slot)?;
    let (mut reports, _) = select(plugged_in, parameters.serial)?;
    protocol::hmac_sha1(&mut reports, slot, &parameters.challenge)
}

/// The device with this serial number; without one, the only device, for a challenge is not to be
/// given to the wrong one, nor a touch to be waited for there.
fn select<R: FeatureReports>(
    plugged_in: Vec<R>,
    wanted: Option<u32>,
) -> Result<(R, Device), YubikeyError> {
    let mut found = Vec::new();
    for mut reports in plugged_in {
        let device = protocol::device(&mut reports)?;
        found.push((reports, device));
    }
    if found.is_empty() {
        return Err(YubikeyError::NoDevice);
    }
    if let Some(serial) = wanted {
        let right = found.into_iter().find(|(_, device)| device.serial == wanted);
        return right.ok_or(YubikeyError::OtherDevice { serial });
    }
    match <[_; 1]>::try_from(found) {
        Ok([only]) => Ok(only),
        Err(several) => Err(YubikeyError::SeveralDevices { count: several.len() }),
    }
}

impl Slot {
    /// 1 or 2.
    #[must_use]
    pub const fn number(self) -> u8 {
        match self {
            Self::One => 1,
            Self::Two => 2,
        }
    }
}

impl TryFrom<u8> for Slot {
    type Error = YubikeyError;

    fn try_from(number: u8) -> Result<Self, Self::Error> {
        match number {
            1 => Ok(Self::One),
            2 => Ok(Self::Two),
            _ => Err(YubikeyError::NoSuchSlot { number }),
        }
    }
}

impl fmt::Display for Slot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.number().fmt(f)
    }
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}.{}", self.major, self.minor, self.build)
    }
}
