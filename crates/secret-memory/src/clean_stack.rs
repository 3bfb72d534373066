//! Wiping the stack that a cipher used.

use crate::mapping::page_size;

/// How deep ciphers and curves go, in bytes, with a margin. An AES-256 key schedule is 240 bytes, but
/// with wide vector registers each round key is there four times, and unoptimised code moves it all
/// around several times. The vault's `tests/memory.rs` finds what a smaller number leaves.
const DEPTH: usize = 16 << 10;

/// Runs `work` and then overwrites the stack below this frame.
///
/// Types that wipe themselves on drop wipe the place they died in, not the places they were moved
/// from on their way there.
#[inline(never)]
pub fn with_clean_stack<T>(work: impl FnOnce() -> T) -> T {
    let result = framed(work);
    wipe();
    result
}

/// As [`with_clean_stack`], for work that goes `DEPTH` bytes deep; the pages of the stack that it took
/// are given back to the kernel, so that a thread that did it once is not large for ever.
#[inline(never)]
pub fn with_clean_deep_stack<const DEPTH: usize, T>(work: impl FnOnce() -> T) -> T {
    let result = framed(work);
    wipe_and_release::<DEPTH>();
    result
}

#[inline(never)]
fn wipe_and_release<const DEPTH: usize>() {
    let mut area = [0_u8; DEPTH];
    let area = std::hint::black_box(&mut area);
    let start = area.as_mut_ptr();
    let page = page_size();
    let offset = start.align_offset(page);
    let length = DEPTH.saturating_sub(offset) / page * page;
    // SAFETY: whole pages within `area`, which is ours, full of zeros and not used after this; they
    // read as zeros again when the stack comes to them. An error changes nothing.
    unsafe { libc::madvise(start.wrapping_add(offset).cast(), length, libc::MADV_DONTNEED) };
}

/// A frame of its own, so that all of `work` lies where [`wipe`] will write.
#[inline(never)]
fn framed<T>(work: impl FnOnce() -> T) -> T {
    work()
}

/// The address escapes, so that the optimiser has to write the zeros.
#[inline(never)]
fn wipe() {
    std::hint::black_box(&mut [0_u8; DEPTH]);
}

#[cfg(test)]
mod tests {
    use super::*;

    const DEPTH: usize = 256 << 10;

    /// Of the mapping that holds this thread's stack, from proc_pid_smaps(5).
    fn resident_kib() -> u64 {
        let here = std::ptr::from_ref(&std::hint::black_box(0_u8)).addr();
        let smaps = std::fs::read_to_string("/proc/self/smaps").expect("smaps");
        let mut is_stack = false;
        for line in smaps.lines() {
            let range = line.split(' ').next().and_then(|range| range.split_once('-'));
            let number = |text| usize::from_str_radix(text, 16).ok();
            if let Some((Some(start), Some(end))) = range.map(|(a, b)| (number(a), number(b))) {
                is_stack = (start..end).contains(&here);
            } else if is_stack && let Some(rss) = line.strip_prefix("Rss:") {
                return rss.trim().trim_end_matches(" kB").parse().expect("a number");
            }
        }
        panic!("the stack is in no mapping")
    }

    #[inline(never)]
    fn dirty() -> u8 {
        std::hint::black_box(&mut [0xa5_u8; DEPTH - (8 << 10)])[7]
    }

    #[test]
    fn a_deep_stack_is_given_back() {
        let after = |work: fn() -> u8| {
            let thread = std::thread::spawn(move || {
                let before = resident_kib();
                std::hint::black_box(work());
                resident_kib().saturating_sub(before)
            });
            thread.join().expect("it ends")
        };
        let kept = after(dirty);
        let released = after(|| with_clean_deep_stack::<DEPTH, _>(dirty));
        assert!(kept >= 200, "the work is deep: {kept} KiB");
        assert!(released + 100 < kept, "{released} of {kept} KiB are still there");
    }
}
