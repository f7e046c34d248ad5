//! A plan in words, the last step first and the source last, as Polars prints its plans.

use std::fmt::Write as _;

use crate::node::{Plan, Step};

pub(crate) fn text(plan: &Plan) -> String {
    let (source, columns, steps) = plan.steps();
    let mut lines: Vec<String> = steps.iter().rev().map(|step| line(step)).collect();
    let columns: Vec<String> = columns.iter().map(|(name, dtype)| format!("{name}: {dtype}")).collect();
    lines.push(format!("SOURCE {source} [{}]", columns.join(", ")));
    let mut text = String::new();
    for (depth, line) in lines.iter().enumerate() {
        // Writing to a string does not fail.
        let _ = writeln!(text, "{:indent$}{line}", "", indent = depth * 2);
    }
    text
}

fn line(step: &Step) -> String {
    match step {
        Step::Filter(predicate) => format!("FILTER {predicate:?}"),
        Step::Select(exprs) => format!("SELECT {exprs:?}"),
        Step::WithColumns(exprs) => format!("WITH_COLUMNS {exprs:?}"),
        Step::Watermark(watermark) => format!("WATERMARK \"{}\" {} late", watermark.column, watermark.delay),
        Step::Aggregate(a) => {
            format!("AGGREGATE {:?} BY {:?} OVER tumbling(\"{}\") OF \"{}\"", a.written, a.keys, a.window.text(), a.time)
        }
    }
}
