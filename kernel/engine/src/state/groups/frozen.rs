//! The groups as they were at one moment, made into a frame. It may take its time, on whichever thread.

use polars::prelude::*;

use super::rows::{FrozenGroups, Groups, KeyBytes};
use crate::operator::columns::{COUNT, END, ROW, START};
use crate::state::accumulator::Cells;
use crate::state::collected::Collections;

/// The table.
pub(super) struct FrozenTable {
    pub(super) groups: FrozenGroups,
    pub(super) cells: Vec<Cells>,
    pub(super) collections: Collections,
    pub(super) counted: Option<usize>,
    pub(super) keys_name: PlSmallStr,
}

/// The groups that a frame is to have.
pub(super) struct Lines {
    /// The start and end of each window, and how many of the slots are of it.
    pub(super) windows: Vec<(i64, i64, usize)>,
    pub(super) slots: Vec<u32>,
}

/// Groups that are copied together.
const TOGETHER: usize = 1 << 16;

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

    /// A time of each slot's window.
    fn times(&self, time: impl Fn(&(i64, i64, usize)) -> i64) -> Vec<i64> {
        self.windows.iter().flat_map(|window| std::iter::repeat_n(time(window), window.2)).collect()
    }
}

impl FrozenTable {
    /// The groups as a frame.
    pub(super) fn rows(mut self, mut lines: Lines) -> PolarsResult<DataFrame> {
        lines.sort();
        let (starts, ends) = (lines.times(|window| window.0), lines.times(|window| window.1));
        let mut all = self.some(&[], [&[], &[]])?;
        let times = starts.chunks(TOGETHER).zip(ends.chunks(TOGETHER));
        for (slots, (starts, ends)) in lines.slots.chunks(TOGETHER).zip(times) {
            all.vstack_mut_owned(self.some(slots, [starts, ends])?)?;
        }
        Ok(all)
    }

    fn some(&mut self, slots: &[u32], [starts, ends]: [&[i64]; 2]) -> PolarsResult<DataFrame> {
        let groups = self.groups.read(slots);
        // Each group as it is numbered among these.
        let numbers: Vec<u32> = (0..slots.len() as u32).collect();
        let keys: Vec<KeyBytes> = numbers.iter().map(|number| groups.key(*number)).collect();
        let mut columns: Vec<Column> = vec![
            Series::new(START.into(), starts).into(),
            Series::new(END.into(), ends).into(),
            Series::new(self.keys_name.clone(), keys.iter().map(|key| key.as_ref()).collect::<Vec<&[u8]>>()).into(),
            Series::new(ROW.into(), each(groups, &numbers, Groups::id)).into(),
        ];
        for (number, cells) in self.cells.iter().enumerate() {
            columns.extend(cells.save(groups, &numbers, slots, &format!("cells {number}")));
        }
        if let Some(at) = self.counted {
            columns.push(Series::new(COUNT.into(), each(groups, &numbers, |groups, slot| groups.get(slot, at))).into());
        }
        columns.extend(self.collections.save(slots));
        DataFrame::new(slots.len(), columns)
    }
}

fn each(groups: &Groups, numbers: &[u32], value: impl Fn(&Groups, u32) -> u64) -> Vec<u64> {
    numbers.iter().map(|number| value(groups, *number)).collect()
}
