//! A binary buddy allocator over a range of offsets. It knows sizes and positions, never content.
//!
//! Blocks are powers of two from [`MIN_BLOCK`] to the whole region and are aligned to their size.
//! All bookkeeping lies outside the region, so that an overflow inside it cannot corrupt the lists.

/// The smallest block, in bytes: a 32-byte key wastes nothing.
pub(crate) const MIN_BLOCK: usize = 32;

const NONE: u32 = u32::MAX;
/// Set in `state` for the first unit of a free block.
const FREE: u8 = 0x80;
/// Set in `state` for the first unit of a block that is in use.
const USED: u8 = 0x40;
const ORDER: u8 = 0x3f;

pub(crate) struct Buddy {
    /// Per unit of [`MIN_BLOCK`]: what starts there. Zero inside a block.
    state: Vec<u8>,
    /// Doubly linked free lists through units.
    next: Vec<u32>,
    previous: Vec<u32>,
    /// Head of the free list of each order.
    heads: Vec<u32>,
    free_bytes: usize,
}

impl Buddy {
    /// A region of `bytes`, a power of two of at least [`MIN_BLOCK`], all of it free.
    pub(crate) fn new(bytes: usize) -> Self {
        assert!(bytes.is_power_of_two() && bytes >= MIN_BLOCK, "a region is a power of two");
        let units = bytes / MIN_BLOCK;
        let orders = units.trailing_zeros() as usize + 1;
        let mut buddy = Self {
            state: vec![0; units],
            next: vec![0; units],
            previous: vec![0; units],
            heads: vec![NONE; orders],
            free_bytes: bytes,
        };
        buddy.push(0, orders - 1);
        buddy
    }

    pub(crate) fn free_bytes(&self) -> usize {
        self.free_bytes
    }

    /// Takes a block of at least `bytes`; returns its offset.
    pub(crate) fn allocate(&mut self, bytes: usize) -> Option<usize> {
        let wanted = order_of(bytes)?;
        let mut order = match self.smallest_free(wanted) {
            Some(order) => order,
            None => {
                self.merge_all();
                self.smallest_free(wanted)?
            }
        };
        let unit = self.heads[order] as usize;
        self.unlink(unit, order);
        while order > wanted {
            order -= 1;
            self.push(unit + (1 << order), order);
        }
        self.state[unit] = USED | order as u8;
        self.free_bytes -= MIN_BLOCK << order;
        Some(unit * MIN_BLOCK)
    }

    /// Size in bytes of the block in use at `offset`; `None` if no block in use starts there.
    pub(crate) fn block_size(&self, offset: usize) -> Option<usize> {
        let state = *self.state.get(offset / MIN_BLOCK)?;
        (offset.is_multiple_of(MIN_BLOCK) && state & USED != 0)
            .then(|| MIN_BLOCK << (state & ORDER))
    }

    /// Gives the block at `offset` back.
    ///
    /// Free neighbours are merged only when an allocation finds nothing else: the sizes in use
    /// repeat, and a block that was split once is taken again as it is.
    ///
    /// # Panics
    /// When no block in use starts at `offset`: a double free is a bug that must not go on.
    pub(crate) fn free(&mut self, offset: usize) {
        let size = self.block_size(offset).expect("freed address is a block in use");
        self.free_bytes += size;
        let unit = offset / MIN_BLOCK;
        self.push(unit, (self.state[unit] & ORDER) as usize);
    }

    fn smallest_free(&self, wanted: usize) -> Option<usize> {
        (wanted..self.heads.len()).find(|&order| self.heads[order] != NONE)
    }

    /// Merges every pair of free buddies, the small ones first.
    fn merge_all(&mut self) {
        for order in 0..self.heads.len() - 1 {
            let mut unit = self.heads[order];
            while unit != NONE {
                let buddy = unit as usize ^ (1 << order);
                let first = unit as usize & !(1 << order);
                unit = self.next[unit as usize];
                if self.state[buddy] == FREE | order as u8 {
                    if unit as usize == buddy {
                        unit = self.next[buddy];
                    }
                    self.unlink(first, order);
                    self.unlink(first | (1 << order), order);
                    self.push(first, order + 1);
                }
            }
        }
    }

    fn push(&mut self, unit: usize, order: usize) {
        let head = self.heads[order];
        self.state[unit] = FREE | order as u8;
        self.next[unit] = head;
        self.previous[unit] = NONE;
        if head != NONE {
            self.previous[head as usize] = unit as u32;
        }
        self.heads[order] = unit as u32;
    }

    fn unlink(&mut self, unit: usize, order: usize) {
        let (next, previous) = (self.next[unit], self.previous[unit]);
        match previous {
            NONE => self.heads[order] = next,
            unit => self.next[unit as usize] = next,
        }
        if next != NONE {
            self.previous[next as usize] = previous;
        }
        self.state[unit] = 0;
    }
}

/// The order of the smallest block that holds `bytes`; `None` when no block could.
fn order_of(bytes: usize) -> Option<usize> {
    let units = bytes.max(1).div_ceil(MIN_BLOCK).checked_next_power_of_two()?;
    Some(units.trailing_zeros() as usize)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blocks_never_overlap_and_all_merge_again() {
        let mut buddy = Buddy::new(1 << 16);
        let mut live: Vec<(usize, usize)> = Vec::new();
        let mut seed = 0x9e37_79b9_u32;
        for round in 0..20_000 {
            seed = seed.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            let size = (seed >> 8) as usize % 3000 + 1;
            if round % 3 != 2
                && let Some(offset) = buddy.allocate(size)
            {
                let end = offset + buddy.block_size(offset).unwrap();
                assert!(end - offset >= size && end <= 1 << 16);
                assert!(live.iter().all(|&(s, e)| end <= s || offset >= e), "overlap");
                live.push((offset, end));
            } else if !live.is_empty() {
                let (offset, _) = live.swap_remove(seed as usize % live.len());
                buddy.free(offset);
            }
        }
        for (offset, _) in live {
            buddy.free(offset);
        }
        assert_eq!(buddy.free_bytes(), 1 << 16);
        assert_eq!(buddy.allocate(1 << 16), Some(0), "everything merged into one block");
    }

    #[test]
    #[should_panic(expected = "block in use")]
    fn a_double_free_stops() {
        let mut buddy = Buddy::new(1 << 12);
        let offset = buddy.allocate(64).unwrap();
        buddy.free(offset);
        buddy.free(offset);
    }

    #[test]
    fn too_much_is_none() {
        let mut buddy = Buddy::new(1 << 12);
        assert_eq!(buddy.allocate((1 << 12) + 1), None);
        assert_eq!(buddy.allocate(usize::MAX), None);
    }
}
