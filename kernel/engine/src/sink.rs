//! The seam to what a query's result is written to. Knows nothing of Kafka or files: those stand behind [`Sink`].

use polars::prelude::{DataFrame, PlSmallStr};

/// What a result is written to, batch by batch.
///
/// Contract: a batch that was written is in the sink once, however often `write` is called with its number. An implementation
/// sees to it either by itself, by writing a batch to a place that its number names, or with `reached`: batches up to what it
/// gives are not written again. It is used by one thread at a time.
pub trait Sink: Send {
    /// The newest batch that the sink has for certain, as it says itself; `None` when it has none, or does not know. Asked once,
    /// before the first write; batches begin at 0.
    ///
    /// # Errors
    /// When the sink is away.
    fn reached(&mut self) -> Result<Option<u64>, SinkError> {
        Ok(None)
    }

    /// Writes the rows of a batch, all or none.
    ///
    /// # Errors
    /// When the rows could not be written. Where [`SinkError::retry`] says so, the same call comes again.
    fn write(&mut self, batch: u64, rows: &DataFrame) -> Result<(), SinkError>;

    /// Whether [`Sink::reached`] always tells the newest batch that has rows in the sink, so that `None` means that it has none.
    fn tells_batches(&self) -> bool {
        false
    }

    /// Whether the query is to keep its whole result in memory for it, whatever the output mode.
    fn keeps_result(&self) -> bool {
        false
    }

    /// The columns by which the sink can be told of rows that leave the result. Without any it is not told.
    fn keys(&self) -> Vec<PlSmallStr> {
        Vec::new()
    }

    /// Writes a batch as [`Sink::write`] does, and with it which rows left: `gone` has, as its columns, the [`Sink::keys`]
    /// that rows had before and no row has now.
    ///
    /// # Errors
    /// As for [`Sink::write`].
    fn write_changes(&mut self, batch: u64, rows: &DataFrame, gone: &DataFrame) -> Result<(), SinkError> {
        let _ = gone;
        self.write(batch, rows)
    }
}

/// Why a sink does not take a batch, told to the notebook's reader: the fact, the detail, the hint.
#[derive(Clone, Debug, thiserror::Error)]
#[error("{fact}: {detail}. {hint}")]
pub struct SinkError {
    /// What happened, with the topic, file or broker by name.
    pub fact: String,
    /// What the library below said.
    pub detail: String,
    /// What the reader can do.
    pub hint: String,
    /// Whether the same call may succeed later (a broker that is away), or never will.
    pub retry: bool,
}
