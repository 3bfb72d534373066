//! `sesame cicada identity backup`

use std::io;
use std::path::Path;

use cicada_client::Client;
use data_encoding::BASE64;
use serde_json::json;
use site_config::durable::create_new_atomically;

use crate::commands::cicada::is_dash;
use crate::exit::{Code, Failure};
use crate::output::Output;

pub fn run(
    connect: impl FnOnce() -> Result<Client, Failure>,
    output: &Output,
    name: &str,
    path: &Path,
) -> Result<(), Failure> {
    let is_stdout = is_dash(path);
    // Before the trail says that there is another copy.
    if !is_stdout && path.symlink_metadata().is_ok() {
        return Err(not_written(path, &io::ErrorKind::AlreadyExists.into()));
    }
    let backup = connect()?.backup(name)?;
    if is_stdout && output.is_json() {
        let encoded = BASE64.encode(&backup.sealed);
        return output.result("", json!({ "identity": backup.identity, "backup": encoded }));
    }
    if is_stdout {
        return output.bytes(&backup.sealed);
    }
    create_new_atomically(path, &backup.sealed, 0o600)
        .map_err(|error| not_written(path, &error))?;
    let hash = blake3::hash(&backup.sealed);
    let text = format!(
        "Backed up identity {name} to {}: {} bytes, encrypted.\nBLAKE3 {hash}\nIt opens with the \
         unlock key of today, by `sesame cicada identity restore`: keep that apart from it.\n",
        path.display(),
        backup.sealed.len()
    );
    let json = json!({
        "identity": backup.identity,
        "file": path.display().to_string(),
        "bytes": backup.sealed.len(),
        "blake3": hash.to_string(),
    });
    output.result(&text, json)
}

fn not_written(path: &Path, error: &io::Error) -> Failure {
    let path = path.display();
    match error.kind() {
        io::ErrorKind::AlreadyExists => {
            let text = format!("{path} exists and was not touched; nothing was backed up");
            Failure::new(Code::EXISTS, text)
        }
        _ => {
            let text = format!("cannot write {path}: {error}; nothing was backed up");
            Failure::new(Code::STORAGE, text)
        }
    }
}
