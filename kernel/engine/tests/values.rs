//! Overflow, division by zero and nulls follow Polars: what a stream makes of awkward values in small batches is what Polars makes of
//! them in one frame.
#![allow(clippy::unwrap_used, missing_docs)]

use std::sync::Arc;

use engine::{Clock, LiveResult, ManualClock, Mode, PartitionRows, Pipeline, Status};
use plan::{Plan, PlanError};
use polars::prelude::*;

fn rows() -> DataFrame {
    df![
        "key" => [Some("a"), None, Some("a"), Some(""), None, Some("b"), Some("b"), Some("a")],
        "whole" => [Some(i64::MAX), Some(1), None, Some(0), Some(i64::MIN), Some(-1), Some(7), Some(2)],
        "small" => [Some(i32::MAX), Some(0), Some(1), None, Some(i32::MIN), Some(-1), Some(3), Some(0)],
        "float" => [Some(f64::MAX), Some(0.0), Some(f64::NAN), None, Some(-0.0), Some(f64::INFINITY), Some(1.5), Some(f64::MAX)],
        "flag" => [Some(true), None, Some(false), Some(true), None, Some(true), Some(false), None],
    ]
    .unwrap()
}

/// The plan over the rows in batches of two.
fn streamed(plan: &Plan) -> DataFrame {
    let clock: Arc<dyn Clock> = Arc::new(ManualClock::default());
    let mut pipeline = Pipeline::new(plan, std::slice::from_ref(rows().schema()), Mode::Batch, &clock).unwrap();
    let result = LiveResult::with_rows_held(plan.schema().clone(), Status::default(), usize::MAX);
    for at in (0..rows().height() as i64).step_by(2) {
        let part = PartitionRows { partition: 0.into(), rows: rows().slice(at, 2), newest_ms: None };
        result.apply(&pipeline.execute(vec![part]).unwrap().changes, |_| {}).unwrap();
    }
    result.frame()
}

#[track_caller]
fn same(said: impl Fn(&Plan) -> Result<Plan, PlanError>, at_rest: impl Fn(LazyFrame) -> LazyFrame) {
    let plan = said(&Plan::source("memory", rows().schema().clone())).unwrap();
    let expected = at_rest(rows().lazy()).collect().unwrap();
    let sorted = |frame: &DataFrame| {
        let names: Vec<PlSmallStr> = frame.schema().iter_names().cloned().collect();
        frame.sort(names, SortMultipleOptions::default()).unwrap()
    };
    let (found, expected) = (sorted(&streamed(&plan)), sorted(&expected));
    assert!(found.equals_missing(&expected), "{}\n{found}\nand not\n{expected}", plan.explain());
}

#[track_caller]
fn same_columns(exprs: &[Expr]) {
    same(|plan| plan.select(exprs), |frame| frame.select(exprs));
}

#[test]
fn division_by_zero() {
    let zero = || col("small") - col("small");
    same_columns(&[
        (col("whole") / lit(0)).alias("true division"),
        (col("whole") % lit(0)).alias("remainder"),
        col("whole").floor_div(lit(0)).alias("floor"),
        col("small").floor_div(zero()).alias("floor of a column"),
        (col("small") % zero()).alias("remainder of a column"),
        (col("float") / lit(0.0)).alias("float"),
        (col("float") % lit(0.0)).alias("float remainder"),
    ]);
}

#[test]
fn overflow() {
    same_columns(&[
        (col("whole") + lit(1)).alias("plus"),
        (col("whole") * lit(3)).alias("times"),
        (-col("whole")).alias("minus"),
        (col("small") + lit(1i32)).alias("small plus"),
        (col("small") * col("small")).alias("square"),
        (col("float") * lit(10.0)).alias("float"),
        col("whole").cast(DataType::Int32).alias("cast"),
        col("float").cast(DataType::Int64).alias("cast of a float"),
    ]);
}

#[test]
fn sums_that_overflow() {
    let aggs = [
        col("whole").sum(),
        col("small").sum(),
        (col("whole") + col("whole")).sum().alias("doubled"),
        col("small").mean().alias("mean"),
        col("whole").min().alias("least"),
        col("whole").max().alias("most"),
    ];
    same(|plan| plan.group_by(&[col("key")], &aggs), |frame| frame.group_by([col("key")]).agg(&aggs));
    same(|plan| plan.group_by(&[], &aggs), |frame| frame.select(&aggs));
}

#[test]
fn nulls() {
    same(|plan| plan.filter(col("flag")), |frame| frame.filter(col("flag")));
    same(|plan| plan.filter(col("flag").not()), |frame| frame.filter(col("flag").not()));
    let unequal = || col("key").neq(lit("a"));
    same(|plan| plan.filter(unequal()), |frame| frame.filter(unequal()));
    same(|plan| plan.filter(col("key").is_null()), |frame| frame.filter(col("key").is_null()));
    same_columns(&[
        (col("whole") + col("small")).alias("sum"),
        col("key").eq(lit("a")).alias("equal"),
        col("key").eq_missing(lit(NULL)).alias("missing"),
        col("flag").and(lit(NULL)).alias("and"),
        col("flag").or(lit(true)).alias("or"),
        when(col("flag")).then(col("small")).otherwise(lit(-7)).alias("when"),
        col("small").fill_null(lit(9)).alias("filled"),
        coalesce(&[col("small").cast(DataType::Int64), col("whole")]).alias("first"),
    ]);
    let aggs = [
        len().alias("n"),
        col("flag").count().alias("known"),
        col("flag").sum().alias("true"),
        col("small").mean().alias("mean"),
        col("small").filter(col("flag")).sum().alias("where"),
        col("float").max().alias("most"),
        col("float").min().alias("least"),
        col("key").n_unique().alias("keys"),
        col("flag").any(true).alias("any"),
        col("flag").all(false).alias("all"),
    ];
    same(|plan| plan.group_by(&[col("key")], &aggs), |frame| frame.group_by([col("key")]).agg(&aggs));
    same(
        |plan| plan.unique(Some(&["key"])).and_then(|p| p.select(&[col("key")])),
        |frame| frame.select([col("key")]).unique(None, UniqueKeepStrategy::Any),
    );
}
