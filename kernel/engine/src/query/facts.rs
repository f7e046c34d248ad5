//! What a batch adds to a query's status.

use crate::pipeline::Output;
use crate::result::Status;
use crate::source::{Offsets, SourceBatch};

/// What the status takes from a batch.
pub(super) struct BatchFacts {
    pub(super) rows: usize,
    dead: usize,
    last_dead: Option<String>,
    newest_ms: Option<i64>,
}

impl BatchFacts {
    pub(super) fn of(batch: &SourceBatch) -> BatchFacts {
        BatchFacts {
            rows: batch.rows(),
            dead: batch.dead_letters.len(),
            last_dead: batch
                .dead_letters
                .last()
                .map(|d| format!("{} [{}] offset {}: {}", d.topic, d.partition, d.offset, d.reason)),
            newest_ms: batch.parts.iter().filter_map(|part| part.newest_ms).max(),
        }
    }

    pub(super) fn write(self, status: &mut Status, output: &Output, watermark_ms: Option<i64>, to: &Offsets) {
        status.rows_read += self.rows as u64;
        status.dead_letters += (self.dead + output.timeless) as u64;
        status.last_dead_letter = self.last_dead.or_else(|| status.last_dead_letter.take());
        status.late_rows += output.late as u64;
        status.watermark_ms = watermark_ms;
        status.stale.clone_from(&output.stale);
        status.newest_ms = status.newest_ms.max(self.newest_ms);
        for (partition, end) in &to.0 {
            status.offsets.entry(*partition).or_insert((0, 0)).1 = *end;
        }
    }
}
