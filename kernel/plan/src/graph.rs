//! A plan as the boxes of a picture: what it is in words, cut into parts that have inputs. Knows nothing of drawing.

use polars::prelude::PlSmallStr;

use crate::aggregate::Method;
use crate::explain;
use crate::node::{Node, Plan, Step};

/// A box of a picture.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Part {
    /// What it does, as in `FILTER`.
    pub title: String,
    /// How it does it.
    pub details: Vec<String>,
    /// What it remembers from batch to batch, and how much.
    pub state: Option<String>,
    /// Whether rows come from outside here.
    pub is_source: bool,
    /// The parts that it takes rows from, by their number.
    pub inputs: Vec<usize>,
}

impl Plan {
    /// The plan's parts, each behind its inputs: the last one gives the result. Sources say what is read of them, which is
    /// less than they have.
    #[must_use]
    pub fn graph(&self) -> Vec<Part> {
        let mut parts = Vec::new();
        let columns = self.source_columns();
        add(self, &columns, &mut parts);
        if let (Some(filter), [source, ..], []) = (self.row_filter(), parts.as_mut_slice(), self.inputs()) {
            let all: Vec<String> = filter.passes.iter().chain(&filter.needed).map(|one| format!("{one:?}")).collect();
            source.details.push(format!("needs the rows where {}", all.join(" and ")));
        }
        parts
    }
}

/// Adds the parts of `plan`, of whose source `columns` are read; gives the number of the last.
fn add(plan: &Plan, columns: &[PlSmallStr], parts: &mut Vec<Part>) -> usize {
    let part = match plan.node() {
        Node::Source { inputs, .. } if !inputs.is_empty() => {
            let inputs = inputs.iter().map(|input| add(input, &read_of(input, columns), parts)).collect();
            Part { title: "UNION".to_owned(), inputs, ..Part::default() }
        }
        Node::Source { name, .. } => source(name, plan, columns),
        Node::Step { step: Step::JoinSides(join), .. } => {
            let sides = plan.root();
            let inputs = sides.inputs().iter().map(|side| {
                let read = read_of(side, columns);
                // The last step of a side only makes its columns those of both.
                match side.node() {
                    Node::Step { input, step: Step::Select(_) } => add(input, &read, parts),
                    _ => add(side, &read, parts),
                }
            });
            let inputs = inputs.collect();
            Part { inputs, ..part_of(&Step::JoinSides(join.clone()), true) }
        }
        Node::Step { input, step } => {
            let below = add(input, columns, parts);
            let mut part = part_of(step, has_watermark(input));
            if let Step::Join(lookup) = step {
                parts.push(Part {
                    is_source: true,
                    title: "FRAME".to_owned(),
                    details: lookup.right(),
                    ..Part::default()
                });
                part.inputs.push(parts.len() - 1);
            }
            part.inputs.insert(0, below);
            part
        }
    };
    parts.push(part);
    parts.len() - 1
}

/// The columns read of the source of one of several frames, of which together `columns` are wanted.
fn read_of(input: &Plan, columns: &[PlSmallStr]) -> Vec<PlSmallStr> {
    // Rows without a column could not be counted.
    let first = columns.is_empty().then(|| input.schema().iter_names().next()).flatten();
    let wanted: Vec<_> = columns.iter().chain(first).cloned().map(polars::prelude::col).collect();
    input.select(&wanted).map_or_else(|_| input.source_columns(), |narrow| narrow.source_columns())
}

fn source(name: &str, plan: &Plan, columns: &[PlSmallStr]) -> Part {
    let all = plan.schema();
    let read = match columns.len() {
        read if read == all.len() => format!("reads all {read} columns"),
        read => format!("reads {read} of {} columns", all.len()),
    };
    let typed = |name: &PlSmallStr| all.get(name).map_or_else(|| name.to_string(), |dtype| format!("{name}: {dtype}"));
    let mut details = vec![name.to_owned(), read];
    if !columns.is_empty() {
        details.push(columns.iter().map(typed).collect::<Vec<_>>().join(", "));
    }
    Part { title: "SOURCE".to_owned(), details, is_source: true, ..Part::default() }
}

fn has_watermark(plan: &Plan) -> bool {
    plan.steps().2.iter().any(|step| matches!(step, Step::Watermark(_)))
}

fn part_of(step: &Step, has_watermark: bool) -> Part {
    let words = explain::line(step);
    // The step's name is what stands before its first expression, number or column.
    let named =
        words.split(' ').take_while(|word| !word.is_empty() && word.chars().all(|c| c.is_uppercase() || c == '_'));
    let title = named.collect::<Vec<_>>().join(" ");
    let rest = words[title.len()..].trim();
    let details = parted(rest).into_iter().filter(|detail| !detail.is_empty()).collect();
    Part { title, details, state: state(step, has_watermark), ..Part::default() }
}

/// The words in lines that begin with what they are about.
fn parted(words: &str) -> Vec<String> {
    let mut lines = vec![words.to_owned()];
    for about in ["] BY ", "] OVER ", ", KEEPING ", "] WITH ", " WITHIN ", ", DESCENDING "] {
        let Some(last) = lines.pop() else { break };
        match last.find(about) {
            Some(at) => {
                let cut = at + usize::from(about.starts_with([']', ',']));
                lines.push(last[..cut].trim_end_matches(',').to_owned());
                lines.push(last[cut..].trim().to_owned());
            }
            None => lines.push(last),
        }
    }
    lines
}

fn state(step: &Step, has_watermark: bool) -> Option<String> {
    if !step.has_state() {
        return None;
    }
    let until = if has_watermark { "until the watermark has passed them" } else { "for ever: there is no watermark" };
    Some(match step {
        Step::Aggregate(aggregate) => {
            let kept = match &aggregate.method {
                Method::Merge { accumulators, .. } if accumulators.iter().any(|a| a.function.keeps_values()) => {
                    "values of each group".to_owned()
                }
                Method::Merge { accumulators, .. } if accumulators.len() < 2 => "one value a group".to_owned(),
                Method::Merge { accumulators, .. } => format!("{} values a group", accumulators.len()),
                Method::Regroup { .. } => "the rows of each group".to_owned(),
            };
            match aggregate.over {
                Some(_) => format!("keeps {kept}, {until}"),
                None => format!("keeps {kept}, for ever: keys do not end"),
            }
        }
        Step::Unique(_) => format!("keeps the values that came, {until}"),
        Step::Sort(order) => format!("keeps {} rows at the most to show, and those that may follow", order.k),
        Step::Limit(n) => format!("counts up to {n}"),
        Step::WithState(..) => "keeps a state for each key, until the function forgets it".to_owned(),
        // Which rows are late is said by the watermark alone.
        Step::LateRows(_) => return None,
        Step::JoinSides(_) => format!("keeps the rows of both sides, {until}"),
        _ => "keeps a state".to_owned(),
    })
}
