//! `sesame media manifest`

use std::path::Path;

use ::media::manifest::{Commit, DescribeError, FileName, Manifest, Package, Sbom, Source, Text};
use ::media::storage::Disk;
use ::media::{Description, Digest, Progress};
use serde_json::json;
use site_config::durable::write_atomically;

use super::unreadable;
use crate::cli::WriteManifest;
use crate::exit::{Code, Failure};
use crate::output::Output;
use crate::progress;

pub fn run(output: &Output, arguments: WriteManifest) -> Result<(), Failure> {
    let commit = arguments.commit.map(Commit::new).transpose();
    let source = Source {
        commit: commit.map_err(|error| invalid("--commit", error))?,
        modified: arguments.modified,
        date: arguments.date,
    };
    let name = Text::new(arguments.name).map_err(|error| invalid("--name", error))?;
    let version = Text::new(arguments.version).map_err(|error| invalid("--version", error))?;
    let packages = arguments.packages.as_deref().map(packages).transpose()?.unwrap_or_default();
    let sbom = arguments.sbom.as_deref().map(sbom).transpose()?;

    let mut line = progress::Progress::new("reading", 0);
    let mut tell = |done, total| line.of(done, total);
    let read = Description::read(&arguments.disk, &mut Progress::new(&mut tell));
    drop(line);
    let description = read.map_err(|error| match error {
        DescribeError::Io { path, source } => unreadable(&path, &source),
        error => {
            let text = format!("{}: {error}; no manifest was written", arguments.disk.display());
            Failure::new(Code::MALFORMED, text)
        }
    })?;
    let manifest = description.into_manifest(name, version, source, packages, sbom);
    let text = manifest.render();
    // What would not be read again is not written.
    Manifest::parse(text.as_bytes()).map_err(|error| {
        Failure::new(Code::INVALID, format!("no manifest was written: {error}"))
    })?;
    match arguments.output {
        None => output.bytes(text.as_bytes()),
        Some(path) => {
            write_atomically(&path, text.as_bytes(), 0o644).map_err(|error| {
                let text = format!("cannot write {}: {error}", path.display());
                Failure::new(Code::STORAGE, text)
            })?;
            let words = format!("The manifest is in {}.\n", path.display());
            output.result(&words, json!({ "manifest": path.display().to_string() }))
        }
    }
}

fn invalid(option: &str, error: impl std::fmt::Display) -> Failure {
    Failure::new(Code::INVALID, format!("{option}: {error}"))
}

fn packages(path: &Path) -> Result<Vec<Package>, Failure> {
    let bytes = Manifest::read_file(path)
        .map_err(|error| Failure::new(Code::ABSENT, format!("{}: {error}", path.display())))?;
    serde_json::from_slice(&bytes).map_err(|error| {
        Failure::new(Code::MALFORMED, format!("{}: no list of packages: {error}", path.display()))
    })
}

fn sbom(path: &Path) -> Result<Sbom, Failure> {
    let file = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let file = FileName::new(file).map_err(|error| invalid("--sbom", error))?;
    let digest = Disk::open(path).and_then(|file| Digest::of_storage(&file));
    Ok(Sbom { file, sha256: digest.map_err(|error| unreadable(path, &error))? })
}
