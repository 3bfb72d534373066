//! A value of a library's own type, such as an expanded key, in secret memory.

use std::fmt;
use std::marker::PhantomData;

use crate::arena::arena;
use crate::mapping::{Backing, Mapping, page_size};
use crate::policy::{InitError, Policy};

/// A `T` in a guarded mapping of its own: dropped, wiped and unmapped with the box.
///
/// For what is too large for the arena, whose blocks are powers of two: a mapping takes whole pages,
/// and none is wasted but the rest of the last one. They are like the arena's pages: where those are from
/// `memfd_secret(2)`, and there is no room for more, there is no box, whatever the policy. They count
/// against `RLIMIT_MEMLOCK`. What `T` itself puts on the heap stays there.
pub struct SecretBox<T> {
    mapping: Mapping,
    value: PhantomData<T>,
}

impl<T> SecretBox<T> {
    /// Maps the pages and puts what `make` returns into them.
    ///
    /// On its way there the value may pass over the stack: call this inside of
    /// [`with_clean_deep_stack`](crate::with_clean_deep_stack), of a depth that `make` stays within.
    ///
    /// # Errors
    /// [`InitError`], with the process's policy; `make` was not called then.
    ///
    /// # Panics
    /// When `T` needs an alignment larger than a page, which no type here does.
    pub fn try_new(make: impl FnOnce() -> T) -> Result<Self, InitError> {
        assert!(align_of::<T>() <= page_size());
        // Where this process has secret memory at all, keys don't go elsewhere for want of room.
        let policy = match crate::backing() {
            Backing::MemfdSecret => Policy::Require,
            _ => arena().policy,
        };
        let mapping = Mapping::new(size_of::<T>(), policy)?;
        // SAFETY: the mapping is writable, at least as large as a `T`, and aligned to a page.
        unsafe { mapping.base.cast::<T>().write(make()) };
        Ok(Self { mapping, value: PhantomData })
    }

    /// The value, to read.
    #[must_use]
    pub fn expose(&self) -> &T {
        // SAFETY: `try_new` put a `T` there, which lives as long as `self`.
        unsafe { self.mapping.base.cast().as_ref() }
    }
}

impl<T> Drop for SecretBox<T> {
    fn drop(&mut self) {
        // SAFETY: the value is dropped once, here; the mapping wipes its pages after this.
        unsafe { self.mapping.base.cast::<T>().drop_in_place() };
    }
}

impl<T> fmt::Debug for SecretBox<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SecretBox({} bytes)", size_of::<T>())
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;
    use std::fs;
    use std::panic::{AssertUnwindSafe, catch_unwind};

    use super::*;

    /// Larger than a page, and with an alignment of its own.
    #[repr(align(64))]
    struct Key<'a> {
        bytes: [u8; 5000],
        drops: &'a Cell<u32>,
    }

    impl Drop for Key<'_> {
        fn drop(&mut self) {
            self.drops.set(self.drops.get() + 1);
        }
    }

    /// The permissions of the mapping that holds `address`, from proc_pid_maps(5).
    fn permissions(address: usize) -> Option<String> {
        let maps = fs::read_to_string("/proc/self/maps").expect("maps");
        maps.lines().find_map(|line| {
            let (range, rest) = line.split_once(' ')?;
            let (start, end) = range.split_once('-')?;
            let number = |text| usize::from_str_radix(text, 16).ok();
            let holds = (number(start)?..number(end)?).contains(&address);
            holds.then(|| rest.split(' ').next().unwrap_or_default().to_owned())
        })
    }

    #[test]
    fn the_value_lies_between_guard_pages() {
        let drops = Cell::new(0);
        let boxed = SecretBox::try_new(|| Key { bytes: [7; 5000], drops: &drops });
        let boxed = boxed.expect("there is memory");
        assert_eq!(boxed.expose().bytes, [7; 5000]);
        let start = std::ptr::from_ref(boxed.expose()).addr();
        let pages = size_of::<Key>().next_multiple_of(page_size());
        assert!(start.is_multiple_of(64));
        assert!(permissions(start).is_some_and(|is| is.starts_with("rw")));
        for guard in [start - 1, start + pages] {
            assert!(permissions(guard).is_some_and(|is| is.starts_with("---")));
        }
    }

    #[test]
    fn the_value_is_dropped_once() {
        let drops = Cell::new(0);
        let boxed = SecretBox::try_new(|| Key { bytes: [7; 5000], drops: &drops });
        let boxed = boxed.expect("there is memory");
        assert_eq!(drops.get(), 0);
        drop(boxed);
        assert_eq!(drops.get(), 1);
    }

    #[test]
    fn a_value_that_was_not_made_is_not_dropped() {
        let drops = Cell::new(0);
        let made =
            catch_unwind(AssertUnwindSafe(|| SecretBox::<Key>::try_new(|| panic!("no key"))));
        assert!(made.is_err());
        assert_eq!(drops.get(), 0);
    }

    #[test]
    fn debug_shows_the_size_only() {
        let boxed = SecretBox::try_new(|| [7_u8; 100]).expect("there is memory");
        assert_eq!(format!("{boxed:?}"), "SecretBox(100 bytes)");
    }
}
