//! Several frames as one source. Each brings its own log; a partition of the whole is a partition of one of them, so that
//! offsets, watermarks and checkpoints know nothing of it.

use std::sync::Arc;
use std::time::Duration;

use plan::{Asof, Plan, PlanError, RowFilter, Sides, Step, Within};
use polars::prelude::*;

use crate::operator::stateless;
use crate::position::{Offsets, TopicPartition};
use crate::query::OpenSource;
use crate::source::{DISCOVERY_INTERVAL, DeadLetter, LeftOut, Resumed, Source, SourceBatch, SourceError};

/// How long one input is waited for before the next is asked.
const TURN: Duration = Duration::from_millis(10);

/// A frame: what it says, and the way to its source.
pub type Frame = (Plan, OpenSource);

/// The rows of several frames as those of one; their columns must be the same, in any order.
///
/// # Errors
/// Other columns, or a frame that has a watermark or a state: those come after the union.
pub fn union(frames: &[Frame]) -> Result<Frame, PlanError> {
    let refused = |detail: String, hint| Err(PlanError::Refused { operation: "union", detail, hint });
    let Some((first, _)) = frames.first() else {
        return refused("there is no frame".to_owned(), "Give one at the least.");
    };
    let schema = first.schema().clone();
    let mut inputs = Vec::with_capacity(frames.len());
    let mut names = Vec::with_capacity(frames.len());
    for (plan, open) in frames {
        let (name, _, steps) = plan.steps();
        if let Some(step) = steps.iter().find(|step| !stateless::takes(step) || matches!(step, Step::ProcessingTime(_)))
        {
            let detail = format!("a frame has {} already", in_words(step));
            return refused(detail, "Union the rows first, and say the rest of the whole.");
        }
        if steps.iter().any(|step| matches!(step, Step::Join(lookup) if lookup.refresh().is_some())) {
            let detail = "a frame looks rows up in one that is read anew".to_owned();
            return refused(detail, "Union the rows first, and look those of the whole up.");
        }
        let same = plan.schema().len() == schema.len()
            && schema.iter().all(|(name, dtype)| plan.schema().get(name) == Some(dtype));
        let mixed = schema.iter().find_map(|(name, dtype)| {
            Some(format!("column \"{name}\" is of two zones: {}", plan::mixed_zones(dtype, plan.schema().get(name)?)?))
        });
        if let Some(detail) = mixed {
            return refused(detail, plan::ONE_ZONE);
        }
        if !same {
            let detail = format!("the columns differ: {:?} and {:?}", schema, plan.schema());
            return refused(detail, "Give them the same names and types with select(…).");
        }
        names.push(name.split_whitespace().nth(1).unwrap_or(name).to_owned());
        inputs.push((plan.clone(), Arc::clone(open)));
    }
    // The inputs' own steps are part of what is asked: a checkpoint knows the query by its words.
    let words = inputs.iter().map(|(plan, _)| plan.explain().replace('\n', " ")).collect::<Vec<_>>().join(" + ");
    let name = format!("union {} at ({})", names.join(" + "), words.trim());
    let whole = schema.clone();
    let parts = inputs.iter().map(|(plan, _)| plan.clone()).collect();
    let open: OpenSource = Arc::new(move |columns: &[PlSmallStr]| {
        // Rows without a column could not be counted.
        let is_wanted = |(n, field): &(usize, Field)| columns.contains(field.name()) || (columns.is_empty() && *n == 0);
        let schema: SchemaRef =
            Arc::new(whole.iter_fields().enumerate().filter(is_wanted).map(|(_, field)| field).collect());
        let wanted: Vec<Expr> = schema.iter_names().cloned().map(col).collect();
        let mut opened = Vec::with_capacity(inputs.len());
        for (plan, open) in &inputs {
            let narrow = plan.select(&wanted).map_err(|error| broken(&error))?.optimized();
            let mut source = open(&narrow.source_columns())?;
            if let Some(filter) = narrow.row_filter() {
                source.filter(&filter);
            }
            let steps = narrow.steps().2.into_iter().cloned().collect();
            opened.push(Input { source, steps, plan: narrow });
        }
        Ok(Box::new(UnionSource { inputs: opened, schema }) as Box<dyn Source>)
    });
    Ok((Plan::source_of(name, schema, parts), open))
}

/// The join of two streams, as one source and a step that joins its rows.
///
/// # Errors
/// What does not go together; see [`plan::sides`].
pub fn join_stream(
    left: &Frame,
    right: &Frame,
    on: (&[Expr], &[Expr]),
    how: &JoinType,
    within: &Within,
) -> Result<Frame, PlanError> {
    joined([left, right], plan::sides(&left.0, &right.0, on.0, on.1, how, within)?)
}

/// The as-of join of two streams, likewise.
///
/// # Errors
/// What does not go together; see [`plan::asof_sides`].
pub fn join_asof(left: &Frame, right: &Frame, by: (&[Expr], &[Expr]), on: &Asof) -> Result<Frame, PlanError> {
    joined([left, right], plan::asof_sides(&left.0, &right.0, by.0, by.1, on)?)
}

fn joined([left, right]: [&Frame; 2], sides: Sides) -> Result<Frame, PlanError> {
    let (plan, open) = union(&[(sides.left, Arc::clone(&left.1)), (sides.right, Arc::clone(&right.1))])?;
    let delay = format!("{}ms", sides.delay_ms.max(1));
    Ok((plan.with_watermark(plan::SIDE_TIME, &delay)?.join_sides(sides.join)?, open))
}

fn in_words(step: &Step) -> &'static str {
    match step {
        Step::Watermark(_) => "a watermark",
        Step::ProcessingTime(_) => "a time of processing",
        Step::Aggregate(_) => "an aggregation",
        _ => "a state",
    }
}

fn broken(error: &dyn std::fmt::Display) -> SourceError {
    SourceError {
        fact: "the union cannot be read".to_owned(),
        detail: error.to_string(),
        hint: "Make the frame anew.".to_owned(),
        retry: false,
    }
}

struct UnionSource {
    inputs: Vec<Input>,
    schema: SchemaRef,
}

struct Input {
    source: Box<dyn Source>,
    plan: Plan,
    /// What makes the source's rows those of the whole.
    steps: Vec<Step>,
}

impl UnionSource {
    /// Offsets of all inputs as those of the whole.
    fn all(
        &mut self,
        mut of: impl FnMut(&mut dyn Source) -> Result<Offsets, SourceError>,
    ) -> Result<Offsets, SourceError> {
        let mut all = Offsets::default();
        let inputs = self.inputs.len();
        for (number, input) in self.inputs.iter_mut().enumerate() {
            all.0.extend(all_widened(number, inputs, of(input.source.as_mut())?));
        }
        Ok(all)
    }
}

impl Source for UnionSource {
    fn schema(&self) -> SchemaRef {
        self.schema.clone()
    }

    fn start(&mut self) -> Result<Offsets, SourceError> {
        self.all(|source| source.start())
    }

    fn latest(&mut self) -> Result<Offsets, SourceError> {
        self.all(|source| source.latest())
    }

    fn resume(&mut self, reached: &Offsets) -> Result<Resumed, SourceError> {
        let (inputs, mut all) = (self.inputs.len(), Resumed::default());
        for (number, input) in self.inputs.iter_mut().enumerate() {
            let resumed = input.source.resume(&narrowed(number, inputs, reached))?;
            all.from.0.extend(all_widened(number, inputs, resumed.from));
            all.lost = [all.lost, resumed.lost].into_iter().flatten().reduce(|lost, more| format!("{lost}; {more}"));
        }
        Ok(all)
    }

    fn available(&mut self, from: &Offsets, max_rows: usize, wait: Duration) -> Result<Offsets, SourceError> {
        let inputs = self.inputs.len();
        let each = (max_rows / inputs.max(1)).max(1);
        let mut left = wait;
        loop {
            let mut reached = Offsets::default();
            for (number, input) in self.inputs.iter_mut().enumerate() {
                let mine = narrowed(number, inputs, from);
                // Nobody waits for one input while another has rows.
                let turn = if reached.is_beyond(from) { Duration::ZERO } else { TURN.min(left) };
                let to = input.source.available(&mine, each, turn)?;
                if to == mine {
                    left = left.saturating_sub(turn);
                }
                reached.0.extend(all_widened(number, inputs, to));
            }
            if reached.is_beyond(from) || left.is_zero() {
                return Ok(reached);
            }
        }
    }

    fn read(&mut self, from: &Offsets, to: &Offsets) -> Result<SourceBatch, SourceError> {
        let (inputs, mut all) = (self.inputs.len(), SourceBatch::default());
        for (number, input) in self.inputs.iter_mut().enumerate() {
            let batch = input.source.read(&narrowed(number, inputs, from), &narrowed(number, inputs, to))?;
            let wide = |partition| widened(number, inputs, partition);
            let dead = batch.dead_letters.into_iter();
            all.dead_letters.extend(dead.map(|dead| DeadLetter { partition: wide(dead.partition), ..dead }));
            let left_out = batch.left_out.into_iter();
            all.left_out.extend(left_out.map(|left| LeftOut { partition: wide(left.partition), ..left }));
            for mut part in batch.parts {
                part.rows = stateless::execute(&input.steps, part.rows).map_err(|error| broken(&error))?;
                part.partition = wide(part.partition);
                all.parts.push(part);
            }
        }
        Ok(all)
    }

    fn filter(&mut self, filter: &RowFilter) {
        for input in &mut self.inputs {
            // What only moves the watermark is read: the inputs know nothing of it.
            let passes = filter.passes.iter().try_fold(input.plan.clone(), |plan, passes| plan.filter(passes.clone()));
            if let Some(filter) = passes.ok().and_then(|plan| plan.row_filter()) {
                input.source.filter(&filter);
            }
        }
    }

    fn discovery_interval(&self) -> Duration {
        self.inputs.iter().map(|input| input.source.discovery_interval()).min().unwrap_or(DISCOVERY_INTERVAL)
    }

    fn failing(&self) -> Option<String> {
        self.inputs.iter().find_map(|input| input.source.failing())
    }

    fn readers(&self) -> usize {
        self.inputs.iter().map(|input| input.source.readers()).max().unwrap_or(1)
    }
}

/// A partition of an input as one of the whole: each input has scans of its own, as many as there are inputs apart, so that the
/// whole can be an input itself.
fn widened(input: usize, inputs: usize, partition: TopicPartition) -> TopicPartition {
    TopicPartition { scan: partition.scan * inputs as u32 + input as u32, ..partition }
}

fn all_widened(input: usize, inputs: usize, offsets: Offsets) -> impl Iterator<Item = (TopicPartition, i64)> {
    offsets.0.into_iter().map(move |(partition, at)| (widened(input, inputs, partition), at))
}

fn narrowed(input: usize, inputs: usize, offsets: &Offsets) -> Offsets {
    let inputs = inputs as u32;
    let mine = offsets.0.iter().filter(|(partition, _)| partition.scan % inputs == input as u32);
    mine.map(|(partition, at)| (TopicPartition { scan: partition.scan / inputs, ..partition.clone() }, *at)).collect()
}
