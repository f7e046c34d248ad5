//! Aggregations of rows that change subtract the old rows and add the new ones. Their slow twin is the same plan with one aggregate
//! more, for which all rows are kept and Polars aggregates the groups anew: the two are held equal after every batch, over random
//! rows, cuts and restarts; and both equal what Polars makes of the result of the aggregation below as it is then.
#![allow(clippy::unwrap_used, missing_docs)]

#[path = "../common/mod.rs"]
mod common;
mod state;
mod values;
mod windows;

use engine::PhysicalPlan;
use plan::Plan;
use polars::prelude::*;

/// A step between two aggregations, as both sides say it.
#[derive(Clone)]
enum Between {
    Filter(Expr),
    With(Expr),
    Select(Vec<Expr>),
}

impl Between {
    fn on_plan(&self, plan: &Plan) -> Plan {
        match self {
            Between::Filter(predicate) => plan.filter(predicate.clone()).unwrap(),
            Between::With(expr) => plan.with_columns(std::slice::from_ref(expr)).unwrap(),
            Between::Select(exprs) => plan.select(exprs).unwrap(),
        }
    }

    fn on_frame(&self, frame: LazyFrame) -> LazyFrame {
        match self {
            Between::Filter(predicate) => frame.filter(predicate.clone()),
            Between::With(expr) => frame.with_columns([expr.clone()]),
            Between::Select(exprs) => frame.select(exprs),
        }
    }
}

/// How a plan runs, in words.
fn runs(plan: &Plan) -> String {
    PhysicalPlan::of(plan).explain()
}

/// How often rows that change are subtracted.
fn subtractions(plan: &Plan) -> usize {
    runs(plan).matches("SUBTRACTING ROWS THAT CHANGE").count()
}

/// Whether the rows of two results are equal in any order; `identity` are the first columns, which tell rows apart. Floats may be off
/// by their last digits: of the value that they come of, whose size the last column of `theirs`, called "scale", has if it has one.
fn same(ours: &DataFrame, theirs: &DataFrame, identity: usize) -> Result<(), String> {
    let by: Vec<PlSmallStr> = ours.get_column_names_owned().into_iter().take(identity).collect();
    let sorted = |frame: &DataFrame| match by.len() {
        0 => Ok(frame.clone()),
        _ => frame.sort(by.clone(), SortMultipleOptions::default()).map_err(|error| error.to_string()),
    };
    let (ours, mut theirs) = (sorted(ours)?, sorted(theirs)?);
    let scale: Option<Vec<f64>> = theirs
        .drop_in_place("scale")
        .ok()
        .map(|scale| scale.f64().unwrap().iter().map(|scale| scale.unwrap_or_default()).collect());
    let both = || format!("ours: {ours}\ntheirs: {theirs}");
    if ours.schema() != theirs.schema() || ours.height() != theirs.height() {
        return Err(format!("the shapes differ\n{}", both()));
    }
    for (a, b) in ours.columns().iter().zip(theirs.columns()) {
        let (Ok(x), Ok(y)) = (a.f64(), b.f64()) else {
            if a.equals_missing(b) {
                continue;
            }
            return Err(format!("column \"{}\" differs\n{}", a.name(), both()));
        };
        for (row, (x, y)) in x.iter().zip(y.iter()).enumerate() {
            let scale = scale.as_ref().map_or(1e3, |scale| scale[row]);
            let power = if a.name().starts_with("var") { 2 } else { 1 };
            let is_close = match (x, y) {
                // Where squares have no room, Polars gives one of the values that are no number.
                _ if a.name().starts_with("var") && scale > 1e150 => true,
                (Some(x), Some(y)) => {
                    x == y
                        || (x.is_nan() && y.is_nan())
                        || (x - y).abs() <= 1e-9 * scale.max(x.abs()).max(1.0).powi(power)
                }
                (x, y) => x == y,
            };
            if !is_close {
                return Err(format!("column \"{}\", row {row}: {x:?} and {y:?}\n{}", a.name(), both()));
            }
        }
    }
    Ok(())
}
