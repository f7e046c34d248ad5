//! Rows with a time and a key, which never change: they are kept until no row can come that belongs to them. What finds them by key
//! and time is an index of the operator's, made of what [`TimedRows::places`] gives.

use polars::prelude::*;
use smallvec::SmallVec;

use super::segments::{SegmentChanges, Segments};
use super::{PendingTable, StateTable, numbered};
use crate::operator::columns::{MET, POSITION, ROW, integers, kept_as, kept_keys};
use crate::physical::{SIDE_TIME, TimedJoin};

/// Where a row stands: its time, what comes first among rows of one time, and its number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct TimedRow {
    pub(crate) time: i64,
    pub(crate) order: i64,
    pub(crate) id: u64,
}

/// An encoded key; a short one lies where it is used.
pub(crate) type JoinKey = SmallVec<[u8; 24]>;

/// The rows of one side of a join.
pub(crate) struct TimedRows {
    /// Those that the result has.
    columns: Vec<PlSmallStr>,
    /// What the keys' column is called.
    keys_name: PlSmallStr,
    /// Beside the columns of the result with the row's time, its place among rows of that time, and its key. A row is marked
    /// when something has met it.
    pub(crate) rows: Segments,
}

impl TimedRows {
    /// `columns` are those of a side, and `input` is the schema of the rows of both.
    pub(crate) fn new(join: &TimedJoin, columns: &[PlSmallStr], input: &SchemaRef) -> PolarsResult<TimedRows> {
        let names = columns.iter().cloned().chain([PlSmallStr::from_static(SIDE_TIME)]);
        let mut empty = DataFrame::empty_with_schema(input).select(names)?;
        let keys_name = kept_as(join.keys.iter().filter_map(|key| input.get(key)));
        empty.with_column(Column::new_empty(POSITION.into(), &DataType::Int64))?;
        empty.with_column(Column::new_empty(keys_name.clone(), &DataType::Binary))?;
        Ok(TimedRows { columns: columns.to_vec(), keys_name, rows: Segments::new(empty) })
    }

    /// The columns that rows are to have beside [`POSITION`] and their keys.
    pub(crate) fn wanted(&self) -> impl Iterator<Item = PlSmallStr> {
        self.columns.iter().cloned().chain([PlSmallStr::from_static(SIDE_TIME)])
    }

    /// Adds rows with the columns that are [wanted](TimedRows::wanted); gives the number of the first, which the others' follow.
    pub(crate) fn push(&mut self, mut rows: DataFrame, orders: Vec<i64>, keys: BinaryChunked) -> PolarsResult<u64> {
        rows.with_column(Series::new(POSITION.into(), orders).into())?;
        rows.with_column(keys.with_name(self.keys_name.clone()).into_series().into())?;
        Ok(self.rows.push(rows))
    }

    /// The columns of the result, of these rows.
    pub(crate) fn take(&self, ids: &[Option<u64>]) -> PolarsResult<DataFrame> {
        self.rows.take(ids)?.select(self.columns.iter().cloned())
    }

    /// All rows by their places, with keys where they have them.
    pub(crate) fn places(&self) -> PolarsResult<Vec<(TimedRow, Option<JoinKey>)>> {
        let (rows, ids) = (self.rows.live()?, self.rows.live_from(0));
        let (times, orders) = (integers(&rows, SIDE_TIME)?, integers(&rows, POSITION)?);
        let keys = kept_keys(&rows, &self.keys_name)?;
        let places = ids.into_iter().zip(times.iter()).zip(orders.iter()).map(|((id, time), order)| TimedRow {
            time: time.unwrap_or_default(),
            order: order.unwrap_or_default(),
            id,
        });
        Ok(places.zip(keys.iter()).map(|(place, key)| (place, key.map(JoinKey::from_slice))).collect())
    }
}

/// Rows as they are written, with their numbers, and whether something has met them.
fn written(rows: &Segments, mut frame: DataFrame, ids: Vec<u64>) -> PolarsResult<DataFrame> {
    let met: BooleanChunked = ids.iter().map(|id| Some(rows.is_marked(*id))).collect();
    frame.with_column(met.with_name(MET.into()).into_series().into())?;
    frame.with_column(Series::new(ROW.into(), ids).into())?;
    Ok(frame)
}

impl StateTable for TimedRows {
    fn freeze(&mut self, all: bool) -> PolarsResult<PendingTable> {
        let SegmentChanges { from, freed, marked } = self.rows.noted();
        let rows = self.rows.clone();
        Ok(Box::new(move || {
            if all {
                return written(&rows, rows.live()?, rows.live_from(0));
            }
            let mut ids: Vec<u64> = marked.into_iter().filter(|id| rows.is_live(*id)).collect();
            ids.extend(rows.live_from(from));
            let frame = rows.take(&ids.iter().copied().map(Some).collect::<Vec<_>>())?;
            numbered::changes(written(&rows, frame, ids)?, freed)
        }))
    }

    fn restore(&mut self, saved: DataFrame, changes: Vec<DataFrame>) -> PolarsResult<()> {
        let mut rows = numbered::changed(saved, changes)?;
        kept_keys(&rows, &self.keys_name)?;
        // Those that were met later stand behind newer ones.
        if !rows.column(ROW)?.u64()?.iter().is_sorted() {
            rows = rows.sort([ROW], SortMultipleOptions::default())?;
        }
        let ids: Vec<u64> = rows.drop_in_place(ROW)?.u64()?.iter().flatten().collect();
        let met = rows.drop_in_place(MET)?.bool()?.clone();
        let names = self.rows.empty().get_column_names_owned();
        let mut rows = rows.select(names)?;
        rows.rechunk_mut();
        self.rows.put(ids.clone(), rows);
        ids.iter().zip(met.iter()).filter(|(_, met)| *met == Some(true)).for_each(|(id, _)| self.rows.mark(*id));
        self.rows.noted();
        Ok(())
    }
}
