//! The directory that goes to the machine with the key and back, twice.
//!
//! What is in it says how far it is: first `uki.tbs`, then its signature, then `manifest.json`, then its
//! signature. All of it is checked against the image each time. What is remembered here is the certificate's
//! digest alone, since whoever has the directory on its way could put another certificate into it, and sign.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use media::Digest;

use super::certificate::Certificate;
use crate::failed::Failed;
use crate::places::Places;
use crate::results;

const CERTIFICATE: &str = "certificate.pem";
const UKI: &str = "uki.tbs";
const MANIFEST: &str = "manifest.json";
const README: &str = "README.txt";

/// The SHA-256 of the certificate that was exported last, in the image's directory.
const PIN: &str = "signing-certificate.sha256";

/// Two round trips: the manifest names the digest of the disk with the signed UKI.
#[derive(Clone, Copy)]
pub enum Round {
    Uki,
    Manifest,
}

impl Round {
    /// The file that is to be signed.
    const fn file(self) -> &'static str {
        match self {
            Self::Uki => UKI,
            Self::Manifest => MANIFEST,
        }
    }

    /// What is typed on the machine with the key.
    pub fn command(self) -> String {
        let file = self.file();
        format!("openssl dgst -sha256 -sign KEY.pem -out {file}.sig {file}")
    }

    const fn explained(self) -> &'static str {
        match self {
            Self::Uki => {
                "Round 1 of 2: uki.tbs. It has the digest of the boot program (UKI) in the form that firmware \
                 checks\n(Authenticode). Whoever builds the same image gets the same file, whatever the \
                 certificate."
            }
            Self::Manifest => {
                "Round 2 of 2: manifest.json. It names the disk with the signed UKI. Whoever builds the same \
                 image and\nhas the signature of round 1 gets the same file."
            }
        }
    }
}

/// The directory.
pub struct Exchange(PathBuf);

impl Exchange {
    /// Begins in a directory that is empty, or isn't there yet.
    pub fn create(
        places: &Places,
        directory: &Path,
        certificate: &Certificate,
    ) -> Result<Self, Failed> {
        fs::create_dir_all(directory).map_err(Failed::io("make", directory))?;
        let mut entries = fs::read_dir(directory).map_err(Failed::io("read", directory))?;
        if entries.next().is_some() {
            return Err(Failed(format!(
                "{} is not empty, and was left as it is; name a new directory",
                directory.display()
            )));
        }
        let exchange = Self(directory.to_owned());
        exchange.write(CERTIFICATE, &certificate.pem)?;
        results::write(&places.output.join(PIN), certificate.sha256().to_string().as_bytes())?;
        Ok(exchange)
    }

    /// Goes on with one that [`Exchange::create`] began.
    pub fn open(directory: &Path) -> Result<Self, Failed> {
        let exchange = Self(directory.to_owned());
        if directory.join(CERTIFICATE).exists() && directory.join(UKI).exists() {
            return Ok(exchange);
        }
        Err(Failed(format!(
            "{} holds no export; `cargo xtask image --sign-export CERT DIR` makes one",
            directory.display()
        )))
    }

    /// The certificate, if it is the one that went out.
    pub fn certificate(&self, places: &Places) -> Result<Certificate, Failed> {
        let certificate = Certificate::read(&self.0.join(CERTIFICATE))?;
        let pin = places.output.join(PIN);
        let exported = fs::read_to_string(&pin).map_err(|error| {
            Failed(format!(
                "{} doesn't say which certificate was exported from here ({error}); target/image is as it was. \
                 Export again: `cargo xtask image --sign-export CERT DIR`, with a new directory",
                pin.display()
            ))
        })?;
        if exported == certificate.sha256().to_string() {
            return Ok(certificate);
        }
        Err(Failed(format!(
            "the certificate in {} has SHA-256\n\n  {}\n\nand the one that was exported last has\n\n  {exported}\n\n\
             Somebody has exchanged it on its way, or this is not the last export; target/image is as it was. \
             Find out which, and export again: `cargo xtask image --sign-export CERT DIR`, with a new directory",
            self.0.display(),
            certificate.sha256(),
        )))
    }

    /// Puts there what is to be signed, and how.
    pub fn offer(&self, round: Round, image: &str, bytes: &[u8]) -> Result<(), Failed> {
        self.write(round.file(), bytes)?;
        let text = format!(
            "{image}\n\n{}\n\n  SHA-256 {}\n\nCompare that with the screen where it was exported; then, in this directory, \
             with the private key\nof certificate.pem:\n\n  {}\n\nBring the directory back and type:\n\n  cargo xtask \
             image --sign-import DIR\n",
            round.explained(),
            Digest::of(bytes),
            round.command(),
        );
        self.write(README, text.as_bytes())
    }

    /// Whether this round has begun. What was offered then must be what is to be signed now.
    pub fn is_offered(&self, round: Round, bytes: &[u8]) -> Result<bool, Failed> {
        let path = self.0.join(round.file());
        match fs::read(&path) {
            Ok(offered) if offered == bytes => Ok(true),
            Ok(_) => Err(Failed(format!(
                "{} belongs to another image than the one in target/image, which is as it was. Export again: \
                 `cargo xtask image --sign-export CERT DIR`, with a new directory",
                path.display()
            ))),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
            Err(error) => Err(Failed::io("read", &path)(error)),
        }
    }

    /// The signature that was brought back.
    pub fn signature(&self, round: Round) -> Result<Vec<u8>, Failed> {
        let path = self.0.join(format!("{}.sig", round.file()));
        media::Manifest::read_file(&path).map_err(|error| {
            Failed(format!(
                "{error}; target/image is as it was. On the machine with the key, in that directory:\n\n  {}\n",
                round.command()
            ))
        })
    }

    fn write(&self, name: &str, bytes: &[u8]) -> Result<(), Failed> {
        let path = self.0.join(name);
        fs::write(&path, bytes).map_err(Failed::io("write", &path))
    }
}
