//! A source that several queries read together gives each of them what a source of its own would: for any readers, columns,
//! cuts and speeds. And it reads the log once.
#![allow(clippy::unwrap_used, missing_docs)]

mod common;

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use engine::{
    DeadLetter, Offsets, OpenSource, Options, PartitionRows, Query, Reach, Sharing, Source, SourceBatch, SourceError,
    State, TopicPartition,
};
use plan::Plan;
use polars::prelude::*;
use proptest::prelude::*;

const PARTITIONS: i32 = 3;

/// A log whose offsets hold a row, a record that is none, one whose column `b` is wrong, or nothing.
#[derive(Default)]
struct Log {
    ends: [AtomicI64; PARTITIONS as usize],
    away: AtomicBool,
    opened: AtomicUsize,
    /// How often each offset of partition 0 was read.
    read: Mutex<BTreeMap<i64, usize>>,
}

fn schema() -> SchemaRef {
    let field = |name: &str| Field::new(name.into(), DataType::Int64);
    Arc::new(Schema::from_iter(["a", "b", "c"].map(field)))
}

impl Log {
    fn grow(&self, partition: i32, by: i64) {
        self.ends[partition as usize].fetch_add(by, Ordering::SeqCst);
    }

    fn end(&self) -> Offsets {
        (0..PARTITIONS).map(|p| (p, self.ends[p as usize].load(Ordering::SeqCst))).collect()
    }

    fn open(self: &Arc<Log>) -> OpenSource {
        let log = Arc::clone(self);
        Arc::new(move |columns| {
            log.opened.fetch_add(1, Ordering::SeqCst);
            log.answers()?;
            Ok(Box::new(LogSource { log: Arc::clone(&log), columns: columns.to_vec() }) as Box<dyn Source>)
        })
    }

    fn answers(&self) -> Result<(), SourceError> {
        if !self.away.load(Ordering::SeqCst) {
            return Ok(());
        }
        let (fact, detail, hint) = ("the log is away".into(), "nobody answers".into(), "Wait.".into());
        Err(SourceError { fact, detail, hint, retry: true })
    }
}

struct LogSource {
    log: Arc<Log>,
    columns: Vec<PlSmallStr>,
}

impl Source for LogSource {
    fn schema(&self) -> SchemaRef {
        Arc::new(schema().iter_fields().filter(|field| self.columns.contains(field.name())).collect())
    }

    fn start(&mut self) -> Result<Offsets, SourceError> {
        Ok((0..PARTITIONS).map(|p| (p, 0)).collect())
    }

    fn latest(&mut self) -> Result<Offsets, SourceError> {
        self.log.answers()?;
        Ok(self.log.end())
    }

    fn available(&mut self, from: &Offsets, max_rows: usize, _: Duration) -> Result<Offsets, SourceError> {
        self.log.answers()?;
        let each = (max_rows as i64 / i64::from(PARTITIONS)).max(1);
        Ok(self.log.end().0.iter().map(|(p, end)| (p.clone(), (from.0[p] + each).min(*end).max(from.0[p]))).collect())
    }

    fn read(&mut self, from: &Offsets, to: &Offsets) -> Result<SourceBatch, SourceError> {
        self.log.answers()?;
        let mut batch = SourceBatch::default();
        for (partition, end) in &to.0 {
            let (mut rows, mut newest_ms) = (Vec::new(), None);
            for offset in from.0[partition]..*end {
                if partition.partition == 0 {
                    *self.log.read.lock().unwrap().entry(offset).or_default() += 1;
                }
                let wrong = |field: Option<&str>| DeadLetter {
                    partition: partition.clone(),
                    offset,
                    reason: format!("{field:?} is wrong"),
                    field: field.map(str::to_owned),
                    excerpt: String::new(),
                };
                match offset % 23 {
                    7 => batch.dead_letters.push(wrong(None)),
                    11 if self.columns.iter().any(|name| name == "b") => batch.dead_letters.push(wrong(Some("b"))),
                    13 => {}
                    _ => {
                        rows.push(offset * 10 + i64::from(partition.partition));
                        newest_ms = Some(offset);
                    }
                }
            }
            if rows.is_empty() {
                continue;
            }
            let column = |(n, name): (usize, &PlSmallStr)| {
                Column::new(name.clone(), rows.iter().map(|row| row + n as i64 * 1000).collect::<Vec<_>>())
            };
            let all: Vec<Column> =
                schema().iter_names().enumerate().filter(|(_, name)| self.columns.contains(name)).map(column).collect();
            let rows = DataFrame::new(rows.len(), all).unwrap();
            batch.parts.push(PartitionRows { partition: partition.clone(), rows, newest_ms });
        }
        Ok(batch)
    }
}

fn names(columns: &[&str]) -> Vec<PlSmallStr> {
    columns.iter().map(|name| PlSmallStr::from_str(name)).collect()
}

/// A part of a batch: its partition, its rows, and the newest of their timestamps.
type Part = (TopicPartition, DataFrame, Option<i64>);

/// What two batches have to have alike.
fn facts(batch: &SourceBatch) -> (Vec<Part>, Vec<DeadLetter>) {
    let part = |part: &PartitionRows| (part.partition.clone(), part.rows.clone(), part.newest_ms);
    (batch.parts.iter().map(part).collect(), batch.dead_letters.clone())
}

/// A reader, and where it is.
struct Reader {
    source: Box<dyn Source>,
    plain: LogSource,
    from: Offsets,
}

impl Reader {
    fn new(log: &Arc<Log>, open: &OpenSource, columns: &[PlSmallStr], begin: i64) -> Reader {
        let source = open(columns).unwrap();
        let plain = LogSource { log: Arc::new(Log::default()), columns: columns.to_vec() };
        assert_eq!(source.schema(), plain.schema());
        let end = log.end();
        let from = end.0.iter().map(|(p, end)| (p.clone(), begin.min(*end))).collect();
        Reader { source, plain, from }
    }

    /// Reads a step, not beyond `bound` records of each partition if there is one; says how many offsets it went.
    fn step(&mut self, max_rows: usize, bound: Option<i64>) -> u64 {
        let mut to = self.source.available(&self.from, max_rows, Duration::ZERO).unwrap();
        assert!(self.from.0.iter().all(|(p, at)| to.0[p] >= *at), "{to:?} lies before {:?}", self.from);
        if let Some(bound) = bound {
            to = to.0.iter().map(|(p, at)| (p.clone(), (*at).min(self.from.0[p] + bound))).collect();
        }
        let batch = self.source.read(&self.from, &to).unwrap();
        let expected = self.plain.read(&self.from, &to).unwrap();
        assert_eq!(facts(&batch), facts(&expected), "{:?} to {to:?}", self.from);
        let gone = self.from.distance_to(&to);
        self.from = to;
        gone
    }
}

/// What happens next.
#[derive(Clone, Debug)]
enum Event {
    Grow(i32, i64),
    Join { columns: usize, begin: i64 },
    Step { reader: usize, max_rows: usize, bound: Option<i64> },
    Repeat { reader: usize, back: i64 },
    Leave(usize),
}

fn event() -> impl Strategy<Value = Event> {
    let bound = prop_oneof![3 => Just(None), 1 => (1..30i64).prop_map(Some)];
    prop_oneof![
        3 => (0..PARTITIONS, 1..80i64).prop_map(|(partition, by)| Event::Grow(partition, by)),
        2 => (0..6usize, 0..100i64).prop_map(|(columns, begin)| Event::Join { columns, begin }),
        12 => (0..4usize, 1..200usize, bound).prop_map(|(reader, max_rows, bound)| Event::Step { reader, max_rows, bound }),
        1 => (0..4usize, 1..50i64).prop_map(|(reader, back)| Event::Repeat { reader, back }),
        1 => (0..4usize).prop_map(Event::Leave),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: common::cases_or(200), failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn every_reader_gets_what_a_source_of_its_own_gives(events in prop::collection::vec(event(), 1..120)) {
        let log = Arc::new(Log::default());
        let open = Sharing::default().share("log", schema(), log.open());
        let columns = [&["a"][..], &["b"], &["a", "c"], &["a", "b", "c"], &[], &["c"]];
        let mut readers: Vec<Reader> = Vec::new();
        for event in events {
            let count = readers.len();
            match event {
                Event::Grow(partition, by) => log.grow(partition, by),
                Event::Join { columns: n, begin } if count < 4 => {
                    readers.push(Reader::new(&log, &open, &names(columns[n]), begin));
                }
                Event::Step { reader, max_rows, bound } if count > 0 => {
                    readers[reader % count].step(max_rows, bound);
                }
                Event::Repeat { reader, back } if count > 0 => {
                    let from = &mut readers[reader % count].from;
                    *from = from.0.iter().map(|(p, at)| (p.clone(), (at - back).max(0))).collect();
                }
                Event::Leave(reader) if count > 0 => drop(readers.swap_remove(reader % count)),
                _ => {}
            }
        }
        // Whoever reads on comes to the end.
        for reader in &mut readers {
            let mut calls = 0;
            while reader.from.distance_to(&log.end()) > 0 {
                reader.step(50, None);
                calls += 1;
                prop_assert!(calls < 10_000, "no progress from {:?} to {:?}", reader.from, log.end());
            }
        }
    }
}

fn grown(rows: i64) -> (Arc<Log>, OpenSource) {
    let log = Arc::new(Log::default());
    (0..PARTITIONS).for_each(|partition| log.grow(partition, rows));
    let open = Sharing::default().share("log", schema(), log.open());
    (log, open)
}

#[test]
fn readers_side_by_side_cost_one_fetch() {
    let (log, open) = grown(1_000);
    let mut readers: Vec<Reader> = (0..3).map(|_| Reader::new(&log, &open, &names(&["a", "b"]), 0)).collect();
    for _ in 0..1_000 {
        for reader in &mut readers {
            reader.step(60, None);
        }
        // The log goes on, and so do they.
        (0..PARTITIONS).for_each(|partition| log.grow(partition, 2));
    }
    assert_eq!(log.opened.load(Ordering::SeqCst), 1);
    assert!(log.read.lock().unwrap().values().all(|times| *times == 1), "an offset was read twice");
    assert!(readers.iter().all(|reader| reader.source.readers() == 3));
}

#[test]
fn one_that_comes_late_reads_by_itself_until_it_has_caught_up() {
    // More than is kept behind everybody.
    let (log, open) = grown(300_000);
    let mut first = Reader::new(&log, &open, &names(&["a", "c"]), 0);
    while first.step(30_000, None) > 0 {}
    let mut second = Reader::new(&log, &open, &names(&["a"]), 0);
    second.step(9_000, None);
    assert_eq!(second.source.readers(), 1, "it is far behind");
    assert_eq!(log.opened.load(Ordering::SeqCst), 2);
    while second.step(90_000, None) > 0 {}
    log.grow(0, 5_000);
    while first.step(900, None) + second.step(900, None) > 0 {}
    assert_eq!((first.source.readers(), second.source.readers()), (2, 2));
    let read = log.read.lock().unwrap();
    assert!(read.range(300_000..).all(|(_, times)| *times == 1), "what came since was read once");
    assert!(read.range(..100_000).all(|(_, times)| *times == 2));
    assert_eq!(log.opened.load(Ordering::SeqCst), 2);
}

#[test]
fn what_nobody_has_read_yet_is_kept_up_to_a_bound() {
    let (log, open) = grown(0);
    let columns = names(&["a", "c"]);
    let mut slow = Reader::new(&log, &open, &columns, 0);
    assert_eq!(slow.step(1, None), 0, "it has begun");
    let mut fast = Reader::new(&log, &open, &columns, 0);
    // Far more than 64 MiB of rows of sixteen bytes.
    log.grow(0, 8_000_000);
    while fast.step(1_000_000, None) > 0 {}
    let read = log.read.lock().unwrap().len();
    assert_eq!(read, 8_000_000);
    // What fell out is read again, and nothing is missing.
    while slow.step(1_000_000, None) > 0 {}
    assert_eq!(slow.from, log.end());
    let again = log.read.lock().unwrap().values().filter(|times| **times > 1).count();
    assert!((1_000_000..8_000_000).contains(&again), "{again} offsets were read again");
}

#[test]
fn a_column_more_is_decoded_for_all_from_then_on() {
    let (log, open) = grown(100);
    let mut narrow = Reader::new(&log, &open, &names(&["a"]), 0);
    while narrow.step(1_000, None) > 0 {}
    let mut wide = Reader::new(&log, &open, &names(&["a", "b"]), 100);
    assert_eq!(log.opened.load(Ordering::SeqCst), 2, "it is opened anew, once");
    log.grow(0, 2);
    assert!(narrow.step(1_000, None) > 0 && wide.step(1_000, None) > 0);
    assert!(log.read.lock().unwrap().range(100..).all(|(_, times)| *times == 1));
}

#[test]
fn frames_of_other_options_have_nothing_in_common() {
    let log = Arc::new(Log::default());
    let sharing = Sharing::default();
    let (one, other) = (sharing.share("one", schema(), log.open()), sharing.share("other", schema(), log.open()));
    let _held = (one(&names(&["a"])).unwrap(), other(&names(&["a"])).unwrap(), one(&names(&["a"])).unwrap());
    assert_eq!(log.opened.load(Ordering::SeqCst), 2);
}

#[test]
fn queries_in_their_threads_read_together_and_outlive_a_source_that_was_away() {
    let (log, open) = grown(2_000);
    let options = || Options {
        max_rows: 300,
        interval: Duration::ZERO,
        retry_after: Duration::from_millis(5),
        ..Options::default()
    };
    let plans = [col("a").sum(), col("b").sum(), col("c").count()]
        .map(|agg| Plan::source("log numbers", schema()).group_by(&[], &[agg.alias("v"), len().alias("n")]).unwrap());
    let queries: Vec<Query> =
        plans.iter().map(|plan| Query::start("shared", plan, Arc::clone(&open), options()).unwrap()).collect();
    let wait_for = |offsets: &Offsets| {
        let end = std::time::Instant::now() + Duration::from_secs(20);
        for query in &queries {
            let done = |status: &engine::Status| {
                offsets.0.iter().all(|(p, at)| status.offsets.get(p).is_some_and(|(_, to)| to >= at))
            };
            while !done(&query.status()) {
                assert!(std::time::Instant::now() < end, "{:?} did not come to {offsets:?}", query.status());
                let _ = query.result().wait(query.status().version, Duration::from_millis(20));
            }
        }
    };
    wait_for(&log.end());
    log.away.store(true, Ordering::SeqCst);
    log.grow(1, 700);
    let end = std::time::Instant::now() + Duration::from_secs(20);
    while !queries.iter().all(|query| matches!(query.status().state, State::Waiting(_))) {
        assert!(std::time::Instant::now() < end, "a query does not notice that the source is away");
        let _ = queries[0].result().wait(u64::MAX, Duration::from_millis(5));
    }
    log.away.store(false, Ordering::SeqCst);
    wait_for(&log.end());
    for (query, plan) in queries.iter().zip(&plans) {
        let expected = engine::collect(plan, &log.open(), |_| true).unwrap().frame;
        assert!(query.result().frame().equals_missing(&expected), "{} and {expected}", query.result().frame());
    }
}

#[test]
fn rows_are_shared_out_so_that_no_partition_starves_another() {
    let rows: BTreeMap<i32, i64> = [(0, 100), (1, 10)].into();
    let reach = |partition: &i32, at: i64, most: usize| {
        let end = *rows.get(partition)?;
        let to = end.min(at + most as i64);
        Some(Reach { to, rows: (to - at) as usize, more: to < end })
    };
    let start: Offsets<i32> = Offsets::from([(0, 0), (1, 0), (2, 7)]);
    assert_eq!(start.shared_out(6, reach), Offsets::from([(0, 3), (1, 3), (2, 7)]), "nobody knows of the third");
    assert_eq!(start.shared_out(60, reach), Offsets::from([(0, 50), (1, 10), (2, 7)]), "what one has not, others have");
    assert_eq!(start.shared_out(600, reach), Offsets::from([(0, 100), (1, 10), (2, 7)]));
    let stuck = |_: &i32, at: i64, _: usize| Some(Reach { to: at, rows: 0, more: true });
    assert_eq!(start.shared_out(6, stuck), start, "it comes to an end");
}
