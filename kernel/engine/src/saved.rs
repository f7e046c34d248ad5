//! What a pipeline holds, as plain values that can be written down and read again.

use std::collections::BTreeMap;

use polars::prelude::DataFrame;
use serde::{Deserialize, Serialize};

use crate::source::Offsets;

/// The state of a pipeline.
#[derive(Debug, Default)]
pub struct Saved {
    /// What is no table.
    pub facts: Facts,
    /// The tables of the stages, each with a name of its own.
    pub frames: BTreeMap<String, DataFrame>,
}

/// What a state has beside tables.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Facts {
    /// Where the next batch begins; written by the query.
    pub offsets: Offsets,
    /// The identity that the next row of the result gets.
    pub next_id: u64,
    /// Rows read of each partition, where their order matters.
    pub positions: Option<BTreeMap<i32, i64>>,
    /// The watermark, in its column's unit.
    pub watermark: Option<i64>,
    /// The newest event time of each partition, in the same unit.
    pub newest: BTreeMap<i32, Option<i64>>,
    /// The newest time of processing, in milliseconds since the epoch.
    #[serde(default)]
    pub moment_ms: i64,
    /// A number of each stage.
    pub stages: Vec<u64>,
}

impl Saved {
    /// Takes a stage's table out.
    pub(crate) fn take(&mut self, name: &str) -> polars::prelude::PolarsResult<DataFrame> {
        self.frames
            .remove(name)
            .ok_or_else(|| polars::prelude::polars_err!(ComputeError: "the saved state has no table \"{name}\""))
    }
}
