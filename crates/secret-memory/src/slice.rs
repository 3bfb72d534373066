//! Working areas too large for the arena, such as the 19 MiB of Argon2id.

use std::fmt;
use std::marker::PhantomData;

use crate::arena::arena;
use crate::mapping::{Backing, Mapping};
use crate::policy::InitError;

/// A plain type for which all bits zero is a value.
///
/// # Safety
/// Memory of the type's size and alignment that is all zero must be a valid value of it, and the
/// type must have no padding whose content could be read as a secret elsewhere.
pub unsafe trait Zeroed: Copy {}

// SAFETY: a block is 128 integers of 64 bits and nothing else.
unsafe impl Zeroed for argon2::Block {}

/// `len` values of a plain type in a guarded mapping of their own, wiped and unmapped on drop.
///
/// The pages are chosen by the policy given to [`crate::init`].
pub struct SecretSlice<T: Zeroed> {
    mapping: Mapping,
    len: usize,
    items: PhantomData<T>,
}

impl<T: Zeroed> SecretSlice<T> {
    /// Maps room for `len` values, all zero. Nothing is touched: the pages come when they are used.
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
        Ok(Self { mapping, len, items: PhantomData })
    }

    /// Number of values.
    #[must_use]
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether there is no value.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Makes all values zero, in a way that the optimiser keeps.
    pub fn wipe(&mut self) {
        // SAFETY: the mapping is writable, and `&mut self` is exclusive.
        unsafe { crate::wipe(self.mapping.base.as_ptr(), self.mapping.len) };
    }

    /// What kind of pages it got.
    #[must_use]
    pub fn backing(&self) -> Backing {
        self.mapping.backing
    }
}

impl<T: Zeroed> AsMut<[T]> for SecretSlice<T> {
    fn as_mut(&mut self) -> &mut [T] {
        // SAFETY: the mapping holds `len` values, zero at first, which is one; `&mut self` is exclusive.
        unsafe { std::slice::from_raw_parts_mut(self.mapping.base.cast().as_ptr(), self.len) }
    }
}

impl<T: Zeroed> fmt::Debug for SecretSlice<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SecretSlice({} values)", self.len)
    }
}
