//! An image of `cargo xtask image` to work on, and keys that nobody else has.

// Not every test needs all of it.
#![allow(dead_code)]

use std::ffi::OsStr;
use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use media::{Digest, Manifest};
use tempfile::TempDir;

pub const NAME: &str = "sesame-ceremony_0.1.0";
const UNSIGNED: [&str; 3] = ["raw", "efi", "spdx.json"];

/// A directory like target/image, with links to what is large and only read.
pub struct Image(TempDir);

impl Image {
    /// None, with a line that says so, where no image was built or we are not root.
    pub fn copy() -> Option<Self> {
        let scratch = Path::new(env!("CARGO_TARGET_TMPDIR"));
        let built = scratch.parent()?.join("image");
        let is_there = built.join(format!("{NAME}.manifest.json")).exists();
        if !is_there || !nix::unistd::Uid::effective().is_root() {
            eprintln!("left out: it needs root, and an image of `cargo xtask image`");
            return None;
        }
        let image = Self(TempDir::new_in(scratch).expect("a directory"));
        for directory in ["tools", "packages"] {
            symlink(built.join(directory), image.0.path().join(directory)).expect("a link");
        }
        fs::copy(built.join("tools.stamp"), image.0.path().join("tools.stamp")).expect("a copy");
        for extension in UNSIGNED {
            let file = format!("{NAME}.{extension}");
            fs::hard_link(built.join(&file), image.0.path().join(&file)).expect("a link");
        }
        fs::copy(built.join(format!("{NAME}.manifest.json")), image.file("manifest.json"))
            .expect("a manifest");
        Some(image)
    }

    pub fn file(&self, extension: &str) -> PathBuf {
        self.0.path().join(format!("{NAME}.{extension}"))
    }

    pub fn bytes(&self, extension: &str) -> Vec<u8> {
        let file = self.file(extension);
        fs::read(&file).unwrap_or_else(|error| panic!("{}: {error}", file.display()))
    }

    pub fn manifest(&self) -> Manifest {
        Manifest::parse(&self.bytes("manifest.json")).expect("a manifest")
    }

    /// The digest of every file in it.
    pub fn files(&self) -> Vec<(String, Digest)> {
        let entries = fs::read_dir(self.0.path()).expect("a directory");
        let mut files: Vec<_> = entries
            .map(|entry| entry.expect("an entry").path())
            .filter(|path| path.is_file())
            .map(|path| {
                let name = path.file_name().expect("a name").to_string_lossy().into_owned();
                (name, Digest::of(&fs::read(path).expect("a file")))
            })
            .collect();
        files.sort();
        files
    }

    /// `image COMMAND` on this directory.
    pub fn run(&self, command: &str, arguments: &[impl AsRef<OsStr>]) -> Output {
        self.command(command, arguments).output().expect("the program of this crate")
    }

    /// The same, before it runs.
    pub fn command(&self, command: &str, arguments: &[impl AsRef<OsStr>]) -> Command {
        let mut image = Command::new(env!("CARGO_BIN_EXE_image"));
        image.arg(command).arg("--source").arg(source()).arg("--output").arg(self.0.path());
        image.args(["--mirror", "http://none.invalid", "--security-mirror", "http://none.invalid"]);
        image.args(arguments);
        image
    }

    /// The same, which must succeed.
    pub fn succeed(&self, command: &str, arguments: &[impl AsRef<OsStr>]) -> String {
        let output = self.run(command, arguments);
        assert!(output.status.success(), "{command}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).expect("text")
    }

    /// The same, which must fail and leave all files as they are; what it said.
    pub fn refuse(&self, command: &str, arguments: &[impl AsRef<OsStr>]) -> String {
        let before = self.files();
        let output = self.run(command, arguments);
        assert_eq!(output.status.code(), Some(1), "{}", String::from_utf8_lossy(&output.stdout));
        assert_eq!(self.files(), before);
        String::from_utf8(output.stderr).expect("text")
    }

    /// A program in the tools tree, which sees this directory as /build/output.
    pub fn tool(&self, arguments: &[&str]) -> Output {
        self.enter(arguments).output().expect("the program of this crate")
    }

    /// The same, before it runs.
    pub fn enter(&self, arguments: &[&str]) -> Command {
        let mut enter = Command::new(env!("CARGO_BIN_EXE_image"));
        let tree = self.0.path().join("tools").canonicalize().expect("a tools tree");
        enter.arg("enter").arg("--tree").arg(tree);
        enter.arg("--bind").arg(format!("{}:/build/output", self.0.path().display()));
        enter.arg("--").args(arguments);
        enter
    }
}

/// A key and its certificate, in a directory of their own.
pub struct Key(TempDir);

impl Key {
    /// `kind` is what `openssl req -newkey` takes.
    pub fn new(kind: &str) -> Self {
        let key = Self(TempDir::new().expect("a directory"));
        let mut openssl = Command::new("openssl");
        openssl.args(["req", "-x509", "-nodes", "-newkey", kind]);
        if kind == "ec" {
            openssl.args(["-pkeyopt", "ec_paramgen_curve:prime256v1"]);
        }
        openssl.args(["-subj", "/CN=A key of the tests", "-days", "2"]);
        openssl.arg("-keyout").arg(key.private()).arg("-out").arg(key.certificate());
        let output = openssl.output().expect("openssl");
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        key
    }

    pub fn private(&self) -> PathBuf {
        self.0.path().join("KEY.pem")
    }

    pub fn certificate(&self) -> PathBuf {
        self.0.path().join("certificate of the tests.pem")
    }
}

fn source() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).ancestors().nth(2).expect("a workspace").to_owned()
}
