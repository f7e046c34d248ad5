//! A frame that stands beside a stream: one that stands still, or one that is read anew now and then.

use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::Duration;

use polars::prelude::{DataFrame, PolarsResult, polars_err};

use crate::PlanError;
use crate::closure::message;
use crate::window::fixed;

type Read = dyn Fn() -> PolarsResult<DataFrame> + Send + Sync;

/// A frame that is read anew now and then.
#[derive(Clone)]
pub struct Refreshed {
    every: String,
    read: Arc<Read>,
    first: PolarsResult<DataFrame>,
}

/// The frame that `read` gives, read anew every so often: `refreshed("10m", || …)`. It is read once at once, to know its columns.
#[must_use]
pub fn refreshed(
    every: impl Into<String>,
    read: impl Fn() -> PolarsResult<DataFrame> + Send + Sync + 'static,
) -> Refreshed {
    let read: Arc<Read> = Arc::new(read);
    let first = call(&read);
    Refreshed { every: every.into(), read, first }
}

impl Refreshed {
    /// The frame as it was read when this was made.
    pub(crate) fn first(&self, operation: &'static str) -> Result<DataFrame, PlanError> {
        self.first.clone().map_err(|error| PlanError::Polars { operation, detail: error.to_string() })
    }

    pub(crate) fn read(&self) -> PolarsResult<DataFrame> {
        call(&self.read)
    }

    pub(crate) fn every(&self, operation: &'static str) -> Result<Duration, PlanError> {
        let every = fixed(operation, &self.every)?;
        Ok(Duration::from_nanos(every.duration_ns().unsigned_abs()))
    }

    /// How often, as it was written.
    pub(crate) fn text(&self) -> &str {
        &self.every
    }
}

impl fmt::Debug for Refreshed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "refreshed(\"{}\", …)", self.every)
    }
}

fn call(read: &Arc<Read>) -> PolarsResult<DataFrame> {
    catch_unwind(AssertUnwindSafe(|| read())).unwrap_or_else(|panic| {
        Err(polars_err!(ComputeError: "the function of refreshed panicked: {}", message(panic.as_ref())))
    })
}

/// What a stream can look its rows up in.
#[derive(Clone, Debug)]
pub enum Table {
    /// A frame that stands still.
    Still(DataFrame),
    /// One that is read anew now and then.
    Refreshed(Refreshed),
}

impl From<DataFrame> for Table {
    fn from(frame: DataFrame) -> Table {
        Table::Still(frame)
    }
}

impl From<Refreshed> for Table {
    fn from(frame: Refreshed) -> Table {
        Table::Refreshed(frame)
    }
}
