//! Sinks without a place of their own: a person's function, as Spark's `foreachBatch`, and the query's memory.

use std::error::Error;

use polars::prelude::DataFrame;

use crate::sink::{Sink, SinkError};

/// Calls a function with each batch. After a crash the newest batch may come again, under the same number.
pub struct ForeachBatch<F>(F);

impl<F> ForeachBatch<F>
where
    F: FnMut(DataFrame, u64) -> Result<(), Box<dyn Error>> + Send,
{
    /// A sink that is `function`, called with the rows and the batch's number.
    pub fn new(function: F) -> ForeachBatch<F> {
        ForeachBatch(function)
    }
}

impl<F> Sink for ForeachBatch<F>
where
    F: FnMut(DataFrame, u64) -> Result<(), Box<dyn Error>> + Send,
{
    fn write(&mut self, batch: u64, rows: &DataFrame) -> Result<(), SinkError> {
        let called = plan::result_of(|| (self.0)(rows.clone(), batch));
        called.map_err(|failure| SinkError {
            fact: format!("the function of foreach_batch failed in batch {batch}"),
            detail: format!("it {failure}"),
            hint: match rows.height() {
                0 => "The batch has no rows".to_owned(),
                height => format!("The batch has {height} rows and begins with {}", plan::row_in_words(rows, 0)),
            },
            retry: false,
        })
    }
}

/// Writes nothing: the query itself keeps its whole result, for who reads it by the query's name.
#[derive(Debug, Default)]
pub struct MemoryTable;

impl Sink for MemoryTable {
    fn write(&mut self, _: u64, _: &DataFrame) -> Result<(), SinkError> {
        Ok(())
    }

    fn keeps_result(&self) -> bool {
        true
    }
}
