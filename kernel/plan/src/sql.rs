//! SQL in Polars' dialect, as a plan. Polars itself reads the text and plans it over empty frames that stand for the streams; that
//! plan is walked here and said again in a stream's words, so that SQL and words give one plan, with one set of refusals.

mod functions;
mod group;
mod join;
mod normal;
mod stream;
mod walk;

use std::sync::Arc;

use polars::prelude::*;
use polars::sql::SQLContext;
use polars_plan::prelude::DslPlan;

use crate::closure::caught;
use crate::expr::near_matches;
use crate::{Plan, PlanError};
use functions::Functions;
use walk::{Walk, Walked};

/// What a name in a query stands for.
#[derive(Clone)]
pub enum SqlTable {
    /// A stream.
    Stream(Plan),
    /// A frame that stands still.
    Still(DataFrame),
}

/// Reads a query over `tables`. Beside the functions of Polars' SQL there are `tumbling(time, '10s')`, `hopping(time, '1m', '10s')` and
/// `session(time, '5m')`, which as a key of GROUP BY cut the event time into windows, and `DATE_TRUNC('minute', time)`, which is
/// `tumbling(time, '1m')`.
///
/// # Errors
/// A text that Polars does not read, a name that is no table, a query that reads no stream, or one that cannot be streamed.
pub fn sql(query: &str, tables: &[(String, SqlTable)]) -> Result<Plan, PlanError> {
    let functions = Arc::new(Functions::new());
    let mut context = SQLContext::new().with_function_registry(functions.clone());
    let mut streams = Vec::new();
    for (name, table) in tables {
        match table {
            SqlTable::Still(frame) => context.register(name, frame.clone().lazy()),
            SqlTable::Stream(plan) => {
                let empty = DataFrame::empty_with_schema(plan.schema()).lazy();
                if let DslPlan::DataFrameScan { df, .. } = &empty.logical_plan {
                    streams.push((Arc::clone(df), plan.clone()));
                }
                context.register(name, empty);
            }
        }
    }
    // Polars panics over some texts, such as a pattern of columns that is none.
    let asked = caught(|| context.execute(query))
        .map_err(|panic| PlanError::Polars { operation: "sql", detail: format!("the query cannot be read: {panic}") })?
        .map_err(|error| not_read(&error, tables))?;
    let mut walk = Walk { streams, functions: &functions };
    match walk.walk(&asked.logical_plan).and_then(Walked::settled).map_err(in_sql)? {
        Walked::Stream(stream) => Ok(stream.plan),
        Walked::Still(_) => refused(
            "the query reads no stream, so there is nothing to wait for",
            "Name a registered stream after FROM; what stands still Polars' own SQLContext reads.",
        ),
    }
}

/// What Polars says of the text; a table that is not there with those that are.
fn not_read(error: &PolarsError, tables: &[(String, SqlTable)]) -> PlanError {
    let detail = error.to_string();
    let missing = detail.split_once("relation '").and_then(|(_, rest)| rest.split_once("' was not found"));
    let Some((missing, _)) = missing else { return PlanError::Polars { operation: "sql", detail } };
    let names: Vec<&str> = tables.iter().map(|(name, _)| name.as_str()).collect();
    let near = match near_matches(missing, names.iter().copied()).first() {
        Some(near) => format!("; did you mean \"{near}\"?"),
        None if names.is_empty() => ", for none is registered".to_owned(),
        None => format!(", among {}", names.join(", ")),
    };
    PlanError::Refused {
        operation: "sql",
        detail: format!("there is no table \"{missing}\"{near}").trim_end_matches('?').to_owned(),
        hint: "Register a frame under its name with register(\"…\", &frame).",
    }
}

/// The same refusal with SQL's way to do it.
fn in_sql(error: PlanError) -> PlanError {
    match error {
        PlanError::NotRowWise { expression, .. } => PlanError::NotRowWise {
            operation: "sql",
            expression,
            hint: "Aggregate with GROUP BY, over windows of time by tumbling(event_time, '10s'), or collect() the frame and query the result.",
        },
        other => other,
    }
}

fn refused<T>(detail: impl Into<String>, hint: &'static str) -> Result<T, PlanError> {
    Err(PlanError::Refused { operation: "sql", detail: detail.into(), hint })
}

fn polars_says(error: PolarsError) -> PlanError {
    PlanError::Polars { operation: "sql", detail: error.to_string() }
}
