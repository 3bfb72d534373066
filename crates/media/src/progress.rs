//! How far a long reading is.

/// Adds up the bytes of readings one after the other, and tells somebody.
pub struct Progress<'a> {
    done: u64,
    total: u64,
    tell: &'a mut dyn FnMut(u64, u64),
}

impl<'a> Progress<'a> {
    /// `tell` gets the bytes that are done and those that there are, often.
    pub fn new(tell: &'a mut dyn FnMut(u64, u64)) -> Self {
        Self { done: 0, total: 0, tell }
    }

    /// So many bytes more will be read.
    pub(crate) fn expect(&mut self, bytes: u64) {
        self.total = self.total.saturating_add(bytes);
    }

    /// So many bytes more have been read.
    pub(crate) fn add(&mut self, bytes: u64) {
        self.done = self.done.saturating_add(bytes);
        (self.tell)(self.done, self.total);
    }
}
