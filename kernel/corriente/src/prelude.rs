//! What every cell has without asking: Polars' words, and ours, with the errors that ours give. A name that a person brings with a
//! `use x::*`, or defines, goes before one of these.

pub use polars::prelude::*;

pub use crate::cell::{InputError, Show, clear_output, html, input, latex, markdown, password, png, sleep, svg};
pub use crate::demo::{self, DemoError};
pub use crate::display;
pub use crate::frame::{StreamFrame, StreamGroupBy};
pub use crate::parameters::param;
pub use crate::read::{KafkaReader, read_kafka};
pub use crate::shown::StreamChart;
pub use crate::sql::{SqlError, register, sql};
pub use crate::streaming::{QueryFailed, StreamingQuery, memory_table, streams};
pub use crate::write::{StreamWriter, WriteError};
pub use connectors::{OnDataLoss, StartingOffsets};
pub use display::{Chart, ChartError, area, bar, line, points};
pub use engine::{
    CheckpointError, CollectError, OutputMode, SinkError, SourceError, StartError, Trigger, approx_quantile,
};
pub use plan::{AsofStrategy, Moment, PlanError, Row, Window, asof, hopping, refreshed, session, tumbling, within};
// What a thread panics with; the analyzer names it so where a variable is of such a type.
pub use std::any::Any;
