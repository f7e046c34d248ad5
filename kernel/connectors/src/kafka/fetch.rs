//! The fetching thread, one a consumer: takes records from librdkafka many at a time and has them decoded into segments,
//! partition by partition. It does what its commands say and stops fetching while more lies unread than it may hold.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::sync::mpsc::{Receiver, Sender, TryRecvError};
use std::time::{Duration, Instant};

use engine::{DeadLetter, Offsets, RowFilter, SourceError, TopicId, TopicPartition};
use polars::prelude::PolarsResult;
use rdkafka::consumer::Consumer as _;
use rdkafka::error::RDKafkaErrorCode as Code;
use rdkafka::{Offset, TopicPartitionList};

use super::client::{Ask, Consumer, description, offsets, reach};
use super::decode::{Decoders, Job, Unread};
use super::error::{from_code, from_kafka};
use super::held::{NO_TIME, Segment};
use super::loss::Loss;
use super::native::{Batches, Delivery, Message};
use super::notices::Notices;
use super::options::{KafkaOptions, OnDataLoss};
use crate::format::filter::Verdict;
use crate::format::{Format, Malformed, Rows};

/// Records taken from librdkafka in one go.
pub(super) const AT_ONCE: usize = 4_096;
/// How long to wait for a first record before looking at the commands again.
const WAIT: Duration = Duration::from_millis(50);
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
    /// Forget what was fetched and begin anew.
    Fetch(Range),
    /// So many bytes were read and let go.
    Freed(usize),
    /// Leave out rows, from the next [`Command::Fetch`] on.
    Filter(RowFilter),
}

/// What is to be fetched.
pub(super) struct Range {
    pub(super) generation: u64,
    /// The topic's id, as the reader knows it.
    pub(super) topic_id: Option<TopicId>,
    pub(super) from: Offsets<i32>,
    /// Where fetching ends, in the partitions that it has.
    pub(super) until: Option<Offsets<i32>>,
    /// Where the oldest records were when a reader asked for them: who begins there goes on with those that are left.
    pub(super) oldest: Offsets<i32>,
}

/// What the reader gets. What belongs to an older generation than the last [`Command::Fetch`] is to be dropped.
pub(super) enum Event {
    Segment {
        generation: u64,
        segment: Segment,
    },
    /// One partition cannot be read on, or none can.
    Failed {
        generation: u64,
        partition: Option<i32>,
        error: SourceError,
    },
}

/// The fetching thread's own.
pub(super) struct Fetcher {
    options: KafkaOptions,
    consumer: Arc<Consumer>,
    batches: Batches,
    decoders: Decoders,
    filter: Option<RowFilter>,
    partitions: BTreeMap<i32, Fetching>,
    generation: u64,
    topic_id: Option<TopicId>,
    oldest: Offsets<i32>,
    /// Bytes sent and not yet freed.
    unread: Unread,
    heard: Instant,
    events: Sender<Event>,
}

/// How far a partition was fetched.
struct Fetching {
    /// The next offset to come.
    next: i64,
    until: Option<i64>,
    /// Records that are to be decoded.
    taken: Vec<Message>,
    /// Everything before this offset was given to be decoded, and everything before that one was to be handed on.
    decoded: i64,
    handed_on: i64,
}

/// A segment in the making.
pub(super) struct Growing {
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
pub(super) struct Gone;

impl Fetcher {
    pub(super) fn new(
        options: KafkaOptions,
        consumer: Arc<Consumer>,
        batches: Batches,
        format: Box<dyn Format>,
        notices: Arc<Notices>,
        events: Sender<Event>,
    ) -> Fetcher {
        let (partitions, heard) = (BTreeMap::new(), Instant::now());
        let decoders = Decoders::new(options.clone(), format, notices, events.clone());
        Fetcher {
            options,
            consumer,
            batches,
            decoders,
            filter: None,
            partitions,
            generation: 0,
            topic_id: None,
            oldest: Offsets::default(),
            unread: Unread::default(),
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
            let unread = self.unread.load(Ordering::Relaxed);
            let idle = self.partitions.values().all(Fetching::is_done) || unread >= HELD_BYTES;
            let command =
                if idle { commands.recv().map_err(|_| TryRecvError::Disconnected) } else { commands.try_recv() };
            match command {
                Ok(Command::Freed(bytes)) => {
                    let less = |unread: usize| Some(unread.saturating_sub(bytes));
                    let _ = self.unread.fetch_update(Ordering::Relaxed, Ordering::Relaxed, less);
                }
                Ok(Command::Filter(filter)) => self.filter = Some(filter),
                Ok(Command::Fetch(range)) => self.begin(range)?,
                Err(TryRecvError::Empty) => return Ok(()),
                Err(TryRecvError::Disconnected) => return Err(Gone),
            }
        }
    }

    fn begin(&mut self, range: Range) -> Result<(), Gone> {
        let Range { generation, topic_id, from, until, oldest } = range;
        (self.generation, self.topic_id, self.oldest) = (generation, topic_id, oldest);
        self.unread = Unread::default();
        let until = |partition: &i32| until.as_ref().and_then(|until| until.0.get(partition)).copied();
        let fetching = |(partition, from): (&i32, &i64)| (*partition, Fetching::new(*from, until(partition)));
        self.partitions = from.0.iter().map(fetching).collect();
        let schema = self.decoders.format().schema().clone();
        let growing = |(partition, from): (&i32, &i64)| {
            let rows = Rows::new(schema.clone())?;
            let rows = self.filter.iter().fold(rows, |rows, filter| rows.with_filter(filter));
            Ok((*partition, Growing::new(*from, until(partition), rows)))
        };
        match from.0.iter().map(growing).collect::<PolarsResult<_>>() {
            Ok(growing) => self.decoders.begin(generation, topic_id, growing, &self.unread)?,
            Err(error) => return self.fail(None, undecodable(&self.options, &error)),
        }
        self.assign()
    }

    /// Has librdkafka fetch every partition from where it stands here.
    fn assign(&mut self) -> Result<(), Gone> {
        self.heard = Instant::now();
        let mut list = TopicPartitionList::new();
        let mut unfinished = self.partitions.iter().filter(|(_, fetching)| !fetching.is_done());
        let assigned = unfinished
            .try_for_each(|(partition, fetching)| {
                list.add_partition_offset(&self.options.topic, *partition, Offset::Offset(fetching.next))
            })
            .and_then(|()| self.consumer.assign(&list));
        match assigned {
            Ok(()) => Ok(()),
            Err(error) => {
                let what = format!("the topic \"{}\" cannot be read", self.options.topic);
                self.fail(None, from_kafka(&self.options, &what, &error, &self.consumer.context().words))
            }
        }
    }

    /// Takes what librdkafka has, and hands on what is ready.
    fn fetch(&mut self) -> Result<(), Gone> {
        let Fetcher { batches, partitions, .. } = self;
        let mut trouble = Vec::new();
        let mut take = |delivery: Delivery| match delivery {
            Delivery::Record(record) => {
                if let Some(fetching) = partitions.get_mut(&record.partition()) {
                    fetching.take(record);
                }
            }
            Delivery::End { partition, offset } => {
                if let Some(fetching) = partitions.get_mut(&partition) {
                    fetching.advance(offset);
                }
            }
            Delivery::Error { partition, code, text } => trouble.push((partition, code, text)),
        };
        let mut count = batches.next(1, WAIT, &mut take);
        if count > 0 {
            // What is there already: more comes while this is decoded, so that the more there is the more is taken in one go.
            count += batches.next(AT_ONCE - 1, Duration::ZERO, &mut take);
            self.heard = Instant::now();
            self.consumer.context().words.forget();
        }
        self.hand_on(count < AT_ONCE)?;
        if trouble.is_empty() && self.heard.elapsed() >= SILENCE {
            return self.ask();
        }
        for (partition, code, text) in trouble {
            match code {
                Code::AutoOffsetReset | Code::OffsetOutOfRange => self.lost(partition)?,
                code => {
                    let one = self.partitions.contains_key(&partition).then_some(partition);
                    self.fail(one, self.trouble(code, &text))?;
                }
            }
        }
        Ok(())
    }

    /// Gives what was taken to be decoded; the segments that are large enough are handed on, or all of them.
    fn hand_on(&mut self, all: bool) -> Result<(), Gone> {
        for (partition, fetching) in &mut self.partitions {
            // One that is done gets no more, so it would wait for ever.
            if let Some(job) = fetching.job(*partition, all || fetching.is_done()) {
                self.decoders.decode(job)?;
            }
        }
        Ok(())
    }

    /// The log does not have the position: the records were deleted before they could be read, or it is another log.
    fn lost(&mut self, partition: i32) -> Result<(), Gone> {
        let known = description(&self.consumer, &self.options).and_then(|found| {
            let end = |ask| offsets(&self.consumer, &self.options, &[partition], ask);
            Ok((found.id, end(Ask::Earliest)?.0[&partition], end(Ask::Latest)?.0[&partition]))
        });
        let (id, low, high) = match known {
            Ok(known) => known,
            Err(error) => return self.fail(Some(partition), error),
        };
        let Some(fetching) = self.partitions.get_mut(&partition) else { return Ok(()) };
        let at = fetching.next;
        let is_start = self.oldest.0.get(&partition) == Some(&at);
        let is_other = self.topic_id.zip(id).is_some_and(|(known, id)| known != id);
        // A position that was refused, and is there now, is one of another log.
        let loss = if is_other { None } else { Loss::of(at, low, high) }.unwrap_or(Loss::MadeAgain { at, high });
        let goes_on =
            matches!(loss, Loss::Deleted { .. }) && (is_start || self.options.on_data_loss != OnDataLoss::Fail);
        if !goes_on {
            return self.fail(Some(partition), loss.error(&self.options, partition));
        }
        let lost = DeadLetter {
            partition: place(&self.options, self.topic_id, partition),
            offset: at,
            reason: loss.in_words(),
            field: None,
            excerpt: String::new(),
        };
        let to_latest = self.options.on_data_loss == OnDataLoss::Latest && !is_start;
        fetching.advance(if to_latest { high } else { low });
        if let Some(job) = fetching.job(partition, false) {
            self.decoders.decode(Job { lost: Some(lost), ..job })?;
        }
        self.assign()
    }

    /// Is the broker there? Nothing came for a while, which an idle topic does too.
    fn ask(&mut self) -> Result<(), Gone> {
        let partition = self.partitions.keys().next().copied().unwrap_or(0);
        let end = || offsets(&self.consumer, &self.options, &[partition], Ask::Latest);
        let answer = reach(&self.options).and_then(|()| end().map(|_| ()));
        self.heard = Instant::now();
        answer.or_else(|error| self.fail(None, error))
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

    fn fail(&self, partition: Option<i32>, error: SourceError) -> Result<(), Gone> {
        // What was fetched before it is read before it.
        self.decoders.settle()?;
        self.events.send(Event::Failed { generation: self.generation, partition, error }).map_err(|_| Gone)
    }
}

impl Fetching {
    fn new(from: i64, until: Option<i64>) -> Fetching {
        Fetching { next: from, until, taken: Vec::new(), decoded: from, handed_on: from }
    }

    fn is_done(&self) -> bool {
        self.until.is_some_and(|until| self.next >= until)
    }

    /// Everything before `offset` was seen.
    fn advance(&mut self, offset: i64) {
        self.next = self.next.max(self.until.map_or(offset, |until| until.min(offset)));
    }

    #[inline]
    fn take(&mut self, record: Message) {
        let offset = record.offset();
        // What librdkafka had fetched before it was told to begin elsewhere, and what lies behind the end.
        if offset < self.next || self.until.is_some_and(|until| offset >= until) {
            return self.advance(offset);
        }
        self.next = offset + 1;
        self.taken.push(record);
    }

    /// What is to be decoded now, or handed on if it is to be `all`.
    fn job(&mut self, partition: i32, all: bool) -> Option<Job> {
        if self.decoded == self.next && !(all && self.handed_on < self.next) {
            return None;
        }
        self.decoded = self.next;
        self.handed_on = if all { self.next } else { self.handed_on };
        let next = Vec::with_capacity(self.taken.len());
        Some(Job { partition, records: std::mem::replace(&mut self.taken, next), lost: None, to: self.next, all })
    }
}

impl Growing {
    fn new(from: i64, until: Option<i64>, rows: Rows) -> Growing {
        let (offsets, times, left_out, dead) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
        Growing { from, next: from, until, rows, offsets, times, left_out, dead, bytes: 0 }
    }

    /// Whether it is to be handed on: all that there is, or what is large enough.
    pub(super) fn is_ready(&self, all: bool) -> bool {
        self.next > self.from && (all || self.offsets.len() >= SEGMENT_ROWS || self.bytes >= SEGMENT_BYTES)
    }

    /// Everything before `offset` was seen.
    pub(super) fn advance(&mut self, offset: i64) {
        self.next = self.next.max(self.until.map_or(offset, |until| until.min(offset)));
    }

    /// Notes that records are gone.
    pub(super) fn lose(&mut self, lost: DeadLetter) {
        self.dead.push(lost);
    }

    #[inline]
    #[allow(clippy::too_many_arguments, reason = "the hot path: a record's parts, not put together")]
    pub(super) fn add(
        &mut self,
        format: &mut dyn Format,
        notices: &Notices,
        place: impl Fn() -> TopicPartition,
        (partition, offset): (i32, i64),
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
                format.each_new_field(&mut |field| notices.new_field(field, partition, offset));
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
                notices.malformed(&error, partition, offset);
                let value = value.unwrap_or_default();
                let excerpt = String::from_utf8_lossy(&value[..length.min(EXCERPT)]).into_owned();
                self.dead.push(DeadLetter {
                    partition: place(),
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
    pub(super) fn take(&mut self, partition: i32) -> PolarsResult<Segment> {
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

/// A partition of the topic.
pub(super) fn place(options: &KafkaOptions, topic_id: Option<TopicId>, partition: i32) -> TopicPartition {
    TopicPartition { scan: 0, topic: options.topic.as_str().into(), topic_id, partition }
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
