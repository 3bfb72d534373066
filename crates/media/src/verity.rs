//! dm-verity: the superblock that veritysetup(8) writes (cryptsetup's on-disk format, version 1),
//! and the tree of hashes (the kernel's admin-guide/device-mapper/verity, hash type 1).
//!
//! Only what images have is taken: SHA-256, blocks of 512 to 4096 bytes, and the tree behind the
//! superblock in a partition of its own. A block's hash is SHA-256(salt ‖ block). A block of the tree
//! holds as many hashes as fit, the last of a level is filled up with zeros, and the topmost level,
//! which is one block, comes first.

use std::io;

use sha2::{Digest as _, Sha256};
use uuid::Uuid;

use crate::digest::Digest;
use crate::progress::Progress;
use crate::storage::{LittleEndian, Storage};

/// Bytes of a block of data, or of the tree: systemd-repart(8) takes the size of the disk's sectors.
const BLOCK_SIZES: [u32; 4] = [512, 1024, 2048, 4096];

const HASH: usize = 32;
const SIGNATURE: &[u8; 8] = b"verity\0\0";
const SUPERBLOCK: usize = 512;
const SALT_AT: usize = 88;
const MAX_SALT: usize = 256;

/// Why there is no hash tree that could be looked at.
#[derive(Debug, thiserror::Error)]
pub enum VerityError {
    /// The device failed.
    #[error("the hash tree can't be read: {0}")]
    Io(#[from] io::Error),
    /// No superblock.
    #[error("there is no dm-verity superblock")]
    NoSuperblock,
    /// A superblock with something that images don't have.
    #[error("the dm-verity superblock has a {0} that is not supported")]
    Field(&'static str),
    /// The tree doesn't fit its partition, or the data theirs.
    #[error("the hash tree covers {needed} bytes of {what}, and there are {available}")]
    Truncated {
        /// What is too small.
        what: &'static str,
        /// How many bytes it should have at least.
        needed: u64,
        /// How many it has.
        available: u64,
    },
}

/// What the superblock says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Superblock {
    /// The UUID of the tree, which is also in the name of the device mapper's device.
    pub uuid: Uuid,
    /// Bytes of a block of data.
    pub data_block: u32,
    /// Bytes of a block of the tree.
    pub hash_block: u32,
    /// How many blocks of data it covers.
    pub data_blocks: u64,
    /// The salt, of at most 256 bytes.
    pub salt: Vec<u8>,
}

impl Superblock {
    /// Reads the first 512 bytes of the partition with the tree.
    ///
    /// # Errors
    /// [`VerityError::Field`] for what images don't have, and for bytes that should be zero.
    pub fn read(tree: &dyn Storage) -> Result<Self, VerityError> {
        let mut bytes = [0; SUPERBLOCK];
        tree.read_exact_at(&mut bytes, 0).map_err(|error| match error.kind() {
            io::ErrorKind::UnexpectedEof => VerityError::NoSuperblock,
            _ => VerityError::Io(error),
        })?;
        if !bytes.starts_with(SIGNATURE) {
            return Err(VerityError::NoSuperblock);
        }
        let u32_at = |at| bytes.u32_at(at).unwrap_or_default();
        let check = |holds, field| if holds { Ok(()) } else { Err(VerityError::Field(field)) };
        let mut algorithm = [0; 32];
        algorithm[..6].copy_from_slice(b"sha256");
        let salt_size = usize::from(bytes.u16_at(80).unwrap_or_default());
        check(u32_at(8) == 1, "version")?;
        check(u32_at(12) == 1, "hash type")?;
        check(bytes[32..64] == algorithm, "hash algorithm")?;
        let (data_block, hash_block) = (u32_at(64), u32_at(68));
        check(BLOCK_SIZES.contains(&data_block), "size of data blocks")?;
        check(BLOCK_SIZES.contains(&hash_block), "size of hash blocks")?;
        check(salt_size <= MAX_SALT, "salt size")?;
        let data_blocks = bytes.u64_at(72).unwrap_or_default();
        check((1..=u64::MAX >> 16).contains(&data_blocks), "number of blocks")?;
        let padding = bytes[82..SALT_AT].iter().chain(&bytes[SALT_AT + salt_size..]);
        check(padding.copied().all(|byte| byte == 0), "padding")?;
        let mut uuid = [0; 16];
        uuid.copy_from_slice(&bytes[16..32]);
        let salt = bytes[SALT_AT..SALT_AT + salt_size].to_vec();
        Ok(Self { uuid: Uuid::from_bytes(uuid), data_block, hash_block, data_blocks, salt })
    }

    /// How many bytes of data it covers.
    #[must_use]
    pub const fn data_bytes(&self) -> u64 {
        self.data_blocks * self.data_block as u64
    }

    /// Where the tree ends, in bytes from the start of its partition.
    #[must_use]
    pub fn tree_end(&self) -> u64 {
        // The lowest level is the last one on the disk.
        self.levels().first().map_or(1, |lowest| lowest.start + lowest.blocks)
            * u64::from(self.hash_block)
    }

    /// The levels of the tree, from the one above the data to the topmost; none for one block of data.
    fn levels(&self) -> Vec<Level> {
        let mut levels = Vec::new();
        let mut below = self.data_blocks;
        while below > 1 {
            below = below.div_ceil(self.hashes());
            levels.push(Level { start: 0, blocks: below });
        }
        let mut start = 1;
        for level in levels.iter_mut().rev() {
            level.start = start;
            start += level.blocks;
        }
        levels
    }

    /// How many hashes a block of the tree holds.
    const fn hashes(&self) -> u64 {
        self.hash_block as u64 / HASH as u64
    }

    fn hash(&self, block: &[u8]) -> [u8; HASH] {
        Sha256::new_with_prefix(&self.salt).chain_update(block).finalize().into()
    }
}

/// A level of the tree, in blocks of the partition.
#[derive(Clone, Copy)]
struct Level {
    start: u64,
    blocks: u64,
}

/// What the data and the tree turn out to be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Verified {
    /// The root hash over the data as they are, whatever the stored tree says.
    pub root_hash: Digest,
    /// The root hash over the topmost block of the stored tree.
    pub stored_root_hash: Digest,
    /// The SHA-256 of the data, without salt or tree.
    pub data_sha256: Digest,
    /// The first block of data, counted from 0, that isn't the one in the tree.
    pub first_bad_data: Option<u64>,
    /// How many are not.
    pub bad_data: u64,
    /// The first block of the tree, counted from the start of its partition, that isn't the one in the
    /// level above it.
    pub first_bad_tree: Option<u64>,
}

/// Reads all data once and all of the tree twice, in constant memory.
///
/// # Errors
/// [`VerityError::Truncated`] when data or tree end too early.
pub fn verify(
    superblock: &Superblock,
    data: &dyn Storage,
    tree: &dyn Storage,
    progress: &mut Progress<'_>,
) -> Result<Verified, VerityError> {
    enough("data", superblock.data_bytes(), data)?;
    enough("the tree", superblock.tree_end(), tree)?;
    let levels = superblock.levels();
    let (first_bad_tree, stored_root) = check_tree(superblock, &levels, tree)?;
    let mut rising: Vec<Vec<u8>> = vec![Vec::new(); levels.len()];
    let mut verified = Verified {
        root_hash: Digest([0; HASH]),
        stored_root_hash: Digest(stored_root.unwrap_or_default()),
        data_sha256: Digest([0; HASH]),
        first_bad_data: None,
        bad_data: 0,
        first_bad_tree,
    };
    let mut plain = Sha256::new();
    let mut stored = Stored::new(superblock, tree, levels.first().copied());
    let mut number = 0;
    data.stream(0, superblock.data_bytes(), &mut |piece| {
        plain.update(piece);
        for block in piece.chunks_exact(superblock.data_block as usize) {
            let hash = superblock.hash(block);
            if stored.hash(number)?.is_some_and(|stored| stored != hash) {
                verified.first_bad_data.get_or_insert(number);
                verified.bad_data += 1;
            }
            raise(superblock, &mut rising, hash, &mut verified.root_hash.0);
            number += 1;
        }
        progress.add(piece.len() as u64);
        Ok(())
    })?;
    for level in 0..rising.len() {
        let block = std::mem::take(&mut rising[level]);
        if !block.is_empty() {
            let hash = hash_of_hashes(superblock, block);
            raise(superblock, &mut rising[level + 1..], hash, &mut verified.root_hash.0);
        }
    }
    verified.data_sha256 = plain.into();
    if stored_root.is_none() {
        // One block of data is its own tree.
        verified.stored_root_hash = verified.root_hash;
    }
    Ok(verified)
}

/// The root hash over the topmost block of the stored tree; nothing below it is read.
///
/// # Errors
/// Those of the device; [`VerityError::NoSuperblock`] for a tree without a block.
pub fn stored_root_hash(
    superblock: &Superblock,
    tree: &dyn Storage,
) -> Result<Digest, VerityError> {
    let top = superblock.levels().pop().ok_or(VerityError::NoSuperblock)?;
    let size = u64::from(superblock.hash_block);
    let mut block = vec![0; superblock.hash_block as usize];
    tree.read_exact_at(&mut block, top.start * size)?;
    Ok(Digest(superblock.hash(&block)))
}

fn enough(what: &'static str, needed: u64, storage: &dyn Storage) -> Result<(), VerityError> {
    let available = storage.size();
    if needed > available {
        return Err(VerityError::Truncated { what, needed, available });
    }
    Ok(())
}

/// Puts a hash into the lowest of `levels`, and what fills a block into those above.
fn raise(superblock: &Superblock, levels: &mut [Vec<u8>], hash: [u8; HASH], root: &mut [u8; HASH]) {
    let mut hash = hash;
    for level in levels {
        level.extend_from_slice(&hash);
        if level.len() < superblock.hash_block as usize {
            return;
        }
        hash = hash_of_hashes(superblock, std::mem::take(level));
    }
    *root = hash;
}

fn hash_of_hashes(superblock: &Superblock, mut block: Vec<u8>) -> [u8; HASH] {
    block.resize(superblock.hash_block as usize, 0);
    superblock.hash(&block)
}

/// Holds each block of the stored tree against the hash in the level above.
fn check_tree(
    superblock: &Superblock,
    levels: &[Level],
    tree: &dyn Storage,
) -> Result<(Option<u64>, Option<[u8; HASH]>), VerityError> {
    let (mut first_bad, mut root) = (None, None);
    let size = u64::from(superblock.hash_block);
    for (index, level) in levels.iter().enumerate().rev() {
        let mut above = Stored::new(superblock, tree, levels.get(index + 1).copied());
        let mut number = 0;
        tree.stream(level.start * size, level.blocks * size, &mut |piece| {
            for block in piece.chunks_exact(superblock.hash_block as usize) {
                let hash = superblock.hash(block);
                match above.hash(number)? {
                    None => root = Some(hash),
                    Some(stored) if stored != hash => {
                        first_bad.get_or_insert(level.start + number);
                    }
                    Some(_) => {}
                }
                number += 1;
            }
            Ok(())
        })?;
    }
    Ok((first_bad, root))
}

/// The hashes that a level of the stored tree has, a block at a time.
struct Stored<'a> {
    tree: &'a dyn Storage,
    level: Option<Level>,
    hashes: u64,
    loaded: Option<u64>,
    block: Vec<u8>,
}

impl<'a> Stored<'a> {
    fn new(superblock: &Superblock, tree: &'a dyn Storage, level: Option<Level>) -> Self {
        let block = vec![0; superblock.hash_block as usize];
        Self { tree, level, hashes: superblock.hashes(), loaded: None, block }
    }

    /// The hash of a block of the level below; `None` where there is no level above it.
    fn hash(&mut self, number: u64) -> io::Result<Option<[u8; HASH]>> {
        let Some(level) = self.level else { return Ok(None) };
        let wanted = number / self.hashes;
        if self.loaded != Some(wanted) {
            let at = (level.start + wanted) * self.block.len() as u64;
            self.tree.read_exact_at(&mut self.block, at)?;
            self.loaded = Some(wanted);
        }
        let at = (number % self.hashes) as usize * HASH;
        Ok(self.block[at..].first_chunk().copied())
    }
}
