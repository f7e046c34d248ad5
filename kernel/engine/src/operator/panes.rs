//! The panes of windows that overlap: time cut so that a window is a run of whole panes, each as long as what the windows' length
//! and step have in common (J. Li et al., "No pane, no gain", SIGMOD Record 34, 2005). All rows of a pane are in the same windows.

use polars::prelude::*;

use super::columns::{START, integers};

/// Windows of one length and step, and their panes, in steps of the column's unit.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct PaneGrid {
    /// The start of some window.
    pub(super) first: i64,
    /// From one start to the next.
    pub(super) every: i64,
    /// From a window's start to its end.
    pub(super) period: i64,
    /// One where a window holds its end and not its start: then a time is in the pane of the step before it.
    pub(super) shift: i64,
}

impl PaneGrid {
    /// The length of a pane.
    pub(super) fn length(&self) -> i64 {
        let (mut a, mut b) = (self.every, self.period);
        while b != 0 {
            (a, b) = (b, a % b);
        }
        a
    }

    /// Puts the start of its pane beside each row; rows without a time have none.
    pub(super) fn assigned(&self, mut rows: DataFrame, time: &PlSmallStr) -> PolarsResult<DataFrame> {
        let length = self.length();
        let panes = integers(&rows, time)?.apply_values(|time| self.floor(time - self.shift, length));
        rows.with_column(Column::from(panes.with_name(START.into()).into_series()))?;
        Ok(rows)
    }

    /// The first time after a window.
    pub(super) fn end(&self, start: i64) -> i64 {
        start + self.period + self.shift
    }

    /// The start of the newest window that has a pane.
    pub(super) fn newest(&self, pane: i64) -> i64 {
        self.floor(pane, self.every)
    }

    /// The start of the oldest one.
    pub(super) fn oldest(&self, pane: i64) -> i64 {
        self.floor(pane - self.period + self.length() + self.every - 1, self.every)
    }

    /// The start of the first window that has not ended at a watermark.
    pub(super) fn first_open(&self, watermark: i64) -> i64 {
        self.floor(watermark - self.period - self.shift, self.every) + self.every
    }

    /// How many of the windows that have a pane have ended at a watermark.
    pub(super) fn ended(&self, pane: i64, watermark: i64) -> usize {
        let (oldest, open) = (self.oldest(pane), self.first_open(watermark).min(self.newest(pane) + self.every));
        usize::try_from((open - oldest) / self.every).unwrap_or(0)
    }

    /// The last start of a stretch of this length at or before a time.
    pub(super) fn floor(&self, time: i64, length: i64) -> i64 {
        time - (time - self.first).rem_euclid(length)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_windows_of_a_pane_are_those_that_hold_all_its_times() {
        for (every, period, first, shift) in [(10, 60, 0, 0), (10, 25, 3, 0), (7, 7, 2, 1), (4, 6, -1, 1), (6, 9, 0, 0)]
        {
            let grid = PaneGrid { first, every, period, shift };
            for time in -100..100 {
                let holds = |start: &i64| (*start..*start + period).contains(&(time - shift));
                let all: Vec<i64> = (-60..60).rev().map(|n| first + n * every).filter(holds).collect();
                let pane = grid.floor(time - shift, grid.length());
                let from_to = (all.last().copied(), all.first().copied());
                assert_eq!((Some(grid.oldest(pane)), Some(grid.newest(pane))), from_to, "{time} in {grid:?}");
                for watermark in -120..120 {
                    let ended = all.iter().filter(|start| grid.end(**start) <= watermark).count();
                    assert_eq!(grid.ended(pane, watermark), ended, "{time} at {watermark} in {grid:?}");
                    let open = (-90..90).map(|n| first + n * every).find(|start| grid.end(*start) > watermark);
                    assert_eq!(Some(grid.first_open(watermark)), open);
                }
            }
        }
    }
}
