//! A topic as the engine reads it: ranges of offsets, each the same however often it is read. The engine's thread calls
//! in here; a thread of the source's own fetches ahead and decodes.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use engine::{Offsets, Reach, RowFilter, Source, SourceBatch, SourceError};
use polars::prelude::SchemaRef;
use rdkafka::consumer::Consumer as _;
use rdkafka::{Offset, TopicPartitionList};

use super::client::{ANSWER, Consumer, consumer, partitions, watermarks};
use super::error::from_kafka;
use super::fetch::{AT_ONCE, Command, Event, Fetcher, HELD_BYTES, undecodable};
use super::held::{Cut, Held};
use super::native::Batches;
use super::options::{KafkaOptions, StartingOffsets};
use crate::format::{Format, Json};

/// How long a range that is read again may bring nothing before it is given up.
const PATIENCE: Duration = Duration::from_secs(15);
/// A range of more records is taken for larger than the buffer.
const LARGE: u64 = 200_000;

/// A Kafka topic of JSON records.
///
/// Offsets are exact: `read(from, to)` gives the records whose offsets lie in the range, and steps over offsets that
/// hold none, such as a transaction's markers. Only committed records are read. Nothing is committed to a group.
/// Records that the broker deleted before they could be read are one dead letter, which says how many they were.
pub struct KafkaSource {
    options: KafkaOptions,
    schema: SchemaRef,
    partitions: Vec<i32>,
    consumer: Arc<Consumer>,
    held: BTreeMap<i32, Held>,
    /// Fetching ends where a range does, and nothing comes behind it.
    bounded: bool,
    generation: u64,
    failure: Option<SourceError>,
    events: Receiver<Event>,
    /// None once the source is being dropped: hanging up is what ends the thread.
    commands: Option<Sender<Command>>,
    thread: Option<JoinHandle<()>>,
}

impl KafkaSource {
    /// A source for the columns of `schema`, or those of them that `columns` names.
    ///
    /// # Errors
    /// A bad address or option, no broker, no such topic, a column that is not in the schema or of a type that JSON
    /// does not have; in five seconds at most.
    pub fn open(
        options: KafkaOptions,
        schema: SchemaRef,
        columns: Option<Vec<String>>,
    ) -> Result<KafkaSource, SourceError> {
        let format = Json::new(&schema, columns.as_deref()).map_err(|error| undecodable(&options, &error))?;
        KafkaSource::with_format(options, Box::new(format))
    }

    /// A source whose records `format` decodes.
    ///
    /// # Errors
    /// As [`KafkaSource::open`].
    pub fn with_format(options: KafkaOptions, format: Box<dyn Format>) -> Result<KafkaSource, SourceError> {
        let consumer = Arc::new(consumer(&options)?);
        let partitions = partitions(&consumer, &options)?;
        let schema = format.schema().clone();
        let (commands, commanded) = channel();
        let (sent, events) = channel();
        let no_thread = |detail: String| SourceError {
            fact: format!("the topic \"{}\" cannot be read", options.topic),
            detail,
            hint: "See whether the machine has memory and threads left.".to_owned(),
            retry: true,
        };
        let batches = Batches::new(consumer.clone(), AT_ONCE)
            .ok_or_else(|| no_thread("the Kafka client gives no queue".to_owned()))?;
        let fetcher = Fetcher::new(options.clone(), consumer.clone(), batches, format, sent);
        let thread = std::thread::Builder::new()
            .name(format!("kafka {}", options.topic))
            .spawn(move || fetcher.run(&commanded))
            .map_err(|error| no_thread(error.to_string()))?;
        Ok(KafkaSource {
            options,
            schema,
            partitions,
            consumer,
            held: BTreeMap::new(),
            bounded: false,
            generation: 0,
            failure: None,
            events,
            commands: Some(commands),
            thread: Some(thread),
        })
    }

    fn watermarks(&self, pick: impl Fn((i64, i64)) -> i64) -> Result<Offsets, SourceError> {
        let of = |partition: &i32| Ok((*partition, pick(watermarks(&self.consumer, &self.options, *partition)?)));
        self.partitions.iter().map(of).collect::<Result<_, _>>().map(Offsets)
    }

    /// The first offsets whose records have this timestamp or a later one; the end where there are none.
    fn at_time(&self, time_ms: i64) -> Result<Offsets, SourceError> {
        let end = self.latest_offsets()?;
        let what = format!("the offsets of topic \"{}\" at a time cannot be read", self.options.topic);
        let words = &self.consumer.context().words;
        let mut times = TopicPartitionList::new();
        let found = self
            .partitions
            .iter()
            .try_for_each(|partition| {
                times.add_partition_offset(&self.options.topic, *partition, Offset::Offset(time_ms))
            })
            .and_then(|()| self.consumer.offsets_for_times(times, ANSWER))
            .map_err(|error| from_kafka(&self.options, &what, &error, words))?;
        let offset = |(partition, end): (&i32, &i64)| match found
            .find_partition(&self.options.topic, *partition)
            .map(|found| found.offset())
        {
            Some(Offset::Offset(offset)) => (*partition, offset),
            _ => (*partition, *end),
        };
        Ok(Offsets(end.0.iter().map(offset).collect()))
    }

    fn latest_offsets(&self) -> Result<Offsets, SourceError> {
        self.watermarks(|(_, high)| high)
    }

    fn command(&self, command: Command) {
        // The thread is gone only after a panic of ours; then its events have ended too, and the reader says so.
        if let Some(commands) = &self.commands {
            let _ = commands.send(command);
        }
    }

    /// Has everything fetched anew from `from`.
    fn restart(&mut self, from: &Offsets, until: Option<&Offsets>) {
        self.generation += 1;
        self.failure = None;
        self.bounded = until.is_some();
        self.held = from.0.iter().map(|(partition, offset)| (*partition, Held::new(*offset))).collect();
        self.command(Command::Fetch { generation: self.generation, from: from.clone(), until: until.cloned() });
    }

    /// Whether fetching goes on at `from`, or behind it with everything between at hand.
    fn follows(&self, from: &Offsets) -> bool {
        !self.bounded
            && self.held.len() == from.0.len()
            && from.0.iter().all(|(partition, at)| {
                self.held.get(partition).is_some_and(|held| (held.start()..=held.end()).contains(at))
            })
    }

    /// Has fetching go on at `from`: lets go of what lies before, or begins there.
    fn go_on_at(&mut self, from: &Offsets) {
        if !self.follows(from) {
            return self.restart(from, None);
        }
        let trim = |(partition, held): (&i32, &mut Held)| from.0.get(partition).map_or(0, |at| held.trim(*at));
        let freed: usize = self.held.iter_mut().map(trim).sum();
        if freed > 0 {
            self.command(Command::Freed(freed));
        }
    }

    /// Takes in what the thread sent; waits for the first of it until `deadline`. Says whether any came.
    fn receive(&mut self, deadline: Instant) -> Result<bool, SourceError> {
        let mut any = false;
        loop {
            let wait = if any { Duration::ZERO } else { deadline.saturating_duration_since(Instant::now()) };
            let event = match self.events.recv_timeout(wait) {
                Ok(event) => event,
                Err(RecvTimeoutError::Timeout) => return Ok(any),
                Err(RecvTimeoutError::Disconnected) => return Err(self.thread_died()),
            };
            match event {
                Event::Segment { generation, segment } if generation == self.generation => {
                    self.failure = None;
                    any = true;
                    if let Some(held) = self.held.get_mut(&segment.partition) {
                        held.push(segment);
                    }
                }
                Event::Failed { generation, error } if generation == self.generation => {
                    self.failure = Some(error);
                    any = true;
                }
                _ => {}
            }
        }
    }

    fn thread_died(&self) -> SourceError {
        SourceError {
            fact: format!("the topic \"{}\" cannot be read on", self.options.topic),
            detail: "the fetching thread ended by a mistake in Corriente".to_owned(),
            hint: "Run the cell again, and please report it.".to_owned(),
            retry: true,
        }
    }

    /// As far as what is held reaches.
    fn reach(&self, from: &Offsets, max_rows: usize) -> Offsets {
        from.shared_out(max_rows, |partition, at, share| {
            let held = self.held.get(&partition)?;
            let (to, rows) = held.reach(at, share);
            Some(Reach { to, rows, more: to < held.end() })
        })
    }

    fn is_at_hand(&self, from: &Offsets, to: &Offsets) -> bool {
        to.0.iter().all(|(partition, end)| {
            let at = from.0.get(partition).copied().unwrap_or(*end);
            at >= *end || self.held.get(partition).is_some_and(|held| held.start() <= at && held.end() >= *end)
        })
    }

    /// Fetches on until a range is at hand; says whether it is, for it may be larger than the buffer.
    fn fetch(&mut self, from: &Offsets, to: &Offsets) -> Result<bool, SourceError> {
        if from.distance_to(to) > LARGE {
            return Ok(false);
        }
        self.go_on_at(from);
        while !self.is_at_hand(from, to) {
            // The thread fetches no more than that.
            if self.held.values().map(Held::weight).sum::<usize>() >= HELD_BYTES {
                return Ok(false);
            }
            if !self.receive(Instant::now() + PATIENCE)? {
                return Err(self.stalled(from, to));
            }
            if let Some(error) = self.failure.take() {
                return Err(error);
            }
        }
        Ok(true)
    }

    /// Reads a range that is larger than the buffer.
    fn read_large(&mut self, from: &Offsets, to: &Offsets) -> Result<SourceBatch, SourceError> {
        let wanted: Vec<i32> =
            to.0.iter()
                .filter(|(partition, end)| from.0.get(partition).is_some_and(|at| at < end))
                .map(|(partition, _)| *partition)
                .collect();
        let only = |offsets: &Offsets| {
            Offsets(wanted.iter().filter_map(|partition| Some((*partition, *offsets.0.get(partition)?))).collect())
        };
        let (from, to) = (only(from), only(to));
        self.restart(&from, Some(&to));
        let mut cuts: BTreeMap<i32, Cut> = BTreeMap::new();
        let mut progress = Instant::now();
        while self.held.iter().any(|(partition, held)| to.0.get(partition).is_some_and(|end| held.end() < *end)) {
            if !self.receive(progress + PATIENCE)? {
                return Err(self.stalled(&from, &to));
            }
            if let Some(error) = self.failure.take() {
                return Err(error);
            }
            progress = Instant::now();
            // What came is taken out at once, so that a range larger than the buffer can be read.
            let mut freed = 0;
            for (partition, held) in &mut self.held {
                freed += held
                    .drain(cuts.entry(*partition).or_default())
                    .map_err(|error| undecodable(&self.options, &error))?;
            }
            self.command(Command::Freed(freed));
        }
        let mut batch = SourceBatch::default();
        for (partition, cut) in cuts {
            cut.finish(partition, &mut batch);
        }
        Ok(batch)
    }

    fn stalled(&self, from: &Offsets, to: &Offsets) -> SourceError {
        SourceError {
            fact: format!("{} offsets of topic \"{}\" cannot be read again", from.distance_to(to), self.options.topic),
            detail: format!("nothing came from {} for {} s", self.options.bootstrap, PATIENCE.as_secs()),
            hint: "See whether the Kafka broker is well and still has the records.".to_owned(),
            retry: true,
        }
    }
}

impl Source for KafkaSource {
    fn schema(&self) -> SchemaRef {
        self.schema.clone()
    }

    fn start(&mut self) -> Result<Offsets, SourceError> {
        match self.options.start {
            StartingOffsets::Earliest => self.watermarks(|(low, _)| low),
            StartingOffsets::Latest => self.latest_offsets(),
            StartingOffsets::Timestamp(time_ms) => self.at_time(time_ms),
        }
    }

    fn latest(&mut self) -> Result<Offsets, SourceError> {
        self.latest_offsets()
    }

    fn available(&mut self, from: &Offsets, max_rows: usize, wait: Duration) -> Result<Offsets, SourceError> {
        let deadline = Instant::now() + wait;
        self.go_on_at(from);
        self.receive(Instant::now())?;
        loop {
            let to = self.reach(from, max_rows);
            if to != *from {
                return Ok(to);
            }
            if let Some(error) = self.failure.take() {
                return Err(error);
            }
            if !self.receive(deadline)? {
                return Ok(to);
            }
        }
    }

    fn read(&mut self, from: &Offsets, to: &Offsets) -> Result<SourceBatch, SourceError> {
        // After a restart, range follows range: what lies behind this one is kept for the next.
        if !self.is_at_hand(from, to) && !self.fetch(from, to)? {
            return self.read_large(from, to);
        }
        let mut batch = SourceBatch::default();
        for (partition, end) in &to.0 {
            if let (Some(held), Some(at)) = (self.held.get(partition), from.0.get(partition)) {
                held.read(*partition, *at, *end, &mut batch).map_err(|error| undecodable(&self.options, &error))?;
            }
        }
        Ok(batch)
    }

    fn filter(&mut self, filter: &RowFilter) {
        self.command(Command::Filter(filter.clone()));
    }
}

impl Drop for KafkaSource {
    fn drop(&mut self) {
        drop(self.commands.take());
        if let Some(thread) = self.thread.take() {
            // It panicked, or it did not: the source ends either way.
            let _ = thread.join();
        }
    }
}
