//! A topic as the engine reads it: ranges of offsets, each the same however often it is read. The engine's thread calls
//! in here; a thread of the source's own fetches ahead and decodes.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use engine::{
    DISCOVERY_INTERVAL, Offsets, Reach, Resumed, RowFilter, Source, SourceBatch, SourceError, TopicId, TopicPartition,
};
use polars::prelude::SchemaRef;

use super::client::{Ask, Consumer, consumer, description, first_description, offsets};
use super::describe::Description;
use super::fetch::{AT_ONCE, Command, Event, Fetcher, HELD_BYTES, Range, place, undecodable};
use super::held::{Cut, Held};
use super::loss::Loss;
use super::native::Batches;
use super::notices::Notices;
use super::options::{KafkaOptions, OnDataLoss, StartingOffsets};
use crate::format::{Format, Json};

/// How long a range that is read again may bring nothing before it is given up.
const PATIENCE: Duration = Duration::from_secs(15);
/// A description of the topic that was made for the opening is good for the first look so long.
const FRESH: Duration = Duration::from_secs(1);
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
    topic_id: Option<TopicId>,
    partitions: Vec<i32>,
    /// When the topic was described, until that description is used.
    described: Option<Instant>,
    /// Where the oldest records were when they were last asked for as a query's start.
    oldest: Offsets<i32>,
    consumer: Arc<Consumer>,
    held: BTreeMap<i32, Held>,
    /// Fetching ends where a range does, and nothing comes behind it.
    bounded: bool,
    generation: u64,
    /// Why partitions, or all of them, cannot be read on; kept until one is read again.
    failures: BTreeMap<Option<i32>, SourceError>,
    notices: Arc<Notices>,
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
        let mut format = Json::new(&schema, columns.as_deref()).map_err(|error| undecodable(&options, &error))?;
        if options.sampled {
            format = format.sampled(&schema);
        }
        KafkaSource::with_format(options, Box::new(format))
    }

    /// A source whose records `format` decodes.
    ///
    /// # Errors
    /// As [`KafkaSource::open`].
    pub fn with_format(options: KafkaOptions, format: Box<dyn Format>) -> Result<KafkaSource, SourceError> {
        let consumer = Arc::new(consumer(&options)?);
        let Description { id: topic_id, partitions } = first_description(&consumer, &options)?;
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
        let notices = Arc::new(Notices::default());
        let fetcher = Fetcher::new(options.clone(), consumer.clone(), batches, format, notices.clone(), sent);
        let thread = std::thread::Builder::new()
            .name(format!("kafka {}", options.topic))
            .spawn(move || fetcher.run(&commanded))
            .map_err(|error| no_thread(error.to_string()))?;
        Ok(KafkaSource {
            options,
            schema,
            topic_id,
            partitions,
            described: Some(Instant::now()),
            oldest: Offsets::default(),
            consumer,
            held: BTreeMap::new(),
            bounded: false,
            generation: 0,
            failures: BTreeMap::new(),
            notices,
            events,
            commands: Some(commands),
            thread: Some(thread),
        })
    }

    /// Looks how the topic is now; what was fetched of another one is let go.
    fn look(&mut self) -> Result<(), SourceError> {
        // Who opens a source looks at once how the topic is.
        if self.described.take().is_some_and(|described| described.elapsed() < FRESH) {
            return Ok(());
        }
        let Description { id, partitions } = description(&self.consumer, &self.options)?;
        if id != self.topic_id {
            self.held.clear();
            self.oldest = Offsets::default();
        }
        (self.topic_id, self.partitions) = (id, partitions);
        Ok(())
    }

    /// Offsets of all partitions.
    fn ask(&self, ask: Ask) -> Result<Offsets<i32>, SourceError> {
        offsets(&self.consumer, &self.options, &self.partitions, ask)
    }

    fn place(&self, partition: i32) -> TopicPartition {
        place(&self.options, self.topic_id, partition)
    }

    fn placed(&self, offsets: &Offsets<i32>) -> Offsets {
        offsets.0.iter().map(|(partition, at)| (self.place(*partition), *at)).collect()
    }

    /// Whether a position is one of another topic of the same name.
    fn is_other(&self, partition: &TopicPartition) -> bool {
        partition.topic_id.zip(self.topic_id).is_some_and(|(theirs, ours)| theirs != ours)
    }

    /// The offsets by the partitions' numbers.
    fn numbers(&self, offsets: &Offsets) -> Result<Offsets<i32>, SourceError> {
        let number = |(partition, at): (&TopicPartition, &i64)| match self.is_other(partition) {
            false => Ok((partition.partition, *at)),
            true => {
                let high = self.ask(Ask::Latest)?.0.get(&partition.partition).copied().unwrap_or_default();
                Err(Loss::MadeAgain { at: *at, high }.error(&self.options, partition.partition))
            }
        };
        offsets.0.iter().map(number).collect::<Result<_, _>>().map(Offsets)
    }

    /// A position that follows `to` as the source was given it.
    fn replaced(from: &Offsets, to: &Offsets<i32>) -> Offsets {
        let at = |(partition, at): (&TopicPartition, &i64)| {
            (partition.clone(), to.0.get(&partition.partition).copied().unwrap_or(*at))
        };
        from.0.iter().map(at).collect()
    }

    fn command(&self, command: Command) {
        // The thread is gone only after a panic of ours; then its events have ended too, and the reader says so.
        if let Some(commands) = &self.commands {
            let _ = commands.send(command);
        }
    }

    /// Has everything fetched anew from `from`.
    fn restart(&mut self, from: &Offsets<i32>, until: Option<&Offsets<i32>>) {
        self.generation += 1;
        self.failures.clear();
        self.bounded = until.is_some();
        self.held = from.0.iter().map(|(partition, offset)| (*partition, Held::new(*offset))).collect();
        let (generation, topic_id, oldest) = (self.generation, self.topic_id, self.oldest.clone());
        self.command(Command::Fetch(Range { generation, topic_id, from: from.clone(), until: until.cloned(), oldest }));
    }

    /// Whether fetching goes on at `from`, or behind it with everything between at hand.
    fn follows(&self, from: &Offsets<i32>) -> bool {
        !self.bounded
            && self.held.len() == from.0.len()
            && from.0.iter().all(|(partition, at)| {
                self.held.get(partition).is_some_and(|held| (held.start()..=held.end()).contains(at))
            })
    }

    /// Has fetching go on at `from`: lets go of what lies before, or begins there.
    fn go_on_at(&mut self, from: &Offsets<i32>) {
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
                    self.failures.remove(&None);
                    self.failures.remove(&Some(segment.partition));
                    any = true;
                    if let Some(held) = self.held.get_mut(&segment.partition) {
                        held.push(segment);
                    }
                }
                Event::Failed { generation, partition, error } if generation == self.generation => {
                    self.failures.insert(partition, error);
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
    fn reach(&self, from: &Offsets<i32>, max_rows: usize) -> Offsets<i32> {
        from.shared_out(max_rows, |partition, at, share| {
            let held = self.held.get(partition)?;
            let (to, rows) = held.reach(at, share);
            Some(Reach { to, rows, more: to < held.end() })
        })
    }

    fn is_at_hand(&self, from: &Offsets<i32>, to: &Offsets<i32>) -> bool {
        to.0.iter().all(|(partition, end)| {
            let at = from.0.get(partition).copied().unwrap_or(*end);
            at >= *end || self.held.get(partition).is_some_and(|held| held.start() <= at && held.end() >= *end)
        })
    }

    /// Fetches on until a range is at hand; says whether it is, for it may be larger than the buffer.
    fn fetch(&mut self, from: &Offsets<i32>, to: &Offsets<i32>) -> Result<bool, SourceError> {
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
            if let Some(error) = self.failures.values().next().cloned() {
                return Err(error);
            }
        }
        Ok(true)
    }

    /// Reads a range that is larger than the buffer.
    fn read_large(&mut self, from: &Offsets<i32>, to: &Offsets<i32>) -> Result<SourceBatch, SourceError> {
        let wanted: Vec<i32> =
            to.0.iter()
                .filter(|(partition, end)| from.0.get(partition).is_some_and(|at| at < end))
                .map(|(partition, _)| *partition)
                .collect();
        let only = |offsets: &Offsets<i32>| {
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
            if let Some(error) = self.failures.values().next().cloned() {
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
            cut.finish(&self.place(partition), &mut batch);
        }
        Ok(batch)
    }

    fn stalled(&self, from: &Offsets<i32>, to: &Offsets<i32>) -> SourceError {
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
        self.look()?;
        let start = match self.options.start {
            StartingOffsets::Earliest => {
                self.oldest = self.ask(Ask::Earliest)?;
                self.oldest.clone()
            }
            StartingOffsets::Latest => self.ask(Ask::Latest)?,
            StartingOffsets::Timestamp(time_ms) => {
                // Where there is no record so new, the next one is.
                let mut start = self.ask(Ask::Latest)?;
                start.0.extend(self.ask(Ask::Since(time_ms))?.0);
                start
            }
        };
        Ok(self.placed(&start))
    }

    fn start_moves(&self) -> bool {
        self.options.start != StartingOffsets::Earliest
    }

    fn latest(&mut self) -> Result<Offsets, SourceError> {
        self.look()?;
        Ok(self.placed(&self.ask(Ask::Latest)?))
    }

    fn resume(&mut self, reached: &Offsets) -> Result<Resumed, SourceError> {
        self.look()?;
        let (low, high) = (self.ask(Ask::Earliest)?, self.ask(Ask::Latest)?);
        let mut resumed = Resumed::default();
        let mut lost = Vec::new();
        for (partition, at) in &reached.0 {
            let number = partition.partition;
            let ends = low.0.get(&number).zip(high.0.get(&number));
            let loss = match ends {
                None => Some(Loss::Gone { at: *at }),
                Some((_, high)) if self.is_other(partition) => Some(Loss::MadeAgain { at: *at, high: *high }),
                Some((low, high)) => Loss::of(*at, *low, *high),
            };
            let mut from = *at;
            if let Some(loss) = loss {
                match self.options.on_data_loss {
                    OnDataLoss::Fail => return Err(loss.error(&self.options, number)),
                    OnDataLoss::Earliest => from = ends.map_or(0, |(low, _)| *low),
                    OnDataLoss::Latest => from = ends.map_or(0, |(_, high)| *high),
                }
                lost.push(loss.with_place(&self.options, number));
            }
            if ends.is_some() {
                resumed.from.0.insert(self.place(number), from);
            }
        }
        // What has appeared since is read from its beginning, wherever the query began.
        for (partition, low) in &low.0 {
            resumed.from.0.entry(self.place(*partition)).or_insert(*low);
        }
        resumed.end = Some(self.placed(&high));
        resumed.lost = (!lost.is_empty()).then(|| lost.join("; "));
        Ok(resumed)
    }

    fn available(&mut self, from: &Offsets, max_rows: usize, wait: Duration) -> Result<Offsets, SourceError> {
        let deadline = Instant::now() + wait;
        let at = self.numbers(from)?;
        self.go_on_at(&at);
        self.receive(Instant::now())?;
        loop {
            // What is gone for good ends the query however much comes from other partitions.
            if let Some(error) = self.failures.values().find(|error| !error.retry).cloned() {
                return Err(error);
            }
            let to = self.reach(&at, max_rows);
            if to != at {
                return Ok(KafkaSource::replaced(from, &to));
            }
            if let Some(error) = self.failures.values().next().cloned() {
                return Err(error);
            }
            if !self.receive(deadline)? {
                return Ok(from.clone());
            }
        }
    }

    fn read(&mut self, from: &Offsets, to: &Offsets) -> Result<SourceBatch, SourceError> {
        let (from, to) = (self.numbers(from)?, self.numbers(to)?);
        // After a restart, range follows range: what lies behind this one is kept for the next.
        if !self.is_at_hand(&from, &to) && !self.fetch(&from, &to)? {
            return self.read_large(&from, &to);
        }
        let mut batch = SourceBatch::default();
        for (partition, end) in &to.0 {
            if let (Some(held), Some(at)) = (self.held.get(partition), from.0.get(partition)) {
                held.read(&self.place(*partition), *at, *end, &mut batch)
                    .map_err(|error| undecodable(&self.options, &error))?;
            }
        }
        Ok(batch)
    }

    fn discovery_interval(&self) -> Duration {
        self.options.discovery_interval.unwrap_or(DISCOVERY_INTERVAL)
    }

    fn failing(&self) -> Option<String> {
        self.failures.values().next().map(ToString::to_string)
    }

    fn filter(&mut self, filter: &RowFilter) {
        self.command(Command::Filter(filter.clone()));
    }

    fn notices(&self) -> Vec<String> {
        self.notices.told()
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
