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
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test that panics has failed")]

    use std::fs::File;
    use std::hint::black_box;
    use std::os::unix::fs::FileExt;
    use std::thread;

    use ml_kem::kem::Decapsulate;
    use x25519_dalek::{PublicKey, StaticSecret};

    use crate::{kem, signature};

    const PAINT: u8 = 0xa5;
    const CANVAS: usize = 2 << 20;

    /// What is below this frame after `work`, which was paint before.
    #[inline(never)]
    fn stack_after(work: impl FnOnce()) -> Vec<u8> {
        let local = black_box(0_u8);
        let here = std::ptr::from_ref(&local).addr();
        let memory = File::open("/proc/self/mem").unwrap();
        let mut stack = vec![0; CANVAS];
        paint();
        work();
        memory.read_exact_at(&mut stack, (here - CANVAS) as u64).unwrap();
        stack
    }

    #[inline(never)]
    fn paint() {
        black_box(&mut [PAINT; CANVAS]);
    }

    fn depth(work: impl FnOnce()) -> usize {
        let stack = stack_after(work);
        CANVAS - stack.iter().position(|byte| *byte != PAINT).unwrap()
    }

    fn on_a_large_stack(test: impl FnOnce() + Send + 'static) {
        thread::Builder::new().stack_size(16 << 20).spawn(test).unwrap().join().unwrap();
    }

    #[test]
    fn expanding_and_signing_stay_within_what_is_wiped() {
        on_a_large_stack(|| {
            let expanding = depth(|| {
                black_box((signature::expand(&[1; 32]), kem::expand(&[1; 64])));
                black_box(PublicKey::from(&StaticSecret::from([1; 32])));
            });
            let (_, key) = signature::expand(&[1; 32]);
            let signing = depth(|| {
                for round in 0..8 {
                    black_box(signature::sign_with(&key, b"x", &[round; 32]).unwrap());
                }
            });
            let deepest = expanding.max(signing);
            assert!(deepest < signature::DEPTH / 8 * 7, "{expanding} and {signing} bytes");
        });
    }

    #[test]
    fn encapsulating_and_decapsulating_stay_within_what_is_wiped() {
        on_a_large_stack(|| {
            let key = kem::expand(&[1; 64]);
            let encapsulating = depth(|| {
                black_box(key.encapsulation_key().encapsulate_deterministic(&[1; 32].into()));
            });
            let decapsulating = depth(|| {
                black_box(key.decapsulate(&[1; 1088].into()));
            });
            let deepest = encapsulating.max(decapsulating);
            assert!(deepest < kem::DEPTH / 4 * 3, "{encapsulating} and {decapsulating} bytes");
        });
    }

    #[test]
    fn the_whole_depth_is_wiped() {
        const DEPTH: usize = 64 << 10;
        #[inline(never)]
        fn dirty() -> u8 {
            black_box(&mut [0x5c_u8; DEPTH - (4 << 10)])[7]
        }
        on_a_large_stack(|| {
            let dirt = |stack: &[u8]| stack.iter().filter(|byte| **byte == 0x5c).count();
            let left = stack_after(|| {
                black_box(dirty());
            });
            assert!(dirt(&left) > DEPTH / 2, "the search finds what was left");
            let clean = stack_after(|| {
                black_box(super::with_clean_stack::<DEPTH, _>(dirty));
            });
            assert!(dirt(&clean) < 64);
        });
    }
}
