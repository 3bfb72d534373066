//! What goes wrong with a TPM, and what to do.

use secret_memory::OutOfSecretMemory;
use tss_esapi::constants::response_code::Tss2ResponseCode;
use tss_esapi::{Error, WrapperErrorKind};

/// Why a TPM gave no evidence. Whatever it is, nothing was changed anywhere, save the TPM's own count
/// of wrong PINs.
#[derive(Debug, thiserror::Error)]
pub enum TpmError {
    /// The text names no way to a TPM.
    #[error(
        "`{text}` names no TPM; write `device:/dev/tpmrm0`, or `swtpm:host=127.0.0.1,port=2321` for a \
         software TPM"
    )]
    NotATcti {
        /// What was written.
        text: String,
    },
    /// libtss2 would write session keys to standard error.
    #[error(
        "TSS2_LOG is set, with which the TPM library may show secrets; nothing was sent. Unset it, or \
         set it to `all+NONE`, and try again"
    )]
    LogIsOn,
    /// There is no TPM there, or it may not be used.
    #[error(
        "no TPM answers at {tcti}; nothing was changed. Look whether the firmware has it switched on \
         and whether this user may open it (group tss), or name another with SESAME_TCTI"
    )]
    Unreachable {
        /// Where it was looked for.
        tcti: String,
    },
    /// It answered, and then no more, or nonsense.
    #[error(
        "the TPM stopped answering while {doing} (code {code:#x}); nothing was changed. Try again; if \
         it stays so, restart the machine"
    )]
    Broken {
        /// At which step.
        doing: &'static str,
        /// The code of the TSS layer that saw it (TSS 2.0 Overview §3).
        code: u32,
    },
    /// A session's key or a value did not fit: somebody changed what went over the bus.
    #[error(
        "what arrived from the TPM is not what it sent; nothing was changed. Something between the \
         processor and the TPM changes their traffic: don't type the PIN again on this machine before \
         you know what"
    )]
    Tampered,
    /// A PCR number that a TPM doesn't have.
    #[error("there is no PCR {pcr}; a TPM has 0 to 23. Nothing was changed")]
    NoSuchPcr {
        /// Which.
        pcr: u8,
    },
    /// The TPM has no SHA-256 bank with these PCRs.
    #[error(
        "this TPM measures nothing into its SHA-256 bank for the PCRs asked for; nothing was changed. \
         Switch the bank on in the firmware, or enrol without PCRs"
    )]
    NoPcrBank,
    /// The machine runs something else than at enrolment.
    #[error(
        "the machine was started differently than when this factor was enrolled: the PCRs {} have \
         other values, so the TPM keeps the secret. Nothing was changed. If the change is meant (an \
         update), unlock with another factor and enrol it again with `sesame factor enroll tpm`",
        List(pcrs)
    )]
    PcrsChanged {
        /// The PCRs that are demanded; one of them at least has another value.
        pcrs: Vec<u8>,
    },
    /// This factor has a PIN and none was given.
    #[error("this TPM factor has a PIN; nothing was changed. Give the PIN and try again")]
    PinNeeded,
    /// A PIN was given and this factor has none.
    #[error("this TPM factor has no PIN; nothing was sent. Try again without one")]
    PinUnexpected,
    /// A PIN of no characters.
    #[error(
        "an empty PIN protects nothing; nothing was changed. Choose one, or enrol without a PIN"
    )]
    PinEmpty,
    /// The PIN is wrong. The TPM counted it.
    #[error(
        "wrong PIN; the TPM counts these and soon refuses every PIN for a while. Nothing else was \
         changed. Type it again with care, or unlock with another factor"
    )]
    WrongPin,
    /// Too many wrong PINs, here or of others on this machine.
    #[error(
        "the TPM itself refuses every PIN for a while, after too many wrong ones; nothing was changed. \
         Wait (ten minutes to some hours, as the maker set it) with the machine on, or unlock with \
         another factor"
    )]
    Lockout,
    /// The piece was sealed by another TPM, or by this one before it was cleared.
    #[error(
        "this factor was sealed by another TPM, or this one has been cleared since; nothing was \
         changed. Use the machine that it was enrolled on, or unlock with another factor and enrol it \
         again with `sesame factor enroll tpm`"
    )]
    OtherTpm,
    /// The TPM refuses the stored object: it was edited or damaged.
    #[error(
        "the stored parameters of this TPM factor are damaged: the TPM refuses them. Nothing was \
         changed. Unlock with another factor and enrol it again with `sesame factor enroll tpm`"
    )]
    Damaged,
    /// The storage hierarchy has a password, so no primary can be made.
    #[error(
        "the TPM's owner hierarchy has a password, and Sesame uses an empty one; nothing was changed. \
         Remove it with `tpm2_changeauth -c owner -p OLD`, or clear the TPM in the firmware, which \
         destroys what others keep in it"
    )]
    OwnerPassword,
    /// Anything else that the TPM said.
    #[error(
        "the TPM refused while {doing} (code {code:#x}); nothing was changed. Look the code up with \
         `tpm2_rc_decode {code:#x}`"
    )]
    Refused {
        /// At which step.
        doing: &'static str,
        /// The response code (TPM 2.0 Part 2, TPM_RC).
        code: u32,
    },
    /// The library couldn't make or read a structure.
    #[error("the TPM library failed while {doing}: {reason}; nothing was changed")]
    Library {
        /// At which step.
        doing: &'static str,
        /// What it said.
        reason: WrapperErrorKind,
    },
    /// No randomness from the kernel.
    #[error("the kernel gave no randomness; nothing was changed. Try again")]
    Randomness,
    /// See there.
    #[error("{0}; nothing was changed")]
    Memory(#[from] OutOfSecretMemory),
}

/// Numbers with commas.
struct List<'a>(&'a [u8]);

impl std::fmt::Display for List<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        for (index, pcr) in self.0.iter().enumerate() {
            let comma = if index == 0 { "" } else { ", " };
            write!(f, "{comma}{pcr}")?;
        }
        Ok(())
    }
}

/// What the TPM's answer means, as far as a driver acts on it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Reason {
    /// The authorization value is wrong.
    Auth,
    /// Too many wrong ones.
    Lockout,
    /// The session doesn't satisfy the object's policy.
    Policy,
    /// A parameter is refused.
    Parameter,
    /// Something else.
    Other,
}

impl Reason {
    /// The codes are those of TPM 2.0 Part 2, "TPM_RC".
    pub(super) fn of(error: &Error) -> Self {
        const FORMAT_ONE: u32 = 0x80;
        const OF_A_PARAMETER: u32 = 0x40;
        match code(error) {
            Some(0x921) => Self::Lockout,
            Some(0x128) => Self::Policy,
            Some(code) if layer(code) == 0 && code & FORMAT_ONE != 0 => match code & 0x3f {
                0x0e | 0x22 => Self::Auth,
                0x1d => Self::Policy,
                _ if code & OF_A_PARAMETER != 0 => Self::Parameter,
                _ => Self::Other,
            },
            _ => Self::Other,
        }
    }
}

impl TpmError {
    pub(super) fn during(doing: &'static str, error: Error) -> Self {
        // TSS2_ESYS_RC_MALFORMED_RESPONSE and TSS2_ESYS_RC_RSP_AUTH_FAILED.
        const MALFORMED: u32 = 0x7_0011;
        const RESPONSE_AUTH: u32 = 0x7_001b;
        match (error, code(&error)) {
            (_, Some(MALFORMED | RESPONSE_AUTH)) => Self::Tampered,
            (_, Some(0x921)) => Self::Lockout,
            (_, Some(code)) if layer(code) == 0 => Self::Refused { doing, code },
            (_, Some(code)) => Self::Broken { doing, code },
            (Error::WrapperError(reason), None) => Self::Library { doing, reason },
            (Error::Tss2Error(_), None) => {
                Self::Library { doing, reason: WrapperErrorKind::InternalError }
            }
        }
    }
}

/// The library keeps the number to itself and shows it at the end of the text only.
fn code(error: &Error) -> Option<u32> {
    let text = match error {
        Error::Tss2Error(Tss2ResponseCode::FormatZero(code)) => code.to_string(),
        Error::Tss2Error(Tss2ResponseCode::FormatOne(code)) => code.to_string(),
        _ => return None,
    };
    u32::from_str_radix(text.rsplit_once("0x")?.1, 16).ok()
}

/// 0 is the TPM itself.
const fn layer(code: u32) -> u32 {
    code >> 16
}
