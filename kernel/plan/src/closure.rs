//! A person's own function in a plan. It has no words of its own: two that differ look alike in a plan.

use std::any::Any;
use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use polars::prelude::{DataFrame, PolarsResult, polars_err};

type Function = dyn Fn(DataFrame) -> PolarsResult<DataFrame> + Send + Sync;

/// A function on a batch of rows.
#[derive(Clone)]
pub struct Closure(Arc<Function>);

impl Closure {
    pub(crate) fn new(function: impl Fn(DataFrame) -> PolarsResult<DataFrame> + Send + Sync + 'static) -> Closure {
        Closure(Arc::new(function))
    }

    /// Runs it. A panic in it is an error, with the first of the rows that it was given.
    ///
    /// # Errors
    /// What the function says.
    pub fn call(&self, rows: DataFrame) -> PolarsResult<DataFrame> {
        let first = rows.head(Some(1));
        catch_unwind(AssertUnwindSafe(|| (self.0)(rows))).unwrap_or_else(|panic| {
            Err(polars_err!(
                ComputeError: "the function of map_batches panicked: {}. The batch began with {first}", message(panic.as_ref())
            ))
        })
    }
}

/// What a panic said.
#[must_use]
pub fn message(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<String>().cloned();
    text.or_else(|| panic.downcast_ref::<&str>().map(|text| (*text).to_owned()))
        .unwrap_or_else(|| "it says nothing".to_owned())
}

impl fmt::Debug for Closure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("closure")
    }
}
