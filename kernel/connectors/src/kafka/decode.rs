//! Decoding, on as many threads as there are cores and partitions. The fetching thread hands records on as it took them, each
//! partition's always to the same worker, so that they stay in order; a worker makes segments of them. Where one worker is enough
//! it is the fetching thread itself.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, Sender, SyncSender, channel, sync_channel};
use std::thread::JoinHandle;

use engine::{DeadLetter, TopicId};

use super::fetch::{Event, Gone, Growing, place, undecodable};
use super::native::Message;
use super::notices::Notices;
use super::options::KafkaOptions;
use crate::format::Format;

/// Jobs that may wait for a worker: enough that it never waits for the next, and few, for what they hold is counted nowhere.
const WAITING: usize = 2;

/// Bytes of a generation that lie unread.
pub(super) type Unread = Arc<AtomicUsize>;

/// What a decoder is told.
enum Order {
    /// Forget all partitions, and go on with these.
    Begin {
        generation: u64,
        topic_id: Option<TopicId>,
        partitions: BTreeMap<i32, Growing>,
        unread: Unread,
    },
    Decode(Job),
    /// Say when everything before has been handed on.
    Settle(Sender<()>),
}

/// Records of one partition, in order.
pub(super) struct Job {
    pub(super) partition: i32,
    pub(super) records: Vec<Message>,
    /// Says of records before these that they are gone.
    pub(super) lost: Option<DeadLetter>,
    /// Everything before this offset was seen.
    pub(super) to: i64,
    /// Hand on what there is, however little.
    pub(super) all: bool,
}

/// The decoders of a source.
pub(super) struct Decoders {
    here: Decoder,
    workers: Vec<Worker>,
    /// The worker of each partition; the fetching thread itself where there is none.
    of: BTreeMap<i32, usize>,
}

/// A thread that decodes. It ends when nobody gives it anything any more.
struct Worker {
    orders: Option<SyncSender<Order>>,
    thread: Option<JoinHandle<()>>,
}

/// What makes segments of records.
struct Decoder {
    options: KafkaOptions,
    format: Box<dyn Format>,
    notices: Arc<Notices>,
    generation: u64,
    topic_id: Option<TopicId>,
    partitions: BTreeMap<i32, Growing>,
    unread: Unread,
    events: Sender<Event>,
}

impl Decoders {
    pub(super) fn new(
        options: KafkaOptions,
        format: Box<dyn Format>,
        notices: Arc<Notices>,
        events: Sender<Event>,
    ) -> Decoders {
        let (partitions, unread) = Default::default();
        let here = Decoder { options, format, notices, generation: 0, topic_id: None, partitions, unread, events };
        Decoders { here, workers: Vec::new(), of: BTreeMap::new() }
    }

    /// The format, for its schema.
    pub(super) fn format(&self) -> &dyn Format {
        self.here.format.as_ref()
    }

    /// Has decoding begin anew with these partitions.
    pub(super) fn begin(
        &mut self,
        generation: u64,
        topic_id: Option<TopicId>,
        partitions: BTreeMap<i32, Growing>,
        unread: &Unread,
    ) -> Result<(), Gone> {
        let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
        let wanted = cores.min(partitions.len());
        while wanted > 1 && self.workers.len() < wanted {
            let Some(worker) = self.here.worker(self.workers.len()) else { break };
            self.workers.push(worker);
        }
        let count = wanted.min(self.workers.len());
        let mut each: Vec<BTreeMap<i32, Growing>> = (0..=self.workers.len()).map(|_| BTreeMap::new()).collect();
        self.of.clear();
        for (number, (partition, growing)) in partitions.into_iter().enumerate() {
            // One worker alone would have nobody to share the work with.
            let worker = if count > 1 { number % count } else { self.workers.len() };
            self.of.insert(partition, worker);
            each[worker].insert(partition, growing);
        }
        let order = |partitions| Order::Begin { generation, topic_id, partitions, unread: Arc::clone(unread) };
        self.here.obey(order(each.pop().unwrap_or_default()))?;
        self.workers.iter().zip(each).try_for_each(|(worker, partitions)| worker.send(order(partitions)))
    }

    /// Has records decoded.
    pub(super) fn decode(&mut self, job: Job) -> Result<(), Gone> {
        match self.of.get(&job.partition).and_then(|worker| self.workers.get(*worker)) {
            Some(worker) => worker.send(Order::Decode(job)),
            None => self.here.decode(job),
        }
    }

    /// Waits until everything that was to be decoded has been handed on.
    pub(super) fn settle(&self) -> Result<(), Gone> {
        let (done, all_done) = channel();
        self.workers.iter().try_for_each(|worker| worker.send(Order::Settle(done.clone())))?;
        drop(done);
        self.workers.iter().try_for_each(|_| all_done.recv().map_err(|_| Gone))
    }
}

impl Decoder {
    /// A thread that does the same.
    fn worker(&self, number: usize) -> Option<Worker> {
        let decoder = Decoder {
            options: self.options.clone(),
            format: self.format.another()?,
            notices: Arc::clone(&self.notices),
            generation: 0,
            topic_id: None,
            partitions: BTreeMap::new(),
            unread: Unread::default(),
            events: self.events.clone(),
        };
        let (orders, ordered) = sync_channel(WAITING);
        let thread = std::thread::Builder::new()
            .name(format!("decode {} {number}", self.options.topic))
            .spawn(move || decoder.run(&ordered))
            .ok()?;
        Some(Worker { orders: Some(orders), thread: Some(thread) })
    }

    fn run(mut self, orders: &Receiver<Order>) {
        while orders.recv().is_ok_and(|order| self.obey(order).is_ok()) {}
    }

    fn obey(&mut self, order: Order) -> Result<(), Gone> {
        match order {
            Order::Begin { generation, topic_id, partitions, unread } => {
                (self.generation, self.topic_id) = (generation, topic_id);
                (self.partitions, self.unread) = (partitions, unread);
                Ok(())
            }
            Order::Decode(job) => self.decode(job),
            Order::Settle(done) => done.send(()).map_err(|_| Gone),
        }
    }

    fn decode(&mut self, job: Job) -> Result<(), Gone> {
        let Job { partition, records, lost, to, all } = job;
        let Some(growing) = self.partitions.get_mut(&partition) else { return Ok(()) };
        lost.into_iter().for_each(|lost| growing.lose(lost));
        for record in records {
            let (offset, timestamp_ms) = (record.offset(), record.timestamp_ms());
            let place = || place(&self.options, self.topic_id, partition);
            let (format, at) = (self.format.as_mut(), (partition, offset));
            growing.add(format, &self.notices, place, at, timestamp_ms, record.value());
        }
        growing.advance(to);
        if !growing.is_ready(all) {
            return Ok(());
        }
        let generation = self.generation;
        let event = match growing.take(partition) {
            Ok(segment) => {
                self.unread.fetch_add(segment.weight, Ordering::Relaxed);
                Event::Segment { generation, segment }
            }
            Err(error) => {
                Event::Failed { generation, partition: Some(partition), error: undecodable(&self.options, &error) }
            }
        };
        self.events.send(event).map_err(|_| Gone)
    }
}

impl Worker {
    fn send(&self, order: Order) -> Result<(), Gone> {
        self.orders.as_ref().ok_or(Gone)?.send(order).map_err(|_| Gone)
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        drop(self.orders.take());
        if let Some(thread) = self.thread.take() {
            // It gives its records back before the consumer goes; if it panicked it has given them back already.
            let _ = thread.join();
        }
    }
}
