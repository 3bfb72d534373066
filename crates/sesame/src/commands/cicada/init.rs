//! `sesame cicada init`: the unlock key first, durable in its place; then the key store under it.

use std::path::Path;

use cicada_client::{Client, ClientError, Code as Refusal, State};
use serde_json::json;

use crate::cli::{KeyPlace, NewUnlockKey};
use crate::commands::cicada::unlock_key::{self, in_words};
use crate::connect::Context;
use crate::exit::{Code, Failure};
use crate::output::Output;

pub fn run(
    context: &Context,
    mut cicada: Client,
    output: &Output,
    arguments: &NewUnlockKey,
) -> Result<(), Failure> {
    let place = arguments.place();
    refuse_if_there_is_one(&mut cicada)?;
    let key = unlock_key::make(context, &place)?;
    cicada.init(&key).map_err(|error| not_initialised(error, &place))?;
    let json = json!({ "state": "unlocked", "unlock_key": unlock_key::as_json(&place) });
    output.result(&text(&place), json)
}

/// Before a key is made that opens nothing, and may be taken for the right one.
fn refuse_if_there_is_one(cicada: &mut Client) -> Result<(), Failure> {
    match cicada.status() {
        Ok(status) if status.state != State::Uninitialised => {
            let text = "there is a key store already; it was not touched, and nothing was made. \
                        `sesame cicada unlock` opens it";
            Err(Failure::new(Code::EXISTS, text))
        }
        // A user without a rule for `status` may have one for `init`.
        Ok(_) | Err(ClientError::Refused { code: Refusal::Denied, .. }) => Ok(()),
        Err(error) => Err(error.into()),
    }
}

/// The key is kept whatever happened: the store may have been made with it.
fn not_initialised(error: ClientError, place: &KeyPlace<'_>) -> Failure {
    let is_of_no_use =
        matches!(error, ClientError::Refused { code: Refusal::Exists | Refusal::Denied, .. });
    let (failure, kept, remove) = (Failure::from(error), in_words(place), remove(place));
    let text = match is_of_no_use {
        true => format!(
            "{}. The new key was kept before that, in {kept}, and opens nothing: {remove}",
            failure.message
        ),
        false => format!(
            "{}. The new key is in {kept}. If `sesame cicada status` shows a key store, unlock it with \
             that key; if not, {remove}, and run this again",
            failure.message
        ),
    };
    Failure { message: text, ..failure }
}

fn remove(place: &KeyPlace<'_>) -> String {
    match place {
        KeyPlace::File(path) => format!("remove it with `rm {}`", shell_word(path)),
        KeyPlace::Secret { name, profile } => {
            let profile = profile.map(|profile| format!(" --profile {profile}"));
            format!("remove it with `sesame secret delete {name}{}`", profile.unwrap_or_default())
        }
    }
}

fn text(place: &KeyPlace<'_>) -> String {
    let kept = in_words(place);
    let keep = match place {
        KeyPlace::Secret { .. } => {
            "Without it the keys are lost: back that profile up.\n".to_owned()
        }
        KeyPlace::File(path) => format!(
            "Without it the keys are lost: keep a copy off this host.\n\
             To have cicada unlocked at its start, encrypt it for this host (and its TPM, where \
             there is one), and remove the file:\n\
             systemd-creds encrypt --name=cicada.unlock-key {} \
             /etc/credstore.encrypted/cicada.unlock-key\n",
            shell_word(path)
        ),
    };
    format!(
        "Cicada has a key store, and it is unlocked.\nIts unlock key is in {kept}.\n{keep}\
         Next: sesame cicada identity create NAME\n"
    )
}

/// A path as a shell takes it.
fn shell_word(path: &Path) -> String {
    let path = path.display().to_string();
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "/._-+,:=@%".contains(c);
    if !path.starts_with('-') && path.chars().all(is_plain) {
        return path;
    }
    let dash = if path.starts_with('-') { "./" } else { "" };
    format!("'{dash}{}'", path.replace('\'', "'\\''"))
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECRET: KeyPlace<'_> =
        KeyPlace::Secret { name: "cicada/unlock-key", profile: Some("ops") };

    fn refused(code: Refusal, message: &str) -> ClientError {
        ClientError::Refused { code, message: message.to_owned() }
    }

    #[test]
    fn a_new_store_says_where_its_key_is_and_what_comes_next() {
        let default = KeyPlace::Secret { name: "cicada/unlock-key", profile: None };
        let file = KeyPlace::File(Path::new("/root/unlock.key"));
        insta::assert_snapshot!([text(&default), text(&SECRET), text(&file)].join("\n"));
    }

    #[test]
    fn when_it_fails_the_key_is_kept_and_named() {
        let broken = ClientError::Io(std::io::ErrorKind::TimedOut.into());
        let unrecorded = refused(Refusal::AuditUnavailable, "the trail can't be written");
        let exists = refused(Refusal::Exists, "there is a key store already");
        let file = KeyPlace::File(Path::new("/root/it's a key"));
        let texts = [
            not_initialised(broken, &SECRET),
            not_initialised(unrecorded, &file),
            not_initialised(exists, &SECRET),
        ];
        assert_eq!(
            texts.each_ref().map(|failure| failure.code),
            [Code::UNREACHABLE, Code::AUDIT_UNAVAILABLE, Code::EXISTS]
        );
        insta::assert_snapshot!(texts.map(|failure| failure.message).join("\n\n"));
    }

    #[test]
    fn a_path_is_one_word_for_a_shell() {
        for (path, word) in [
            ("/root/key", "/root/key"),
            ("/root/my key", "'/root/my key'"),
            ("-key", "'./-key'"),
            ("a'b$c", "'a'\\''b$c'"),
        ] {
            assert_eq!(shell_word(Path::new(path)), word);
        }
    }
}
