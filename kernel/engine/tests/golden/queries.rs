//! The queries of the golden files, by name. What the words of each come to stands in its file too.

use engine::OpenSource;
use plan::{Moment, Plan, PlanError, StateFunction, hopping, session, tumbling, within};
use polars::prelude::*;

use crate::common::frames::{Frame, join_changing, join_stream};
use crate::file::Row;
use crate::log::{open, schema};

pub(crate) const NAMES: [&str; 15] = [
    "aggregate of aggregate",
    "function with state",
    "groups that leave",
    "hopping windows",
    "join of two streams",
    "join of windows",
    "join with a frame",
    "kept rows",
    "keys alone",
    "largest groups",
    "late rows",
    "limit",
    "rows",
    "sessions",
    "unique",
];

/// Those that forget what the watermark has passed: what may come again hangs on the batch it comes in.
pub(crate) const FORGET: [&str; 1] = ["unique"];

/// The query of this name over logs without rows.
pub(crate) fn named(name: &str) -> Frame {
    frame(name, &[]).unwrap()
}

/// The logs that the query of this name reads, with these rows.
pub(crate) fn opened(name: &str, rows: &[Row]) -> OpenSource {
    frame(name, rows).unwrap().1
}

fn frame(name: &str, rows: &[Row]) -> Result<Frame, PlanError> {
    let source = Plan::source("memory a", schema());
    let marked = source.with_watermark("time", "5s")?;
    let time = col("time");
    let counted = [len().alias("n"), col("value").sum()];
    let windows = marked.group_by_dynamic(&time, &[col("key")], &tumbling("10s"), &counted)?;
    let plan = match name {
        "rows" => {
            let dear = (col("value") * lit(100)).alias("cents");
            source.filter(col("value").gt(lit(2)))?.with_columns(&[dear])?.drop(&["time"])?
        }
        "limit" => source.limit(3)?,
        "unique" => marked.unique(Some(&["key"]))?,
        "late rows" => windows,
        "hopping windows" => marked.group_by_dynamic(&time, &[], &hopping("20s", "10s"), &counted)?,
        "sessions" => marked.group_by_dynamic(&time, &[col("key")], &session("4s"), &counted)?,
        "kept rows" => {
            let ends = [col("value").first().alias("first"), col("value").last().alias("last")];
            let rest = [col("value").median().alias("median"), col("value").alias("all")];
            marked.group_by_dynamic(&time, &[col("key")], &tumbling("10s"), &[ends, rest].concat())?
        }
        "keys alone" => {
            let means = [col("value").mean().alias("mean"), col("value").min().alias("least")];
            source.group_by(&[col("key")], &[&counted[..], &means[..]].concat())?
        }
        "groups that leave" => windows.filter(col("value").gt(lit(10)))?,
        "aggregate of aggregate" => {
            let of_counts = [len().alias("windows"), col("value").max().alias("most")];
            windows.group_by(&[col("n")], &of_counts)?
        }
        "largest groups" => {
            let groups = source.group_by(&[col("key")], &counted)?;
            groups.top_k(2, &[col("value"), col("key")], &SortMultipleOptions::default())?
        }
        "join with a frame" => {
            let names = df!["id" => ["a", "b", "b"], "name" => ["Ada", "Bo", "Bea"]].unwrap();
            source.join(names, &[col("key")], &[col("id")], &JoinType::Left)?
        }
        "join of two streams" => {
            let other = Plan::source("memory b", schema()).with_watermark("time", "5s")?;
            let on = [col("key")];
            let (left, right) = ((marked, open(rows, 0)), (other, open(rows, 1)));
            return join_stream(&left, &right, (&on, &on), &JoinType::Left, &within("time", "time", "3s"));
        }
        "join of windows" => {
            let other = Plan::source("memory b", schema()).with_watermark("time", "5s")?;
            let most = [col("value").max().alias("most")];
            let other = other.group_by_dynamic(&time, &[col("key")], &tumbling("10s"), &most)?;
            let on = [col("time"), col("key")];
            let (left, right) = ((windows, open(rows, 0)), (other, open(rows, 1)));
            return join_changing(&left, &right, (&on, &on), &JoinType::Full);
        }
        "function with state" => marked.with_state(&[col("key")], totals())?,
        _ => panic!("there is no query {name:?}"),
    };
    Ok((plan, open(rows, 0)))
}

/// The running total of each key, once more when none has come for ten seconds; then it is forgotten.
fn totals() -> StateFunction {
    StateFunction::new(|state: &mut (String, i64), rows: DataFrame, moment: &mut Moment| {
        let (mut keys, mut totals) = (Vec::new(), Vec::new());
        for (key, value) in rows.column("key")?.str()?.iter().zip(rows.column("value")?.i64()?.iter()) {
            *state = (key.unwrap_or_default().to_owned(), state.1 + value.unwrap_or_default());
            keys.push(state.0.clone());
            totals.push(state.1);
        }
        if let Some(newest) = rows.column("time")?.to_physical_repr().i64()?.max() {
            moment.set_timeout_ms(newest + 10_000);
        }
        if moment.timed_out() {
            keys.push(format!("{} is done", state.0));
            totals.push(state.1);
            moment.forget();
        }
        df!["key" => keys, "total" => totals]
    })
}
