//! What a checkpoint would have of a pipeline: a state after each batch, the first with everything, the others with what changed.

use std::io::Cursor;

use engine::{Facts, Pipeline, Snapshot};
use polars::prelude::*;

#[derive(Default)]
pub(crate) struct States(Option<Snapshot>);

impl States {
    /// Adds the state as it is now.
    pub(crate) fn keep(&mut self, pipeline: &mut Pipeline) -> PolarsResult<()> {
        self.add(pipeline, self.0.is_none())
    }

    /// Adds all of the state as it is now.
    pub(crate) fn keep_all(&mut self, pipeline: &mut Pipeline) -> PolarsResult<()> {
        self.add(pipeline, true)
    }

    fn add(&mut self, pipeline: &mut Pipeline, all: bool) -> PolarsResult<()> {
        let later = pipeline.snapshot(all)?;
        self.0.get_or_insert_default().go_on(later);
        Ok(())
    }

    /// Has another pipeline go on from the newest.
    pub(crate) fn restore(&self, pipeline: &mut Pipeline) -> PolarsResult<()> {
        self.0.as_ref().map_or(Ok(()), |saved| pipeline.restore(written_and_read(saved.clone())?))
    }
}

/// A state as a checkpoint gives it back: facts through JSON, tables through Parquet.
fn written_and_read(saved: Snapshot) -> PolarsResult<Snapshot> {
    let facts: Facts = serde_json::from_str(&serde_json::to_string(&saved.facts).unwrap()).unwrap();
    let through = |mut frame: DataFrame| -> PolarsResult<DataFrame> {
        if frame.width() == 0 {
            return Ok(frame);
        }
        let mut bytes = Vec::new();
        ParquetWriter::new(&mut bytes).finish(&mut frame)?;
        ParquetReader::new(Cursor::new(bytes)).finish()
    };
    let mut read = Snapshot { facts, ..Snapshot::default() };
    for (name, frame) in saved.frames {
        read.frames.insert(name, through(frame)?);
    }
    for (name, changes) in saved.changes {
        read.changes.insert(name, changes.into_iter().map(through).collect::<PolarsResult<_>>()?);
    }
    Ok(read)
}
