//! How a plan is grouped: by keys, by windows of a time, or by both.

use polars::prelude::*;

use crate::PlanError;
use crate::aggregate::{Aggregate, Over};
use crate::expr::schema_after;
use crate::node::{Plan, Step};
use crate::window::{Cut, Hops, Window};

/// The column with the time of a window's first row.
const FIRST_TIME: &str = "__corriente_first_time";

impl Plan {
    /// Aggregates over the windows of `time` and `keys`; names and order of the arguments are Polars'.
    ///
    /// # Errors
    /// An unknown column, a time column that is no time, a window that is none, or an aggregate that Polars refuses.
    pub fn group_by_dynamic(
        &self,
        time: &Expr,
        keys: &[Expr],
        window: &Window,
        aggs: &[Expr],
    ) -> Result<Plan, PlanError> {
        let cut = window.cut()?;
        let time = self.time_column("group_by_dynamic", time)?;
        if let Some((detail, hint)) = self.schema().get(&time).and_then(|dtype| cut.obstacle(dtype)) {
            let detail = format!("{}: {detail}", window.text());
            return Err(PlanError::Refused { operation: "group_by_dynamic", detail, hint });
        }
        let over = Over { time, window: window.clone(), cut };
        match cut {
            Cut::Every(Hops { label: Label::DataPoint, .. }) => self.named_by_first_rows(keys, over, aggs),
            _ => self.aggregated(keys, Some(over), aggs),
        }
    }

    /// Windows are known by their starts, so the time of their first rows is an aggregate that takes the starts' place.
    fn named_by_first_rows(&self, keys: &[Expr], over: Over, aggs: &[Expr]) -> Result<Plan, PlanError> {
        let (time, place) = (over.time.clone(), keys.len() + over.columns() - 1);
        let first = col(time.clone()).min().alias(FIRST_TIME);
        let plan = self.aggregated(keys, Some(over), &[aggs, &[first]].concat())?;
        let mut columns: Vec<Expr> = plan.schema().iter_names().cloned().map(col).collect();
        let first = columns.pop();
        columns.splice(place..=place, first.map(|first| first.alias(time)));
        plan.select(&columns)
    }

    /// Aggregates over `keys`, as Polars' `group_by`; without keys, over all rows.
    ///
    /// # Errors
    /// An unknown column, or an aggregate that Polars refuses.
    pub fn group_by(&self, keys: &[Expr], aggs: &[Expr]) -> Result<Plan, PlanError> {
        self.aggregated(keys, None, aggs)
    }

    pub(crate) fn aggregated(&self, keys: &[Expr], over: Option<Over>, aggs: &[Expr]) -> Result<Plan, PlanError> {
        if self.steps().iter().any(|step| matches!(step, Step::Sort(_))) {
            return Err(PlanError::Refused {
                operation: "group_by",
                detail: "the rows are sorted already, and only the first are there".to_owned(),
                hint: "Group first, and sort the result.",
            });
        }
        let (aggregate, schema) = Aggregate::new(self.schema(), keys, over, aggs)?;
        Ok(self.step(Step::Aggregate(Box::new(aggregate)), schema))
    }

    pub(crate) fn time_column(&self, operation: &'static str, time: &Expr) -> Result<PlSmallStr, PlanError> {
        let Expr::Column(name) = time else {
            return Err(PlanError::Refused {
                operation,
                detail: format!("`{time:?}` is an expression, and the event time must be a column"),
                hint: "Make the column with with_columns() first.",
            });
        };
        schema_after(operation, self.schema(), std::slice::from_ref(time), |frame| frame.select([time.clone()]))?;
        match self.schema().get(name) {
            Some(DataType::Datetime(_, _)) => Ok(name.clone()),
            other => Err(PlanError::WrongType {
                operation,
                column: name.to_string(),
                found: other.map_or_else(|| "unknown".to_owned(), ToString::to_string),
                expected: "a datetime",
                hint: format!(
                    "Dates and milliseconds since the epoch become one with with_columns([col(\"{name}\").cast(DataType::Datetime(TimeUnit::Milliseconds, None))])."
                ),
            }),
        }
    }
}
