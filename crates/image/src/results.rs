//! What a build writes for people: the disk, the UKI, the manifest and the bill of materials; and whether the
//! files that are there are still those.

use std::fs;
use std::path::{Path, PathBuf};

use media::manifest::{FileName, Source};
use media::storage::{Disk, Storage};
use media::{Digest, Manifest};
use site_config::durable::{sync_directory, write_atomically};

use crate::failed::Failed;
use crate::places::Places;

/// For everybody, as everything in target/image.
const MODE: u32 = 0o644;

/// Disk, UKI, manifest, bill of materials.
pub fn files(places: &Places) -> [PathBuf; 4] {
    ["raw", "efi", "manifest.json", "spdx.json"].map(|extension| places.result(extension))
}

/// The manifest, if disk, UKI and bill of materials are those that it names, to the last byte.
pub fn read(places: &Places) -> Result<Manifest, Failed> {
    let [disk, uki, path, bill] = files(places);
    let bytes = Manifest::read_file(&path).map_err(|error| {
        Failed(format!("{error}. There is no image: `cargo xtask image` builds it"))
    })?;
    let manifest =
        Manifest::parse(&bytes).map_err(|error| Failed(format!("{}: {error}", path.display())))?;
    let bill_digest = manifest.sbom.as_ref().map(|sbom| (&sbom.file, None, sbom.sha256));
    let digests = [
        (disk, Some((&manifest.disk.file, Some(manifest.disk.bytes), manifest.disk.sha256))),
        (uki, Some((&manifest.uki.file, Some(manifest.uki.bytes), manifest.uki.sha256))),
        (bill, bill_digest),
    ];
    for (file, named) in digests {
        let is_named = match named {
            Some((name, bytes, sha256)) => is_called(&file, name) && has(&file, bytes, sha256)?,
            None => false,
        };
        if !is_named {
            return Err(Failed(format!(
                "{} is not the file that its manifest names; `cargo xtask image` builds both anew",
                file.display()
            )));
        }
    }
    Ok(manifest)
}

/// Writes a file whole, or not at all.
pub fn write(path: &Path, bytes: &[u8]) -> Result<(), Failed> {
    write_atomically(path, bytes, MODE).map_err(Failed::io("write", path))
}

/// Has the manifest of an image that is up to date name the sources as they are now: commits come and go
/// that change nothing in the image. A signed manifest stays as it was signed.
pub fn name_source(places: &Places, mut manifest: Manifest, source: Source) -> Result<(), Failed> {
    if manifest.source == source {
        return Ok(());
    }
    let path = places.result("manifest.json");
    if manifest.signed.is_some() || Manifest::signature_of(&path).exists() {
        eprintln!(
            "image: {} is signed, and goes on naming the sources that it was signed with; those of now give \
             the same image",
            path.display()
        );
        return Ok(());
    }
    manifest.source = source;
    write(&path, manifest.render().as_bytes())
}

/// Removes what was signed, of which the image that is built now is another. The signature goes first: it
/// never stands beside files that it isn't about.
pub fn withdraw_signed(places: &Places) -> Result<(), Failed> {
    for end in ["manifest.json.sig", "signed.raw", "signed.efi"] {
        let file = places.result(end);
        if file.exists() {
            fs::remove_file(&file).map_err(Failed::io("remove", &file))?;
            sync_directory(&places.output).map_err(Failed::io("write", &places.output))?;
        }
    }
    Ok(())
}

fn is_called(file: &Path, name: &FileName) -> bool {
    file.file_name().is_some_and(|known| known == name.as_str())
}

fn has(file: &Path, bytes: Option<u64>, sha256: Digest) -> Result<bool, Failed> {
    let disk = Disk::open(file).map_err(Failed::io("read", file))?;
    if bytes.is_some_and(|bytes| bytes != disk.size()) {
        return Ok(false);
    }
    Ok(Digest::of_storage(&disk).map_err(Failed::io("read", file))? == sha256)
}

#[cfg(test)]
mod tests {
    use media::manifest::Commit;
    use serde_json::json;

    use super::*;

    /// A directory with three small files and a manifest of them.
    fn built() -> (tempfile::TempDir, Places) {
        let directory = tempfile::tempdir().unwrap();
        let places = Places {
            source: directory.path().into(),
            output: directory.path().into(),
            mirror: String::new(),
            security_mirror: String::new(),
            any_compiler: false,
        };
        let file = |extension: &str| {
            let path = places.result(extension);
            fs::write(&path, extension).unwrap();
            let name = path.file_name().unwrap().to_str().unwrap().to_owned();
            let sha256 = Digest::of(extension.as_bytes()).to_string();
            (name, extension.len(), sha256)
        };
        let of_file = |extension: &str| {
            let (file, bytes, sha256) = file(extension);
            json!({ "file": file, "bytes": bytes, "sha256": sha256 })
        };
        let hash = "0".repeat(64);
        let (bill, _, bill_sha256) = file("spdx.json");
        let manifest = json!({
            "format": "sesame-image-manifest/1",
            "name": "sesame-ceremony", "version": "0.1.0", "architecture": "x86-64",
            "source": { "commit": null, "modified": false, "date": 1 },
            "disk": of_file("raw"), "uki": of_file("efi"),
            "root": { "bytes": 1, "sha256": hash, "verity_root_hash": hash, "verity_salt": "" },
            "kernel": { "release": "6.12", "command_line": format!("roothash={hash}") },
            "pcr11": null, "signed": null, "packages": [],
            "sbom": { "file": bill, "sha256": bill_sha256 },
        });
        fs::write(places.result("manifest.json"), manifest.to_string()).unwrap();
        (directory, places)
    }

    fn source(commit: char) -> Source {
        let commit = Commit::new(commit.to_string().repeat(40)).unwrap();
        Source { commit: Some(commit), modified: true, date: 1 }
    }

    #[test]
    fn files_that_are_not_those_of_the_manifest_are_not_up_to_date() {
        for extension in ["raw", "efi", "spdx.json"] {
            let (_directory, places) = built();
            read(&places).unwrap();
            let file = places.result(extension);
            for content in ["another", &extension.to_uppercase()] {
                fs::write(&file, content).unwrap();
                let Failed(reason) = read(&places).unwrap_err();
                assert!(reason.contains("is not the file that its manifest names"), "{reason}");
            }
            fs::remove_file(&file).unwrap();
            read(&places).unwrap_err();
        }
        let (_directory, places) = built();
        fs::write(places.result("manifest.json"), "{}").unwrap();
        read(&places).unwrap_err();
    }

    #[test]
    fn another_commit_is_named_and_nothing_else_changes() {
        let (_directory, places) = built();
        let before = read(&places).unwrap();
        name_source(&places, before.clone(), source('a')).unwrap();
        let after = read(&places).unwrap();
        assert_eq!(after, Manifest { source: source('a'), ..before });
    }

    #[test]
    fn a_signed_manifest_is_left_as_it_was_signed() {
        let (_directory, places) = built();
        fs::write(places.result("manifest.json.sig"), "signature").unwrap();
        let before = read(&places).unwrap();
        name_source(&places, before.clone(), source('a')).unwrap();
        assert_eq!(read(&places).unwrap(), before);
        withdraw_signed(&places).unwrap();
        assert!(!places.result("manifest.json.sig").exists());
        name_source(&places, before, source('a')).unwrap();
        assert_eq!(read(&places).unwrap().source, source('a'));
    }
}
