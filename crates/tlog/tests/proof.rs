//! Proofs of inclusion as files.

#![allow(clippy::unwrap_used, reason = "a test that panics has failed")]

mod common;

use std::sync::LazyLock;

use common::{ORIGIN, TIME, log, signed, witness};
use proptest::prelude::*;
use tlog::merkle::{InclusionBuilder, Tree, TreeHash, leaf_hash};
use tlog::proof::MAX_PROOF;
use tlog::{Checkpoint, CheckpointError, NoteError, ProofError, TlogProof};

fn leaves() -> Vec<TreeHash> {
    (0..11_u32).map(|n| leaf_hash(&n.to_be_bytes())).collect()
}

fn proof(index: u64, extra: Option<&[u8]>) -> TlogProof {
    let mut tree = Tree::new();
    let mut path = InclusionBuilder::new(index, leaves().len() as u64).unwrap();
    for leaf in leaves() {
        tree.push(leaf);
        path.push(leaf);
    }
    let checkpoint =
        Checkpoint { origin: ORIGIN.parse().unwrap(), size: tree.size(), root: tree.root() };
    let mut checkpoint = log().sign(checkpoint, TIME).unwrap();
    witness().cosign(&mut checkpoint, TIME).unwrap();
    let path = path.finish().unwrap();
    TlogProof { extra: extra.map(<[u8]>::to_vec), index, path, checkpoint }
}

fn parse(text: &str) -> Result<TlogProof, ProofError> {
    TlogProof::parse(text.as_bytes())
}

#[test]
fn the_format_is_fixed() {
    insta::assert_snapshot!(proof(6, Some(b"an entry")));
}

#[test]
fn a_proof_is_written_as_it_was_read_and_proves_its_leaf() {
    for index in 0..11 {
        for extra in [None, Some(b"x".as_slice())] {
            let proof = proof(index, extra);
            let read = parse(&proof.to_string()).unwrap();
            assert_eq!(read, proof);
            assert_eq!(read.to_string(), proof.to_string());
            read.checkpoint.verify(log().public()).unwrap();
            for (at, leaf) in (0..).zip(leaves()) {
                assert_eq!(read.includes(&leaf), at == index, "{at} by the proof of {index}");
            }
        }
    }
}

#[test]
fn the_proof_of_the_only_leaf_is_empty() {
    let root = leaf_hash(b"alone");
    let checkpoint = Checkpoint { origin: ORIGIN.parse().unwrap(), size: 1, root };
    let checkpoint = log().sign(checkpoint, TIME).unwrap();
    let proof = TlogProof { extra: None, index: 0, path: Vec::new(), checkpoint };
    let read = parse(&proof.to_string()).unwrap();
    assert_eq!(read, proof);
    assert!(read.includes(&root));
}

#[test]
fn empty_extra_data_is_none() {
    let proof = proof(0, Some(b""));
    assert_eq!(parse(&proof.to_string()).unwrap().extra, None);
}

#[test]
fn a_changed_proof_proves_nothing() {
    let good = proof(6, None);
    let leaf = leaves()[6];
    assert!(good.includes(&leaf));
    let root = good.checkpoint.checkpoint().root;
    for changed in [
        TlogProof { index: 7, ..good.clone() },
        TlogProof { index: 6 + (1 << 40), ..good.clone() },
        TlogProof { path: good.path[1..].to_vec(), ..good.clone() },
        TlogProof { path: [good.path.as_slice(), &[root]].concat(), ..good.clone() },
        TlogProof { path: good.path.iter().rev().copied().collect(), ..good.clone() },
        TlogProof { checkpoint: signed(), ..good.clone() },
    ] {
        assert!(!changed.includes(&leaf), "{changed}");
    }
}

#[test]
fn what_is_not_a_proof_is_refused() {
    use ProofError::*;
    const HEAD: &str = "c2sp.org/tlog-proof@v1\n";
    const HASH: &str = "BwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwc=\n";
    let end = format!("\n{}", signed());
    let checkpoint = |error| Checkpoint(CheckpointError::Note(error));
    for (text, error) in [
        (String::new(), NoCheckpoint),
        (format!("{HEAD}index 0\n"), NoCheckpoint),
        (format!("{HEAD}index 0\n\n"), checkpoint(NoteError::NoEmptyLine)),
        (format!("{HEAD}index 0\n\n{end}"), Checkpoint(CheckpointError::Extension)),
        (format!("c2sp.org/tlog-proof@v2\nindex 0\n{end}"), Header),
        (format!(" {HEAD}index 0\n{end}"), Header),
        (format!("{}index 0\n{end}", HEAD.replace('\n', "\r\n")), Header),
        (format!("{HEAD}{end}"), Index),
        (format!("{HEAD}Index 0\n{end}"), Index),
        (format!("{HEAD}index\n{end}"), Index),
        (format!("{HEAD}index \n{end}"), Index),
        (format!("{HEAD}index  0\n{end}"), Index),
        (format!("{HEAD}index 00\n{end}"), Index),
        (format!("{HEAD}index +1\n{end}"), Index),
        (format!("{HEAD}index 1 \n{end}"), Index),
        (format!("{HEAD}index 18446744073709551616\n{end}"), Index),
        (format!("{HEAD}{HASH}index 0\n{end}"), Index),
        (format!("{HEAD}extra AA==\n{end}"), Index),
        (format!("{HEAD}extra AA==\nextra AA==\nindex 0\n{end}"), Index),
        (format!("{HEAD}extra\nindex 0\n{end}"), Index),
        (format!("{HEAD}extra \nindex 0\n{end}"), Extra),
        (format!("{HEAD}extra AB==\nindex 0\n{end}"), Extra),
        (format!("{HEAD}extra AA\nindex 0\n{end}"), Extra),
        (format!("{HEAD}index 0\nextra AA==\n{end}"), Path),
        (format!("{HEAD}index 0\nAA==\n{end}"), Path),
        (format!("{HEAD}index 0\n {HASH}{end}"), Path),
        (format!("{HEAD}index 0\n{}{end}", HASH.replace("wc=", "wd=")), Path),
        (format!("{HEAD}index 0\n{}{end}", HASH.repeat(65)), PathTooLong),
        (format!("{HEAD}index 0\n{}", &end[1..]), Path),
    ] {
        assert_eq!(parse(&text), Err(error), "{text:?}");
    }
    let crlf = format!("{HEAD}index 0\n{end}").replace('\n', "\r\n");
    assert_eq!(parse(&crlf), Err(NoCheckpoint));
    let longest = format!("{HEAD}index 18446744073709551615\n{}{end}", HASH.repeat(64));
    assert_eq!(parse(&longest).unwrap().to_string(), longest);
    assert_eq!(TlogProof::parse(&vec![b'a'; MAX_PROOF + 1]), Err(TooLong));
    assert_eq!(TlogProof::parse(b"\xff"), Err(Utf8));
}

proptest! {
    #[test]
    fn any_bytes_are_safe_to_parse(bytes in proptest::collection::vec(any::<u8>(), 0..400)) {
        let _ = TlogProof::parse(&bytes);
    }

    #[test]
    fn a_changed_proof_that_is_read_is_written_back_alike(at: usize, with in 0..128_u8) {
        static GOOD: LazyLock<TlogProof> = LazyLock::new(|| proof(6, Some(b"an entry")));
        let good = &*GOOD;
        let mut bytes = good.to_string().into_bytes();
        let at = at % 350;
        bytes[at] = with;
        if let Ok(read) = TlogProof::parse(&bytes) {
            prop_assert_eq!(read.to_string().into_bytes(), bytes);
            let says = |proof: &TlogProof| {
                let checkpoint = proof.checkpoint.checkpoint();
                (proof.index, proof.path.clone(), checkpoint.size, checkpoint.root)
            };
            let includes = read.includes(&leaves()[6]);
            prop_assert!(includes || says(&read) != says(good));
            // Trees of 9 to 16 leaves share this path: only the signature says how many there are.
            if includes && read.checkpoint.verify(log().public()).is_ok() {
                prop_assert_eq!(says(&read), says(good));
            }
        }
    }
}
