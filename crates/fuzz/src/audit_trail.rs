//! A trail to damage: its lines, its checkpoints, and all of it in one tar file.

use std::collections::BTreeMap;
use std::fs;
use std::sync::LazyLock;

use audit_log::{
    Actor, Draft, Expectation, Exporter, Genesis, HashAlgorithm, Head, Operation, Outcome, Writer,
    origin, prove_offline,
};
use tlog::{Role, SignedCheckpoint, SigningKeys};

const INSTALLATION: &str = "6e2f3f5e-4f0e-4a53-9a3b-8f0e4e5d9c11";

/// A trail as its files, and what is known about it.
pub(crate) struct Trail {
    pub lines: Vec<u8>,
    pub checkpoints: BTreeMap<u64, Vec<u8>>,
    pub tar: Vec<u8>,
    pub proof: Vec<u8>,
    pub head: Head,
}

impl Trail {
    /// That it is this one and nothing else.
    pub fn expectation(&self) -> Expectation {
        Expectation {
            head: Some(self.head.into()),
            key: Some(KEYS.public().clone()),
            ..Expectation::default()
        }
    }
}

/// Whole trails under both hashes.
pub(crate) static TRAILS: LazyLock<[Trail; 2]> =
    LazyLock::new(|| HashAlgorithm::ALL.map(written_trail));

pub(crate) static KEYS: LazyLock<SigningKeys> = LazyLock::new(|| {
    let name = origin(INSTALLATION).parse().expect("a name");
    SigningKeys::generate(name, Role::Log).expect("random bytes")
});

pub(crate) static WITNESS: LazyLock<SigningKeys> = LazyLock::new(|| {
    let name = "example.org/witness".parse().expect("a name");
    SigningKeys::generate(name, Role::Witness).expect("random bytes")
});

fn written_trail(hash: HashAlgorithm) -> Trail {
    let place = tempfile::tempdir().expect("a directory");
    let genesis = Genesis {
        hash,
        installation: INSTALLATION.to_owned(),
        org: Some("org.example".to_owned()),
        machine_binding: None,
        keys: KEYS.public().clone(),
    };
    let dir = place.path().join("trail");
    let mut writer = Writer::create(&dir, &genesis, None, 1 << 20, &KEYS).expect("a trail");
    let actor = || Actor::new(1000, 42).with_key([7; 32]).with_name("alice");
    let drafts = [
        Draft::new(Operation::Init, Outcome::Done).actor(actor()),
        Draft::new(Operation::Unlock, Outcome::Failed).profile("default").actor(actor()),
        Draft::new(Operation::SecretGet, Outcome::Authorised)
            .profile("default")
            .subject("dé\u{202e}\u{7f}\"\\b/key")
            .actor(actor())
            .reporter(Actor::new(990, 7))
            .detail("purpose", "run"),
        Draft::new(Operation::Lock, Outcome::Done),
    ];
    writer.append(&drafts).expect("a disk");
    writer.seal(Draft::new(Operation::AuditSeal, Outcome::Done), &KEYS).expect("a disk");
    let lines = writer.read(0, 1 << 20).expect("a segment");
    let mut checkpoints = BTreeMap::new();
    while let Some((size, note)) =
        writer.read_checkpoint(checkpoints.keys().last().copied().unwrap_or(0)).expect("a file")
    {
        checkpoints.insert(size, note);
    }
    let path = place.path().join("bundle.tar");
    let mut exporter = Exporter::create(&path).expect("a file");
    exporter.push(&lines).expect("a sound trail");
    for (size, note) in &checkpoints {
        exporter.push_checkpoint(*size, note).expect("a disk");
    }
    exporter.finish().expect("a disk");
    let mut proof = prove_offline(&dir, 3).expect("a sound trail");
    WITNESS.cosign(&mut proof.checkpoint, 1).expect("a signature");
    Trail {
        lines,
        checkpoints,
        tar: fs::read(path).expect("a bundle"),
        proof: proof.to_string().into_bytes(),
        head: writer.head(),
    }
}

/// The checkpoint that ends the trail, cosigned.
pub(crate) fn cosigned(trail: &Trail) -> Vec<u8> {
    let note = trail.checkpoints.values().last().expect("a checkpoint");
    let mut signed = SignedCheckpoint::parse(note).expect("our own");
    WITNESS.cosign(&mut signed, 1).expect("a signature");
    signed.to_string().into_bytes()
}
