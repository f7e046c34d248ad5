//! The groups of an aggregation in memory. All that is kept of a group lies in one row of words: what it is, its key, its
//! values. So however many groups there are, a row of the stream touches two or three cache lines; and growing moves nothing.

use polars::prelude::{PolarsResult, polars_ensure};
use smallvec::SmallVec;

use super::memory::zeros;
use super::words::{Flag, Layout, Packed};

/// A group's key.
pub(crate) type KeyBytes = SmallVec<[u8; SHORT]>;

/// The groups, by slot.
pub(crate) struct Groups {
    /// Words in a row.
    stride: usize,
    /// Rows; each chunk has twice as many as the one before.
    chunks: Vec<Vec<u64>>,
    slots: u32,
    free: Vec<u32>,
    /// Keys that have no room in the row.
    long: Vec<Box<[u8]>>,
    free_long: Vec<usize>,
}

/// Rows in the first chunk.
const FIRST: usize = 1024;
/// Bytes of a key that have room in its row.
const SHORT: usize = 16;
/// The length of a key that has not.
const LONG: u64 = 0xFF;
/// The lowest byte of the first word is the key's length.
const LENGTH: u64 = 0xFF;

const HEAD: usize = 0;
const ID: usize = 1;
const KEY: usize = 2;
/// The words that every group has.
pub(super) const WORDS: usize = 4;
/// The group is one of those that the batch has touched.
pub(super) const TOUCHED: Flag = Flag { word: HEAD, bit: 8 };
/// The group has changed since the state was last saved.
pub(super) const CHANGED: Flag = Flag { word: HEAD, bit: 9 };
/// The bits of the first word that the group's values may have.
pub(super) const FREE_BITS: std::ops::Range<u32> = 10..64;

/// A key, ready to be compared.
pub(super) struct GroupKey<'a> {
    bytes: &'a [u8],
    length: u64,
    words: [u64; 2],
}

impl<'a> GroupKey<'a> {
    pub(super) fn new(bytes: &'a [u8]) -> GroupKey<'a> {
        if bytes.len() > SHORT {
            return GroupKey { bytes, length: LONG, words: [0; 2] };
        }
        let mut padded = [0; SHORT];
        padded[..bytes.len()].copy_from_slice(bytes);
        let number = u128::from_le_bytes(padded);
        GroupKey { bytes, length: bytes.len() as u64, words: [number as u64, (number >> 64) as u64] }
    }
}

impl Groups {
    pub(super) fn new(layout: &Layout) -> Groups {
        Groups {
            stride: layout.words(),
            chunks: Vec::new(),
            slots: 0,
            free: Vec::new(),
            long: Vec::new(),
            free_long: Vec::new(),
        }
    }

    /// The groups as they are now. Their rows are copied as they lie in memory, which is as fast as memory is.
    pub(super) fn copied(&self) -> Groups {
        let (mut chunks, mut left) = (Vec::with_capacity(self.chunks.len()), self.slots());
        for (number, chunk) in self.chunks.iter().enumerate() {
            let rows = (FIRST << number).min(left);
            left -= rows;
            let mut copy = zeros(rows * self.stride);
            copy.copy_from_slice(&chunk[..rows * self.stride]);
            chunks.push(copy);
        }
        let (free, free_long) = (self.free.clone(), self.free_long.clone());
        Groups { stride: self.stride, chunks, slots: self.slots, free, long: self.long.clone(), free_long }
    }

    /// Takes a flag away from all groups: one way through the memory, where single ones would be looked for here and there.
    pub(super) fn unmark_all(&mut self, flag: Flag) {
        for row in self.chunks.iter_mut().flat_map(|chunk| chunk.chunks_exact_mut(self.stride)) {
            flag.clear(row);
        }
    }

    /// Slots that there are, whether they have a group or not.
    pub(super) fn slots(&self) -> usize {
        self.slots as usize
    }

    /// Makes sure that so many groups can come.
    pub(super) fn expect(&self, more: usize) -> PolarsResult<()> {
        polars_ensure!(
            self.slots() + more < u32::MAX as usize,
            ComputeError: "an aggregation has more than {} groups. Aggregate by fewer keys, or over windows with a watermark", u32::MAX
        );
        Ok(())
    }

    /// A slot for a new group, whose values are as nothing has been taken in.
    pub(super) fn add(&mut self, id: u64, key: &GroupKey<'_>) -> u32 {
        let slot = self.free.pop().unwrap_or_else(|| {
            let (chunk, _) = place(self.slots);
            if chunk == self.chunks.len() {
                self.chunks.push(zeros((FIRST << chunk) * self.stride));
            }
            self.slots += 1;
            self.slots - 1
        });
        let mut words = key.words;
        if key.length == LONG {
            let at = self.free_long.pop().unwrap_or(self.long.len());
            match self.long.get_mut(at) {
                Some(free) => *free = key.bytes.into(),
                None => self.long.push(key.bytes.into()),
            }
            words[0] = at as u64;
        }
        let row = self.row_mut(slot);
        row[HEAD] = key.length;
        row[ID] = id;
        row[KEY..KEY + 2].copy_from_slice(&words);
        slot
    }

    /// Gives a slot back.
    pub(super) fn remove(&mut self, slot: u32) {
        if self.row(slot)[HEAD] & LENGTH == LONG {
            let at = self.row(slot)[KEY] as usize;
            self.long[at] = Box::default();
            self.free_long.push(at);
        }
        self.row_mut(slot).fill(0);
        self.free.push(slot);
    }

    /// Makes a slot's values as nothing has been taken in.
    pub(super) fn renew(&mut self, slot: u32, id: u64) {
        let row = self.row_mut(slot);
        row[HEAD] &= LENGTH;
        row[ID] = id;
        row[WORDS..].fill(0);
    }

    /// Whether a slot's group has this key.
    pub(super) fn is(&self, slot: u32, key: &GroupKey<'_>) -> bool {
        let row = self.row(slot);
        row[HEAD] & LENGTH == key.length
            && if key.length == LONG {
                *self.long[row[KEY] as usize] == *key.bytes
            } else {
                row[KEY..KEY + 2] == key.words
            }
    }

    /// Has a slot's row in the cache soon. What it gives is to be used in some way, or else it does nothing.
    pub(super) fn touch(&self, slot: u32) -> u64 {
        let row = self.row(slot);
        row[HEAD] ^ row[self.stride - 1]
    }

    pub(super) fn id(&self, slot: u32) -> u64 {
        self.row(slot)[ID]
    }

    /// Says that a group is as old as another, if that is older.
    pub(super) fn as_old_as(&mut self, slot: u32, id: u64) {
        let row = self.row_mut(slot);
        row[ID] = row[ID].min(id);
    }

    pub(super) fn key(&self, slot: u32) -> KeyBytes {
        let row = self.row(slot);
        match row[HEAD] & LENGTH {
            LONG => KeyBytes::from_slice(&self.long[row[KEY] as usize]),
            length => {
                let number = u128::from(row[KEY]) | u128::from(row[KEY + 1]) << 64;
                KeyBytes::from_slice(&number.to_le_bytes()[..length as usize])
            }
        }
    }

    /// The value that begins at a word.
    pub(crate) fn get<T: Packed>(&self, slot: u32, at: usize) -> T {
        T::unpacked(&self.row(slot)[at..at + T::WORDS])
    }

    /// Replaces the value that begins at a word.
    pub(crate) fn set<T: Packed>(&mut self, slot: u32, at: usize, value: T) {
        value.pack(&mut self.row_mut(slot)[at..at + T::WORDS]);
    }

    /// Changes the value that begins at a word.
    #[inline]
    pub(crate) fn update<T: Packed>(&mut self, slot: u32, at: usize, change: impl FnOnce(&mut T)) {
        let words = &mut self.row_mut(slot)[at..at + T::WORDS];
        let mut value = T::unpacked(words);
        change(&mut value);
        value.pack(words);
    }

    /// The value that begins at a word, if its flag says that there is one.
    pub(crate) fn find<T: Packed>(&self, slot: u32, at: usize, flag: Flag) -> Option<T> {
        let row = self.row(slot);
        flag.is_set(row).then(|| T::unpacked(&row[at..at + T::WORDS]))
    }

    /// Replaces the value that begins at a word if there is none, or `new` is `better`.
    #[inline]
    pub(crate) fn keep<T: Packed>(
        &mut self,
        slot: u32,
        at: usize,
        flag: Flag,
        new: T,
        better: impl FnOnce(T, T) -> bool,
    ) {
        let row = self.row_mut(slot);
        if !flag.is_set(row) || better(new, T::unpacked(&row[at..at + T::WORDS])) {
            flag.set(row);
            new.pack(&mut row[at..at + T::WORDS]);
        }
    }

    /// Whether a flag is set.
    pub(crate) fn is_marked(&self, slot: u32, flag: Flag) -> bool {
        flag.is_set(self.row(slot))
    }

    /// Sets a flag; says whether it was set before.
    pub(crate) fn mark(&mut self, slot: u32, flag: Flag) -> bool {
        let row = self.row_mut(slot);
        let before = flag.is_set(row);
        flag.set(row);
        before
    }

    /// Takes a flag away.
    pub(super) fn unmark(&mut self, slot: u32, flag: Flag) {
        flag.clear(self.row_mut(slot));
    }

    #[inline]
    fn row(&self, slot: u32) -> &[u64] {
        let (chunk, at) = place(slot);
        &self.chunks[chunk][at * self.stride..][..self.stride]
    }

    #[inline]
    fn row_mut(&mut self, slot: u32) -> &mut [u64] {
        let (chunk, at) = place(slot);
        &mut self.chunks[chunk][at * self.stride..][..self.stride]
    }
}

/// The chunk of a slot, and which of its rows it is.
#[inline]
fn place(slot: u32) -> (usize, usize) {
    let number = slot as usize + FIRST;
    let chunk = (number / FIRST).ilog2();
    (chunk as usize, number - (FIRST << chunk))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_slot_has_a_row_of_its_own() {
        assert_eq!([0, 1023, 1024, 3071, 3072].map(place), [(0, 0), (0, 1023), (1, 0), (1, 2047), (2, 0)]);
        let mut layout = Layout::new();
        let at = layout.place(2);
        let mut groups = Groups::new(&layout);
        let name = |n: u64| format!("a key{}", "-long".repeat((n % 5) as usize));
        for n in 0..9_000 {
            let slot = groups.add(n, &GroupKey::new(name(n).as_bytes()));
            groups.set(slot, at, i128::from(n) << 60);
        }
        for n in 0..9_000 {
            assert_eq!((groups.id(n as u32), groups.get::<i128>(n as u32, at)), (n, i128::from(n) << 60));
            assert_eq!(&groups.key(n as u32)[..], name(n).as_bytes());
            assert!(groups.is(n as u32, &GroupKey::new(name(n).as_bytes())));
            assert!(!groups.is(n as u32, &GroupKey::new(name(n + 1).as_bytes())));
        }
    }

    #[test]
    fn a_slot_that_was_given_back_is_as_new() {
        let mut layout = Layout::new();
        let (at, flag) = (layout.place(1), layout.flag());
        let mut groups = Groups::new(&layout);
        let first = groups.add(0, &GroupKey::new(b"a key of more than sixteen bytes"));
        groups.keep(first, at, flag, 7i64, |_, _| true);
        groups.remove(first);
        let second = groups.add(1, &GroupKey::new(b"another key of more than sixteen bytes"));
        assert_eq!(second, first);
        assert_eq!(groups.find::<i64>(second, at, flag), None);
        assert_eq!(&groups.key(second)[..], b"another key of more than sixteen bytes");
    }
}
