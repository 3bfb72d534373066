//! A random piece sealed to a TPM 2.0 (TCG TPM 2.0 Library, revision 1.59).
//!
//! The evidence is 32 random bytes that leave the TPM only when the chosen PCRs have the values that
//! they had at enrolment and, with a PIN, when the PIN is right. The TPM counts wrong PINs and refuses
//! all of them for a while after some (its dictionary attack protection); a PIN can therefore be short.
//!
//! - Without PCRs, whatever runs on this machine may ask; with neither PCRs nor a PIN it gets the piece
//!   each time, and the factor only says that the disk is in the machine that it was enrolled on.
//! - Nobody who listens between the processor and the TPM learns the PIN or the piece: they travel in
//!   sessions that are salted to a key of the TPM, encrypted (AES-128-CFB) and authenticated.
//! - Who can also put himself between the two is found out when evidence is asked for, because the
//!   key's Name was stored at enrolment. He must not be there at enrolment: there is nothing yet to
//!   compare the key with, and Sesame knows no maker's certificates.
//!
//! libtss2 writes to standard error as `TSS2_LOG` tells it, and session keys too where that says `debug`:
//! with any value but `all+NONE` nothing is asked of a TPM. Without one it writes codes, no secrets.

mod error;
mod heap;
mod session;
mod tcti;

use key_hierarchy::parameters::TpmParameters;
use secret_memory::{SecretBytes, with_clean_deep_stack};

pub use error::TpmError;
pub use tcti::Tcti;

use heap::WipeFreed;
use session::{AuthValue, Session};

/// Length of the piece, in bytes.
const PIECE: usize = 32;

/// How deep libtss2 and its OpenSSL go, in bytes, with a margin.
const STACK: usize = 128 << 10;

/// Who made the TPM that answers, and the version of its firmware: `IBM SW TPM, firmware 2019.1023`.
///
/// # Errors
/// [`TpmError::Unreachable`] when there is none.
pub fn available(tcti: &Tcti) -> Result<String, TpmError> {
    Session::describe(tcti)
}

/// Seals a new random piece under the present values of `pcrs` (0 to 23, of the SHA-256 bank) and, where
/// there is one, the PIN; reads it back to see that it works.
///
/// # Errors
/// [`TpmError`]. The TPM keeps nothing of a factor, so that nothing is left behind in it.
pub fn enroll(
    tcti: &Tcti,
    pcrs: &[u8],
    pin: Option<&SecretBytes>,
) -> Result<(TpmParameters, SecretBytes), TpmError> {
    let pcrs = sorted(pcrs)?;
    let auth = pin.map(AuthValue::from_pin).transpose()?;
    let mut piece = SecretBytes::zeroed(PIECE)?;
    getrandom::fill(piece.expose_mut()).map_err(|_| TpmError::Randomness)?;
    let _wipe = WipeFreed;
    with_clean_deep_stack::<STACK, _>(|| {
        let mut session = Session::open(tcti)?;
        session.require_bank(&pcrs)?;
        let (public, private) = session.seal(&piece, &pcrs, auth.as_ref())?;
        let read_back = session.unseal(&public, &private, &pcrs, auth.as_ref())?;
        if read_back.expose() != piece.expose() {
            return Err(TpmError::Tampered);
        }
        let primary = session.primary_name().to_vec();
        let parameters = TpmParameters { primary, public, private, pcrs, pin: auth.is_some() };
        Ok((parameters, piece))
    })
}

/// Asks for the piece again: 32 bytes.
///
/// # Errors
/// [`TpmError::PcrsChanged`], [`TpmError::WrongPin`], [`TpmError::Lockout`], [`TpmError::OtherTpm`] when
/// the TPM keeps the piece; others when it isn't asked at all or fails.
pub fn evidence(
    tcti: &Tcti,
    parameters: &TpmParameters,
    pin: Option<&SecretBytes>,
) -> Result<SecretBytes, TpmError> {
    let auth = match (parameters.pin, pin) {
        (true, None) => return Err(TpmError::PinNeeded),
        (false, Some(_)) => return Err(TpmError::PinUnexpected),
        (_, pin) => pin.map(AuthValue::from_pin).transpose()?,
    };
    let pcrs = sorted(&parameters.pcrs)?;
    let _wipe = WipeFreed;
    with_clean_deep_stack::<STACK, _>(|| {
        let mut session = Session::open_known(tcti, &parameters.primary)?;
        session.unseal(&parameters.public, &parameters.private, &pcrs, auth.as_ref())
    })
}

/// Each number once, in order.
fn sorted(pcrs: &[u8]) -> Result<Vec<u8>, TpmError> {
    if let Some(&pcr) = pcrs.iter().find(|&&pcr| pcr > 23) {
        return Err(TpmError::NoSuchPcr { pcr });
    }
    let mut sorted = pcrs.to_vec();
    sorted.sort_unstable();
    sorted.dedup();
    Ok(sorted)
}
