//! What a test gives a query that writes: a sink in memory, and the step after which it crashes.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::{Arc, Mutex};

use engine::{BatchStep, Crash, OutputMode, QueryOutput, Sink, SinkError};
use polars::prelude::{DataFrame, df};

/// Numbers from one on, each with one of seven keys.
pub(crate) fn keyed(from: i64, count: i64) -> DataFrame {
    let values: Vec<i64> = (from..from + count).collect();
    let keys: Vec<i64> = values.iter().map(|value| value % 7).collect();
    df!["k" => keys, "v" => values].unwrap()
}

/// The steps of a batch, in their order.
pub(crate) const STEPS: [BatchStep; 6] =
    [BatchStep::Planned, BatchStep::Read, BatchStep::Ran, BatchStep::Written, BatchStep::Saved, BatchStep::Committed];

/// A crash after this step of this batch.
pub(crate) fn crash_after(batch: u64, step: BatchStep) -> Crash {
    Arc::new(move |at, after| (at, after) == (batch, step))
}

/// Keeps each batch under its number; counts how often one was written.
#[derive(Clone, Debug, Default)]
pub(crate) struct Kept(Arc<Mutex<BTreeMap<u64, (DataFrame, usize)>>>);

impl Kept {
    /// The batches in the order of their numbers.
    pub(crate) fn batches(&self) -> Vec<(u64, DataFrame)> {
        self.0.lock().unwrap().iter().map(|(batch, (rows, _))| (*batch, rows.clone())).collect()
    }

    pub(crate) fn has_each_once(&self) -> bool {
        self.0.lock().unwrap().values().all(|(_, times)| *times == 1)
    }

    /// A query's output into it, with a checkpoint in a folder.
    pub(crate) fn output(&self, mode: OutputMode, folder: &Path) -> QueryOutput {
        QueryOutput {
            sink: Box::new(self.clone()),
            mode,
            checkpoint: Some(folder.to_owned()),
            use_newest_good_state: false,
        }
    }
}

impl Sink for Kept {
    fn write(&mut self, batch: u64, rows: &DataFrame) -> Result<(), SinkError> {
        let mut kept = self.0.lock().unwrap();
        let times = kept.get(&batch).map_or(0, |(_, times)| *times) + 1;
        kept.insert(batch, (rows.clone(), times));
        Ok(())
    }
}
