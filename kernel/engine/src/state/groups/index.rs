//! Where the group of a key is: a table from hashes to slots. It holds no keys: whoever asks compares the key in the slot, which
//! is where the group's values are too, so that a group costs one look here and one there however many groups there are.
//! Open addressing with linear probing (D. E. Knuth, The Art of Computer Programming, vol. 3, 6.4, algorithms L and R). A window is
//! forgotten whole; single slots are taken out only where rows change.

use std::hash::BuildHasher as _;

use polars::prelude::PlRandomState;

use super::memory::plain_zeros;

/// The hash by which the group of a key is found.
pub(crate) fn hash_of_key(hasher: &PlRandomState, key: &[u8]) -> u32 {
    (hasher.hash_one(key) >> 32) as u32
}

/// A table from hashes to slots.
pub(crate) struct GroupIndex {
    /// The hash in the upper half, one more than the slot in the lower one; 0 where there is nothing.
    entries: Vec<u64>,
    held: usize,
}

impl Default for GroupIndex {
    fn default() -> GroupIndex {
        GroupIndex { entries: vec![0; FEWEST], held: 0 }
    }
}

/// Room at the beginning.
const FEWEST: usize = 16;

impl GroupIndex {
    /// The slot with this hash for which `is` holds.
    pub(crate) fn find(&self, hash: u32, is: impl Fn(u32) -> bool) -> Option<u32> {
        let mut at = self.place(hash);
        while let Some(slot) = slot(self.entries[at]) {
            if hash_of(self.entries[at]) == hash && is(slot) {
                return Some(slot);
            }
            at = self.after(at);
        }
        None
    }

    /// The slot that is likely to be the one with this hash, without a look at it.
    pub(crate) fn likely(&self, hash: u32) -> Option<u32> {
        slot(self.entries[self.place(hash)])
    }

    /// Whether nothing is in it.
    pub(crate) fn is_empty(&self) -> bool {
        self.held == 0
    }

    /// Puts a slot in that is not there yet.
    pub(crate) fn insert(&mut self, hash: u32, slot: u32) {
        // At three quarters a look takes two and a half steps, which are nearly always in one cache line.
        if (self.held + 1) * 4 > self.entries.len() * 3 {
            let larger = plain_zeros(self.entries.len() * 2);
            for entry in std::mem::replace(&mut self.entries, larger).into_iter().filter(|entry| *entry != 0) {
                self.put(entry);
            }
        }
        self.put(entry(hash, slot));
        self.held += 1;
    }

    /// Takes a slot out. What stands behind it moves up where it would not be found over the gap.
    pub(crate) fn remove(&mut self, hash: u32, slot: u32) {
        let mut gap = self.place(hash);
        while self.entries[gap] != entry(hash, slot) {
            if self.entries[gap] == 0 {
                return;
            }
            gap = self.after(gap);
        }
        self.held -= 1;
        let mut at = self.after(gap);
        while self.entries[at] != 0 {
            let steps_to = |from: usize| at.wrapping_sub(from) & (self.entries.len() - 1);
            if steps_to(self.place(hash_of(self.entries[at]))) >= steps_to(gap) {
                self.entries[gap] = self.entries[at];
                gap = at;
            }
            at = self.after(at);
        }
        self.entries[gap] = 0;
    }

    /// All slots.
    pub(crate) fn slots(&self) -> impl Iterator<Item = u32> {
        self.entries.iter().filter_map(|entry| slot(*entry))
    }

    /// All slots with their hashes.
    pub(crate) fn hashed(&self) -> impl Iterator<Item = (u32, u32)> {
        self.entries.iter().filter_map(|entry| Some((hash_of(*entry), slot(*entry)?)))
    }

    fn put(&mut self, entry: u64) {
        let mut at = self.place(hash_of(entry));
        while self.entries[at] != 0 {
            at = self.after(at);
        }
        self.entries[at] = entry;
    }

    fn place(&self, hash: u32) -> usize {
        hash as usize & (self.entries.len() - 1)
    }

    fn after(&self, at: usize) -> usize {
        (at + 1) & (self.entries.len() - 1)
    }
}

fn entry(hash: u32, slot: u32) -> u64 {
    u64::from(hash) << 32 | (u64::from(slot) + 1)
}

fn hash_of(entry: u64) -> u32 {
    (entry >> 32) as u32
}

fn slot(entry: u64) -> Option<u32> {
    (entry as u32).checked_sub(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slots_are_found_again_after_growth_and_with_equal_hashes() {
        let mut index = GroupIndex::default();
        let hash = |slot: u32| (slot / 3).wrapping_mul(0x9E37_79B9);
        (0..10_000).for_each(|slot| index.insert(hash(slot), slot));
        for slot in 0..10_000 {
            assert_eq!(index.find(hash(slot), |found| found == slot), Some(slot));
        }
        assert_eq!(index.find(hash(20_000), |_| true), None);
        assert_eq!(index.slots().count(), 10_000);
    }

    #[test]
    fn slots_that_are_left_are_found_when_others_are_taken_out() {
        // Many of one place, also around the end of the table.
        let hashes: [fn(u32) -> u32; 3] =
            [|slot| slot / 5, |slot| u32::MAX - slot % 3, |slot| slot.wrapping_mul(0x9E37_79B9)];
        for hash in hashes {
            let (mut index, mut there) = (GroupIndex::default(), std::collections::BTreeSet::new());
            let mut number = 1u32;
            for _ in 0..4_000 {
                number = number.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                let slot = (number >> 16) % 60;
                if there.remove(&slot) {
                    index.remove(hash(slot), slot);
                } else {
                    there.insert(slot);
                    index.insert(hash(slot), slot);
                }
                for slot in 0..60 {
                    let found = index.find(hash(slot), |found| found == slot);
                    assert_eq!(found, there.contains(&slot).then_some(slot));
                }
                assert_eq!((index.slots().count(), index.is_empty()), (there.len(), there.is_empty()));
            }
            index.remove(hash(77), 77);
            assert_eq!(index.slots().count(), there.len());
        }
    }
}
