//! The hand-written loop: librdkafka's batches, serde_json into a struct of the four fields that are needed, a hash map.
//! It keeps no checkpoint, knows no late rows and stops at nothing: what it reaches is the limit, not a product.
#![allow(unsafe_code)]

use std::ffi::c_int;
use std::ptr::{self, NonNull};

use polars::prelude::PlHashMap;
use rdkafka::bindings as native;
use rdkafka::config::ClientConfig;
use rdkafka::consumer::{BaseConsumer, Consumer as _};
use rdkafka::{Offset, TopicPartitionList};
use serde::Deserialize;

use super::{APPROVED, Failure, Group, Key, WINDOW_MS};

const AT_ONCE: usize = 4_096;
/// How long the broker may take for an answer.
const ANSWER: std::time::Duration = std::time::Duration::from_secs(5);

/// The groups by window and key.
#[derive(Default)]
pub(crate) struct Groups {
    pub(crate) windows: PlHashMap<i64, PlHashMap<Box<str>, Group>>,
    pub(crate) malformed: u64,
}

struct Row<'a> {
    key: &'a str,
    amount: f64,
    status: &'a str,
    event_time: i64,
}

impl Groups {
    /// Takes a record in.
    pub(crate) fn add(&mut self, key: Key, record: &[u8]) {
        let Some(row) = decode(key, record) else {
            self.malformed += 1;
            return;
        };
        if row.status != APPROVED {
            return;
        }
        let window = self.windows.entry(row.event_time - row.event_time.rem_euclid(WINDOW_MS)).or_default();
        let group = match window.get_mut(row.key) {
            Some(group) => group,
            None => window.entry(row.key.into()).or_insert(Group::EMPTY),
        };
        group.count += 1;
        group.sum += row.amount;
        group.largest = group.largest.max(row.amount);
    }

    /// Takes in what another thread has.
    fn merge(&mut self, other: Groups) {
        self.malformed += other.malformed;
        for (start, groups) in other.windows {
            let window = self.windows.entry(start).or_default();
            for (key, group) in groups {
                let held = window.entry(key).or_insert(Group::EMPTY);
                held.count += group.count;
                held.sum += group.sum;
                held.largest = held.largest.max(group.largest);
            }
        }
    }

    pub(crate) fn len(&self) -> usize {
        self.windows.values().map(PlHashMap::len).sum()
    }
}

fn decode(key: Key, record: &[u8]) -> Option<Row<'_>> {
    #[derive(Deserialize)]
    struct OfCategory<'a> {
        category: &'a str,
        amount: f64,
        status: &'a str,
        event_time: i64,
    }
    #[derive(Deserialize)]
    struct OfAccount<'a> {
        account_id: &'a str,
        amount: f64,
        status: &'a str,
        event_time: i64,
    }
    match key {
        Key::Category => {
            let OfCategory { category: key, amount, status, event_time } = serde_json::from_slice(record).ok()?;
            Some(Row { key, amount, status, event_time })
        }
        Key::Account => {
            let OfAccount { account_id: key, amount, status, event_time } = serde_json::from_slice(record).ok()?;
            Some(Row { key, amount, status, event_time })
        }
    }
}

/// Reads all that is in a topic, its partitions dealt out to so many threads.
pub(crate) fn read_all(bootstrap: &str, topic: &str, key: Key, threads: usize) -> Result<Groups, Failure> {
    let partitions = partitions(bootstrap, topic)?;
    let dealt: Vec<Vec<Partition>> =
        (0..threads).map(|thread| partitions.iter().skip(thread).step_by(threads).copied().collect()).collect();
    std::thread::scope(|scope| {
        let running: Vec<_> = dealt
            .iter()
            .enumerate()
            .map(|(thread, partitions)| {
                std::thread::Builder::new()
                    .name(format!("by hand {thread}"))
                    .spawn_scoped(scope, move || read(bootstrap, topic, key, partitions))
            })
            .collect();
        let mut all: Option<Groups> = None;
        for thread in running {
            let groups = thread?.join().map_err(|_| "a hand-written loop panicked")??;
            match &mut all {
                None => all = Some(groups),
                Some(all) => all.merge(groups),
            }
        }
        Ok(all.unwrap_or_default())
    })
}

fn read(bootstrap: &str, topic: &str, key: Key, partitions: &[Partition]) -> Result<Groups, Failure> {
    let mut reader = Reader::new(bootstrap, topic, partitions)?;
    let mut groups = Groups::default();
    let mut left: i64 = partitions.iter().map(|partition| partition.end - partition.begin).sum();
    while left > 0 {
        reader.next(AT_ONCE, 10, |record, _| {
            groups.add(key, record);
            left -= 1;
        })?;
    }
    Ok(groups)
}

/// What a partition has.
#[derive(Clone, Copy)]
pub(crate) struct Partition {
    pub(crate) number: i32,
    begin: i64,
    end: i64,
}

/// The partitions of a topic, and what they have now.
pub(crate) fn partitions(bootstrap: &str, topic: &str) -> Result<Vec<Partition>, Failure> {
    let consumer: BaseConsumer = settings(bootstrap).create()?;
    let metadata = consumer.fetch_metadata(Some(topic), ANSWER)?;
    let found = metadata.topics().first().ok_or("the topic is not there")?;
    let of = |partition: &rdkafka::metadata::MetadataPartition| {
        let number = partition.id();
        let (begin, end) = consumer.fetch_watermarks(topic, number, ANSWER)?;
        Ok(Partition { number, begin, end })
    };
    found.partitions().iter().map(of).collect()
}

/// A consumer whose records are taken many at a time.
pub(crate) struct Reader {
    queue: NonNull<native::rd_kafka_queue_t>,
    slots: Vec<*mut native::rd_kafka_message_t>,
    // Owns what the queue belongs to, and is dropped after it.
    _consumer: BaseConsumer,
}

impl Reader {
    /// A reader of these partitions, from their beginning.
    pub(crate) fn new(bootstrap: &str, topic: &str, partitions: &[Partition]) -> Result<Reader, Failure> {
        let consumer: BaseConsumer = settings(bootstrap).create()?;
        let mut list = TopicPartitionList::new();
        for partition in partitions {
            list.add_partition_offset(topic, partition.number, Offset::Offset(partition.begin))?;
        }
        consumer.assign(&list)?;
        // SAFETY: the client is alive; the queue is a reference of its own, given back in `drop`.
        let queue = NonNull::new(unsafe { native::rd_kafka_queue_get_consumer(consumer.client().native_ptr()) })
            .ok_or("the consumer has no queue")?;
        Ok(Reader { queue, slots: vec![ptr::null_mut(); AT_ONCE], _consumer: consumer })
    }

    /// Hands records and their timestamps to `take`: as many as come within the time, and no more than asked for.
    pub(crate) fn next(
        &mut self,
        at_most: usize,
        wait_ms: c_int,
        mut take: impl FnMut(&[u8], i64),
    ) -> Result<usize, Failure> {
        let room = at_most.min(self.slots.len());
        // SAFETY: there is room for so many pointers.
        let count = unsafe {
            native::rd_kafka_consume_batch_queue(self.queue.as_ptr(), wait_ms, self.slots.as_mut_ptr(), room)
        };
        let count = usize::try_from(count)?;
        let mut failed = None;
        for slot in &self.slots[..count] {
            // SAFETY: librdkafka filled so many slots, and each message is ours until it is given back below.
            unsafe {
                let message = &**slot;
                if message.err == native::rd_kafka_resp_err_t::RD_KAFKA_RESP_ERR_NO_ERROR {
                    let record = std::slice::from_raw_parts(message.payload.cast::<u8>(), message.len);
                    take(record, native::rd_kafka_message_timestamp(*slot, ptr::null_mut()));
                } else {
                    failed = Some(message.err);
                }
                native::rd_kafka_message_destroy(*slot);
            }
        }
        match failed {
            Some(error) => Err(format!("the hand-written loop cannot read on: {error:?}").into()),
            None => Ok(count),
        }
    }
}

impl Drop for Reader {
    fn drop(&mut self) {
        // SAFETY: the reference that `new` got, given back once.
        unsafe { native::rd_kafka_queue_destroy(self.queue.as_ptr()) }
    }
}

/// As Corriente's own, so that what differs is what is done with the records.
fn settings(bootstrap: &str) -> ClientConfig {
    let mut config = ClientConfig::new();
    config
        .set("bootstrap.servers", bootstrap)
        .set("group.id", "by-hand")
        .set("auto.offset.reset", "error")
        .set("enable.auto.commit", "false")
        .set("enable.auto.offset.store", "false")
        .set("queued.max.messages.kbytes", "16384")
        .set("queued.min.messages", "200000")
        .set("fetch.message.max.bytes", "1048576")
        .set("fetch.queue.backoff.ms", "2")
        .set("fetch.wait.max.ms", "250")
        .set("socket.nagle.disable", "true");
    config
}
