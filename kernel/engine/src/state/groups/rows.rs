//! The groups of an aggregation in memory. All that is kept of a group lies in one row of words: what it is, its key, its
//! values. So however many groups there are, a row of the stream touches two or three cache lines; and growing moves nothing.
//! Only the query's thread writes words; another one may read those of a snapshot.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use polars::prelude::{PolarsResult, polars_ensure};
use smallvec::SmallVec;

use super::before::BeforeImages;
use super::index::GroupIndex;
use super::memory::zeros;
use super::words::{Flag, Layout, Packed};
use crate::state::cow_vec::CowVec;

/// A group's key.
pub(crate) type KeyBytes = SmallVec<[u8; SHORT]>;

/// The groups, by slot.
pub(crate) struct Groups {
    /// Words in a row.
    stride: usize,
    /// Rows; each chunk has twice as many as the one before.
    chunks: Vec<Arc<Vec<AtomicU64>>>,
    slots: u32,
    free: Vec<u32>,
    /// Keys that have no room in the row.
    long: CowVec<Box<[u8]>>,
    free_long: Vec<usize>,
    /// Rows that were changed since the last snapshot have its number, which begins again at one.
    generation: u64,
    /// What the snapshots need that are not made into tables yet.
    snapshots: Vec<Arc<BeforeImages>>,
}

/// The groups as they were at one moment.
pub(crate) struct FrozenGroups {
    chunks: Vec<Arc<Vec<AtomicU64>>>,
    before: Arc<BeforeImages>,
    /// Some of them, in rows from the first on.
    some: Groups,
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
/// No value has more words.
const MOST_WORDS: usize = 4;
/// The group is one of those that the batch has touched.
pub(crate) const TOUCHED: Flag = Flag { word: HEAD, bit: 8 };
/// The bits of the first word with the number of the snapshot after which the group changed last.
const GENERATION: std::ops::Range<u32> = 10..26;
/// The largest such number.
const LAST_GENERATION: u64 = (1 << (GENERATION.end - GENERATION.start)) - 1;
/// The bits of the first word that the group's values may have.
pub(super) const FREE_BITS: std::ops::Range<u32> = GENERATION.end..64;

/// A key, ready to be compared.
pub(crate) struct GroupKey<'a> {
    bytes: &'a [u8],
    length: u64,
    words: [u64; 2],
}

impl<'a> GroupKey<'a> {
    pub(crate) fn new(bytes: &'a [u8]) -> GroupKey<'a> {
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
    pub(crate) fn new(layout: &Layout) -> Groups {
        Groups::of(layout.words())
    }

    /// None yet, whose rows have so many words.
    fn of(stride: usize) -> Groups {
        Groups {
            stride,
            chunks: Vec::new(),
            slots: 0,
            free: Vec::new(),
            long: CowVec::default(),
            free_long: Vec::new(),
            generation: 1,
            snapshots: Vec::new(),
        }
    }

    /// A slot whose row has no group yet.
    fn new_slot(&mut self) -> u32 {
        let (chunk, _) = place(self.slots);
        if chunk == self.chunks.len() {
            self.chunks.push(Arc::new(zeros((FIRST << chunk) * self.stride)));
        }
        self.slots += 1;
        self.slots - 1
    }

    /// The groups as they are now, to be read on whichever thread. Nothing is copied yet.
    pub(crate) fn frozen(&mut self) -> FrozenGroups {
        let before = Arc::new(BeforeImages::new(self.slots(), self.stride));
        self.snapshots.push(Arc::clone(&before));
        let some = Groups { long: self.long.clone(), ..Groups::of(self.stride) };
        FrozenGroups { chunks: self.chunks.clone(), before, some }
    }

    /// Forgets the snapshots that were made into tables.
    pub(crate) fn forget_snapshots(&mut self) {
        self.snapshots.retain(|before| Arc::strong_count(before) > 1);
    }

    /// Says that a group has changed; gives whether that is known since the last snapshot.
    pub(crate) fn change(&mut self, slot: u32) -> bool {
        let generation = self.generation;
        let head = &self.row_mut(slot)[HEAD];
        let word = head.load(Ordering::Relaxed);
        let without = word & !(LAST_GENERATION << GENERATION.start);
        head.store(without | generation << GENERATION.start, Ordering::Relaxed);
        word >> GENERATION.start & LAST_GENERATION == generation
    }

    /// Says that no group has changed.
    pub(crate) fn none_changed(&mut self) {
        if self.generation < LAST_GENERATION {
            self.generation += 1;
            return;
        }
        for slot in 0..self.slots {
            let head = &self.row_mut(slot)[HEAD];
            let word = head.load(Ordering::Relaxed);
            head.store(word & !(LAST_GENERATION << GENERATION.start), Ordering::Relaxed);
        }
        self.generation = 1;
    }

    /// Slots that there are, whether they have a group or not.
    pub(crate) fn slots(&self) -> usize {
        self.slots as usize
    }

    /// Makes sure that so many groups can come.
    pub(crate) fn expect(&self, more: usize) -> PolarsResult<()> {
        polars_ensure!(
            self.slots() + more < u32::MAX as usize,
            ComputeError: "an aggregation has more than {} groups. Aggregate by fewer keys, or over windows with a watermark", u32::MAX
        );
        Ok(())
    }

    /// The slot of the group with a key, by the index that has it; and whether there was none, and it was made with this identity.
    #[inline]
    pub(crate) fn find_or_add(
        &mut self,
        index: &mut GroupIndex,
        key: &GroupKey<'_>,
        hash: u32,
        id: u64,
    ) -> (u32, bool) {
        if let Some(slot) = index.find(hash, |slot| self.is(slot, key)) {
            return (slot, false);
        }
        let slot = self.add(id, key);
        index.insert(hash, slot);
        (slot, true)
    }

    /// A slot for a new group, whose values are as nothing has been taken in.
    pub(crate) fn add(&mut self, id: u64, key: &GroupKey<'_>) -> u32 {
        let slot = self.free.pop().unwrap_or_else(|| self.new_slot());
        let mut words = key.words;
        if key.length == LONG {
            let at = self.free_long.pop().unwrap_or(self.long.len());
            if at < self.long.len() {
                *self.long.get_mut(at) = key.bytes.into();
            } else {
                self.long.push(key.bytes.into());
            }
            words[0] = at as u64;
        }
        let row = self.row_mut(slot);
        store(row, HEAD, &[key.length, id, words[0], words[1]]);
        slot
    }

    /// Gives a slot back.
    pub(crate) fn remove(&mut self, slot: u32) {
        if self.word(slot, HEAD) & LENGTH == LONG {
            let at = self.word(slot, KEY) as usize;
            *self.long.get_mut(at) = Box::default();
            self.free_long.push(at);
        }
        self.row_mut(slot).iter().for_each(|word| word.store(0, Ordering::Relaxed));
        self.free.push(slot);
    }

    /// Whether a slot's group has this key.
    pub(crate) fn is(&self, slot: u32, key: &GroupKey<'_>) -> bool {
        let [length, _, first, second] = load(self.row(slot), HEAD);
        length & LENGTH == key.length
            && if key.length == LONG {
                **self.long.get(first as usize) == *key.bytes
            } else {
                [first, second] == key.words
            }
    }

    /// Has a slot's row in the cache soon. What it gives is to be used in some way, or else it does nothing.
    pub(crate) fn touch(&self, slot: u32) -> u64 {
        self.word(slot, HEAD) ^ self.word(slot, self.stride - 1)
    }

    pub(crate) fn id(&self, slot: u32) -> u64 {
        self.word(slot, ID)
    }

    /// Says that a group is as old as another, if that is older.
    pub(crate) fn as_old_as(&mut self, slot: u32, id: u64) {
        let id = self.id(slot).min(id);
        self.row_mut(slot)[ID].store(id, Ordering::Relaxed);
    }

    pub(crate) fn key(&self, slot: u32) -> KeyBytes {
        let [head, _, first, second] = load(self.row(slot), HEAD);
        match head & LENGTH {
            LONG => KeyBytes::from_slice(self.long.get(first as usize)),
            length => {
                let number = u128::from(first) | u128::from(second) << 64;
                KeyBytes::from_slice(&number.to_le_bytes()[..length as usize])
            }
        }
    }

    /// The value that begins at a word.
    #[inline]
    pub(crate) fn get<T: Packed>(&self, slot: u32, at: usize) -> T {
        unpacked(self.row(slot), at)
    }

    /// Replaces the value that begins at a word.
    #[inline]
    pub(crate) fn set<T: Packed>(&mut self, slot: u32, at: usize, value: T) {
        pack(self.row_mut(slot), at, value);
    }

    /// Changes the value that begins at a word.
    #[inline]
    pub(crate) fn update<T: Packed>(&mut self, slot: u32, at: usize, change: impl FnOnce(&mut T)) {
        let row = self.row_mut(slot);
        let mut value = unpacked(row, at);
        change(&mut value);
        pack(row, at, value);
    }

    /// The value that begins at a word, if its flag says that there is one.
    pub(crate) fn find<T: Packed>(&self, slot: u32, at: usize, flag: Flag) -> Option<T> {
        let row = self.row(slot);
        flag.is_set(row).then(|| unpacked(row, at))
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
        if !flag.is_set(row) || better(new, unpacked(row, at)) {
            flag.set(row);
            pack(row, at, new);
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
    pub(crate) fn unmark(&mut self, slot: u32, flag: Flag) {
        flag.clear(self.row_mut(slot));
    }

    #[inline]
    fn row(&self, slot: u32) -> &[AtomicU64] {
        row_of(&self.chunks, self.stride, slot)
    }

    #[inline]
    fn word(&self, slot: u32, at: usize) -> u64 {
        self.row(slot)[at].load(Ordering::Relaxed)
    }

    /// A row that is going to be changed.
    #[inline]
    fn row_mut(&mut self, slot: u32) -> &[AtomicU64] {
        let row = row_of(&self.chunks, self.stride, slot);
        for before in &self.snapshots {
            before.put_aside(slot, row);
        }
        row
    }
}

impl FrozenGroups {
    /// Some groups, the first in slot 0. A slot is asked for once.
    pub(crate) fn read(&mut self, slots: &[u32]) -> &Groups {
        while self.some.slots() < slots.len() {
            self.some.new_slot();
        }
        let mut words = vec![0; self.some.stride];
        for (slot, to) in slots.iter().zip(0..) {
            self.before.read(*slot, row_of(&self.chunks, self.some.stride, *slot), &mut words);
            store(self.some.row_mut(to), HEAD, &words);
        }
        &self.some
    }
}

#[inline]
fn row_of(chunks: &[Arc<Vec<AtomicU64>>], stride: usize, slot: u32) -> &[AtomicU64] {
    let (chunk, at) = place(slot);
    &chunks[chunk][at * stride..][..stride]
}

#[inline]
fn load<const N: usize>(row: &[AtomicU64], at: usize) -> [u64; N] {
    let words = &row[at..at + N];
    std::array::from_fn(|word| words[word].load(Ordering::Relaxed))
}

#[inline]
fn store(row: &[AtomicU64], at: usize, words: &[u64]) {
    row[at..at + words.len()].iter().zip(words).for_each(|(to, word)| to.store(*word, Ordering::Relaxed));
}

#[inline]
fn unpacked<T: Packed>(row: &[AtomicU64], at: usize) -> T {
    let mut words = [0; MOST_WORDS];
    let all = &row[at..at + T::WORDS];
    words.iter_mut().zip(all).for_each(|(to, word)| *to = word.load(Ordering::Relaxed));
    T::unpacked(&words[..T::WORDS])
}

#[inline]
fn pack<T: Packed>(row: &[AtomicU64], at: usize, value: T) {
    let mut words = [0; MOST_WORDS];
    value.pack(&mut words[..T::WORDS]);
    store(row, at, &words[..T::WORDS]);
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
    fn a_snapshot_has_the_groups_as_they_were() {
        let mut layout = Layout::new();
        let at = layout.place(1);
        let mut groups = Groups::new(&layout);
        let name = |n: u64| format!("key{}", "-of-more-than-sixteen-bytes".repeat((n % 2) as usize) + &n.to_string());
        (0..3_000u64).for_each(|n| {
            let slot = groups.add(n, &GroupKey::new(name(n).as_bytes()));
            groups.set(slot, at, n * n);
        });
        let mut frozen = groups.frozen();
        (0..3_000u32).step_by(7).for_each(|slot| groups.remove(slot));
        (0..3_000u32).step_by(5).for_each(|slot| groups.set(slot, at, 1u64));
        for n in 0..900u64 {
            groups.add(n, &GroupKey::new(b"another key of more than sixteen bytes"));
        }
        for first in [0, 1_000, 2_000] {
            let slots: Vec<u32> = (first..first + 1_000).rev().collect();
            let some = frozen.read(&slots);
            for (slot, to) in slots.iter().zip(0..) {
                let n = u64::from(*slot);
                assert_eq!((some.id(to), some.get::<u64>(to, at)), (n, n * n));
                assert_eq!(&some.key(to)[..], name(n).as_bytes());
            }
        }
        drop(frozen);
        groups.forget_snapshots();
        assert!(groups.snapshots.is_empty());
    }

    #[test]
    fn a_group_has_changed_once_between_two_snapshots() {
        let mut groups = Groups::new(&Layout::new());
        let slots = [groups.add(0, &GroupKey::new(b"a")), groups.add(1, &GroupKey::new(b"b"))];
        // So many that the numbers begin again.
        for _ in 0..2 * LAST_GENERATION {
            assert!(!groups.change(slots[0]) && groups.change(slots[0]));
            groups.none_changed();
        }
        assert!(!groups.change(slots[1]) && groups.change(slots[1]));
        assert_eq!(&groups.key(slots[1])[..], b"b");
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
