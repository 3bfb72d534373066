//! A build: packages, tools, programs, mkosi, and what is written about the outcome.

use std::fs;
use std::path::PathBuf;
use std::process::Command;
use std::time::Instant;

use media::manifest::{Commit, FieldError, Package, Sbom, Source, Text};
use nix::sys::stat::{Mode, umask};

use media::{Description, Digest, Manifest, Progress};

use crate::apt::RELEASE;
use crate::failed::{Failed, logged, output};
use crate::lock::Lock;
use crate::places::{NAME, Places};
use crate::tools::{Tools, inside};
use crate::{binaries, repository, sbom, stage, tools, tree};

/// `image build`. Where nothing has changed since the last one, nothing is done.
pub fn build(places: &Places) -> Result<(), Failed> {
    if !nix::unistd::Uid::effective().is_root() {
        let why =
            "building the image needs root, for mounts and owners of files; nothing was changed";
        return Err(Failed(why.to_owned()));
    }
    // Modes get into the image; whoever calls us has no say in them.
    umask(Mode::from_bits_truncate(0o022));
    let (tools, lock) = tools::ensure(places)?;
    let programs = binaries::build(places, &tools)?;
    let start = Instant::now();
    stage::stage(places, &programs)?;
    let inputs = inputs(places, &lock)?;
    let stamp = places.output.join("image.stamp");
    let results = results(places);
    let made = fs::read_to_string(&stamp).is_ok_and(|made| made == inputs);
    if made && results.iter().all(|file| file.exists()) {
        eprintln!("image: {} is up to date", results[0].display());
        return Ok(());
    }
    // What was signed is another image.
    let signed = ["signed.raw", "signed.efi", "manifest.json.sig"].map(|end| places.result(end));
    for file in signed.iter().chain([&stamp]).filter(|file| file.exists()) {
        fs::remove_file(file).map_err(Failed::io("remove", file))?;
    }
    repository::make(places, &lock)?;
    mkosi(places, &tools, &lock)?;
    let manifest = describe(places, &lock)?;
    fs::write(&stamp, inputs).map_err(Failed::io("write", &stamp))?;
    eprintln!(
        "image: {} ({:.1} MB) took {:.0} s after the programs\nimage: root hash {}",
        results[0].display(),
        manifest.disk.bytes as f64 / 1e6,
        start.elapsed().as_secs_f64(),
        manifest.root.verity_root_hash,
    );
    Ok(())
}

/// One digest of everything that the image is made of.
fn inputs(places: &Places, lock: &Lock) -> Result<String, Failed> {
    let mut text = lock.render();
    for directory in [places.stage(), places.definition()] {
        text.push_str(&tree::listing(&directory)?);
    }
    Ok(Digest::of(text.as_bytes()).to_string())
}

fn mkosi(places: &Places, tools: &Tools, lock: &Lock) -> Result<(), Failed> {
    let output = places.mkosi();
    if output.exists() {
        fs::remove_dir_all(&output).map_err(Failed::io("remove", &output))?;
    }
    for directory in ["out", "workspace", "cache"] {
        let directory = output.join(directory);
        fs::create_dir_all(&directory).map_err(Failed::io("make", &directory))?;
    }
    let command_line = places.definition().join("kernel-command-line");
    let command_line =
        fs::read_to_string(&command_line).map_err(Failed::io("read", &command_line))?;
    let binds = [
        (places.source.clone(), inside::SOURCE),
        (places.repository(), inside::REPOSITORY),
        (places.stage(), inside::STAGE),
        (output, inside::OUTPUT),
    ];
    let mut command = tools.command("/usr/bin/env", &binds);
    command.arg("--chdir").arg(format!("{}/images/debian", inside::SOURCE));
    command.args([
        "mkosi",
        "--force",
        "--release",
        RELEASE,
        "--tools-tree=",
        "--repository-key-check=no",
    ]);
    command.arg(format!("--local-mirror=file://{}", inside::REPOSITORY));
    command.arg(format!("--extra-tree={}", inside::STAGE));
    command.arg(format!("--kernel-command-line={}", command_line.trim()));
    command.arg(format!("--source-date-epoch={}", lock.date));
    command.arg(format!("--output-directory={}/out", inside::OUTPUT));
    command.arg(format!("--workspace-directory={}/workspace", inside::OUTPUT));
    command.arg(format!("--package-cache-directory={}/cache", inside::OUTPUT));
    command.arg("build");
    logged("mkosi", command, &places.logs().join("mkosi.log"))?;
    for (made, extension) in [("disk.raw", "raw"), ("disk.efi", "efi")] {
        let made = places.mkosi().join("out").join(made);
        let wanted = places.result(extension);
        fs::rename(&made, &wanted).map_err(Failed::io("move", &made))?;
    }
    Ok(())
}

fn describe(places: &Places, lock: &Lock) -> Result<Manifest, Failed> {
    let bill = sbom::spdx(places, lock)?;
    let [disk, _, path, bill_file] = results(places);
    fs::write(&bill_file, &bill).map_err(Failed::io("write", &bill_file))?;
    let description = Description::read(&disk, &mut Progress::new(&mut |_, _| {}))
        .map_err(|error| Failed(format!("{}: {error}", disk.display())))?;
    let manifest = manifest(places, lock, description, Digest::of(bill.as_bytes()))
        .map_err(|error| Failed(format!("a manifest can't say this: {error}")))?;
    fs::write(&path, manifest.render()).map_err(Failed::io("write", &path))?;
    Ok(manifest)
}

fn manifest(
    places: &Places,
    lock: &Lock,
    description: Description,
    bill: Digest,
) -> Result<Manifest, FieldError> {
    let (commit, modified) = commit(places);
    let commit = commit.map(Commit::new).transpose()?;
    let source = Source { commit, modified, date: lock.date };
    let packages = lock.packages.iter().filter(|package| package.in_image()).map(|package| {
        Ok(Package {
            name: Text::new(package.name.clone())?,
            version: Text::new(package.version.clone())?,
            architecture: Text::new(package.architecture.clone())?,
            sha256: package.sha256,
        })
    });
    let packages = packages.collect::<Result<Vec<Package>, FieldError>>()?;
    let [.., bill_file] = results(places);
    let bill_file = bill_file.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let sbom = Sbom { file: media::manifest::FileName::new(bill_file)?, sha256: bill };
    let version = Text::new(env!("CARGO_PKG_VERSION").to_owned())?;
    Ok(description.into_manifest(
        Text::new(NAME.to_owned())?,
        version,
        source,
        packages,
        Some(sbom),
    ))
}

/// The commit of the sources, and whether they have been changed since; none without a repository.
fn commit(places: &Places) -> (Option<String>, bool) {
    let git = |arguments: &[&str]| {
        let mut command = Command::new("git");
        command.arg("-C").arg(&places.source).args(arguments);
        output("git", &mut command).ok()
    };
    let head = git(&["rev-parse", "HEAD"]).map(|text| text.trim().to_owned());
    let modified = git(&["status", "--porcelain"]).is_some_and(|text| !text.trim().is_empty());
    (head, modified)
}

/// What a build writes for people: disk, UKI, manifest, bill of materials.
fn results(places: &Places) -> [PathBuf; 4] {
    ["raw", "efi", "manifest.json", "spdx.json"].map(|extension| places.result(extension))
}
