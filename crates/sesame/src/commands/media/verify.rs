//! `sesame media verify`

use std::fmt::Write;
use std::fs;
use std::path::{Path, PathBuf};

use ::media::attest::{Paths, boot_device};
use ::media::manifest::ManifestError;
use ::media::signature::{SignatureError, Signer};
use ::media::storage::{Disk, human_size};
use ::media::verify::{Report, verify};
use ::media::{Manifest, Progress};
use serde_json::json;

use super::{Named, unreadable};
use crate::cli::VerifyMedia;
use crate::exit::{Code, Failure};
use crate::output::{Colour, Output};
use crate::progress;

/// The most bytes of a key that are read.
const MAX_KEY: u64 = 64 << 10;

pub fn run(output: &Output, arguments: &VerifyMedia) -> Result<(), Failure> {
    let path = match &arguments.path {
        Some(path) => path.clone(),
        None => boot_device(&Paths::default()).map_err(|reason| {
            let next = "name the image or the device: `sesame media verify PATH`";
            Failure::new(Code::ABSENT, format!("this machine runs no image: {reason}; {next}"))
        })?,
    };
    let manifest_path = manifest_path(&path, arguments.manifest.as_deref())?;
    let manifest = manifest(&manifest_path, arguments.key.as_deref())?;

    let disk = Disk::open(&path).map_err(|error| unreadable(&path, &error))?;
    let mut line = progress::Progress::new("verifying", 0);
    let mut tell = |done, total| line.of(done, total);
    let report = verify(&disk, &manifest, &mut Progress::new(&mut tell))
        .map_err(|error| unreadable(&path, &error))?;
    drop(line);
    show(output, &report, &manifest, arguments.key.as_deref())
}

/// Beside an image; a device has nothing beside it.
fn manifest_path(path: &Path, given: Option<&Path>) -> Result<PathBuf, Failure> {
    if let Some(given) = given {
        return Ok(given.to_owned());
    }
    let is_file = fs::metadata(path).map_err(|error| unreadable(path, &error))?.is_file();
    let beside = Manifest::beside(path);
    if is_file && beside.exists() {
        return Ok(beside);
    }
    let wanted =
        if is_file { format!("no {}", beside.display()) } else { "no manifest".to_owned() };
    let next = "name it with --manifest FILE";
    Err(Failure::new(Code::ABSENT, format!("there is {wanted}; {next}")))
}

/// Nothing in a manifest is looked at before its signature, where one is demanded.
fn manifest(path: &Path, key: Option<&Path>) -> Result<Manifest, Failure> {
    let refused = |error: ManifestError| match error {
        ManifestError::Io { path, source } => unreadable(&path, &source),
        error => Failure::new(Code::MALFORMED, format!("{}: {error}", path.display())),
    };
    let bytes = Manifest::read_file(path).map_err(refused)?;
    let signer = match key {
        Some(key) => Some(signed(path, &bytes, key)?),
        None => None,
    };
    let manifest = Manifest::parse(&bytes).map_err(refused)?;
    let certificate = signer.and_then(|signer| signer.certificate_sha256());
    if let (Some(given), Some(signed)) = (certificate, &manifest.signed)
        && given != signed.certificate_sha256
    {
        let text =
            "the manifest is signed by this certificate, but names another one as that of the UKI";
        return Err(Failure::new(
            Code::SIGNATURE,
            format!(
                "{text}: {}; give that one, or the public key alone",
                signed.certificate_sha256
            ),
        ));
    }
    Ok(manifest)
}

fn signed(path: &Path, manifest: &[u8], key: &Path) -> Result<Signer, Failure> {
    let bytes = read_short(key)?;
    let signer = Signer::parse(&bytes).map_err(|error| {
        let code = match error {
            SignatureError::NoKey => Code::MALFORMED,
            _ => Code::SIGNATURE,
        };
        Failure::new(code, format!("{}: {error}", key.display()))
    })?;
    let signature_path = Manifest::signature_of(path);
    if !signature_path.exists() {
        let text =
            format!("the manifest has no signature: there is no {}", signature_path.display());
        return Err(Failure::new(Code::SIGNATURE, format!("{text}; nothing of it was believed")));
    }
    let signature = read_short(&signature_path)?;
    signer.verify(manifest, &signature).map_err(|error| {
        let text = format!("{}: {error}; nothing of it was believed", signature_path.display());
        Failure::new(Code::SIGNATURE, text)
    })?;
    Ok(signer)
}

/// A key or a signature; one that is too long is cut, and then is neither.
fn read_short(path: &Path) -> Result<Vec<u8>, Failure> {
    use std::io::Read;
    let mut bytes = Vec::new();
    let file = fs::File::open(path).map_err(|error| unreadable(path, &error))?;
    file.take(MAX_KEY).read_to_end(&mut bytes).map_err(|error| unreadable(path, &error))?;
    Ok(bytes)
}

fn show(
    output: &Output,
    report: &Report,
    manifest: &Manifest,
    key: Option<&Path>,
) -> Result<(), Failure> {
    let root = report.root_hash.map(Named::root);
    let uki = report.uki.map(Named::uki);
    let json = json!({
        "sound": report.is_sound(),
        "name": manifest.name,
        "version": manifest.version,
        "manifest_signature_checked": key.is_some(),
        "entry": report.variant.map(::media::verify::Variant::as_str),
        "checks": report.checks.iter().map(|check| json!({
            "id": check.id,
            "status": if check.passes { "pass" } else { "fail" },
            "found": check.found,
        })).collect::<Vec<_>>(),
        "differences": report.differences.iter().map(|difference| json!({
            "part": difference.part,
            "text": difference.text,
        })).collect::<Vec<_>>(),
        "bytes_behind": report.bytes_behind,
        "disk_sha256": report.disk,
        "root_hash": root.as_ref().map(Named::json),
        "uki": uki.as_ref().map(Named::json),
    });
    let hashes = [root, uki].into_iter().flatten().map(|named| named.to_string());
    let text = text(output, report, manifest, key, &hashes.collect::<String>());
    output.result(&text, json)?;
    if report.is_sound() {
        return Ok(());
    }
    let parts: Vec<_> = report.differences.iter().map(|difference| difference.part).collect();
    let parts = if parts.is_empty() { String::new() } else { format!(" ({})", parts.join(", ")) };
    let text = format!("the medium is not what the manifest says{parts}; do not boot it");
    Err(Failure::new(Code::TAMPERED, format!("{text}, write it anew and verify it again")))
}

fn text(
    output: &Output,
    report: &Report,
    manifest: &Manifest,
    key: Option<&Path>,
    hashes: &str,
) -> String {
    let mut text = format!("{} {}\n", manifest.name, manifest.version);
    for check in &report.checks {
        let (colour, word) =
            if check.passes { (Colour::Green, "pass") } else { (Colour::Red, "FAIL") };
        let status = output.paint(colour, word);
        let _ = writeln!(text, "  {status}  {:<16} {}", check.id, check.found);
    }
    for difference in &report.differences {
        let _ = writeln!(text, "  {:<22} {}", difference.part, difference.text);
    }
    if report.bytes_behind > 0 {
        let behind = human_size(report.bytes_behind);
        let _ = writeln!(text, "The medium has {behind} more, which are not part of the image.");
    }
    text.push_str(hashes);
    text.push_str(&match key {
        Some(key) => format!("The manifest is signed by the key in {}.\n", key.display()),
        None => {
            "The manifest itself was not checked (--key): compare the words with those on paper.\n"
                .to_owned()
        }
    });
    text
}
