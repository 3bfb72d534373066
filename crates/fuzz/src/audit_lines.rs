//! A trail that somebody had in his hands.

use std::fs;
use std::sync::LazyLock;

use audit_log::{
    Actor, Draft, Expectation, Genesis, HashAlgorithm, Head, Operation, Outcome, Verdict, Verifier,
    Writer, origin, parse_line,
};
use tlog::{Role, SigningKeys};

use crate::shape::shape;

/// Whole trails under both hashes, each with its head.
static TRAILS: LazyLock<[(Vec<u8>, Head); 2]> =
    LazyLock::new(|| HashAlgorithm::ALL.map(written_trail));
static SAMPLES: LazyLock<Vec<Vec<u8>>> =
    LazyLock::new(|| TRAILS.iter().map(|(text, _)| text.clone()).collect());

fn written_trail(hash: HashAlgorithm) -> (Vec<u8>, Head) {
    let place = tempfile::tempdir().expect("a directory");
    let installation = "6e2f3f5e-4f0e-4a53-9a3b-8f0e4e5d9c11".to_owned();
    let name = origin(&installation).parse().expect("a name");
    let keys = SigningKeys::generate(name, Role::Log).expect("random bytes");
    let genesis = Genesis {
        hash,
        installation,
        org: Some("org.example".to_owned()),
        machine_binding: None,
        keys: keys.public().clone(),
    };
    let dir = place.path().join("trail");
    let mut writer = Writer::create(&dir, &genesis, None, 1 << 20, &keys).expect("a trail");
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
    let segment = fs::read_dir(&dir).expect("a trail").flatten().map(|entry| entry.path());
    let segment = segment.filter(|path| path.extension().is_some_and(|end| end == "jsonl"));
    let text = segment.flat_map(|path| fs::read(path).expect("a segment")).collect();
    (text, writer.head())
}

/// A trail, line by line.
///
/// # Panics
/// When a line has two spellings, when an edited trail is sound, when what a person reads holds
/// control characters, or when the verifier goes on after a fault.
pub fn audit_lines(orders: &[u8]) {
    let text = shape(&SAMPLES, orders);
    for (original, head) in TRAILS.iter() {
        let head = Some((*head).into());
        let mut verifier = Verifier::new(Expectation { head, ..Default::default() });
        let mut faulty = false;
        for line in text.split_inclusive(|byte| *byte == b'\n') {
            if let Ok(entry) = parse_line(line) {
                let mut again = serde_json::to_vec(&entry).expect("plain data");
                again.push(b'\n');
                assert_eq!(again, line, "a second spelling");
            }
            let fed = verifier.feed(line);
            assert!(!faulty || fed.is_err(), "it recovered from a fault");
            faulty = fed.is_err();
        }
        let report = verifier.finish();
        let sentence = report.to_string();
        assert!(!sentence.chars().any(char::is_control), "{sentence:?}");
        assert_eq!(report.verdict == Verdict::Sound, text == *original, "{sentence}");
    }
}
