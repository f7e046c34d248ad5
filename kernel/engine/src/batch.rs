//! The same plan as a batch: everything in the source up to now, with the operators of the stream, on the caller's thread.

use std::sync::Arc;
use std::time::Duration;

use plan::Plan;
use polars::prelude::*;

use crate::clock::{Clock, SystemClock};
use crate::physical::PhysicalPlan;
use crate::pipeline::{Mode, Pipeline};
use crate::position::Offsets;
use crate::query::OpenSource;
use crate::result::{LiveResult, Status};
use crate::source::{DeadLetter, SourceError};

/// Rows read at a time.
const BATCH_ROWS: usize = 500_000;
/// How long a source may give nothing before its end was reached.
const PATIENCE: Duration = Duration::from_secs(30);

/// What a batch gave.
#[derive(Debug)]
pub struct Collected {
    /// The rows; those of an aggregation sorted by its keys and the time, others in the order they were read.
    pub frame: DataFrame,
    /// Records that could not be decoded.
    pub dead_letters: Vec<DeadLetter>,
    /// Rows that are in no window, for they have no event time.
    pub timeless: usize,
    /// What else is to be known of the records, in a sentence each.
    pub notices: Vec<String>,
    /// The range that was read.
    pub offsets: (Offsets, Offsets),
}

/// Why a batch gave nothing.
#[derive(Debug, thiserror::Error)]
pub enum CollectError {
    /// The source cannot be read.
    #[error(transparent)]
    Source(#[from] SourceError),
    /// Polars refuses the rows.
    #[error(transparent)]
    Polars(#[from] PolarsError),
    /// The caller asked to stop.
    #[error("the batch was interrupted after {rows} rows")]
    Interrupted {
        /// Rows read until then.
        rows: u64,
    },
}

/// Reads everything up to now and runs the plan over it. `go_on` is asked between batches, with the rows read so far.
///
/// # Errors
/// When the source cannot be read, an expression fails on the rows, or `go_on` says no.
pub fn collect(plan: &Plan, open: &OpenSource, mut go_on: impl FnMut(u64) -> bool) -> Result<Collected, CollectError> {
    let physical = PhysicalPlan::of(plan);
    let mut source = open(&physical.source_columns())?;
    if let Some(filter) = physical.row_filter() {
        source.filter(&filter);
    }
    let clock: Arc<dyn Clock> = Arc::new(SystemClock::default());
    let mut pipeline = Pipeline::new(plan, &source.lanes(), Mode::Batch, &clock)?;
    pipeline.at(clock.since_epoch_ms());
    let result = LiveResult::with_rows_held(plan.schema().clone(), Status::default(), usize::MAX).in_order_of(plan);
    let start = source.start()?;
    // A partition that appears between the two questions is the next batch's.
    let end = source.latest()?.only(&start);
    let (mut from, mut rows, mut dead_letters) = (start.clone(), 0u64, Vec::new());
    let (mut timeless, mut noticed) = (0, Vec::new());
    let mut progressed = clock.now();
    while from.distance_to(&end) > 0 {
        if !go_on(rows) {
            return Err(CollectError::Interrupted { rows });
        }
        let reached = source.available(&from, BATCH_ROWS, Duration::from_millis(200))?;
        let to = reached.up_to(&from, &end);
        if to == from {
            if clock.now().saturating_sub(progressed) > PATIENCE {
                return Err(stalled(&from, &end).into());
            }
            continue;
        }
        progressed = clock.now();
        let batch = source.read(&from, &to)?;
        rows += batch.rows() as u64;
        pipeline.left_out(&batch.left_out);
        dead_letters.extend(batch.dead_letters);
        let output = pipeline.execute(batch.parts)?;
        result.apply(&output.changes, |_| {})?;
        timeless += output.timeless;
        noticed = output.notices;
        from = to;
    }
    let notices = [source.notices(), noticed].concat();
    if pipeline.owes_a_row() {
        result.apply(&pipeline.execute(Vec::new())?.changes, |_| {})?;
    }
    result.apply(&pipeline.finish()?.changes, |_| {})?;
    let frame = in_order(plan, result.frame())?;
    Ok(Collected { frame, dead_letters, timeless, notices, offsets: (start, end) })
}

/// Sorts an aggregation without an order of its own by those of its keys and its time that are still there.
fn in_order(plan: &Plan, frame: DataFrame) -> PolarsResult<DataFrame> {
    let Some((aggregate, schema)) = plan.aggregate().filter(|_| plan.order().is_none()) else { return Ok(frame) };
    let by: Vec<PlSmallStr> = schema
        .iter_names()
        .take(aggregate.columns_before())
        .filter(|name| frame.schema().contains(name))
        .cloned()
        .collect();
    if by.is_empty() { Ok(frame) } else { frame.sort(by, SortMultipleOptions::default().with_maintain_order(true)) }
}

fn stalled(from: &Offsets, end: &Offsets) -> SourceError {
    SourceError {
        fact: "the source stopped giving rows before its end".to_owned(),
        detail: format!("{} records were still to come", from.distance_to(end)),
        hint: "See whether the broker is well, and run the cell again.".to_owned(),
        retry: true,
    }
}
