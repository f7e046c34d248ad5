//! A plan made ready to run: operators with their state, in the order in which they run. A pipeline is a function of its state
//! and a batch; it reads no source, writes no sink and tells no time.

use polars::prelude::*;

use crate::change::{Changes, Delta};
use crate::operator::columns::POSITION;
use crate::operator::stateless::RowWise;
use crate::operator::watermark::WatermarkTracker;
use crate::operator::{BatchResult, LookupTable, Operator};
use crate::position::Offsets;
use crate::refresh::Refresh;
use crate::source::{LeftOut, PartitionRows};
use lane::{Intake, Lane};
use positions::Positions;

mod build;
mod lane;
mod positions;
mod snapshot;

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
    /// The streams that are read, from left to right.
    lanes: Vec<Lane>,
    watermark: Option<WatermarkTracker>,
    /// What runs, each behind what it takes rows from.
    stages: Vec<PipelineStage>,
    /// What is done with a batch.
    program: Vec<Instruction>,
    /// The stage that gives rows only when they are final.
    finals: Option<usize>,
    /// How many rows of each partition there were, where their order matters.
    positions: Positions,
    /// Whether a first batch without rows gives a row: that of an aggregation of all rows, of which there are none.
    owes_a_row: bool,
    refresh: Refresh,
    next_id: u64,
    /// Rows since the last output whose time is too far ahead of the clock.
    ahead: usize,
    /// The newest time of processing.
    moment_ms: i64,
    /// The result where there are none.
    empty: DataFrame,
}

/// A step in which a batch is run. What it gives is put on a stack, from which a later one takes it.
#[derive(Clone, Copy)]
enum Instruction {
    /// The rows of the next stream come in.
    Lane,
    /// A stage takes what came last.
    Stage(usize),
    /// A stage takes the last two, the left one below.
    Join(usize),
}

/// What runs on rows.
enum PipelineStage {
    /// Steps that keep nothing.
    Steps(RowWise),
    /// An operation with a state.
    Operator(OperatorNode),
}

/// An operator, and the watermark that holds for its rows.
struct OperatorNode {
    operator: Box<dyn Operator>,
    /// The names of its tables.
    tables: &'static [&'static str],
    /// Whether its rows change until they are final.
    aggregates: bool,
    /// How far behind the watermark its rows may be and are not late; `None` where the watermark says nothing of them.
    slack: Option<i64>,
    /// How many steps of the watermark's unit one of its own has.
    per_step: i64,
    /// The rows of each input where there are none, if it has two.
    none: Vec<DataFrame>,
}

impl OperatorNode {
    fn own(&self, watermark: Option<i64>) -> Option<i64> {
        Some(watermark?.div_euclid(self.per_step).saturating_sub(self.slack?))
    }
}

/// What a batch led to.
#[derive(Debug)]
pub struct BatchOutput {
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
    /// Says which partitions are read from now on.
    pub fn assign(&mut self, partitions: &Offsets) {
        if let Some(watermark) = &mut self.watermark {
            watermark.assign(partitions);
        }
        if self.lanes.iter().any(|lane| lane.ordered) {
            self.positions.assign(partitions);
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
        let gives = |(number, stage): (usize, &PipelineStage)| match stage {
            PipelineStage::Steps(_) => false,
            PipelineStage::Operator(node) => {
                let due = node.operator.due(self.finals == Some(number));
                due.is_some_and(|due| node.own(next).is_some_and(|next| due <= next))
            }
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
    pub fn execute(&mut self, parts: Vec<PartitionRows>) -> PolarsResult<BatchOutput> {
        self.run(parts, None)
    }

    /// Takes a batch in once more; `watermark` is what stood after it then, in its column's unit.
    ///
    /// # Errors
    /// As for [`Pipeline::execute`].
    pub fn repeat(&mut self, parts: Vec<PartitionRows>, watermark: Option<i64>) -> PolarsResult<BatchOutput> {
        self.run(parts, Some(watermark))
    }

    fn run(&mut self, parts: Vec<PartitionRows>, repeated: Option<Option<i64>>) -> PolarsResult<BatchOutput> {
        self.owes_a_row = false;
        let fronts = self.lanes.iter_mut().flat_map(|lane| lane.front.lookups());
        let lookups = self.stages.iter_mut().flat_map(PipelineStage::lookups);
        self.refresh.run(fronts.chain(lookups));
        let before = self.watermark.as_ref().and_then(WatermarkTracker::current);
        let mut rows = self.rows(parts)?.into_iter();
        // A batch that is repeated is given the watermark that it had.
        let after = match repeated {
            Some(watermark) => {
                self.set_watermark(watermark);
                watermark
            }
            None => self.watermark.as_mut().and_then(|watermark| watermark.advance(self.moment_ms)),
        };
        let mut stack: Vec<StageOutput> = Vec::new();
        let (mut late, mut timeless) = (0, 0);
        for run in &self.program {
            let (number, taken) = match (run, stack.pop(), stack.pop()) {
                (Instruction::Lane, last, below) => {
                    stack.extend(below.into_iter().chain(last));
                    stack.extend(
                        rows.next().map(|rows| StageOutput { delta: Delta::Append(rows), settled: Vec::new() }),
                    );
                    continue;
                }
                (Instruction::Stage(number), Some(last), below) => {
                    stack.extend(below);
                    (*number, [Some(last), None])
                }
                (Instruction::Join(number), Some(right), Some(left)) => (*number, [Some(left), Some(right)]),
                _ => polars_bail!(ComputeError: "an operator of the plan has nothing to take rows from"),
            };
            let wanted = self.finals == Some(number);
            let (taken, executed) = self.stages[number].run(taken, [before, after], self.moment_ms, wanted)?;
            (late, timeless) = (late + executed[0], timeless + executed[1]);
            stack.push(taken);
        }
        let StageOutput { delta, settled } =
            stack.pop().unwrap_or_else(|| StageOutput { delta: self.nothing(), settled: Vec::new() });
        Ok(self.output(delta, settled, late, timeless))
    }

    /// Gives the rows that waited for others to come: the input has an end, and that was reached.
    ///
    /// # Errors
    /// As for [`Pipeline::execute`].
    pub fn finish(&mut self) -> PolarsResult<BatchOutput> {
        let (mut stack, mut timeless) = (Vec::<Option<Delta>>::new(), 0);
        for run in &self.program {
            // What comes before the first such row is not run: of no rows, literals alone would make one.
            let (number, taken) = match run {
                Instruction::Lane => {
                    stack.push(None);
                    continue;
                }
                Instruction::Stage(number) => (*number, [stack.pop().flatten(), None]),
                Instruction::Join(number) => {
                    let (right, left) = (stack.pop().flatten(), stack.pop().flatten());
                    (*number, [left, right])
                }
            };
            stack.push(match &mut self.stages[number] {
                PipelineStage::Steps(steps) => {
                    let [delta, _] = taken;
                    delta.map(|delta| steps.execute(delta)).transpose()?
                }
                PipelineStage::Operator(node) => {
                    let (delta, more) = node.finish(taken)?;
                    timeless += more;
                    delta
                }
            });
        }
        let delta = stack.pop().flatten().unwrap_or_else(|| self.nothing());
        Ok(self.output(delta, Vec::new(), 0, timeless))
    }

    fn nothing(&self) -> Delta {
        Delta::Change(Changes { rows: self.empty.clone(), ..Changes::default() }.into())
    }

    /// Has the last aggregation give only rows that are final.
    pub fn append(&mut self) {
        let mut operators = self.stages.iter_mut().enumerate().rev().filter_map(|(number, stage)| match stage {
            PipelineStage::Operator(node) if node.aggregates => Some((number, node)),
            _ => None,
        });
        let last = operators.next();
        self.finals = last.map(|(number, node)| {
            node.operator.only_final();
            number
        });
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

    /// The rows of each stream that enter its operators.
    fn rows(&mut self, parts: Vec<PartitionRows>) -> PolarsResult<Vec<DataFrame>> {
        let mut of_lanes: Vec<Vec<PartitionRows>> = self.lanes.iter().map(|_| Vec::new()).collect();
        for part in parts {
            let lane = self.lanes.iter().position(|lane| lane.scans.contains(&part.partition.scan));
            let Some(lane) = lane else {
                polars_bail!(ComputeError: "rows came from scan {}, which is not in the plan", part.partition.scan);
            };
            of_lanes[lane].push(part);
        }
        let (positions, watermark) = (&mut self.positions, self.watermark.as_mut());
        let mut intake = Intake { positions, watermark, moment_ms: self.moment_ms, ahead: 0 };
        let rows = self.lanes.iter_mut().zip(of_lanes).map(|(lane, parts)| lane.rows(parts, &mut intake)).collect();
        self.ahead += intake.ahead;
        rows
    }

    fn appended(&mut self, mut rows: DataFrame) -> Changes {
        // Positions are for the operators.
        let _ = rows.drop_in_place(POSITION);
        let first = self.next_id;
        self.next_id += rows.height() as u64;
        Changes { ids: (first..self.next_id).collect(), rows, deletes: Vec::new() }
    }

    fn output(&mut self, delta: Delta, closed: Vec<u64>, late: usize, timeless: usize) -> BatchOutput {
        let changes = match delta {
            Delta::Append(rows) => self.appended(rows),
            Delta::Change(revision) => revision.changes,
        };
        let held_back = self.watermark.as_ref().and_then(WatermarkTracker::timeless).map(|(partition, rows)| {
            format!("none of the {rows} rows of {partition} has a time, so the watermark waits for one that has")
        });
        let (ahead, stale) = (std::mem::take(&mut self.ahead), self.refresh.failure().map(str::to_owned));
        BatchOutput { changes, closed, late, timeless, ahead, stale, held_back, notices: self.notices() }
    }

    fn notices(&self) -> Vec<String> {
        self.lanes.iter().filter_map(Lane::notice).collect()
    }
}

/// What a stage gave for the next one.
struct StageOutput {
    delta: Delta,
    /// The identities of rows that nothing changes any more.
    settled: Vec<u64>,
}

impl PipelineStage {
    /// The frames that it looks rows up in.
    fn lookups(&mut self) -> &mut [LookupTable] {
        match self {
            PipelineStage::Steps(steps) => steps.lookups(),
            PipelineStage::Operator(_) => &mut [],
        }
    }

    /// Runs a batch of one input or of two between the watermarks before and after it; gives beside the result how many rows were
    /// late, and how many had no time.
    fn run(
        &mut self,
        taken: [Option<StageOutput>; 2],
        watermarks: [Option<i64>; 2],
        moment_ms: i64,
        wanted: bool,
    ) -> PolarsResult<(StageOutput, [usize; 2])> {
        match (self, taken) {
            (PipelineStage::Steps(steps), [Some(StageOutput { delta, settled }), None]) => {
                steps.at(moment_ms);
                Ok((StageOutput { delta: steps.execute(delta)?, settled }, [0, 0]))
            }
            (PipelineStage::Operator(node), taken) => node.run(taken, watermarks, wanted),
            _ => polars_bail!(ComputeError: "the steps of the plan have nothing to take rows from"),
        }
    }
}

impl OperatorNode {
    /// As [`PipelineStage::run`].
    fn run(
        &mut self,
        taken: [Option<StageOutput>; 2],
        watermarks: [Option<i64>; 2],
        wanted: bool,
    ) -> PolarsResult<(StageOutput, [usize; 2])> {
        let [before, after] = watermarks.map(|watermark| self.own(watermark));
        let executed: BatchResult = match taken {
            [Some(left), Some(right)] => self.operator.execute_sides([left.delta, right.delta], before)?,
            [Some(one), None] => self.operator.execute(one.delta, before)?,
            _ => polars_bail!(ComputeError: "an operator of the plan has nothing to take rows from"),
        };
        let closed = match after {
            Some(after) => self.operator.close(after, wanted)?,
            None => None,
        };
        let settled = self.operator.settled();
        let delta = match (executed.delta, closed) {
            (Delta::Append(mut rows), Some(closed)) => {
                rows.vstack_mut(&closed)?;
                Delta::Append(rows)
            }
            (Delta::Change(_), Some(closed)) => Delta::Append(closed),
            (Delta::Change(revision), None) if wanted => Delta::Append(revision.changes.rows.clear()),
            (changed, None) => changed,
        };
        Ok((StageOutput { delta, settled }, [executed.late, executed.timeless]))
    }

    /// Takes in the last rows of one input or of two, where there are any, and gives those that waited too; and how many had no
    /// time.
    fn finish(&mut self, taken: [Option<Delta>; 2]) -> PolarsResult<(Option<Delta>, usize)> {
        let executed = match taken {
            [None, None] => None,
            [Some(one), None] if self.none.is_empty() => Some(self.operator.execute(one, None)?),
            [left, right] => {
                let none = |side: usize| Delta::Append(self.none[side].clone());
                let sides = [left.unwrap_or_else(|| none(0)), right.unwrap_or_else(|| none(1))];
                Some(self.operator.execute_sides(sides, None)?)
            }
        };
        let timeless = executed.as_ref().map_or(0, |executed| executed.timeless);
        let delta = match (executed.map(|executed| executed.delta), self.operator.finish()?) {
            (Some(Delta::Append(mut rows)), Some(more)) => {
                rows.vstack_mut(&more)?;
                Some(Delta::Append(rows))
            }
            (_, Some(rows)) => Some(Delta::Append(rows)),
            (delta, None) => delta,
        };
        Ok((delta, timeless))
    }
}
