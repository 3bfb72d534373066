//! Wiping the stack that lattice code used.

/// Runs `work`, which goes at most `DEPTH` bytes deep, and then overwrites that much of the stack.
///
/// Unlike [`secret_memory::with_clean_deep_stack`] it keeps the pages. A thread that signs does so
/// again, and getting them back from the kernel would cost more than a tenth of a signature.
#[inline(never)]
pub(crate) fn with_clean_stack<const DEPTH: usize, T>(work: impl FnOnce() -> T) -> T {
    let result = framed(work);
    wipe::<DEPTH>();
    result
}

/// A frame of its own, so that all of `work` lies where [`wipe`] will write.
#[inline(never)]
fn framed<T>(work: impl FnOnce() -> T) -> T {
    work()
}

/// The address escapes, so that the optimiser has to write the zeros.
#[inline(never)]
fn wipe<const DEPTH: usize>() {
    std::hint::black_box(&mut [0_u8; DEPTH]);
}

#[cfg(test)]
mod tests;
