//! The rows of a batch of two streams, each with what it is joined by; and the tables in which such rows are written down.

use plan::{SIDE, SIDE_TIME, SideJoin};
use polars::prelude::*;

use super::by_time::{Key, Place};
use super::columns::{KEY, POSITION, START, encoded, integers};
use super::segments::Segments;

/// Whether a row that was written down was marked.
const MARK: &str = "__corriente_mark";

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
    pub(super) fn new(join: &SideJoin, rows: DataFrame, watermark: Option<i64>) -> PolarsResult<Arrivals> {
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
    pub(super) fn keep(&self, side: usize, kept: &mut KeptRows) -> PolarsResult<Vec<(u64, Arrival)>> {
        let arrivals = &self.sides[side];
        let places: Vec<IdxSize> = arrivals.iter().map(|arrival| arrival.row).collect();
        let columns = kept.columns.iter().cloned().chain([PlSmallStr::from_static(SIDE_TIME)]);
        let rows = self.rows.select(columns)?.take(&IdxCa::from_slice(PlSmallStr::EMPTY, &places))?;
        let first = kept.rows.push(rows);
        Ok((first..).zip(arrivals.iter().copied()).collect())
    }

    pub(super) fn key(&self, arrival: &Arrival) -> &[u8] {
        self.keys.get(arrival.row as usize).unwrap_or_default()
    }
}

/// The rows of a side that are kept.
pub(super) struct KeptRows {
    /// Those that the result has; the time is there beside them, so that there always is a column.
    columns: Vec<PlSmallStr>,
    pub(super) rows: Segments,
}

/// Rows on their way to be written down, or back: their places, with keys where they have them.
pub(super) type Written = Vec<(Place, Option<Key>)>;

impl KeptRows {
    /// `input` is the schema of the rows of both sides.
    pub(super) fn new(columns: &[PlSmallStr], input: &SchemaRef) -> PolarsResult<KeptRows> {
        let names = columns.iter().cloned().chain([PlSmallStr::from_static(SIDE_TIME)]);
        let empty = DataFrame::empty_with_schema(input).select(names)?;
        Ok(KeptRows { columns: columns.to_vec(), rows: Segments::new(empty) })
    }

    /// The columns of the result, of these rows.
    pub(super) fn take(&self, ids: &[Option<u64>]) -> PolarsResult<DataFrame> {
        self.rows.take(ids)?.select(self.columns.iter().cloned())
    }

    /// The rows as a table. `places` must be all that are kept.
    pub(super) fn save(&self, mut places: Written) -> PolarsResult<DataFrame> {
        places.sort_unstable_by_key(|(place, _)| place.id);
        let (mut rows, marked) = self.rows.live()?;
        polars_ensure!(rows.height() == places.len(), ComputeError: "rows are kept that no one knows of");
        let keys: BinaryChunked = places.iter().map(|(_, key)| key.as_deref()).collect();
        let times: Vec<i64> = places.iter().map(|(place, _)| place.time).collect();
        let orders: Vec<i64> = places.iter().map(|(place, _)| place.order).collect();
        rows.with_column(Column::from(Series::new(START.into(), times)))?;
        rows.with_column(Column::from(Series::new(POSITION.into(), orders)))?;
        rows.with_column(Column::from(keys.with_name(KEY.into()).into_series()))?;
        rows.with_column(Column::from(Series::new(MARK.into(), marked)))?;
        Ok(rows)
    }

    /// Takes over what [`KeptRows::save`] gave; gives the places again.
    pub(super) fn restore(&mut self, mut saved: DataFrame) -> PolarsResult<Written> {
        let (times, orders) = (integers(&saved, START)?, integers(&saved, POSITION)?);
        let (keys, marks) = (saved.column(KEY)?.binary()?.clone(), saved.column(MARK)?.bool()?.clone());
        for name in [START, POSITION, KEY, MARK] {
            saved.drop_in_place(name)?;
        }
        saved.rechunk_mut();
        let first = self.rows.push(saved);
        let mut places = Vec::with_capacity(times.len());
        for (row, (time, order)) in times.iter().zip(orders.iter()).enumerate() {
            let id = first + row as u64;
            if marks.get(row) == Some(true) {
                self.rows.mark(id);
            }
            let place = Place { time: time.unwrap_or_default(), order: order.unwrap_or_default(), id };
            places.push((place, keys.get(row).map(Key::from_slice)));
        }
        Ok(places)
    }
}
