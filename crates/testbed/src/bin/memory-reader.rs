//! What root can read of memory: `memory-reader PID` or `memory-reader kcore`, with the value that is searched
//! for on standard input.
//!
//! Prints one line for each way: `WAY: found N, read B bytes, refused P pages`. `mem` is `/proc/PID/mem`,
//! `vm` is process_vm_readv(2), and `ptrace` reads words with PTRACE_PEEKDATA, for which the process is
//! stopped; that is slow, so it reads the heap, and secret memory only.
//!
//! `kcore` is all of RAM by `/proc/kcore` (proc_kcore(5)). This process is in there too: the value comes in
//! hexadecimal with `g` to `v` for its digits, and is put together in secret memory.

#![forbid(unsafe_code)]

use std::fs::File;
use std::io::{self, IoSliceMut, Read};
use std::os::unix::fs::FileExt;
use std::process::ExitCode;

use memchr::memmem::Finder;
use nix::sys::ptrace;
use nix::sys::signal::Signal;
use nix::sys::uio::{RemoteIoVec, process_vm_readv};
use nix::sys::wait::waitpid;
use nix::unistd::Pid;
use secret_memory::{Policy, SecretBytes};
use testbed::memory::{Mapping, mappings};

const PAGE: usize = 4096;
const CHUNK: usize = 64 * PAGE;
/// What memfd_secret(2) mappings are called in `/proc/PID/maps`.
const SECRET: &str = "/secretmem";

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [what] = arguments.as_slice() else {
        eprintln!("usage: memory-reader PID < VALUE, memory-reader kcore < SPELLED");
        return ExitCode::from(2);
    };
    let done = match what.as_str() {
        "kcore" => search_ram(),
        pid => search(pid.parse().expect("a process id")),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("memory-reader: {error}");
            ExitCode::FAILURE
        }
    }
}

fn search(number: i32) -> io::Result<()> {
    let mut value = Vec::new();
    io::stdin().read_to_end(&mut value)?;
    assert!(value.len() >= 16, "a value that chance does not make");
    let pid = Pid::from_raw(number);
    let all = mappings(number)?;
    let secret = all.iter().filter(|mapping| mapping.name == SECRET).count();
    println!("{} mappings, {secret} of them secret memory", all.len());

    match File::open(format!("/proc/{number}/mem")) {
        Ok(memory) => {
            Search::new(&value).through("mem", &all, |at, bytes| memory.read_at(bytes, at))
        }
        Err(error) => println!("mem: {error}"),
    }
    Search::new(&value).through("vm", &all, |at, bytes| {
        let remote = RemoteIoVec { base: address(at), len: bytes.len() };
        Ok(process_vm_readv(pid, &mut [IoSliceMut::new(bytes)], &[remote])?)
    });
    let few: Vec<Mapping> = all
        .into_iter()
        .filter(|mapping| mapping.name == SECRET || mapping.name == "[heap]")
        .collect();
    match stop(pid) {
        Ok(()) => {
            Search::new(&value).through("ptrace", &few, |at, bytes| peek(pid, at, bytes));
            ptrace::detach(pid, None)?;
        }
        Err(error) => println!("ptrace: {error}"),
    }
    Ok(())
}

fn search_ram() -> io::Result<()> {
    let mut spelled = Vec::new();
    io::stdin().read_to_end(&mut spelled)?;
    let digits = spelled.trim_ascii().as_chunks().0;
    assert!(digits.len() >= 16, "a value that chance does not make");
    secret_memory::init(Policy::Require, 4 * PAGE, 0).expect("memfd_secret(2)");
    let mut value = SecretBytes::zeroed(digits.len()).expect("room for a value");
    for (byte, [high, low]) in value.expose_mut().iter_mut().zip(digits) {
        *byte = (high - b'g') << 4 | (low - b'g');
    }
    let kernel = File::open("/proc/kcore")?;
    let ram = ram(&kernel)?;
    Search::new(value.expose()).through("kcore", &ram, |at, bytes| kernel.read_at(bytes, at));
    Ok(())
}

/// The segments of an ELF64 core file (ELF gABI) that are RAM, by their places in the file. Those that have no
/// physical address are what the kernel maps a second time, or doesn't map.
fn ram(kernel: &File) -> io::Result<Vec<Mapping>> {
    let number = |at: u64| {
        let mut bytes = [0; 8];
        kernel.read_exact_at(&mut bytes, at)?;
        Ok::<u64, io::Error>(u64::from_le_bytes(bytes))
    };
    let (headers, count) = (number(32)?, number(56)? & 0xffff);
    let mut found = Vec::new();
    for header in (0..count).map(|index| headers + index * 56) {
        let (kind, start) = (number(header)? & 0xffff_ffff, number(header + 8)?);
        let (physical, size) = (number(header + 24)?, number(header + 32)?);
        if kind == 1 && physical != u64::MAX {
            let name = format!("{physical:x}");
            found.push(Mapping { start, end: start + size, name, readable: true });
        }
    }
    Ok(found)
}

fn stop(pid: Pid) -> io::Result<()> {
    ptrace::attach(pid)?;
    let status = waitpid(pid, None)?;
    assert!(
        matches!(status, nix::sys::wait::WaitStatus::Stopped(_, Signal::SIGSTOP)),
        "{status:?}"
    );
    Ok(())
}

fn peek(pid: Pid, at: u64, bytes: &mut [u8]) -> io::Result<usize> {
    const WORD: usize = size_of::<libc::c_long>();
    for (index, place) in bytes.chunks_exact_mut(WORD).enumerate() {
        let word = ptrace::read(pid, (address(at) + index * WORD) as ptrace::AddressType)?;
        place.copy_from_slice(&word.to_ne_bytes());
    }
    Ok(bytes.len() / WORD * WORD)
}

fn address(at: u64) -> usize {
    usize::try_from(at).expect("an address of this machine")
}

/// A search through memory; values across the end of a chunk are found.
struct Search<'v> {
    value: Finder<'v>,
    found: usize,
    read: usize,
    refused: usize,
}

impl<'v> Search<'v> {
    fn new(value: &'v [u8]) -> Self {
        Self { value: Finder::new(value), found: 0, read: 0, refused: 0 }
    }

    fn through(
        mut self,
        way: &str,
        mappings: &[Mapping],
        read: impl Fn(u64, &mut [u8]) -> io::Result<usize>,
    ) {
        for mapping in mappings {
            self.mapping(mapping, &read);
        }
        let Self { found, read, refused, .. } = self;
        println!("{way}: found {found}, read {read} bytes, refused {refused} pages");
    }

    fn mapping(&mut self, mapping: &Mapping, read: impl Fn(u64, &mut [u8]) -> io::Result<usize>) {
        let overlap = self.value.needle().len() - 1;
        let mut chunk = vec![0; CHUNK];
        // What is in the chunk from the one before it.
        let mut kept = 0;
        let mut at = mapping.start;
        while at < mapping.end {
            let left = address(mapping.end - at);
            let want = left.min(CHUNK - kept);
            // Of a chunk that is refused, the pages may be had one by one.
            let whole = read(at, &mut chunk[kept..kept + want]);
            let one_page = |chunk: &mut [u8]| read(at, &mut chunk[kept..kept + PAGE.min(want)]);
            let got = whole.ok().filter(|got| *got > 0).or_else(|| one_page(&mut chunk).ok());
            let Some(got) = got.filter(|got| *got > 0) else {
                self.refused += 1;
                at = (at / PAGE as u64 + 1) * PAGE as u64;
                kept = 0;
                continue;
            };
            let end = kept + got;
            self.found += self.value.find_iter(&chunk[..end]).count();
            self.read += got;
            at += got as u64;
            kept = overlap.min(end);
            chunk.copy_within(end - kept..end, 0);
        }
    }
}
