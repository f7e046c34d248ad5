//! A plan as it runs, as the boxes of a picture: each operation is one, with what it remembers. Knows nothing of drawing.

use plan::{Scan, Step, Words};
use polars::prelude::PlSmallStr;

use super::{Input, Operation, PhysicalPlan};

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

impl PhysicalPlan {
    /// The plan's parts, each behind its inputs: the last one gives the result. Sources say what is read of them, which is
    /// less than they have.
    #[must_use]
    pub fn graph(&self) -> Vec<Part> {
        let mut parts = Vec::new();
        self.add(&mut parts);
        if let (Some(filter), Input::Scan(_), [source, ..]) = (self.row_filter(), &self.input, parts.as_mut_slice()) {
            let all: Vec<String> = filter.passes.iter().chain(&filter.needed).map(|one| format!("{one:?}")).collect();
            source.details.push(format!("needs the rows where {}", all.join(" and ")));
        }
        parts
    }

    /// Adds the parts; gives the number of the last.
    fn add(&self, parts: &mut Vec<Part>) -> usize {
        let (mut last, stages) = match &self.input {
            Input::Scan(scan) => (put(parts, source(scan, &self.source_columns())), 0),
            Input::Union(inputs) => {
                let inputs = inputs.iter().map(|input| self.read_of(input).add(parts)).collect();
                (put(parts, Part { title: "UNION".to_owned(), inputs, ..Part::default() }), 0)
            }
            Input::Sides(sides) => {
                let inputs = sides.iter().map(|side| {
                    let mut side = side.clone();
                    // It only names the columns as the join does.
                    side.stages.pop();
                    side.add(parts)
                });
                let inputs = inputs.collect();
                (put(parts, Part { inputs, ..self.part(0) }), 1)
            }
        };
        for number in stages..self.stages.len() {
            let mut part = self.part(number);
            part.inputs.push(last);
            if let Operation::Step(Step::Join(lookup)) = &self.stages[number].operation {
                let frame =
                    Part { is_source: true, title: "FRAME".to_owned(), details: lookup.right(), ..Part::default() };
                part.inputs.push(put(parts, frame));
            }
            last = put(parts, part);
        }
        last
    }

    fn part(&self, number: usize) -> Part {
        let operation = &self.stages[number].operation;
        let Words { title, details } = operation.words();
        Part { title, details, state: operation.state(self.has_watermark(number)), ..Part::default() }
    }
}

fn put(parts: &mut Vec<Part>, part: Part) -> usize {
    parts.push(part);
    parts.len() - 1
}

/// What is read, and which of its columns.
fn source(scan: &Scan, columns: &[PlSmallStr]) -> Part {
    let all = &scan.schema;
    let read = match columns.len() {
        read if read == all.len() => format!("reads all {read} columns"),
        read => format!("reads {read} of {} columns", all.len()),
    };
    let typed = |name: &PlSmallStr| all.get(name).map_or_else(|| name.to_string(), |dtype| format!("{name}: {dtype}"));
    let mut details = vec![scan.explain(), read];
    if !columns.is_empty() {
        details.push(columns.iter().map(typed).collect::<Vec<_>>().join(", "));
    }
    Part { title: "SOURCE".to_owned(), details, is_source: true, ..Part::default() }
}
