//! Several frames as one source. Each brings its own log; a partition of the whole is a partition of one of them, so that
//! offsets, watermarks and checkpoints know nothing of it. The rows of a union have the same columns; those of streams that are
//! joined have each their own, and the pipeline tells them apart by their scans.

use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

use plan::Plan;
use polars::prelude::*;

use crate::operator::stateless::RowWise;
use crate::physical::{Input as PhysicalInput, Operation, PhysicalPlan, RowFilter};
use crate::position::{Offsets, TopicPartition};
use crate::query::OpenSource;
use crate::source::{DISCOVERY_INTERVAL, DeadLetter, LeftOut, Resumed, Source, SourceBatch, SourceError};

/// How long one input is waited for before the next is asked.
const TURN: Duration = Duration::from_millis(10);

/// The way to the rows that a plan begins with; `scans` are the ways to what it [scans](Plan::scans), in their order.
#[must_use]
pub fn open_plan(plan: &Plan, scans: &[OpenSource]) -> OpenSource {
    open_input(&PhysicalPlan::of(plan), scans)
}

fn open_input(plan: &PhysicalPlan, scans: &[OpenSource]) -> OpenSource {
    match &plan.input {
        PhysicalInput::Scan(_) => {
            scans.first().cloned().unwrap_or_else(|| Arc::new(|_| Err(broken(&"there is no way to a scan of it"))))
        }
        PhysicalInput::Union(inputs) => {
            let mut rest = scans;
            let opened = inputs.iter().map(|input| {
                let (mine, others) = rest.split_at(input.scans().min(rest.len()));
                rest = others;
                (input.clone(), open_input(input, mine))
            });
            open_union(opened.collect())
        }
        PhysicalInput::Sides(_) => open_lanes(plan, scans),
    }
}

/// The way to the rows of all streams that are joined.
fn open_lanes(plan: &PhysicalPlan, scans: &[OpenSource]) -> OpenSource {
    let (mut rest, mut lanes) = (scans, Vec::new());
    for lane in plan.lanes() {
        let (mine, others) = rest.split_at(lane.scans().min(rest.len()));
        rest = others;
        lanes.push((lane.clone(), open_input(lane, mine)));
    }
    // What is read of each is said by the plan.
    Arc::new(move |_: &[PlSmallStr]| {
        let (mut opened, mut first) = (Vec::with_capacity(lanes.len()), 0);
        for (lane, open) in &lanes {
            let scans = first..first + lane.scans() as u32;
            first = scans.end;
            let mut source = open(&lane.source_columns())?;
            if let Some(filter) = lane.row_filter() {
                source.filter(&filter);
            }
            opened.push(UnionInput { source, scans, steps: RowWise::default(), plan: lane.clone() });
        }
        let schema = opened.first().map(|lane| lane.source.schema()).unwrap_or_default();
        Ok(Box::new(UnionSource { inputs: opened, schema, are_lanes: true }) as Box<dyn Source>)
    })
}

/// The way to the rows of several plans as those of one, from the way to each.
fn open_union(inputs: Vec<(PhysicalPlan, OpenSource)>) -> OpenSource {
    let whole = inputs.first().map(|(first, _)| first.schema().clone()).unwrap_or_default();
    Arc::new(move |columns: &[PlSmallStr]| {
        // Rows without a column could not be counted.
        let is_wanted = |(n, field): &(usize, Field)| columns.contains(field.name()) || (columns.is_empty() && *n == 0);
        let schema: SchemaRef =
            Arc::new(whole.iter_fields().enumerate().filter(is_wanted).map(|(_, field)| field).collect());
        let wanted: Vec<PlSmallStr> = schema.iter_names().cloned().collect();
        let (mut opened, mut first) = (Vec::with_capacity(inputs.len()), 0);
        for (plan, open) in &inputs {
            let scans = first..first + plan.scans() as u32;
            first = scans.end;
            let plan = plan.select(&wanted).map_err(|error| broken(&error))?;
            let mut source = open(&plan.source_columns())?;
            if let Some(filter) = plan.row_filter() {
                source.filter(&filter);
            }
            let steps = steps_of(&plan);
            opened.push(UnionInput { source, scans, steps, plan });
        }
        Ok(Box::new(UnionSource { inputs: opened, schema, are_lanes: false }) as Box<dyn Source>)
    })
}

/// The steps of a plan whose operations have no state.
fn steps_of(plan: &PhysicalPlan) -> RowWise {
    RowWise::of(plan.stages.iter().filter_map(|stage| match &stage.operation {
        Operation::Step(step) => Some(step),
        _ => None,
    }))
}

fn broken(error: &dyn std::fmt::Display) -> SourceError {
    SourceError {
        fact: "several frames cannot be read as one".to_owned(),
        detail: error.to_string(),
        hint: "Make the frame anew.".to_owned(),
        retry: false,
    }
}

struct UnionSource {
    inputs: Vec<UnionInput>,
    schema: SchemaRef,
    /// Whether the rows of each input have columns of their own.
    are_lanes: bool,
}

struct UnionInput {
    source: Box<dyn Source>,
    /// The numbers of its scans among those of the whole.
    scans: Range<u32>,
    plan: PhysicalPlan,
    /// What makes the source's rows those of the whole.
    steps: RowWise,
}

impl UnionInput {
    /// A partition of the input as one of the whole.
    fn widened(&self, partition: TopicPartition) -> TopicPartition {
        TopicPartition { scan: partition.scan + self.scans.start, ..partition }
    }

    fn all_widened(&self, offsets: Offsets) -> impl Iterator<Item = (TopicPartition, i64)> {
        offsets.0.into_iter().map(|(partition, at)| (self.widened(partition), at))
    }

    /// Of offsets of the whole, those of the input.
    fn narrowed(&self, offsets: &Offsets) -> Offsets {
        let mine = offsets.0.iter().filter(|(partition, _)| self.scans.contains(&partition.scan));
        let own = |partition: &TopicPartition| TopicPartition {
            scan: partition.scan - self.scans.start,
            ..partition.clone()
        };
        mine.map(|(partition, at)| (own(partition), *at)).collect()
    }
}

impl UnionSource {
    /// Offsets of all inputs as those of the whole.
    fn all(
        &mut self,
        mut of: impl FnMut(&mut dyn Source) -> Result<Offsets, SourceError>,
    ) -> Result<Offsets, SourceError> {
        let mut all = Offsets::default();
        for input in &mut self.inputs {
            let offsets = of(input.source.as_mut())?;
            all.0.extend(input.all_widened(offsets));
        }
        Ok(all)
    }
}

impl Source for UnionSource {
    fn schema(&self) -> SchemaRef {
        self.schema.clone()
    }

    fn lanes(&self) -> Vec<SchemaRef> {
        match self.are_lanes {
            true => self.inputs.iter().map(|input| input.source.schema()).collect(),
            false => vec![self.schema()],
        }
    }

    fn start(&mut self) -> Result<Offsets, SourceError> {
        self.all(|source| source.start())
    }

    fn start_moves(&self) -> bool {
        self.inputs.iter().any(|input| input.source.start_moves())
    }

    fn latest(&mut self) -> Result<Offsets, SourceError> {
        self.all(|source| source.latest())
    }

    fn resume(&mut self, reached: &Offsets) -> Result<Resumed, SourceError> {
        let mut all = Resumed { end: Some(Offsets::default()), ..Resumed::default() };
        for input in &mut self.inputs {
            let mine = input.narrowed(reached);
            let resumed = input.source.resume(&mine)?;
            all.from.0.extend(input.all_widened(resumed.from));
            // Where one does not say, all are asked.
            all.end = all.end.zip(resumed.end).map(|(mut all, end)| {
                all.0.extend(input.all_widened(end));
                all
            });
            all.lost = [all.lost, resumed.lost].into_iter().flatten().reduce(|lost, more| format!("{lost}; {more}"));
        }
        Ok(all)
    }

    fn available(&mut self, from: &Offsets, max_rows: usize, wait: Duration) -> Result<Offsets, SourceError> {
        let each = (max_rows / self.inputs.len().max(1)).max(1);
        let mut left = wait;
        loop {
            let mut reached = Offsets::default();
            for input in &mut self.inputs {
                let mine = input.narrowed(from);
                // Nobody waits for one input while another has rows.
                let turn = if reached.is_beyond(from) { Duration::ZERO } else { TURN.min(left) };
                let to = input.source.available(&mine, each, turn)?;
                if to == mine {
                    left = left.saturating_sub(turn);
                }
                reached.0.extend(input.all_widened(to));
            }
            if reached.is_beyond(from) || left.is_zero() {
                return Ok(reached);
            }
        }
    }

    fn read(&mut self, from: &Offsets, to: &Offsets) -> Result<SourceBatch, SourceError> {
        let mut all = SourceBatch::default();
        for input in &mut self.inputs {
            let (from, to) = (input.narrowed(from), input.narrowed(to));
            let mut batch = input.source.read(&from, &to)?;
            for part in &mut batch.parts {
                let rows = std::mem::take(&mut part.rows);
                part.rows = input.steps.run(rows).map_err(|error| broken(&error))?;
            }
            let input = &*input;
            let wide = |partition| input.widened(partition);
            let dead = batch.dead_letters.into_iter();
            all.dead_letters.extend(dead.map(|dead| DeadLetter { partition: wide(dead.partition), ..dead }));
            let left_out = batch.left_out.into_iter();
            all.left_out.extend(left_out.map(|left| LeftOut { partition: wide(left.partition), ..left }));
            for mut part in batch.parts {
                part.partition = wide(part.partition);
                all.parts.push(part);
            }
        }
        Ok(all)
    }

    fn filter(&mut self, filter: &RowFilter) {
        for input in &mut self.inputs {
            // What only moves the watermark is read: the inputs know nothing of it.
            let passes = filter.passes.iter().fold(input.plan.clone(), |plan, passes| plan.filter(passes));
            if let Some(filter) = passes.row_filter() {
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

    fn notices(&self) -> Vec<String> {
        self.inputs.iter().flat_map(|input| input.source.notices()).collect()
    }
}
