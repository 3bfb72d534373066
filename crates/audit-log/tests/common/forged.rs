//! The files of a trail in the hands of a forger, who knows the format fully.

use std::collections::BTreeMap;
use std::fs;
use std::ops::RangeBounds;
use std::path::Path;

use audit_log::line::hash_of;
use audit_log::{Hash, HashAlgorithm, Manifest, ManifestFile, parse_line};
use sha2::{Digest, Sha256};
use tlog::merkle::{Tree, leaf_hash};
use tlog::{Checkpoint, KeyName, PublicKeys, SigningKeys};

/// What a forger changes and puts back.
#[derive(Clone)]
pub struct Forged {
    /// Each line, and which segment it lies in.
    pub lines: Vec<(usize, Vec<u8>)>,
    /// The first entries of the segments, by their names.
    firsts: Vec<u64>,
    /// The checkpoints, by their sizes.
    pub checkpoints: BTreeMap<u64, Vec<u8>>,
}

pub fn segment_name(first: u64) -> String {
    format!("segment-{first:020}.jsonl")
}

pub fn checkpoint_name(size: u64) -> String {
    format!("checkpoint-{size:020}.note")
}

impl Forged {
    pub fn load(trail: &Path) -> Self {
        let mut forged =
            Self { lines: Vec::new(), firsts: Vec::new(), checkpoints: BTreeMap::new() };
        let mut names: Vec<_> =
            fs::read_dir(trail).unwrap().map(|entry| entry.unwrap().file_name()).collect();
        names.sort();
        for name in names {
            let (bytes, name) = (fs::read(trail.join(&name)).unwrap(), name.into_string().unwrap());
            let number = name.split(['-', '.']).nth(1).unwrap().parse().unwrap();
            if name.starts_with("checkpoint") {
                forged.checkpoints.insert(number, bytes);
                continue;
            }
            let lines = bytes.split_inclusive(|byte| *byte == b'\n');
            forged.lines.extend(lines.map(|line| (forged.firsts.len(), line.to_vec())));
            forged.firsts.push(number);
        }
        forged
    }

    /// All lines in one segment, as an export of a small trail has them.
    pub fn merged(mut self) -> Self {
        self.firsts = vec![0];
        for (segment, _) in &mut self.lines {
            *segment = 0;
        }
        self
    }

    /// Puts all of it where it was; a segment without lines goes.
    pub fn store(&self, trail: &Path) {
        for entry in fs::read_dir(trail).unwrap() {
            fs::remove_file(entry.unwrap().path()).unwrap();
        }
        for (name, bytes) in self.segments() {
            fs::write(trail.join(name), bytes).unwrap();
        }
        for (size, note) in &self.checkpoints {
            fs::write(trail.join(checkpoint_name(*size)), note).unwrap();
        }
    }

    fn segments(&self) -> Vec<(String, Vec<u8>)> {
        let content = |segment| {
            let lines = self.lines.iter().filter(|(lies_in, _)| *lies_in == segment);
            lines.flat_map(|(_, line)| line.clone()).collect::<Vec<u8>>()
        };
        let all = self.firsts.iter().enumerate();
        let all = all.map(|(segment, first)| (segment_name(*first), content(segment)));
        all.filter(|(_, bytes)| !bytes.is_empty()).collect()
    }

    /// The manifest that an exporter would have made of it.
    pub fn manifest(&self, old: &Manifest) -> Manifest {
        let file = |(name, bytes): (String, Vec<u8>)| {
            let sha256 = Hash(Sha256::digest(&bytes).into());
            ManifestFile { name, bytes: bytes.len() as u64, sha256 }
        };
        Manifest {
            entries: self.lines.len() as u64,
            root: Hash(self.root(self.lines.len())),
            files: self.segments().into_iter().map(file).collect(),
            checkpoints: self.checkpoints.keys().copied().collect(),
            ..old.clone()
        }
    }

    pub fn line(&mut self, n: usize) -> &mut Vec<u8> {
        &mut self.lines[n].1
    }

    /// Changes what line `n` says, and nothing else.
    pub fn edit(&mut self, n: usize, from: &str, to: &str) {
        let text = String::from_utf8(self.line(n).clone()).unwrap();
        assert!(text.contains(from), "{from} is in {text}");
        *self.line(n) = text.replacen(from, to, 1).into_bytes();
    }

    pub fn delete(&mut self, numbers: impl RangeBounds<usize>) {
        self.lines.drain(numbers);
    }

    /// Swaps two lines, wherever they lie.
    pub fn swap(&mut self, one: usize, other: usize) {
        let line = self.line(one).clone();
        let line = std::mem::replace(self.line(other), line);
        *self.line(one) = line;
    }

    /// Puts a copy of line `n` before line `at`, or at the end.
    pub fn repeat(&mut self, n: usize, at: usize) {
        let neighbour = self.lines.get(at).unwrap_or(self.lines.last().unwrap()).0;
        let line = self.line(n).clone();
        self.lines.insert(at, (neighbour, line));
    }

    /// Deletes a segment.
    pub fn delete_segment(&mut self, segment: usize) {
        self.lines.retain(|(lies_in, _)| *lies_in != segment);
    }

    /// The number of the first line of a segment.
    pub fn start(&self, segment: usize) -> usize {
        self.lines.iter().position(|(lies_in, _)| *lies_in == segment).unwrap()
    }

    pub fn segment_count(&self) -> usize {
        self.firsts.len()
    }

    /// Gives the lines from number `first` on the numbers and hashes that they should have, and the
    /// segments their names.
    pub fn hash_anew(&mut self, algorithm: HashAlgorithm, first: usize) {
        let mut previous = Hash::ZERO;
        for (n, (_, line)) in self.lines.iter_mut().enumerate() {
            let entry = parse_line(line).unwrap();
            if n >= first {
                let text = String::from_utf8(line.clone()).unwrap();
                let number = (format!("\"seq\":{},", entry.seq), format!("\"seq\":{n},"));
                let text = text.replacen(&number.0, &number.1, 1);
                let text = text.replace(&entry.prev_hash.to_string(), &previous.to_string());
                let hash = hash_of(text.as_bytes(), algorithm).unwrap();
                let old = format!("\"hash\":\"{}\"}}", entry.hash);
                *line = text.replace(&old, &format!("\"hash\":\"{hash}\"}}")).into_bytes();
                previous = hash;
            } else {
                previous = entry.hash;
            }
        }
        for (n, (segment, _)) in self.lines.iter().enumerate().rev() {
            self.firsts[*segment] = n as u64;
        }
    }

    /// The root of the tree over the first `size` lines.
    pub fn root(&self, size: usize) -> [u8; 32] {
        let mut tree = Tree::new();
        for (_, line) in &self.lines[..size] {
            tree.push(leaf_hash(line.strip_suffix(b"\n").unwrap_or(line)));
        }
        tree.root()
    }

    /// Signs a checkpoint over the first `size` lines, as they are now.
    pub fn sign(&mut self, size: u64, keys: &SigningKeys) {
        let note = signed(keys.public().name(), size, self.root(size as usize), keys);
        self.checkpoints.insert(size, note);
    }

    /// Signs those checkpoints anew that there are, from `size` on.
    pub fn sign_anew(&mut self, from: u64, keys: &SigningKeys) {
        for size in self.checkpoints.range(from..).map(|(size, _)| *size).collect::<Vec<_>>() {
            self.sign(size, keys);
        }
    }

    /// Puts other keys into the entry that brings some.
    pub fn replace_keys(&mut self, n: usize, old: &PublicKeys, new: &PublicKeys) {
        for (old, new) in old.to_string().lines().zip(new.to_string().lines()) {
            self.edit(n, old, new);
        }
    }

    /// The signature lines of a checkpoint, and what is before them.
    pub fn note(&self, size: u64) -> (String, Vec<String>) {
        let note = String::from_utf8(self.checkpoints[&size].clone()).unwrap();
        let (text, signatures) = note.split_once("\n\n").unwrap();
        (format!("{text}\n\n"), signatures.lines().map(|line| format!("{line}\n")).collect())
    }

    pub fn set_note(&mut self, size: u64, text: &str, signatures: &[String]) {
        self.checkpoints.insert(size, (text.to_owned() + &signatures.concat()).into_bytes());
    }

    /// Flips a bit in the middle of a signature.
    pub fn flip(&mut self, size: u64, signature: usize) {
        let (text, mut signatures) = self.note(size);
        let mut line = signatures[signature].clone().into_bytes();
        let middle = line.len() / 2 + 20;
        line[middle] = if line[middle] == b'A' { b'B' } else { b'A' };
        signatures[signature] = String::from_utf8(line).unwrap();
        self.set_note(size, &text, &signatures);
    }
}

/// A signed checkpoint.
pub fn signed(origin: &KeyName, size: u64, root: [u8; 32], keys: &SigningKeys) -> Vec<u8> {
    let checkpoint = Checkpoint { origin: origin.clone(), size, root };
    keys.sign(checkpoint, 1_800_000_000).unwrap().to_string().into_bytes()
}
