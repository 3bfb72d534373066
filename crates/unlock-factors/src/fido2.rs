//! A credential with hmac-secret on a FIDO2 token (CTAP 2.1 §12.5), through libfido2.
//!
//! The evidence is 32 bytes: the token's HMAC over a stored salt, under a key that belongs to the
//! credential and never leaves the token. It comes encrypted from the token, and only after a touch.
//!
//! A token has two such keys for a credential, one for a holder who gave the PIN and one for a holder
//! who didn't; a factor that was enrolled with the PIN is therefore worth nothing without it. A token
//! counts wrong PINs, and after eight of them blocks its PIN for good.
//!
//! The credential takes no room on the token, and a reset of the token destroys it. The calls block
//! until the token is touched or gives up; say "touch your token" first.

mod error;
mod token;

use std::path::{Path, PathBuf};

use fido2_rs::device::DeviceList;
use key_hierarchy::parameters::Fido2Parameters;
use secret_memory::SecretBytes;

pub use error::Fido2Error;

use token::{Token, with_token};

/// More tokens than anybody plugs in.
const MAX_DEVICES: usize = 64;

/// A token that is plugged in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Device {
    /// Its hidraw(4) device.
    pub path: PathBuf,
    /// As the device tells it, made printable; may be empty.
    pub manufacturer: String,
    /// As the device tells it, made printable; may be empty.
    pub product: String,
}

/// The tokens that are plugged in, as udev(7) knows them; this user need not be able to open them.
///
/// # Errors
/// [`Fido2Error::Protocol`] when the list can't be made.
pub fn devices() -> Result<Vec<Device>, Fido2Error> {
    let list = DeviceList::list_devices(MAX_DEVICES).map_err(Fido2Error::from_library)?;
    let device = |info: fido2_rs::device::DeviceInfo| Device {
        path: PathBuf::from(info.path.to_string_lossy().into_owned()),
        manufacturer: printable(&info.manufacturer.to_string_lossy()),
        product: printable(&info.product.to_string_lossy()),
    };
    Ok(list.map(device).collect())
}

/// What a device says of itself goes onto a screen.
fn printable(text: &str) -> String {
    text.chars().filter(|character| character.is_ascii_graphic() || *character == ' ').collect()
}

/// Makes a credential and a salt, and asks for the first evidence. The token is touched twice.
///
/// With `pin`, the factor demands the token's PIN each time.
///
/// # Errors
/// [`Fido2Error`]. Where it fails after the first touch, the credential is useless, and nothing of it is
/// on the token.
pub fn enroll(
    device: &Path,
    pin: Option<&SecretBytes>,
) -> Result<(Fido2Parameters, SecretBytes), Fido2Error> {
    let pin = pin.map(checked).transpose()?;
    let salt = random()?;
    with_token(device, move |token: &Token| {
        let pin = pin.as_ref().map(text).transpose()?;
        let credential = token.make_credential(pin)?;
        let evidence = token.hmac_secret(&credential, &salt, pin)?;
        Ok((Fido2Parameters { credential, salt, pin: pin.is_some() }, evidence))
    })
}

/// Asks for the evidence again: 32 bytes. The token is touched once.
///
/// A token that doesn't hold the credential gets no PIN, and so counts none as wrong.
///
/// # Errors
/// [`Fido2Error::NotThisToken`], [`Fido2Error::WrongPin`], [`Fido2Error::NotTouched`] and others.
pub fn evidence(
    device: &Path,
    parameters: &Fido2Parameters,
    pin: Option<&SecretBytes>,
) -> Result<SecretBytes, Fido2Error> {
    let pin = match (parameters.pin, pin) {
        (true, None) => return Err(Fido2Error::PinNeeded),
        (false, Some(_)) => return Err(Fido2Error::PinUnexpected),
        (_, pin) => pin.map(checked).transpose()?,
    };
    let parameters = parameters.clone();
    with_token(device, move |token: &Token| {
        let pin = pin.as_ref().map(text).transpose()?;
        // Some tokens answer nothing without a touch or their PIN; they are asked for good.
        if let Ok(false) = token.holds(&parameters.credential) {
            return Err(Fido2Error::NotThisToken);
        }
        token.hmac_secret(&parameters.credential, &parameters.salt, pin)
    })
}

/// Whether the token holds the credential; asks without a touch and without a PIN.
///
/// # Errors
/// [`Fido2Error::NoDevice`], [`Fido2Error::NotFido2`] and the like; [`Fido2Error::PinNeeded`] or
/// [`Fido2Error::Refused`] when this token answers nobody without its PIN or a touch.
pub fn present(device: &Path, parameters: &Fido2Parameters) -> Result<bool, Fido2Error> {
    let credential = parameters.credential.clone();
    with_token(device, move |token: &Token| token.holds(&credential))
}

/// A copy of the PIN, if a token could have it (CTAP 2.1 §6.5.1).
fn checked(pin: &SecretBytes) -> Result<SecretBytes, Fido2Error> {
    let characters = text(pin)?.chars().count();
    if characters < 4 || pin.len() > 63 || pin.expose().contains(&0) {
        return Err(Fido2Error::PinMalformed);
    }
    Ok(SecretBytes::copy_of(pin.expose())?)
}

fn text(pin: &SecretBytes) -> Result<&str, Fido2Error> {
    std::str::from_utf8(pin.expose()).map_err(|_| Fido2Error::PinMalformed)
}

fn random() -> Result<[u8; 32], Fido2Error> {
    let mut bytes = [0; 32];
    getrandom::fill(&mut bytes).map_err(|_| Fido2Error::Randomness)?;
    Ok(bytes)
}
