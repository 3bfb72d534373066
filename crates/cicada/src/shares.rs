//! Whose unfinished requests lie here, and how much of them.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

/// Bytes of unfinished requests that the programs of one uid may have lying here.
pub const UNFINISHED_BYTES_PER_UID: usize = 256 << 10;
/// Bytes of unfinished requests in all.
const UNFINISHED_BYTES: usize = 1 << 20;

/// How much of unfinished requests lies here, and whose it is: secret memory is small, and one uid
/// must not have all of it.
#[derive(Default)]
pub struct Shares(Mutex<HashMap<u32, usize>>);

impl Shares {
    /// Whether nothing lies here.
    #[cfg(test)]
    pub fn is_empty(&self) -> bool {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).is_empty()
    }
}

/// What one connection has of it.
pub struct Unfinished {
    shares: Arc<Shares>,
    uid: u32,
    bytes: usize,
}

impl Unfinished {
    /// Nothing yet.
    #[must_use]
    pub fn new(shares: &Arc<Shares>, uid: u32) -> Self {
        Self { shares: Arc::clone(shares), uid, bytes: 0 }
    }

    /// Takes as much as is needed now, if there is so much.
    pub fn holds(&mut self, bytes: usize) -> bool {
        if bytes == self.bytes {
            return true;
        }
        let mut shares = self.shares.0.lock().unwrap_or_else(PoisonError::into_inner);
        let others: usize = shares.values().sum::<usize>() - self.bytes;
        let own = shares.entry(self.uid).or_default();
        let own_others = *own - self.bytes;
        let fits =
            own_others + bytes <= UNFINISHED_BYTES_PER_UID && others + bytes <= UNFINISHED_BYTES;
        self.bytes = if fits { bytes } else { 0 };
        *own = own_others + self.bytes;
        if *own == 0 {
            shares.remove(&self.uid);
        }
        fits
    }
}

impl Drop for Unfinished {
    fn drop(&mut self) {
        self.holds(0);
    }
}
