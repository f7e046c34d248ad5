//! Memory is flat: a windowed aggregation with a watermark holds as much after a hundred million events as after the first few.
//! `CORRIENTE_EVENTS` sets how many there are. One test, so that the process is its own.
#![cfg(target_os = "linux")]
#![allow(clippy::unwrap_used, missing_docs)]

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use engine::{
    Offsets, OpenSource, Options, OutputMode, PartitionRows, Query, QueryOutput, Sink, SinkError, Source, SourceBatch,
    SourceError, TopicPartition, Trigger,
};
use plan::{Plan, tumbling};
use polars::prelude::*;

const EVENTS: i64 = 5_000_000;
const PARTITIONS: i64 = 4;
/// Events in a second of event time, over all partitions.
const RATE: i64 = 10_000;
/// Keys in a window; the next window has others.
const KEYS: i64 = 100;
/// Events after which everything has its size: the first windows are closed, the allocator has its pages.
const WARM: i64 = 2_000_000;
/// How much may come on top until the end: the rows of the result, which stay to be looked at, and the allocator's moods.
const GROWTH: u64 = 48 << 20;

/// The log: offset `n` of partition `p` is event `4 n + p`; a tenth of them comes half a second late.
struct Generated {
    each: i64,
    columns: Vec<PlSmallStr>,
}

fn events() -> i64 {
    std::env::var("CORRIENTE_EVENTS").ok().and_then(|text| text.parse().ok()).unwrap_or(EVENTS)
}

fn rows(partition: i64, offsets: std::ops::Range<i64>) -> DataFrame {
    let events = || offsets.clone().map(|n| n * PARTITIONS + partition);
    let at = |n: i64| n * 1000 / RATE - if n % 10 == 7 { 500 } else { 0 };
    let key = |n: i64| n / (10 * RATE) * KEYS + n * 7919 % KEYS;
    let frame = df![
        "time" => events().map(at).collect::<Vec<_>>(),
        "account" => events().map(key).collect::<Vec<_>>(),
        "amount" => events().map(|n| (n % 1000) as f64 / 8.0).collect::<Vec<_>>(),
    ];
    let time = col("time").cast(DataType::Datetime(TimeUnit::Milliseconds, None));
    frame.unwrap().lazy().with_columns([time]).collect().unwrap()
}

impl Source for Generated {
    fn schema(&self) -> SchemaRef {
        rows(0, 0..0).select(self.columns.iter().cloned()).unwrap().schema().clone()
    }

    fn start(&mut self) -> Result<Offsets, SourceError> {
        Ok((0..PARTITIONS as i32).map(|p| (p, 0)).collect())
    }

    fn latest(&mut self) -> Result<Offsets, SourceError> {
        Ok((0..PARTITIONS as i32).map(|p| (p, self.each)).collect())
    }

    fn available(&mut self, from: &Offsets, max_rows: usize, _: Duration) -> Result<Offsets, SourceError> {
        let more = max_rows as i64 / PARTITIONS;
        Ok(from.0.iter().map(|(p, at)| (p.clone(), (at + more).min(self.each))).collect())
    }

    fn read(&mut self, from: &Offsets, to: &Offsets) -> Result<SourceBatch, SourceError> {
        let part = |(p, end): (&TopicPartition, &i64)| {
            let rows = rows(i64::from(p.partition), from.0[p]..*end).select(self.columns.iter().cloned()).unwrap();
            PartitionRows { partition: p.clone(), rows, newest_ms: None }
        };
        Ok(SourceBatch { parts: to.0.iter().map(part).collect(), dead_letters: Vec::new(), ..SourceBatch::default() })
    }
}

/// Adds up what it is given, and notes now and then how much memory there is.
#[derive(Clone, Default)]
struct Seen {
    counted: Arc<AtomicU64>,
    resident: Arc<Mutex<Vec<(u64, u64)>>>,
}

impl Sink for Seen {
    fn write(&mut self, batch: u64, rows: &DataFrame) -> Result<(), SinkError> {
        let n: u64 = rows.column("n").unwrap().u32().unwrap().into_no_null_iter().map(u64::from).sum();
        self.counted.fetch_add(n, Ordering::Relaxed);
        self.resident.lock().unwrap().push((batch, resident()));
        Ok(())
    }
}

/// Bytes of the process that are in memory.
fn resident() -> u64 {
    let pages = std::fs::read_to_string("/proc/self/statm").unwrap();
    pages.split(' ').nth(1).unwrap().parse::<u64>().unwrap() * 4096
}

#[test]
fn memory_is_flat_however_many_events_there_are() {
    let (events, max_rows) = (events(), 100_000);
    let schema = rows(0, 0..0).schema().clone();
    let plan = Plan::source("memory generated", schema).with_watermark("time", "2s").unwrap();
    let amount = || col("amount");
    let aggs = [len().alias("n"), amount().sum().alias("sum"), amount().mean().alias("mean"), amount().max()];
    let plan = plan.group_by_dynamic(&col("time"), &[col("account")], &tumbling("10s"), &aggs).unwrap();
    let open: OpenSource = Arc::new(move |columns| {
        Ok(Box::new(Generated { each: events / PARTITIONS, columns: columns.to_vec() }) as Box<dyn Source>)
    });
    let (seen, folder) = (Seen::default(), tempfile::tempdir().unwrap());
    let options = Options { max_rows, trigger: Trigger::AvailableNow, ..Options::default() };
    let output = QueryOutput {
        sink: Box::new(seen.clone()),
        mode: OutputMode::Append,
        checkpoint: Some(folder.path().join("checkpoint")),
        use_newest_good_state: false,
    };
    let begun = std::time::Instant::now();
    let query = Query::write("memory", &plan, open, options, output).unwrap();
    assert!(query.await_termination(Duration::from_secs(3600)), "{:?}", query.status());
    assert_eq!(query.exception(), None);
    let status = query.status();
    assert_eq!((status.rows_read, status.late_rows), (events as u64, 0));
    let open_events = events as u64 - seen.counted.load(Ordering::Relaxed);
    assert!(open_events <= (13 * RATE) as u64, "{open_events} events are in no window that was closed");
    let resident = seen.resident.lock().unwrap();
    let warm = resident.iter().find(|(batch, _)| *batch as i64 * max_rows as i64 >= WARM).unwrap().1;
    let (first, last) = (resident[0].1, resident.last().unwrap().1);
    let most = resident.iter().map(|(_, bytes)| *bytes).max().unwrap();
    let mb = |bytes: u64| bytes as f64 / 1e6;
    let report = format!(
        "{events} events in {:.0} s: {:.0} MB after the first batch, {:.0} MB after {WARM} events, {:.0} MB at the end, {:.0} MB at the most",
        begun.elapsed().as_secs_f64(),
        mb(first),
        mb(warm),
        mb(last),
        mb(most),
    );
    eprintln!("{report}");
    assert!(most.max(last) < warm + GROWTH, "memory grows: {report}");
}
