//! Random cuts of the rows into micro-batches, with any interleaving of the partitions and restarts between them; and a plan run
//! over them as a query runs it: from a source, with the columns that the plan needs, restarts through what a checkpoint holds.

use std::sync::Arc;

use engine::{
    BatchOutput, Clock, LiveResult, ManualClock, Mode, Offsets, OpenSource, PhysicalPlan, Pipeline, Source, Status,
};
use plan::Plan;
use polars::prelude::*;
use proptest::prelude::*;

use super::log;
use super::rows::{PARTITIONS, Row, frame};
use super::states::States;

#[derive(Clone, Debug)]
pub(crate) struct Cuts {
    /// How many rows of each partition come with each batch; what is left comes with a last one.
    pub(crate) batches: Vec<[usize; PARTITIONS as usize]>,
    /// The batches before which the query is started anew.
    pub(crate) restarts: Vec<usize>,
}

pub(crate) fn cuts() -> impl Strategy<Value = Cuts> {
    let batches = prop::collection::vec(prop::array::uniform3(0..14usize), 0..9);
    (batches, prop::collection::vec(0..9usize, 0..3)).prop_map(|(batches, restarts)| Cuts { batches, restarts })
}

impl Cuts {
    /// The rows of each batch, partition by partition in each.
    pub(crate) fn batches(&self, rows: &[Row]) -> Vec<Vec<Row>> {
        let of = |partition: i32| rows.iter().filter(|row| row.partition == partition).cloned().collect::<Vec<_>>();
        let mut left: Vec<Vec<Row>> = (0..PARTITIONS).map(of).collect();
        let rest = [usize::MAX; PARTITIONS as usize];
        let mut batches = Vec::new();
        for cut in self.batches.iter().chain([&rest]) {
            let taken =
                left.iter_mut().zip(cut).flat_map(|(rows, n)| rows.drain(..rows.len().min(*n)).collect::<Vec<_>>());
            batches.push(taken.collect());
        }
        batches
    }

    /// Where each batch ends.
    fn ends(&self, first: &Offsets, last: &Offsets) -> Vec<Offsets> {
        let mut at = first.clone();
        let mut ends = Vec::new();
        for cut in &self.batches {
            for ((partition, at), n) in at.0.iter_mut().zip(cut) {
                *at = (*at + *n as i64).min(last.0[partition]);
            }
            ends.push(at.clone());
        }
        ends.push(last.clone());
        ends
    }
}

/// All partitions.
pub(crate) const ALL: [i32; PARTITIONS as usize] = [0, 1, 2];
/// Those of two logs that are read as one, which has those of the second log behind those of the first.
pub(crate) const SIDES: [&[i32]; 2] = [&[0, 1], &[2]];

/// Opens the log of these partitions, which are numbered from 0 in it.
pub(crate) fn open(rows: &[Row], partitions: &[i32]) -> OpenSource {
    let of = |partition: &i32| rows.iter().filter(|row| row.partition == *partition).cloned().collect::<Vec<_>>();
    log::open(partitions.iter().map(|partition| frame(&of(partition))).collect(), usize::MAX)
}

/// Rows in batches of so many; what is left comes with a last one.
pub(crate) fn batches<T: Clone>(rows: &[T], cuts: &[usize]) -> Vec<Vec<T>> {
    let mut rest = rows;
    let mut batches = Vec::new();
    for cut in cuts {
        let (batch, after) = rest.split_at((*cut).min(rest.len()));
        batches.push(batch.to_vec());
        rest = after;
    }
    batches.push(rest.to_vec());
    batches
}

/// A plan that runs over the batches of a cut.
pub(crate) struct Run {
    plan: Plan,
    source: Box<dyn Source>,
    partitions: Offsets,
    restarts: Vec<usize>,
    states: States,
    append: bool,
    from: Offsets,
    ends: std::iter::Enumerate<std::vec::IntoIter<Offsets>>,
    pub(crate) pipeline: Pipeline,
    /// The result, as a view would have it.
    pub(crate) live: LiveResult,
}

impl Run {
    /// Begins; `append` has an aggregation give only what is final.
    pub(crate) fn begin(plan: &Plan, open: &OpenSource, cuts: &Cuts, append: bool) -> PolarsResult<Run> {
        let mut source = open(&PhysicalPlan::of(plan).source_columns()).unwrap();
        let (first, last) = (source.start().unwrap(), source.latest().unwrap());
        Ok(Run {
            pipeline: pipeline(plan, source.as_ref(), &first, append)?,
            plan: plan.clone(),
            source,
            partitions: first.clone(),
            restarts: cuts.restarts.clone(),
            states: States::default(),
            append,
            ends: cuts.ends(&first, &last).into_iter().enumerate(),
            from: first,
            live: LiveResult::new(plan.schema().clone(), Status::default()).in_order_of(plan),
        })
    }

    /// A pipeline of the plan that has run nothing.
    pub(crate) fn anew(&self) -> PolarsResult<Pipeline> {
        pipeline(&self.plan, self.source.as_ref(), &self.partitions, self.append)
    }

    /// Runs the next batch, if there is one.
    pub(crate) fn batch(&mut self) -> PolarsResult<Option<BatchOutput>> {
        let Some((number, to)) = self.ends.next() else { return Ok(None) };
        if self.restarts.contains(&number) {
            self.states.keep(&mut self.pipeline)?;
            self.pipeline = self.anew()?;
            self.states.restore(&mut self.pipeline)?;
        } else if !self.restarts.is_empty() {
            self.states.keep(&mut self.pipeline)?;
        }
        let batch = self.source.read(&self.from, &to).unwrap();
        self.from = to;
        let output = self.pipeline.execute(batch.parts)?;
        self.live.apply(&output.changes, |_| {})?;
        Ok(Some(output))
    }
}

fn pipeline(plan: &Plan, source: &dyn Source, partitions: &Offsets, append: bool) -> PolarsResult<Pipeline> {
    let clock: Arc<dyn Clock> = Arc::new(ManualClock::default());
    let mut pipeline = Pipeline::new(plan, &source.lanes(), Mode::Stream, &clock)?;
    pipeline.assign(partitions);
    if append {
        pipeline.append();
    }
    Ok(pipeline)
}

/// What a run gave.
pub(crate) struct Streamed {
    pub(crate) result: DataFrame,
    /// What the batches gave, one below the other: in append mode the rows that are final.
    pub(crate) given: DataFrame,
    pub(crate) late: usize,
    pub(crate) watermark: Option<i64>,
}

/// Runs a plan over all batches.
pub(crate) fn streamed(plan: &Plan, open: &OpenSource, cuts: &Cuts, append: bool) -> PolarsResult<Streamed> {
    let mut run = Run::begin(plan, open, cuts, append)?;
    let (mut late, mut given) = (0, DataFrame::empty_with_schema(plan.schema()));
    while let Some(output) = run.batch()? {
        late += output.late;
        if append {
            polars_ensure!(output.changes.deletes.is_empty(), ComputeError: "a final row is taken back");
            given.vstack_mut(&output.changes.rows)?;
        }
    }
    Ok(Streamed { result: run.live.frame(), given, late, watermark: run.pipeline.watermark() })
}
