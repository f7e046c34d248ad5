//! The rows of a batch of two streams, each with what it is joined by; and the tables in which such rows are written down.

use crate::physical::{SIDE, SIDE_TIME, TimedJoin};
use polars::prelude::*;

use super::by_time::{JoinKey, TimedRow};
use super::columns::{POSITION, ROW, START, encoded, integers, kept_as, kept_keys};
use super::segments::{SegmentChanges, Segments};
use crate::snapshot::numbered;

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
        let nulls: Vec<BooleanChunked> =
            keys.iter().filter(|key| key.null_count() > 0).map(|key| key.is_null()).collect();
        let mut arrivals =
            Arrivals { keys: encoded(&keys, rows.height())?, sides: [Vec::new(), Vec::new()], late: 0, rows };
        for (row, (time, is_right)) in times.iter().zip(is_right.iter()).enumerate() {
            if time.zip(watermark).is_some_and(|(time, watermark)| time <= watermark) {
                arrivals.late += 1;
                continue;
            }
            let order = orders.as_ref().and_then(|orders| orders.get(row)).unwrap_or_default();
            let has_key = nulls.iter().all(|nulls| nulls.get(row) != Some(true));
            let arrival = Arrival { row: row as IdxSize, time, order, has_key };
            arrivals.sides[usize::from(is_right == Some(true))].push(arrival);
        }
        Ok(arrivals)
    }

    /// Puts the rows of a side with those that are kept; gives each with its number there.
    pub(super) fn keep(&self, side: usize, kept: &mut RetainedRows) -> PolarsResult<Vec<(u64, Arrival)>> {
        let arrivals = &self.sides[side];
        let taken: Vec<IdxSize> = arrivals.iter().map(|arrival| arrival.row).collect();
        let columns = kept.columns.iter().cloned().chain([PlSmallStr::from_static(SIDE_TIME)]);
        let rows = self.rows.select(columns)?.take(&IdxCa::from_slice(PlSmallStr::EMPTY, &taken))?;
        let first = kept.rows.push(rows);
        if kept.rows.notes() {
            kept.new.push(New { keys: self.keys.clone(), first, arrivals: arrivals.clone() });
        }
        Ok((first..).zip(arrivals.iter().copied()).collect())
    }

    pub(super) fn key(&self, arrival: &Arrival) -> &[u8] {
        arrival.key(&self.keys)
    }
}

impl Arrival {
    /// Its key, among those of its batch.
    fn key<'a>(&self, keys: &'a BinaryOffsetChunked) -> &'a [u8] {
        keys.get(self.row as usize).unwrap_or_default()
    }
}

/// The rows of a side that are kept.
pub(super) struct RetainedRows {
    /// Those that the result has; the time is there beside them, so that there always is a column.
    columns: Vec<PlSmallStr>,
    /// What the keys' column is called in a written state.
    keys_name: PlSmallStr,
    pub(super) rows: Segments,
    /// The rows that came since they were last written down, once they have been.
    new: Vec<New>,
}

/// Rows of a batch by what is known of them; they are numbered from `first` on.
struct New {
    keys: BinaryOffsetChunked,
    first: u64,
    arrivals: Vec<Arrival>,
}

impl New {
    fn places(&self) -> impl Iterator<Item = (TimedRow, Option<&[u8]>)> {
        (self.first..).zip(&self.arrivals).map(|(id, arrival)| {
            let place = TimedRow { time: arrival.time.unwrap_or_default(), order: arrival.order, id };
            (place, arrival.has_key.then(|| arrival.key(&self.keys)))
        })
    }
}

/// The places of rows that were written down, with keys where they have them.
pub(super) type RestoredRows = Vec<(TimedRow, Option<JoinKey>)>;

impl RetainedRows {
    /// `columns` are those of a side, and `input` is the schema of the rows of both.
    pub(super) fn new(join: &TimedJoin, columns: &[PlSmallStr], input: &SchemaRef) -> PolarsResult<RetainedRows> {
        let names = columns.iter().cloned().chain([PlSmallStr::from_static(SIDE_TIME)]);
        let empty = DataFrame::empty_with_schema(input).select(names)?;
        let keys_name = kept_as(join.keys.iter().filter_map(|key| input.get(key)));
        Ok(RetainedRows { columns: columns.to_vec(), keys_name, rows: Segments::new(empty), new: Vec::new() })
    }

    /// The columns of the result, of these rows.
    pub(super) fn take(&self, ids: &[Option<u64>]) -> PolarsResult<DataFrame> {
        self.rows.take(ids)?.select(self.columns.iter().cloned())
    }

    /// The rows as a table. The places must be those of all that are kept.
    pub(super) fn save<'a>(
        &self,
        all: impl Iterator<Item = (TimedRow, Option<&'a JoinKey>)>,
    ) -> PolarsResult<DataFrame> {
        let mut all: Vec<(TimedRow, Option<&JoinKey>)> = all.collect();
        all.sort_unstable_by_key(|(place, _)| place.id);
        let mut rows = self.rows.live()?;
        polars_ensure!(rows.height() == all.len(), ComputeError: "rows are kept that no one knows of");
        let all = self.places(all.iter().map(|(place, key)| (*place, key.map(|key| key.as_slice()))))?;
        rows.hstack_mut(all.columns())?;
        Ok(rows)
    }

    /// The rows that are marked, as a table.
    pub(super) fn save_marked(&self) -> PolarsResult<DataFrame> {
        numbers(self.rows.marked())
    }

    /// Says that all are written down.
    pub(super) fn all_saved(&mut self) {
        self.new.clear();
        self.rows.noted();
    }

    /// What changed since the rows were last written down: of the table of all, and of that of those that are marked.
    pub(super) fn save_changes(&mut self) -> PolarsResult<[DataFrame; 2]> {
        let SegmentChanges { freed, marked, .. } = self.rows.noted();
        let batches = std::mem::take(&mut self.new);
        let new = batches.iter().flat_map(New::places).filter(|(place, _)| self.rows.is_live(place.id));
        let new = self.places(new)?;
        let ids: Vec<Option<u64>> = new.column(ROW)?.u64()?.iter().collect();
        let mut rows = self.rows.take(&ids)?;
        rows.hstack_mut(new.columns())?;
        let marked = marked.into_iter().filter(|id| self.rows.is_live(*id)).collect();
        Ok([numbered::changes(rows, freed.clone())?, numbered::changes(numbers(marked)?, freed)?])
    }

    /// Takes over what [`RetainedRows::save`] gave; gives the places again.
    pub(super) fn restore(&mut self, mut saved: DataFrame) -> PolarsResult<RestoredRows> {
        let (times, orders) = (integers(&saved, START)?, integers(&saved, POSITION)?);
        let (keys, ids) = (kept_keys(&saved, &self.keys_name)?.clone(), saved.column(ROW)?.u64()?.clone());
        for name in [START, POSITION, self.keys_name.as_str(), ROW] {
            saved.drop_in_place(name)?;
        }
        saved.rechunk_mut();
        let ids: Vec<u64> = ids.iter().map(Option::unwrap_or_default).collect();
        let written = (ids.iter().zip(times.iter()).zip(orders.iter()).zip(keys.iter()))
            .map(|(((id, time), order), key)| {
                let place = TimedRow { time: time.unwrap_or_default(), order: order.unwrap_or_default(), id: *id };
                (place, key.map(JoinKey::from_slice))
            })
            .collect();
        self.rows.put(ids, saved);
        self.all_saved();
        Ok(written)
    }

    /// The places of rows as a table.
    fn places<'a>(&self, all: impl Iterator<Item = (TimedRow, Option<&'a [u8]>)>) -> PolarsResult<DataFrame> {
        let (all, keys): (Vec<TimedRow>, Vec<Option<&[u8]>>) = all.unzip();
        let keys: BinaryChunked = keys.into_iter().collect();
        let columns: Vec<Column> = vec![
            Series::new(START.into(), all.iter().map(|place| place.time).collect::<Vec<_>>()).into(),
            Series::new(POSITION.into(), all.iter().map(|place| place.order).collect::<Vec<_>>()).into(),
            keys.with_name(self.keys_name.clone()).into_series().into(),
            Series::new(ROW.into(), all.iter().map(|place| place.id).collect::<Vec<_>>()).into(),
        ];
        DataFrame::new(all.len(), columns)
    }

    /// Takes over what [`RetainedRows::save_marked`] gave.
    pub(super) fn restore_marked(&mut self, saved: &DataFrame) -> PolarsResult<()> {
        saved.column(ROW)?.u64()?.iter().flatten().for_each(|id| self.rows.mark(id));
        self.all_saved();
        Ok(())
    }
}

fn numbers(ids: Vec<u64>) -> PolarsResult<DataFrame> {
    DataFrame::new(ids.len(), vec![Series::new(ROW.into(), ids).into()])
}
