//! Looking into another process's memory, as root does.

use std::fs::{self, File};
use std::io;
use std::os::unix::fs::FileExt;

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
    const CHUNK: usize = 1 << 20;
    let memory = File::open(format!("/proc/{pid}/mem"))?;
    let mut hits = Vec::new();
    let mut seen = 0;
    let mut chunk = vec![0; CHUNK + needle.len()];
    for mapping in mappings(pid)?.iter().filter(|mapping| mapping.readable) {
        let mut at = mapping.start;
        while at < mapping.end {
            let want = usize::try_from(mapping.end - at).unwrap_or(CHUNK).min(chunk.len());
            match memory.read_at(&mut chunk[..want], at) {
                Ok(0) | Err(_) => at += 4096,
                Ok(read) => {
                    let found = find_all(&chunk[..read], needle);
                    hits.extend(found.map(|offset| Hit {
                        address: at + offset as u64,
                        mapping: mapping.name.clone(),
                    }));
                    seen += read as u64;
                    // Overlap, so that a needle across two chunks is found.
                    let step = if read == want
                        && want > needle.len()
                        && at + (read as u64) < mapping.end
                    {
                        read - needle.len()
                    } else {
                        read
                    };
                    at += step.max(1) as u64;
                }
            }
        }
    }
    Ok((hits, seen))
}

fn find_all<'a>(haystack: &'a [u8], needle: &'a [u8]) -> impl Iterator<Item = usize> + 'a {
    haystack.windows(needle.len()).enumerate().filter_map(move |(offset, window)| {
        (window[0] == needle[0] && window == needle).then_some(offset)
    })
}
