//! The plan itself: a chain of steps over one source, checked as it grows. Cheap to clone; a longer plan shares the
//! shorter one.

use std::sync::Arc;

use polars::prelude::*;

use crate::aggregate::Aggregate;
use crate::expr::{check_row_wise, schema_after};
use crate::window::{Window, parse_duration};
use crate::{PlanError, explain};

/// What a frame says.
#[derive(Clone, Debug)]
pub struct Plan {
    node: Arc<Node>,
    schema: SchemaRef,
}

/// One step and what it stands on.
#[derive(Debug)]
pub enum Node {
    /// Where the rows come from, in words.
    Source {
        /// As in `kafka transactions`.
        name: String,
    },
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
    /// Aggregates over windows and keys.
    Aggregate(Box<Aggregate>),
}

/// How far event time may run back: a row older than the newest by more than the delay may find its window closed.
#[derive(Clone, Debug, PartialEq)]
pub struct Watermark {
    /// The column with the event time.
    pub column: PlSmallStr,
    /// The delay as it was written.
    pub delay: String,
    /// The delay in milliseconds.
    pub delay_ms: i64,
}

impl Plan {
    /// A plan that is a source alone.
    #[must_use]
    pub fn source(name: impl Into<String>, schema: SchemaRef) -> Plan {
        Plan { node: Arc::new(Node::Source { name: name.into() }), schema }
    }

    /// The columns of the result.
    #[must_use]
    pub fn schema(&self) -> &SchemaRef {
        &self.schema
    }

    /// The plan's last step.
    #[must_use]
    pub fn node(&self) -> &Node {
        &self.node
    }

    /// The source's name and columns, and the steps from first to last.
    #[must_use]
    pub fn steps(&self) -> (&str, &SchemaRef, Vec<&Step>) {
        let mut steps = Vec::new();
        let mut plan = self;
        loop {
            match plan.node() {
                Node::Source { name } => {
                    steps.reverse();
                    return (name, &plan.schema, steps);
                }
                Node::Step { input, step } => {
                    steps.push(step);
                    plan = input;
                }
            }
        }
    }

    /// The plan's aggregation, if it has one, and the schema right after it.
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

    /// Keeps the rows for which `predicate` is true.
    ///
    /// # Errors
    /// An unknown column, a predicate that is not boolean, or one that looks beyond its row.
    pub fn filter(&self, predicate: Expr) -> Result<Plan, PlanError> {
        check_row_wise("filter", &self.schema, std::slice::from_ref(&predicate))?;
        let schema = schema_after("filter", &self.schema, std::slice::from_ref(&predicate), |frame| {
            frame.filter(predicate.clone())
        })?;
        Ok(self.step(Step::Filter(predicate), schema))
    }

    /// Puts `exprs` in the place of all columns.
    ///
    /// # Errors
    /// An unknown column, two columns of one name, or an expression that looks beyond its row.
    pub fn select(&self, exprs: &[Expr]) -> Result<Plan, PlanError> {
        check_row_wise("select", &self.schema, exprs)?;
        let schema = schema_after("select", &self.schema, exprs, |frame| frame.select(exprs))?;
        Ok(self.step(Step::Select(exprs.to_vec()), schema))
    }

    /// Adds `exprs` as columns, in the place of those with the same name.
    ///
    /// # Errors
    /// As for [`Plan::select`].
    pub fn with_columns(&self, exprs: &[Expr]) -> Result<Plan, PlanError> {
        check_row_wise("with_columns", &self.schema, exprs)?;
        let schema = schema_after("with_columns", &self.schema, exprs, |frame| frame.with_columns(exprs))?;
        Ok(self.step(Step::WithColumns(exprs.to_vec()), schema))
    }

    /// Says that rows may come `delay` late by the time in `column`, as in Spark's `withWatermark`.
    ///
    /// # Errors
    /// An unknown column, one that is no time, a delay that is no duration, a second watermark, or one after an aggregation.
    pub fn with_watermark(&self, column: &str, delay: &str) -> Result<Plan, PlanError> {
        let column = self.time_column("with_watermark", &col(column))?;
        let parsed = parse_duration("with_watermark", delay)?;
        for step in self.steps().2 {
            let detail = match step {
                Step::Watermark(first) => format!("the frame has a watermark already, on \"{}\"", first.column),
                Step::Aggregate(_) => "the frame is aggregated already".to_owned(),
                _ => continue,
            };
            let hint = "Set one watermark, before the windows.";
            return Err(PlanError::Refused { operation: "with_watermark", detail, hint });
        }
        let delay_ms = (parsed.duration_ns() + 999_999) / 1_000_000;
        let watermark = Watermark { column, delay: delay.to_owned(), delay_ms };
        Ok(self.step(Step::Watermark(watermark), self.schema.clone()))
    }

    /// Aggregates over the windows of `time` and `keys`; names and order of the arguments are Polars'.
    ///
    /// # Errors
    /// An unknown column, a time column that is no time, a window that is none, an aggregate that cannot be kept up to
    /// date, or a second aggregation.
    pub fn group_by_dynamic(
        &self,
        time: &Expr,
        keys: &[Expr],
        window: &Window,
        aggs: &[Expr],
    ) -> Result<Plan, PlanError> {
        if self.steps().2.iter().any(|step| matches!(step, Step::Aggregate(_))) {
            return Err(PlanError::Refused {
                operation: "group_by_dynamic",
                detail:
                    "the frame is aggregated already, and an aggregate of an aggregate does not run on a stream yet"
                        .to_owned(),
                hint: "Aggregate the first frame another way, or collect() it and aggregate the result.",
            });
        }
        window.every()?;
        let column = self.time_column("group_by_dynamic", time)?;
        let (aggregate, schema) = Aggregate::new(&self.schema, column, keys, window.clone(), aggs)?;
        Ok(self.step(Step::Aggregate(Box::new(aggregate)), schema))
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

    fn step(&self, step: Step, schema: SchemaRef) -> Plan {
        Plan { node: Arc::new(Node::Step { input: self.clone(), step }), schema }
    }

    fn time_column(&self, operation: &'static str, time: &Expr) -> Result<PlSmallStr, PlanError> {
        let Expr::Column(name) = time else {
            return Err(PlanError::Refused {
                operation,
                detail: format!("`{time:?}` is an expression, and the event time must be a column"),
                hint: "Make the column with with_columns() first.",
            });
        };
        schema_after(operation, &self.schema, std::slice::from_ref(time), |frame| frame.select([time.clone()]))?;
        match self.schema.get(name) {
            Some(DataType::Datetime(_, _)) => Ok(name.clone()),
            other => Err(PlanError::WrongType {
                operation,
                column: name.to_string(),
                found: other.map_or_else(|| "unknown".to_owned(), ToString::to_string),
                expected: "a datetime",
                hint: format!(
                    "Milliseconds since the epoch become one with with_columns([col(\"{name}\").cast(DataType::Datetime(TimeUnit::Milliseconds, None))])."
                ),
            }),
        }
    }
}
