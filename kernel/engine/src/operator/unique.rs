//! Keeps the first row that comes for each value of some columns.

use std::collections::BTreeSet;

use polars::prelude::*;

use super::columns::{START, encoded, integers, kept_as, kept_keys};
use super::{Executed, GROUPS, Operator, OperatorSnapshot, Tables, never_changing};
use crate::change::Delta;

/// The values that have come.
pub(crate) struct Unique {
    columns: Vec<PlSmallStr>,
    /// What the values' column is called in a written state.
    kept_as: PlSmallStr,
    /// The column by which values are forgotten.
    time: Option<PlSmallStr>,
    seen: PlHashMap<Box<[u8]>, i64>,
    times: BTreeSet<(i64, Box<[u8]>)>,
    /// The watermark by which values have been forgotten.
    closed: i64,
    /// The values that have come since the state was last saved, once it has been.
    new: Option<Vec<(Box<[u8]>, i64)>>,
}

impl Unique {
    /// `input` is the schema of the rows.
    pub(crate) fn new(columns: &[PlSmallStr], time: Option<PlSmallStr>, input: &Schema) -> Unique {
        Unique {
            columns: columns.to_vec(),
            kept_as: kept_as(columns.iter().filter_map(|name| input.get(name))),
            time,
            seen: PlHashMap::default(),
            times: BTreeSet::new(),
            closed: i64::MIN,
            new: None,
        }
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
                self.insert(key, time);
                if let Some(new) = &mut self.new {
                    new.push((key.into(), time));
                }
            }
            keep.push(new);
        }
        let rows = rows.filter(&BooleanChunked::from_slice(PlSmallStr::EMPTY, &keep))?;
        Ok(Executed { delta: Delta::Append(rows), late, timeless: 0 })
    }

    fn close(&mut self, watermark: i64, _: bool) -> PolarsResult<Option<DataFrame>> {
        self.closed = self.closed.max(watermark);
        while self.times.first().is_some_and(|(time, _)| *time <= watermark) {
            if let Some((_, key)) = self.times.pop_first() {
                self.seen.remove(&key);
            }
        }
        Ok(None)
    }

    fn save(&self) -> PolarsResult<OperatorSnapshot> {
        let seen = self.table(self.seen.iter().map(|(key, time)| (key.as_ref(), *time)))?;
        Ok(OperatorSnapshot::new(self.closed.cast_unsigned(), [(GROUPS, seen)]))
    }

    fn restore(&mut self, number: u64, tables: Tables<'_>) -> PolarsResult<()> {
        self.seen.clear();
        self.times.clear();
        self.put(&tables(GROUPS)?)?;
        self.closed = number.cast_signed();
        self.all_saved();
        Ok(())
    }

    fn all_saved(&mut self) {
        self.new = Some(Vec::new());
    }

    fn save_changes(&mut self) -> PolarsResult<OperatorSnapshot> {
        let new = self.new.replace(Vec::new()).unwrap_or_default();
        let changes = self.table(new.iter().map(|(key, time)| (key.as_ref(), *time)))?;
        Ok(OperatorSnapshot::changes(self.closed.cast_unsigned(), [(GROUPS, changes)]))
    }

    fn restore_changes(&mut self, number: u64, changes: Vec<DataFrame>, _: Tables<'_>) -> PolarsResult<()> {
        changes.iter().try_for_each(|changes| self.put(changes))?;
        self.close(number.cast_signed(), false).map(drop)
    }
}

impl Unique {
    fn insert(&mut self, key: &[u8], time: i64) {
        let before = self.seen.insert(key.into(), time);
        if self.time.is_some() {
            if let Some(before) = before {
                self.times.remove(&(before, key.into()));
            }
            self.times.insert((time, key.into()));
        }
    }

    fn put(&mut self, saved: &DataFrame) -> PolarsResult<()> {
        let times = integers(saved, START)?;
        for (key, time) in kept_keys(saved, &self.kept_as)?.iter().zip(times.iter()) {
            self.insert(key.unwrap_or_default(), time.unwrap_or(i64::MAX));
        }
        Ok(())
    }

    fn table<'a>(&self, values: impl Iterator<Item = (&'a [u8], i64)>) -> PolarsResult<DataFrame> {
        let (keys, times): (Vec<&[u8]>, Vec<i64>) = values.unzip();
        let keys_column = Series::new(self.kept_as.clone(), &keys);
        DataFrame::new(keys.len(), vec![keys_column.into(), Series::new(START.into(), times).into()])
    }
}
