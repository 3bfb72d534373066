//! The tree of RFC 6962 and its proofs.

#![allow(clippy::unwrap_used, reason = "a test that panics has failed")]

use data_encoding::HEXLOWER;
use proptest::prelude::*;
use tlog::merkle::{
    InclusionBuilder, MAX_PATH, Tree, TreeHash, leaf_hash, node_hash, root_from_inclusion,
};

/// The leaves that the tests of google/certificate-transparency (Apache-2.0) made known.
const LEAVES: [&str; 8] = [
    "",
    "00",
    "10",
    "2021",
    "3031",
    "40414243",
    "5051525354555657",
    "606162636465666768696a6b6c6d6e6f",
];

/// The roots of the trees over the first 0 to 8 of them, from there as well.
const ROOTS: [&str; 9] = [
    "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
    "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
    "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
    "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77",
    "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
    "4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4",
    "76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef",
    "ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c",
    "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328",
];

/// Paths of the same source: leaf, size, hashes.
const PATHS: [(u64, u64, &[&str]); 5] = [
    (0, 1, &[]),
    (
        0,
        8,
        &[
            "96a296d224f285c67bee93c30f8a309157f0daa35dc5b87e410b78630a09cfc7",
            "5f083f0a1a33ca076a95279832580db3e0ef4584bdff1f54c8a360f50de3031e",
            "6b47aaf29ee3c2af9af889bc1fb9254dabd31177f16232dd6aab035ca39bf6e4",
        ],
    ),
    (
        5,
        8,
        &[
            "bc1a0643b12e4d2d7c77918f44e0f4f79a838b6cf9ec5b5c283e1f4d88599e6b",
            "ca854ea128ed050b41b35ffc1b87b8eb2bde461e9e3b5596ece6b9d5975a0ae0",
            "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
        ],
    ),
    (2, 3, &["fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125"]),
    (
        1,
        5,
        &[
            "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
            "5f083f0a1a33ca076a95279832580db3e0ef4584bdff1f54c8a360f50de3031e",
            "bc1a0643b12e4d2d7c77918f44e0f4f79a838b6cf9ec5b5c283e1f4d88599e6b",
        ],
    ),
];

fn hash(hex: &str) -> TreeHash {
    HEXLOWER.decode(hex.as_bytes()).unwrap().try_into().unwrap()
}

fn published() -> Vec<TreeHash> {
    LEAVES.iter().map(|hex| leaf_hash(&HEXLOWER.decode(hex.as_bytes()).unwrap())).collect()
}

/// MTH of RFC 6962 §2.1, as it is written there.
fn naive_root(leaves: &[TreeHash]) -> TreeHash {
    match leaves {
        [] => hash(ROOTS[0]),
        [leaf] => *leaf,
        _ => {
            let (left, right) = leaves.split_at(leaves.len().next_power_of_two() / 2);
            node_hash(&naive_root(left), &naive_root(right))
        }
    }
}

/// PATH of RFC 6962 §2.1.1, as it is written there.
fn naive_path(index: usize, leaves: &[TreeHash]) -> Vec<TreeHash> {
    if leaves.len() == 1 {
        return Vec::new();
    }
    let (left, right) = leaves.split_at(leaves.len().next_power_of_two() / 2);
    let (mut path, sibling) = if index < left.len() {
        (naive_path(index, left), right)
    } else {
        (naive_path(index - left.len(), right), left)
    };
    path.push(naive_root(sibling));
    path
}

fn path(index: u64, leaves: &[TreeHash]) -> Vec<TreeHash> {
    let mut builder = InclusionBuilder::new(index, leaves.len() as u64).unwrap();
    leaves.iter().for_each(|leaf| builder.push(*leaf));
    builder.finish().unwrap()
}

fn leaves(size: usize) -> Vec<TreeHash> {
    (0..size).map(|n| leaf_hash(&n.to_be_bytes())).collect()
}

#[test]
fn the_published_trees_have_their_published_roots() {
    let mut tree = Tree::new();
    assert_eq!(tree.root(), hash(ROOTS[0]));
    for (leaf, root) in published().into_iter().zip(&ROOTS[1..]) {
        tree.push(leaf);
        assert_eq!(tree.root(), hash(root), "size {}", tree.size());
    }
}

#[test]
fn the_published_leaves_have_their_published_paths() {
    for (index, size, expected) in PATHS {
        let leaves = &published()[..size as usize];
        let expected: Vec<_> = expected.iter().map(|hex| hash(hex)).collect();
        assert_eq!(path(index, leaves), expected, "leaf {index} of {size}");
        let root = root_from_inclusion(&leaves[index as usize], index, size, &expected);
        assert_eq!(root, Some(hash(ROOTS[size as usize])));
    }
}

#[test]
fn the_stream_gives_what_the_definition_gives() {
    let all = leaves(130);
    let mut tree = Tree::new();
    for size in 1..=all.len() {
        let leaves = &all[..size];
        tree.push(leaves[size - 1]);
        let root = naive_root(leaves);
        assert_eq!(tree.root(), root, "size {size}");
        for index in 0..size {
            let path = path(index as u64, leaves);
            assert_eq!(path, naive_path(index, leaves), "leaf {index} of {size}");
            let found = root_from_inclusion(&leaves[index], index as u64, size as u64, &path);
            assert_eq!(found, Some(root), "leaf {index} of {size}");
        }
    }
}

#[test]
fn a_path_proves_one_leaf_at_one_place_in_one_tree() {
    for size in 1..=20_u64 {
        let leaves = leaves(size as usize);
        let root = naive_root(&leaves);
        for (index, leaf) in (0..).zip(&leaves) {
            let path = path(index, &leaves);
            let proves = |leaf: &TreeHash, index, size, path: &[TreeHash]| {
                root_from_inclusion(leaf, index, size, path) == Some(root)
            };
            assert!(proves(leaf, index, size, &path));
            for other in (0..size + 3).filter(|other| *other != index) {
                assert!(!proves(leaf, other, size, &path), "{index} as {other} of {size}");
            }
            for bit in 0..256 {
                let flip = |hash: &mut TreeHash| hash[bit / 8] ^= 1 << (bit % 8);
                let mut wrong = *leaf;
                flip(&mut wrong);
                assert!(!proves(&wrong, index, size, &path));
                for at in 0..path.len() {
                    let mut wrong = path.clone();
                    flip(&mut wrong[at]);
                    assert!(!proves(leaf, index, size, &wrong));
                }
            }
            let longer = [path.clone(), vec![root]].concat();
            assert_eq!(root_from_inclusion(leaf, index, size, &longer), None);
            if let Some((_, shorter)) = path.split_last() {
                assert_eq!(root_from_inclusion(leaf, index, size, shorter), None);
                assert_eq!(root_from_inclusion(leaf, index, size, &path[1..]), None);
            }
        }
    }
}

/// The size is part of what a checkpoint signs; some other sizes have a path of the same shape.
#[test]
fn a_path_of_the_wrong_length_for_the_size_is_none() {
    for size in 1..=70_u64 {
        for index in 0..size {
            let right = naive_path(index as usize, &leaves(size as usize)).len();
            for length in 0..10 {
                let root = root_from_inclusion(&[1; 32], index, size, &vec![[2; 32]; length]);
                assert_eq!(root.is_some(), length == right, "{length} for {index} of {size}");
            }
        }
    }
}

#[test]
fn the_largest_trees_need_64_hashes_and_no_more() {
    let path = vec![[9; 32]; MAX_PATH + 1];
    for (index, size) in [(0, u64::MAX), ((1 << 63) - 1, u64::MAX), (0, (1 << 63) + 1)] {
        assert!(root_from_inclusion(&[1; 32], index, size, &path[..64]).is_some(), "{index}");
        assert!(root_from_inclusion(&[1; 32], index, size, &path[..63]).is_none());
        assert!(root_from_inclusion(&[1; 32], index, size, &path).is_none());
    }
    assert!(root_from_inclusion(&[1; 32], 1 << 63, (1 << 63) + 1, &path[..1]).is_some());
    assert!(root_from_inclusion(&[1; 32], u64::MAX, u64::MAX, &path[..64]).is_none());
    assert!(InclusionBuilder::new(u64::MAX - 1, u64::MAX).is_some());
}

#[test]
fn a_stream_that_ends_early_gives_no_path_and_more_leaves_change_none() {
    assert!(InclusionBuilder::new(0, 0).is_none());
    assert!(InclusionBuilder::new(5, 5).is_none());
    let leaves = leaves(9);
    for index in 0..5 {
        for given in 0..leaves.len() {
            let mut builder = InclusionBuilder::new(index, 5).unwrap();
            leaves[..given].iter().for_each(|leaf| builder.push(*leaf));
            let expected = (given >= 5).then(|| naive_path(index as usize, &leaves[..5]));
            assert_eq!(builder.finish(), expected, "leaf {index}, {given} given");
        }
    }
}

proptest! {
    #[test]
    fn any_path_is_safe_to_check(
        index: u64,
        size: u64,
        path in proptest::collection::vec(any::<[u8; 32]>(), 0..70),
    ) {
        let _ = root_from_inclusion(&[0; 32], index, size, &path);
        let _ = root_from_inclusion(&[0; 32], index % 100, size % 100, &path);
    }
}
