//! Wiping what a C library freed.

/// Wipes the free blocks of the C heap that this thread would get next, when it is dropped.
///
/// libtss2 frees the piece, and what stands for the PIN, as they are, and has no hook for another
/// allocator. glibc hands out the smallest free block that fits, and keeps those that this thread freed
/// for it: who asks for enough blocks of each size gets them all. That is no promise of glibc's;
/// `tests/tpm_fido2_leftovers.rs` looks.
pub(super) struct WipeFreed;

impl WipeFreed {
    /// Number and size, in bytes: first what lies between blocks in use, then what is kept by size, up
    /// to the largest size that a thread keeps for itself.
    fn blocks() -> impl Iterator<Item = (usize, usize)> {
        let kept_by_size = (24..=1032).rev().step_by(16).map(|size| (16, size));
        [(128, 8192), (256, 1040)].into_iter().chain(kept_by_size)
    }
}

impl Drop for WipeFreed {
    fn drop(&mut self) {
        let blocks = Self::blocks().flat_map(|(count, size)| std::iter::repeat_n(size, count));
        let filled = |size| {
            // Not with zeros: that would call calloc(3), which passes over what is kept by size.
            let mut block = Vec::<u8>::with_capacity(size);
            block.resize(size, 0xff);
            block
        };
        std::hint::black_box(blocks.map(filled).collect::<Vec<_>>());
    }
}
