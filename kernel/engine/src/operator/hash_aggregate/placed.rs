//! The windows that the rows of a batch lie in. Ends are worked out once a window, not once a row.

use polars::prelude::*;

use crate::operator::columns::{END, START, integers};
use crate::operator::panes::PaneGrid;
use crate::operator::windows::Windows;

/// The windows of rows.
pub(super) struct Placed {
    /// Start and end of each window that occurs.
    pub(super) windows: Vec<(i64, i64)>,
    /// The number of each row's window among them.
    pub(super) of: Vec<u32>,
    /// Rows that were left out because their window has been closed.
    pub(super) late: usize,
    /// Rows that were left out because they have no time.
    pub(super) timeless: usize,
}

impl Placed {
    /// Rows that are all in one window, which never ends.
    pub(super) fn together(rows: usize) -> Placed {
        Placed { windows: vec![(0, i64::MAX)], of: vec![0; rows], late: 0, timeless: 0 }
    }

    /// Places rows by their column [`START`]. Takes those out that have no window, or one that ends at or before `watermark`.
    pub(super) fn new(windows: &Windows, rows: &mut DataFrame, watermark: Option<i64>) -> PolarsResult<Placed> {
        let (starts, of, firsts) = numbered(&integers(rows, START)?);
        let of_each =
            DataFrame::new(firsts.len(), vec![rows.column(START)?.take(&IdxCa::from_vec(START.into(), firsts))?])?;
        let ends = integers(&windows.with_ends(of_each)?, END)?;
        let ends: Vec<i64> = ends.iter().map(Option::unwrap_or_default).collect();
        let mut placed = Placed { windows: starts.into_iter().zip(ends).collect(), of, late: 0, timeless: 0 };
        placed.take_out(rows, watermark)?;
        Ok(placed)
    }

    /// Places rows by their column [`START`] in panes, each of which ends with the last window that has it. Takes those out that
    /// have no pane, or one that ends at or before `watermark`; a row is late once for each window of its pane that has ended.
    pub(super) fn in_panes(grid: &PaneGrid, rows: &mut DataFrame, watermark: Option<i64>) -> PolarsResult<Placed> {
        let (starts, of, _) = numbered(&integers(rows, START)?);
        let ended = |start: &i64| watermark.map_or(0, |watermark| grid.ended(*start, watermark));
        let ended: Vec<usize> = starts.iter().map(ended).collect();
        let late = of.iter().map(|number| ended.get(*number as usize).copied().unwrap_or(0)).sum();
        let windows = starts.into_iter().map(|start| (start, grid.end(grid.newest(start)))).collect();
        let mut placed = Placed { windows, of, late: 0, timeless: 0 };
        placed.take_out(rows, watermark)?;
        Ok(Placed { late, ..placed })
    }

    /// The start of a row's window.
    pub(super) fn start(&self, row: usize) -> i64 {
        self.windows[self.of[row] as usize].0
    }

    fn take_out(&mut self, rows: &mut DataFrame, watermark: Option<i64>) -> PolarsResult<()> {
        let is_late: Vec<bool> = self.windows.iter().map(|(_, end)| watermark.is_some_and(|at| *end <= at)).collect();
        if !is_late.contains(&true) && !self.of.contains(&NOWHERE) {
            return Ok(());
        }
        let stays = |number: &u32| *number != NOWHERE && !is_late[*number as usize];
        self.timeless = self.of.iter().filter(|number| **number == NOWHERE).count();
        let keep: Vec<bool> = self.of.iter().map(stays).collect();
        let all = self.of.len();
        self.of.retain(stays);
        self.late = all - self.of.len() - self.timeless;
        *rows = rows.filter(&BooleanChunked::from_slice(PlSmallStr::EMPTY, &keep))?;
        Ok(())
    }
}

/// The number of a row that has no time.
const NOWHERE: u32 = u32::MAX;

/// The starts that occur, the number of each row's, and the row in which each comes first.
fn numbered(starts: &Int64Chunked) -> (Vec<i64>, Vec<u32>, Vec<IdxSize>) {
    let (mut all, mut of, mut firsts) = (Vec::new(), Vec::with_capacity(starts.len()), Vec::new());
    let mut numbers: PlHashMap<i64, u32> = PlHashMap::default();
    // Rows come nearly in the order of time.
    let mut last = None;
    for (row, start) in starts.iter().enumerate() {
        let Some(start) = start else {
            of.push(NOWHERE);
            continue;
        };
        let number = match last {
            Some((known, number)) if known == start => number,
            _ => *numbers.entry(start).or_insert_with(|| {
                all.push(start);
                firsts.push(row as IdxSize);
                (all.len() - 1) as u32
            }),
        };
        last = Some((start, number));
        of.push(number);
    }
    (all, of, firsts)
}
