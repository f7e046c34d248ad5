//! Groups as a table and back.

use polars::prelude::*;

use super::groups::{GroupKey, Groups, KeyBytes};
use super::{Merged, WindowGroups, hash};
use crate::operator::accumulator::Cells;
use crate::operator::columns::{COUNT, END, GROUP, START, integers, kept_as, kept_keys};

/// A table that is still to be made.
type LaterTable = Box<dyn FnOnce() -> PolarsResult<DataFrame> + Send>;

/// The groups that a table is to have.
struct Lines {
    /// The start and end of each window, and how many of the slots are of it.
    windows: Vec<(i64, i64, usize)>,
    slots: Vec<u32>,
}

impl Lines {
    /// Has the slots of each window in the order in which they lie in memory.
    fn sort(&mut self) {
        let mut rest = self.slots.as_mut_slice();
        for (_, _, count) in &self.windows {
            let (slots, more) = std::mem::take(&mut rest).split_at_mut(*count);
            slots.sort_unstable();
            rest = more;
        }
    }
}

impl Merged {
    /// What the keys' column is called.
    fn keys_name(&self) -> PlSmallStr {
        kept_as(self.schema.iter_values().take(self.plan.keys.len()))
    }

    /// Groups of each window, to be saved.
    pub(super) fn table(&self, of: impl Fn(&WindowGroups) -> Vec<u32>) -> PolarsResult<DataFrame> {
        let mut lines = self.lines(of);
        lines.sort();
        let collected = self.collections.save(&lines.slots);
        table(&self.groups, &self.cells, self.counted_rows(), collected, self.keys_name(), &lines)
    }

    /// As [`Merged::table`], of a copy of the groups, at any time. What is collected is written at once, for it has no copy.
    pub(super) fn later_table(&self, of: impl Fn(&WindowGroups) -> Vec<u32>) -> LaterTable {
        let mut lines = self.lines(of);
        let collected = self.collections.save(&lines.slots);
        let (groups, cells, keys_name) = (self.groups.copied(), self.cells.clone(), self.keys_name());
        let counted = self.counted_rows();
        Box::new(move || {
            // What is collected has been written in the order that there was.
            if collected.is_empty() {
                lines.sort();
            }
            table(&groups, &cells, counted, collected, keys_name, &lines)
        })
    }

    /// The word of a group that counts its rows, where they can go.
    fn counted_rows(&self) -> Option<usize> {
        self.retraction.as_ref().map(|retraction| retraction.rows)
    }

    fn lines(&self, of: impl Fn(&WindowGroups) -> Vec<u32>) -> Lines {
        let (mut windows, mut slots) = (Vec::with_capacity(self.windows.len()), Vec::new());
        for (start, window) in &self.windows {
            let mut of_window = of(window);
            windows.push((*start, window.end, of_window.len()));
            slots.append(&mut of_window);
        }
        Lines { windows, slots }
    }

    /// Puts saved groups in; those that are there already are replaced.
    pub(super) fn put(&mut self, saved: &DataFrame) -> PolarsResult<()> {
        self.groups.expect(saved.height())?;
        let (starts, ends) = (integers(saved, START)?, integers(saved, END)?);
        let (keys, ids) = (kept_keys(saved, &self.keys_name())?, saved.column(GROUP)?.u64()?);
        let mut slots = Vec::with_capacity(saved.height());
        for (((start, end), key), id) in starts.iter().zip(ends.iter()).zip(keys.iter()).zip(ids.iter()) {
            let (bytes, id) = (key.unwrap_or_default(), id.unwrap_or_default());
            let (key, hash) = (GroupKey::new(bytes), hash(&self.hasher, bytes));
            let window = self.windows.entry(start.unwrap_or_default());
            let window = window.or_insert_with(|| WindowGroups::new(end.unwrap_or_default()));
            let slot = match window.index.find(hash, |slot| self.groups.is(slot, &key)) {
                Some(slot) => {
                    self.groups.renew(slot, id);
                    self.cells.iter_mut().for_each(|cells| cells.clear(slot));
                    slot
                }
                None => {
                    let slot = self.groups.add(id, &key);
                    window.index.insert(hash, slot);
                    slot
                }
            };
            slots.push(slot);
        }
        for (number, cells) in self.cells.iter_mut().enumerate() {
            cells.grow(self.groups.slots());
            cells.restore(&mut self.groups, &slots, saved, &format!("cells {number}"))?;
        }
        if let Some(at) = self.counted_rows() {
            let rows = saved.column(COUNT)?.u64()?.iter().map(Option::unwrap_or_default);
            slots.iter().zip(rows).for_each(|(slot, rows)| self.groups.set(*slot, at, rows));
        }
        self.collections.grow(self.groups.slots());
        self.collections.restore(&slots, saved)
    }
}

fn table(
    groups: &Groups,
    cells: &[Cells],
    counted: Option<usize>,
    collected: Vec<Column>,
    keys_name: PlSmallStr,
    lines: &Lines,
) -> PolarsResult<DataFrame> {
    let Lines { windows, slots } = lines;
    let each = |time: fn(&(i64, i64, usize)) -> i64| {
        windows.iter().flat_map(|window| std::iter::repeat_n(time(window), window.2)).collect::<Vec<i64>>()
    };
    let (starts, ends) = (each(|window| window.0), each(|window| window.1));
    let keys: Vec<KeyBytes> = slots.iter().map(|slot| groups.key(*slot)).collect();
    let mut columns: Vec<Column> = vec![
        Series::new(START.into(), starts).into(),
        Series::new(END.into(), ends).into(),
        Series::new(keys_name, keys.iter().map(|key| key.as_ref()).collect::<Vec<&[u8]>>()).into(),
        Series::new(GROUP.into(), slots.iter().map(|slot| groups.id(*slot)).collect::<Vec<_>>()).into(),
    ];
    for (number, cells) in cells.iter().enumerate() {
        columns.extend(cells.save(groups, slots, &format!("cells {number}")));
    }
    if let Some(at) = counted {
        let rows: Vec<u64> = slots.iter().map(|slot| groups.get(*slot, at)).collect();
        columns.push(Series::new(COUNT.into(), rows).into());
    }
    columns.extend(collected);
    DataFrame::new(slots.len(), columns)
}
