//! Keeps the first row that comes for each value of some columns.

use polars::prelude::*;

use super::columns::{encoded, integers, kept_as};
use super::{BatchResult, Operator, never_changing};
use crate::change::Delta;
use crate::state::StateTables;
use crate::state::key_times::KeyTimes;

/// The values that have come.
pub(crate) struct Unique {
    columns: Vec<PlSmallStr>,
    /// The column by which values are forgotten.
    time: Option<PlSmallStr>,
    /// Each with the time until which it is known.
    seen: KeyTimes,
}

impl Unique {
    /// `input` is the schema of the rows.
    pub(crate) fn new(columns: &[PlSmallStr], time: Option<PlSmallStr>, input: &Schema) -> Unique {
        let seen = KeyTimes::new(kept_as(columns.iter().filter_map(|name| input.get(name))));
        Unique { columns: columns.to_vec(), time, seen }
    }
}

impl Operator for Unique {
    fn execute(&mut self, delta: Delta, watermark: Option<i64>) -> PolarsResult<BatchResult> {
        let rows = never_changing(delta)?;
        let columns: Vec<Column> =
            self.columns.iter().map(|name| rows.column(name).cloned()).collect::<PolarsResult<_>>()?;
        let keys = encoded(&columns, rows.height())?;
        let times = self.time.as_ref().map(|time| integers(&rows, time)).transpose()?;
        let mut late = 0;
        self.seen.begin();
        let mut keep = Vec::with_capacity(rows.height());
        for (row, key) in keys.iter().enumerate() {
            let key = key.unwrap_or_default();
            let time = times.as_ref().and_then(|times| times.get(row)).unwrap_or(i64::MAX);
            let is_late = watermark.is_some_and(|watermark| time <= watermark);
            late += usize::from(is_late);
            let new = !is_late && self.seen.get(key).is_none();
            if new {
                self.seen.set(key, Some(time))?;
            }
            keep.push(new);
        }
        let rows = rows.filter(&BooleanChunked::from_slice(PlSmallStr::EMPTY, &keep))?;
        Ok(BatchResult { delta: Delta::Append(rows), late, timeless: 0 })
    }

    fn close(&mut self, watermark: i64, _: bool) -> PolarsResult<Option<DataFrame>> {
        self.seen.forget(watermark);
        Ok(None)
    }

    fn state(&mut self) -> StateTables<'_> {
        vec![&mut self.seen]
    }

    fn restored(&mut self, watermark: Option<i64>) -> PolarsResult<()> {
        watermark.map_or(Ok(()), |watermark| self.close(watermark, false).map(drop))
    }
}
