//! From a physical plan to a pipeline: a lane for each stream that is read, an operator for each operation that needs one, and the
//! order in which they run.

use std::sync::Arc;

use plan::{Step, Times};
use polars::prelude::*;

use super::lane::Lane;
use super::positions::Positions;
use super::{Instruction, Mode, OperatorNode, Pipeline, PipelineStage};
use crate::clock::Clock;
use crate::operator::columns::{self, POSITION};
use crate::operator::stateless::{self, RowWise};
use crate::operator::watermark::{Mark, WatermarkTracker, per_ms};
use crate::operator::{Before, operator};
use crate::physical::{self, Input, Operation, Pairing, PhysicalPlan};
use crate::refresh::Refresh;

/// What there is of a pipeline so far.
struct Builder<'a> {
    mode: Mode,
    /// The columns that each stream's batches will have.
    sources: std::slice::Iter<'a, SchemaRef>,
    /// The finest unit of the streams' times.
    unit: Option<TimeUnit>,
    lanes: Vec<Lane>,
    marks: Vec<Mark>,
    stages: Vec<PipelineStage>,
    program: Vec<Instruction>,
}

/// Rows on their way through a chain of operations.
struct Chain {
    /// Their columns.
    input: SchemaRef,
    /// Whether they have positions.
    ordered: bool,
    /// The unit of the times that the watermark holds for.
    unit: Option<TimeUnit>,
    /// Steps that wait for one that is none of them.
    row_wise: RowWise,
}

impl Pipeline {
    /// Makes a plan ready, as it [runs](PhysicalPlan), with an empty state. `sources` are the columns that the batches of each of
    /// its streams will have: see [`Source::lanes`](crate::Source::lanes).
    ///
    /// # Errors
    /// Never for a plan that was checked when it was made; what Polars says otherwise.
    pub fn new(plan: &plan::Plan, sources: &[SchemaRef], mode: Mode, clock: &Arc<dyn Clock>) -> PolarsResult<Pipeline> {
        let plan = PhysicalPlan::of(plan);
        check_names(&plan)?;
        let units = plan.lanes().into_iter().filter_map(marked).map(|(_, _, unit)| unit);
        let unit = units.max_by_key(|unit| per_ms(*unit)).filter(|_| mode == Mode::Stream);
        let mut builder = Builder {
            mode,
            sources: sources.iter(),
            unit,
            lanes: Vec::new(),
            marks: Vec::new(),
            stages: Vec::new(),
            program: Vec::new(),
        };
        builder.add(&plan, false)?;
        let Builder { lanes, marks, stages, program, .. } = builder;
        Ok(Pipeline {
            positions: Positions::default(),
            watermark: (!marks.is_empty()).then(|| WatermarkTracker::new(marks, clock.clone())),
            lanes,
            stages,
            program,
            finals: None,
            owes_a_row: is_of_all(&plan),
            refresh: Refresh::new(clock.clone()),
            next_id: 0,
            ahead: 0,
            moment_ms: 0,
            empty: DataFrame::empty_with_schema(plan.schema()),
        })
    }
}

impl Builder<'_> {
    /// Adds what runs a plan; `is_ordered` says whether the order of its rows matters to what comes behind it.
    fn add(&mut self, plan: &PhysicalPlan, is_ordered: bool) -> PolarsResult<Chain> {
        let times = plan.times_before();
        let stages = plan.stages.iter().zip(&times);
        match &plan.input {
            Input::Scan(_) | Input::Union(_) => {
                let mark = marked(plan);
                let mut chain = self.lane(plan, is_ordered)?;
                let mut front = RowWise::default();
                for (number, (stage, times)) in stages.enumerate() {
                    match &mark {
                        Some((place, ..)) if number < *place => chain.push(stage, &mut front)?,
                        Some((place, watermark, unit)) if number == *place => {
                            let lane = self.last_lane();
                            lane.time = Some(watermark.column.clone());
                            let scans = lane.scans.clone();
                            if self.mode == Mode::Stream {
                                self.marks.push(Mark::new(scans, watermark, *unit));
                            }
                        }
                        _ => self.stage(&mut chain, stage, times)?,
                    }
                }
                let lane = self.last_lane();
                lane.front = front;
                lane.none = lane.front.run(lane.none.clone())?;
                self.flush(&mut chain);
                Ok(chain)
            }
            Input::Sides(sides) => {
                let wants_order = plan.stages.first().is_some_and(|stage| matters(&stage.operation) == Some(true));
                let [left, right] = sides.as_ref();
                let (left, right) = (self.add(left, wants_order)?, self.add(right, wants_order)?);
                let mut chain = None;
                for (stage, times) in stages {
                    match &mut chain {
                        None => chain = Some(self.join([&left, &right], stage, times)?),
                        Some(chain) => self.stage(chain, stage, times)?,
                    }
                }
                let Some(mut chain) = chain else { polars_bail!(ComputeError: "two streams come together in nothing") };
                self.flush(&mut chain);
                Ok(chain)
            }
        }
    }

    /// Adds a lane for a stream.
    fn lane(&mut self, plan: &PhysicalPlan, is_ordered: bool) -> PolarsResult<Chain> {
        let Some(source) = self.sources.next() else {
            polars_bail!(ComputeError: "there are fewer sources than streams in the plan");
        };
        let ordered = plan.stages.iter().find_map(|stage| matters(&stage.operation)).unwrap_or(is_ordered);
        let read = plan.read.clone();
        let wanted: Vec<PlSmallStr> = read.iter_names().cloned().collect();
        let narrows = wanted.len() < source.len() && !wanted.is_empty();
        let input = if narrows { read } else { source.clone() };
        let first = self.lanes.last().map_or(0, |lane| lane.scans.end);
        self.program.push(Instruction::Lane);
        self.lanes.push(Lane {
            scans: first..first + plan.scans() as u32,
            wanted: narrows.then_some(wanted),
            front: RowWise::default(),
            time: None,
            ordered,
            beyond: 0,
            none: DataFrame::empty_with_schema(&with_position(&input, ordered)),
        });
        let unit = marked(plan).map(|(_, _, unit)| unit);
        Ok(Chain { input, ordered, unit, row_wise: RowWise::default() })
    }

    fn last_lane(&mut self) -> &mut Lane {
        let last = self.lanes.len() - 1;
        &mut self.lanes[last]
    }

    /// Adds an operation to a chain, as an operator of its own or as one more step of the one before it.
    fn stage(&mut self, chain: &mut Chain, stage: &physical::Stage, times: &Times) -> PolarsResult<()> {
        if let Operation::Step(step) = &stage.operation
            && stateless::takes(step)
        {
            let mut row_wise = std::mem::take(&mut chain.row_wise);
            chain.push(stage, &mut row_wise)?;
            chain.row_wise = row_wise;
            return Ok(());
        }
        self.flush(chain);
        let input = with_position(&chain.input, chain.ordered);
        self.operator(stage, times, &input, chain.unit)?;
        self.program.push(Instruction::Stage(self.stages.len() - 1));
        chain.after(stage);
        Ok(())
    }

    /// Adds an operation that has two inputs.
    fn join(&mut self, sides: [&Chain; 2], stage: &physical::Stage, times: &Times) -> PolarsResult<Chain> {
        let [left, right] = sides;
        let inputs = sides.map(|side| with_position(&side.input, side.ordered));
        let mut input = left.input.as_ref().clone();
        for field in right.input.iter_fields() {
            input.with_column(field.name().clone(), field.dtype().clone());
        }
        let input = with_position(&Arc::new(input), left.ordered || right.ordered);
        let unit = left.unit.or(right.unit);
        self.operator(stage, times, &input, unit)?;
        let last = self.stages.len() - 1;
        if let PipelineStage::Operator(node) = &mut self.stages[last] {
            node.none = inputs.iter().map(|input| DataFrame::empty_with_schema(input)).collect();
        }
        self.program.push(Instruction::Join(last));
        let mut chain = Chain { input, ordered: false, unit, row_wise: RowWise::default() };
        chain.after(stage);
        Ok(chain)
    }

    fn operator(
        &mut self,
        stage: &physical::Stage,
        times: &Times,
        input: &SchemaRef,
        unit: Option<TimeUnit>,
    ) -> PolarsResult<()> {
        let own = unit.or(self.unit).map_or(1, per_ms);
        let order = times.nearest().filter(|time| input.contains(time));
        let time = order.filter(|_| self.unit.is_some());
        let before = Before { input, time, order, per_ms: own, retracted: stage.retracted };
        let slack = stage.operation.slack(times).map(|behind| steps_up(behind, own));
        let per_step = self.unit.map_or(1, per_ms) / own;
        let operator = operator(&stage.operation, &before, &stage.schema)?;
        self.stages.push(PipelineStage::Operator(OperatorNode {
            operator,
            tables: stage.tables(),
            aggregates: stage.operation.aggregates(),
            slack,
            per_step: per_step.max(1),
            none: Vec::new(),
        }));
        Ok(())
    }

    /// Makes an operator of the steps that wait.
    fn flush(&mut self, chain: &mut Chain) {
        if !chain.row_wise.is_empty() {
            self.stages.push(PipelineStage::Steps(std::mem::take(&mut chain.row_wise)));
            self.program.push(Instruction::Stage(self.stages.len() - 1));
        }
    }
}

impl Chain {
    /// Adds a row-wise step.
    fn push(&mut self, stage: &physical::Stage, steps: &mut RowWise) -> PolarsResult<()> {
        let Operation::Step(step) = &stage.operation else {
            polars_bail!(ComputeError: "an operation before the watermark has a state");
        };
        self.input = stateless::schema_after(step, &self.input)?;
        steps.push(step);
        Ok(())
    }

    /// What the rows are after an operation.
    fn after(&mut self, stage: &physical::Stage) {
        if stage.operation.makes_rows() {
            self.input = stage.schema.clone();
            self.ordered = false;
        }
    }
}

/// Where the watermark of a stream stands among its operations, what it says, and the unit of its column.
fn marked(plan: &PhysicalPlan) -> Option<(usize, &plan::Watermark, TimeUnit)> {
    plan.stages.iter().enumerate().find_map(|(number, stage)| match &stage.operation {
        Operation::Step(Step::Watermark(watermark)) => match plan.before(number).get(&watermark.column) {
            Some(DataType::Datetime(unit, _)) => Some((number, watermark, *unit)),
            _ => None,
        },
        _ => None,
    })
}

/// Whether the order of rows matters to an operation; none where it hands them on as they are.
fn matters(operation: &Operation) -> Option<bool> {
    match operation {
        Operation::Aggregate(_, method) => Some(method.is_ordered()),
        // Of rows of one time the last is the nearest.
        Operation::TimedJoin(join) => Some(matches!(join.pairing, Pairing::Asof { .. })),
        Operation::HashJoin(_) => Some(false),
        // What a function gives has no position.
        Operation::Step(Step::WithState(..)) => Some(false),
        _ => None,
    }
}

fn check_names(plan: &PhysicalPlan) -> PolarsResult<()> {
    if let Input::Sides(sides) = &plan.input {
        sides.iter().try_for_each(check_names)?;
    }
    let schemas = std::iter::once(&plan.read).chain(plan.stages.iter().map(|stage| &stage.schema));
    schemas.flat_map(|schema| schema.iter_names()).try_for_each(columns::check_name)
}

/// Whether an aggregation of all rows is among the operations: then there is a row of no rows.
fn is_of_all(plan: &PhysicalPlan) -> bool {
    let above = match &plan.input {
        Input::Sides(sides) => sides.iter().any(is_of_all),
        Input::Scan(_) | Input::Union(_) => false,
    };
    above || plan.stages.iter().any(|stage| stage.operation.is_of_all())
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
