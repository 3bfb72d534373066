//! Merkle trees of RFC 6962 §2.1, with SHA-256.

mod inclusion;

use sha2::{Digest, Sha256};

pub use inclusion::{InclusionBuilder, MAX_PATH, root_from_inclusion};

/// The hash of a leaf, of a node, or of a whole tree: 32 bytes.
pub type TreeHash = [u8; 32];

/// The hash of a leaf with this content (RFC 6962 §2.1).
#[must_use]
pub fn leaf_hash(leaf: &[u8]) -> TreeHash {
    Sha256::new_with_prefix([0]).chain_update(leaf).finalize().into()
}

/// The hash of a node with these children (RFC 6962 §2.1).
#[must_use]
pub fn node_hash(left: &TreeHash, right: &TreeHash) -> TreeHash {
    // One block and a byte, in one piece: faster than three updates.
    let mut node = [1; 65];
    node[1..33].copy_from_slice(left);
    node[33..].copy_from_slice(right);
    Sha256::digest(node).into()
}

/// A tree that grows at its right end; it keeps one hash for each complete subtree, 64 at most.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tree {
    size: u64,
    /// The roots of the complete subtrees, the largest first: one for each bit of `size`.
    subtrees: Vec<TreeHash>,
}

impl Tree {
    /// The empty tree.
    #[must_use]
    pub const fn new() -> Self {
        Self { size: 0, subtrees: Vec::new() }
    }

    /// The number of leaves.
    #[must_use]
    pub const fn size(&self) -> u64 {
        self.size
    }

    /// Adds a leaf, by its [`leaf_hash`].
    pub fn push(&mut self, leaf: TreeHash) {
        let mut subtree = leaf;
        // Each trailing one of the size is a subtree as large as the one in hand.
        for _ in 0..self.size.trailing_ones() {
            let left = self.subtrees.pop().expect("a subtree for each bit of the size");
            subtree = node_hash(&left, &subtree);
        }
        self.subtrees.push(subtree);
        self.size += 1;
    }

    /// The root of the tree as it is now; the hash of nothing when it is empty.
    #[must_use]
    pub fn root(&self) -> TreeHash {
        let mut subtrees = self.subtrees.iter().rev();
        let Some(smallest) = subtrees.next() else { return Sha256::digest([]).into() };
        subtrees.fold(*smallest, |right, left| node_hash(left, &right))
    }
}
