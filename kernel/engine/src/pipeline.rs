//! A plan made ready to run: the steps in their stages, with the state between them. A pipeline is a function of its
//! state and a batch; it reads no source, writes no sink and tells no time.

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::Arc;

use plan::{Plan, Step};
use polars::prelude::*;

use crate::calendar::in_calendar;
use crate::change::{Changes, Delta};
use crate::clock::Clock;
use crate::operator::columns::{self, PART, POSITION, integers};
use crate::operator::stateless::{self, RowWise};
use crate::operator::watermark::WatermarkTracker;
use crate::operator::{Before, Executed, Operator, operator};
use crate::physical::{self, Operation, Pairing, PhysicalPlan};
use crate::position::{Offsets, TopicPartition};
use crate::refresh::Refresh;
use crate::source::{LeftOut, PartitionRows};

mod saved;

/// Whether rows behind the watermark are dropped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// A stream: they are, and the windows behind it are closed.
    Stream,
    /// A batch: the whole input is there, so nothing is late.
    Batch,
}

/// Which rows a batch gives.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum OutputMode {
    /// Rows that never change any more: of an aggregation, those whose windows the watermark has closed.
    Append,
    /// Rows that are new or have changed.
    #[default]
    Update,
    /// All rows of the result as it is now.
    Complete,
}

/// A running plan.
pub struct Pipeline {
    /// The columns that are used, where the source gives more.
    wanted: Option<Vec<PlSmallStr>>,
    /// Row-wise steps up to the watermark, which tells partitions apart.
    front: RowWise,
    /// The column that a watermark is on, also of a batch.
    time: Option<PlSmallStr>,
    watermark: Option<WatermarkTracker>,
    /// How many times in that column the calendar does not hold.
    beyond: u64,
    stages: Vec<Stage>,
    /// The stage that gives rows only when they are final.
    finals: Option<usize>,
    /// How many rows of each partition there were, where their order matters.
    positions: Option<BTreeMap<TopicPartition, Position>>,
    /// Whether a first batch without rows gives a row: that of an aggregation of all rows, of which there are none.
    owes_a_row: bool,
    refresh: Refresh,
    next_id: u64,
    /// Rows since the last output whose time is too far ahead of the clock.
    ahead: usize,
    /// The newest time of processing.
    moment_ms: i64,
    /// The rows that enter the stages where there are none.
    none: DataFrame,
    /// The result where there are none.
    empty: DataFrame,
}

/// An operator, and the watermark that holds for its rows.
struct Stage {
    operator: Box<dyn Operator>,
    /// How far behind the watermark its rows may be and are not late; `None` where the watermark says nothing of them.
    slack: Option<i64>,
}

impl Stage {
    fn own(&self, watermark: Option<i64>) -> Option<i64> {
        Some(watermark?.saturating_sub(self.slack?))
    }
}

/// What a batch led to.
#[derive(Debug)]
pub struct Output {
    /// The changes of the result.
    pub changes: Changes,
    /// Identities whose rows no later batch changes, for their windows have closed; those that are in no row do not count.
    /// Rows that never change are not among them.
    pub closed: Vec<u64>,
    /// Rows dropped because they came after the watermark: once for each window that a row would have been in.
    pub late: usize,
    /// Rows dropped because they have no event time.
    pub timeless: usize,
    /// Rows whose time is so far ahead of the clock that it does not move the watermark.
    pub ahead: usize,
    /// Why a frame that rows are looked up in is not as new as it should be.
    pub stale: Option<String>,
    /// Why the watermark does not go on although rows come.
    pub held_back: Option<String>,
    /// What else a reader of the result should know, in a sentence each.
    pub notices: Vec<String>,
}

impl Pipeline {
    /// Makes a plan ready, as it [runs](PhysicalPlan), with an empty state. `source` are the columns that its
    /// batches will have.
    ///
    /// # Errors
    /// Never for a plan that was checked when it was made; what Polars says otherwise.
    pub fn new(plan: &Plan, source: &SchemaRef, mode: Mode, clock: &Arc<dyn Clock>) -> PolarsResult<Pipeline> {
        let plan = PhysicalPlan::of(plan);
        let schemas = std::iter::once(&plan.read).chain(plan.stages.iter().map(|stage| &stage.schema));
        schemas.flat_map(|schema| schema.iter_names()).try_for_each(columns::check_name)?;
        let first = plan.stages.iter().find_map(|stage| match &stage.operation {
            Operation::Aggregate(_, method) => Some(method.is_ordered()),
            // Of rows of one time the last is the nearest.
            Operation::JoinSides(join) => Some(matches!(join.pairing, Pairing::Asof { .. })),
            // What a function gives has no position.
            Operation::Step(Step::WithState(..)) => Some(false),
            _ => None,
        });
        let mut ordered = first.unwrap_or(false);
        let read = plan.read.clone();
        let wanted: Vec<PlSmallStr> = read.iter_names().cloned().collect();
        let narrows = wanted.len() < source.len() && !wanted.is_empty();
        let mut input = if narrows { read } else { source.clone() };
        let mut pipeline = Pipeline {
            wanted: narrows.then_some(wanted),
            front: RowWise::default(),
            time: None,
            watermark: None,
            beyond: 0,
            stages: Vec::new(),
            finals: None,
            positions: ordered.then(BTreeMap::new),
            owes_a_row: plan.stages.iter().any(|stage| stage.operation.is_of_all()),
            refresh: Refresh::new(clock.clone()),
            next_id: 0,
            ahead: 0,
            moment_ms: 0,
            none: DataFrame::empty_with_schema(&with_position(&input, ordered)),
            empty: DataFrame::empty_with_schema(plan.schema()),
        };
        let is_mark = |operation: &Operation| matches!(operation, Operation::Step(Step::Watermark(_)));
        let marked = plan.stages.iter().position(|stage| is_mark(&stage.operation));
        let mut row_wise = RowWise::default();
        for (number, (stage, times)) in plan.stages.iter().zip(plan.times_before()).enumerate() {
            let physical::Stage { operation, schema } = stage;
            if let Operation::Step(step) = operation
                && stateless::takes(step)
            {
                let in_front = marked.is_some_and(|marked| number < marked);
                let steps = if in_front { &mut pipeline.front } else { &mut row_wise };
                steps.push(step);
                let empty = DataFrame::empty_with_schema(&input);
                input = stateless::execute(std::slice::from_ref(step), empty)?.schema().clone();
                continue;
            }
            if let Operation::Step(Step::Watermark(watermark)) = operation {
                let Some(DataType::Datetime(unit, _)) = input.get(&watermark.column) else {
                    polars_bail!(ComputeError: "the watermark's column \"{}\" is no datetime", watermark.column);
                };
                pipeline.time = Some(watermark.column.clone());
                if mode == Mode::Stream {
                    pipeline.watermark = Some(WatermarkTracker::new(watermark, *unit, clock.clone()));
                }
                continue;
            }
            pipeline.push_row_wise(&mut row_wise);
            let per_ms = pipeline.watermark.as_ref().map_or(1, WatermarkTracker::steps_per_ms);
            let with_position = with_position(&input, ordered);
            let order = times.nearest().filter(|time| input.contains(time));
            let time = order.filter(|_| pipeline.watermark.is_some());
            let before = Before { input: &with_position, time, order, per_ms };
            let slack = operation.slack(&times).map(|behind| steps_up(behind, per_ms));
            pipeline.stages.push(Stage { operator: operator(operation, &before, schema)?, slack });
            if operation.makes_rows() {
                input = schema.clone();
                ordered = false;
            }
        }
        pipeline.push_row_wise(&mut row_wise);
        pipeline.none = pipeline.front.run(pipeline.none)?;
        Ok(pipeline)
    }

    fn push_row_wise(&mut self, steps: &mut RowWise) {
        if !steps.is_empty() {
            let operator = Box::new(std::mem::take(steps));
            self.stages.push(Stage { operator, slack: None });
        }
    }

    /// Says which partitions are read from now on.
    pub fn assign(&mut self, partitions: &Offsets) {
        if let Some(watermark) = &mut self.watermark {
            watermark.assign(partitions);
        }
        if let Some(positions) = &mut self.positions {
            for partition in partitions.0.keys() {
                Position::of(positions, partition);
            }
        }
    }

    /// Whether it hangs on where the log ends which windows close: see [`Pipeline::ends`].
    #[must_use]
    pub fn wants_ends(&self, moment_ms: i64) -> bool {
        let moment_ms = self.moment_ms.max(moment_ms);
        self.watermark.as_ref().is_some_and(|watermark| watermark.wants_ends(moment_ms))
    }

    /// Says up to where the partitions will be read with the next batch, and where the log says that they end: one that gives no
    /// rows and is read to its end holds the watermark back no longer.
    pub fn ends(&mut self, read: &Offsets, ends: &Offsets) {
        if let Some(watermark) = &mut self.watermark {
            watermark.ends(read, ends);
        }
    }

    /// Says up to where the partitions are read with the next batch, in a query that ends at `end`: one that was read so far holds
    /// the watermark back no longer.
    pub fn read_to(&mut self, read: &Offsets, end: &Offsets) {
        if let Some(watermark) = &mut self.watermark {
            watermark.read_to(read, end);
        }
    }

    /// Says that the source is read again after a time in which it was not: no partition is idle.
    pub fn wake(&mut self) {
        if let Some(watermark) = &mut self.watermark {
            watermark.wake();
        }
    }

    /// Says when the next batch was planned, in milliseconds since the epoch: its rows' time of processing, which never goes
    /// back.
    pub fn at(&mut self, moment_ms: i64) {
        self.moment_ms = self.moment_ms.max(moment_ms);
    }

    /// Whether nothing was run yet, and of no rows there is one.
    #[must_use]
    pub fn owes_a_row(&self) -> bool {
        self.owes_a_row
    }

    /// Whether a batch without rows at this moment would give something: a partition has become idle, or the clock has gone on,
    /// and windows or a function have waited for it.
    #[must_use]
    pub fn is_due(&self, moment_ms: i64) -> bool {
        let Some(watermark) = &self.watermark else { return false };
        let next = watermark.next(self.moment_ms.max(moment_ms));
        let gives = |(number, stage): (usize, &Stage)| {
            let due = stage.operator.due(self.finals == Some(number));
            due.is_some_and(|due| stage.own(next).is_some_and(|next| due <= next))
        };
        next > watermark.current() && self.stages.iter().enumerate().any(gives)
    }

    /// Takes in what the source left out of the next batch.
    pub fn left_out(&mut self, left_out: &[LeftOut]) {
        if let Some(watermark) = &mut self.watermark {
            for left in left_out {
                let is_ahead = watermark.observe_newest(&left.partition, left.newest, left.rows, self.moment_ms);
                self.ahead += usize::from(is_ahead);
            }
        }
    }

    /// Takes a batch in.
    ///
    /// # Errors
    /// What Polars says of an expression that fails on the rows.
    pub fn execute(&mut self, parts: Vec<PartitionRows>) -> PolarsResult<Output> {
        self.run(parts, None)
    }

    /// Takes a batch in once more; `watermark` is what stood after it then, in its column's unit.
    ///
    /// # Errors
    /// As for [`Pipeline::execute`].
    pub fn repeat(&mut self, parts: Vec<PartitionRows>, watermark: Option<i64>) -> PolarsResult<Output> {
        self.run(parts, Some(watermark))
    }

    fn run(&mut self, parts: Vec<PartitionRows>, repeated: Option<Option<i64>>) -> PolarsResult<Output> {
        self.owes_a_row = false;
        let steps = self.stages.iter_mut().flat_map(|stage| stage.operator.steps());
        self.refresh.run(self.front.steps().iter_mut().chain(steps));
        let before = self.watermark.as_ref().and_then(WatermarkTracker::current);
        self.front.at(self.moment_ms);
        let rows = self.rows(parts)?;
        // A batch that is repeated is given the watermark that it had.
        let after = match repeated {
            Some(watermark) => {
                self.set_watermark(watermark);
                watermark
            }
            None => self.watermark.as_mut().and_then(|watermark| watermark.advance(self.moment_ms)),
        };
        let (mut delta, mut settled, mut late, mut timeless) = (Delta::Append(rows), Vec::new(), 0, 0);
        for (number, stage) in self.stages.iter_mut().enumerate() {
            let (before, after) = (stage.own(before), stage.own(after));
            stage.operator.at(self.moment_ms);
            let executed: Executed = stage.operator.execute(delta, before)?;
            let wanted = self.finals == Some(number);
            late += executed.late;
            timeless += executed.timeless;
            let closed = match after {
                Some(after) => stage.operator.close(after, wanted)?,
                None => None,
            };
            settled = stage.operator.settled(settled);
            delta = match (executed.delta, closed) {
                (Delta::Append(mut rows), Some(closed)) => {
                    rows.vstack_mut(&closed)?;
                    Delta::Append(rows)
                }
                (Delta::Change(_), Some(closed)) => Delta::Append(closed),
                (Delta::Change(changes), None) if wanted => Delta::Append(changes.rows.clear()),
                (changed, None) => changed,
            };
        }
        Ok(self.output(delta, settled, late, timeless))
    }

    /// Gives the rows that waited for others to come: the input has an end, and that was reached.
    ///
    /// # Errors
    /// As for [`Pipeline::execute`].
    pub fn finish(&mut self) -> PolarsResult<Output> {
        // What comes before the first such row is not run: of no rows, literals alone would make one.
        let (mut delta, mut timeless) = (None, 0);
        for stage in &mut self.stages {
            let executed = delta.map(|delta| stage.operator.execute(delta, None)).transpose()?;
            timeless += executed.as_ref().map_or(0, |executed| executed.timeless);
            delta = match (executed.map(|executed| executed.delta), stage.operator.finish()?) {
                (Some(Delta::Append(mut rows)), Some(more)) => {
                    rows.vstack_mut(&more)?;
                    Some(Delta::Append(rows))
                }
                (_, Some(rows)) => Some(Delta::Append(rows)),
                (delta, None) => delta,
            };
        }
        let none = Delta::Change(Changes { rows: self.empty.clone(), ..Changes::default() });
        Ok(self.output(delta.unwrap_or(none), Vec::new(), 0, timeless))
    }

    /// Has the last aggregation give only rows that are final.
    pub fn append(&mut self) {
        self.finals = self.stages.iter().rposition(|stage| stage.operator.aggregates());
        if let Some(number) = self.finals {
            self.stages[number].operator.only_final();
        }
    }

    /// The watermark in its column's unit.
    #[must_use]
    pub fn watermark(&self) -> Option<i64> {
        self.watermark.as_ref().and_then(WatermarkTracker::current)
    }

    fn set_watermark(&mut self, watermark: Option<i64>) {
        if let Some(tracker) = &mut self.watermark {
            tracker.set(watermark);
        }
    }

    /// The watermark in milliseconds since the epoch.
    #[must_use]
    pub fn watermark_ms(&self) -> Option<i64> {
        self.watermark.as_ref().and_then(WatermarkTracker::current_ms)
    }

    /// The rows that enter the stages.
    fn rows(&mut self, parts: Vec<PartitionRows>) -> PolarsResult<DataFrame> {
        // A person's function may give other rows than it was given, and of those nothing tells the partition.
        if !self.front.calls() || parts.len() < 2 {
            return self.rows_of(parts);
        }
        let mut all: Option<DataFrame> = None;
        for part in parts {
            let rows = self.rows_of(vec![part])?;
            match &mut all {
                Some(all) => drop(all.vstack_mut(&rows)?),
                None => all = Some(rows),
            }
        }
        Ok(all.unwrap_or_else(|| self.none.clone()))
    }

    /// The rows of some partitions, which go through the front together: what a step costs, it costs once.
    fn rows_of(&mut self, parts: Vec<PartitionRows>) -> PolarsResult<DataFrame> {
        let parted: Vec<(TopicPartition, usize)> =
            parts.iter().map(|part| (part.partition.clone(), part.rows.height())).collect();
        let Some(mut rows) = together(parts)? else { return Ok(self.none.clone()) };
        if let Some(wanted) = &self.wanted {
            rows = rows.select(wanted.iter().cloned())?;
        }
        if let Some(positions) = &mut self.positions {
            let mut all = Vec::with_capacity(rows.height());
            for (partition, height) in &parted {
                all.extend(Position::of(positions, partition).next(*height));
            }
            rows.with_column(Series::new(POSITION.into(), all).into())?;
        }
        // Where rows come or go, each says which partition it is of.
        let marked = self.watermark.is_some() && !self.front.is_empty() && parted.len() > 1;
        if marked {
            let parts = parted.iter().zip(0u32..).flat_map(|((_, height), part)| std::iter::repeat_n(part, *height));
            rows.with_column(Series::new(PART.into(), parts.collect::<Vec<_>>()).into())?;
        }
        let mut rows = self.front.run(rows)?;
        if let Some(time) = &self.time {
            let (held, beyond) = in_calendar(rows, time)?;
            rows = held;
            self.beyond += beyond as u64;
        }
        if let Some(watermark) = &mut self.watermark {
            let heights = match parted.len() {
                _ if marked => heights(rows.drop_in_place(PART)?.u32()?, parted.len()),
                1 => vec![rows.height()],
                _ => parted.iter().map(|(_, height)| *height).collect(),
            };
            // The steps keep the rows in order.
            let (times, mut first) = (integers(&rows, watermark.column())?, 0);
            for ((partition, _), height) in parted.iter().zip(heights) {
                self.ahead += watermark.observe(partition, &times.slice(first as i64, height), self.moment_ms);
                first += height;
            }
        }
        Ok(rows)
    }

    fn appended(&mut self, mut rows: DataFrame) -> Changes {
        // Positions are for the operators.
        let _ = rows.drop_in_place(POSITION);
        let first = self.next_id;
        self.next_id += rows.height() as u64;
        Changes { ids: (first..self.next_id).collect(), rows, deletes: Vec::new() }
    }

    fn output(&mut self, delta: Delta, closed: Vec<u64>, late: usize, timeless: usize) -> Output {
        let changes = match delta {
            Delta::Append(rows) => self.appended(rows),
            Delta::Change(changes) => changes,
        };
        let held_back = self.watermark.as_ref().and_then(WatermarkTracker::timeless).map(|(partition, rows)| {
            format!("none of the {rows} rows of {partition} has a time, so the watermark waits for one that has")
        });
        let (ahead, stale) = (std::mem::take(&mut self.ahead), self.refresh.failure().map(str::to_owned));
        Output { changes, closed, late, timeless, ahead, stale, held_back, notices: self.notices() }
    }

    fn notices(&self) -> Vec<String> {
        let Some(time) = self.time.as_ref().filter(|_| self.beyond > 0) else { return Vec::new() };
        vec![format!("\"{time}\" has times out of range for the calendar: {} so far, which count as none", self.beyond)]
    }
}

/// Nanoseconds in steps of which a millisecond has `per_ms`, no part left out.
fn steps_up(nanoseconds: i64, per_ms: i64) -> i64 {
    let step = 1_000_000 / per_ms;
    nanoseconds / step + i64::from(nanoseconds % step > 0)
}

fn with_position(schema: &SchemaRef, ordered: bool) -> SchemaRef {
    let mut schema = schema.as_ref().clone();
    if ordered {
        schema.with_column(POSITION.into(), DataType::Int64);
    }
    Arc::new(schema)
}

/// Where rows of a partition stand in the order of all: by partition first, then by their order in it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Position {
    /// The partition's place among all, which it keeps.
    ordinal: i64,
    /// How many rows there were.
    rows: i64,
}

impl Position {
    fn of<'a>(positions: &'a mut BTreeMap<TopicPartition, Position>, partition: &TopicPartition) -> &'a mut Position {
        let ordinal = positions.len() as i64;
        positions.entry(partition.clone()).or_insert(Position { ordinal, rows: 0 })
    }

    /// The positions of the partition's next rows.
    fn next(&mut self, rows: usize) -> Range<i64> {
        let base = (self.ordinal << 40) + self.rows;
        self.rows += rows as i64;
        base..base + rows as i64
    }
}

impl From<[i64; 2]> for Position {
    fn from([ordinal, rows]: [i64; 2]) -> Position {
        Position { ordinal, rows }
    }
}

impl From<Position> for [i64; 2] {
    fn from(position: Position) -> [i64; 2] {
        [position.ordinal, position.rows]
    }
}

/// The rows of all parts below one another, if there are any parts.
fn together(parts: Vec<PartitionRows>) -> PolarsResult<Option<DataFrame>> {
    let count = parts.len();
    let mut parts = parts.into_iter().map(|part| part.rows);
    let Some(mut all) = parts.next() else { return Ok(None) };
    for rows in parts {
        match all.width() {
            // Frames without columns cannot be stacked, but their rows can be counted.
            0 => all = DataFrame::empty_with_height(all.height() + rows.height()),
            _ => drop(all.vstack_mut_owned(rows)?),
        }
    }
    // Every piece costs each step on it, which is more than a copy where the pieces are small.
    if count > 1 && all.height() < count * SMALL {
        all.rechunk_mut();
    }
    Ok(Some(all))
}

/// Pieces of fewer rows, on the average, are put into one.
const SMALL: usize = 1024;

/// How many rows there are of each of so many parts.
fn heights(parts: &UInt32Chunked, count: usize) -> Vec<usize> {
    let mut heights = vec![0; count];
    parts.iter().flatten().for_each(|part| heights[part as usize] += 1);
    heights
}
