//! The operators: each a struct with its parameters and its state, and one `execute`. They run on the query's thread
//! and know neither sources nor sinks.

pub(crate) mod accumulator;
pub(crate) mod columns;
pub(crate) mod merged;
pub(crate) mod regrouped;
mod saved;
pub(crate) mod sessions;
pub(crate) mod sides;
pub(crate) mod sorted;
pub(crate) mod stateful;
pub(crate) mod stateless;
pub(crate) mod sum;
pub(crate) mod unique;
pub(crate) mod watermark;

use plan::Aggregate;
use polars::prelude::*;

use columns::{COUNT, END, POSITION, START, Windows, integers};

/// What a batch did to an aggregation.
pub(crate) struct Touched {
    /// The identity of each group that changed.
    pub(crate) ids: Vec<u64>,
    /// Its row as it is now.
    pub(crate) rows: DataFrame,
    /// The identities of groups that are no more.
    pub(crate) deletes: Vec<u64>,
    /// Rows dropped because their window was closed.
    pub(crate) late: usize,
    /// Rows dropped because they have no time.
    pub(crate) timeless: usize,
}

/// Rows with windows, less those that are late or without a time; and how many these are. A row may stand for several, as
/// the column [`COUNT`] says where it is there.
fn dropped(rows: DataFrame, watermark: Option<i64>) -> PolarsResult<(DataFrame, usize, usize)> {
    let (starts, ends) = (integers(&rows, START)?, integers(&rows, END)?);
    let is_late = |end: i64| watermark.is_some_and(|watermark| end <= watermark);
    let counts = rows.column(COUNT).ok().map(|counts| counts.idx().cloned()).transpose()?;
    let count = |row: usize| counts.as_ref().and_then(|counts| counts.get(row)).map_or(1, |count| count as usize);
    let (mut late, mut timeless) = (0, 0);
    let mut keep = Vec::with_capacity(rows.height());
    for (row, (start, end)) in starts.iter().zip(ends.iter()).enumerate() {
        let (is_timeless, is_late) = (start.is_none(), end.is_some_and(is_late));
        timeless += if is_timeless { count(row) } else { 0 };
        late += if is_late { count(row) } else { 0 };
        keep.push(!is_timeless && !is_late);
    }
    if late + timeless == 0 {
        return Ok((rows, 0, 0));
    }
    Ok((rows.filter(&BooleanChunked::from_slice(PlSmallStr::EMPTY, &keep))?, late, timeless))
}

/// The windows of an aggregation whose result has `schema`.
fn cut_of(plan: &Aggregate, schema: &SchemaRef) -> Option<Windows> {
    let over = plan.over.as_ref()?;
    Windows::new(over, schema.get(&over.time)?)
}

/// The columns of its input that an aggregation must keep.
fn kept_columns(plan: &Aggregate, input: &SchemaRef) -> Vec<PlSmallStr> {
    let needed = plan::columns_of(plan.keys.iter().chain(&plan.written));
    let time = plan.over.as_ref().map(|over| &over.time);
    let is_kept = |name: &&PlSmallStr| {
        needed.as_ref().is_none_or(|needed| needed.contains(*name)) || time == Some(*name) || name.as_str() == POSITION
    };
    let kept: Vec<PlSmallStr> = input.iter_names().filter(is_kept).cloned().collect();
    // Rows are to be counted even where nothing of them is read.
    if kept.is_empty() { input.iter_names().take(1).cloned().collect() } else { kept }
}
