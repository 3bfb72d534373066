//! The commands of this repository: `cargo xtask ceremony`, `cargo xtask test`, `cargo xtask bench`.
//!
//! It uses the standard library only, so that it runs before anything else can be built.

#![forbid(unsafe_code)]

mod ceremony;
mod debian;
mod image;
mod nix;
mod prerequisites;
mod python;
mod step;
mod test;
mod test_kernel;
mod vm;

use std::process::ExitCode;

use crate::step::{Failed, cargo, step};

const USAGE: &str = "\
usage: cargo xtask COMMAND

  ceremony   build everything and hold a whole key ceremony with it
  test       format, lints, all tests; what CI runs
             --vm NAME   one scenario of vm-tests/scenarios, and nothing else
  image      build the appliance into target/image; as root, on Debian
             --check             build it twice and compare
             --any-compiler      not only the one of the published image
             lock                take the packages that Debian has now
             --sign KEY CERT     sign it for Secure Boot, and its manifest
             --sign-export CERT DIR, --sign-import DIR
                                 the same with a key on another machine, in two rounds
  boot       try the image in QEMU, on this terminal
             --memory MB, --tpm, --disk FILE (a USB stick for it)
  usb DEVICE write the image to a stick, and read it back
             --signed, --confirm NAME, --yes-this-disk
  nix        check the flake; without a nixpkgs what needs none
             --nixpkgs DIR [--write]   evaluate all of it, and write what is generated
  bench      measure, against floors measured in the same run
             --image [--cold]    the image: sizes, how long it starts, and how long it is built";

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let done = match arguments.as_slice() {
        ["ceremony"] => ceremony::run(),
        ["test"] => test::run(),
        ["test", "--vm", name] => vm::run_one(name),
        ["image", rest @ ..] => image::run(rest),
        ["boot", rest @ ..] => image::boot(rest),
        ["usb", rest @ ..] => image::usb(rest),
        ["nix", rest @ ..] => nix::run(rest),
        ["bench"] => bench(),
        ["bench", "--image"] => image::bench(false),
        ["bench", "--image", "--cold"] => image::bench(true),
        _ => {
            eprintln!("{USAGE}");
            return ExitCode::from(2);
        }
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(Failed(reason)) => {
            eprintln!("xtask: {reason}");
            ExitCode::FAILURE
        }
    }
}

fn bench() -> Result<(), Failed> {
    prerequisites::ensure()?;
    step("release binaries", cargo(&["build", "--release", "--workspace", "--quiet"]))?;
    step("measurements", cargo(&["run", "--release", "--quiet", "--package", "bench"]))
}
