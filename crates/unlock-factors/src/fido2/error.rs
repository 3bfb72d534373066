//! What goes wrong with a FIDO2 token, and what to do.

use std::io;
use std::path::PathBuf;

use secret_memory::OutOfSecretMemory;

/// Why a token gave no evidence. Whatever it is, nothing was changed anywhere, save the token's own
/// count of wrong PINs.
#[derive(Debug, thiserror::Error)]
pub enum Fido2Error {
    /// There is no token there, or it may not be used.
    #[error(
        "no FIDO2 token at {}: {error}; nothing was changed. Plug it in, look whether this user may \
         open it, and try again",
        path.display()
    )]
    NoDevice {
        /// Where it was looked for.
        path: PathBuf,
        /// What the kernel said.
        error: io::Error,
    },
    /// Another program talks to it.
    #[error(
        "another program uses the token {}; nothing was changed. Let it finish, and try again",
        path.display()
    )]
    Busy {
        /// Where.
        path: PathBuf,
    },
    /// It says nothing at all.
    #[error(
        "{} says nothing; nothing was changed. Plug the token out and in again and try again",
        path.display()
    )]
    Silent {
        /// Where.
        path: PathBuf,
    },
    /// What is there doesn't speak CTAP2.
    #[error(
        "{} does not answer as a FIDO2 token; nothing was changed. Plug it out and in again, or use \
         another token",
        path.display()
    )]
    NotFido2 {
        /// Where.
        path: PathBuf,
    },
    /// The token lacks the extension hmac-secret.
    #[error(
        "this token has no hmac-secret, so it can't hold an unlock factor; nothing was changed. Use \
         another token"
    )]
    NoHmacSecret,
    /// The PIN is wrong. The token counted it.
    #[error(
        "wrong PIN{}; nothing else was changed. Type it again with care: the token blocks its PIN for \
         good when none are left",
        Tries(*left)
    )]
    WrongPin {
        /// How many tries are left, when the token says.
        left: Option<u8>,
    },
    /// Three wrong PINs in a row.
    #[error(
        "the token refuses every PIN until it is plugged in again, after three wrong ones; nothing else \
         was changed. Plug it out and in, and type the PIN with care"
    )]
    PinRefusedUntilReplugged,
    /// No tries are left.
    #[error(
        "the token's PIN is blocked for good, and so is this factor; nothing else was changed. Unlock \
         with another factor, and revoke this one with `sesame factor revoke`"
    )]
    PinBlocked,
    /// A PIN was given, and the token has none.
    #[error(
        "this token has no PIN; nothing was changed. Set one (for example with `fido2-token -S`), or \
         enrol without a PIN"
    )]
    PinNotSet,
    /// The factor, or the token, demands its PIN.
    #[error("this token demands its PIN; nothing was changed. Give the PIN and try again")]
    PinNeeded,
    /// A PIN was given, and this factor was enrolled without.
    #[error("this FIDO2 factor has no PIN; nothing was sent. Try again without one")]
    PinUnexpected,
    /// A PIN that no token accepts.
    #[error(
        "a token's PIN is text of 4 to 63 bytes; nothing was sent and no try is lost. Type it again"
    )]
    PinMalformed,
    /// The token doesn't hold the credential.
    #[error(
        "this is not the token that was enrolled, or it has been reset since; nothing was changed. Plug \
         in the right one and try again"
    )]
    NotThisToken,
    /// Nobody touched it.
    #[error(
        "nobody touched the token in time; nothing was changed. Try again and touch it when it blinks"
    )]
    NotTouched,
    /// The token, or its holder at the token, declined.
    #[error("the token declined; nothing was changed. Try again")]
    Declined,
    /// Plugged out.
    #[error("the token went away; nothing was changed. Plug it in and try again")]
    Gone,
    /// With the PIN where the factor has none (some tokens verify a finger unasked), or without.
    #[error(
        "the token verified its holder in another way than this factor asks for, which gives another \
         secret; nothing was changed. Switch its `alwaysUv` off, or enrol with the PIN"
    )]
    OtherVerification,
    /// It answered something that CTAP doesn't allow.
    #[error(
        "the token's answer makes no sense (code {code:#x}); nothing was changed. Plug it out and in \
         again, or use another token"
    )]
    Protocol {
        /// libfido2's code (fido_strerr(3)), or 0.
        code: i32,
    },
    /// Anything else that the token said.
    #[error(
        "the token refused (CTAP code {code:#x}); nothing was changed. Plug it out and in again and try \
         again, or use another token"
    )]
    Refused {
        /// The status code (CTAP 2.1 §8.2).
        code: i32,
    },
    /// No randomness from the kernel.
    #[error("the kernel gave no randomness; nothing was changed. Try again")]
    Randomness,
    /// See there.
    #[error("{0}; nothing was changed")]
    Memory(#[from] OutOfSecretMemory),
}

impl Fido2Error {
    /// Codes below zero are libfido2's own; the others are the token's (CTAP 2.1 §8.2).
    pub(super) fn from_library(error: fido2_rs::error::Error) -> Self {
        let fido2_rs::error::Error::Fido(error) = error else { return Self::PinMalformed };
        match error.code {
            -1 | -2 => Self::Gone,
            0x16 => Self::NoHmacSecret,
            0x22 | 0x2e => Self::NotThisToken,
            0x27 | 0x2d => Self::Declined,
            0x2f | 0x3a => Self::NotTouched,
            0x31 => Self::WrongPin { left: None },
            0x32 => Self::PinBlocked,
            0x34 => Self::PinRefusedUntilReplugged,
            0x35 => Self::PinNotSet,
            0x36 => Self::PinNeeded,
            0x37 => Self::PinMalformed,
            code @ ..0 => Self::Protocol { code },
            code => Self::Refused { code },
        }
    }
}

/// How many tries are left, in words.
struct Tries(Option<u8>);

impl std::fmt::Display for Tries {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.0 {
            None => Ok(()),
            Some(1) => f.write_str(", 1 try is left"),
            Some(left) => write!(f, ", {left} tries are left"),
        }
    }
}
