//! The table of the groups of an aggregation, each with its window, its key, and values of a fixed size or collections beside them.
//! A snapshot of it copies nothing at first: see [`before`].

use std::collections::BTreeMap;

use polars::prelude::*;

use super::accumulator::Cells;
use super::collected::Collections;
use super::{PendingTable, StateTable, numbered};
use crate::operator::columns::{COUNT, END, ROW, START, integers, kept_keys};
use crate::physical::Accumulator;
use frozen::{FrozenTable, Lines};
use index::GroupIndex;
use rows::{GroupKey, Groups};
use words::Layout;

/// Rows as they were when a snapshot was taken.
mod before;
/// The table as it was at one moment.
mod frozen;
/// Where the group of a key is.
pub(crate) mod index;
/// Large stretches of memory.
mod memory;
/// The groups in rows of words.
pub(crate) mod rows;
/// How values lie in such a row.
pub(crate) mod words;

/// The groups of an aggregation.
pub(crate) struct GroupTable {
    pub(crate) groups: Groups,
    pub(crate) cells: Vec<Cells>,
    pub(crate) collections: Collections,
    /// By start; without windows there is one.
    pub(crate) windows: BTreeMap<i64, WindowGroups>,
    /// The word of a group that counts its rows, where they can be taken back.
    pub(crate) counted: Option<usize>,
    hasher: PlRandomState,
    /// What the keys' column is called.
    keys_name: PlSmallStr,
    /// The identity of the next group.
    pub(crate) next_id: u64,
    /// Whether it is noted which groups change: once the table was written.
    noted: bool,
    /// The identities of groups that have gone since then, beside those whose windows ended.
    gone: Vec<u64>,
    /// Groups from this identity on were not written.
    unwritten: u64,
}

/// The groups of a window.
pub(crate) struct WindowGroups {
    /// Without windows it never ends.
    pub(crate) end: i64,
    pub(crate) index: GroupIndex,
    /// The groups that changed since the table was written.
    pub(crate) changed: Vec<u32>,
}

impl WindowGroups {
    pub(crate) fn new(end: i64) -> WindowGroups {
        WindowGroups { end, index: GroupIndex::default(), changed: Vec::new() }
    }
}

/// Takes out the first window, where it has ended.
pub(crate) fn take_ended(open: &mut BTreeMap<i64, WindowGroups>, watermark: i64) -> Option<(i64, WindowGroups)> {
    open.first_entry().filter(|window| window.get().end <= watermark).map(|window| window.remove_entry())
}

impl GroupTable {
    /// Without groups. `retracts` says whether rows can be taken back; the keys' column is to be called `keys_name`.
    pub(crate) fn new(accumulators: &[Accumulator], retracts: bool, keys_name: PlSmallStr) -> GroupTable {
        let mut layout = Layout::new();
        let fixed = accumulators.iter().filter(|spec| !spec.collects(retracts));
        let cells: Vec<Cells> = fixed.map(|spec| Cells::new(spec.clone(), &mut layout, retracts)).collect();
        let counted = retracts.then(|| layout.place(1));
        GroupTable {
            groups: Groups::new(&layout),
            cells,
            collections: Collections::new(accumulators, retracts),
            windows: BTreeMap::new(),
            counted,
            hasher: PlRandomState::default(),
            keys_name,
            next_id: 0,
            noted: false,
            gone: Vec::new(),
            unwritten: 0,
        }
    }

    pub(crate) fn hash(&self, key: &[u8]) -> u32 {
        index::hash_of_key(&self.hasher, key)
    }

    /// The slot of the group with a key in a window; a new group where there is none.
    #[inline]
    pub(crate) fn find_or_add(&mut self, key: &GroupKey<'_>, hash: u32, window: &mut WindowGroups) -> u32 {
        let (slot, is_new) = self.groups.find_or_add(&mut window.index, key, hash, self.next_id);
        self.next_id += u64::from(is_new);
        slot
    }

    /// The same in the window that begins and ends so, of which the group is going to be another one.
    pub(crate) fn find_or_add_in(&mut self, start: i64, end: i64, key: &GroupKey<'_>, hash: u32) -> u32 {
        let window = self.windows.entry(start).or_insert_with(|| WindowGroups::new(end));
        let (slot, is_new) = self.groups.find_or_add(&mut window.index, key, hash, self.next_id);
        self.next_id += u64::from(is_new);
        if self.noted && !self.groups.change(slot) {
            window.changed.push(slot);
        }
        slot
    }

    /// Notes that a group of a window is going to be another one.
    #[inline]
    pub(crate) fn change(&mut self, slot: u32, window: &mut WindowGroups) {
        if self.noted && !self.groups.change(slot) {
            window.changed.push(slot);
        }
    }

    /// Begins a batch.
    pub(crate) fn begin(&mut self) {
        self.groups.forget_snapshots();
    }

    /// Where the first window ends, if it does.
    pub(crate) fn next_end(&self) -> Option<i64> {
        self.windows.values().next().map(|window| window.end).filter(|end| *end < i64::MAX)
    }

    /// Makes room for the values of all groups.
    pub(crate) fn grow(&mut self) {
        self.cells.iter_mut().for_each(|cells| cells.grow(self.groups.slots()));
        self.collections.grow(self.groups.slots());
    }

    /// Takes what each first slot has into the second.
    pub(crate) fn combine(&mut self, pairs: &[(u32, u32)]) {
        self.cells.iter_mut().for_each(|cells| {
            cells.grow(self.groups.slots());
            cells.combine(&mut self.groups, pairs);
        });
    }

    /// Gives slots back.
    pub(crate) fn forget(&mut self, slots: impl Iterator<Item = u32>) {
        for slot in slots {
            self.cells.iter_mut().for_each(|cells| cells.clear(slot));
            self.collections.clear(slot);
            self.groups.remove(slot);
        }
    }

    /// Forgets groups, each in its window; gives their identities.
    pub(crate) fn delete(&mut self, groups: Vec<(i64, u32)>) -> Vec<u64> {
        let ids: Vec<u64> = groups.iter().map(|(_, slot)| self.groups.id(*slot)).collect();
        let (mut windows, mut slots) = (PlHashSet::<i64>::default(), PlHashSet::<u32>::default());
        for (start, slot) in groups.iter().copied() {
            let hash = self.hash(&self.groups.key(slot));
            let Some(window) = self.windows.get_mut(&start) else { continue };
            window.index.remove(hash, slot);
            windows.insert(start);
            slots.insert(slot);
        }
        for start in windows {
            let Some(window) = self.windows.get_mut(&start) else { continue };
            if window.index.is_empty() {
                self.windows.remove(&start);
            } else {
                // A slot may have another group soon.
                window.changed.retain(|slot| !slots.contains(slot));
            }
        }
        if self.noted {
            self.gone.extend(ids.iter().filter(|id| **id < self.unwritten));
        }
        self.forget(groups.into_iter().map(|(_, slot)| slot));
        ids
    }

    /// All groups of the windows, or those that changed.
    fn lines(&self, all: bool) -> Lines {
        let (mut windows, mut slots) = (Vec::with_capacity(self.windows.len()), Vec::new());
        for (start, window) in &self.windows {
            let before = slots.len();
            if all {
                slots.extend(window.index.slots())
            } else {
                slots.extend(&window.changed)
            }
            windows.push((*start, window.end, slots.len() - before));
        }
        Lines { windows, slots }
    }

    /// All that is there is in a written state.
    fn all_written(&mut self) {
        self.noted = true;
        self.gone.clear();
        self.unwritten = self.next_id;
        self.windows.values_mut().for_each(|window| window.changed = Vec::new());
        self.groups.none_changed();
    }

    fn put(&mut self, saved: &DataFrame) -> PolarsResult<()> {
        self.groups.expect(saved.height())?;
        let (starts, ends) = (integers(saved, START)?, integers(saved, END)?);
        let (keys, ids) = (kept_keys(saved, &self.keys_name)?, saved.column(ROW)?.u64()?);
        let mut slots = Vec::with_capacity(saved.height());
        for (((start, end), key), id) in starts.iter().zip(ends.iter()).zip(keys.iter()).zip(ids.iter()) {
            let bytes = key.unwrap_or_default();
            let slot = self.groups.add(id.unwrap_or_default(), &GroupKey::new(bytes));
            let hash = self.hash(bytes);
            let window = self.windows.entry(start.unwrap_or_default());
            window.or_insert_with(|| WindowGroups::new(end.unwrap_or_default())).index.insert(hash, slot);
            slots.push(slot);
        }
        for (number, cells) in self.cells.iter_mut().enumerate() {
            cells.grow(self.groups.slots());
            cells.restore(&mut self.groups, &slots, saved, &format!("cells {number}"))?;
        }
        if let Some(at) = self.counted {
            let rows = saved.column(COUNT)?.u64()?.iter().map(Option::unwrap_or_default);
            slots.iter().zip(rows).for_each(|(slot, rows)| self.groups.set(*slot, at, rows));
        }
        self.collections.grow(self.groups.slots());
        self.collections.restore(&slots, saved)
    }
}

impl StateTable for GroupTable {
    fn number(&mut self) -> Option<&mut u64> {
        Some(&mut self.next_id)
    }

    fn freeze(&mut self, all: bool) -> PolarsResult<PendingTable> {
        let (lines, gone) = (self.lines(all), std::mem::take(&mut self.gone));
        let frozen = FrozenTable {
            groups: self.groups.frozen(),
            cells: self.cells.clone(),
            collections: self.collections.frozen(),
            counted: self.counted,
            keys_name: self.keys_name.clone(),
        };
        self.all_written();
        Ok(Box::new(move || {
            let rows = frozen.rows(lines)?;
            if all { Ok(rows) } else { numbered::changes(rows, gone) }
        }))
    }

    fn restore(&mut self, saved: DataFrame, changes: Vec<DataFrame>) -> PolarsResult<()> {
        self.put(&numbered::changed(saved, changes)?)?;
        self.all_written();
        Ok(())
    }
}
