//! A person's own function in a plan. It has no words of its own, so it is known by a number.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use polars::prelude::{DataFrame, PolarsResult};

type Function = dyn Fn(DataFrame) -> PolarsResult<DataFrame> + Send + Sync;

/// A function on a batch of rows.
#[derive(Clone)]
pub struct Closure {
    number: u64,
    function: Arc<Function>,
}

impl Closure {
    pub(crate) fn new(function: impl Fn(DataFrame) -> PolarsResult<DataFrame> + Send + Sync + 'static) -> Closure {
        static MADE: AtomicU64 = AtomicU64::new(1);
        Closure { number: MADE.fetch_add(1, Ordering::Relaxed), function: Arc::new(function) }
    }

    /// Runs it.
    ///
    /// # Errors
    /// What the function says.
    pub fn call(&self, rows: DataFrame) -> PolarsResult<DataFrame> {
        (self.function)(rows)
    }
}

impl fmt::Debug for Closure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "closure {}", self.number)
    }
}
