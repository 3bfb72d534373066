//! A value of a library's own type, such as an expanded key, in secret memory.

use std::fmt;
use std::marker::PhantomData;

use crate::arena::arena;
use crate::mapping::{Mapping, page_size};
use crate::policy::InitError;

/// A `T` in a guarded mapping of its own: dropped, wiped and unmapped with the box.
///
/// For what is too large for the arena, whose blocks are powers of two: a mapping takes whole pages,
/// and none is wasted but the rest of the last one. The pages are chosen by the policy given to
/// [`crate::init`], and count against `RLIMIT_MEMLOCK`. What `T` itself puts on the heap stays there.
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
        let mapping = Mapping::new(size_of::<T>(), arena().policy)?;
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
