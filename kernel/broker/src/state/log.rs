//! The log of one partition: batches in order, the oldest of which may have gone; and what idempotent producers wrote
//! last, and what transactions do to it.

use std::collections::{HashMap, VecDeque};

use bytes::Bytes;
use kafka_protocol::error::ResponseError;

use super::batch::Batch;

/// Batches of a producer that are remembered, to know a repeated one; what Kafka remembers.
const REMEMBERED: usize = 5;

/// A partition.
#[derive(Default)]
pub(crate) struct Log {
    /// With the number of the append, over all partitions.
    batches: VecDeque<(u64, Batch)>,
    start: i64,
    end: i64,
    producers: HashMap<i64, Producer>,
    /// Producers with an open transaction here, and its first offset.
    open: HashMap<i64, i64>,
    /// What was taken back, in the order of its ends.
    aborted: Vec<Aborted>,
}

/// A transaction that was aborted: from its first record to its marker.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Aborted {
    pub(crate) producer: i64,
    pub(crate) first: i64,
    last: i64,
}

struct Producer {
    epoch: i16,
    /// First and last sequence, and the offset they got.
    recent: VecDeque<(i32, i32, i64)>,
}

impl Log {
    pub(crate) fn start(&self) -> i64 {
        self.start
    }

    pub(crate) fn end(&self) -> i64 {
        self.end
    }

    /// Up to here nothing is open any more: what a reader of what is committed may see.
    pub(crate) fn stable_end(&self) -> i64 {
        self.open.values().copied().min().unwrap_or(self.end)
    }

    /// The transactions among these offsets that were aborted.
    pub(crate) fn aborted(&self, from: i64, upto: i64) -> Vec<Aborted> {
        self.aborted.iter().filter(|aborted| aborted.last >= from && aborted.first < upto).copied().collect()
    }

    /// Appends a batch, unless it is one that an idempotent producer repeats; gives its offset, and the bytes that came.
    pub(crate) fn append(&mut self, batch: Batch, number: u64) -> Result<(i64, usize), ResponseError> {
        if batch.producer >= 0
            && let Some(offset) = self.check(&batch)?
        {
            return Ok((offset, 0));
        }
        let batch = batch.at(self.end);
        if batch.producer >= 0 {
            self.remember(&batch);
        }
        if batch.transactional {
            self.open.entry(batch.producer).or_insert(batch.base);
        }
        let base = batch.base;
        Ok((base, self.push(batch, number)))
    }

    /// Ends the transaction of the marker's producer; gives the bytes that came.
    pub(crate) fn end_transaction(&mut self, marker: Batch, committed: bool, number: u64) -> usize {
        let marker = marker.at(self.end);
        if let Some(first) = self.open.remove(&marker.producer)
            && !committed
        {
            self.aborted.push(Aborted { producer: marker.producer, first, last: marker.last });
        }
        self.push(marker, number)
    }

    fn push(&mut self, batch: Batch, number: u64) -> usize {
        let size = batch.bytes.len();
        self.end = batch.last + 1;
        self.batches.push_back((number, batch));
        size
    }

    /// The batches from `offset` up to `end`: as many whole ones as fit into `max` bytes, and one in any case.
    pub(crate) fn read(&self, offset: i64, end: i64, max: usize) -> Vec<Bytes> {
        let first = self.batches.partition_point(|(_, batch)| batch.last < offset);
        let mut size = 0;
        let fits = |(_, batch): &&(u64, Batch)| {
            let fits = size == 0 || size + batch.bytes.len() <= max;
            size += batch.bytes.len();
            fits
        };
        let within = self.batches.iter().skip(first).take_while(|(_, batch)| batch.base < end);
        within.take_while(fits).map(|(_, batch)| batch.bytes.clone()).collect()
    }

    /// The first record whose timestamp is `from` or later.
    pub(crate) fn first_since(&self, from: i64) -> Option<(i64, i64)> {
        self.batches
            .iter()
            .filter(|(_, batch)| batch.max_timestamp >= from)
            .find_map(|(_, batch)| batch.first_since(from))
    }

    /// The number of the oldest append.
    pub(crate) fn oldest(&self) -> Option<u64> {
        self.batches.front().map(|(number, _)| *number)
    }

    /// Lets the oldest batch go; gives its bytes.
    pub(crate) fn drop_oldest(&mut self) -> usize {
        let Some((_, batch)) = self.batches.pop_front() else { return 0 };
        self.start = self.start.max(batch.last + 1);
        self.aborted.retain(|aborted| aborted.last >= self.start);
        batch.bytes.len()
    }

    /// Lets all before `offset` go; gives the bytes of whole batches.
    pub(crate) fn drop_before(&mut self, offset: i64) -> usize {
        let mut gone = 0;
        while self.batches.front().is_some_and(|(_, batch)| batch.last < offset) {
            gone += self.drop_oldest();
        }
        self.start = self.start.max(offset);
        gone
    }

    /// All bytes.
    pub(crate) fn size(&self) -> usize {
        self.batches.iter().map(|(_, batch)| batch.bytes.len()).sum()
    }

    /// The offset of a batch that is here already.
    fn check(&self, batch: &Batch) -> Result<Option<i64>, ResponseError> {
        let Some(producer) = self.producers.get(&batch.producer) else { return Ok(None) };
        if batch.epoch < producer.epoch {
            return Err(ResponseError::InvalidProducerEpoch);
        }
        if batch.epoch > producer.epoch {
            return if batch.sequence == 0 { Ok(None) } else { Err(ResponseError::OutOfOrderSequenceNumber) };
        }
        let last = last_sequence(batch);
        if let Some((_, _, offset)) =
            producer.recent.iter().find(|(first, end, _)| *first == batch.sequence && *end == last)
        {
            return Ok(Some(*offset));
        }
        match producer.recent.back() {
            Some((_, end, _)) if next_sequence(*end) != batch.sequence => Err(ResponseError::OutOfOrderSequenceNumber),
            _ => Ok(None),
        }
    }

    fn remember(&mut self, batch: &Batch) {
        let producer =
            self.producers.entry(batch.producer).or_insert(Producer { epoch: batch.epoch, recent: VecDeque::new() });
        if producer.epoch != batch.epoch {
            *producer = Producer { epoch: batch.epoch, recent: VecDeque::new() };
        }
        if producer.recent.len() == REMEMBERED {
            producer.recent.pop_front();
        }
        producer.recent.push_back((batch.sequence, last_sequence(batch), batch.base));
    }
}

/// Sequences wrap at the largest integer.
fn last_sequence(batch: &Batch) -> i32 {
    let last = i64::from(batch.sequence) + i64::from(batch.count) - 1;
    i32::try_from(last % (i64::from(i32::MAX) + 1)).unwrap_or(0)
}

fn next_sequence(sequence: i32) -> i32 {
    if sequence == i32::MAX { 0 } else { sequence + 1 }
}
