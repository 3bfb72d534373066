//! Proofs that a leaf is in a tree: RFC 6962 §2.1.1, checked as in RFC 9162 §2.1.3.2.

use std::mem;
use std::ops::Range;

use super::{Tree, TreeHash, node_hash};

/// The longest path, in hashes: a tree of 2^64 - 1 leaves is 64 levels deep.
pub const MAX_PATH: usize = 64;

/// Computes the path of one leaf while all leaves go by, once, in order.
///
/// It holds a hash and a range for each level, and one [`Tree`]: 64 of each at most.
#[derive(Clone, Debug)]
pub struct InclusionBuilder {
    size: u64,
    /// The number of leaves that came.
    position: u64,
    /// The siblings of the path, by the order in which their leaves come.
    siblings: Vec<Sibling>,
    /// The first sibling that is not complete.
    current: usize,
    /// The leaves of it that came.
    subtree: Tree,
}

#[derive(Clone, Debug)]
struct Sibling {
    leaves: Range<u64>,
    /// The distance from the root of the whole tree.
    depth: usize,
    root: TreeHash,
}

impl InclusionBuilder {
    /// For the leaf `index`, counted from 0, of a tree of `size` leaves; `None` when it has no such
    /// leaf.
    #[must_use]
    pub fn new(index: u64, size: u64) -> Option<Self> {
        if index >= size {
            return None;
        }
        let mut siblings = Vec::new();
        let mut subtree = 0..size;
        // From the root down, as PATH(m, D[n]) is defined.
        while subtree.end - subtree.start > 1 {
            let middle = subtree.start + largest_power_below(subtree.end - subtree.start);
            let (down, leaves) = if index < middle {
                (subtree.start..middle, middle..subtree.end)
            } else {
                (middle..subtree.end, subtree.start..middle)
            };
            siblings.push(Sibling { leaves, depth: siblings.len(), root: [0; 32] });
            subtree = down;
        }
        siblings.sort_by_key(|sibling| sibling.leaves.start);
        Some(Self { size, position: 0, siblings, current: 0, subtree: Tree::new() })
    }

    /// Takes the next leaf, by its [`leaf_hash`](super::leaf_hash). Leaves beyond the size are
    /// ignored.
    pub fn push(&mut self, leaf: TreeHash) {
        let position = self.position;
        self.position += 1;
        // The siblings cover every leaf of the tree but the one that the path is for.
        let Some(sibling) = self.siblings.get_mut(self.current) else { return };
        if !sibling.leaves.contains(&position) {
            return;
        }
        self.subtree.push(leaf);
        if self.position == sibling.leaves.end {
            sibling.root = mem::take(&mut self.subtree).root();
            self.current += 1;
        }
    }

    /// The path, from the leaf's sibling up to the root's child; `None` when leaves are missing.
    #[must_use]
    pub fn finish(mut self) -> Option<Vec<TreeHash>> {
        if self.position < self.size {
            return None;
        }
        self.siblings.sort_by_key(|sibling| std::cmp::Reverse(sibling.depth));
        Some(self.siblings.into_iter().map(|sibling| sibling.root).collect())
    }
}

/// The largest power of two that is smaller than `n`, which is at least 2.
fn largest_power_below(n: u64) -> u64 {
    1 << (n - 1).ilog2()
}

/// The root of a tree of `size` leaves whose leaf `index` has this [`leaf_hash`](super::leaf_hash)
/// and this path; `None` when the tree has no such leaf or the path has another length.
///
/// It proves nothing by itself: compare it with the root of a checkpoint that you trust.
#[must_use]
pub fn root_from_inclusion(
    leaf: &TreeHash,
    index: u64,
    size: u64,
    path: &[TreeHash],
) -> Option<TreeHash> {
    if index >= size || path.len() > MAX_PATH {
        return None;
    }
    // The names are those of the RFC: where the node is on its level, and where the last one is.
    let (mut node, mut last) = (index, size - 1);
    let mut root = *leaf;
    for sibling in path {
        if last == 0 {
            return None;
        }
        if node & 1 == 1 || node == last {
            root = node_hash(sibling, &root);
            // The last node of a level has no sibling on it until it is a right child. It isn't the
            // first one as well, for then there were no level above it.
            let levels = node.trailing_zeros();
            node >>= levels;
            last >>= levels;
        } else {
            root = node_hash(&root, sibling);
        }
        node >>= 1;
        last >>= 1;
    }
    (last == 0).then_some(root)
}
