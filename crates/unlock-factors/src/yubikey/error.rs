//! What goes wrong with a YubiKey, and what to do.

use std::io;

use secret_memory::OutOfSecretMemory;

use super::{Slot, Version};

/// Why a YubiKey gave no evidence. Whatever it is, nothing was changed anywhere.
#[derive(Debug, thiserror::Error)]
pub enum YubikeyError {
    /// None is plugged in.
    #[error(
        "no YubiKey with a keyboard interface is plugged in; nothing was changed. Plug it in (or turn \
         the interface on with `ykman config usb --enable OTP`), and try again"
    )]
    NoDevice,
    /// One is plugged in, and another is needed.
    #[error(
        "the YubiKey {serial} is not plugged in, though another one is; nothing was changed. Plug it \
         in, and try again"
    )]
    OtherDevice {
        /// The serial number of the one that is needed.
        serial: u32,
    },
    /// Several are plugged in, and none was chosen.
    #[error(
        "{count} YubiKeys are plugged in, and it is not said which one is meant; nothing was changed. \
         Leave one plugged in, or name one by its serial number, and try again"
    )]
    SeveralDevices {
        /// How many there are.
        count: usize,
    },
    /// There are slots 1 and 2.
    #[error("a YubiKey has no slot {number}; nothing was changed. Take slot 1 or slot 2")]
    NoSuchSlot {
        /// What was asked for.
        number: u8,
    },
    /// Challenge-response came with firmware 2.2.
    #[error(
        "the YubiKey has firmware {version}, and only those from 2.2 on answer challenges; nothing was \
         changed. Use another one"
    )]
    TooOld {
        /// Its firmware.
        version: Version,
    },
    /// Nothing is in the slot.
    #[error(
        "slot {slot} of the YubiKey is empty; nothing was changed. Put a key into it with `ykman otp \
         chalresp --generate {slot}`"
    )]
    EmptySlot {
        /// Which one.
        slot: Slot,
    },
    /// The slot holds something, which answers no challenge.
    #[error(
        "slot {slot} of the YubiKey does not answer HMAC-SHA1 challenges; nothing was changed. Name the \
         other slot, or put a key into this one with `ykman otp chalresp --generate {slot}`, which \
         overwrites what it holds"
    )]
    NotChallengeResponse {
        /// Which one.
        slot: Slot,
    },
    /// The slot waited for a touch, in vain.
    #[error(
        "nobody touched the YubiKey in time; nothing was changed. Try again, and touch it when it blinks"
    )]
    NotTouched,
    /// It is doing something else, or nothing any more.
    #[error(
        "the YubiKey did not answer within {seconds} s; nothing was changed. Pull it out, plug it in \
         again, and try again"
    )]
    Silent {
        /// How long it had, in seconds.
        seconds: u64,
    },
    /// The answer isn't what the protocol says.
    #[error(
        "the YubiKey's answer makes no sense: {0}; nothing was changed. Close other programs that use \
         it, plug it in again, and try again"
    )]
    Malformed(&'static str),
    /// Two answers to the same challenge differ.
    #[error(
        "slot {slot} of the YubiKey answers the same challenge differently each time; nothing was \
         changed. Put a key into it with `ykman otp chalresp --generate {slot}`, which overwrites what \
         it holds"
    )]
    NotDeterministic {
        /// Which one.
        slot: Slot,
    },
    /// The kernel gives no access.
    #[error(
        "cannot use the YubiKey over USB: {0}; nothing was changed. Plug it in again, close other \
         programs that use it, and see that you may write to its file under /dev/bus/usb"
    )]
    Usb(#[source] io::Error),
    /// The answer has no room.
    #[error(
        "no secret memory is left for the YubiKey's answer; nothing was changed. Close other sessions, \
         or raise the limit of locked memory (ulimit -l), and try again"
    )]
    Memory(#[from] OutOfSecretMemory),
    /// The kernel gave no random bytes.
    #[error("the kernel gave no random bytes for a challenge; nothing was changed. Try again")]
    Randomness,
}
