//! What a batch costs in a join of two streams, by how many rows are kept, and what a state costs that has all of them, and one
//! that has what a batch changed: one JSON object a line, the last with the ratio of the batches. The cost of a Polars join of
//! the batch with the kept rows stands beside it.
//!
//! `cargo run --release --workspace --locked --example join_cost`

#[allow(dead_code)]
#[path = "../tests/common/frames.rs"]
mod frames;

use std::error::Error;
use std::io::Write as _;
use std::sync::Arc;
use std::time::Instant;

use engine::{Clock, ManualClock, Mode, Offsets, OpenSource, PartitionRows, PhysicalPlan, Pipeline, TopicPartition};
use engine::{Source, SourceBatch, SourceError};
use plan::{Plan, within};
use polars::prelude::*;

use frames::{Frame, join_stream};

/// Rows of a batch, half of them on each side.
const BATCH: i64 = 10_000;
/// Batches that are measured; the middle one counts.
const MEASURED: usize = 21;

type Outcome<T> = Result<T, Box<dyn Error>>;

fn main() -> Outcome<()> {
    let mut costs = Vec::new();
    for kept in [10_000, 1_000_000] {
        let Cost { batch, polars, pairs, state, changes } = cost(kept)?;
        costs.push(batch);
        writeln!(
            std::io::stdout(),
            "{{\"kept\": {kept}, \"batch\": {BATCH}, \"pairs\": {pairs}, \"batch_ms\": {batch:.2}, \"polars_join_ms\": {polars:.2}, \
            \"state_rows\": {}, \"state_ms\": {:.2}, \"changed_rows\": {}, \"changes_ms\": {:.2}}}",
            state.0,
            state.1,
            changes.0,
            changes.1
        )?;
    }
    writeln!(std::io::stdout(), "{{\"ratio\": {:.2}}}", costs[1] / costs[0])?;
    Ok(())
}

/// In milliseconds.
struct Cost {
    batch: f64,
    /// A Polars join of a batch with as many rows as are kept.
    polars: f64,
    pairs: usize,
    /// The rows of a state with everything, and how long it takes; without writing it.
    state: (usize, f64),
    /// The same of what a batch changed.
    changes: (usize, f64),
}

/// What it costs when so many rows are kept.
fn cost(kept: i64) -> Outcome<Cost> {
    let (left, right) = (stream("left", kept), stream("right", kept));
    let key = [col("key")];
    let bound = within("time", "time", format!("{kept}ms"));
    let (plan, open) = join_stream(&left, &right, (&key, &key), &JoinType::Inner, &bound)?;
    let clock: Arc<dyn Clock> = Arc::new(ManualClock::default());
    let mut source = open(&PhysicalPlan::of(&plan).source_columns())?;
    let mut pipeline = Pipeline::new(&plan, &source.lanes(), Mode::Stream, &clock)?;
    pipeline.assign(&source.start()?);
    let filled = (kept / BATCH + 2) as usize;
    let (mut costs, mut pairs, mut state, mut changes) = (Vec::new(), 0, (0, 0.0), (0, 0.0));
    for batch in 0..=filled + MEASURED {
        let at = |batch: usize| -> Offsets {
            let side = |scan| TopicPartition { scan, ..TopicPartition::from(0) };
            [0, 1].map(|scan| (side(scan), batch as i64 * BATCH / 2)).into()
        };
        let parts = source.read(&at(batch), &at(batch + 1))?.parts;
        let begun = Instant::now();
        let output = pipeline.execute(parts)?;
        if (filled..filled + MEASURED).contains(&batch) {
            costs.push(begun.elapsed().as_secs_f64() * 1e3);
            pairs = output.changes.rows.height();
        }
        // States come between batches that are not measured; what is noted for them costs each batch.
        if batch + 1 == filled {
            state = snapshot(&mut pipeline, true)?;
        } else if batch + 1 >= filled + MEASURED {
            changes = snapshot(&mut pipeline, false)?;
        }
    }
    let (rows, batch) = (rows(0..kept / 2, kept)?, rows(kept / 2..(kept + BATCH) / 2, kept)?);
    let begun = Instant::now();
    for _ in 0..2 {
        let joined = batch.clone().lazy().join(rows.clone().lazy(), &key, &key, JoinArgs::new(JoinType::Inner));
        joined.collect()?;
    }
    let polars = begun.elapsed().as_secs_f64() * 1e3;
    costs.sort_by(f64::total_cmp);
    Ok(Cost { batch: costs[MEASURED / 2], polars, pairs, state, changes })
}

/// The rows of a state, and how long it takes to make it.
fn snapshot(pipeline: &mut Pipeline, all: bool) -> Outcome<(usize, f64)> {
    let begun = Instant::now();
    let saved = pipeline.snapshot(all)?;
    let took = begun.elapsed().as_secs_f64() * 1e3;
    let tables = saved.frames.values().chain(saved.changes.values().flatten());
    Ok((tables.map(DataFrame::height).sum(), took))
}

fn schema() -> SchemaRef {
    let fields = [
        Field::new("time".into(), DataType::Datetime(TimeUnit::Milliseconds, None)),
        Field::new("key".into(), DataType::String),
        Field::new("amount".into(), DataType::Float64),
    ];
    Arc::new(Schema::from_iter(fields))
}

/// Row `n` is of the time 2 `n` ms; there are as many keys as rows that are kept.
fn rows(numbers: std::ops::Range<i64>, kept: i64) -> PolarsResult<DataFrame> {
    let key = |n: i64| format!("account {}", n.wrapping_mul(2_654_435_761).rem_euclid(kept));
    let frame = df![
        "time" => numbers.clone().map(|n| n * 2).collect::<Vec<_>>(),
        "key" => numbers.clone().map(key).collect::<Vec<_>>(),
        "amount" => numbers.map(|n| n as f64).collect::<Vec<_>>(),
    ]?;
    let time = col("time").cast(DataType::Datetime(TimeUnit::Milliseconds, None));
    frame.lazy().with_columns([time]).collect()
}

fn stream(name: &str, kept: i64) -> Frame {
    let open: OpenSource = Arc::new(move |_| Ok(Box::new(Log { kept }) as Box<dyn Source>));
    let plan = Plan::source(format!("memory {name}"), schema());
    (plan.with_watermark("time", "1ms").unwrap_or(plan), open)
}

struct Log {
    kept: i64,
}

impl Source for Log {
    fn schema(&self) -> SchemaRef {
        schema()
    }

    fn start(&mut self) -> Result<Offsets, SourceError> {
        Ok(Offsets::from([(0, 0)]))
    }

    fn latest(&mut self) -> Result<Offsets, SourceError> {
        Ok(Offsets::from([(0, i64::MAX)]))
    }

    fn available(&mut self, from: &Offsets, _: usize, _: std::time::Duration) -> Result<Offsets, SourceError> {
        Ok(from.clone())
    }

    fn read(&mut self, from: &Offsets, to: &Offsets) -> Result<SourceBatch, SourceError> {
        let failed = |error: PolarsError| SourceError {
            fact: "no rows".to_owned(),
            detail: error.to_string(),
            hint: String::new(),
            retry: false,
        };
        let rows = rows(from.0[&TopicPartition::from(0)]..to.0[&TopicPartition::from(0)], self.kept).map_err(failed)?;
        Ok(SourceBatch {
            parts: vec![PartitionRows { partition: 0.into(), rows, newest_ms: None }],
            dead_letters: Vec::new(),
            ..SourceBatch::default()
        })
    }
}
