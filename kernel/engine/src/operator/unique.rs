//! Keeps the first row that comes for each value of some columns.

use std::collections::BTreeSet;

use polars::prelude::*;

use super::columns::{KEY, START, encoded, integers};
use super::{Executed, GROUPS, Kept, Operator, Tables, never_changing};
use crate::change::Delta;

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
}

impl Operator for Unique {
    fn execute(&mut self, delta: Delta, watermark: Option<i64>) -> PolarsResult<Executed> {
        let rows = never_changing(delta)?;
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
        let rows = rows.filter(&BooleanChunked::from_slice(PlSmallStr::EMPTY, &keep))?;
        Ok(Executed { delta: Delta::Append(rows), late, timeless: 0 })
    }

    fn close(&mut self, watermark: i64, _: bool) -> PolarsResult<Option<DataFrame>> {
        while self.times.first().is_some_and(|(time, _)| *time <= watermark) {
            if let Some((_, key)) = self.times.pop_first() {
                self.seen.remove(&key);
            }
        }
        Ok(None)
    }

    fn save(&self) -> PolarsResult<Kept> {
        let (keys, times): (Vec<&[u8]>, Vec<i64>) = self.seen.iter().map(|(key, time)| (key.as_ref(), *time)).unzip();
        let columns = vec![Series::new(KEY.into(), keys).into(), Series::new(START.into(), times).into()];
        Ok(Kept::new(0, [(GROUPS, DataFrame::new(self.seen.len(), columns)?)]))
    }

    fn restore(&mut self, _: u64, tables: Tables<'_>) -> PolarsResult<()> {
        let saved = tables(GROUPS)?;
        self.seen.clear();
        self.times.clear();
        let times = integers(&saved, START)?;
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
