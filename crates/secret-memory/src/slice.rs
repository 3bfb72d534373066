//! Working areas too large for the arena, such as the 19 MiB of Argon2id.

use std::fmt;
use std::marker::PhantomData;

use crate::arena::arena;
use crate::mapping::{Backing, Mapping};
use crate::policy::InitError;

/// `len` values of a plain type in a guarded mapping of their own, wiped and unmapped on drop.
///
/// The pages are chosen by the policy given to [`crate::init`].
pub struct SecretSlice<T: Copy + Default> {
    mapping: Mapping,
    len: usize,
    items: PhantomData<T>,
}

impl<T: Copy + Default> SecretSlice<T> {
    /// Maps room for `len` values and fills it with `T::default()`.
    ///
    /// # Errors
    /// [`InitError`], with the process's policy.
    ///
    /// # Panics
    /// When `T` needs an alignment larger than a page, which no type here does.
    pub fn new(len: usize) -> Result<Self, InitError> {
        assert!(align_of::<T>() <= crate::mapping::page_size());
        let bytes = len.saturating_mul(size_of::<T>());
        let mapping = Mapping::new(bytes, arena().policy)?;
        let first = mapping.base.cast::<T>();
        for index in 0..len {
            // SAFETY: the mapping has room for `len` values and is aligned to a page.
            unsafe { first.add(index).write(T::default()) };
        }
        Ok(Self { mapping, len, items: PhantomData })
    }

    /// What kind of pages it got.
    #[must_use]
    pub fn backing(&self) -> Backing {
        self.mapping.backing
    }
}

impl<T: Copy + Default> AsMut<[T]> for SecretSlice<T> {
    fn as_mut(&mut self) -> &mut [T] {
        // SAFETY: `new` initialised `len` values; `T: Copy` has no drop; `&mut self` is exclusive.
        unsafe { std::slice::from_raw_parts_mut(self.mapping.base.cast().as_ptr(), self.len) }
    }
}

impl<T: Copy + Default> fmt::Debug for SecretSlice<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SecretSlice({} values)", self.len)
    }
}
