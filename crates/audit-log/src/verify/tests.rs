//! Blocks, threads and the quick way through a line change nothing: the report is the one that the
//! lines have when they are fed one by one.

mod trail;

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::Index;

use super::block::Block;
use super::chain::unreadable;
use super::scan::BLOCK;
use super::{Expectation, Verifier, scan};
use crate::hash::{ExpectedHead, HashAlgorithm, Head};
use crate::line::{LineError, hash_of};
use crate::segment::{MAX_TORN, checkpoint_name, first_of, name, size_of};
use crate::source::Source;
use crate::verdict::{Report, Verdict};
use trail::{TRAILS, Trail};

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
            // One that is too long for an entry is a line all the same, up to the size of a block.
            if line.len() <= BLOCK && !is_torn {
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
        // Mostly a segment: there are more checkpoints, and what happens to them is soon seen.
        let name = |index: &Index| {
            let is_meant = |name: &&String| index.index(5) == 0 || first_of(name).is_some();
            let meant: Vec<_> = files.keys().filter(is_meant).collect();
            if meant.is_empty() {
                files.keys().next().unwrap().clone()
            } else {
                (*index.get(&meant)).clone()
            }
        };
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
    report_of(files, expectation, &[1, 2, 8])
}

fn report_of(files: &Files, expectation: &Expectation, threads: &[usize]) -> Report {
    let dir = tempfile::tempdir().unwrap();
    for (name, bytes) in files {
        fs::write(dir.path().join(name), bytes).unwrap();
    }
    let expected = one_by_one(dir.path(), expectation);
    for threads in threads {
        let source = Source::Directory(dir.path().to_owned());
        let found = scan(source, expectation, *threads, &mut |_, _| ()).unwrap().report();
        assert_eq!(found, expected, "{threads} threads");
    }
    expected
}

/// Without this, the others would test nothing.
#[test]
fn most_blocks_of_a_trail_take_the_quick_way() {
    for (trail, hash) in TRAILS.iter().zip(HashAlgorithm::ALL) {
        let segments = trail.files.iter().filter(|(name, _)| first_of(name).is_some());
        let blocks: Vec<_> = segments
            .flat_map(|(_, bytes)| lines(bytes).chunks(150).map(<[_]>::concat).collect::<Vec<_>>())
            .map(|lines| Block::read(&lines, hash).is_some())
            .collect();
        let quick = blocks.iter().filter(|is_quick| **is_quick).count();
        assert!(blocks.len() >= 10 && quick * 2 > blocks.len(), "{quick} of {}", blocks.len());
        assert!(quick < blocks.len());
    }
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

/// The places in a trail that a reader of blocks could pass over: the first, a middle and the last
/// line of each block, by file and line. Two segments have enough of them.
fn places(trail: &Trail) -> Vec<(String, usize)> {
    let mut places = Vec::new();
    let segments = trail.files.iter().filter(|(name, _)| first_of(name).is_some());
    for (name, bytes) in segments.take(2) {
        let (mut start, mut length) = (0, 0);
        let lines = lines(bytes);
        for (n, line) in lines.iter().enumerate() {
            length += line.len();
            let ends = n + 1 == lines.len() || length + lines[n + 1].len() > BLOCK;
            if ends {
                places.extend([start, usize::midpoint(start, n), n].map(|n| (name.clone(), n)));
                (start, length) = (n + 1, 0);
            }
        }
    }
    places
}

/// Gives a line the hash that it should have.
fn hash_anew(line: &mut [u8], hash: HashAlgorithm) {
    let hash = hash_of(line, hash).unwrap().to_hex();
    let end = line.len() - 3;
    line[end - 64..end].copy_from_slice(&hash);
}

fn replace(line: &mut Vec<u8>, from: &str, to: &str) {
    let text = String::from_utf8(line.clone()).unwrap();
    *line = text.replacen(from, to, 1).into_bytes();
}

#[test]
fn a_forgery_anywhere_in_a_block_is_the_same_to_any_number_of_threads() {
    type Forge = fn(&mut Vec<Vec<u8>>, usize, HashAlgorithm);
    let forgeries: [Forge; 6] = [
        |lines, n, _| replace(&mut lines[n], "\"time\":\"20", "\"time\":\"21"),
        |lines, n, hash| {
            replace(&mut lines[n], "\"time\":\"20", "\"time\":\"21");
            hash_anew(&mut lines[n], hash);
        },
        |lines, n, hash| {
            let at = lines[n].len() - 3 - 64 - 10 - 64;
            lines[n][at..at + 8].copy_from_slice(b"01010101");
            hash_anew(&mut lines[n], hash);
        },
        |lines, n, hash| {
            replace(&mut lines[n], "\"seq\":", "\"seq\":1");
            hash_anew(&mut lines[n], hash);
        },
        |lines, n, _| drop(lines.remove(n)),
        |lines, n, _| {
            let line = lines[n].clone();
            lines.insert(n, line);
        },
    ];
    for (index, (name, n)) in places(&TRAILS[0]).into_iter().enumerate() {
        // Each place under one hash, and both in turn.
        let (trail, hash) = (&TRAILS[index % 2], HashAlgorithm::ALL[index % 2]);
        for forge in forgeries {
            let mut files = trail.files.clone();
            of_lines(files.get_mut(&name).unwrap(), |lines| forge(lines, n, hash));
            // Of the last entry nothing else is known.
            let head = trail.heads.last().map(|head| (*head).into());
            let expectation = Expectation { head, ..Expectation::default() };
            let report = report_of(&files, &expectation, &[1 + index % 2]);
            assert_ne!(report.verdict, Verdict::Sound, "{name}, line {n}");
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
    #![proptest_config(ProptestConfig::with_cases(64))]

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
