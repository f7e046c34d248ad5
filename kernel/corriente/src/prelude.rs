//! What every cell has without asking: Polars' words, and ours.

pub use polars::prelude::*;

pub use crate::cell::{Show, clear_output, html, input, latex, markdown, password, png, sleep, svg};
pub use crate::demo;
pub use crate::display;
pub use crate::frame::{StreamFrame, StreamGroupBy};
pub use crate::parameters::param;
pub use crate::read::{KafkaReader, read_kafka};
pub use crate::shown::StreamChart;
pub use crate::sql::{register, sql};
pub use crate::streaming::{StreamingQuery, memory_table, streams};
pub use crate::tokio;
pub use crate::write::StreamWriter;
pub use connectors::{OnDataLoss, StartingOffsets};
pub use display::{Chart, area, bar, line, points};
pub use engine::{OutputMode, Trigger, approx_quantile};
pub use plan::{AsofStrategy, Moment, Row, Window, asof, hopping, refreshed, session, tumbling, within};
// What a thread panics with; the analyzer names it so where a variable is of such a type.
pub use std::any::Any;
