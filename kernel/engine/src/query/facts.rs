//! What a batch adds to a query's status.

use crate::pipeline::BatchOutput;
use crate::position::Offsets;
use crate::result::Status;
use crate::source::SourceBatch;

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
            last_dead: batch.dead_letters.last().map(|d| format!("{} offset {}: {}", d.partition, d.offset, d.reason)),
            newest_ms: batch.parts.iter().filter_map(|part| part.newest_ms).max(),
        }
    }

    pub(super) fn write(
        self,
        status: &mut Status,
        output: &BatchOutput,
        watermark_ms: Option<i64>,
        range: [&Offsets; 2],
    ) {
        status.rows_read += self.rows as u64;
        status.dead_letters += (self.dead + output.timeless) as u64;
        status.last_dead_letter = self.last_dead.or_else(|| status.last_dead_letter.take());
        status.late_rows += output.late as u64;
        status.watermark_ms = watermark_ms;
        status.ahead_rows += output.ahead as u64;
        status.stale.clone_from(&output.stale);
        status.held_back.clone_from(&output.held_back);
        status.newest_ms = status.newest_ms.max(self.newest_ms);
        let [from, to] = range;
        for (partition, end) in &to.0 {
            let begun = from.0.get(partition).copied().unwrap_or(*end);
            status.offsets.entry(partition.clone()).or_insert((begun, begun)).1 = *end;
        }
    }
}
