//! Wiping the stack that a cipher used.

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
