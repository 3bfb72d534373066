//! Looking into another process's memory, as root does.

use std::fs::{self, File};
use std::io;
use std::os::unix::fs::FileExt;

use memchr::memmem::Finder;

/// A mapping of a process, from `/proc/PID/maps`.
#[derive(Clone, Debug)]
pub struct Mapping {
    /// First address.
    pub start: u64,
    /// First address after it.
    pub end: u64,
    /// What the kernel calls it: a path, `[heap]`, `[stack]`, or nothing.
    pub name: String,
    /// Whether the process itself may read it.
    pub readable: bool,
}

/// Where a needle was found.
#[derive(Clone, Debug)]
pub struct Hit {
    /// Address of its first byte.
    pub address: u64,
    /// The mapping it lies in.
    pub mapping: String,
}

/// All mappings of a process.
///
/// # Errors
/// What reading `/proc/PID/maps` reported.
pub fn mappings(pid: i32) -> io::Result<Vec<Mapping>> {
    let maps = fs::read_to_string(format!("/proc/{pid}/maps"))?;
    Ok(maps.lines().filter_map(parse).collect())
}

fn parse(line: &str) -> Option<Mapping> {
    let mut fields = line.split_ascii_whitespace();
    let (start, end) = fields.next()?.split_once('-')?;
    let readable = fields.next()?.starts_with('r');
    Some(Mapping {
        start: u64::from_str_radix(start, 16).ok()?,
        end: u64::from_str_radix(end, 16).ok()?,
        name: fields.nth(3).unwrap_or_default().to_owned(),
        readable,
    })
}

/// Searches all memory of a process that can be read from outside for `needle`.
///
/// Returns the hits and the number of bytes that were really read, so that a search that saw nothing
/// can be told from one that found nothing.
///
/// # Errors
/// What opening `/proc/PID/mem` reported.
pub fn search(pid: i32, needle: &[u8]) -> io::Result<(Vec<Hit>, u64)> {
    let (mut hits, seen) = search_all(pid, &[needle])?;
    Ok((hits.pop().unwrap_or_default(), seen))
}

/// As [`search`], for several needles in one pass; the hits stand in the order of the needles.
///
/// # Errors
/// What opening `/proc/PID/mem` reported.
pub fn search_all<N: AsRef<[u8]>>(pid: i32, needles: &[N]) -> io::Result<(Vec<Vec<Hit>>, u64)> {
    const CHUNK: usize = 1 << 20;
    let finders: Vec<_> = needles.iter().map(|needle| Finder::new(needle.as_ref())).collect();
    // Chunks overlap by this much, so that a needle across two of them is found.
    let overlap = needles.iter().map(|needle| needle.as_ref().len()).max().unwrap_or(0);
    let memory = File::open(format!("/proc/{pid}/mem"))?;
    let mut hits = vec![Vec::new(); needles.len()];
    let mut seen = 0;
    let mut chunk = vec![0; CHUNK + overlap];
    for mapping in mappings(pid)?.iter().filter(|mapping| mapping.readable) {
        let mut at = mapping.start;
        while at < mapping.end {
            let left = usize::try_from(mapping.end - at).unwrap_or(usize::MAX);
            let want = left.min(chunk.len());
            let read = match memory.read_at(&mut chunk[..want], at) {
                Ok(0) | Err(_) => {
                    at += 4096;
                    continue;
                }
                Ok(read) => read,
            };
            for (finder, hits) in finders.iter().zip(&mut hits) {
                let found = finder.find_iter(&chunk[..read]).map(|offset| at + offset as u64);
                let hit = |address| Hit { address, mapping: mapping.name.clone() };
                hits.extend(found.map(hit));
            }
            let step = if read == want && want < left { read - overlap } else { read };
            seen += step as u64;
            at += step as u64;
        }
    }
    Ok((hits, seen))
}
