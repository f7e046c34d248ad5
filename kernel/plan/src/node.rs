//! The plan itself: steps over what is scanned, checked as it grows. Cheap to clone; a longer plan shares the shorter one.

use std::sync::Arc;

use polars::prelude::*;

use crate::aggregate::Aggregate;
use crate::closure::Closure;
use crate::expr::{check_row_wise, schema_after};
use crate::join::Join;
use crate::lookup::Lookup;
use crate::scan::Scan;
use crate::stateful::{Moment, StateFunction};
use crate::times::Watermark;
use crate::{PlanError, explain};

/// What a frame says.
#[derive(Clone, Debug)]
pub struct Plan {
    node: Arc<Node>,
    schema: SchemaRef,
    of_all: Option<OfAllColumns>,
}

/// What the last step was said of all columns, where it itself names them: over other columns it names others.
#[derive(Clone, Debug)]
pub(crate) enum OfAllColumns {
    /// All but these are kept.
    Drop(Vec<PlSmallStr>),
    /// Some are called otherwise: the names before, and those after.
    Rename(Vec<PlSmallStr>, Vec<PlSmallStr>),
    /// A row is the same as another one where all of them are.
    Unique,
}

/// One step and what it stands on.
#[derive(Debug)]
pub enum Node {
    /// Where the rows come from.
    Scan(Scan),
    /// The rows of several plans with the same columns.
    Union(Vec<Plan>),
    /// The rows of two plans that belong together.
    Join(Box<Join>),
    /// A step over a plan.
    Step {
        /// What the step works on.
        input: Plan,
        /// The step.
        step: Step,
    },
}

/// An operation on a frame.
#[derive(Clone, Debug)]
pub enum Step {
    /// Keeps the rows for which the expression is true.
    Filter(Expr),
    /// Puts these columns in the place of all.
    Select(Vec<Expr>),
    /// Adds or replaces columns.
    WithColumns(Vec<Expr>),
    /// Says how late rows may come.
    Watermark(Watermark),
    /// Adds a column with the time at which a row's batch was planned.
    ProcessingTime(PlSmallStr),
    /// Keeps the rows that this step would drop because they come too late.
    LateRows(Box<Step>),
    /// Makes a row for each element of these list columns.
    Explode(Vec<PlSmallStr>),
    /// Puts the fields of these struct columns in their place.
    Unnest(Vec<PlSmallStr>),
    /// Runs a person's own function on each batch.
    MapBatches(Closure),
    /// Looks rows up in a frame that stands beside the stream.
    Join(Box<Lookup>),
    /// Keeps the first row for each value of these columns.
    Unique(Vec<PlSmallStr>),
    /// Keeps the first so many rows.
    Limit(u64),
    /// Keeps the first rows in an order of their own.
    Sort(Order),
    /// Calls a person's own function with a state for each value of these keys.
    WithState(Vec<Expr>, StateFunction),
    /// Aggregates over keys, windows, or both.
    Aggregate(Box<Aggregate>),
}

impl Step {
    /// Whether what the step gives depends on rows of earlier batches. A watermark is no state: it only says what is late.
    #[must_use]
    pub fn has_state(&self) -> bool {
        match self {
            Step::Filter(_) | Step::Select(_) | Step::WithColumns(_) | Step::Explode(_) | Step::Unnest(_) => false,
            Step::MapBatches(_) | Step::Join(_) | Step::Watermark(_) | Step::ProcessingTime(_) => false,
            Step::Unique(_) | Step::Limit(_) | Step::Sort(_) | Step::WithState(..) => true,
            Step::Aggregate(_) | Step::LateRows(_) => true,
        }
    }
}

/// An order of rows, and how many of the first are kept.
#[derive(Clone, Debug)]
pub struct Order {
    /// What the rows are sorted by.
    pub by: Vec<Expr>,
    /// In which direction, and where nulls go.
    pub options: SortMultipleOptions,
    /// How many are kept; `None` for all.
    pub k: Option<usize>,
}

impl Plan {
    pub(crate) fn of(node: Node, schema: SchemaRef) -> Plan {
        Plan { node: Arc::new(node), schema, of_all: None }
    }

    pub(crate) fn said_of_all(self, of_all: OfAllColumns) -> Plan {
        Plan { of_all: Some(of_all), ..self }
    }

    pub(crate) fn of_all(&self) -> Option<&OfAllColumns> {
        self.of_all.as_ref()
    }

    /// The columns of the result.
    #[must_use]
    pub fn schema(&self) -> &SchemaRef {
        &self.schema
    }

    /// Whether this is the other plan itself, and not one that reads the same.
    #[must_use]
    pub fn is(&self, other: &Plan) -> bool {
        Arc::ptr_eq(&self.node, &other.node)
    }

    /// The plan's last step.
    #[must_use]
    pub fn node(&self) -> &Node {
        &self.node
    }

    /// The steps over what the plan [begins with](Plan::root), from first to last.
    #[must_use]
    pub fn steps(&self) -> Vec<&Step> {
        let mut steps = Vec::new();
        let mut plan = self;
        while let Node::Step { input, step } = plan.node() {
            steps.push(step);
            plan = input;
        }
        steps.reverse();
        steps
    }

    /// The plan's last aggregation, if it has one, and the schema right after it.
    #[must_use]
    pub fn aggregate(&self) -> Option<(&Aggregate, &SchemaRef)> {
        let mut plan = self;
        while let Node::Step { input, step } = plan.node() {
            if let Step::Aggregate(aggregate) = step {
                return Some((aggregate, &plan.schema));
            }
            plan = input;
        }
        None
    }

    /// The plan's steps with the schema after each, first to last.
    #[must_use]
    pub fn steps_with_schemas(&self) -> Vec<(&Step, &SchemaRef)> {
        let mut steps = Vec::new();
        let mut plan = self;
        while let Node::Step { input, step } = plan.node() {
            steps.push((step, &plan.schema));
            plan = input;
        }
        steps.reverse();
        steps
    }

    /// Whether rows of the result never change once they are there.
    #[must_use]
    pub fn appends(&self) -> bool {
        match self.node() {
            Node::Scan(_) | Node::Union(_) => true,
            Node::Join(join) => join.appends(),
            Node::Step { step: Step::Aggregate(_) | Step::Sort(_), .. } => false,
            Node::Step { input, .. } => input.appends(),
        }
    }

    /// The order of the result, if it has one of its own. A step that looks at each row alone leaves rows where they are, also
    /// where it takes away the columns that they were sorted by.
    #[must_use]
    pub fn order(&self) -> Option<&Order> {
        match self.node() {
            Node::Step { step: Step::Sort(order), .. } => Some(order),
            Node::Step { input, step } if !step.has_state() => input.order(),
            _ => None,
        }
    }

    /// Calls a function with the state of each key and its new rows; what it gives is the result. It is called with no rows at
    /// once, to know what comes out.
    ///
    /// # Errors
    /// An unknown column, what the function says of no rows, or a frame whose rows change.
    pub fn with_state(&self, keys: &[Expr], function: StateFunction) -> Result<Plan, PlanError> {
        self.only_appended("with_state", "Give it the rows before they are aggregated.")?;
        check_row_wise("with_state", &self.schema, keys)?;
        let refused = |error: PolarsError| PlanError::Polars { operation: "with_state", detail: error.to_string() };
        let none = DataFrame::empty_with_schema(&self.schema);
        let empty = function.begin().call(none, &mut Moment::default()).map_err(refused)?;
        let schema = empty.schema().clone();
        Ok(self.step(Step::WithState(keys.to_vec(), function), schema))
    }

    /// Keeps the first row that comes for each value of `subset`, or of all columns, as Polars' `unique` with
    /// `UniqueKeepStrategy::First`. With a watermark, values are forgotten that are older than it, as in Spark's
    /// `dropDuplicatesWithinWatermark`.
    ///
    /// # Errors
    /// An unknown column, or a frame whose rows change.
    pub fn unique(&self, subset: Option<&[&str]>) -> Result<Plan, PlanError> {
        self.only_appended("unique", "A group of an aggregation is there once; make the rows unique before it.")?;
        let by = |names: Vec<PlSmallStr>| self.step(Step::Unique(names), self.schema.clone());
        match subset {
            Some(columns) => Ok(by(self.columns("unique", columns)?)),
            None => Ok(by(self.schema.iter_names().cloned().collect()).said_of_all(OfAllColumns::Unique)),
        }
    }

    /// Keeps the first `n` rows that come, as Polars' `limit`.
    ///
    /// # Errors
    /// A frame whose rows change.
    pub fn limit(&self, n: u64) -> Result<Plan, PlanError> {
        self.only_appended("limit", "collect() the frame, and take as many of the result's rows as you want.")?;
        Ok(self.step(Step::Limit(n), self.schema.clone()))
    }

    /// Sorts the rows of an aggregation, as Polars' `sort`.
    ///
    /// # Errors
    /// An unknown column, or the rows of a stream, which have no end.
    pub fn sort(&self, by: &[Expr], options: &SortMultipleOptions) -> Result<Plan, PlanError> {
        if self.appends() {
            return Err(PlanError::Refused {
                operation: "sort",
                detail: "a stream has no end, so it is never known which row comes first".to_owned(),
                hint: "Keep the first ones with top_k(10, …), aggregate first, or collect() the frame and sort the result.",
            });
        }
        self.ordered("sort", by, options, None)
    }

    /// Keeps the `k` largest rows by some columns, as Polars' `top_k`.
    ///
    /// # Errors
    /// An unknown column, or no row to keep.
    pub fn top_k(&self, k: usize, by: &[Expr], options: &SortMultipleOptions) -> Result<Plan, PlanError> {
        // The largest are those that are last in the order.
        let largest = options.clone().with_order_reversed().with_nulls_last(true);
        self.ordered("top_k", by, &largest, Some(k))
    }

    pub(crate) fn ordered(
        &self,
        operation: &'static str,
        by: &[Expr],
        options: &SortMultipleOptions,
        k: Option<usize>,
    ) -> Result<Plan, PlanError> {
        if k == Some(0) {
            let detail = "0 rows are to be kept".to_owned();
            return Err(PlanError::Refused { operation, detail, hint: "Keep 1 at the least." });
        }
        check_row_wise(operation, &self.schema, by)?;
        schema_after(operation, &self.schema, by, |frame| frame.sort_by_exprs(by, options.clone()))?;
        let order = Order { by: by.to_vec(), options: options.clone(), k };
        Ok(self.step(Step::Sort(order), self.schema.clone()))
    }

    /// What the steps stand on: a scan, a union or a join.
    #[must_use]
    pub fn root(&self) -> Plan {
        let mut plan = self;
        while let Node::Step { input, .. } = plan.node() {
            plan = input;
        }
        plan.clone()
    }

    pub(crate) fn only_appended(&self, operation: &'static str, hint: &'static str) -> Result<(), PlanError> {
        if self.appends() {
            return Ok(());
        }
        let detail = "the rows of an aggregation change as it goes on".to_owned();
        Err(PlanError::Refused { operation, detail, hint })
    }

    /// The plan in words, the source last, as Polars prints a plan.
    #[must_use]
    pub fn explain(&self) -> String {
        explain::text(self)
    }

    /// What a view of the plan is called, as in `transactions by category, every 10s`.
    #[must_use]
    pub fn title(&self) -> String {
        explain::title(self)
    }

    pub(crate) fn step(&self, step: Step, schema: SchemaRef) -> Plan {
        Plan::of(Node::Step { input: self.clone(), step }, schema)
    }
}
