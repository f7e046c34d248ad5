//! The windows of a row, with Polars' own arithmetic of the calendar. They depend on the row alone: a window is one of those
//! that Polars' `group_by_dynamic` gives where the row is the first, and those before it that hold the row too. Windows of hours
//! in a time zone go by the local clock: where the clocks change one is shorter or longer, and Polars' depend on the first row.

use std::ops::Range;

use plan::{Aggregate, BOUNDARIES, Cut, Hops, Over};
use polars::prelude::*;
use polars_arrow::legacy::time_zone::Tz;

use super::columns::{END, START, integers};
use super::panes::PaneGrid;
use super::watermark::steps;
use crate::calendar::{calendar, within};

/// Windows of a column that are known without its rows.
pub(crate) struct Windows {
    time: PlSmallStr,
    hops: Hops,
    dtype: DataType,
    unit: TimeUnit,
    grid: Grid,
    /// The times whose windows have ends that can be told; a row of another time is as one without a time.
    range: Range<i64>,
}

/// Where windows start.
enum Grid {
    /// All so many steps of the column's unit, from some start on.
    Even { every: i64, first: i64 },
    /// As the calendar says. The zone is `None` for UTC.
    Calendar { zone: Option<Tz> },
}

impl Windows {
    /// The windows of `over`, whose column has the type `dtype`; `None` for sessions.
    pub(crate) fn new(over: &Over, dtype: &DataType) -> Option<Windows> {
        let (Cut::Every(mut hops), DataType::Datetime(unit, zone)) = (over.cut, dtype) else { return None };
        let zone = zone.as_ref().filter(|zone| **zone != TimeZone::UTC);
        hops.offset = reduced(&hops);
        let grid = match zone {
            None if hops.every.months() == 0 => {
                // Weeks begin on Monday, and the epoch was a Thursday.
                let monday = if hops.every.weeks() == 0 { 0 } else { 4 * DAY };
                let offset =
                    if hops.offset.negative() { -hops.offset.duration_ns() } else { hops.offset.duration_ns() };
                Grid::Even {
                    every: steps(hops.every.duration_ns(), *unit).max(1),
                    first: steps(offset + monday, *unit),
                }
            }
            zone => Grid::Calendar { zone: zone.and_then(|zone| zone.to_chrono().ok()) },
        };
        let range = range(&hops, *unit);
        Some(Windows { time: over.time.clone(), hops, dtype: dtype.clone(), unit: *unit, grid, range })
    }

    /// The windows of an aggregation whose result has `schema`; `None` for sessions, and where there are none.
    pub(crate) fn of(plan: &Aggregate, schema: &SchemaRef) -> Option<Windows> {
        let over = plan.over.as_ref()?;
        Windows::new(over, schema.get(&over.time)?)
    }

    /// How the windows are cut into panes, where they overlap and all are of one length.
    pub(crate) fn panes(&self) -> Option<PaneGrid> {
        let Grid::Even { every, first } = self.grid else { return None };
        let shift = match self.hops.closed {
            ClosedWindow::Left => 0,
            ClosedWindow::Right => 1,
            // A time that two windows meet at is in a pane of its own.
            ClosedWindow::Both | ClosedWindow::None => return None,
        };
        let period = self.moved(&self.hops.period, 0, None).ok().filter(|_| self.hops.period.months() == 0)?;
        (period > every).then_some(PaneGrid { first, every, period, shift })
    }

    /// The windows that a row is in, about.
    pub(crate) fn of_each(&self) -> usize {
        let Hops { period, every, .. } = &self.hops;
        usize::try_from(period.duration_ns() / every.duration_ns().max(1)).unwrap_or(0) + 1
    }

    /// The rows with null in the place of times whose windows have no ends that can be told.
    pub(super) fn in_range(&self, rows: DataFrame) -> PolarsResult<DataFrame> {
        within(rows, &self.time, &self.range).map(|(rows, _)| rows)
    }

    /// Puts each row into its windows: a row of several is there once for each. Rows without a time have no window, and are
    /// there once.
    pub(crate) fn assigned(&self, rows: DataFrame) -> PolarsResult<LazyFrame> {
        let rows = self.in_range(rows)?;
        if self.hops.tumble() && self.hops.offset.is_zero() && self.hops.closed == ClosedWindow::Left {
            // Polars does many at once.
            let every = lit(self.hops.every.to_string());
            return Ok(rows.lazy().with_columns([col(self.time.clone()).dt().truncate(every).alias(START)]));
        }
        let times = integers(&rows, &self.time)?;
        let mut from: Vec<IdxSize> = Vec::with_capacity(rows.height());
        let mut starts: Vec<Option<i64>> = Vec::with_capacity(rows.height());
        for (row, time) in times.iter().enumerate() {
            let Some(time) = time else {
                from.push(row as IdxSize);
                starts.push(None);
                continue;
            };
            let mut start = self.newest(time)?;
            while self.after(start)? > time {
                from.push(row as IdxSize);
                starts.push(Some(start));
                start = self.last_start(start - 1)?;
            }
        }
        let once = from.len() == rows.height() && from.iter().enumerate().all(|(n, row)| n == *row as usize);
        let mut rows = if once { rows } else { rows.take(&IdxCa::from_vec(PlSmallStr::EMPTY, from))? };
        rows.with_column(Column::from(Series::new(START.into(), starts)).cast(&self.dtype)?)?;
        Ok(rows.lazy())
    }

    /// Adds the first times after the windows.
    pub(crate) fn with_ends(&self, mut rows: DataFrame) -> PolarsResult<DataFrame> {
        let starts = integers(&rows, START)?;
        let ends: Int64Chunked = starts.try_apply_nonnull_values_generic(|start| self.after(start))?;
        rows.with_column(Column::from(ends.with_name(END.into()).into_series()))?;
        Ok(rows)
    }

    /// The first time after all windows that hold a time; `None` where no window holds it.
    pub(crate) fn passed(&self, time: i64) -> PolarsResult<Option<i64>> {
        if !self.range.contains(&time) {
            return Ok(None);
        }
        let after = self.after(self.newest(time)?)?;
        Ok((after > time).then_some(after))
    }

    /// The columns of the result for windows with these starts.
    pub(crate) fn named(&self, starts: Vec<i64>) -> PolarsResult<Vec<Column>> {
        let right = self.hops.label == Label::Right;
        let column =
            |name: &PlSmallStr, times: Vec<i64>| Column::from(Series::new(name.clone(), times)).cast(&self.dtype);
        if !right && !self.hops.boundaries {
            return Ok(vec![column(&self.time, starts)?]);
        }
        let ends: Vec<i64> = starts.iter().map(|start| self.end(*start)).collect::<PolarsResult<_>>()?;
        let label = if right { ends.clone() } else { starts.clone() };
        let mut columns = Vec::with_capacity(3);
        if self.hops.boundaries {
            let [lower, upper] = BOUNDARIES.map(PlSmallStr::from_static);
            columns.extend([column(&lower, starts)?, column(&upper, ends)?]);
        }
        columns.push(column(&self.time, label)?);
        Ok(columns)
    }

    /// The start of the newest window that a time may be in.
    fn newest(&self, time: i64) -> PolarsResult<i64> {
        let holds_start = matches!(self.hops.closed, ClosedWindow::Left | ClosedWindow::Both);
        self.last_start(if holds_start { time } else { time - 1 })
    }

    /// The first time after a window.
    fn after(&self, start: i64) -> PolarsResult<i64> {
        Ok(self.end(start)? + i64::from(self.hops.holds_end()))
    }

    fn end(&self, start: i64) -> PolarsResult<i64> {
        match &self.grid {
            Grid::Even { every, .. } if self.hops.tumble() => Ok(start + every),
            // A step of the calendar has no fixed length, but half as much again ends in the next one.
            Grid::Calendar { .. } if self.hops.tumble() => self.last_start(start + self.half_as_much_again()),
            Grid::Even { .. } => self.moved(&self.hops.period, start, None),
            Grid::Calendar { zone } => self.moved(&self.hops.period, start, zone.as_ref()),
        }
    }

    /// The last start at or before a time.
    fn last_start(&self, time: i64) -> PolarsResult<i64> {
        let zone = match &self.grid {
            Grid::Even { every, first } => return Ok(time - (time - first).rem_euclid(*every)),
            Grid::Calendar { zone } => zone.as_ref(),
        };
        let start = |base: i64| self.moved(&self.hops.offset, base, zone);
        let mut base = self.truncated(time, zone)?;
        while start(base)? > time {
            base = self.truncated(base - 1, zone)?;
        }
        loop {
            let next = self.truncated(base + self.half_as_much_again(), zone)?;
            if next <= base || start(next)? > time {
                return start(base);
            }
            base = next;
        }
    }

    fn half_as_much_again(&self) -> i64 {
        let length = self.hops.every.duration_ns();
        steps(length + length / 2, self.unit)
    }

    fn truncated(&self, time: i64, zone: Option<&Tz>) -> PolarsResult<i64> {
        match self.unit {
            TimeUnit::Nanoseconds => self.hops.every.truncate_ns(time, zone),
            TimeUnit::Microseconds => self.hops.every.truncate_us(time, zone),
            TimeUnit::Milliseconds => self.hops.every.truncate_ms(time, zone),
        }
    }

    fn moved(&self, by: &Duration, time: i64, zone: Option<&Tz>) -> PolarsResult<i64> {
        match self.unit {
            TimeUnit::Nanoseconds => by.add_ns(time, zone),
            TimeUnit::Microseconds => by.add_us(time, zone),
            TimeUnit::Milliseconds => by.add_ms(time, zone),
        }
    }
}

/// The times from which, and to which, a window and those beside it reach no further than numbers go.
fn range(hops: &Hops, unit: TimeUnit) -> Range<i64> {
    let longest = |duration: &Duration| {
        let days = 31 * duration.months() + 7 * duration.weeks() + duration.days();
        days.saturating_mul(DAY).saturating_add(duration.nanoseconds())
    };
    let reach = [hops.period, hops.every, hops.every, hops.offset]
        .iter()
        .fold(2 * DAY, |reach, duration| reach.saturating_add(longest(duration)));
    let (reach, calendar) = (steps(reach, unit), calendar(unit));
    calendar.start.max(i64::MIN.saturating_add(reach))..calendar.end.min(i64::MAX.saturating_sub(reach))
}

/// A day, in nanoseconds.
const DAY: i64 = 24 * 3600 * 1_000_000_000;

/// The offset without whole steps, so that a start is never far from where it is looked for.
fn reduced(hops: &Hops) -> Duration {
    let Hops { every, offset, .. } = hops;
    let sign = if offset.negative() { -1 } else { 1 };
    let (every_days, days) = (every.days() + 7 * every.weeks(), offset.days() + 7 * offset.weeks());
    let text = if every.months() != 0 && offset.months_only() {
        format!("{}mo", (sign * offset.months()).rem_euclid(every.months()))
    } else if every_days != 0 && offset.nanoseconds() == 0 && offset.months() == 0 {
        format!("{}d", (sign * days).rem_euclid(every_days))
    } else if every.months() == 0 && every_days == 0 && days == 0 && offset.months() == 0 {
        format!("{}ns", (sign * offset.nanoseconds()).rem_euclid(every.nanoseconds()))
    } else {
        return *offset;
    };
    // It is a number and a unit.
    Duration::parse(&text)
}
