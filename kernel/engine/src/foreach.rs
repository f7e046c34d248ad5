//! A sink that is a person's own function, as Spark's `foreachBatch`.

use std::error::Error;
use std::panic::{AssertUnwindSafe, catch_unwind};

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
        let failed = |detail: String| SinkError {
            fact: format!("the function of foreach_batch failed in batch {batch}"),
            detail,
            hint: format!("The batch has {} rows and begins with {}", rows.height(), rows.head(Some(1))),
            retry: false,
        };
        match catch_unwind(AssertUnwindSafe(|| (self.0)(rows.clone(), batch))) {
            Ok(Ok(())) => Ok(()),
            Ok(Err(error)) => Err(failed(error.to_string())),
            Err(panic) => Err(failed(format!("it panicked: {}", plan::panic_message(panic.as_ref())))),
        }
    }
}

/// Takes every batch and keeps none: the query's result is all there is.
#[derive(Debug, Default)]
pub struct Nowhere;

impl Sink for Nowhere {
    fn write(&mut self, _: u64, _: &DataFrame) -> Result<(), SinkError> {
        Ok(())
    }
}
