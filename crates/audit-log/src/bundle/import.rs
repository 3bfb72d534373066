//! Verifying a bundle, or whatever else an auditor was handed.

use std::fs;
use std::io::{self, Read};
use std::path::Path;

use sha2::{Digest, Sha256};

use super::{MANIFEST, PARTIAL, TRAIL};
use crate::hash::Hash;
use crate::line::printable;
use crate::manifest::Manifest;
use crate::segment;
use crate::verdict::{Finding, Report, Verdict};
use crate::verify::{Expectation, VerifyError, verify};

/// The most that is read of a manifest, in bytes; enough for a trail of a terabyte.
const MAX_MANIFEST: u64 = 16 << 20;

/// Verifies a bundle; or a bare trail, in `dir` itself or in its `trail`.
///
/// With a manifest, the trail must be exactly what the manifest says. Other files beside the
/// manifest are ignored.
///
/// # Errors
/// [`VerifyError`] when something can't be read; damage of any kind is in the report.
pub fn verify_bundle(dir: &Path, expectation: &Expectation) -> Result<Report, VerifyError> {
    let trail = dir.join(TRAIL);
    let path = dir.join(MANIFEST);
    let manifest = match read_manifest(&path) {
        Ok(manifest) => Some(manifest),
        Err(ManifestFault::Absent) => None,
        Err(ManifestFault::Malformed(reason)) => return Ok(malformed(MANIFEST, reason)),
        Err(ManifestFault::Io(source)) => return Err(VerifyError::at(&path)(source)),
    };
    let kind = match fs::symlink_metadata(&trail) {
        Ok(metadata) => Some(metadata.file_type()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => None,
        Err(error) if error.kind() == io::ErrorKind::NotADirectory => None,
        Err(source) => return Err(VerifyError::at(&trail)(source)),
    };
    match (manifest, kind) {
        (_, Some(kind)) if !kind.is_dir() => {
            Ok(malformed(TRAIL, "It is not a directory".to_owned()))
        }
        (Some(manifest), _) => with_manifest(&trail, &manifest, expectation),
        (None, Some(_)) => verify(&trail, expectation),
        // What there is of an export that was not finished is no trail.
        (None, None) if dir.join(PARTIAL).is_dir() => verify(&trail, expectation),
        (None, None) => verify(dir, expectation),
    }
}

fn with_manifest(
    trail: &Path,
    manifest: &Manifest,
    expectation: &Expectation,
) -> Result<Report, VerifyError> {
    let expectation = Expectation { manifest: Some(manifest.head()), ..*expectation };
    let mut report = verify(trail, &expectation)?;
    if report.verdict != Verdict::Sound {
        return Ok(report);
    }
    let finding = match (check_genesis(&report, manifest), check_files(trail, manifest)?) {
        (Some(reason), _) => Some(about(MANIFEST, reason)),
        (None, finding) => finding,
    };
    if let Some(finding) = finding {
        report.verdict = finding.verdict;
        report.finding = Some(finding);
    }
    Ok(report)
}

fn check_genesis(report: &Report, manifest: &Manifest) -> Option<String> {
    let genesis = report.genesis.as_ref()?;
    let is_same = genesis.installation == manifest.installation && genesis.hash == manifest.hash;
    (!is_same).then(|| "It names another installation or hash than entry 0".to_owned())
}

/// Checks the files of a chain that is sound; what differs still is how it is cut into files.
fn check_files(trail: &Path, manifest: &Manifest) -> Result<Option<Finding>, VerifyError> {
    let Ok(segments) = segment::list(trail) else { return Ok(None) };
    let names = segments.into_iter().map(segment::name);
    if !names.eq(manifest.files.iter().map(|file| file.name.clone())) {
        return Ok(Some(about(MANIFEST, "It lists other files than there are".to_owned())));
    }
    for file in &manifest.files {
        // The name is one that the listing of the directory has, so it leads nowhere else.
        let path = trail.join(&file.name);
        let found = digest(&path).map_err(VerifyError::at(&path))?;
        if found != Some((file.bytes, file.sha256)) {
            let reason = "The file has another length or SHA-256 than the manifest says".to_owned();
            return Ok(Some(about(&file.name, reason)));
        }
    }
    Ok(None)
}

fn digest(path: &Path) -> io::Result<Option<(u64, Hash)>> {
    let Some(mut file) = segment::open_regular(path)? else { return Ok(None) };
    let mut hasher = Sha256::new();
    let mut chunk = vec![0; 1 << 16];
    let mut bytes = 0;
    loop {
        match file.read(&mut chunk) {
            Ok(0) => return Ok(Some((bytes, Hash(hasher.finalize().into())))),
            Ok(read) => {
                hasher.update(&chunk[..read]);
                bytes += read as u64;
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
}

/// Why there is no manifest.
enum ManifestFault {
    Absent,
    Malformed(String),
    Io(io::Error),
}

fn read_manifest(path: &Path) -> Result<Manifest, ManifestFault> {
    let file = match segment::open_regular(path) {
        Ok(Some(file)) => file,
        Ok(None) => return Err(ManifestFault::Malformed("It is not a regular file".to_owned())),
        Err(error)
            if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) =>
        {
            return Err(ManifestFault::Absent);
        }
        Err(error) => return Err(ManifestFault::Io(error)),
    };
    let mut json = Vec::new();
    file.take(MAX_MANIFEST + 1).read_to_end(&mut json).map_err(ManifestFault::Io)?;
    if json.len() as u64 > MAX_MANIFEST {
        return Err(ManifestFault::Malformed(format!("It is longer than {MAX_MANIFEST} bytes")));
    }
    let manifest: Manifest = serde_json::from_slice(&json).map_err(|error| {
        ManifestFault::Malformed(format!("It is not a manifest: {}", printable(&error.to_string())))
    })?;
    if manifest.format != Manifest::FORMAT {
        let reason = format!(
            "Its format is {}, and this program reads {}",
            manifest.format,
            Manifest::FORMAT
        );
        return Err(ManifestFault::Malformed(reason));
    }
    Ok(manifest)
}

fn about(file: &str, reason: String) -> Finding {
    let file = Some(file.to_owned());
    Finding { verdict: Verdict::Malformed, seq: None, file, line: None, reason }
}

fn malformed(file: &str, reason: String) -> Report {
    let finding = Some(about(file, reason));
    Report { verdict: Verdict::Malformed, finding, entries: 0, head: None, genesis: None }
}
