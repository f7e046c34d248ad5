//! How a plan runs: the query loop, the operators with their state, and the result they keep.
//!
//! Rows come from a [`Source`] and go as [`Changes`] to a [`LiveResult`]; what stands behind a source is no concern of
//! this crate, and neither is the page that looks at a result.

mod alone;
mod batch;
mod calendar;
mod change;
mod checkpoint;
mod clock;
mod disk;
mod foreach;
mod operator;
mod physical;
mod pipeline;
mod position;
mod progress;
mod query;
mod refresh;
mod result;
mod rows;
mod saved;
mod shared;
mod sink;
mod source;
mod union;

pub use batch::{CollectError, Collected, collect};
pub use calendar::calendar;
pub use change::Changes;
pub use checkpoint::{CheckpointError, Hint};
pub use clock::{Clock, ManualClock, SystemClock};
pub use disk::{Disk, DiskFile, LocalDisk, OpenFile, make_folders, replace_file};
pub use foreach::{ForeachBatch, MemoryTable};
pub use physical::{
    Connectors, OpenScan, Part, PhysicalPlan, QuantileSketch, RowFilter, approx_quantile, named_expression,
};
pub use pipeline::{Mode, Output, OutputMode, Pipeline};
pub use position::{Offsets, Reach, TopicId, TopicPartition};
pub use progress::Progress;
pub use query::{
    Crash, OpenSource, Options, Output as QueryOutput, Query, StartError, Step, Trigger, explain, fingerprint,
    natural_mode, short_hash,
};
pub use result::{LiveResult, Page, ROWS_HELD, ResultTable, ResultTooLarge, STREAM_ROWS_HELD, State, Status};
pub use saved::{Facts, Saved};
pub use shared::Sharing;
pub use sink::{Sink, SinkError};
pub use source::{DISCOVERY_INTERVAL, DeadLetter, LeftOut, PartitionRows, Resumed, Source, SourceBatch, SourceError};
pub use union::open_plan;
