//! A plan made ready to run: the steps in their stages, with the state between them. A pipeline is a function of its
//! state and a batch; it reads no source, writes no sink and tells no time.

use std::sync::Arc;

use plan::{Plan, Step};
use polars::prelude::*;

use crate::change::Changes;
use crate::clock::Clock;
use crate::operator::stateless;
use crate::operator::watermark::WatermarkTracker;
use crate::operator::window::WindowAggregate;
use crate::source::PartitionRows;

/// Whether rows behind the watermark are dropped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// A stream: they are, and the windows behind it are closed.
    Stream,
    /// A batch: the whole input is there, so nothing is late.
    Batch,
}

/// A running plan.
pub struct Pipeline {
    /// Row-wise steps up to the watermark, run partition by partition.
    before_watermark: Vec<Step>,
    watermark: Option<WatermarkTracker>,
    /// Row-wise steps between the watermark and the aggregation.
    before_aggregate: Vec<Step>,
    aggregate: Option<WindowAggregate>,
    /// Row-wise steps on the result of the aggregation.
    after: Vec<Step>,
    next_id: u64,
    empty: DataFrame,
}

/// What a batch led to.
#[derive(Debug)]
pub struct Output {
    /// The changes of the result.
    pub changes: Changes,
    /// Rows dropped because their window was closed.
    pub late: usize,
    /// Rows dropped because they have no event time.
    pub timeless: usize,
}

impl Pipeline {
    /// Makes a plan ready, with an empty state. `source` are the columns that its batches will have.
    ///
    /// # Errors
    /// Never for a plan that was checked when it was made; what Polars says otherwise.
    pub fn new(plan: &Plan, source: &SchemaRef, mode: Mode, clock: &Arc<dyn Clock>) -> PolarsResult<Pipeline> {
        let mut pipeline = Pipeline {
            before_watermark: Vec::new(),
            watermark: None,
            before_aggregate: Vec::new(),
            aggregate: None,
            after: Vec::new(),
            next_id: 0,
            empty: DataFrame::empty_with_schema(plan.schema()),
        };
        let mut schema = source.clone();
        for step in plan.steps().2 {
            match step {
                Step::Watermark(watermark) => {
                    let rows = stateless::execute(&pipeline.before_watermark, DataFrame::empty_with_schema(&schema))?;
                    schema = rows.schema().clone();
                    let Some(DataType::Datetime(unit, _)) = schema.get(&watermark.column) else {
                        polars_bail!(ComputeError: "the watermark's column \"{}\" is no datetime", watermark.column);
                    };
                    if mode == Mode::Stream {
                        pipeline.watermark = Some(WatermarkTracker::new(watermark, *unit, clock.clone()));
                    }
                }
                Step::Aggregate(_) => {
                    pipeline.aggregate =
                        plan.aggregate().map(|(aggregate, schema)| WindowAggregate::new(aggregate, schema.clone()));
                }
                step if pipeline.aggregate.is_some() => pipeline.after.push(step.clone()),
                step if pipeline.watermark.is_some() => pipeline.before_aggregate.push(step.clone()),
                step => pipeline.before_watermark.push(step.clone()),
            }
        }
        Ok(pipeline)
    }

    /// Says which partitions the source has.
    pub fn expect(&mut self, partitions: impl Iterator<Item = i32>) {
        if let Some(watermark) = &mut self.watermark {
            watermark.expect(partitions);
        }
    }

    /// Takes a batch in.
    ///
    /// # Errors
    /// What Polars says of an expression that fails on the rows.
    pub fn execute(&mut self, parts: Vec<PartitionRows>) -> PolarsResult<Output> {
        let late_before = self.watermark.as_ref().and_then(WatermarkTracker::current);
        let rows = self.rows(parts)?;
        let Some(aggregate) = &mut self.aggregate else {
            return Ok(self.appended(rows));
        };
        let Some(rows) = rows else {
            return Ok(Output { changes: Changes::default(), late: 0, timeless: 0 });
        };
        let touched = aggregate.execute(rows, late_before)?;
        if let Some(watermark) = self.watermark.as_mut().and_then(WatermarkTracker::advance) {
            aggregate.close(watermark);
        }
        let (rows, ids, deletes) = stateless::execute_keyed(&self.after, touched.rows, touched.ids)?;
        Ok(Output { changes: Changes { ids, rows, deletes }, late: touched.late, timeless: touched.timeless })
    }

    /// The watermark in milliseconds since the epoch.
    #[must_use]
    pub fn watermark_ms(&self) -> Option<i64> {
        self.watermark.as_ref().and_then(WatermarkTracker::current_ms)
    }

    /// The rows that enter the aggregation, or the result where there is none.
    fn rows(&mut self, parts: Vec<PartitionRows>) -> PolarsResult<Option<DataFrame>> {
        let mut all: Option<DataFrame> = None;
        for part in parts {
            let rows = match &mut self.watermark {
                Some(watermark) => {
                    let rows = stateless::execute(&self.before_watermark, part.rows)?;
                    watermark.observe(part.partition, &rows)?;
                    rows
                }
                None => part.rows,
            };
            match &mut all {
                Some(all) => drop(all.vstack_mut(&rows)?),
                None => all = Some(rows),
            }
        }
        let steps = if self.watermark.is_some() { &self.before_aggregate } else { &self.before_watermark };
        all.map(|rows| stateless::execute(steps, rows)).transpose()
    }

    fn appended(&mut self, rows: Option<DataFrame>) -> Output {
        if let Some(watermark) = &mut self.watermark {
            watermark.advance();
        }
        let rows = rows.unwrap_or_else(|| self.empty.clone());
        let first = self.next_id;
        self.next_id += rows.height() as u64;
        let changes = Changes { ids: (first..self.next_id).collect(), rows, deletes: Vec::new() };
        Output { changes, late: 0, timeless: 0 }
    }
}
