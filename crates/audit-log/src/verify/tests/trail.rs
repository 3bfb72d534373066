//! Trails of several blocks.

use std::collections::BTreeMap;
use std::fs;
use std::sync::LazyLock;

use tlog::{PublicKeys, Role, SigningKeys};

use crate::entry::{Actor, Draft, Outcome};
use crate::genesis::{Genesis, origin};
use crate::hash::{HashAlgorithm, Head};
use crate::operation::Operation;
use crate::trail::Writer;

/// Some blocks, and a piece of one.
const SEGMENT: u64 = 200_000;

const ENTRIES: u64 = 1500;

/// A trail as bytes, and what is known about it.
pub struct Trail {
    pub files: BTreeMap<String, Vec<u8>>,
    pub heads: Vec<Head>,
    pub keys: [PublicKeys; 2],
}

/// Under both hashes: several segments, seals, a rotation, and lines that need a closer look.
pub static TRAILS: LazyLock<[Trail; 2]> = LazyLock::new(|| HashAlgorithm::ALL.map(written));

fn written(hash: HashAlgorithm) -> Trail {
    let installation = "5f0c3b52-7f0e-4f0a-9d38-0a54a1f0b7c1".to_owned();
    let new_keys =
        || SigningKeys::generate(origin(&installation).parse().unwrap(), Role::Log).unwrap();
    let (keys, next) = (new_keys(), new_keys());
    let place = tempfile::tempdir().unwrap();
    let dir = place.path().join("trail");
    let public = keys.public().clone();
    let genesis = Genesis { hash, installation, org: None, machine_binding: None, keys: public };
    let mut writer = Writer::create(&dir, &genesis, None, SEGMENT, &keys).unwrap();
    let mut heads = vec![writer.head()];
    while writer.size() < ENTRIES {
        let size = writer.size();
        match size {
            700 => {
                let draft = Draft::new(Operation::AuditKeyRotate, Outcome::Done);
                writer.rotate(draft, &keys, next.public()).unwrap();
            }
            _ if size.is_multiple_of(97) => {
                let key = if size < 700 { &keys } else { &next };
                writer.seal(Draft::new(Operation::AuditSeal, Outcome::Done), key).unwrap();
            }
            // In batches up to the next of those.
            _ => {
                let most = (98 - size % 97).min(if size < 700 { 700 - size } else { 97 });
                let drafts: Vec<_> = (size..size + most.min(97 - size % 97)).map(draft).collect();
                writer.append(&drafts).unwrap();
            }
        }
        heads.push(writer.head());
    }
    drop(writer);
    let read = |entry: fs::DirEntry| {
        (entry.file_name().into_string().unwrap(), fs::read(entry.path()).unwrap())
    };
    let files = fs::read_dir(&dir).unwrap().map(|entry| read(entry.unwrap())).collect();
    Trail { files, heads, keys: [keys.public().clone(), next.public().clone()] }
}

fn draft(n: u64) -> Draft {
    let draft = Draft::new(Operation::SecretGet, Outcome::Authorised)
        .subject("x".repeat((n * 37 % 300) as usize))
        .actor(Actor::new(1000, 42).with_key([7; 32]))
        .detail("n", n.to_string());
    // A text with escapes is not for the quick way, nor is the block that it lies in.
    if n % 500 == 89 { draft.profile("a\"b") } else { draft }
}
