//! Blocks, threads and the quick way through a line change nothing: the report is the one that the
//! lines have when they are fed one by one.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::sync::LazyLock;

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::Index;
use tlog::{PublicKeys, Role, SigningKeys};

use super::chain::unreadable;
use super::{Expectation, Verifier, scan};
use crate::entry::{Actor, Draft, Outcome};
use crate::genesis::{Genesis, origin};
use crate::hash::{ExpectedHead, HashAlgorithm, Head};
use crate::line::{LineError, MAX_LINE};
use crate::operation::Operation;
use crate::segment::{MAX_TORN, checkpoint_name, first_of, name, size_of};
use crate::source::Source;
use crate::trail::Writer;
use crate::verdict::{Report, Verdict};

/// Some blocks, and a piece of one.
const SEGMENT: u64 = 200_000;

const ENTRIES: u64 = 1500;

/// A trail as bytes, and what is known about it.
struct Trail {
    files: BTreeMap<String, Vec<u8>>,
    heads: Vec<Head>,
    keys: [PublicKeys; 2],
}

/// Under both hashes: several segments, seals, a rotation, and lines that need a closer look.
static TRAILS: LazyLock<[Trail; 2]> = LazyLock::new(|| HashAlgorithm::ALL.map(written));

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
            _ if size % 97 == 0 => {
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
    // A text with escapes is not for the quick way.
    if n % 89 == 0 { draft.profile("a\"b") } else { draft }
}

/// The report on the lines of a directory, one by one, with nothing that makes it quick.
fn one_by_one(dir: &Path, expectation: &Expectation) -> Report {
    let names = fs::read_dir(dir).unwrap();
    let mut names: Vec<_> =
        names.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    let content = |name: &str| fs::read(dir.join(name)).unwrap();
    let checkpoints = names.iter().filter_map(|name| Some((size_of(name)?, content(name))));
    let mut verifier =
        Verifier::with_checkpoints(expectation.clone(), checkpoints.clone().collect());
    let segments: Vec<_> = names.iter().filter_map(|name| first_of(name)).collect();
    for (index, first) in segments.iter().enumerate() {
        let is_last = index + 1 == segments.len();
        verifier.enter(*first);
        let bytes = content(&name(*first));
        let mut whole = 0;
        for line in bytes.split_inclusive(|byte| *byte == b'\n') {
            let is_torn = line.last() != Some(&b'\n');
            if line.len() <= MAX_LINE && !is_torn {
                whole += 1;
                if verifier.feed(line).is_err() {
                    return verifier.finish();
                }
                continue;
            }
            let size = verifier.chain.size();
            verifier.line += 1;
            if is_torn && is_last && line.len() as u64 <= MAX_TORN {
                let reason = format!("The last line is torn: {} bytes, and no newline", line.len());
                verifier.fail(Verdict::Truncated, Some(size), reason);
                return verifier.finish();
            }
            let is_short = is_torn && line.len() as u64 <= MAX_TORN;
            let error = if is_short { LineError::NotOneLine } else { LineError::TooLong };
            verifier.fail(Verdict::Malformed, Some(size), unreadable(size, &error));
            whole += 1;
            break;
        }
        if whole == 0 && !is_last {
            let reason = "The segment is empty, and it is not the last one".to_owned();
            verifier.fail(Verdict::Malformed, None, reason);
        }
        if verifier.found.is_some() {
            return verifier.finish();
        }
    }
    verifier.finish()
}

/// Something that happens to the files.
#[derive(Clone, Debug)]
enum Damage {
    Flip(Index, Index, u8),
    DropLine(Index, Index),
    RepeatLine(Index, Index),
    SwapLines(Index, Index, Index),
    Cut(Index, Index),
    /// Bytes without a newline; as many as a block has, or so.
    Garbage(Index, Index, usize),
    DropFile(Index),
    /// A line of one segment at the end of another.
    Move(Index, Index, Index),
}

fn damage() -> impl Strategy<Value = Damage> {
    let at = any::<Index>;
    prop_oneof![
        4 => (at(), at(), 0..8_u8).prop_map(|(file, at, bit)| Damage::Flip(file, at, bit)),
        2 => (at(), at()).prop_map(|(file, at)| Damage::DropLine(file, at)),
        2 => (at(), at()).prop_map(|(file, at)| Damage::RepeatLine(file, at)),
        2 => (at(), at(), at()).prop_map(|(file, one, other)| Damage::SwapLines(file, one, other)),
        2 => (at(), at()).prop_map(|(file, at)| Damage::Cut(file, at)),
        2 => (at(), at(), prop::sample::select(vec![1, 1 << 14, 1 << 16, 1 << 17, 196_608]))
            .prop_map(|(file, at, length)| Damage::Garbage(file, at, length)),
        1 => at().prop_map(Damage::DropFile),
        1 => (at(), at(), at()).prop_map(|(from, at, to)| Damage::Move(from, at, to)),
    ]
}

type Files = BTreeMap<String, Vec<u8>>;

impl Damage {
    fn apply(&self, files: &mut Files) {
        if files.is_empty() {
            return;
        }
        let name = |index: &Index| index.get(&files.keys().collect::<Vec<_>>()).to_string();
        match self {
            Self::DropFile(file) => {
                let name = name(file);
                files.remove(&name);
            }
            Self::Move(from, at, to) => {
                let (from, to) = (name(from), name(to));
                let lines = lines(&files[&from]);
                let Some(line) = (!lines.is_empty()).then(|| at.get(&lines).clone()) else {
                    return;
                };
                files.entry(to).and_modify(|bytes| bytes.extend(line));
            }
            Self::Flip(file, at, bit) => {
                let bytes = files.get_mut(&name(file)).unwrap();
                if !bytes.is_empty() {
                    *at.get_mut::<u8>(bytes) ^= 1 << bit;
                }
            }
            Self::Cut(file, at) => {
                let bytes = files.get_mut(&name(file)).unwrap();
                bytes.truncate(at.index(bytes.len() + 1));
            }
            Self::Garbage(file, at, length) => {
                let bytes = files.get_mut(&name(file)).unwrap();
                // Mostly at the start of a line, where it could be missed best.
                let at = at.index(bytes.len() + 1);
                let at =
                    bytes[at..].iter().position(|byte| *byte == b'\n').map_or(at, |n| at + n + 1);
                bytes.splice(at..at, std::iter::repeat_n(b'x', *length));
            }
            Self::DropLine(file, at) => of_lines(files.get_mut(&name(file)).unwrap(), |lines| {
                lines.remove(at.index(lines.len()));
            }),
            Self::RepeatLine(file, at) => of_lines(files.get_mut(&name(file)).unwrap(), |lines| {
                let line = at.get(lines).clone();
                lines.insert(at.index(lines.len()), line);
            }),
            Self::SwapLines(file, one, other) => {
                of_lines(files.get_mut(&name(file)).unwrap(), |lines| {
                    let length = lines.len();
                    lines.swap(one.index(length), other.index(length));
                });
            }
        }
    }
}

fn lines(bytes: &[u8]) -> Vec<Vec<u8>> {
    bytes.split_inclusive(|byte| *byte == b'\n').map(<[u8]>::to_vec).collect()
}

fn of_lines(bytes: &mut Vec<u8>, change: impl FnOnce(&mut Vec<Vec<u8>>)) {
    let mut all = lines(bytes);
    if !all.is_empty() {
        change(&mut all);
        *bytes = all.concat();
    }
}

/// What somebody knows, right or wrong.
fn expectation(trail: &Trail, known: u8, head: Head) -> Expectation {
    let mut expectation = Expectation::default();
    match known % 8 {
        1 => expectation.key = Some(trail.keys[0].clone()),
        2 => expectation.key = Some(trail.keys[1].clone()),
        3 => expectation.head = Some(head.into()),
        4 => expectation.head = Some(ExpectedHead::from_prefix(head.size, [7; 20])),
        5 => expectation.size = Some(head.size + 10),
        6 => expectation.manifest = Some(head),
        7 => {
            expectation.key = Some(trail.keys[0].clone());
            expectation.require_sealed = true;
        }
        _ => {}
    }
    expectation
}

/// The report, which any number of threads must come to.
fn report(files: &Files, expectation: &Expectation) -> Report {
    let dir = tempfile::tempdir().unwrap();
    for (name, bytes) in files {
        fs::write(dir.path().join(name), bytes).unwrap();
    }
    let expected = one_by_one(dir.path(), expectation);
    for threads in [1, 2, 8] {
        let source = Source::Directory(dir.path().to_owned());
        let found = scan(source, expectation, threads, &mut |_, _| ()).unwrap().report();
        assert_eq!(found, expected, "{threads} threads");
    }
    expected
}

#[test]
fn a_sound_trail_is_sound_to_any_number_of_threads() {
    for trail in TRAILS.iter() {
        let segments = trail.files.values().filter(|bytes| bytes.len() > 3 << 16).count();
        assert!(segments >= 3, "{segments} segments of several blocks");
        for known in [0, 1, 2, 7] {
            let report = report(&trail.files, &expectation(trail, known, trail.heads[0]));
            let expected = if known == 7 { Verdict::Unsealed } else { Verdict::Sound };
            assert_eq!((report.verdict, report.head), (expected, trail.heads.last().copied()));
        }
        for head in trail.heads.iter().step_by(9) {
            let head = Some((*head).into());
            let expectation = Expectation { head, ..Expectation::default() };
            assert_eq!(report(&trail.files, &expectation).verdict, Verdict::Sound);
        }
    }
}

/// A block is only as good as the checkpoint in the middle of it.
#[test]
fn a_checkpoint_within_a_block_stops_it_where_it_stands() {
    for trail in TRAILS.iter() {
        let sizes: Vec<_> = trail.files.keys().filter_map(|name| size_of(name)).collect();
        assert!(sizes.len() > 10);
        for size in sizes.into_iter().step_by(4) {
            let mut files = trail.files.clone();
            let note = files.get_mut(&checkpoint_name(size)).unwrap();
            let middle = note.len() / 2;
            note[middle] = if note[middle] == b'A' { b'B' } else { b'A' };
            let report = report(&files, &Expectation::default());
            assert_eq!((report.verdict, report.entries), (Verdict::Signature, size));
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(60))]

    #[test]
    fn a_damaged_trail_is_the_same_to_any_number_of_threads(
        which in 0..2_usize,
        damages in vec(damage(), 1..4),
        known in any::<u8>(),
        head in any::<Index>(),
    ) {
        let trail = &TRAILS[which];
        let mut files = trail.files.clone();
        damages.iter().for_each(|damage| damage.apply(&mut files));
        let expectation = expectation(trail, known, *head.get(&trail.heads));
        let report = report(&files, &expectation);
        prop_assert!(report.verdict != Verdict::Sound || files == trail.files || is_beginning(&files, trail));
    }
}

/// Whether something is left out at the end, and nothing else is otherwise.
fn is_beginning(files: &Files, trail: &Trail) -> bool {
    let text = |files: &Files| {
        let segments = files.iter().filter(|(name, _)| first_of(name).is_some());
        segments.flat_map(|(_, bytes)| bytes.clone()).collect::<Vec<u8>>()
    };
    text(&trail.files).starts_with(&text(files))
}
