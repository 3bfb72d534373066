//! Verifying a bundle, or whatever else an auditor was handed.

use std::fs::{self, File, TryLockError};
use std::io::{self, Read};
use std::path::Path;

use sha2::{Digest, Sha256};
use tlog::PublicKeys;

use super::{MANIFEST, PARTIAL, PUBLIC_KEY, TRAIL};
use crate::hash::Hash;
use crate::line::printable;
use crate::manifest::Manifest;
use crate::segment;
use crate::source::{Archive, ArchiveError, Part, Source, open_regular};
use crate::verdict::{Finding, Report, Verdict};
use crate::verify::{Expectation, Verifier, VerifyError, verify_source};

/// The most that is read of a manifest, in bytes; enough for a trail of a terabyte.
const MAX_MANIFEST: u64 = 16 << 20;

/// The most that is read of a key file, in bytes.
const MAX_PUBLIC_KEY: u64 = 16 << 10;

/// Verifies a bundle, in a directory or a tar file; or a bare trail, in `path` itself or in its
/// `trail`.
///
/// With a manifest, the trail must be exactly what the manifest says. Other files beside the
/// manifest are ignored.
///
/// # Errors
/// [`VerifyError`] when something can't be read; damage of any kind is in the report.
pub fn verify_bundle(path: &Path, expectation: &Expectation) -> Result<Report, VerifyError> {
    verify_bundle_with(path, expectation, &mut |_, _| ())
}

/// As [`verify_bundle`]; `progress` hears how many bytes of how many are done.
///
/// # Errors
/// As [`verify_bundle`].
pub fn verify_bundle_with(
    path: &Path,
    expectation: &Expectation,
    progress: &mut dyn FnMut(u64, u64),
) -> Result<Report, VerifyError> {
    let Opened { root, manifest, trail } = match open(path)? {
        Ok(opened) => opened,
        Err(report) => return Ok(*report),
    };
    let Some(manifest) = manifest else { return verify_settled(trail, expectation, progress) };
    // Every export is sealed to its end.
    let manifest_head = Some(manifest.head());
    let expectation =
        Expectation { manifest: manifest_head, require_sealed: true, ..expectation.clone() };
    let listed = trail.list().ok();
    let parts = trail.clone();
    let mut report = verify_source(trail, &expectation, progress)?;
    if report.verdict != Verdict::Sound {
        return Ok(report);
    }
    let finding = match check_genesis(&report, &manifest) {
        Some(reason) => Some(about(MANIFEST, reason)),
        None => match check_key(&root, &report)? {
            Some(finding) => Some(finding),
            None => check_files(&parts, &manifest, listed.unwrap_or_default())?,
        },
    };
    if let Some(finding) = finding {
        report.verdict = finding.verdict;
        report.finding = Some(finding);
    }
    Ok(report)
}

/// Verifies a trail that a daemon may be writing meanwhile: what is read late may be newer than what
/// was read early, and must not be called a forgery. What is really wrong is so every time.
fn verify_settled(
    trail: Source,
    expectation: &Expectation,
    progress: &mut dyn FnMut(u64, u64),
) -> Result<Report, VerifyError> {
    let mut report = verify_source(trail.clone(), expectation, progress)?;
    for _ in 0..3 {
        if report.verdict == Verdict::Sound || !is_being_written(&trail) {
            return Ok(report);
        }
        let again = verify_source(trail.clone(), expectation, progress)?;
        if again.finding == report.finding {
            return Ok(again);
        }
        report = again;
    }
    let busy = io::Error::new(
        io::ErrorKind::ResourceBusy,
        "a daemon is writing it; verify its installation without --path, or an export",
    );
    Err(VerifyError::at(&trail.path(""))(busy))
}

fn is_being_written(trail: &Source) -> bool {
    let Source::Directory(path) = trail else { return false };
    let shared = File::open(path).map(|dir| dir.try_lock_shared());
    matches!(shared, Ok(Err(TryLockError::WouldBlock)))
}

/// A bundle or bare trail of which nothing is verified yet.
pub(crate) struct Opened {
    root: Source,
    manifest: Option<Manifest>,
    /// The segments and checkpoints.
    pub trail: Source,
}

/// Finds the trail at `path`; or what is wrong with it already.
pub(crate) fn open(path: &Path) -> Result<Result<Opened, Box<Report>>, VerifyError> {
    let root = match root(path)? {
        Ok(root) => root,
        Err((verdict, reason)) => {
            return Ok(Err(bad(verdict, &path.display().to_string(), reason)));
        }
    };
    let malformed = |file, reason| Ok(Err(bad(Verdict::Malformed, file, reason)));
    let manifest = match read(&root, MANIFEST, MAX_MANIFEST).map(|bytes| bytes.map(parse_manifest))
    {
        Ok(None) => None,
        Ok(Some(Ok(manifest))) => Some(manifest),
        Ok(Some(Err(reason))) | Err(ReadFault::Malformed(reason)) => {
            return malformed(MANIFEST, reason);
        }
        Err(ReadFault::Io(error)) => return Err(error),
    };
    match trail_of(&root, manifest.is_some())? {
        Ok(trail) => Ok(Ok(Opened { root, manifest, trail })),
        Err(reason) => malformed(TRAIL, reason),
    }
}

/// The directory or archive at `path`; or why it is neither.
fn root(path: &Path) -> Result<Result<Source, (Verdict, String)>, VerifyError> {
    // A link that somebody typed may lead anywhere; those inside lead nowhere.
    let is_file = match fs::metadata(path) {
        Ok(metadata) => metadata.is_file(),
        Err(error) if error.kind() == io::ErrorKind::NotFound => false,
        Err(error) => return Err(VerifyError::at(path)(error)),
    };
    if !is_file {
        return Ok(Ok(Source::Directory(path.to_owned())));
    }
    let path = &fs::canonicalize(path).map_err(VerifyError::at(path))?;
    let file = open_regular(path).map_err(VerifyError::at(path))?;
    let file = file.ok_or(io::ErrorKind::NotFound.into()).map_err(VerifyError::at(path))?;
    match Archive::open_tar(path, &file) {
        Ok(archive) => Ok(Ok(Source::Archive(archive))),
        Err(ArchiveError::Malformed(reason)) => Ok(Err((Verdict::Malformed, reason))),
        Err(ArchiveError::Truncated(reason)) => Ok(Err((Verdict::Truncated, reason))),
        Err(ArchiveError::Io(error)) => Err(VerifyError::at(path)(error)),
    }
}

/// Where the segments are; or why they can't be.
fn trail_of(root: &Source, has_manifest: bool) -> Result<Result<Source, String>, VerifyError> {
    match root {
        Source::Archive(archive) => {
            let trail = archive.directory(TRAIL);
            let is_below = has_manifest || !trail.is_empty();
            Ok(Ok(if is_below { Source::Archive(trail) } else { root.clone() }))
        }
        Source::Directory(path) => {
            let trail = path.join(TRAIL);
            let kind = match fs::symlink_metadata(&trail) {
                Ok(metadata) => Some(metadata.file_type()),
                Err(error) if error.kind() == io::ErrorKind::NotFound => None,
                Err(error) if error.kind() == io::ErrorKind::NotADirectory => None,
                Err(source) => return Err(VerifyError::at(&trail)(source)),
            };
            Ok(match kind {
                Some(kind) if !kind.is_dir() => Err("It is not a directory".to_owned()),
                Some(_) => Ok(Source::Directory(trail)),
                // What there is of an export that was not finished is no trail.
                None if has_manifest || path.join(PARTIAL).is_dir() => Ok(Source::Directory(trail)),
                None => Ok(Source::Directory(path.clone())),
            })
        }
    }
}

fn check_genesis(report: &Report, manifest: &Manifest) -> Option<String> {
    let genesis = report.genesis.as_ref()?;
    let is_same = genesis.installation == manifest.installation && genesis.hash == manifest.hash;
    (!is_same).then(|| "It names another installation or hash than entry 0".to_owned())
}

/// Checks that the key beside the trail is the one that the trail begins with.
fn check_key(root: &Source, report: &Report) -> Result<Option<Finding>, VerifyError> {
    let finding = |verdict, reason: String| Some(Finding { verdict, ..about(PUBLIC_KEY, reason) });
    let bytes = match read(root, PUBLIC_KEY, MAX_PUBLIC_KEY) {
        Ok(bytes) => bytes,
        Err(ReadFault::Malformed(reason)) => return Ok(finding(Verdict::Malformed, reason)),
        Err(ReadFault::Io(error)) => return Err(error),
    };
    let Some(bytes) = bytes else {
        return Ok(finding(Verdict::Malformed, "It is not there".to_owned()));
    };
    let keys = str::from_utf8(&bytes).ok().and_then(|text| text.parse::<PublicKeys>().ok());
    Ok(match (keys, &report.genesis) {
        (None, _) => finding(Verdict::Malformed, "It is no public key".to_owned()),
        (Some(keys), Some(genesis)) if keys != genesis.keys => {
            finding(Verdict::Signature, "It is not the key that entry 0 names".to_owned())
        }
        _ => None,
    })
}

/// Checks the files of a chain that is sound; what differs still is how it is cut into files.
fn check_files(
    trail: &Source,
    manifest: &Manifest,
    listed: crate::source::Listing,
) -> Result<Option<Finding>, VerifyError> {
    let names = listed.segments.into_iter().map(segment::name);
    let has_segments = names.eq(manifest.files.iter().map(|file| file.name.clone()));
    if !has_segments || listed.checkpoints != manifest.checkpoints {
        return Ok(Some(about(MANIFEST, "It lists other files than there are".to_owned())));
    }
    for file in &manifest.files {
        // The name is one that the listing of the directory has, so it leads nowhere else.
        let opened = trail.open(&file.name);
        let found = opened.and_then(|part| part.map(digest).transpose());
        let found = found.map_err(VerifyError::at(&trail.path(&file.name)))?;
        if found != Some((file.bytes, file.sha256)) {
            let reason = "The file has another length or SHA-256 than the manifest says".to_owned();
            return Ok(Some(about(&file.name, reason)));
        }
    }
    Ok(None)
}

fn digest(part: Part) -> io::Result<(u64, Hash)> {
    let mut file = part.reader()?;
    let mut hasher = Sha256::new();
    let mut chunk = vec![0; 1 << 16];
    let mut bytes = 0;
    loop {
        match file.read(&mut chunk) {
            Ok(0) => return Ok((bytes, Hash(hasher.finalize().into()))),
            Ok(read) => {
                hasher.update(&chunk[..read]);
                bytes += read as u64;
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
}

/// Why a file beside the trail can't be had.
enum ReadFault {
    Malformed(String),
    Io(VerifyError),
}

/// The content of a file beside the trail; none when there is no such file.
fn read(root: &Source, name: &str, max: u64) -> Result<Option<Vec<u8>>, ReadFault> {
    let content = match root.open(name) {
        Ok(Some(part)) => part.read(max),
        Ok(None) => return Err(ReadFault::Malformed("It is not a regular file".to_owned())),
        Err(error)
            if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) =>
        {
            return Ok(None);
        }
        Err(error) => Err(error),
    };
    match content {
        Ok(Some(bytes)) => Ok(Some(bytes)),
        Ok(None) => Err(ReadFault::Malformed(format!("It is longer than {max} bytes"))),
        Err(error) => Err(ReadFault::Io(VerifyError::at(&root.path(name))(error))),
    }
}

fn parse_manifest(json: Vec<u8>) -> Result<Manifest, String> {
    let manifest: Manifest = serde_json::from_slice(&json)
        .map_err(|error| format!("It is not a manifest: {}", printable(&error.to_string())))?;
    if manifest.format == Manifest::FORMAT {
        return Ok(manifest);
    }
    let (format, ours) = (manifest.format, Manifest::FORMAT);
    Err(format!("Its format is {format}, and this program reads {ours}"))
}

fn about(file: &str, reason: String) -> Finding {
    let file = Some(file.to_owned());
    Finding { verdict: Verdict::Malformed, seq: None, file, line: None, reason }
}

/// The report on a trail of which not even the first line was read.
fn bad(verdict: Verdict, file: &str, reason: String) -> Box<Report> {
    let mut report = Verifier::new(Expectation::default()).finish();
    report.verdict = verdict;
    report.finding = Some(Finding { verdict, ..about(file, reason) });
    Box::new(report)
}
