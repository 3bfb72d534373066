//! `image sign`: a UKI that firmware with Secure Boot takes, a disk with it, and a signed manifest.
//!
//! There is one way only, whether the key is here or elsewhere: bytes to be signed, `openssl dgst -sha256
//! -sign`, the signature put in its place. So both give the same files. The private key is read by openssl,
//! and by nothing else.
//!
//! - [`unsigned`]: the image as it was built. [`certificate`]: whose signature it gets.
//! - [`authenticode`], in [`der`]: the signature of the UKI. [`disk`]: the UKI and the disk that have it.
//! - [`exchange`]: the directory for a key that lives offline.

mod authenticode;
mod certificate;
mod der;
mod disk;
mod exchange;
mod unsigned;

use std::fs;
use std::path::{Path, PathBuf};

use clap::Args;
use media::Digest;

use crate::Sources;
use crate::failed::{Failed, output};
use crate::places::Places;
use crate::tools::inside;
use certificate::Certificate;
use disk::SignedImage;
use exchange::{Exchange, Round};
use unsigned::{Unsigned, inside_scratch};

/// `image sign`.
#[derive(Args)]
pub struct Sign {
    #[command(flatten)]
    sources: Sources,
    /// The private key (RSA, PEM). openssl asks for its passphrase, if it has one.
    key: PathBuf,
    /// Its certificate (X.509, PEM).
    certificate: PathBuf,
}

/// `image sign-export`.
#[derive(Args)]
pub struct Export {
    #[command(flatten)]
    sources: Sources,
    /// The certificate (X.509, PEM) of the key.
    certificate: PathBuf,
    /// A new directory, for the machine with the key.
    directory: PathBuf,
}

/// `image sign-import`.
#[derive(Args)]
pub struct Import {
    #[command(flatten)]
    sources: Sources,
    /// The directory that came back.
    directory: PathBuf,
}

/// Signs with a key that is here.
pub fn sign(sign: &Sign) -> Result<(), Failed> {
    let places = Places::new(&sign.sources)?;
    let certificate = Certificate::read(&sign.certificate)?;
    let unsigned = Unsigned::open(&places)?;
    let to_be_signed = unsigned.to_be_signed.bytes()?;
    let signature = with_key(&unsigned, &sign.key, &to_be_signed)?;
    certificate.check("the UKI", &to_be_signed, &signature)?;
    let image = SignedImage::make(&unsigned, &certificate, &signature)?;
    let manifest = image.manifest.render();
    let signature = with_key(&unsigned, &sign.key, manifest.as_bytes())?;
    certificate.check("the manifest", manifest.as_bytes(), &signature)?;
    image.install(&signature)?;
    tell_done(&places, &certificate);
    Ok(())
}

/// Begins a directory for a key that is elsewhere.
pub fn export(export: &Export) -> Result<(), Failed> {
    let places = Places::new(&export.sources)?;
    let certificate = Certificate::read(&export.certificate)?;
    let unsigned = Unsigned::open(&places)?;
    let exchange = Exchange::create(&places, &export.directory, &certificate)?;
    offer(&unsigned, &exchange, Round::Uki, &unsigned.to_be_signed.bytes()?, &export.directory)
}

/// Takes what came back, and begins the second round or ends it.
pub fn import(import: &Import) -> Result<(), Failed> {
    let places = Places::new(&import.sources)?;
    let exchange = Exchange::open(&import.directory)?;
    let certificate = exchange.certificate(&places)?;
    let unsigned = Unsigned::open(&places)?;
    let to_be_signed = unsigned.to_be_signed.bytes()?;
    exchange.is_offered(Round::Uki, &to_be_signed)?;
    let signature = exchange.signature(Round::Uki)?;
    certificate.check("the UKI", &to_be_signed, &signature)?;
    let image = SignedImage::make(&unsigned, &certificate, &signature)?;
    let manifest = image.manifest.render();
    if !exchange.is_offered(Round::Manifest, manifest.as_bytes())? {
        let bytes = manifest.as_bytes();
        return offer(&unsigned, &exchange, Round::Manifest, bytes, &import.directory);
    }
    let signature = exchange.signature(Round::Manifest)?;
    certificate.check("the manifest", manifest.as_bytes(), &signature)?;
    image.install(&signature)?;
    tell_done(&places, &certificate);
    Ok(())
}

/// The signature that openssl makes over these bytes with a private key, which nothing else reads.
fn with_key(unsigned: &Unsigned<'_>, key: &Path, bytes: &[u8]) -> Result<Vec<u8>, Failed> {
    let key = key.canonicalize().map_err(Failed::io("find", key))?;
    let (Some(directory), Some(name)) = (key.parent(), key.file_name()) else {
        return Err(Failed(format!("{} is not a file; nothing was signed", key.display())));
    };
    let (to_be_signed, signature) = (unsigned.scratch("tbs"), unsigned.scratch("tbs.sig"));
    fs::write(&to_be_signed, bytes).map_err(Failed::io("write", &to_be_signed))?;
    let mut openssl = unsigned.command("/usr/bin/openssl", Some(directory.to_owned()));
    openssl.args(["dgst", "-sha256", "-sign"]).arg(Path::new(inside::STAGE).join(name));
    openssl.arg("-out").arg(inside_scratch("tbs.sig")).arg(inside_scratch("tbs"));
    output("openssl dgst -sign", &mut openssl)?;
    fs::read(&signature).map_err(Failed::io("read", &signature))
}

fn offer(
    unsigned: &Unsigned<'_>,
    exchange: &Exchange,
    round: Round,
    bytes: &[u8],
    directory: &Path,
) -> Result<(), Failed> {
    let image = format!("{} {}", unsigned.manifest.name, unsigned.manifest.version);
    exchange.offer(round, &image, bytes)?;
    println!(
        "{} is ready for the machine with the key. To be signed, with SHA-256\n\n  {}\n\nThere, in that \
         directory:\n\n  {}\n\nThen here: cargo xtask image --sign-import {}",
        directory.display(),
        Digest::of(bytes),
        round.command(),
        directory.display()
    );
    Ok(())
}

fn tell_done(places: &Places, certificate: &Certificate) {
    let disk = places.result("signed.raw");
    println!(
        "{} and {} are signed, and so is the manifest.\nSecure Boot has to know the certificate with SHA-256 \
         {}.\n\nNext: sesame media verify {} --key CERT",
        disk.display(),
        places.result("signed.efi").display(),
        certificate.sha256(),
        disk.display()
    );
}
