//! The operators: each a struct with its parameters and its [state](crate::state), and one `execute`. They run on the query's
//! thread and know neither sources nor sinks.

/// Which operator runs an operation.
mod choice;
/// The rows that others drop.
mod late;
/// The first rows that come.
mod limit;
/// Frames that rows are looked up in.
mod lookup;
/// A person's function with a state for each key.
mod stateful;
/// Steps without a state.
pub(crate) mod stateless;
/// The first rows in an order.
mod top_k;
/// The first row of each value.
mod unique;

/// What is aggregated of the rows of groups.
mod group;
/// Aggregation by merging values.
mod hash_aggregate;
/// Aggregation by keeping rows.
mod regroup_aggregate;
/// Aggregation over sessions.
mod session_aggregate;

/// Rows of a join by time as they come.
mod arrivals;
/// Two streams as of a time.
mod asof_join;
/// Rows of each key in the order of time.
mod by_time;
/// Rows that change, by keys alone.
mod hash_join;
/// Two streams within a bound of time.
mod interval_join;

/// The parts that windows share.
mod panes;
/// How far event time has come.
pub(crate) mod watermark;
/// The windows of a row.
mod windows;

/// The columns of ours.
pub(crate) mod columns;

use plan::Aggregate;
use polars::prelude::*;

pub(crate) use choice::{Before, operator};
use columns::{END, POSITION, START, integers};
pub(crate) use lookup::LookupTable;

use crate::change::{Changes, Delta, Revision};
use crate::state::StateTables;

/// A stage of a pipeline that keeps something from batch to batch. Times are in the unit of the watermark's column; an operator that
/// gives rows with identities keeps a row's identity as long as the row is in its result, and takes it from [`Changes`] where its
/// input has them.
pub(crate) trait Operator: Send {
    /// Takes a batch in. `watermark` is the one before the batch: rows that only belong to what ended at or before it are late.
    fn execute(&mut self, delta: Delta, watermark: Option<i64>) -> PolarsResult<BatchResult>;

    /// Takes a batch of two inputs in, the left and the right. Where their rows never change and have the same columns, they are
    /// taken as those of one.
    fn execute_sides(&mut self, sides: [Delta; 2], watermark: Option<i64>) -> PolarsResult<BatchResult> {
        let [left, right] = sides;
        self.execute(Delta::Append(both(never_changing(left)?, never_changing(right)?)?), watermark)
    }

    /// Forgets what no row can change any more now that the watermark is here. Gives rows that had to wait for it, and of an
    /// aggregation the rows that are final, where they are `wanted`.
    fn close(&mut self, _watermark: i64, _wanted: bool) -> PolarsResult<Option<DataFrame>> {
        Ok(None)
    }

    /// The watermark at which [`Operator::close`] next has something to give; with `wanted`, of an aggregation too.
    fn due(&self, _wanted: bool) -> Option<i64> {
        None
    }

    /// The identities of rows that nothing changes any more, and that it has not given before.
    fn settled(&mut self) -> Vec<u64> {
        Vec::new()
    }

    /// Gives the rows that waited for others to come, now that none will: the input has an end.
    fn finish(&mut self) -> PolarsResult<Option<DataFrame>> {
        Ok(None)
    }

    /// Says that of an aggregation nothing but the rows that are final is asked for, before it is given any row.
    fn only_final(&mut self) {}

    /// The tables of its state, as the physical plan names them. The pipeline writes them and takes them over.
    fn state(&mut self) -> StateTables<'_>;

    /// Makes what it derives of its tables, which have been taken over. What ended at `watermark` or before may be in them still.
    fn restored(&mut self, _watermark: Option<i64>) -> PolarsResult<()> {
        Ok(())
    }
}

/// What a batch led to in an operator.
pub(crate) struct BatchResult {
    pub(crate) delta: Delta,
    /// Rows dropped because what they belong to has ended.
    pub(crate) late: usize,
    /// Rows dropped because they have no time.
    pub(crate) timeless: usize,
}

impl BatchResult {
    /// No row was dropped.
    fn of(delta: Delta) -> BatchResult {
        BatchResult { delta, late: 0, timeless: 0 }
    }
}

impl From<AggregateDelta> for BatchResult {
    fn from(delta: AggregateDelta) -> BatchResult {
        let AggregateDelta { ids, rows, deletes, retracted, late, timeless } = delta;
        let changes = Changes { ids, rows, deletes };
        BatchResult { delta: Delta::Change(Revision { changes, retracted }), late, timeless }
    }
}

/// The rows of a batch, for an operator whose input never changes.
fn never_changing(delta: Delta) -> PolarsResult<DataFrame> {
    match delta {
        Delta::Append(rows) => Ok(rows),
        Delta::Change(_) => {
            polars_bail!(ComputeError: "an operator for rows that never change was given rows that do")
        }
    }
}

/// The rows of two inputs as those of one. Where only one of them has positions, those of the other are null.
fn both(mut left: DataFrame, mut right: DataFrame) -> PolarsResult<DataFrame> {
    let has = |rows: &DataFrame| rows.column(POSITION).is_ok();
    if has(&left) != has(&right) {
        let without = if has(&left) { &mut right } else { &mut left };
        without.with_column(Column::full_null(POSITION.into(), without.height(), &DataType::Int64))?;
    }
    left.vstack_mut(&right)?;
    Ok(left)
}

/// What a batch did to an aggregation.
pub(crate) struct AggregateDelta {
    /// The identity of each group that changed.
    pub(crate) ids: Vec<u64>,
    /// Its row as it is now.
    pub(crate) rows: DataFrame,
    /// The identities of groups that are no more.
    pub(crate) deletes: Vec<u64>,
    /// The rows of all these groups as they were, where they are asked for.
    pub(crate) retracted: Option<DataFrame>,
    /// Rows dropped because their window was closed.
    pub(crate) late: usize,
    /// Rows dropped because they have no time.
    pub(crate) timeless: usize,
}

/// Rows with windows, less those that are late or without a time; and how many these are.
fn dropped(rows: DataFrame, watermark: Option<i64>) -> PolarsResult<(DataFrame, usize, usize)> {
    let (starts, ends) = (integers(&rows, START)?, integers(&rows, END)?);
    let is_late = |end: i64| watermark.is_some_and(|watermark| end <= watermark);
    let (mut late, mut timeless) = (0, 0);
    let mut keep = Vec::with_capacity(rows.height());
    for (start, end) in starts.iter().zip(ends.iter()) {
        let (is_timeless, is_late) = (start.is_none(), end.is_some_and(is_late));
        timeless += usize::from(is_timeless);
        late += usize::from(is_late);
        keep.push(!is_timeless && !is_late);
    }
    if late + timeless == 0 {
        return Ok((rows, 0, 0));
    }
    Ok((rows.filter(&BooleanChunked::from_slice(PlSmallStr::EMPTY, &keep))?, late, timeless))
}

/// The columns of its input that an aggregation must keep; `order` is the one with the event time.
fn kept_columns(plan: &Aggregate, order: Option<&PlSmallStr>, input: &SchemaRef) -> Vec<PlSmallStr> {
    let needed = plan::columns_of(plan.keys.iter().chain(&plan.written));
    let is_kept = |name: &&PlSmallStr| {
        needed.as_ref().is_none_or(|needed| needed.contains(*name)) || order == Some(*name) || name.as_str() == POSITION
    };
    let kept: Vec<PlSmallStr> = input.iter_names().filter(is_kept).cloned().collect();
    // Rows are to be counted even where nothing of them is read.
    if kept.is_empty() { input.iter_names().take(1).cloned().collect() } else { kept }
}
