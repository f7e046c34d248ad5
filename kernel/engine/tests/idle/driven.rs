//! A query that a test drives: over a log that grows when the test says so, at the test's time, into a sink in memory.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::{Arc, Condvar, Mutex};
use std::time::Duration;

use engine::{
    Crash, ManualClock, Offsets, OpenSource, Options, OutputMode, PartitionRows, Query, Source, SourceBatch,
    SourceError, TopicPartition,
};
use plan::Plan;
use polars::prelude::*;

use crate::DEADLINE;
use crate::common::query::Kept;

/// A query that a test drives.
pub(crate) struct Driven<'a> {
    plan: &'a Plan,
    log: &'a Arc<Log>,
    pub(crate) clock: Arc<ManualClock>,
    kept: Kept,
    folder: &'a Path,
    pub(crate) query: Query,
    /// How far the clock goes on while a query that crashed is started again.
    pub(crate) pause: Duration,
}

impl Driven<'_> {
    pub(crate) fn start<'a>(plan: &'a Plan, log: &'a Arc<Log>, folder: &'a Path, crash: Option<Crash>) -> Driven<'a> {
        let (clock, kept) = (Arc::<ManualClock>::default(), Kept::default());
        let query = begin(plan, log, &clock, &kept, folder, crash);
        Driven { plan, log, clock, kept, folder, query, pause: Duration::ZERO }
    }

    /// Waits for something; starts a query that has crashed again.
    pub(crate) fn until(&mut self, what: &str, done: impl Fn(&Driven<'_>) -> bool) {
        let end = std::time::Instant::now() + DEADLINE;
        while !done(self) {
            assert!(std::time::Instant::now() < end, "{what}: {:?} {:?}", self.query.status(), self.kept);
            if let Some(error) = self.query.exception() {
                assert!(error.contains("a test ended"), "{error}");
                self.clock.advance(self.pause);
                self.query.stop();
                self.query = begin(self.plan, self.log, &self.clock, &self.kept, self.folder, None);
            }
            std::thread::yield_now();
        }
    }

    /// How many batches there are.
    pub(crate) fn batches(&self) -> usize {
        self.kept.batches().len()
    }

    /// All rows, batch by batch: the values of two columns.
    pub(crate) fn values(&self, one: &str, other: &str) -> Vec<(i64, i64)> {
        values(&self.kept, one, other)
    }
}

fn begin(
    plan: &Plan,
    log: &Arc<Log>,
    clock: &Arc<ManualClock>,
    kept: &Kept,
    folder: &Path,
    crash: Option<Crash>,
) -> Query {
    let options = Options { interval: Duration::ZERO, clock: clock.clone(), crash, ..Options::default() };
    let output = kept.output(OutputMode::Append, folder);
    Query::write("test", plan, log.open(), options, output).unwrap()
}

/// All rows of a sink, batch by batch: the values of two columns.
pub(crate) fn values(kept: &Kept, one: &str, other: &str) -> Vec<(i64, i64)> {
    let of = |frame: &DataFrame, name: &str| {
        let column = frame.column(name).unwrap().to_physical_repr().cast(&DataType::Int64).unwrap();
        column.i64().unwrap().iter().map(Option::unwrap).collect::<Vec<_>>()
    };
    let pairs = |(_, rows): (u64, DataFrame)| of(&rows, one).into_iter().zip(of(&rows, other)).collect::<Vec<_>>();
    kept.batches().into_iter().flat_map(pairs).collect()
}

/// A log that grows: the times of each partition's rows.
#[derive(Default)]
pub(crate) struct Log {
    rows: Mutex<BTreeMap<i32, Vec<i64>>>,
    /// A partition whose rows are there, and are not given: others fill the buffer, or its broker is slow.
    withheld: Mutex<Option<i32>>,
    grown: Condvar,
}

impl Log {
    pub(crate) fn of(rows: &[(i32, &[i64])]) -> Arc<Log> {
        let log = Arc::new(Log::default());
        log.add(rows);
        log
    }

    pub(crate) fn add(&self, rows: &[(i32, &[i64])]) {
        let mut all = self.rows.lock().unwrap();
        for (partition, times) in rows {
            all.entry(*partition).or_default().extend(*times);
        }
        self.grown.notify_all();
    }

    pub(crate) fn withhold(&self, partition: Option<i32>) {
        *self.withheld.lock().unwrap() = partition;
    }

    pub(crate) fn open(self: &Arc<Log>) -> OpenSource {
        let log = Arc::clone(self);
        Arc::new(move |columns| Ok(Box::new(Reader(Arc::clone(&log), columns.to_vec())) as Box<dyn Source>))
    }

    fn end(&self) -> Offsets {
        self.rows.lock().unwrap().iter().map(|(partition, rows)| (*partition, rows.len() as i64)).collect()
    }
}

struct Reader(Arc<Log>, Vec<PlSmallStr>);

/// Rows of these times.
pub(crate) fn frame(times: &[i64]) -> DataFrame {
    let time = col("time").cast(DataType::Datetime(TimeUnit::Milliseconds, None));
    df!["time" => times].unwrap().lazy().with_columns([time]).collect().unwrap()
}

impl Reader {
    /// The columns that are wanted, which may be none.
    fn wanted(&self, times: &[i64]) -> DataFrame {
        let rows = frame(times).select(self.1.iter().cloned()).unwrap();
        DataFrame::new(times.len(), rows.columns().to_vec()).unwrap()
    }
}

impl Source for Reader {
    fn schema(&self) -> SchemaRef {
        frame(&[]).select(self.1.iter().cloned()).unwrap().schema().clone()
    }

    fn start(&mut self) -> Result<Offsets, SourceError> {
        Ok(self.0.end().0.into_keys().map(|partition| (partition, 0)).collect())
    }

    fn latest(&mut self) -> Result<Offsets, SourceError> {
        Ok(self.0.end())
    }

    fn available(&mut self, from: &Offsets, _: usize, _: Duration) -> Result<Offsets, SourceError> {
        // A short wait, so that the query soon sees that the test's clock has gone on.
        let rows = self.0.rows.lock().unwrap();
        let nothing = |rows: &mut BTreeMap<i32, Vec<i64>>| {
            from.0.iter().all(|(at, from)| rows.get(&at.partition).is_none_or(|rows| rows.len() as i64 <= *from))
        };
        drop(self.0.grown.wait_timeout_while(rows, Duration::from_millis(5), nothing).unwrap());
        let withheld = *self.0.withheld.lock().unwrap();
        let mut to = self.0.end().only(from);
        for (at, offset) in to.0.iter_mut().filter(|(at, _)| Some(at.partition) == withheld) {
            *offset = from.0[at];
        }
        Ok(to)
    }

    fn read(&mut self, from: &Offsets, to: &Offsets) -> Result<SourceBatch, SourceError> {
        assert!(to.is_beyond(from), "a batch without rows needs no source");
        let rows = self.0.rows.lock().unwrap();
        let part = |(at, end): (&TopicPartition, &i64)| PartitionRows {
            partition: at.clone(),
            rows: self.wanted(&rows[&at.partition][from.0[at] as usize..*end as usize]),
            newest_ms: None,
        };
        let parts = to.0.iter().filter(|(p, end)| from.0[*p] < **end).map(part).collect();
        Ok(SourceBatch { parts, dead_letters: Vec::new(), ..SourceBatch::default() })
    }
}
