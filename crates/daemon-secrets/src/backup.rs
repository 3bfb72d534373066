//! The format of a backup: a profile's metadata and vault in one file. Both are encrypted as they are
//! on disk, so the file needs no key of its own, and the policy that is in it opens it.
//!
//! ```text
//! "sesame backup 1\n" ‖ length of unlock.json (8, little endian) ‖ unlock.json ‖ vault.db ‖ BLAKE3 of
//! all before (32)
//! ```
//!
//! The digest finds accidents. Who edits the file on purpose meets the metadata's MAC and the vault's.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use key_hierarchy::metadata::MAX_FILE_BYTES;

const MAGIC: &[u8; 16] = b"sesame backup 1\n";
const DIGEST_BYTES: u64 = 32;
const COPY_BYTES: usize = 64 << 10;

/// The largest backup, in bytes.
pub const MAX_BYTES: u64 = 1 << 30;

/// Why a file is not a backup.
#[derive(Debug, thiserror::Error)]
pub enum BackupError {
    /// Another file, or one that was cut off.
    #[error("it is not a backup of this program, or its end is missing")]
    NotABackup,
    /// Damaged on its way.
    #[error("it is damaged: its digest does not match")]
    Damaged,
    /// The system refused something.
    #[error(transparent)]
    Io(#[from] io::Error),
}

/// Writes `unlock.json` and the vault into one new file at `path`, durably.
pub fn write(path: &Path, unlock: &[u8], vault: &Path) -> io::Result<()> {
    let file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?;
    let mut out = Hashed { file, hasher: blake3::Hasher::new() };
    out.write_all(MAGIC)?;
    out.write_all(&(unlock.len() as u64).to_le_bytes())?;
    out.write_all(unlock)?;
    io::copy(&mut File::open(vault)?, &mut out)?;
    let digest = *out.hasher.finalize().as_bytes();
    out.file.write_all(&digest)?;
    out.file.sync_all()
}

/// Reads the `unlock.json` of a backup, with nothing checked yet.
pub fn read_unlock(path: &Path) -> Result<Vec<u8>, BackupError> {
    let (mut file, size, _) = open(path, &mut blake3::Hasher::new())?;
    let mut unlock = Vec::new();
    (&mut file).take(size).read_to_end(&mut unlock)?;
    if unlock.len() as u64 == size { Ok(unlock) } else { Err(BackupError::NotABackup) }
}

/// Writes the vault of a backup into a new file, and checks the digest of all of it.
pub fn unpack_vault(path: &Path, vault: &Path) -> Result<(), BackupError> {
    let mut hasher = blake3::Hasher::new();
    let (mut file, size, rest) = open(path, &mut hasher)?;
    let mut unlock = vec![0; usize::try_from(size).map_err(|_| BackupError::NotABackup)?];
    file.read_exact(&mut unlock)?;
    hasher.update(&unlock);
    let _ = fs::remove_file(vault);
    let mut out = OpenOptions::new().write(true).create_new(true).mode(0o600).open(vault)?;
    copy(&mut file, rest, &mut out, &mut hasher)?;
    let mut digest = [0; DIGEST_BYTES as usize];
    file.read_exact(&mut digest)?;
    if *hasher.finalize().as_bytes() == digest { Ok(()) } else { Err(BackupError::Damaged) }
}

/// BLAKE3 of a whole file, which tells one backup from another.
pub fn digest(path: &Path) -> io::Result<[u8; 32]> {
    let mut hasher = blake3::Hasher::new();
    let mut file = File::open(path)?;
    let length = file.metadata()?.len();
    copy(&mut file, length, &mut io::sink(), &mut hasher)?;
    Ok(*hasher.finalize().as_bytes())
}

/// The file at its `unlock.json`, the length of that, and the length of the vault behind it.
fn open(path: &Path, hasher: &mut blake3::Hasher) -> Result<(File, u64, u64), BackupError> {
    let mut file = File::open(path)?;
    let mut head = [0; MAGIC.len() + 8];
    let body = file.metadata()?.len().checked_sub(head.len() as u64 + DIGEST_BYTES);
    let body = body.ok_or(BackupError::NotABackup)?;
    file.read_exact(&mut head)?;
    hasher.update(&head);
    let (magic, size) = head.split_at(MAGIC.len());
    let size = size.try_into().map_or(u64::MAX, u64::from_le_bytes);
    let rest = body.checked_sub(size);
    match rest.filter(|_| magic == MAGIC && size <= MAX_FILE_BYTES as u64) {
        Some(rest) => Ok((file, size, rest)),
        None => Err(BackupError::NotABackup),
    }
}

fn copy(
    from: &mut File,
    bytes: u64,
    to: &mut impl Write,
    hasher: &mut blake3::Hasher,
) -> io::Result<()> {
    let mut left = bytes;
    let mut buffer = vec![0; COPY_BYTES];
    while left > 0 {
        let most = usize::try_from(left).unwrap_or(COPY_BYTES).min(COPY_BYTES);
        let piece = &mut buffer[..most];
        from.read_exact(piece)?;
        hasher.update(piece);
        to.write_all(piece)?;
        left -= most as u64;
    }
    Ok(())
}

struct Hashed {
    file: File,
    hasher: blake3::Hasher,
}

impl Write for Hashed {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let written = self.file.write(bytes)?;
        self.hasher.update(&bytes[..written]);
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_backup_reads_back_and_every_flipped_byte_is_noticed() {
        let dir = tempfile::tempdir().unwrap();
        let [backup, vault, restored, edited] =
            ["backup", "vault", "restored", "edited"].map(|name| dir.path().join(name));
        fs::write(&vault, vec![7; 70_000]).unwrap();
        write(&backup, b"{}", &vault).unwrap();
        unpack_vault(&backup, &restored).unwrap();
        assert_eq!(read_unlock(&backup).unwrap(), b"{}");
        assert_eq!(fs::read(&restored).unwrap(), fs::read(&vault).unwrap());
        let whole = fs::read(&backup).unwrap();
        assert_eq!(digest(&backup).unwrap(), *blake3::hash(&whole).as_bytes());
        for at in (0..whole.len()).step_by(997).chain(0..40) {
            let mut changed = whole.clone();
            changed[at] ^= 1;
            fs::write(&edited, &changed).unwrap();
            assert!(unpack_vault(&edited, &restored).is_err(), "byte {at}");
        }
        for length in (0..whole.len()).step_by(499) {
            fs::write(&edited, &whole[..length]).unwrap();
            assert!(unpack_vault(&edited, &restored).is_err(), "{length} bytes");
        }
    }
}
