//! Hash trees: what veritysetup(8) wrote, what is altered, and any numbers.

mod common;

use media::progress::Progress;
use media::storage::Storage;
use media::verity::{Superblock, Verified, VerityError, stored_root_hash, verify};
use proptest::prelude::*;

use common::{hex, pattern, superblock, tree};

/// Both were written by veritysetup 2.7.5 over blocks of [`pattern`], with `--salt=a5…` (32 bytes).
const VECTORS: [(usize, u64, &[u8], &str); 2] = [
    (
        4096,
        130,
        include_bytes!("vectors/verity-130x4096.tree"),
        "af76c01e30d0f338365402b913e12639c3e7a4d69a3eeb37fae2a3eed652b618",
    ),
    (
        512,
        300,
        include_bytes!("vectors/verity-300x512.tree"),
        "c7e18bd58edcc3dbcdd5bbca0949e8581ae009a0c00f76ce2dba15b4b1c7521f",
    ),
];

fn data(block: usize, blocks: u64) -> Vec<u8> {
    (0..blocks).flat_map(|number| pattern(number, block)).collect()
}

fn check(data: &[u8], tree: &[u8]) -> Result<Verified, VerityError> {
    let superblock = Superblock::read(&tree)?;
    verify(&superblock, &data, &tree, &mut Progress::new(&mut |_, _| ()))
}

#[test]
fn what_veritysetup_wrote_is_whole() {
    for (block, blocks, tree, root) in VECTORS {
        let superblock = Superblock::read(&tree).unwrap();
        assert_eq!(superblock.uuid.to_string(), "c5018840-7fea-41b3-9de7-74f5ac9b9ce1");
        assert_eq!((superblock.data_blocks, superblock.salt.as_slice()), (blocks, &[0xa5; 32][..]));
        assert_eq!(superblock.tree_end(), tree.len() as u64);
        let found = check(&data(block, blocks), tree).unwrap();
        assert_eq!(found.root_hash.to_string(), root);
        assert_eq!(found.stored_root_hash, found.root_hash);
        assert_eq!(stored_root_hash(&superblock, &tree).unwrap(), found.root_hash);
        assert_eq!((found.first_bad_data, found.bad_data, found.first_bad_tree), (None, 0, None));
    }
}

#[test]
fn the_first_altered_block_of_data_is_named() {
    for (block, blocks, tree, root) in VECTORS {
        for at in [0, 1, blocks / 2, blocks - 1] {
            let mut data = data(block, blocks);
            data[at as usize * block + 17] ^= 1;
            let last = data.len() - 1;
            data[last] ^= 0x80;
            let found = check(&data, tree).unwrap();
            assert_eq!(found.first_bad_data, Some(at));
            assert_eq!(found.bad_data, if at == blocks - 1 { 1 } else { 2 });
            assert_ne!(found.root_hash.to_string(), root);
            assert_eq!(found.stored_root_hash.to_string(), root);
            assert_eq!(found.first_bad_tree, None);
        }
    }
}

#[test]
fn an_altered_block_of_the_tree_is_named_wherever_it_is() {
    for (block, blocks, tree, root) in VECTORS {
        let data = data(block, blocks);
        for at in (block..tree.len()).step_by(251) {
            let mut tree = tree.to_vec();
            tree[at] ^= 1;
            let found = check(&data, &tree).unwrap();
            assert_eq!(found.root_hash.to_string(), root, "the data are as they were");
            let number = (at / block) as u64;
            if number == 1 {
                // The topmost block has the root hash above it.
                assert_ne!(found.stored_root_hash, found.root_hash);
            } else {
                assert_eq!(found.first_bad_tree, Some(number), "{at}");
            }
        }
    }
}

#[test]
fn what_ends_too_early_is_said_to() {
    for (block, blocks, tree, _) in VECTORS {
        let data = data(block, blocks);
        let short = check(&data[..data.len() - 1], tree);
        assert!(matches!(short, Err(VerityError::Truncated { what: "data", .. })), "{short:?}");
        let short = check(&data, &tree[..tree.len() - 1]);
        assert!(matches!(short, Err(VerityError::Truncated { what: "the tree", .. })), "{short:?}");
    }
    assert!(matches!(Superblock::read(&[0_u8; 100].as_slice()), Err(VerityError::NoSuperblock)));
}

#[test]
fn every_bit_of_a_superblock_counts() {
    let (_, _, tree, _) = VECTORS[1];
    let before = Superblock::read(&tree).unwrap();
    for bit in 0..512 * 8 {
        let mut tree = tree.to_vec();
        tree[bit / 8] ^= 1 << (bit % 8);
        if let Ok(after) = Superblock::read(&tree.as_slice()) {
            assert_ne!(after, before, "bit {bit}");
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]
    #[test]
    fn any_number_of_blocks_has_the_tree_that_it_should(
        blocks in 1_u64..600,
        block in prop::sample::select(vec![512_usize, 1024, 4096]),
    ) {
        let data = data(block, blocks);
        let (levels, root) = tree(&data, block);
        let tree = [superblock(&data, block), levels].concat();
        let found = check(&data, &tree).unwrap();
        prop_assert_eq!(found.root_hash.to_string(), hex(&root));
        prop_assert_eq!(found.stored_root_hash, found.root_hash);
        prop_assert_eq!((found.first_bad_data, found.first_bad_tree), (None, None));
        prop_assert_eq!(Superblock::read(&tree.as_slice()).unwrap().tree_end(), tree.len() as u64);
    }

    #[test]
    fn any_bytes_are_a_superblock_or_none(bytes in prop::collection::vec(any::<u8>(), 0..600)) {
        let mut bytes = bytes;
        bytes.splice(..bytes.len().min(8), *b"verity\0\0");
        if let Ok(superblock) = Superblock::read(&bytes.as_slice()) {
            let _ = superblock.tree_end();
            let nothing: &dyn Storage = &[].as_slice();
            prop_assert!(verify(&superblock, nothing, nothing, &mut Progress::new(&mut |_, _| ())).is_err());
        }
    }
}
