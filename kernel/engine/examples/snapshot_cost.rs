//! How long a query is held up by a state with all of its groups, and how long the whole of it takes: one JSON object a line.
//! The longest batch without a state stands beside it. Groups come again in the order of their first rows, and in another one each
//! time, with short keys and with long ones.
//!
//! `cargo run --release --workspace --locked --example snapshot_cost [-- groups]`

use std::error::Error;
use std::io::Write as _;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use engine::{
    BatchStep, Offsets, OpenSource, Options, OutputMode, PartitionRows, Query, QueryOutput, Sink, SinkError, Source,
    SourceBatch, SourceError, Trigger,
};
use plan::Plan;
use polars::prelude::*;

/// Rows of a batch.
const BATCH: i64 = 100_000;

/// Which rows there are.
#[derive(Clone, Copy)]
struct Shape {
    groups: i64,
    /// Whether the groups come in another order each time.
    shuffled: bool,
    /// Whether keys are texts of some length.
    long: bool,
}

/// The rows up to one.
struct Rows {
    shape: Shape,
    end: i64,
}

/// Row `n` is of group `n` modulo the groups, in an order that is none.
fn rows(Shape { groups, shuffled, long }: Shape, offsets: std::ops::Range<i64>) -> PolarsResult<DataFrame> {
    const PRIMES: [i64; 6] = [7_919, 611_953, 104_729, 1_299_709, 224_737, 350_377];
    let group = |n: i64| n * PRIMES[if shuffled { n / groups % 6 } else { 0 } as usize] % groups;
    let keys = offsets.clone().map(group);
    let keys = match long {
        true => Column::new("k".into(), keys.map(|k| format!("the account number {k:09}")).collect::<Vec<_>>()),
        false => Column::new("k".into(), keys.collect::<Vec<_>>()),
    };
    let values = Column::new("v".into(), offsets.map(|n| n as f64 / 8.0).collect::<Vec<_>>());
    DataFrame::new(keys.len(), vec![keys, values])
}

impl Source for Rows {
    fn schema(&self) -> SchemaRef {
        rows(self.shape, 0..0).map(|rows| rows.schema().clone()).unwrap_or_default()
    }

    fn start(&mut self) -> Result<Offsets, SourceError> {
        Ok(Offsets::from([(0, 0)]))
    }

    fn latest(&mut self) -> Result<Offsets, SourceError> {
        Ok(Offsets::from([(0, self.end)]))
    }

    fn available(&mut self, from: &Offsets, max_rows: usize, _: Duration) -> Result<Offsets, SourceError> {
        let at = from.0.values().next().copied().unwrap_or_default();
        Ok(Offsets::from([(0, (at + max_rows as i64).min(self.end))]))
    }

    fn read(&mut self, from: &Offsets, to: &Offsets) -> Result<SourceBatch, SourceError> {
        let at = |offsets: &Offsets| offsets.0.values().next().copied().unwrap_or_default();
        let failed = |error: PolarsError| SourceError {
            fact: "the rows cannot be made".to_owned(),
            detail: error.to_string(),
            hint: String::new(),
            retry: false,
        };
        let rows = rows(self.shape, at(from)..at(to)).map_err(failed)?;
        Ok(SourceBatch {
            parts: vec![PartitionRows { partition: 0.into(), rows, newest_ms: None }],
            ..SourceBatch::default()
        })
    }
}

/// Takes every batch and keeps none.
struct Discard;

impl Sink for Discard {
    fn write(&mut self, _: u64, _: &DataFrame) -> Result<(), SinkError> {
        Ok(())
    }
}

fn main() -> Outcome<()> {
    let groups: i64 = std::env::args().nth(1).map_or(Ok(4_000_000), |text| text.parse())?;
    // Every group several times: without a state, and with one as often as ever.
    for (shuffled, long) in [(false, false), (true, false), (true, true)] {
        for every in [usize::MAX, Options::default().snapshot_rows] {
            measure(Shape { groups, shuffled, long }, every)?;
        }
    }
    Ok(())
}

type Outcome<T> = Result<T, Box<dyn Error>>;

fn measure(shape: Shape, every: usize) -> Outcome<()> {
    let v = || col("v");
    let aggs = [len().alias("n"), v().sum().alias("sum"), v().mean().alias("mean"), v().max().alias("max")];
    let source = Plan::source("memory rows", rows(shape, 0..0)?.schema().clone());
    let plan = source.group_by(&[col("k")], &aggs)?;
    let Shape { groups, shuffled, long } = shape;
    let end = groups * 6;
    let open: OpenSource = Arc::new(move |_| Ok(Box::new(Rows { shape, end }) as Box<dyn Source>));
    // Where a batch ends the next one begins: what lies between two ends is what the query's thread took.
    let ends: Arc<Mutex<Vec<Duration>>> = Arc::default();
    let (begun, noted) = (Instant::now(), Arc::clone(&ends));
    let note = move |_, step| {
        if step == BatchStep::Committed {
            noted.lock().unwrap_or_else(PoisonError::into_inner).push(begun.elapsed());
        }
        false
    };
    let options = Options {
        max_rows: BATCH as usize,
        trigger: Trigger::AvailableNow,
        snapshot_rows: every,
        snapshot_every: Duration::from_secs(3_600),
        crash: Some(Arc::new(note)),
        ..Options::default()
    };
    let folder = std::env::temp_dir().join(format!("snapshot-cost-{}", std::process::id()));
    let output = QueryOutput {
        sink: Box::new(Discard),
        mode: OutputMode::Update,
        checkpoint: Some(folder.clone()),
        use_newest_good_state: false,
    };
    let query = Query::write("snapshot cost", &plan, open, options, output)?;
    let _ = query.await_termination(Duration::from_secs(3_600));
    if let Some(error) = query.exception() {
        return Err(error.into());
    }
    drop(query);
    std::fs::remove_dir_all(&folder)?;
    let ends = ends.lock().unwrap_or_else(PoisonError::into_inner).clone();
    // Until all groups are there, memory is still being asked for.
    let first = (groups / BATCH) as usize + 1;
    let mut spent: Vec<f64> = ends.windows(2).skip(first).map(|two| (two[1] - two[0]).as_secs_f64() * 1e3).collect();
    spent.sort_by(f64::total_cmp);
    let (middle, longest) = (spent[spent.len() / 2], spent[spent.len() - 1]);
    let (states, seconds) = (every != usize::MAX, ends.last().map_or(0.0, Duration::as_secs_f64));
    writeln!(
        std::io::stdout(),
        "{{\"groups\": {groups}, \"shuffled\": {shuffled}, \"long_keys\": {long}, \"states\": {states}, \"batch_ms\": {middle:.1}, \"longest_ms\": {longest:.1}, \"seconds\": {seconds:.1}}}"
    )?;
    Ok(())
}
