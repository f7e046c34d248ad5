//! The seam to what rows come from. The engine chooses offset ranges; a source gives the rows of a range.
//! Knows nothing of Kafka, files or sockets: those stand behind [`Source`] in `connectors`.

use std::collections::BTreeMap;
use std::time::Duration;

use plan::RowFilter;
use polars::prelude::{DataFrame, SchemaRef};

/// A position in a partitioned log: for each partition the offset of the next record to read.
#[derive(Clone, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Offsets(pub BTreeMap<i32, i64>);

impl Offsets {
    /// Records between `self` and `to`, counted as offsets (gaps in the log count too).
    #[must_use]
    pub fn distance_to(&self, to: &Offsets) -> u64 {
        to.0.iter().map(|(p, end)| (end - self.0.get(p).copied().unwrap_or(0)).max(0).unsigned_abs()).sum()
    }

    /// Whether any partition is further here than in `from`.
    #[must_use]
    pub fn is_beyond(&self, from: &Offsets) -> bool {
        from.distance_to(self) > 0
    }

    /// As far as these, but not past `end`; a partition that is not in `end` stays at `from`.
    #[must_use]
    pub fn up_to(&self, from: &Offsets, end: &Offsets) -> Offsets {
        let bounded = |(partition, at): (&i32, &i64)| {
            let first = from.0.get(partition).copied();
            let last = end.0.get(partition).copied().or(first).unwrap_or(*at);
            (*partition, (*at).min(last).max(first.unwrap_or(0)))
        };
        Offsets(self.0.iter().map(bounded).collect())
    }

    /// As far from here as about `max_rows` rows go, shared out so that no partition starves another. `reach` is asked of a
    /// partition, from where, and with how many rows; a partition that it says nothing of stays where it is.
    #[must_use]
    pub fn shared_out(&self, max_rows: usize, mut reach: impl FnMut(i32, i64, usize) -> Option<Reach>) -> Offsets {
        let (mut to, mut left) = (self.clone(), max_rows);
        let mut open: Vec<i32> = self.0.keys().copied().collect();
        while left > 0 && !open.is_empty() {
            let share = (left / open.len()).max(1);
            open.retain(|partition| {
                let Some(at) = to.0.get_mut(partition) else { return false };
                let Some(reach) = reach(*partition, *at, share.min(left)) else { return false };
                let goes_on = reach.more && reach.to > *at;
                *at = reach.to;
                left = left.saturating_sub(reach.rows);
                goes_on && left > 0
            });
        }
        to
    }
}

/// How far some rows of a partition go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reach {
    /// The offset behind them.
    pub to: i64,
    /// How many they are.
    pub rows: usize,
    /// Whether others lie behind them.
    pub more: bool,
}

/// A log that can be read twice.
///
/// Contract: `read(from, to)` gives the same rows in the same order however often it is called, as long as the log
/// retains them. A record that cannot be decoded becomes a [`DeadLetter`], never an error. An implementation is used
/// by one thread at a time and may block only as long as it is told to.
pub trait Source: Send {
    /// The columns of every batch, in order.
    fn schema(&self) -> SchemaRef;

    /// Where a query without a checkpoint begins.
    fn start(&mut self) -> Result<Offsets, SourceError>;

    /// The end of the log now, as the log itself says: what a batch query reads up to.
    fn latest(&mut self) -> Result<Offsets, SourceError>;

    /// How far can be read at once, beyond `from` by about `max_rows` at the most. Returns as soon as anything lies
    /// beyond `from`; when nothing came within `wait`, returns `from`.
    fn available(&mut self, from: &Offsets, max_rows: usize, wait: Duration) -> Result<Offsets, SourceError>;

    /// The rows of `[from, to)`, partition by partition.
    fn read(&mut self, from: &Offsets, to: &Offsets) -> Result<SourceBatch, SourceError>;

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
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LeftOut {
    /// The partition.
    pub partition: i32,
    /// How many there were.
    pub rows: usize,
    /// The newest time among those that move the watermark, in its column's unit.
    pub newest: Option<i64>,
}

/// The rows of one partition in offset order.
#[derive(Debug)]
pub struct PartitionRows {
    /// The partition.
    pub partition: i32,
    /// The rows, with the source's schema.
    pub rows: DataFrame,
    /// The newest record timestamp (Kafka's, milliseconds since the epoch): when the newest row was produced.
    pub newest_ms: Option<i64>,
}

/// A record that could not be decoded, with the place to find it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeadLetter {
    /// The topic or file.
    pub topic: String,
    /// The partition.
    pub partition: i32,
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
#[derive(Debug, thiserror::Error)]
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
