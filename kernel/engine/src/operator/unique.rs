//! Keeps the first row that comes for each value of some columns.

use std::collections::BTreeSet;

use polars::prelude::*;

use super::columns::{KEY, START, encoded, integers};

/// The values that have come.
pub(crate) struct Unique {
    columns: Vec<PlSmallStr>,
    /// The column by which values are forgotten.
    time: Option<PlSmallStr>,
    seen: PlHashMap<Box<[u8]>, i64>,
    times: BTreeSet<(i64, Box<[u8]>)>,
}

impl Unique {
    pub(crate) fn new(columns: &[PlSmallStr], time: Option<PlSmallStr>) -> Unique {
        Unique { columns: columns.to_vec(), time, seen: PlHashMap::default(), times: BTreeSet::new() }
    }

    /// The rows whose values come for the first time, and how many came after the watermark.
    pub(crate) fn execute(&mut self, rows: DataFrame, watermark: Option<i64>) -> PolarsResult<(DataFrame, usize)> {
        let columns: Vec<Column> =
            self.columns.iter().map(|name| rows.column(name).cloned()).collect::<PolarsResult<_>>()?;
        let keys = encoded(&columns, rows.height())?;
        let times = self.time.as_ref().map(|time| integers(&rows, time)).transpose()?;
        let mut late = 0;
        let mut keep = Vec::with_capacity(rows.height());
        for (row, key) in keys.iter().enumerate() {
            let key = key.unwrap_or_default();
            let time = times.as_ref().and_then(|times| times.get(row)).unwrap_or(i64::MAX);
            let is_late = watermark.is_some_and(|watermark| time <= watermark);
            late += usize::from(is_late);
            let new = !is_late && !self.seen.contains_key(key);
            if new {
                self.seen.insert(key.into(), time);
                if self.time.is_some() {
                    self.times.insert((time, key.into()));
                }
            }
            keep.push(new);
        }
        Ok((rows.filter(&BooleanChunked::from_slice(PlSmallStr::EMPTY, &keep))?, late))
    }

    /// Forgets the values whose first rows are at or before `watermark`.
    pub(crate) fn close(&mut self, watermark: i64) {
        while self.times.first().is_some_and(|(time, _)| *time <= watermark) {
            if let Some((_, key)) = self.times.pop_first() {
                self.seen.remove(&key);
            }
        }
    }

    /// The state as a table.
    pub(crate) fn save(&self) -> PolarsResult<DataFrame> {
        let (keys, times): (Vec<&[u8]>, Vec<i64>) = self.seen.iter().map(|(key, time)| (key.as_ref(), *time)).unzip();
        DataFrame::new(keys.len(), vec![Series::new(KEY.into(), keys).into(), Series::new(START.into(), times).into()])
    }

    /// Takes over what [`Unique::save`] gave.
    pub(crate) fn restore(&mut self, saved: &DataFrame) -> PolarsResult<()> {
        self.seen.clear();
        self.times.clear();
        let times = integers(saved, START)?;
        for (key, time) in saved.column(KEY)?.binary()?.iter().zip(times.iter()) {
            let (key, time): (Box<[u8]>, i64) = (key.unwrap_or_default().into(), time.unwrap_or(i64::MAX));
            if self.time.is_some() {
                self.times.insert((time, key.clone()));
            }
            self.seen.insert(key, time);
        }
        Ok(())
    }
}
