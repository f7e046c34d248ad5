//! The rows of a frame that stands beside a stream, by their keys and in the order of their times: each row of the stream gets the
//! nearest. They are sorted once, so that a batch costs what it has.

use plan::{Asof, Lookup};
use polars::prelude::*;

use super::super::asof_join::Rule;
use super::super::columns::{NullKeys, encoded};
use crate::state::timed_rows::{JoinKey, TimedRow};

/// The frame of an as-of join, ready to be looked into.
pub(super) struct NearestIndex {
    /// The rows of each key, in the order of time; of one time, in that of the frame.
    rows: PlHashMap<JoinKey, Vec<TimedRow>>,
    /// The columns that are in the result, as they are called in the frame.
    found: DataFrame,
}

impl NearestIndex {
    /// Rows without a time, or without one of their keys, are the nearest of none.
    pub(super) fn new(lookup: &Lookup, on: &Asof, frame: &DataFrame) -> PolarsResult<NearestIndex> {
        let ([_, by], [_, time]) = (lookup.keys(), on.times());
        let mut rows = PlHashMap::<JoinKey, Vec<TimedRow>>::default();
        for_each_timed(frame, by, time, |row, key, time| {
            if let Some((key, time)) = key.zip(time) {
                let (order, id) = (row as i64, row as u64);
                rows.entry(JoinKey::from_slice(key)).or_default().push(TimedRow { time, order, id });
            }
        })?;
        rows.values_mut().for_each(|rows| rows.sort_unstable());
        Ok(NearestIndex { rows, found: frame.select(lookup.found())? })
    }

    /// The rows, each with the nearest beside it. They stay in their order.
    pub(super) fn join(&self, lookup: &Lookup, on: &Asof, mut rows: DataFrame) -> PolarsResult<DataFrame> {
        let ([by, _], [time, _]) = (lookup.keys(), on.times());
        let tolerance = match rows.column(time)?.dtype() {
            DataType::Datetime(unit, _) => on.tolerance_in(*unit),
            _ => None,
        };
        let rule = Rule { strategy: on.direction(), tolerance, exact: on.takes_exact_matches() };
        let mut nearest = Vec::with_capacity(rows.height());
        for_each_timed(&rows, by, time, |_, key, time| {
            let found = key.zip(time).and_then(|(key, time)| rule.nearest(self.rows.get(key)?, time));
            nearest.push(found.map(|row| row.id as IdxSize));
        })?;
        let found = self.found.take(&IdxCa::from_iter_options(PlSmallStr::EMPTY, nearest.into_iter()))?;
        let called = |column: &Column| match rows.column(column.name()) {
            Ok(_) => column.clone().with_name(format!("{}_right", column.name()).into()),
            Err(_) => column.clone(),
        };
        let found: Vec<Column> = found.columns().iter().map(called).collect();
        rows.hstack_mut(&found)?;
        Ok(rows)
    }
}

/// Calls `each` with the number of every row, its keys in one value and its time, where it has them.
fn for_each_timed(
    rows: &DataFrame,
    by: &[Expr],
    time: &str,
    mut each: impl FnMut(usize, Option<&[u8]>, Option<i64>),
) -> PolarsResult<()> {
    let keys = rows.clone().lazy().select(by).collect()?;
    let nulls = NullKeys::of(keys.columns());
    let keys = encoded(keys.columns(), rows.height())?;
    let times = rows.column(time)?.to_physical_repr().strict_cast(&DataType::Int64)?;
    for (row, time) in times.i64()?.iter().enumerate() {
        each(row, (!nulls.has(row)).then(|| keys.get(row).unwrap_or_default()), time);
    }
    Ok(())
}
