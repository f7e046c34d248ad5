//! The streaming frame that a notebook holds: a plan, which says what is read and what is made of it. A cheap handle; every method takes
//! `&self` and gives a new frame, so that nothing is ever moved away. Nothing is read before a frame is shown,
//! collected or started.

use std::sync::Arc;

use engine::{CollectError, OpenSource, PhysicalPlan};
use plan::{Moment, Plan, PlanError, StateFunction, Window};
use polars::prelude::{DataFrame, DataType, Expr, PolarsResult, SchemaRef, SortMultipleOptions, all, col};

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::cell;
use crate::exprs::{Exprs, Predicate};
use crate::read::connectors;

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
    /// Shared with its copies: there for as long as the notebook has one.
    pub(crate) there: Arc<()>,
}

impl StreamFrame {
    /// A frame over a source of your own, which is registered as a connector under this name: `open` opens it for the named
    /// columns, in the order of `schema`. One that had the name before is replaced; queries that run stay as they are.
    #[must_use]
    pub fn from_source(name: impl Into<String>, schema: SchemaRef, open: OpenSource) -> StreamFrame {
        let name = name.into();
        connectors().register(name.clone(), Arc::new(move |_, columns| open(columns)));
        StreamFrame::new(Plan::source(name, schema))
    }

    pub(crate) fn new(plan: Plan) -> StreamFrame {
        offer(&plan);
        StreamFrame { plan, there: Arc::new(()) }
    }

    /// The way to the rows that the frame begins with.
    pub(crate) fn open(&self) -> OpenSource {
        connectors().open(&self.plan)
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
    /// late, and to be seen with [`StreamFrame::late_rows`]. Without a watermark nothing is late, and every window is kept.
    /// A partition that gives no rows for half a minute, and of which the broker says that there are none, holds the watermark back
    /// no longer, and windows that waited for it alone close without new rows; what it gives afterwards may be late. Where all
    /// partitions are silent, event time stands still. A query that ends by itself waits for no partition that it has read to its
    /// end. A time more than a day ahead of the clock moves nothing, and is counted; see [`StreamFrame::with_max_ahead`].
    ///
    /// The watermark holds for this column, whatever it is renamed to, and for the times of tumbling and hopping windows over
    /// it. Windows of another column, or of one computed from it, have no late rows and no end.
    #[must_use]
    #[track_caller]
    pub fn with_watermark(&self, column: &str, delay: &str) -> StreamFrame {
        self.with(self.plan.with_watermark(column, delay))
    }

    /// Says how far ahead of the clock a time may be that moves the watermark, right after it:
    /// `txns.with_watermark("event_time", "30s").with_max_ahead("1h")`. Unless it is said, that is a day. Without such a bound one
    /// clock that is wrong would make all rows late that come after. Rows beyond it are in the result as others are, and counted.
    #[must_use]
    #[track_caller]
    pub fn with_max_ahead(&self, limit: &str) -> StreamFrame {
        self.with(self.plan.with_max_ahead(limit))
    }

    /// Leaves columns out, as Polars' `drop`.
    #[must_use]
    #[track_caller]
    pub fn drop<'a>(&self, columns: impl IntoIterator<Item = &'a str>) -> StreamFrame {
        self.with(self.plan.drop(&columns.into_iter().collect::<Vec<_>>()))
    }

    /// Gives columns other names, as Polars' `rename`.
    #[must_use]
    #[track_caller]
    pub fn rename<'a>(
        &self,
        existing: impl IntoIterator<Item = &'a str>,
        new: impl IntoIterator<Item = &'a str>,
    ) -> StreamFrame {
        self.with(self.plan.rename(&existing.into_iter().collect::<Vec<_>>(), &new.into_iter().collect::<Vec<_>>()))
    }

    /// Gives columns other types, as Polars' `cast`: `txns.cast([("amount", DataType::Float64)])`. A value that does not fit
    /// becomes null.
    #[must_use]
    #[track_caller]
    pub fn cast<'a>(&self, dtypes: impl IntoIterator<Item = (&'a str, DataType)>) -> StreamFrame {
        self.with_columns(dtypes.into_iter().map(|(name, dtype)| col(name).cast(dtype)).collect::<Vec<_>>())
    }

    /// Puts a value in the place of nulls, in the columns whose type takes it, as Polars' `fill_null`.
    #[must_use]
    #[track_caller]
    pub fn fill_null(&self, value: impl Into<Expr>) -> StreamFrame {
        self.with_columns([all().as_expr().fill_null(value)])
    }

    /// Makes a row for each element of list columns, as Polars' `explode`.
    #[must_use]
    #[track_caller]
    pub fn explode<'a>(&self, columns: impl IntoIterator<Item = &'a str>) -> StreamFrame {
        self.with(self.plan.explode(&columns.into_iter().collect::<Vec<_>>()))
    }

    /// Puts the fields of struct columns in their place, as Polars' `unnest`.
    #[must_use]
    #[track_caller]
    pub fn unnest<'a>(&self, columns: impl IntoIterator<Item = &'a str>) -> StreamFrame {
        self.with(self.plan.unnest(&columns.into_iter().collect::<Vec<_>>()))
    }

    /// Keeps the first row that comes for each value of `subset`, as Polars' `unique` with `UniqueKeepStrategy::First`; with
    /// `None`, of all columns. Behind a watermark values are forgotten once it has passed them, as in Spark's
    /// `dropDuplicatesWithinWatermark`; without one every value is remembered.
    #[must_use]
    #[track_caller]
    pub fn unique(&self, subset: Option<&[&str]>) -> StreamFrame {
        self.with(self.plan.unique(subset))
    }

    /// Keeps the first `n` rows that come, as Polars' `limit`.
    #[must_use]
    #[track_caller]
    pub fn limit(&self, n: u64) -> StreamFrame {
        self.with(self.plan.limit(n))
    }

    /// As [`StreamFrame::limit`].
    #[must_use]
    #[track_caller]
    pub fn head(&self, n: u64) -> StreamFrame {
        self.limit(n)
    }

    /// Calls a function with a state of one's own for each key, and the key's new rows: the way to write a rule over time, as
    /// Spark's `flatMapGroupsWithState`. What the function gives is the result; it is called with no rows at once, to know
    /// its columns. The state begins as its type's default, and a checkpoint keeps it as CBOR, infinities and NaN too. Through
    /// [`Moment`] the function can ask to be called again when the watermark has come to a time, and forget a key.
    ///
    /// ```no_run
    /// # use corriente::prelude::*;
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let txns = read_kafka("127.0.0.1:9092").topic("transactions").json()?;
    /// // The third declined payment of an account in a row, and every one after it.
    /// let runs = txns.with_state([col("account_id")], |declined: &mut u32, rows, _| {
    ///     let alarm: Vec<bool> = rows.column("status")?.str()?.iter().map(|status| {
    ///         *declined = if status == Some("declined") { *declined + 1 } else { 0 };
    ///         *declined >= 3
    ///     }).collect();
    ///     rows.filter(&BooleanChunked::new("alarm".into(), alarm))
    /// });
    /// # Ok(())
    /// # }
    /// ```
    #[must_use]
    #[track_caller]
    pub fn with_state<S, F>(&self, keys: impl Exprs, function: F) -> StreamFrame
    where
        S: Default + Serialize + DeserializeOwned + Send + 'static,
        F: Fn(&mut S, DataFrame, &mut Moment) -> PolarsResult<DataFrame> + Send + Sync + 'static,
    {
        self.stateful(keys.into_exprs(), StateFunction::new(function))
    }

    // Not generic, so that a cell does not compile it.
    #[track_caller]
    fn stateful(&self, keys: Vec<Expr>, function: StateFunction) -> StreamFrame {
        self.with(self.plan.with_state(&keys, function))
    }

    /// The rows of this frame and of others, as Spark's `union`: `cards.union([&transfers, &cash])`. Their columns must be the
    /// same; a watermark, windows and everything else that has a state come after it. The watermark of the whole is the lowest of
    /// all their partitions.
    #[must_use]
    #[track_caller]
    pub fn union<'a>(&self, others: impl IntoIterator<Item = &'a StreamFrame>) -> StreamFrame {
        let mut plans = vec![self.plan.clone()];
        plans.extend(others.into_iter().map(|other| other.plan.clone()));
        self.with(Plan::union(&plans))
    }

    /// Sorts the rows of an aggregation, as Polars' `sort`. A stream itself has no end and is not sorted: keep its first rows
    /// with [`StreamFrame::top_k`].
    #[must_use]
    #[track_caller]
    pub fn sort(&self, by: impl Exprs, options: SortMultipleOptions) -> StreamFrame {
        self.with(self.plan.sort(&by.into_exprs(), &options))
    }

    /// Keeps the `k` largest rows by `by`, as Polars' `top_k`; with `options` that say descending, the smallest.
    #[must_use]
    #[track_caller]
    pub fn top_k(&self, k: usize, by: impl Exprs, options: SortMultipleOptions) -> StreamFrame {
        self.with(self.plan.top_k(k, &by.into_exprs(), &options))
    }

    /// Runs a function of one's own on each batch of rows, as Polars' `map_batches`. It must give the same columns for any
    /// rows, and is called with no rows at once, to know which. One that panics stops its query only, and the error shows the row.
    #[must_use]
    #[track_caller]
    pub fn map_batches(
        &self,
        function: impl Fn(DataFrame) -> PolarsResult<DataFrame> + Send + Sync + 'static,
    ) -> StreamFrame {
        self.with(self.plan.map_batches(function))
    }

    /// Groups the rows by `keys`, as Polars' `group_by`; with `[]` all rows are one group. What comes out of
    /// [`StreamGroupBy::agg`] has the keys first, then the aggregates. Every group is kept, for a stream does not say that a
    /// key is done: for keys without bound, group by windows too.
    #[must_use]
    pub fn group_by(&self, keys: impl Exprs) -> StreamGroupBy {
        StreamGroupBy { frame: self.clone(), keys: keys.into_exprs(), over: None }
    }

    /// Groups the rows by `keys` and by windows of the event time `time`, as Polars' `group_by_dynamic`: [`tumbling`],
    /// [`hopping`] or [`session`] ones, with Polars' options as in `tumbling("1d").offset("6h").label(Label::Right)`. What comes out of [`StreamGroupBy::agg`] has the keys first, then the windows' starts,
    /// then the aggregates.
    ///
    /// [`tumbling`]: plan::tumbling
    /// [`hopping`]: plan::hopping
    /// [`session`]: plan::session
    #[must_use]
    pub fn group_by_dynamic(&self, time: Expr, keys: impl Exprs, window: Window) -> StreamGroupBy {
        StreamGroupBy { frame: self.clone(), keys: keys.into_exprs(), over: Some((time, window)) }
    }

    /// The frame as a batch: everything in the source up to now, with the stream's own operators. An aggregation is
    /// sorted by its keys and its time.
    ///
    /// # Errors
    /// When the source cannot be read, an expression fails on the rows, or the cell is interrupted.
    pub fn collect(&self) -> Result<DataFrame, CollectError> {
        let collected = engine::collect(&self.plan, &self.open(), |_| !cell::interrupted())?;
        let dead = collected.dead_letters.len();
        if let Some(last) = collected.dead_letters.last() {
            let records = if dead == 1 { "record" } else { "records" };
            eprintln!(
                "{dead} {records} could not be decoded; the last: {} offset {}: {}",
                last.partition, last.offset, last.reason
            );
        }
        if collected.timeless > 0 {
            eprintln!("{} rows have no event time, and are in no window", collected.timeless);
        }
        collected.notices.iter().for_each(|notice| eprintln!("{notice}"));
        Ok(collected.frame)
    }

    /// The plan in words, the last step first and the source last: as it was said, and as it runs, with filters as early as they
    /// can be, without columns that nobody uses, and with what is remembered.
    #[must_use]
    pub fn explain(&self) -> String {
        engine::explain(&self.plan)
    }

    /// The plan as it runs.
    #[must_use]
    pub fn explain_optimized(&self) -> String {
        PhysicalPlan::of(&self.plan).explain()
    }

    #[track_caller]
    pub(crate) fn with(&self, plan: Result<Plan, PlanError>) -> StreamFrame {
        match plan {
            Ok(plan) => StreamFrame::new(plan),
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
    keys: Vec<Expr>,
    over: Option<(Expr, Window)>,
}

impl StreamGroupBy {
    /// Aggregates each group, by whatever Polars can aggregate. `len`, `count`, `sum`, `mean`, `min`, `max`, `var`, `std`, `any`,
    /// `all`, `first`, `last`, `n_unique`, `median`, `quantile`, `top_k`, `bottom_k`, their filtered forms and arithmetic on them
    /// are merged batch by batch; so are `approx_n_unique` and [`approx_quantile`], which keep a sketch in the place of the
    /// values. For anything else the groups' rows are kept. [`StreamFrame::explain`] says what is kept, how much of it there may
    /// be, and how far an approximate value may be off. `first` and `last` go by the event time (that of the
    /// windows, or of the watermark), where there is one, then by partition and offset.
    ///
    /// [`approx_quantile`]: engine::approx_quantile
    #[must_use]
    #[track_caller]
    pub fn agg(&self, aggs: impl Exprs) -> StreamFrame {
        let plan = &self.frame.plan;
        self.frame.with(match &self.over {
            None => plan.group_by(&self.keys, &aggs.into_exprs()),
            Some((time, window)) => plan.group_by_dynamic(time, &self.keys, window, &aggs.into_exprs()),
        })
    }
}
