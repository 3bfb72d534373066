//! `sesame cicada identity restore`

use std::fs::File;
use std::io::{self, Read};
use std::os::fd::AsFd;
use std::path::Path;

use cicada_client::{Client, ClientError, MAX_REQUEST_BYTES};

use crate::cli::RestoreIdentity;
use crate::commands::cicada::identity::public_key;
use crate::commands::cicada::{is_dash, unlock_key};
use crate::connect::Context;
use crate::exit::{Code, Failure};
use crate::output::Output;

pub fn run(
    context: &Context,
    connect: impl FnOnce() -> Result<Client, Failure>,
    output: &Output,
    arguments: &RestoreIdentity,
) -> Result<(), Failure> {
    let path = &arguments.file;
    if is_dash(path) && arguments.key_file.as_deref().is_some_and(is_dash) {
        let text = "standard input is the backup or the key, not both; nothing was restored";
        return Err(Failure::new(Code::USAGE, text));
    }
    let sealed = read(path)?;
    let its_key = arguments.place().map(|place| unlock_key::read(context, &place)).transpose()?;
    let restored = connect()?.restore(&sealed, its_key.as_ref());
    let keys = restored.map_err(|error| match error {
        ClientError::TooLarge => too_large(path),
        error => error.into(),
    })?;
    let text = format!("Identity {} is back.\n{}", keys.identity, public_key::text(&keys));
    output.result(&text, public_key::json(&keys))
}

/// What is longer than a request is no backup, and not all of it is read.
fn read(path: &Path) -> Result<Vec<u8>, Failure> {
    let unreadable = |error: io::Error| {
        let text = format!("cannot read {}: {error}; nothing was restored", path.display());
        Failure::new(Code::USAGE, text)
    };
    let source = match is_dash(path) {
        true => io::stdin().as_fd().try_clone_to_owned().map(File::from),
        false => File::open(path),
    };
    let mut sealed = Vec::new();
    let limit = MAX_REQUEST_BYTES as u64 + 1;
    source.and_then(|source| source.take(limit).read_to_end(&mut sealed)).map_err(unreadable)?;
    if sealed.len() > MAX_REQUEST_BYTES { Err(too_large(path)) } else { Ok(sealed) }
}

fn too_large(path: &Path) -> Failure {
    let text = format!(
        "{} is too large to be a backup of an identity; nothing was restored",
        path.display()
    );
    Failure::new(Code::INVALID, text)
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn what_is_too_large_for_a_request_is_not_sent() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("backup");
        fs::write(&path, vec![0; MAX_REQUEST_BYTES]).unwrap();
        assert_eq!(read(&path).unwrap().len(), MAX_REQUEST_BYTES);
        fs::write(&path, vec![0; MAX_REQUEST_BYTES + 1]).unwrap();
        assert_eq!(read(&path).unwrap_err().code, Code::INVALID);
        assert_eq!(read(&dir.path().join("none")).unwrap_err().code, Code::USAGE);
    }
}
