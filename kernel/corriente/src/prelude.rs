//! What every cell has without asking: Polars' words, and ours.

pub use polars::prelude::*;

pub use crate::frame::{StreamFrame, StreamGroupBy};
pub use crate::shown::StreamChart;
pub use display::{Chart, area, bar, line, points};
pub use plan::{Window, tumbling};
