//! The fetching thread, one a consumer: takes records from librdkafka many at a time and decodes them into segments,
//! partition by partition. It does what its commands say and stops fetching while more lies unread than it may hold.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, TryRecvError};
use std::time::{Duration, Instant};

use engine::{DeadLetter, Offsets, RowFilter, SourceError};
use polars::prelude::PolarsResult;
use rdkafka::consumer::Consumer as _;
use rdkafka::error::RDKafkaErrorCode as Code;
use rdkafka::{Offset, TopicPartitionList};

use super::client::{Consumer, reach, watermarks};
use super::error::{from_code, from_kafka};
use super::held::{NO_TIME, Segment};
use super::native::{Batches, Delivery};
use super::options::KafkaOptions;
use crate::format::filter::Verdict;
use crate::format::{Format, Malformed, Rows};

/// Records taken from librdkafka in one go.
pub(super) const AT_ONCE: usize = 4_096;
/// How long to wait for a first record before looking at the commands again.
const WAIT: Duration = Duration::from_millis(50);
/// How long to gather more once there is one: a segment has a price, and a millisecond nobody sees.
const GATHER: Duration = Duration::from_millis(1);
/// A segment of so many rows or bytes is handed on, although more is there at once.
const SEGMENT_ROWS: usize = 16_384;
const SEGMENT_BYTES: usize = 4 << 20;
/// Bytes that may lie unread.
pub(super) const HELD_BYTES: usize = 64 << 20;
/// What a row counts for beside its bytes.
const ROW_BYTES: usize = 64;
/// The first bytes of a record that its dead letter shows.
const EXCERPT: usize = 200;
/// After so long without a sign from the broker it is asked whether it is there.
const SILENCE: Duration = Duration::from_secs(2);

/// What the reader wants.
pub(super) enum Command {
    /// Forget what was fetched and begin at `from`; where `until` has the partition, end before it.
    Fetch { generation: u64, from: Offsets, until: Option<Offsets> },
    /// So many bytes were read and let go.
    Freed(usize),
    /// Leave out rows, from the next [`Command::Fetch`] on.
    Filter(RowFilter),
}

/// What the reader gets. What belongs to an older generation than the last [`Command::Fetch`] is to be dropped.
pub(super) enum Event {
    Segment { generation: u64, segment: Segment },
    Failed { generation: u64, error: SourceError },
}

/// The fetching thread's own.
pub(super) struct Fetcher {
    options: KafkaOptions,
    consumer: Arc<Consumer>,
    batches: Batches,
    format: Box<dyn Format>,
    filter: Option<RowFilter>,
    partitions: BTreeMap<i32, Growing>,
    generation: u64,
    /// Bytes sent and not yet freed.
    unread: usize,
    heard: Instant,
    events: Sender<Event>,
}

/// A segment in the making.
struct Growing {
    /// Where the last one that was sent ended.
    from: i64,
    /// The next offset to come.
    next: i64,
    until: Option<i64>,
    rows: Rows,
    offsets: Vec<i64>,
    times: Vec<i64>,
    left_out: Vec<(u32, i64)>,
    dead: Vec<DeadLetter>,
    bytes: usize,
}

/// The reader is gone.
struct Gone;

impl Fetcher {
    pub(super) fn new(
        options: KafkaOptions,
        consumer: Arc<Consumer>,
        batches: Batches,
        format: Box<dyn Format>,
        events: Sender<Event>,
    ) -> Fetcher {
        let (partitions, heard) = (BTreeMap::new(), Instant::now());
        Fetcher {
            options,
            consumer,
            batches,
            format,
            filter: None,
            partitions,
            generation: 0,
            unread: 0,
            heard,
            events,
        }
    }

    /// Fetches until the reader hangs up.
    pub(super) fn run(mut self, commands: &Receiver<Command>) {
        while self.obey(commands).and_then(|()| self.fetch()).is_ok() {}
    }

    /// Does what was commanded; waits for a command while there is nothing to fetch, or too much unread.
    fn obey(&mut self, commands: &Receiver<Command>) -> Result<(), Gone> {
        loop {
            let idle = self.partitions.values().all(Growing::is_done) || self.unread >= HELD_BYTES;
            let command =
                if idle { commands.recv().map_err(|_| TryRecvError::Disconnected) } else { commands.try_recv() };
            match command {
                Ok(Command::Freed(bytes)) => self.unread = self.unread.saturating_sub(bytes),
                Ok(Command::Filter(filter)) => self.filter = Some(filter),
                Ok(Command::Fetch { generation, from, until }) => self.begin(generation, &from, until.as_ref())?,
                Err(TryRecvError::Empty) => return Ok(()),
                Err(TryRecvError::Disconnected) => return Err(Gone),
            }
        }
    }

    fn begin(&mut self, generation: u64, from: &Offsets, until: Option<&Offsets>) -> Result<(), Gone> {
        self.generation = generation;
        self.unread = 0;
        let schema = self.format.schema().clone();
        let growing = |(partition, from): (&i32, &i64)| {
            let until = until.and_then(|until| until.0.get(partition)).copied();
            let rows = Rows::new(schema.clone())?;
            let rows = self.filter.iter().fold(rows, |rows, filter| rows.with_filter(filter));
            Ok((*partition, Growing::new(*from, until, rows)))
        };
        match from.0.iter().map(growing).collect::<PolarsResult<_>>() {
            Ok(partitions) => self.partitions = partitions,
            Err(error) => return self.fail(undecodable(&self.options, &error)),
        }
        self.assign()
    }

    /// Has librdkafka fetch every partition from where it stands here.
    fn assign(&mut self) -> Result<(), Gone> {
        self.heard = Instant::now();
        let mut list = TopicPartitionList::new();
        let mut unfinished = self.partitions.iter().filter(|(_, growing)| !growing.is_done());
        let assigned = unfinished
            .try_for_each(|(partition, growing)| {
                list.add_partition_offset(&self.options.topic, *partition, Offset::Offset(growing.next))
            })
            .and_then(|()| self.consumer.assign(&list));
        match assigned {
            Ok(()) => Ok(()),
            Err(error) => {
                let what = format!("the topic \"{}\" cannot be read", self.options.topic);
                self.fail(from_kafka(&self.options, &what, &error, &self.consumer.context().words))
            }
        }
    }

    /// Takes what librdkafka has, and hands on what is ready.
    fn fetch(&mut self) -> Result<(), Gone> {
        let Fetcher { batches, partitions, format, options, .. } = self;
        let mut trouble = None;
        let mut take = |delivery: Delivery<'_>| match delivery {
            Delivery::Record { partition, offset, timestamp_ms, value } => {
                if let Some(growing) = partitions.get_mut(&partition) {
                    growing.add(format.as_mut(), &options.topic, partition, offset, timestamp_ms, value);
                }
            }
            Delivery::End { partition, offset } => {
                if let Some(growing) = partitions.get_mut(&partition) {
                    growing.advance(offset);
                }
            }
            Delivery::Error { partition, code, text } => trouble = Some((partition, code, text)),
        };
        let mut count = batches.next(1, WAIT, &mut take);
        if count > 0 {
            count += batches.next(AT_ONCE - 1, GATHER, &mut take);
            self.heard = Instant::now();
            self.consumer.context().words.forget();
        }
        self.hand_on(count < AT_ONCE)?;
        match trouble {
            Some((partition, Code::AutoOffsetReset | Code::OffsetOutOfRange, _)) => self.skip_lost(partition),
            Some((_, code, text)) => self.fail(self.trouble(code, &text)),
            None if self.heard.elapsed() >= SILENCE => self.ask(),
            None => Ok(()),
        }
    }

    /// Sends the segments that are large enough, or all of them.
    fn hand_on(&mut self, all: bool) -> Result<(), Gone> {
        for (partition, growing) in &mut self.partitions {
            let large = growing.offsets.len() >= SEGMENT_ROWS || growing.bytes >= SEGMENT_BYTES;
            // One that is done gets no more, so it would wait for ever.
            if growing.next == growing.from || !(all || large || growing.is_done()) {
                continue;
            }
            let event = match growing.take(*partition) {
                Ok(segment) => {
                    self.unread += segment.weight;
                    Event::Segment { generation: self.generation, segment }
                }
                Err(error) => Event::Failed { generation: self.generation, error: undecodable(&self.options, &error) },
            };
            self.events.send(event).map_err(|_| Gone)?;
        }
        Ok(())
    }

    /// Records were deleted before they could be read: goes on behind the hole, which is a dead letter.
    fn skip_lost(&mut self, partition: i32) -> Result<(), Gone> {
        let (low, high) = match watermarks(&self.consumer, &self.options, partition) {
            Ok(found) => found,
            Err(error) => return self.fail(error),
        };
        let Some(growing) = self.partitions.get_mut(&partition) else { return Ok(()) };
        let at = growing.next;
        if at > high {
            let topic = &self.options.topic;
            return self.fail(SourceError {
                fact: format!("the topic \"{topic}\" is not the one that was read before"),
                detail: format!("partition {partition} ends at offset {high}, and was read up to {at}"),
                hint: "It was deleted and made again: make the frame again to read it from its start.".to_owned(),
                retry: false,
            });
        }
        if at < low {
            let reason =
                format!("the {} records from here to offset {} were deleted before they were read", low - at, low - 1);
            growing.dead.push(DeadLetter {
                topic: self.options.topic.clone(),
                partition,
                offset: at,
                reason,
                field: None,
                excerpt: String::new(),
            });
            growing.advance(low);
        }
        self.assign()
    }

    /// Is the broker there? Nothing came for a while, which an idle topic does too.
    fn ask(&mut self) -> Result<(), Gone> {
        let partition = self.partitions.keys().next().copied().unwrap_or(0);
        let answer =
            reach(&self.options).and_then(|()| watermarks(&self.consumer, &self.options, partition).map(|_| ()));
        self.heard = Instant::now();
        answer.or_else(|error| self.fail(error))
    }

    fn trouble(&self, code: Code, text: &str) -> SourceError {
        let what = format!("the topic \"{}\" cannot be read on", self.options.topic);
        let error = from_code(&self.options, &what, code, &self.consumer.context().words);
        if error.detail.contains(text) || text.is_empty() {
            error
        } else {
            SourceError { detail: format!("{}; {}", error.detail, self.options.redact(text)), ..error }
        }
    }

    fn fail(&self, error: SourceError) -> Result<(), Gone> {
        self.events.send(Event::Failed { generation: self.generation, error }).map_err(|_| Gone)
    }
}

impl Growing {
    fn new(from: i64, until: Option<i64>, rows: Rows) -> Growing {
        let (offsets, times, left_out, dead) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
        Growing { from, next: from, until, rows, offsets, times, left_out, dead, bytes: 0 }
    }

    fn is_done(&self) -> bool {
        self.until.is_some_and(|until| self.next >= until)
    }

    /// Everything before `offset` was seen.
    fn advance(&mut self, offset: i64) {
        self.next = self.next.max(self.until.map_or(offset, |until| until.min(offset)));
    }

    #[inline]
    fn add(
        &mut self,
        format: &mut dyn Format,
        topic: &str,
        partition: i32,
        offset: i64,
        timestamp_ms: Option<i64>,
        value: Option<&[u8]>,
    ) {
        // What librdkafka had fetched before it was told to begin elsewhere, and what lies behind the end.
        if offset < self.next || self.until.is_some_and(|until| offset >= until) {
            return self.advance(offset);
        }
        self.next = offset + 1;
        let decoded = value.ok_or(Malformed::NoValue).and_then(|value| format.decode(value, &mut self.rows));
        let length = value.map_or(0, <[u8]>::len);
        match decoded {
            Ok(()) => {
                match self.rows.last() {
                    Verdict::Needed => self.bytes += length + ROW_BYTES,
                    Verdict::LeftOut(time) => {
                        self.left_out.push((self.offsets.len() as u32, time.unwrap_or(NO_TIME)));
                        self.bytes += ROW_BYTES;
                    }
                }
                self.offsets.push(offset);
                self.times.push(timestamp_ms.unwrap_or(NO_TIME));
            }
            Err(error) => {
                let value = value.unwrap_or_default();
                let excerpt = String::from_utf8_lossy(&value[..length.min(EXCERPT)]).into_owned();
                self.dead.push(DeadLetter {
                    topic: topic.to_owned(),
                    partition,
                    offset,
                    reason: error.to_string(),
                    field: error.field().map(str::to_owned),
                    excerpt,
                });
                self.bytes += EXCERPT + ROW_BYTES;
            }
        }
    }

    /// What has grown, as a segment; the next one begins where it ends.
    fn take(&mut self, partition: i32) -> PolarsResult<Segment> {
        let capacity = self.offsets.len();
        Ok(Segment {
            partition,
            from: std::mem::replace(&mut self.from, self.next),
            to: self.next,
            rows: self.rows.take()?,
            offsets: std::mem::replace(&mut self.offsets, Vec::with_capacity(capacity)),
            times: std::mem::replace(&mut self.times, Vec::with_capacity(capacity)),
            left_out: std::mem::take(&mut self.left_out),
            dead: std::mem::take(&mut self.dead),
            weight: std::mem::take(&mut self.bytes),
        })
    }
}

/// Polars refuses columns or rows that were checked before: a mistake of ours, told rather than hidden.
pub(super) fn undecodable(options: &KafkaOptions, error: &polars::prelude::PolarsError) -> SourceError {
    SourceError {
        fact: format!("the records of topic \"{}\" cannot be put into columns", options.topic),
        detail: error.to_string(),
        hint: "Give other columns or types with .schema(…).".to_owned(),
        retry: false,
    }
}
