//! The image as it was built, and the tools to sign it with.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use media::Manifest;

use super::authenticode::ToBeSigned;
use crate::failed::{Failed, output};
use crate::places::Places;
use crate::results;
use crate::tools::{self, Tools, inside};

/// Below the image's directory; gone when we are.
const SCRATCH: &str = "signing";

/// An image that is what its manifest says.
pub struct Unsigned<'p> {
    pub places: &'p Places,
    /// Its manifest, without the part that signing adds.
    pub manifest: Manifest,
    /// What is to be signed of its UKI.
    pub to_be_signed: ToBeSigned,
    tools: Tools,
    scratch: Scratch,
}

/// A directory that is removed again.
struct Scratch(PathBuf);

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

impl<'p> Unsigned<'p> {
    pub fn open(places: &'p Places) -> Result<Self, Failed> {
        if !nix::unistd::Uid::effective().is_root() {
            return Err(Failed(
                "signing needs root, to enter the tools tree; nothing was signed".to_owned(),
            ));
        }
        let manifest = results::read(places)
            .map_err(|Failed(reason)| Failed(format!("{reason}; nothing was signed")))?;
        let manifest = Manifest { signed: None, ..manifest };
        let (tools, _) = tools::ensure(places)?;
        let scratch = places.output.join(SCRATCH);
        if scratch.exists() {
            fs::remove_dir_all(&scratch).map_err(Failed::io("remove", &scratch))?;
        }
        fs::create_dir(&scratch).map_err(Failed::io("make", &scratch))?;
        let scratch = Scratch(scratch);
        let data = scratch.0.join("data");
        let mut extract = command(&tools, places, "/usr/bin/osslsigncode", None);
        extract.args(["extract-data", "-h", "sha256", "-in", &inside(&places.result("efi"))]);
        extract.arg("-out").arg(inside_scratch("data"));
        output("osslsigncode extract-data", &mut extract)?;
        let data = fs::read(&data).map_err(Failed::io("read", &data))?;
        let to_be_signed = ToBeSigned::of_unsigned(&data)?;
        Ok(Self { places, manifest, to_be_signed, tools, scratch })
    }

    /// A program in the tools tree, which sees the image's directory at [`inside::OUTPUT`], and `other` at
    /// [`inside::STAGE`].
    pub fn command(&self, program: &str, other: Option<PathBuf>) -> Command {
        command(&self.tools, self.places, program, other)
    }

    /// A scratch file, here.
    pub fn scratch(&self, name: &str) -> PathBuf {
        self.scratch.0.join(name)
    }
}

/// A scratch file, in the tools tree.
pub fn inside_scratch(name: &str) -> String {
    format!("{}/{SCRATCH}/{name}", inside::OUTPUT)
}

/// A file of the image's directory, in the tools tree.
pub fn inside(file: &Path) -> String {
    let name = file.file_name().unwrap_or_default().to_string_lossy();
    format!("{}/{name}", inside::OUTPUT)
}

fn command(tools: &Tools, places: &Places, program: &str, other: Option<PathBuf>) -> Command {
    let mut binds = vec![(places.output.clone(), inside::OUTPUT)];
    binds.extend(other.map(|other| (other, inside::STAGE)));
    tools.command(program, &binds)
}
