//! The operators: each a struct with its parameters and its state, and one `execute`. They run on the query's thread
//! and know neither sources nor sinks.

/// Which operator runs an operation.
mod choice;
/// The rows that others drop.
mod late;
/// The first rows that come.
mod limit;
/// Indexes of frames that rows are looked up in.
mod lookup;
/// The first rows in an order.
mod sorted;
/// A person's function with a state for each key.
mod stateful;
/// Steps without a state.
pub(crate) mod stateless;
/// The first row of each value.
mod unique;

/// Values of a fixed size for each group.
mod accumulator;
/// Values that grow with the group.
mod collected;
/// A group with its rows.
mod group;
/// Groups with their rows, written down.
mod group_tables;
/// Aggregation by merging values.
mod merged;
/// The rows that were given, for who takes them back.
mod output;
/// Aggregation by keeping rows.
mod regrouped;
/// Aggregation over sessions.
mod sessions;

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
/// Sums without rounding.
mod exact;
/// The memory of what is kept, and its cap.
mod retained;
/// Rows by their identities.
mod row_store;
/// Rows that are kept until they are freed.
mod segments;
/// Compensated sums.
mod sum;

use plan::{Aggregate, Step};
use polars::prelude::*;

pub(crate) use choice::{Before, operator};
use columns::{END, POSITION, START, integers};

use crate::change::{Changes, Delta, Revision};

/// One stage of a pipeline. Times are in the unit of the watermark's column; an operator that gives rows with identities keeps
/// a row's identity as long as the row is in its result, and takes it from [`Changes`] where its input has them.
pub(crate) trait Operator: Send {
    /// Takes a batch in. `watermark` is the one before the batch: rows that only belong to what ended at or before it are late.
    fn execute(&mut self, delta: Delta, watermark: Option<i64>) -> PolarsResult<Executed>;

    /// Takes a batch of two inputs in, the left and the right. Where their rows never change and have the same columns, they are
    /// taken as those of one.
    fn execute_sides(&mut self, sides: [Delta; 2], watermark: Option<i64>) -> PolarsResult<Executed> {
        let [left, right] = sides;
        self.execute(Delta::Append(both(never_changing(left)?, never_changing(right)?)?), watermark)
    }

    /// Says when the next batch was planned, in milliseconds since the epoch.
    fn at(&mut self, _moment_ms: i64) {}

    /// Forgets what no row can change any more now that the watermark is here. Gives rows that had to wait for it, and of an
    /// aggregation the rows that are final, where they are `wanted`.
    fn close(&mut self, _watermark: i64, _wanted: bool) -> PolarsResult<Option<DataFrame>> {
        Ok(None)
    }

    /// The watermark at which [`Operator::close`] next has something to give; with `wanted`, of an aggregation too.
    fn due(&self, _wanted: bool) -> Option<i64> {
        None
    }

    /// The identities of rows that nothing changes any more, and that it has not given before; `input` are those of the rows it
    /// was given.
    fn settled(&mut self, _input: Vec<u64>) -> Vec<u64> {
        Vec::new()
    }

    /// Gives the rows that waited for others to come, now that none will: the input has an end.
    fn finish(&mut self) -> PolarsResult<Option<DataFrame>> {
        Ok(None)
    }

    /// Says that of an aggregation nothing but the rows that are final is asked for, before it is given any row.
    fn only_final(&mut self) {}

    /// Says, before it is given any row, that the old rows are wanted beside the new: see [`Revision::retracted`]. Gives whether they
    /// are wanted of what stands before it too, for it makes no rows of its own.
    fn retract(&mut self) -> bool {
        false
    }

    /// The row-wise steps that it runs.
    fn steps(&mut self) -> &mut [Step] {
        &mut []
    }

    /// Whether its rows change until they are final.
    fn aggregates(&self) -> bool {
        false
    }

    /// The state as a number and tables.
    fn save(&self) -> PolarsResult<OperatorSnapshot>;

    /// Takes over what [`Operator::save`] gave.
    fn restore(&mut self, number: u64, tables: Tables<'_>) -> PolarsResult<()>;

    /// All of the state is written down: what changes from now on is what [`Operator::save_changes`] gives.
    fn all_saved(&mut self) {}

    /// What changed since the state was last written down, or restored; of an operator with little to write, all.
    fn save_changes(&mut self) -> PolarsResult<OperatorSnapshot> {
        self.save()
    }

    /// As [`Operator::save`], or with what changed only; the work that can wait is done by who calls what it gives, on whichever
    /// thread.
    fn freeze(&mut self, all: bool) -> PolarsResult<PendingSnapshot> {
        let kept = if all { self.save()? } else { self.save_changes()? };
        if all {
            self.all_saved();
        }
        Ok(Box::new(|| Ok(kept)))
    }

    /// Takes over what changed of [`GROUPS`] each time since the state that was restored; number and tables are those of the
    /// last time.
    fn restore_changes(&mut self, _number: u64, _changes: Vec<DataFrame>, _tables: Tables<'_>) -> PolarsResult<()> {
        polars_bail!(ComputeError: "the saved state has changes of an operator that saves none")
    }
}

/// What a batch led to.
pub(crate) struct Executed {
    pub(crate) delta: Delta,
    /// Rows dropped because what they belong to has ended.
    pub(crate) late: usize,
    /// Rows dropped because they have no time.
    pub(crate) timeless: usize,
}

impl Executed {
    /// No row was dropped.
    fn of(delta: Delta) -> Executed {
        Executed { delta, late: 0, timeless: 0 }
    }
}

impl From<Touched> for Executed {
    fn from(touched: Touched) -> Executed {
        let Touched { ids, rows, deletes, retracted, late, timeless } = touched;
        let changes = Changes { ids, rows, deletes };
        Executed { delta: Delta::Change(Revision { changes, retracted }), late, timeless }
    }
}

/// The state of an operator as it was at one moment, to be made into tables.
pub(crate) type PendingSnapshot = Box<dyn FnOnce() -> PolarsResult<OperatorSnapshot> + Send>;

/// The state of an operator, to be written down.
#[derive(Default)]
pub(crate) struct OperatorSnapshot {
    pub(crate) number: u64,
    /// Each with a name that is the operator's own.
    pub(crate) tables: Vec<(&'static str, DataFrame)>,
    /// What changed of tables that are not among them. Of [`GROUPS`] the operator takes it over itself, of all others it is
    /// [numbered](crate::snapshot::numbered).
    pub(crate) changes: Vec<(&'static str, DataFrame)>,
}

impl OperatorSnapshot {
    fn new(number: u64, tables: impl IntoIterator<Item = (&'static str, DataFrame)>) -> OperatorSnapshot {
        OperatorSnapshot { number, tables: tables.into_iter().collect(), changes: Vec::new() }
    }

    fn changes(number: u64, changes: impl IntoIterator<Item = (&'static str, DataFrame)>) -> OperatorSnapshot {
        OperatorSnapshot { number, tables: Vec::new(), changes: changes.into_iter().collect() }
    }
}

/// Gives a table of a written state by its name.
pub(crate) type Tables<'a> = &'a mut dyn FnMut(&str) -> PolarsResult<DataFrame>;

/// The table of an operator with one line for each group, key or value.
pub(crate) const GROUPS: &str = "groups";
/// The table with the rows that are kept.
const ROWS: &str = "rows";

/// The rows of a batch, for an operator whose input never changes.
fn never_changing(delta: Delta) -> PolarsResult<DataFrame> {
    match delta {
        Delta::Append(rows) => Ok(rows),
        Delta::Change(_) => {
            polars_bail!(ComputeError: "an operator for rows that never change was given rows that do")
        }
    }
}

/// The rows of two inputs as those of one. Where only one of them has positions, those of the other come first.
fn both(mut left: DataFrame, mut right: DataFrame) -> PolarsResult<DataFrame> {
    let has = |rows: &DataFrame| rows.column(POSITION).is_ok();
    if has(&left) != has(&right) {
        let without = if has(&left) { &mut right } else { &mut left };
        without.with_column(Column::new_scalar(POSITION.into(), 0i64.into(), without.height()))?;
    }
    left.vstack_mut(&right)?;
    Ok(left)
}

/// Whether rows are added to what an aggregation has, or taken away from it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Sign {
    Added,
    Subtracted,
}

/// What a batch did to an aggregation.
pub(crate) struct Touched {
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
