//! A plan as it runs. What a frame says is lowered to a tree: a chain of operations over what is read, or over the two chains that
//! are joined. It is the least that gives the same result: filters stand as early as they can, only columns that the result depends on are read, and for each aggregation it is
//! chosen how it is kept up to date. A query is known by what it says; how it runs may change with every version.

mod aggregate;
mod approximate;
mod connectors;
mod explain;
mod fingerprint;
mod graph;
mod join;
mod lower;
mod projection;
mod pushdown;
mod state;

use std::sync::Arc;

use plan::{Aggregate, Plan, PlanError, Scan, Step, Times, Words, schema_after};
use polars::prelude::*;

pub(crate) use aggregate::{Accumulator, ChangelogMode, Function, MOST_KEPT, Method, Quantile};
pub use approximate::{QuantileSketch, approx_quantile, named_expression};
pub use connectors::{Connectors, OpenScan};
pub(crate) use fingerprint::query_fingerprint;
pub use graph::Part;
pub(crate) use join::{HashJoin, Pairing, SIDE, SIDE_TIME, TimedJoin};
pub use pushdown::RowFilter;

/// A plan as it runs.
#[derive(Clone, Debug)]
pub struct PhysicalPlan {
    pub(crate) input: Input,
    /// The columns that are read of the input.
    pub(crate) read: SchemaRef,
    pub(crate) stages: Vec<Stage>,
}

/// Where the rows come from.
#[derive(Clone, Debug)]
pub(crate) enum Input {
    /// What a connector reads.
    Scan(Scan),
    /// The rows of several plans, whose operations have no state.
    Union(Vec<PhysicalPlan>),
    /// The rows of two plans, which the first operation joins.
    Sides(Box<[PhysicalPlan; 2]>),
}

/// An operation, and the columns that it gives.
#[derive(Clone, Debug)]
pub(crate) struct Stage {
    pub(crate) operation: Operation,
    pub(crate) schema: SchemaRef,
    /// Whether the operation behind it takes old rows back, so that it has to give them beside the new ones.
    pub(crate) retracted: bool,
}

/// What is done with rows.
#[derive(Clone, Debug)]
pub(crate) enum Operation {
    /// A step that is run as it is said.
    Step(Step),
    /// An aggregation, and how it is kept up to date.
    Aggregate(Box<Aggregate>, Method),
    /// The rows of two streams are joined by their times.
    TimedJoin(Box<TimedJoin>),
    /// The rows of two streams are joined by their keys alone.
    HashJoin(Box<HashJoin>),
    /// The rows of two streams that such a join drops because they come too late.
    LateForJoin(Words),
}

impl PhysicalPlan {
    /// The plan as it runs.
    #[must_use]
    pub fn of(plan: &Plan) -> PhysicalPlan {
        lower::lower(plan).optimized()
    }

    /// The same result from fewer rows and columns. Of a plan that is made already, the same plan.
    ///
    /// Expressions that nobody uses are left out, so one that would have failed on some row does not fail, as in Polars.
    #[must_use]
    pub fn optimized(&self) -> PhysicalPlan {
        self.sunk().narrowed().chosen()
    }

    /// The columns of the result.
    #[must_use]
    pub fn schema(&self) -> &SchemaRef {
        self.stages.last().map_or(&self.read, |stage| &stage.schema)
    }

    /// The columns that are read, in the order in which the input has them.
    #[must_use]
    pub fn source_columns(&self) -> Vec<PlSmallStr> {
        self.read.iter_names().cloned().collect()
    }

    /// The plan for who wants only these columns.
    ///
    /// # Errors
    /// A column that is not there.
    pub(crate) fn select(&self, columns: &[PlSmallStr]) -> Result<PhysicalPlan, PlanError> {
        let exprs: Vec<Expr> = columns.iter().cloned().map(col).collect();
        let schema = schema_after("select", self.schema(), &exprs, |frame| frame.select(&exprs))?;
        Ok(self.with(Operation::Step(Step::Select(exprs)), schema).optimized())
    }

    /// The plan for who wants only the rows for which this is true.
    pub(crate) fn filter(&self, predicate: &Expr) -> PhysicalPlan {
        self.with(Operation::Step(Step::Filter(predicate.clone())), self.schema().clone()).optimized()
    }

    /// How many scans it reads.
    pub(crate) fn scans(&self) -> usize {
        match &self.input {
            Input::Scan(_) => 1,
            Input::Union(inputs) => inputs.iter().map(PhysicalPlan::scans).sum(),
            Input::Sides(sides) => sides.iter().map(PhysicalPlan::scans).sum(),
        }
    }

    /// The plans that the streams are read by, from left to right: itself, where none are joined.
    pub(crate) fn lanes(&self) -> Vec<&PhysicalPlan> {
        match &self.input {
            Input::Scan(_) | Input::Union(_) => vec![self],
            Input::Sides(sides) => sides.iter().flat_map(PhysicalPlan::lanes).collect(),
        }
    }

    /// The columns before a stage.
    pub(crate) fn before(&self, stage: usize) -> &SchemaRef {
        stage.checked_sub(1).map_or(&self.read, |before| &self.stages[before].schema)
    }

    /// What the watermark says of the input of each stage.
    pub(crate) fn times_before(&self) -> Vec<Times> {
        self.all_times().0
    }

    /// What the watermark says of the input of each stage, and of the result.
    fn all_times(&self) -> (Vec<Times>, Times) {
        let mut times = match &self.input {
            Input::Scan(_) | Input::Union(_) => Times::default(),
            Input::Sides(sides) => {
                let behind = sides.iter().map(|side| side.all_times().1.behind(SIDE_TIME)).collect::<Option<Vec<_>>>();
                let behind = behind.and_then(|behind| behind.into_iter().max());
                Times::of(behind.map(|behind| (SIDE_TIME.into(), behind)).into_iter().collect())
            }
        };
        let mut all = Vec::with_capacity(self.stages.len());
        for (number, Stage { operation, schema, .. }) in self.stages.iter().enumerate() {
            all.push(times.clone());
            times = match operation {
                Operation::Step(step) => times.after(step, self.before(number), schema),
                Operation::Aggregate(aggregate, _) => times.aggregated(aggregate, schema),
                Operation::TimedJoin(join) => Times::of(join.behind.clone()),
                Operation::HashJoin(join) => Times::of(join.behind.clone()),
                Operation::LateForJoin(_) => Times::default(),
            };
        }
        (all, times)
    }

    fn with(&self, operation: Operation, schema: SchemaRef) -> PhysicalPlan {
        let mut plan = self.clone();
        plan.stages.push(Stage::new(operation, schema));
        plan
    }

    /// The plan with a way to keep each aggregation up to date.
    fn chosen(mut self) -> PhysicalPlan {
        let mut input = Arc::clone(&self.read);
        let mut arrival = ChangelogMode::default();
        for stage in &mut self.stages {
            let aggregate = match &stage.operation {
                Operation::Step(Step::Aggregate(aggregate)) | Operation::Aggregate(aggregate, _) => Some(aggregate),
                _ => None,
            };
            if let Some(aggregate) = aggregate {
                let method = Method::of(aggregate, &input, &arrival);
                stage.operation = Operation::Aggregate(aggregate.clone(), method);
            }
            arrival = arrival.after(&stage.operation);
            input = Arc::clone(&stage.schema);
        }
        let mut retracted = false;
        for stage in self.stages.iter_mut().rev() {
            stage.retracted = retracted;
            // Steps without a state hand old rows on.
            retracted = stage.operation.retracts() || (retracted && !stage.operation.has_state());
        }
        self
    }
}

impl Stage {
    fn new(operation: Operation, schema: SchemaRef) -> Stage {
        Stage { operation, schema, retracted: false }
    }
}

impl Operation {
    /// The operation of a step over the rows of a result, which change.
    pub(crate) fn of_result(step: &Step) -> Operation {
        match step {
            Step::Aggregate(aggregate) => Operation::Aggregate(aggregate.clone(), Method::of_result()),
            step => Operation::Step(step.clone()),
        }
    }

    /// Whether what it gives depends on rows of earlier batches.
    pub(crate) fn has_state(&self) -> bool {
        match self {
            Operation::Step(step) => step.has_state(),
            Operation::Aggregate(..) | Operation::LateForJoin(_) => true,
            Operation::TimedJoin(_) | Operation::HashJoin(_) => true,
        }
    }

    /// How far behind the watermark, in nanoseconds, rows may be that it is given and that are not late; `None` where the
    /// watermark says nothing of the time that it goes by. `times` is what the watermark says of its input.
    pub(crate) fn slack(&self, times: &Times) -> Option<i64> {
        match self {
            Operation::Step(step) => times.slack(step),
            Operation::Aggregate(aggregate, _) => times.behind(&aggregate.over.as_ref()?.time),
            Operation::TimedJoin(_) | Operation::LateForJoin(_) => times.behind(SIDE_TIME),
            Operation::HashJoin(join) => join.time_key.map(|(_, behind)| behind),
        }
    }

    /// Whether it gives other rows than those that it is given.
    pub(crate) fn makes_rows(&self) -> bool {
        self.takes_sides() || matches!(self, Operation::Aggregate(..) | Operation::Step(Step::WithState(..)))
    }

    /// Whether it has two inputs.
    pub(crate) fn takes_sides(&self) -> bool {
        matches!(self, Operation::TimedJoin(_) | Operation::HashJoin(_) | Operation::LateForJoin(_))
    }

    /// Whether it takes back rows that change, and so has to be given them.
    pub(crate) fn retracts(&self) -> bool {
        matches!(self, Operation::Aggregate(_, Method::Merge { retracts: true, .. }))
    }

    /// Whether its rows change until they are final.
    pub(crate) fn aggregates(&self) -> bool {
        matches!(self, Operation::Aggregate(..) | Operation::HashJoin(_))
    }

    /// Whether it aggregates all rows together: then there is one group, also of no rows.
    pub(crate) fn is_of_all(&self) -> bool {
        matches!(self, Operation::Aggregate(a, _) | Operation::Step(Step::Aggregate(a)) if a.is_of_all())
    }
}
