//! What a query says of its batches, in Spark's words.

use std::time::Duration;

use crate::position::Offsets;

/// A batch that is done.
#[derive(Clone, Debug, PartialEq)]
pub struct Progress {
    /// Its number.
    pub batch: u64,
    /// Rows read.
    pub input_rows: usize,
    /// Rows given to the sink or the view.
    pub output_rows: usize,
    /// Rows dropped because they came after the watermark.
    pub late_rows: usize,
    /// From the choice of its range until it was in the sink.
    pub duration: Duration,
    /// The watermark after it, in milliseconds since the epoch.
    pub watermark_ms: Option<i64>,
    /// The range that was read.
    pub offsets: (Offsets, Offsets),
}

impl Progress {
    /// Rows a second while the batch ran.
    #[must_use]
    pub fn processed_rows_per_second(&self) -> f64 {
        self.input_rows as f64 / self.duration.as_secs_f64().max(1e-9)
    }
}
