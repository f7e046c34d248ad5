//! A running query: it keeps its result up to date, rests when nobody looks, goes on after its source was away, and
//! says why when it cannot.
#![allow(clippy::unwrap_used, missing_docs)]

use std::sync::atomic::{AtomicBool, AtomicI64, AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex};
use std::time::Duration;

use engine::{
    DeadLetter, LiveResult, Offsets, OpenSource, Options, PartitionRows, Query, Source, SourceBatch, SourceError,
    State, Status, TopicPartition, collect,
};
use plan::{Plan, tumbling};
use polars::prelude::*;

const DEADLINE: Duration = Duration::from_secs(10);

/// A log of numbers in two partitions; offset `n` of partition `p` is the row `(n ms, 10 p + n)`. Every offset that ends
/// in 7 is a dead letter.
#[derive(Default)]
struct Log {
    end: AtomicI64,
    grown: (Mutex<()>, Condvar),
    away: AtomicBool,
    opened: AtomicUsize,
}

impl Log {
    fn grow(&self, by: i64) {
        self.end.fetch_add(by, Ordering::SeqCst);
        let _guard = self.grown.0.lock().unwrap();
        self.grown.1.notify_all();
    }

    fn open(self: &Arc<Log>) -> OpenSource {
        let log = Arc::clone(self);
        Arc::new(move |columns: &[PlSmallStr]| {
            log.opened.fetch_add(1, Ordering::SeqCst);
            if log.away.load(Ordering::SeqCst) {
                return Err(away());
            }
            Ok(Box::new(LogSource { log: Arc::clone(&log), columns: columns.to_vec() }) as Box<dyn Source>)
        })
    }

    /// The values of a partition's decodable rows.
    fn values(&self, partition: i32) -> Vec<i64> {
        (0..self.end.load(Ordering::SeqCst)).filter(|n| n % 10 != 7).map(|n| i64::from(partition) * 10 + n).collect()
    }
}

fn away() -> SourceError {
    SourceError {
        fact: "the broker is away".into(),
        detail: "connection refused".into(),
        hint: "Start it.".into(),
        retry: true,
    }
}

struct LogSource {
    log: Arc<Log>,
    columns: Vec<PlSmallStr>,
}

fn schema() -> SchemaRef {
    let fields = [
        Field::new("t".into(), DataType::Datetime(TimeUnit::Milliseconds, None)),
        Field::new("v".into(), DataType::Int64),
    ];
    Arc::new(Schema::from_iter(fields))
}

/// The same offset of both partitions.
fn both(offset: i64) -> Offsets {
    [0, 1].map(|partition| (TopicPartition::new("numbers", partition), offset)).into()
}

impl Source for LogSource {
    fn schema(&self) -> SchemaRef {
        Arc::new(Schema::from_iter(schema().iter_fields().filter(|f| self.columns.contains(f.name()))))
    }

    fn start(&mut self) -> Result<Offsets, SourceError> {
        Ok(both(0))
    }

    fn latest(&mut self) -> Result<Offsets, SourceError> {
        let end = self.log.end.load(Ordering::SeqCst);
        Ok(both(end))
    }

    fn available(&mut self, from: &Offsets, max_rows: usize, wait: Duration) -> Result<Offsets, SourceError> {
        if self.log.away.load(Ordering::SeqCst) {
            return Err(away());
        }
        let nothing = |_: &mut ()| self.log.end.load(Ordering::SeqCst) <= *from.0.values().min().unwrap();
        drop(self.log.grown.1.wait_timeout_while(self.log.grown.0.lock().unwrap(), wait, nothing).unwrap());
        let end = self.log.end.load(Ordering::SeqCst);
        let each = (max_rows / 2).max(1) as i64;
        Ok(from.0.iter().map(|(p, at)| (p.clone(), end.min(at + each))).collect())
    }

    fn read(&mut self, from: &Offsets, to: &Offsets) -> Result<SourceBatch, SourceError> {
        let mut batch = SourceBatch::default();
        for (partition, end) in &to.0 {
            let (dead, live): (Vec<i64>, Vec<i64>) = (from.0[partition]..*end).partition(|n| n % 10 == 7);
            batch.dead_letters.extend(dead.into_iter().map(|offset| DeadLetter {
                partition: partition.clone(),
                offset,
                reason: "it ends in 7".into(),
                field: None,
                excerpt: String::new(),
            }));
            let values: Vec<i64> = live.iter().map(|n| i64::from(partition.partition) * 10 + n).collect();
            let rows = df!["t" => live.clone(), "v" => values].unwrap();
            let rows = rows
                .lazy()
                .with_column(col("t").cast(DataType::Datetime(TimeUnit::Milliseconds, None)))
                .collect()
                .unwrap();
            let rows = rows.select(self.columns.iter().cloned()).unwrap();
            batch.parts.push(PartitionRows { partition: partition.clone(), rows, newest_ms: live.last().copied() });
        }
        Ok(batch)
    }
}

fn options() -> Options {
    Options { max_rows: 8, interval: Duration::ZERO, retry_after: Duration::from_millis(20), ..Options::default() }
}

fn wait_for(result: &LiveResult, what: &str, done: impl Fn(&Status) -> bool) -> Status {
    let end = std::time::Instant::now() + DEADLINE;
    loop {
        let status = result.status();
        if done(&status) {
            return status;
        }
        assert!(std::time::Instant::now() < end, "{what} did not come; the status is {status:?}");
        let _ = result.wait(status.version, Duration::from_millis(50));
    }
}

fn values(result: &LiveResult) -> Vec<i64> {
    let mut values: Vec<i64> = result.frame().column("v").unwrap().i64().unwrap().into_no_null_iter().collect();
    values.sort_unstable();
    values
}

fn expected(log: &Log) -> Vec<i64> {
    let mut values = [log.values(0), log.values(1)].concat();
    values.sort_unstable();
    values
}

#[test]
fn every_row_arrives_once_and_dead_letters_are_counted() {
    let log = Arc::new(Log::default());
    log.grow(35);
    let query = Query::start("rows", &Plan::source("log numbers", schema()), log.open(), options()).unwrap();
    wait_for(query.result(), "35 offsets", |s| s.rows_read + s.dead_letters == 70);
    log.grow(30);
    let status = wait_for(query.result(), "65 offsets", |s| s.rows_read + s.dead_letters == 130);
    assert_eq!(values(query.result()), expected(&log));
    assert_eq!(status.dead_letters, 12);
    assert_eq!(status.offsets[&TopicPartition::new("numbers", 1)], (0, 65));
    assert_eq!(status.last_dead_letter.as_deref(), Some("numbers [1] offset 57: it ends in 7"));
}

#[test]
fn a_source_that_was_away_loses_and_doubles_nothing() {
    let log = Arc::new(Log::default());
    log.grow(20);
    let query = Query::start("away", &Plan::source("log numbers", schema()), log.open(), options()).unwrap();
    wait_for(query.result(), "20 offsets", |s| s.rows_read + s.dead_letters == 40);
    log.away.store(true, Ordering::SeqCst);
    log.grow(20);
    let status = wait_for(query.result(), "waiting", |s| matches!(s.state, State::Waiting(_)));
    assert_eq!(status.state, State::Waiting("the broker is away: connection refused. Start it.".into()));
    log.away.store(false, Ordering::SeqCst);
    wait_for(query.result(), "40 offsets", |s| s.rows_read + s.dead_letters == 80);
    assert_eq!(values(query.result()), expected(&log));
}

#[test]
fn a_query_rests_while_nobody_looks() {
    let log = Arc::new(Log::default());
    log.grow(20);
    let rest = Options { rest_after: Duration::from_millis(50), ..options() };
    let query = Query::start("rest", &Plan::source("log numbers", schema()), log.open(), rest).unwrap();
    wait_for(query.result(), "rest", |s| s.state == State::Suspended);
    log.grow(20);
    let looked = |status: &Status| {
        // On a busy machine a single look may be over before the query is awake.
        query.result().touch();
        status.rows_read + status.dead_letters == 80
    };
    wait_for(query.result(), "40 offsets", looked);
    assert_eq!(values(query.result()), expected(&log));
    assert!(log.opened.load(Ordering::SeqCst) >= 2, "the source is closed meanwhile");
}

#[test]
fn a_stopped_query_keeps_its_result() {
    let log = Arc::new(Log::default());
    log.grow(20);
    let mut query = Query::start("stop", &Plan::source("log numbers", schema()), log.open(), options()).unwrap();
    wait_for(query.result(), "20 offsets", |s| s.rows_read + s.dead_letters == 40);
    query.stop();
    assert_eq!(query.result().status().state, State::Ended);
    assert_eq!(values(query.result()), expected(&log));
}

#[test]
fn an_expression_that_fails_on_the_rows_ends_its_query_with_the_reason() {
    let log = Arc::new(Log::default());
    log.grow(20);
    let plan =
        Plan::source("log numbers", schema()).select(&[col("v").strict_cast(DataType::Int8).alias("small")]).unwrap();
    log.grow(1_000);
    let query = Query::start("fail", &plan, log.open(), options()).unwrap();
    let status = wait_for(query.result(), "failure", |s| matches!(s.state, State::Failed(_)));
    assert!(matches!(&status.state, State::Failed(why) if why.contains("i8")), "{:?}", status.state);
}

#[test]
fn a_batch_reads_to_the_end_and_equals_the_stream() {
    let log = Arc::new(Log::default());
    log.grow(5_000);
    let plan = Plan::source("log numbers", schema());
    let plan = plan.with_watermark("t", "1s").unwrap();
    let plan = plan.group_by_dynamic(&col("t"), &[], &tumbling("1s"), &[len().alias("n"), col("v").sum()]).unwrap();
    let collected = collect(&plan, &log.open(), |_| true).unwrap();
    assert_eq!(collected.dead_letters.len(), 1_000);
    let n: Vec<u32> = collected.frame.column("n").unwrap().u32().unwrap().into_no_null_iter().collect();
    assert_eq!(n, [1_800; 5]);
    let query = Query::start("both", &plan, log.open(), Options { max_rows: 700, ..options() }).unwrap();
    wait_for(query.result(), "5,000 offsets", |s| s.rows_read == 9_000);
    let stream = query.result().frame().sort(["t"], SortMultipleOptions::default()).unwrap();
    assert!(stream.equals(&collected.frame), "{stream} and {}", collected.frame);
}

#[test]
fn one_query_serves_every_view_of_its_rows() {
    let log = Arc::new(Log::default());
    log.grow(2_500);
    let open = log.open();
    let seconds = [len().alias("n"), col("v").sum()];
    let whole = |plan: Plan| plan.group_by_dynamic(&col("t"), &[], &tumbling("1s"), &seconds).unwrap();
    let plan = whole(Plan::source("log numbers", schema()));
    let query = Query::start("seconds", &plan, open.clone(), options()).unwrap();
    wait_for(query.result(), "2,500 offsets", |s| s.rows_read == 4_500);

    assert_eq!(query.view("again", &plan).unwrap().status().name, "seconds");
    let mean = (col("v") / col("n")).alias("mean");
    let full = plan.filter(col("n").gt_eq(lit(1_800))).unwrap().with_columns(&[mean]).unwrap();
    let view = query.view("full", &full).unwrap();
    assert_eq!((view.frame().height(), view.status().rows_read), (2, 4_500));
    // The third second fills up, and so passes the filter now.
    log.grow(2_500);
    let status = wait_for(&view, "5,000 offsets", |s| s.rows_read == 9_000);
    assert_eq!((status.name.as_str(), status.rows), ("full", 5));
    let wanted = query.result().frame().lazy().with_columns([(col("v") / col("n")).alias("mean")]).collect().unwrap();
    assert!(view.frame().equals(&wanted), "{} and {wanted}", view.frame());

    // Steps that keep something stand on it too.
    let largest = plan.top_k(2, &[col("v")], &SortMultipleOptions::default().with_order_descending(true)).unwrap();
    let totals = plan.filter(col("n").gt(lit(100))).unwrap().group_by(&[col("n")], &[len().alias("seconds")]).unwrap();
    let views = [("largest", &largest), ("totals", &totals)].map(|(name, plan)| query.view(name, plan).unwrap());
    log.grow(2_500);
    let rows = views.map(|view| {
        wait_for(&view, "7,500 offsets", |s| s.rows_read == 13_500);
        view.frame()
    });
    for (plan, rows) in [&largest, &totals].into_iter().zip(rows) {
        let batch = collect(plan, &open, |_| true).unwrap().frame;
        let sorted =
            |rows: &DataFrame| rows.sort([rows.get_column_names()[0].clone()], SortMultipleOptions::default()).unwrap();
        assert!(sorted(&rows).equals(&sorted(&batch)), "{rows} and {batch}");
    }
    let windows = plan.group_by_dynamic(&col("t"), &[], &tumbling("1h"), &[col("n").sum()]).unwrap();
    assert!(query.view("windows", &windows).is_none(), "they end by a watermark");

    let small = plan.with_columns(&[col("v").strict_cast(DataType::Int8)]).unwrap();
    let failed = query.view("small", &small).unwrap();
    assert!(matches!(failed.status().state, State::Failed(_)), "{:?}", failed.status());
    assert!(query.is_active(), "a view that fails is the only one that does");
    assert!(query.view("read anew", &whole(Plan::source("log numbers", schema()))).is_none());
    drop(query);
    assert_eq!(view.status().state, State::Ended);
}
