//! A query's life beside that of its topic: partitions appear, pauses of seconds to hours, rows of one partition alone, records that
//! are deleted, a topic that is made again, ends, stops and crashes. Every row is in one window once, or late behind a watermark
//! that no unread row stands against, or told as lost.

mod topic;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use engine::{
    BatchStep, Crash, ManualClock, Offsets, Options, OutputMode, Progress, Query, State, TopicPartition, Trigger,
};
use plan::{Plan, tumbling};
use polars::prelude::*;
use proptest::prelude::*;

use crate::common::query::{Kept, STEPS};
use topic::{Look, OnLoss, Record, Topic, schema};

const DEADLINE: Duration = Duration::from_secs(30);
/// How late rows may come, and how long a window is, in milliseconds.
const DELAY: i64 = 2_000;
const WINDOW: i64 = 10_000;
/// Later than all others by more than any window.
const FAR: i64 = 10_000_000;
/// So many rows have a bit of a number each.
const MOST_ROWS: usize = 60;

#[derive(Clone, Debug)]
pub(crate) struct Life {
    /// A query that runs on, or one that ends each time.
    trigger: Trigger,
    on_loss: OnLoss,
    max_rows: usize,
    events: Vec<Event>,
}

#[derive(Clone, Debug)]
enum Event {
    /// Rows come to a partition, which may be a new one, so far behind the newest time there is.
    Rows(i32, Vec<i64>),
    /// So many seconds pass.
    Pause(u64),
    /// The rows of a partition are not to be had for now.
    Withhold(Option<i32>),
    /// The query ends, after this step of its next batch or as it should, and begins again.
    Restart(Option<BatchStep>),
    /// The query ends as it should, and all records of a partition are deleted.
    Delete(i32),
    /// The topic is made again, while the query runs or is not there.
    MakeAgain(Away),
}

/// How a query is away.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Away {
    /// It is not, if it is one that runs on.
    Not,
    Ended,
    Crashed(BatchStep),
}

/// A batch that ran, by what the query or its log tells of it.
#[derive(Clone, Debug)]
struct Ran {
    from: Offsets,
    to: Offsets,
    watermark: Option<i64>,
    /// Rows that came too late, where that is known.
    late: Option<usize>,
}

pub(crate) fn life() -> impl Strategy<Value = Life> {
    let behind = prop::collection::vec(-6_000..9_000i64, 1..6);
    let crash = || prop::option::of(prop::sample::select(STEPS.to_vec()));
    let pause = prop_oneof![1..4u64, 6..40u64, 3_000..9_000u64];
    let event = prop_oneof![
        10 => (0..4i32, behind).prop_map(|(partition, behind)| Event::Rows(partition, behind)),
        4 => pause.prop_map(Event::Pause),
        2 => prop::option::of(0..4i32).prop_map(Event::Withhold),
        3 => crash().prop_map(Event::Restart),
        1 => (0..4i32).prop_map(Event::Delete),
        1 => prop_oneof![
            Just(Away::Not), Just(Away::Ended), prop::sample::select(STEPS.to_vec()).prop_map(Away::Crashed)
        ].prop_map(Event::MakeAgain),
    ];
    let trigger =
        prop_oneof![3 => Just(Trigger::Continuous), 1 => Just(Trigger::AvailableNow), 1 => Just(Trigger::Once)];
    let on_loss = prop::sample::select(vec![OnLoss::Earliest, OnLoss::Latest]);
    (trigger, on_loss, 3..40usize, prop::collection::vec(event, 1..14))
        .prop_map(|(trigger, on_loss, max_rows, events)| Life { trigger, on_loss, max_rows, events })
}

fn plan() -> Plan {
    let marked = Plan::source("memory lives", schema()).with_watermark("time", &format!("{DELAY}ms")).unwrap();
    let aggs = [len().alias("n"), col("number").sum()];
    marked.group_by_dynamic(&col("time"), &[], &tumbling(&format!("{WINDOW}ms")), &aggs).unwrap()
}

/// A query that lives through events.
struct Living<'a> {
    life: &'a Life,
    topic: Arc<Topic>,
    clock: Arc<ManualClock>,
    kept: Kept,
    folder: &'a Path,
    /// The step after which it is to crash.
    crash: Arc<Mutex<Option<BatchStep>>>,
    has_crashed: Arc<AtomicBool>,
    query: Option<Query>,
    /// The batches that are done, by their numbers.
    batches: BTreeMap<u64, Ran>,
    rows: usize,
    newest: i64,
    /// Rows that may be in no window, for they had to be read again when they were gone.
    may_be_lost: BTreeSet<i64>,
    /// Rows since the query last ended as it should.
    unsaved: BTreeSet<i64>,
}

impl Living<'_> {
    fn begin(&mut self, on_loss: OnLoss) {
        let (crash, has_crashed) = (Arc::clone(&self.crash), Arc::clone(&self.has_crashed));
        let crashes: Crash = Arc::new(move |_, step| {
            let is_now = crash.lock().unwrap().take_if(|at| *at == step).is_some();
            has_crashed.fetch_or(is_now, Ordering::SeqCst);
            is_now
        });
        let options = Options {
            trigger: self.life.trigger,
            max_rows: self.life.max_rows,
            interval: Duration::ZERO,
            retry_after: Duration::from_millis(1),
            snapshot_rows: 7,
            clock: self.clock.clone(),
            crash: Some(crashes),
            ..Options::default()
        };
        let output = self.kept.output(OutputMode::Append, self.folder);
        self.query = Some(Query::write("lives", &plan(), self.topic.open(on_loss), options, output).unwrap());
    }

    fn is_ending(&self) -> bool {
        self.life.trigger != Trigger::Continuous
    }

    /// Waits until the query has read what it can, or has ended; gives why it failed.
    fn settle(&mut self) -> Option<String> {
        let end = Instant::now() + DEADLINE;
        loop {
            let query = self.query.as_ref()?;
            if !query.is_active() {
                return query.exception();
            }
            if !self.is_ending() && self.is_read(query) {
                // What waits for time to go on comes now.
                let looked = self.topic.looked();
                while self.topic.looked() < looked + 3 && query.is_active() && Instant::now() < end {
                    let _ = query.await_termination(Duration::from_millis(1));
                }
                self.note();
                return self.query.as_ref()?.exception();
            }
            assert!(Instant::now() < end, "it does not come to the end: {:?}\n{:?}", query.status(), self.life);
            let _ = query.await_termination(Duration::from_millis(1));
        }
    }

    /// Notes which batches are done.
    fn note(&mut self) {
        for progress in self.query.iter().flat_map(Query::recent_progress) {
            let Progress { batch, late_rows, watermark_ms: watermark, offsets: (from, to), .. } = progress;
            self.batches.insert(batch, Ran { from, to, watermark, late: Some(late_rows) });
        }
    }

    /// Stops the query. A batch that ran and of which it told nothing, for it crashed, is in its log.
    fn stop(&mut self) {
        if let Some(query) = &mut self.query {
            query.stop();
        }
        self.note();
        self.query = None;
        let log = std::fs::read_to_string(self.folder.join("log")).unwrap_or_default();
        let mut planned: BTreeMap<u64, [Offsets; 2]> = BTreeMap::new();
        for line in log.lines().map_while(|line| serde_json::from_str::<serde_json::Value>(line).ok()) {
            let offsets = |of: &serde_json::Value| serde_json::from_value::<Offsets>(of.clone()).unwrap();
            if let Some(line) = line.get("planned") {
                planned.insert(line["batch"].as_u64().unwrap(), [offsets(&line["from"]), offsets(&line["to"])]);
            }
            if let Some(ran) = line.get("ran")
                && let Some([from, to]) = planned.remove(&ran["batch"].as_u64().unwrap())
            {
                let ran_then = Ran { from, to, watermark: ran["watermark"].as_i64(), late: None };
                self.batches.entry(ran["batch"].as_u64().unwrap()).or_insert(ran_then);
            }
        }
    }

    /// Whether all is read that can be, in the partitions that there are.
    fn is_read(&self, query: &Query) -> bool {
        let status = query.status();
        let [_, given] = self.topic.ends();
        let is_read =
            |(at, end): (&TopicPartition, &i64)| status.offsets.get(at).map_or(*end == 0, |(_, to)| to >= end);
        status.state == State::Running && given.0.iter().all(is_read)
    }

    /// Ends the query, after a step of its next batch if it comes to one.
    fn end(&mut self, crash: Option<BatchStep>) -> Result<(), String> {
        if let Some(step) = crash {
            *self.crash.lock().unwrap() = Some(step);
            self.add(0, &[0]);
        }
        if self.is_ending() {
            self.begin(self.life.on_loss);
        }
        let failed = self.settle();
        self.stop();
        *self.crash.lock().unwrap() = None;
        match failed {
            Some(error) if !self.has_crashed.swap(false, Ordering::SeqCst) => Err(error),
            Some(_) => Ok(()),
            None => {
                let read: BTreeSet<i64> =
                    batches(self).flat_map(|(records, ..)| records).map(|record| record.number).collect();
                self.unsaved.retain(|number| !read.contains(number));
                Ok(())
            }
        }
    }

    fn add(&mut self, partition: i32, behind: &[i64]) {
        let mut records = Vec::new();
        for behind in behind.iter().take(MOST_ROWS - self.rows.min(MOST_ROWS)) {
            let number = 1 << self.rows;
            self.rows += 1;
            self.newest += 1_000;
            self.unsaved.insert(number);
            records.push(Record { time: self.newest - behind, number });
        }
        self.topic.add(partition, &records);
    }

    fn live_through(&mut self, event: &Event) -> Result<(), String> {
        match event {
            Event::Rows(partition, behind) => {
                self.add(*partition, behind);
                // One that has appeared is looked for now and then.
                self.clock.advance(Duration::from_secs(6));
            }
            Event::Pause(seconds) => self.clock.advance(Duration::from_secs(*seconds)),
            Event::Withhold(partition) => {
                // A run that ends waits for what it was asked to read.
                self.topic.withhold(partition.filter(|_| !self.is_ending()));
            }
            Event::Restart(crash) => {
                self.end(*crash)?;
                if !self.is_ending() {
                    self.begin(self.life.on_loss);
                }
            }
            Event::Delete(partition) => {
                self.end(None)?;
                let is_lost = self.has_unread(*partition);
                self.topic.delete(*partition);
                self.go_on_after_a_loss(is_lost)?;
            }
            Event::MakeAgain(away) => {
                self.topic.withhold(None);
                if *away == Away::Not && !self.is_ending() {
                    self.may_be_lost.append(&mut self.unsaved.clone());
                    self.topic.make_again();
                    return self.settle().map_or(Ok(()), Err);
                }
                self.end(if let Away::Crashed(step) = away { Some(*step) } else { None })?;
                self.may_be_lost.append(&mut self.unsaved);
                let is_lost = !self.batches.is_empty();
                self.topic.make_again();
                self.go_on_after_a_loss(is_lost)?;
            }
        }
        if self.is_ending() {
            return Ok(());
        }
        self.settle().map_or(Ok(()), Err)
    }

    /// A query that is told nothing fails where it lost anything, and says what; another one goes on.
    fn go_on_after_a_loss(&mut self, is_lost: bool) -> Result<(), String> {
        self.begin(OnLoss::Fail);
        let failed = self.settle();
        self.stop();
        match failed {
            Some(error) if !(error.contains("lives [") && error.contains("was read up to offset")) => {
                return Err(format!("a loss is told without its place: {error}"));
            }
            None if is_lost => return Err("a query that is told nothing goes on in spite of a loss".to_owned()),
            _ => {}
        }
        if !self.is_ending() {
            self.begin(self.life.on_loss);
        }
        Ok(())
    }

    /// Has everything that is there be read, and every window of it end.
    fn finish(&mut self) -> Result<(), String> {
        self.topic.withhold(None);
        for _ in 0..2 {
            for partition in self.topic.partitions() {
                self.topic.add(partition, &[Record { time: FAR, number: 0 }]);
            }
            self.clock.advance(Duration::from_secs(6));
            if self.is_ending() {
                self.end(None)?;
                // A run of one batch may leave some for the next.
                while self.life.trigger == Trigger::Once && self.unread().next().is_some() {
                    self.end(None)?;
                }
            } else if let Some(error) = self.settle() {
                return Err(error);
            }
        }
        self.end(None)
    }

    /// Whether a partition that was read has records that were not.
    fn has_unread(&self, partition: i32) -> bool {
        self.unread().any(|(at, is_known)| at.partition == partition && is_known)
    }

    /// The partitions with records that were not read, and whether any of theirs were.
    fn unread(&self) -> impl Iterator<Item = (TopicPartition, bool)> {
        let [ends, _] = self.topic.ends();
        let reached = self.batches.values().last().map(|ran| ran.to.clone()).unwrap_or_default();
        let behind = move |(at, end): (TopicPartition, i64)| match reached.0.get(&at) {
            Some(reached) => (*reached < end).then_some((at, true)),
            None => (end > 0).then_some((at, false)),
        };
        ends.0.into_iter().filter_map(behind)
    }
}

/// The windows by their starts, each with its rows.
type Windows = BTreeMap<i64, BTreeSet<i64>>;

impl Life {
    pub(crate) fn check(&self) -> Result<(), String> {
        let folder = tempfile::tempdir().unwrap();
        let clock = Arc::<ManualClock>::default();
        // Times of the rows are not ahead of it.
        clock.advance(Duration::from_secs(20_000));
        let mut living = Living {
            life: self,
            topic: Topic::new(),
            clock,
            kept: Kept::default(),
            folder: folder.path(),
            crash: Arc::default(),
            has_crashed: Arc::default(),
            query: None,
            batches: BTreeMap::new(),
            rows: 0,
            newest: 0,
            may_be_lost: BTreeSet::new(),
            unsaved: BTreeSet::new(),
        };
        if !living.is_ending() {
            living.begin(self.on_loss);
        }
        for event in &self.events {
            living.live_through(event)?;
        }
        living.finish()?;
        let given = given(&living.kept)?;
        let (expected, late) = expected(&living);
        for (start, rows) in &expected {
            let found = given.get(start).cloned().unwrap_or_default();
            let missing: BTreeSet<i64> = rows.difference(&found).copied().collect();
            if !found.is_subset(rows) || !missing.is_subset(&living.may_be_lost) {
                return Err(format!("the window of {start} has {found:?}, and not {rows:?}; late are {late:?}"));
            }
        }
        if let Some(start) = given.keys().find(|start| !expected.contains_key(start)) {
            return Err(format!("a window of {start} was given, and no row is in it"));
        }
        let counted: Option<usize> = living.batches.values().map(|ran| ran.late).sum();
        if living.may_be_lost.is_empty() && counted.is_some_and(|counted| counted != late.len()) {
            return Err(format!("{counted:?} rows are counted as late, and {late:?} are"));
        }
        check_watermarks(&living)
    }
}

/// The windows that the sink has, each once.
fn given(kept: &Kept) -> Result<Windows, String> {
    let mut windows = Windows::new();
    for (batch, rows) in kept.batches() {
        let starts = rows.column("time").unwrap().to_physical_repr().i64().unwrap().clone();
        let numbers = rows.column("number").unwrap().i64().unwrap().clone();
        let counts = rows.column("n").unwrap().cast(&DataType::Int64).unwrap().i64().unwrap().clone();
        for ((start, numbers), n) in starts.iter().zip(numbers.iter()).zip(counts.iter()) {
            let (start, numbers) = (start.unwrap(), numbers.unwrap());
            let all: BTreeSet<i64> = (0..MOST_ROWS).map(|bit| 1 << bit).filter(|bit| numbers & bit != 0).collect();
            if start < FAR - WINDOW && n != Some(all.len() as i64) {
                return Err(format!("batch {batch}: the window of {start} has {n:?} rows, and {all:?}"));
            }
            if start < FAR - WINDOW && windows.insert(start, all).is_some() {
                return Err(format!("the window of {start} was given twice, and again in batch {batch}"));
            }
        }
    }
    Ok(windows)
}

/// The rows of each batch, the watermark before it, and the batch.
fn batches<'a>(living: &'a Living<'_>) -> impl Iterator<Item = (Vec<Record>, Option<i64>, &'a Ran)> {
    let mut watermark = None;
    living.batches.values().map(move |ran| {
        let of = |(at, end): (&TopicPartition, &i64)| living.topic.records(at, ran.from.0[at], *end);
        let records = ran.to.0.iter().flat_map(of).collect();
        let before = watermark;
        watermark = ran.watermark;
        (records, before, ran)
    })
}

/// The windows of the rows that were read, less those that came behind the watermark; and these.
fn expected(living: &Living<'_>) -> (Windows, Vec<Record>) {
    let (mut windows, mut late) = (Windows::new(), Vec::new());
    for (records, before, _) in batches(living) {
        for record in records.into_iter().filter(|record| record.time < FAR) {
            let start = record.time.div_euclid(WINDOW) * WINDOW;
            match before.is_some_and(|watermark| start + WINDOW <= watermark) {
                true => late.push(record),
                false => drop(windows.entry(start).or_default().insert(record.number)),
            }
        }
    }
    (windows, late)
}

/// A watermark is where the newest rows say that are read; a partition that has rows to come holds it back.
fn check_watermarks(living: &Living<'_>) -> Result<(), String> {
    let looks = living.topic.looks();
    let mut newest: BTreeMap<TopicPartition, i64> = BTreeMap::new();
    for (_, before, ran) in batches(living) {
        for (at, end) in &ran.to.0 {
            let read = living.topic.records(at, ran.from.0[at], *end);
            if let Some(most) = read.iter().map(|record| record.time).max() {
                let newest = newest.entry(at.clone()).or_insert(most);
                *newest = most.max(*newest);
            }
        }
        if ran.watermark < before {
            return Err(format!("the watermark goes back: {ran:?}"));
        }
        let Some(after) = ran.watermark.filter(|_| ran.watermark > before) else { continue };
        let bound = |look: &Look| {
            let unread = ran.to.0.iter().filter(|(at, to)| look.ends.0.get(at).is_some_and(|end| end > to));
            unread.map(|(at, _)| newest.get(at).map_or(i64::MIN, |newest| newest - DELAY)).min()
        };
        let looks: Vec<&Look> = looks.iter().filter(|look| look.to == ran.to).collect();
        if !looks.is_empty() && !looks.iter().any(|look| bound(look).is_none_or(|bound| after <= bound)) {
            return Err(format!("the watermark is further than rows that are to come allow: {ran:?}"));
        }
    }
    Ok(())
}

impl fmt::Display for Life {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{:?}, on loss {:?}, {} rows a batch", self.trigger, self.on_loss, self.max_rows)?;
        self.events.iter().try_for_each(|event| writeln!(f, "{event:?}"))
    }
}
