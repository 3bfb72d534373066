//! A build: packages, tools, programs, mkosi, and what is written about the outcome.

use std::fs;
use std::time::Instant;

use media::manifest::{Commit, FieldError, FileName, Package, Sbom, Source, Text};
use media::{Description, Digest, Manifest, Progress};
use nix::sys::stat::{Mode, umask};

use crate::apt::RELEASE;
use crate::failed::{Failed, logged};
use crate::lock::Lock;
use crate::places::{NAME, Places};
use crate::tools::{Tools, inside};
use crate::{binaries, git, repository, results, sbom, stage, tools, tree};

/// `image build`. Where nothing has changed since the last one, nothing is done; where nothing but the commit
/// has, the manifest is written anew.
pub fn build(places: &Places) -> Result<(), Failed> {
    if !nix::unistd::Uid::effective().is_root() {
        let why =
            "building the image needs root, for mounts and owners of files; nothing was changed";
        return Err(Failed(why.to_owned()));
    }
    // Modes get into the image; whoever calls us has no say in them.
    umask(Mode::from_bits_truncate(0o022));
    // What it says first of all fails before anything takes its time.
    let state = git::state(&places.source)?;
    let (tools, lock) = tools::ensure(places)?;
    let source = source(state, &lock)?;
    let programs = binaries::build(places, &tools)?;
    let start = Instant::now();
    stage::stage(places, &programs)?;
    let inputs = inputs(places, &lock)?;
    let stamp = places.output.join("image.stamp");
    if fs::read_to_string(&stamp).is_ok_and(|made| made == inputs)
        && let Ok(manifest) = results::read(places)
    {
        eprintln!("image: {} is up to date", places.result("raw").display());
        return results::name_source(places, manifest, source);
    }
    if stamp.exists() {
        fs::remove_file(&stamp).map_err(Failed::io("remove", &stamp))?;
    }
    results::withdraw_signed(places)?;
    repository::make(places, &lock)?;
    mkosi(places, &tools, &lock)?;
    let manifest = describe(places, &lock, source)?;
    results::write(&stamp, inputs.as_bytes())?;
    eprintln!(
        "image: {} ({:.1} MB) took {:.0} s after the programs\nimage: root hash {}",
        places.result("raw").display(),
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
    command.arg(format!("--extra-tree={}/root", inside::STAGE));
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

/// What the manifest says of the sources.
fn source(state: Option<git::State>, lock: &Lock) -> Result<Source, Failed> {
    let modified = state.as_ref().is_some_and(|state| state.modified);
    let commit = state.map(|state| Commit::new(state.commit)).transpose().map_err(unsayable)?;
    Ok(Source { commit, modified, date: lock.date })
}

fn describe(places: &Places, lock: &Lock, source: Source) -> Result<Manifest, Failed> {
    let bill = sbom::spdx(places, lock)?;
    let [disk, _, path, bill_file] = results::files(places);
    results::write(&bill_file, bill.as_bytes())?;
    let name = bill_file.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let file = FileName::new(name).map_err(unsayable)?;
    let bill = Sbom { file, sha256: Digest::of(bill.as_bytes()) };
    let description = Description::read(&disk, &mut Progress::new(&mut |_, _| {}))
        .map_err(|error| Failed(format!("{}: {error}", disk.display())))?;
    let manifest = manifest(lock, description, source, bill).map_err(unsayable)?;
    results::write(&path, manifest.render().as_bytes())?;
    Ok(manifest)
}

fn manifest(
    lock: &Lock,
    description: Description,
    source: Source,
    bill: Sbom,
) -> Result<Manifest, FieldError> {
    let packages = lock.packages.iter().filter(|package| package.in_image()).map(|package| {
        Ok(Package {
            name: Text::new(package.name.clone())?,
            version: Text::new(package.version.clone())?,
            architecture: Text::new(package.architecture.clone())?,
            sha256: package.sha256,
        })
    });
    let packages = packages.collect::<Result<Vec<Package>, FieldError>>()?;
    let (name, version) = (NAME.to_owned(), env!("CARGO_PKG_VERSION").to_owned());
    Ok(description.into_manifest(
        Text::new(name)?,
        Text::new(version)?,
        source,
        packages,
        Some(bill),
    ))
}

fn unsayable(error: FieldError) -> Failed {
    Failed(format!("a manifest can't say this: {error}"))
}
