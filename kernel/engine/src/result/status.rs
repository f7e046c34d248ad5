//! Where a query is: what a view's foot line shows and a saved output's metadata keeps.

use std::collections::BTreeMap;

/// What a query does now.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum State {
    /// It has not read anything yet.
    #[default]
    Starting,
    /// It reads.
    Running,
    /// The source is away for now, as the text says; the query goes on when it is back.
    Waiting(String),
    /// No one looks at its result; it goes on from where it was when someone does.
    Suspended,
    /// It was stopped, or its source has an end and that was reached.
    Ended,
    /// It cannot go on, as the text says.
    Failed(String),
}

/// Where a query is.
#[derive(Clone, Debug, Default)]
pub struct Status {
    /// The query's name.
    pub name: String,
    /// The first sixteen hex digits of the SHA-256 of the plan.
    pub fingerprint: String,
    /// What it does now.
    pub state: State,
    /// Rises with each change of the rows.
    pub version: u64,
    /// Rows in the result.
    pub rows: usize,
    /// Rows that fell off because the result holds only so many.
    pub dropped_rows: u64,
    /// Rows read from the source.
    pub rows_read: u64,
    /// Rows dropped because they came after the watermark had closed their window.
    pub late_rows: u64,
    /// Records that could not be decoded, and rows without an event time where a window needs one.
    pub dead_letters: u64,
    /// Why the newest dead letter is one, with topic, partition and offset.
    pub last_dead_letter: Option<String>,
    /// Why a frame that rows are looked up in could not be read anew, as long as it could not.
    pub stale: Option<String>,
    /// What is asked otherwise than before by a query that goes on from a checkpoint, line by line: then (-) and now (+).
    pub changed: Option<String>,
    /// The watermark, in milliseconds since the epoch.
    pub watermark_ms: Option<i64>,
    /// When the newest row included was produced, in milliseconds since the epoch.
    pub newest_ms: Option<i64>,
    /// How many queries are fetched and decoded for together, this one among them.
    pub readers: usize,
    /// The topic read.
    pub topic: Option<String>,
    /// For each partition, the first offset read and the one after the last.
    pub offsets: BTreeMap<i32, (i64, i64)>,
}
