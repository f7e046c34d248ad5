//! The rows of a batch of two streams, each with what it is joined by.

use crate::physical::{SIDE, SIDE_TIME, TimedJoin};
use polars::prelude::*;
use xxhash_rust::xxh3::xxh3_64;

use super::columns::{NullKeys, POSITION, encoded, integers};
use crate::state::timed_rows::TimedRows;

/// The rows of both sides that are not late.
pub(super) struct Arrivals {
    rows: DataFrame,
    keys: BinaryOffsetChunked,
    sides: [Vec<Arrival>; 2],
    /// How many rows were late.
    pub(super) late: usize,
}

/// A row. Without a time, or without one of its keys, nothing belongs to it.
#[derive(Clone, Copy)]
pub(super) struct Arrival {
    row: IdxSize,
    pub(super) time: Option<i64>,
    /// Its position, where rows have one.
    pub(super) order: i64,
    pub(super) has_key: bool,
}

impl Arrivals {
    pub(super) fn new(join: &TimedJoin, rows: DataFrame, watermark: Option<i64>) -> PolarsResult<Arrivals> {
        let times = integers(&rows, SIDE_TIME)?;
        let is_right = rows.column(SIDE)?.bool()?.clone();
        let orders = rows.column(POSITION).is_ok().then(|| integers(&rows, POSITION)).transpose()?;
        let keys: Vec<Column> = join.keys.iter().map(|key| rows.column(key).cloned()).collect::<PolarsResult<_>>()?;
        let nulls = NullKeys::of(&keys);
        let mut arrivals =
            Arrivals { keys: encoded(&keys, rows.height())?, sides: [Vec::new(), Vec::new()], late: 0, rows };
        for (row, (time, is_right)) in times.iter().zip(is_right.iter()).enumerate() {
            if time.zip(watermark).is_some_and(|(time, watermark)| time <= watermark) {
                arrivals.late += 1;
                continue;
            }
            let order = orders.as_ref().and_then(|orders| orders.get(row)).unwrap_or_default();
            let arrival = Arrival { row: row as IdxSize, time, order, has_key: !nulls.has(row) };
            arrivals.sides[usize::from(is_right == Some(true))].push(arrival);
        }
        Ok(arrivals)
    }

    /// Gives the rows of a side an order where they have none, as those that a join or a person's function made: by a hash of what
    /// they have in these columns. Which of several of one time comes first is then the same whichever batch brought each of them.
    pub(super) fn order_by_values(&mut self, side: usize, columns: &[PlSmallStr]) -> PolarsResult<()> {
        let positions = self.rows.column(POSITION).ok().map(|positions| positions.is_not_null());
        let has_one = |row: IdxSize| positions.as_ref().is_some_and(|has| has.get(row as usize) == Some(true));
        if self.sides[side].iter().all(|arrival| has_one(arrival.row)) {
            return Ok(());
        }
        let columns: Vec<Column> =
            columns.iter().map(|name| self.rows.column(name).cloned()).collect::<PolarsResult<_>>()?;
        let values = encoded(&columns, self.rows.height())?;
        for arrival in self.sides[side].iter_mut().filter(|arrival| !has_one(arrival.row)) {
            arrival.order = (xxh3_64(values.get(arrival.row as usize).unwrap_or_default()) >> 1) as i64;
        }
        Ok(())
    }

    /// Puts the rows of a side with those that are kept; gives each with its number there.
    pub(super) fn keep(&self, side: usize, kept: &mut TimedRows) -> PolarsResult<Vec<(u64, Arrival)>> {
        let arrivals = &self.sides[side];
        let taken: Vec<IdxSize> = arrivals.iter().map(|arrival| arrival.row).collect();
        let rows = self.rows.select(kept.wanted())?.take(&IdxCa::from_slice(PlSmallStr::EMPTY, &taken))?;
        let orders = arrivals.iter().map(|arrival| arrival.order).collect();
        let keys = arrivals.iter().map(|arrival| arrival.has_key.then(|| self.key(arrival))).collect();
        let first = kept.push(rows, orders, keys)?;
        Ok((first..).zip(arrivals.iter().copied()).collect())
    }

    pub(super) fn key(&self, arrival: &Arrival) -> &[u8] {
        self.keys.get(arrival.row as usize).unwrap_or_default()
    }
}
