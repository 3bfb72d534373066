//! One conversation with a token.

use std::fs::{File, TryLockError};
use std::io::ErrorKind;
use std::os::unix::fs::FileTypeExt;
use std::path::{Path, PathBuf};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, Sender};
use std::time::Duration;

use fido2_rs::assertion::AssertRequest;
use fido2_rs::credentials::{CoseType, Credential, Extensions, Opt};
use fido2_rs::device::Device;
use secret_memory::{SecretBytes, with_clean_deep_stack};

use super::{Fido2Error, random};

/// The relying party: a credential of Sesame is of use to nothing else.
const RP_ID: &str = "sesame";

/// To say what it is: milliseconds, where it is a token.
const TO_OPEN: Duration = Duration::from_secs(5);

/// Two touches; a token gives up on each after half a minute or so.
const TO_TOUCH: Duration = Duration::from_secs(120);

/// How deep libfido2 and its OpenSSL go, in bytes, with a margin.
const STACK: usize = 128 << 10;

/// A token that has said that it speaks CTAP2.
pub(super) struct Token(Device);

enum Progress<T> {
    Opened,
    Done(Result<T, Fido2Error>),
}

/// Opens the token and runs `work` with it.
///
/// libfido2 waits for ever for a device that says nothing. It does so in a thread, which is left
/// alone when its time is over: it sleeps until the process ends.
pub(super) fn with_token<T: Send + 'static>(
    path: &Path,
    work: impl FnOnce(&Token) -> Result<T, Fido2Error> + Send + 'static,
) -> Result<T, Fido2Error> {
    require_free_device(path)?;
    let (sender, receiver) = mpsc::channel();
    let device = path.to_owned();
    std::thread::spawn(move || {
        with_clean_deep_stack::<STACK, _>(|| {
            let result = Token::open(device, &sender).and_then(|token| work(&token));
            // Nobody listens any more when it came too late.
            let _ = sender.send(Progress::Done(result));
        });
    });
    let mut limit = TO_OPEN;
    loop {
        match await_progress(&receiver, limit, path)? {
            Progress::Opened => limit = TO_TOUCH,
            Progress::Done(result) => return result,
        }
    }
}

fn await_progress<T>(
    receiver: &Receiver<Progress<T>>,
    limit: Duration,
    path: &Path,
) -> Result<Progress<T>, Fido2Error> {
    receiver.recv_timeout(limit).map_err(|error| match error {
        RecvTimeoutError::Timeout => Fido2Error::Silent { path: path.to_owned() },
        // The thread has panicked over what the device said.
        RecvTimeoutError::Disconnected => Fido2Error::NotFido2 { path: path.to_owned() },
    })
}

/// libfido2 has one code for all of these.
fn require_free_device(path: &Path) -> Result<(), Fido2Error> {
    let no_device = |error| Fido2Error::NoDevice { path: path.to_owned(), error };
    let file = File::options().read(true).write(true).open(path).map_err(no_device)?;
    let kind = file.metadata().map_err(no_device)?.file_type();
    if !path.is_absolute() || !kind.is_char_device() {
        return Err(no_device(ErrorKind::InvalidInput.into()));
    }
    match file.try_lock() {
        Ok(()) => Ok(()),
        Err(TryLockError::WouldBlock) => Err(Fido2Error::Busy { path: path.to_owned() }),
        Err(TryLockError::Error(error)) => Err(no_device(error)),
    }
}

impl Token {
    fn open<T>(path: PathBuf, sender: &Sender<Progress<T>>) -> Result<Self, Fido2Error> {
        let text = path.to_str().unwrap_or_default();
        let opened = Device::open(text).ok().filter(Device::is_fido2);
        let device = opened.ok_or(Fido2Error::NotFido2 { path })?;
        let _ = sender.send(Progress::Opened);
        Ok(Self(device))
    }

    /// Makes a credential that takes no room on the token, and gives its id.
    pub(super) fn make_credential(&self, pin: Option<&str>) -> Result<Vec<u8>, Fido2Error> {
        let make = || {
            let mut credential = Credential::new()?;
            credential.set_cose_type(CoseType::ES256)?;
            credential.set_rp(RP_ID, "Sesame")?;
            credential.set_user(b"sesame", "unlock factor", None, None)?;
            credential.set_extension(Extensions::HMAC_SECRET)?;
            Ok(credential)
        };
        let mut credential: Credential = make().map_err(Fido2Error::from_library)?;
        credential.set_client_data_hash(random()?).map_err(Fido2Error::from_library)?;
        self.0.make_credential(&mut credential, pin).map_err(|error| self.why(error))?;
        Ok(credential.id().to_vec())
    }

    /// Asks for the HMAC over `salt`, 32 bytes.
    ///
    /// A token without the extension leaves it out. The bindings can list a token's extensions before
    /// the first touch, and panic where one isn't UTF-8.
    pub(super) fn hmac_secret(
        &self,
        credential: &[u8],
        salt: &[u8; 32],
        pin: Option<&str>,
    ) -> Result<SecretBytes, Fido2Error> {
        /// CTAP 2.1 and WebAuthn §6.1: bit 2 of the flags.
        const USER_VERIFIED: u8 = 1 << 2;
        let mut request = request(credential)?;
        request.set_extensions(Extensions::HMAC_SECRET).map_err(Fido2Error::from_library)?;
        request.set_hmac_salt(salt).map_err(Fido2Error::from_library)?;
        let assertions = self.0.get_assertion(request, pin).map_err(|error| self.why(error))?;
        let assertion = assertions.iter().next().ok_or(Fido2Error::NotThisToken)?;
        if (assertion.flags() & USER_VERIFIED != 0) != pin.is_some() {
            return Err(Fido2Error::OtherVerification);
        }
        match assertion.hmac_secret() {
            [] => Err(Fido2Error::NoHmacSecret),
            secret if secret.len() == 32 => Ok(SecretBytes::copy_of(secret)?),
            _ => Err(Fido2Error::Protocol { code: 0 }),
        }
    }

    /// Whether the token knows the credential: an assertion without the user's presence.
    pub(super) fn holds(&self, credential: &[u8]) -> Result<bool, Fido2Error> {
        let mut request = request(credential)?;
        request.set_up(Opt::False).map_err(Fido2Error::from_library)?;
        match self.0.get_assertion(request, None).map_err(|error| self.why(error)) {
            Ok(_) => Ok(true),
            Err(Fido2Error::NotThisToken) => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// Only the token knows how many tries are left.
    fn why(&self, error: fido2_rs::error::Error) -> Fido2Error {
        match Fido2Error::from_library(error) {
            Fido2Error::WrongPin { .. } => {
                let left = self.0.get_retry_count().ok();
                Fido2Error::WrongPin { left: left.and_then(|left| u8::try_from(left).ok()) }
            }
            error => error,
        }
    }
}

fn request(credential: &[u8]) -> Result<AssertRequest, Fido2Error> {
    let challenge = random()?;
    let make = || {
        let mut request = AssertRequest::new()?;
        request.set_rp(RP_ID)?;
        request.set_client_data_hash(challenge)?;
        request.set_allow_credential(credential)?;
        Ok(request)
    };
    make().map_err(Fido2Error::from_library)
}
