//! Random cuts of the rows into micro-batches, with any interleaving of the partitions and restarts between them; and a plan run
//! over them as a query runs it: from a source, with the columns that the plan needs, restarts through what a checkpoint holds.

use std::sync::Arc;
use std::time::Duration;

use engine::{
    BatchOutput, Changes, Clock, LiveResult, ManualClock, Mode, Offsets, OpenSource, PhysicalPlan, Pipeline, Source,
    Status,
};
use plan::Plan;
use polars::prelude::*;
use proptest::prelude::*;

use super::log;
use super::rows::{PARTITIONS, Row, frame};
use super::states::States;

#[derive(Clone, Debug, Default)]
pub(crate) struct Cuts {
    /// How many rows of each partition come with each batch; what is left comes with a last one.
    pub(crate) batches: Vec<[usize; PARTITIONS as usize]>,
    /// The batches before which the query is started anew.
    pub(crate) restarts: Vec<usize>,
    /// The batch with which each partition appears.
    pub(crate) appears: [usize; PARTITIONS as usize],
    /// How many seconds the clock goes on before each batch.
    pub(crate) pauses: Vec<u64>,
    /// How many rows a view of the result holds, where it is looked at after each batch.
    pub(crate) held: Option<usize>,
}

pub(crate) fn cuts() -> impl Strategy<Value = Cuts> {
    let batches = prop::collection::vec(prop::array::uniform3(0..14usize), 0..9);
    (batches, prop::collection::vec(0..9usize, 0..3)).prop_map(|(batches, restarts)| Cuts {
        batches,
        restarts,
        ..Cuts::default()
    })
}

/// Cuts with all that happens to a query that runs for days: its clock goes on by seconds to hours, partitions appear, and a view
/// holds fewer rows than there are.
pub(crate) fn lively_cuts() -> impl Strategy<Value = Cuts> {
    let pause = prop_oneof![3 => Just(0), 1 => 1..40u64, 1 => 3_000..9_000u64];
    let appears = prop_oneof![1 => Just([0; 3]), 1 => prop::array::uniform3(0..6usize)];
    let held = prop::option::of(1..20usize);
    (cuts(), appears, prop::collection::vec(pause, 0..9), held).prop_map(|(cuts, appears, pauses, held)| Cuts {
        appears,
        pauses,
        held,
        ..cuts
    })
}

impl Cuts {
    /// The rows of each batch, partition by partition in each.
    pub(crate) fn batches(&self, rows: &[Row]) -> Vec<Vec<Row>> {
        let of = |partition: i32| rows.iter().filter(|row| row.partition == partition).cloned().collect::<Vec<_>>();
        let mut left: Vec<Vec<Row>> = (0..PARTITIONS).map(of).collect();
        let mut batches = Vec::new();
        for cut in self.cuts() {
            let taken =
                left.iter_mut().zip(cut).flat_map(|(rows, n)| rows.drain(..rows.len().min(n)).collect::<Vec<_>>());
            batches.push(taken.collect());
        }
        batches
    }

    /// How many rows of each partition come with each batch; with the last one all that are left.
    fn cuts(&self) -> impl Iterator<Item = [usize; PARTITIONS as usize]> {
        const REST: [usize; PARTITIONS as usize] = [usize::MAX; PARTITIONS as usize];
        self.batches.iter().chain([&REST]).enumerate().map(|(number, cut)| {
            let is_last = number == self.batches.len();
            std::array::from_fn(|of| if self.appears[of] <= number || is_last { cut[of] } else { 0 })
        })
    }

    /// Whether a partition, by its number among all of them, is there with a batch.
    fn has_appeared(&self, batch: usize, partition: usize) -> bool {
        batch >= self.batches.len() || self.appears.get(partition).is_none_or(|appears| *appears <= batch)
    }

    /// Where each batch ends.
    fn ends(&self, first: &Offsets, last: &Offsets) -> Vec<Offsets> {
        let mut at = first.clone();
        let mut ends = Vec::new();
        for cut in self.cuts().take(self.batches.len()) {
            for ((partition, at), n) in at.0.iter_mut().zip(cut) {
                *at = (*at + n as i64).min(last.0[partition]);
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
    /// Where all partitions begin, and where they end.
    first: Offsets,
    last: Offsets,
    cuts: Cuts,
    clock: Arc<ManualClock>,
    states: States,
    append: bool,
    from: Offsets,
    ends: std::iter::Enumerate<std::vec::IntoIter<Offsets>>,
    pub(crate) pipeline: Pipeline,
    /// The result.
    pub(crate) live: LiveResult,
    /// The result as a view has it that holds fewer rows.
    view: Option<(usize, LiveResult)>,
}

impl Run {
    /// Begins; `append` has an aggregation give only what is final.
    pub(crate) fn begin(plan: &Plan, open: &OpenSource, cuts: &Cuts, append: bool) -> PolarsResult<Run> {
        let mut source = open(&PhysicalPlan::of(plan).source_columns()).unwrap();
        let (first, last) = (source.start().unwrap(), source.latest().unwrap());
        let clock = Arc::<ManualClock>::default();
        let status = Status::default;
        let view =
            |held: usize| (held, LiveResult::with_rows_held(plan.schema().clone(), status(), held).in_order_of(plan));
        Ok(Run {
            pipeline: pipeline(plan, source.as_ref(), &clock, append)?,
            plan: plan.clone(),
            source,
            cuts: cuts.clone(),
            clock,
            states: States::default(),
            append,
            ends: cuts.ends(&first, &last).into_iter().enumerate(),
            from: first.clone(),
            first,
            last,
            live: LiveResult::new(plan.schema().clone(), status()).in_order_of(plan),
            view: cuts.held.map(view),
        })
    }

    /// A pipeline of the plan that has run nothing.
    pub(crate) fn anew(&self) -> PolarsResult<Pipeline> {
        pipeline(&self.plan, self.source.as_ref(), &self.clock, self.append)
    }

    /// Runs the next batch, if there is one.
    pub(crate) fn batch(&mut self) -> PolarsResult<Option<BatchOutput>> {
        let Some((number, to)) = self.ends.next() else { return Ok(None) };
        if self.cuts.restarts.contains(&number) {
            self.states.keep(&mut self.pipeline)?;
            self.pipeline = self.anew()?;
            self.states.restore(&mut self.pipeline)?;
            self.pipeline.wake();
        } else if !self.cuts.restarts.is_empty() {
            self.states.keep(&mut self.pipeline)?;
        }
        self.clock.advance(Duration::from_secs(self.cuts.pauses.get(number).copied().unwrap_or(0)));
        let there = self.first.0.iter().enumerate().filter(|(at, _)| self.cuts.has_appeared(number, *at));
        self.pipeline.assign(&there.map(|(_, (partition, at))| (partition.clone(), *at)).collect());
        if self.pipeline.wants_ends(0) {
            self.pipeline.ends(&to, &self.last);
        }
        let batch = self.source.read(&self.from, &to).unwrap();
        self.from = to;
        let output = self.pipeline.execute(batch.parts)?;
        self.live.apply(&output.changes, |_| {})?;
        if let Some((held, view)) = &self.view {
            let apart = |ids: &[u64]| ids.iter().map(|id| id * APART).collect();
            let Changes { ids, rows, deletes } = &output.changes;
            let changes = Changes { ids: apart(ids), rows: rows.clone(), deletes: apart(deletes) };
            view.apply(&changes, |_| {})?;
            is_part_of(view, *held, &self.live)?;
        }
        Ok(Some(output))
    }
}

/// A view lets rows go in stretches of identities: so far apart each is alone in its own.
const APART: u64 = 4_096;

/// Whether the rows of a view are those of the result, as many as it may hold, and it says how many are not there.
fn is_part_of(view: &LiveResult, held: usize, whole: &LiveResult) -> PolarsResult<()> {
    let ((ids, rows), (all_ids, all), status) = (view.identified(), whole.identified(), view.status());
    polars_ensure!(
        ids.len() <= held && ids.len() + status.dropped_rows as usize == all_ids.len(),
        ComputeError: "a view of {held} rows has {} of {} rows, and says that {} are not there",
        ids.len(), all_ids.len(), status.dropped_rows
    );
    let places: PlHashMap<u64, IdxSize> = all_ids.into_iter().map(|id| id * APART).zip(0..).collect();
    let places: Option<Vec<IdxSize>> = ids.iter().map(|id| places.get(id).copied()).collect();
    let Some(places) = places else { polars_bail!(ComputeError: "a view has a row that is not in the result") };
    let same = all.take(&IdxCa::from_vec("".into(), places))?;
    polars_ensure!(rows.equals_missing(&same), ComputeError: "a view has other rows: {rows} and {same}");
    Ok(())
}

fn pipeline(plan: &Plan, source: &dyn Source, clock: &Arc<ManualClock>, append: bool) -> PolarsResult<Pipeline> {
    let clock: Arc<dyn Clock> = clock.clone();
    let mut pipeline = Pipeline::new(plan, &source.lanes(), Mode::Stream, &clock)?;
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
