//! The unlock key of cicada's key store: 32 bytes in a vault or a file, and here in secret memory only.

use std::fs::File;
use std::io;
use std::path::Path;

use ipc::secrets::{Purpose, SecretsReply, SecretsRequest};
use secret_memory::{Secret, SecretBytes};
use serde_json::{Value, json};
use site_config::durable::create_new_atomically;

use crate::cli::KeyPlace;
use crate::commands::cicada::is_dash;
use crate::connect::{Context, SecretsClient};
use crate::exit::{Code, Failure};
use crate::password::read_stdin;

const KEY_BYTES: usize = 32;

/// Reads the key.
pub fn read(context: &Context, place: &KeyPlace<'_>) -> Result<Secret<KEY_BYTES>, Failure> {
    let bytes = match *place {
        KeyPlace::File(path) if is_dash(path) => {
            read_stdin("unlock key", "give it through a pipe or as a file")?
        }
        KeyPlace::File(path) => read_file(path)?,
        KeyPlace::Secret { name, profile } => {
            // For a program: the person doesn't get to see it.
            let request = SecretsRequest::SecretGet { profile, name, purpose: Purpose::Run };
            context.secrets()?.value(&request).map_err(where_else)?
        }
    };
    let key = bytes.expose().try_into().map(Secret::copy_of);
    key.map_err(|_| {
        let (place, bytes) = (in_words(place), bytes.len());
        let text = format!(
            "{place} has {bytes} bytes, and an unlock key has {KEY_BYTES}; nothing was done"
        );
        Failure::new(Code::INVALID, text)
    })
}

/// A new key, durable in its place before anything is sealed under it. Refuses to replace anything.
pub fn make(context: &Context, place: &KeyPlace<'_>) -> Result<Secret<KEY_BYTES>, Failure> {
    let key = Secret::try_from_fn(|key| getrandom::fill(key))
        .map_err(|error| Failure::new(Code::FAILED, format!("no random bytes: {error}")))?;
    match *place {
        KeyPlace::File(path) if is_dash(path) => {
            let text = "the key must be kept: give a file that does not exist; nothing was made";
            return Err(Failure::new(Code::USAGE, text));
        }
        KeyPlace::File(path) => {
            create_new_atomically(path, key.expose(), 0o600)
                .map_err(|error| not_written(path, &error))?;
        }
        KeyPlace::Secret { name, profile } => store(&mut context.secrets()?, profile, name, &key)?,
    }
    Ok(key)
}

/// daemon-secrets itself sees that nothing is replaced, whoever else writes at the same time.
fn store(
    client: &mut SecretsClient,
    profile: Option<&str>,
    name: &str,
    key: &Secret<KEY_BYTES>,
) -> Result<(), Failure> {
    let request = SecretsRequest::SecretSet { profile, name, value: key.expose(), only_new: true };
    let written = client.call(&request, |reply| match reply {
        SecretsReply::Written { .. } => Some(()),
        _ => None,
    });
    written.map_err(|failure| {
        if failure.code != Code::EXISTS {
            return failure;
        }
        let text = format!(
            "there is a secret {name} already; it was not touched, and nothing was made. Keep the key \
             under another name with --secret NAME; or delete that one, if no key store needs it"
        );
        Failure::new(Code::EXISTS, text)
    })
}

/// A place as people speak of it.
pub fn in_words(place: &KeyPlace<'_>) -> String {
    match place {
        KeyPlace::File(path) if is_dash(path) => "standard input".to_owned(),
        KeyPlace::File(path) => path.display().to_string(),
        KeyPlace::Secret { name, profile: None } => {
            format!("the secret {name} of the default profile")
        }
        KeyPlace::Secret { name, profile: Some(profile) } => {
            format!("the secret {name} of profile {profile}")
        }
    }
}

/// A place as JSON.
pub fn as_json(place: &KeyPlace<'_>) -> Value {
    match place {
        KeyPlace::File(path) => json!({ "file": path.display().to_string() }),
        KeyPlace::Secret { name, profile } => json!({ "secret": name, "profile": profile }),
    }
}

fn read_file(path: &Path) -> Result<SecretBytes, Failure> {
    let read = File::open(path).and_then(|mut file| SecretBytes::read_from(&mut file, KEY_BYTES));
    read.map_err(|error| {
        let (path, code) = (path.display(), Code::INVALID);
        let text = match error.kind() {
            io::ErrorKind::InvalidData => {
                format!("{path} has more than the {KEY_BYTES} bytes of an unlock key")
            }
            _ => format!("cannot read {path}: {error}"),
        };
        Failure::new(code, format!("{text}; nothing was done"))
    })
}

fn not_written(path: &Path, error: &io::Error) -> Failure {
    let path = path.display();
    match error.kind() {
        io::ErrorKind::AlreadyExists => {
            let text = format!("{path} exists and was not touched; nothing was made");
            Failure::new(Code::EXISTS, text)
        }
        _ => {
            let text = format!("cannot write {path}: {error}; no key store was made");
            Failure::new(Code::STORAGE, text)
        }
    }
}

/// A key that isn't in the usual place may be in another.
fn where_else(failure: Failure) -> Failure {
    if failure.code != Code::NOT_FOUND {
        return failure;
    }
    let text = format!(
        "{}. If the unlock key is elsewhere, name it with --secret NAME or --key-file FILE",
        failure.message
    );
    Failure { message: text, ..failure }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn a_place_is_named_so_that_it_is_found() {
        let secret = |profile| KeyPlace::Secret { name: "cicada/unlock-key", profile };
        assert_eq!(in_words(&secret(None)), "the secret cicada/unlock-key of the default profile");
        assert_eq!(in_words(&secret(Some("ops"))), "the secret cicada/unlock-key of profile ops");
        assert_eq!(in_words(&KeyPlace::File(Path::new("/k"))), "/k");
        assert_eq!(in_words(&KeyPlace::File(Path::new("-"))), "standard input");
    }

    #[test]
    fn a_file_of_another_size_is_no_key() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("key");
        fs::write(&path, [7; 32]).unwrap();
        assert_eq!(read_file(&path).unwrap().expose(), [7; 32]);
        fs::write(&path, [7; 33]).unwrap();
        let failure = read_file(&path).unwrap_err();
        assert_eq!(failure.code, Code::INVALID);
        assert!(failure.message.contains("more than the 32 bytes"), "{}", failure.message);
        assert_eq!(read_file(&dir.path().join("none")).unwrap_err().code, Code::INVALID);
    }

    #[test]
    fn only_a_missing_key_is_looked_for_elsewhere() {
        let with = |code| where_else(Failure::new(code, "there is none")).message;
        assert!(with(Code::NOT_FOUND).contains("--key-file FILE"));
        assert_eq!(with(Code::LOCKED), "there is none");
    }
}
