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

/// What a view of the plan is called: the topic, and how it is grouped.
pub(crate) fn title(plan: &Plan) -> String {
    let (source, _, _) = plan.steps();
    let topic = source.split_whitespace().nth(1).unwrap_or(source);
    let Some((aggregate, schema)) = plan.aggregate() else { return topic.to_owned() };
    let keys: Vec<&str> = schema.iter_names().take(aggregate.keys.len()).map(|name| name.as_str()).collect();
    let by = if keys.is_empty() { String::new() } else { format!(" by {}", keys.join(", ")) };
    format!("{topic}{by}, every {}", aggregate.window.text())
}

fn line(step: &Step) -> String {
    match step {
        Step::Filter(predicate) => format!("FILTER {predicate:?}"),
        Step::Select(exprs) => format!("SELECT {exprs:?}"),
        Step::WithColumns(exprs) => format!("WITH_COLUMNS {exprs:?}"),
        Step::Watermark(watermark) => format!("WATERMARK \"{}\" {} late", watermark.column, watermark.delay),
        Step::Aggregate(a) => {
            format!(
                "AGGREGATE {:?} BY {:?} OVER tumbling(\"{}\") OF \"{}\"",
                a.written,
                a.keys,
                a.window.text(),
                a.time
            )
        }
    }
}
