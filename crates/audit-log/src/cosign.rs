//! What a witness does: it verifies a bundle, and signs its last checkpoint.

use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use tlog::{PublicKeys, Role, SignError, SignedCheckpoint, SigningKeys};

use crate::bundle::{self, Opened, verify_bundle};
use crate::hash::{Hash, Head};
use crate::segment;
use crate::source::Source;
use crate::trail::LockedDir;
use crate::verdict::{Report, Verdict};
use crate::verify::{Expectation, VerifyError};

/// Why a bundle was not cosigned; it is as it was.
#[derive(Debug, thiserror::Error)]
pub enum CosignError {
    /// A signature can't be put into a tar file.
    #[error("{} is one file: unpack it first, with `tar -xf`, and cosign the directory", .0.display())]
    Archive(PathBuf),
    /// The trail is not sound, or not the one that the witness has seen before.
    #[error("{0} Nothing was signed.")]
    Unsound(Box<Report>),
    /// There is nothing to sign.
    #[error("there is no checkpoint in it: seal the trail, export it again and cosign that")]
    NoCheckpoint,
    /// The witness has signed for more than the last checkpoint covers.
    #[error(
        "its last checkpoint covers {sealed} entries, and there have been {seen}: ask for a newer bundle"
    )]
    RolledBack {
        /// How many entries the last checkpoint covers.
        sealed: u64,
        /// How many the witness has signed for.
        seen: u64,
    },
    /// Somebody else is at it.
    #[error("another process is writing in {}: cosign an export, and not the trail of a daemon", .0.display())]
    Locked(PathBuf),
    /// The new head can't be made durable.
    #[error("what is to be signed could not be remembered, so it was not signed: {0}")]
    NotRemembered(io::Error),
    /// The signature can't be made.
    #[error("the checkpoint could not be cosigned: {0}")]
    Sign(#[from] SignError),
    /// The file system refused.
    #[error("cannot cosign {}: {source}", path.display())]
    Io {
        /// The file or directory.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
}

impl From<VerifyError> for CosignError {
    fn from(error: VerifyError) -> Self {
        Self::Io { path: error.path, source: error.source }
    }
}

fn at(path: &Path) -> impl FnOnce(io::Error) -> CosignError {
    move |source| CosignError::Io { path: path.to_owned(), source }
}

/// Verifies the bundle in the directory `path` under the trail's `key`, and adds the signatures of
/// `witness` to its last checkpoint, of the time `now` (in POSIX seconds).
///
/// `last` is the head that this witness cosigned last, which the trail must continue. `remember` makes
/// the new one durable, before there is a signature: what was signed and forgotten could be
/// contradicted. A second time changes nothing.
///
/// # Errors
/// [`CosignError`].
pub fn cosign_bundle(
    path: &Path,
    key: &PublicKeys,
    last: Option<Head>,
    witness: &SigningKeys,
    now: u64,
    remember: impl FnOnce(Head) -> io::Result<()>,
) -> Result<Head, CosignError> {
    if witness.public().role() != Role::Witness {
        let name = witness.public().name().clone();
        return Err(SignError::Role { name, wanted: Role::Witness }.into());
    }
    if fs::symlink_metadata(path).is_ok_and(|metadata| metadata.is_file()) {
        return Err(CosignError::Archive(path.to_owned()));
    }
    let trail = match bundle::open(path)?.map_err(CosignError::Unsound)? {
        Opened { trail: Source::Directory(trail), .. } => trail,
        Opened { .. } => return Err(CosignError::Archive(path.to_owned())),
    };
    // Held until the end; a directory that isn't there is the verifier's to report.
    let lock = match LockedDir::open(&trail) {
        Ok(Some(lock)) => Some(lock),
        Ok(None) => return Err(CosignError::Locked(trail)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => None,
        Err(error) => return Err(at(&trail)(error)),
    };
    let expectation = Expectation {
        key: Some(key.clone()),
        head: last.map(Into::into),
        ..Expectation::default()
    };
    let mut report = verify_bundle(path, &expectation)?;
    if report.verdict != Verdict::Sound {
        return Err(CosignError::Unsound(report.into()));
    }
    // As it was when it was verified, whatever the file is by now.
    let (Some(signed), Some(lock)) = (report.checkpoint.take(), lock) else {
        return Err(CosignError::NoCheckpoint);
    };
    let head = Head { size: signed.checkpoint().size, root: Hash(signed.checkpoint().root) };
    if let Some(last) = last.filter(|last| last.size > head.size) {
        return Err(CosignError::RolledBack { sealed: head.size, seen: last.size });
    }
    remember(head).map_err(CosignError::NotRemembered)?;
    if matches!(signed.cosigned_by(witness.public()), Ok(Some(_))) {
        return Ok(head);
    }
    let mut signed = without(&signed, witness.public());
    witness.cosign(&mut signed, now)?;
    let name = segment::checkpoint_name(head.size);
    let file = trail.join(&name);
    let mode = fs::symlink_metadata(&file).map_err(at(&file))?.mode() & 0o777;
    lock.put(&trail, &name, signed.to_string().as_bytes(), mode).map_err(at(&file))?;
    Ok(head)
}

/// The checkpoint without what claims to be of this witness: of a wrong signature nobody has use.
fn without(signed: &SignedCheckpoint, witness: &PublicKeys) -> SignedCheckpoint {
    let keys = [witness.ed25519().id(), witness.ml_dsa_44().id()];
    let is_theirs = |name, id| name == witness.name() && keys.contains(&id);
    let mut note = format!("{}\n", signed.checkpoint().text());
    for signature in signed.signatures() {
        if !is_theirs(signature.name(), signature.id()) {
            note += &format!("{signature}\n");
        }
    }
    // The trail's own signatures are left, so it is a note still.
    SignedCheckpoint::parse(note.as_bytes()).unwrap_or_else(|_| signed.clone())
}
