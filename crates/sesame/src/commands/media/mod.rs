//! `sesame media …`: one file a command.

mod attest;
mod manifest;
mod verify;

use std::fmt;
use std::io;
use std::path::Path;

use ::media::{Digest, words};
use serde_json::{Value, json};

use crate::cli::Media;
use crate::exit::{Code, Failure};
use crate::output::Output;

/// Runs the command that was asked for. None of them needs an installation.
pub fn run(output: &Output, command: Media) -> Result<(), Failure> {
    match command {
        Media::Verify(arguments) => verify::run(output, &arguments),
        Media::Manifest(arguments) => manifest::run(output, arguments),
        Media::Attest => attest::run(output),
    }
}

/// A file that can't be read: it isn't there, or the disk is to blame.
fn unreadable(path: &Path, error: &io::Error) -> Failure {
    let code = match error.kind() {
        io::ErrorKind::NotFound => Code::ABSENT,
        io::ErrorKind::PermissionDenied => Code::REFUSED,
        io::ErrorKind::IsADirectory => Code::INVALID,
        _ => Code::STORAGE,
    };
    let next = match code {
        Code::REFUSED => "; devices are read as root",
        _ => "",
    };
    Failure::new(code, format!("cannot read {}: {error}{next}", path.display()))
}

/// A hash in both forms.
struct Named {
    title: &'static str,
    digest: Digest,
    words: Vec<&'static str>,
}

impl Named {
    fn root(digest: Digest) -> Self {
        Self { title: "Root hash", digest, words: words::of_root_hash(&digest) }
    }

    fn uki(digest: Digest) -> Self {
        Self { title: "UKI", digest, words: words::of_uki(&digest) }
    }

    fn json(&self) -> Value {
        json!({ "hex": self.digest, "words": self.words.join(" ") })
    }
}

impl fmt::Display for Named {
    /// Five lines.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { title, digest, words } = self;
        write!(f, "{title:<9} {digest}\n{}", words::rows(words))
    }
}
