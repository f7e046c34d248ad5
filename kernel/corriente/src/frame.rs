//! The streaming frame that a notebook holds: a plan and the way to its source. A cheap handle; every method takes
//! `&self` and gives a new frame, so that nothing is ever moved away. Nothing is read before a frame is shown,
//! collected or started.

use std::sync::Arc;

use engine::{CollectError, OpenSource};
use plan::{Plan, PlanError, Window};
use polars::prelude::{DataFrame, Expr, SchemaRef};

use crate::cell;
use crate::exprs::{Exprs, Predicate};

/// A lazy DataFrame over a stream that never ends.
///
/// A method that is given something wrong, such as a column that is not there, ends the cell at once with a message;
/// the frame it was called on stays as it was.
///
/// ```no_run
/// # use corriente::prelude::*;
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let txns = read_kafka("127.0.0.1:9092").topic("transactions").json()?;
/// let approved = txns.filter(col("status").eq(lit("approved")));
/// let so_far: DataFrame = approved.collect()?;
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct StreamFrame {
    pub(crate) plan: Plan,
    pub(crate) open: OpenSource,
}

impl StreamFrame {
    /// A frame over a source of your own.
    #[must_use]
    pub fn new(plan: Plan, open: OpenSource) -> StreamFrame {
        offer(&plan);
        StreamFrame { plan, open }
    }

    /// The columns and their types.
    #[must_use]
    pub fn schema(&self) -> SchemaRef {
        self.plan.schema().clone()
    }

    /// Keeps the rows for which `predicate` is true, as Polars' `filter`.
    #[must_use]
    #[track_caller]
    pub fn filter(&self, predicate: impl Predicate) -> StreamFrame {
        self.with(self.plan.filter(predicate.into_expr()))
    }

    /// Puts `exprs` in the place of all columns, as Polars' `select`.
    #[must_use]
    #[track_caller]
    pub fn select(&self, exprs: impl Exprs) -> StreamFrame {
        self.with(self.plan.select(&exprs.into_exprs()))
    }

    /// Adds or replaces columns, as Polars' `with_columns`.
    #[must_use]
    #[track_caller]
    pub fn with_columns(&self, exprs: impl Exprs) -> StreamFrame {
        self.with(self.plan.with_columns(&exprs.into_exprs()))
    }

    /// Adds or replaces one column, as Polars' `with_column`.
    #[must_use]
    #[track_caller]
    pub fn with_column(&self, expr: Expr) -> StreamFrame {
        self.with_columns([expr])
    }

    /// Says how late rows may come by the time in `column`, as Spark's `withWatermark`: once event time has come a
    /// window's end and `delay` further in every partition, the window is closed, and later rows of it are counted as
    /// late. Without a watermark nothing is late, and every window is kept.
    #[must_use]
    #[track_caller]
    pub fn with_watermark(&self, column: &str, delay: &str) -> StreamFrame {
        self.with(self.plan.with_watermark(column, delay))
    }

    /// Groups the rows by `keys` and by windows of the event time `time`, as Polars' `group_by_dynamic`. What comes out
    /// of [`StreamGroupBy::agg`] has the keys first, then the windows' starts, then the aggregates.
    #[must_use]
    pub fn group_by_dynamic(&self, time: Expr, keys: impl Exprs, window: Window) -> StreamGroupBy {
        StreamGroupBy { frame: self.clone(), time, keys: keys.into_exprs(), window }
    }

    /// The frame as a batch: everything in the source up to now, with the stream's own operators. An aggregation is
    /// sorted by its keys and its time.
    ///
    /// # Errors
    /// When the source cannot be read, an expression fails on the rows, or the cell is interrupted.
    pub fn collect(&self) -> Result<DataFrame, CollectError> {
        let collected = engine::collect(&self.plan, &self.open, |_| !cell::interrupted())?;
        let dead = collected.dead_letters.len();
        if let Some(last) = collected.dead_letters.last() {
            let records = if dead == 1 { "record" } else { "records" };
            eprintln!(
                "{dead} {records} could not be decoded; the last: {} [{}] offset {}: {}",
                last.topic, last.partition, last.offset, last.reason
            );
        }
        Ok(collected.frame)
    }

    /// The plan in words, the last step first and the source last.
    #[must_use]
    pub fn explain(&self) -> String {
        self.plan.explain()
    }

    #[track_caller]
    fn with(&self, plan: Result<Plan, PlanError>) -> StreamFrame {
        match plan {
            Ok(plan) => StreamFrame::new(plan, Arc::clone(&self.open)),
            Err(error) => cell::fail("PlanError", &error.to_string()),
        }
    }
}

/// Has completion know the columns.
fn offer(plan: &Plan) {
    cell::offer_names(plan.schema().iter_names().map(ToString::to_string).collect(), Vec::new());
}

/// A frame cut into groups, waiting to be told what to aggregate.
#[derive(Clone)]
pub struct StreamGroupBy {
    frame: StreamFrame,
    time: Expr,
    keys: Vec<Expr>,
    window: Window,
}

impl StreamGroupBy {
    /// Aggregates each group. `len`, `count`, `sum`, `mean`, `min` and `max` are kept up to date as rows arrive, and so
    /// is arithmetic on them.
    #[must_use]
    #[track_caller]
    pub fn agg(&self, aggs: impl Exprs) -> StreamFrame {
        self.frame.with(self.frame.plan.group_by_dynamic(&self.time, &self.keys, &self.window, &aggs.into_exprs()))
    }
}
