//! The seam to what rows come from. The engine chooses offset ranges; a source gives the rows of a range.
//! Knows nothing of Kafka, files or sockets: those stand behind [`Source`] in `connectors`.

use std::time::Duration;

use crate::physical::RowFilter;
use polars::prelude::{DataFrame, SchemaRef};

use crate::position::{Offsets, TopicPartition};

/// How often a log is asked for new partitions, unless it is told otherwise.
pub const DISCOVERY_INTERVAL: Duration = Duration::from_secs(5);

/// A log that can be read twice.
///
/// Contract: `read(from, to)` gives the same rows in the same order however often it is called, as long as the log
/// retains them. A record that cannot be decoded becomes a [`DeadLetter`], never an error. An implementation is used
/// by one thread at a time and may block only as long as it is told to.
pub trait Source: Send {
    /// The columns of every batch, in order.
    fn schema(&self) -> SchemaRef;

    /// The columns of each of the streams that it reads, for a plan that joins them; those of one stream otherwise. A source that
    /// stands in front of another one hands on what that says.
    fn lanes(&self) -> Vec<SchemaRef> {
        vec![self.schema()]
    }

    /// Where a query without a checkpoint begins, in all partitions that there are now.
    fn start(&mut self) -> Result<Offsets, SourceError>;

    /// Whether a query that begins later would begin elsewhere, so that where this one began must be noted.
    fn start_moves(&self) -> bool {
        false
    }

    /// The end of the log now, as the log itself says, in all partitions that there are now: what a batch query reads up to.
    fn latest(&mut self) -> Result<Offsets, SourceError>;

    /// Where a query goes on that has come to `reached`: there, and from the beginning of each partition that has appeared since.
    /// Asks the log which partitions there are now, and whether they are those that were read.
    ///
    /// # Errors
    /// A topic that was made again, or records that were deleted before they were read, where the source is not told to go on all
    /// the same.
    fn resume(&mut self, reached: &Offsets) -> Result<Resumed, SourceError> {
        let mut from = reached.clone();
        for (partition, at) in self.start()?.0 {
            from.0.entry(partition).or_insert(at);
        }
        Ok(Resumed { from, ..Resumed::default() })
    }

    /// How far can be read at once, beyond `from` by about `max_rows` at the most. Returns as soon as anything lies
    /// beyond `from`; when nothing came within `wait`, returns `from`.
    fn available(&mut self, from: &Offsets, max_rows: usize, wait: Duration) -> Result<Offsets, SourceError>;

    /// The rows of `[from, to)`, partition by partition.
    fn read(&mut self, from: &Offsets, to: &Offsets) -> Result<SourceBatch, SourceError>;

    /// How often a query that runs asks by [`Source::resume`] what has become of the log.
    fn discovery_interval(&self) -> Duration {
        DISCOVERY_INTERVAL
    }

    /// Why a part of the log cannot be read on at the moment, while other parts can.
    fn failing(&self) -> Option<String> {
        None
    }

    /// Says which rows are needed, before anything is read. The source may leave out others, and tells how many; whether it
    /// does may differ from one row to the next, and makes no difference to the result. Records that cannot be decoded are
    /// dead letters whatever their rows would have been.
    fn filter(&mut self, filter: &RowFilter) {
        let _ = filter;
    }

    /// How many queries read what this one reads, itself among them, so that it is fetched and decoded once for all.
    fn readers(&self) -> usize {
        1
    }

    /// What whoever looks at the rows should know of the records, beside the dead letters: a sentence each.
    fn notices(&self) -> Vec<String> {
        Vec::new()
    }
}

/// Where a query goes on.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Resumed {
    /// The position.
    pub from: Offsets,
    /// The end of the log at that moment, in the same partitions, where the source has asked for it.
    pub end: Option<Offsets>,
    /// What can no longer be read of what lay before it, with topic, partition and offsets, where the source was told to go on.
    pub lost: Option<String>,
}

/// What one offset range held.
#[derive(Debug, Default)]
pub struct SourceBatch {
    /// One entry a partition that had records in the range.
    pub parts: Vec<PartitionRows>,
    /// Records that could not be decoded.
    pub dead_letters: Vec<DeadLetter>,
    /// Rows that the source was told are not needed.
    pub left_out: Vec<LeftOut>,
}

impl SourceBatch {
    /// How many rows the range held, those that were left out among them.
    #[must_use]
    pub fn rows(&self) -> usize {
        self.parts.iter().map(|part| part.rows.height()).sum::<usize>()
            + self.left_out.iter().map(|left| left.rows).sum::<usize>()
    }
}

/// Rows of a partition that are not in a batch, for the plan drops them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LeftOut {
    /// The partition.
    pub partition: TopicPartition,
    /// How many there were.
    pub rows: usize,
    /// The newest time among those that move the watermark, in its column's unit.
    pub newest: Option<i64>,
}

/// The rows of one partition in offset order.
#[derive(Debug)]
pub struct PartitionRows {
    /// The partition.
    pub partition: TopicPartition,
    /// The rows, with the source's schema.
    pub rows: DataFrame,
    /// The newest record timestamp (Kafka's, milliseconds since the epoch): when the newest row was produced.
    pub newest_ms: Option<i64>,
}

/// A record that could not be decoded, with the place to find it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeadLetter {
    /// The partition.
    pub partition: TopicPartition,
    /// The record's offset.
    pub offset: i64,
    /// Why it could not be decoded.
    pub reason: String,
    /// The column that it did not fit; without that column it would be a row. None where it is no record at all.
    pub field: Option<String>,
    /// The record's first bytes, at most 200, as text with what is not UTF-8 replaced.
    pub excerpt: String,
}

/// A source that cannot go on, told to the notebook's reader: the fact, the detail, the hint.
#[derive(Clone, Debug, thiserror::Error)]
#[error("{fact}: {detail}. {hint}")]
pub struct SourceError {
    /// What happened, with the topic or broker by name.
    pub fact: String,
    /// What the library below said.
    pub detail: String,
    /// What the reader can do.
    pub hint: String,
    /// Whether the same call may succeed later (a broker that is away), or never will (a topic that was deleted).
    pub retry: bool,
}
