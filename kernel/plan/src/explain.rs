//! A plan in words, the last step first and the source last, as Polars prints its plans.

use std::fmt::Write as _;

use crate::node::{Node, Order, Plan, Step};
use crate::scan::Scan;

pub(crate) fn text(plan: &Plan) -> String {
    let mut text = String::new();
    write_lines(plan, 0, &mut text);
    text
}

/// A line for what the plan ends with, and below it, further to the right, those of its inputs.
fn write_lines(plan: &Plan, depth: usize, text: &mut String) {
    let (line, inputs): (String, Vec<&Plan>) = match plan.node() {
        Node::Scan(scan) => (source(scan, plan), Vec::new()),
        Node::Union(inputs) => ("UNION".to_owned(), inputs.iter().collect()),
        Node::Join(join) => (join.words().line(), join.sides.iter().map(|side| &side.plan).collect()),
        Node::Step { input, step } => (step.words().line(), vec![input]),
    };
    // Writing to a string does not fail.
    let _ = writeln!(text, "{:indent$}{line}", "", indent = depth * 2);
    for input in inputs {
        write_lines(input, depth + 1, text);
    }
}

fn source(scan: &Scan, plan: &Plan) -> String {
    let columns: Vec<String> = plan.schema().iter().map(|(name, dtype)| format!("{name}: {dtype}")).collect();
    format!("SOURCE {} [{}]", scan.explain(), columns.join(", "))
}

/// What a view of the plan is called: the topic, how it is grouped, and how many of the first rows there are.
pub(crate) fn title(plan: &Plan) -> String {
    let topic = plan.scans().iter().map(|scan| scan.title()).collect::<Vec<_>>().join(" + ");
    let is_late = plan.steps().iter().any(|step| matches!(step, Step::LateRows(_)))
        || matches!(plan.root().node(), Node::Join(join) if join.late);
    let topic = if is_late { format!("late rows of {topic}") } else { topic };
    let first = match plan.order() {
        Some(Order { k: Some(k), .. }) => format!(", first {k}"),
        Some(_) => ", sorted".to_owned(),
        None => String::new(),
    };
    let Some((aggregate, schema)) = plan.aggregate() else { return topic + &first };
    let keys: Vec<&str> = schema.iter_names().take(aggregate.keys.len()).map(|name| name.as_str()).collect();
    let by = if keys.is_empty() { String::new() } else { format!(" by {}", keys.join(", ")) };
    let over = aggregate.over.as_ref().map(|over| format!(", {}", over.window.in_words())).unwrap_or_default();
    format!("{topic}{by}{over}{first}")
}
