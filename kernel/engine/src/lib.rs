//! How a plan runs: the query loop, the operators with their state, and the result they keep.
//!
//! Rows come from a [`Source`] and go as [`Changes`] to a [`LiveResult`]; what stands behind a source is no concern of
//! this crate, and neither is the page that looks at a result.

/// The same plan as a batch.
mod batch;
/// What a query says of each batch.
mod progress;
/// A running query: its thread, its batches, what its sink has.
mod query;

/// What one batch changes, between operators and for a result.
mod change;
/// The operators.
mod operator;
/// A plan as it runs: how each operation is done, and in which order.
mod physical;
/// That plan ready to run: operators in their order, and the watermark.
mod pipeline;

/// Partitions and offsets.
mod position;
/// Frames that are read anew between batches.
mod refresh;
/// One consumer for several queries.
mod shared;
/// The seam to what rows come from.
mod source;
/// Several sources as one.
mod union;

/// Sinks without a place of their own.
mod foreach;
/// The result as views see it, and as a sink wants all of it.
mod result;
/// The seam to what a result is written to.
mod sink;

/// The folder that makes a restart go on.
mod checkpoint;
/// The seam to the disk.
mod disk;
/// The state of a pipeline as tables.
mod snapshot;
/// The tables that operators keep.
mod state;

/// Polars on the calling thread.
mod alone;
/// The times that the calendar holds.
mod calendar;
/// The seam to the time.
mod clock;
/// Random numbers for tests.
#[cfg(test)]
mod random;
/// Frames that grow.
mod rows;

pub use batch::{CollectError, Collected, collect};
pub use calendar::calendar;
pub use change::Changes;
pub use checkpoint::{CheckpointError, Hint, ResumedPlan, columns_in_checkpoint, resumed_plan};
pub use clock::{Clock, ManualClock, SystemClock};
pub use disk::{Disk, DiskFile, LocalDisk, OpenFile, make_folders, replace_file};
pub use foreach::{ForeachBatch, MemoryTable};
pub use physical::{
    Connectors, OpenScan, Part, PhysicalPlan, QuantileSketch, RowFilter, approx_quantile, named_expression,
};
pub use pipeline::{BatchOutput, Mode, OutputMode, Pipeline};
pub use position::{Offsets, Reach, TopicId, TopicPartition};
pub use progress::Progress;
pub use query::{
    BatchStep, Crash, OpenSource, Options, Query, QueryOutput, StartError, Trigger, explain, fingerprint, natural_mode,
    short_hash,
};
pub use result::{LiveResult, Page, ROWS_HELD, ResultTable, ResultTooLarge, STREAM_ROWS_HELD, State, Status};
pub use shared::Sharing;
pub use sink::{Sink, SinkError};
pub use snapshot::{Facts, Snapshot};
pub use source::{DISCOVERY_INTERVAL, DeadLetter, LeftOut, PartitionRows, Resumed, Source, SourceBatch, SourceError};
pub use union::open_plan;
