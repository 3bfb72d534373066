//! `sesame vault restore`

use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

use ipc::factors::{Change, Source};
use ipc::secrets::SecretsRequest;
use serde_json::json;

use crate::cli::Restore;
use crate::collect::authorise;
use crate::commands::vault::backup;
use crate::connect::Context;
use crate::exit::{Code, Failure};
use crate::output::Output;
use crate::password::Passwords;
use crate::progress::Progress;

/// A frame has room for so many bytes, and the request around them.
const PIECE_BYTES: usize = 64 << 10;

pub fn run(context: &Context, output: &Output, arguments: &Restore) -> Result<(), Failure> {
    let Restore { file: path, profile, giving } = arguments;
    let source = Source::Restore(profile);
    let backup = whole(path)?;
    if !is_staged(context, source, backup)? {
        upload(context, path, profile)?;
    }
    let change = Change::Restore { profile, backup };
    let mut passwords = Passwords::new(&giving.password);
    authorise(context, source, change, &giving.devices, &mut passwords)?;
    context.secrets()?.done(&SecretsRequest::VaultRestore { profile })?;
    let text = format!(
        "Profile {profile} is restored and locked; next: sesame unlock --profile {profile}\n"
    );
    output.result(&text, json!({ "profile": profile, "file": path.display().to_string() }))
}

/// The BLAKE3 of a backup's file, once it agrees with the one at its end.
fn whole(path: &Path) -> Result<[u8; 32], Failure> {
    let (all, is_whole) = backup::digests(path).map_err(|error| {
        let text = format!("cannot read {}: {error}; nothing was restored", path.display());
        Failure::new(Code::USAGE, text)
    })?;
    if is_whole {
        return Ok(*all.as_bytes());
    }
    let text = format!(
        "{} is damaged, or no backup: the digest at its end does not match; nothing was restored",
        path.display()
    );
    Err(Failure::new(Code::TAMPERED, text))
}

/// Whether the daemon has this backup already. Written anew, it would lose the factors that others
/// gave for it meanwhile; and so would another one that somebody asked for.
fn is_staged(context: &Context, source: Source<'_>, backup: [u8; 32]) -> Result<bool, Failure> {
    let Ok(enrolled) = context.secrets()?.enrolled(source) else { return Ok(false) };
    match enrolled.pending {
        _ if enrolled.backup == Some(backup) => Ok(true),
        None => Ok(false),
        Some(pending) => {
            let text = format!(
                "{} is restoring another backup as profile {}; nothing was read. Wait, or end that \
                 with `sesame factor cancel --restore {}`",
                pending.owner, enrolled.profile, enrolled.profile
            );
            Err(Failure::new(Code::BUSY, text))
        }
    }
}

fn upload(context: &Context, path: &Path, profile: &str) -> Result<(), Failure> {
    let unreadable = |error: io::Error| {
        let text = format!("cannot read {}: {error}; nothing was restored", path.display());
        Failure::new(Code::USAGE, text)
    };
    let mut file = File::open(path).map_err(unreadable)?;
    let total = file.metadata().map_err(unreadable)?.len();
    let mut client = context.secrets()?;
    let mut progress = Progress::new("reading the backup", total);
    let mut piece = vec![0; PIECE_BYTES];
    let mut offset = 0;
    loop {
        let read = fill(&mut file, &mut piece).map_err(unreadable)?;
        if read == 0 && offset > 0 {
            return Ok(());
        }
        let bytes = &piece[..read];
        client.done(&SecretsRequest::VaultRestoreWrite { profile, offset, bytes })?;
        if read == 0 {
            return Ok(());
        }
        offset += read as u64;
        progress.at(offset);
    }
}

/// Reads until the piece is full or the file ends.
fn fill(file: &mut impl Read, piece: &mut [u8]) -> io::Result<usize> {
    let mut length = 0;
    while length < piece.len() {
        match file.read(&mut piece[length..]) {
            Ok(0) => break,
            Ok(read) => length += read,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(length)
}
