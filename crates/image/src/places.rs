//! Where the sources are, and where everything is built.

use std::fs;
use std::path::{Path, PathBuf};

use crate::Sources;
use crate::failed::Failed;

/// The name of the image; its files are called NAME_VERSION.
pub const NAME: &str = "sesame-ceremony";

/// The places of one build.
#[derive(Clone, Debug)]
pub struct Places {
    /// The root of the sources.
    pub source: PathBuf,
    /// What a person gets, and below it everything else.
    pub output: PathBuf,
    /// Debian's archive, without a slash at the end.
    pub mirror: String,
    /// Debian's security archive.
    pub security_mirror: String,
    /// Whether another compiler than the published image's will do.
    pub any_compiler: bool,
}

impl Places {
    pub fn new(sources: &Sources) -> Result<Self, Failed> {
        let absolute = |path: &Path| {
            fs::create_dir_all(path).map_err(Failed::io("make", path))?;
            path.canonicalize().map_err(Failed::io("find", path))
        };
        let places = Self {
            source: absolute(&sources.source)?,
            output: absolute(&sources.output)?,
            mirror: sources.mirror.trim_end_matches('/').to_owned(),
            security_mirror: sources.security_mirror.trim_end_matches('/').to_owned(),
            any_compiler: sources.any_compiler,
        };
        fs::create_dir_all(places.logs()).map_err(Failed::io("make", &places.logs()))?;
        Ok(places)
    }

    /// The definition of the image.
    pub fn definition(&self) -> PathBuf {
        self.source.join("images/debian")
    }

    /// The lock file.
    pub fn lock(&self) -> PathBuf {
        self.definition().join("packages.lock")
    }

    /// Fetched packages, by their file names.
    pub fn packages(&self) -> PathBuf {
        self.output.join("packages")
    }

    /// The repository of exactly the locked packages.
    pub fn repository(&self) -> PathBuf {
        self.output.join("repository")
    }

    /// The tools tree.
    pub fn tools(&self) -> PathBuf {
        self.output.join("tools")
    }

    /// Says which packages the tools tree was made of; written last.
    pub fn tools_stamp(&self) -> PathBuf {
        self.output.join("tools.stamp")
    }

    /// Sources of the crates that we depend on.
    pub fn vendored(&self) -> PathBuf {
        self.output.join("vendored")
    }

    /// Says of which Cargo.lock they are; written last.
    pub fn vendored_stamp(&self) -> PathBuf {
        self.output.join("vendored.stamp")
    }

    /// The programs in the image: cargo's target directory and its home.
    pub fn binaries(&self) -> PathBuf {
        self.output.join("binaries")
    }

    /// The files of ours that go into the root, and those that go into the initrd.
    pub fn stage(&self) -> PathBuf {
        self.output.join("stage")
    }

    /// mkosi's own output.
    pub fn mkosi(&self) -> PathBuf {
        self.output.join("mkosi")
    }

    /// What each step printed.
    pub fn logs(&self) -> PathBuf {
        self.output.join("logs")
    }

    /// One of the files that a person gets.
    pub fn result(&self, extension: &str) -> PathBuf {
        self.output.join(format!("{NAME}_{}.{extension}", env!("CARGO_PKG_VERSION")))
    }
}
