//! Keeps the first rows that come.

use polars::prelude::*;

use super::{BatchResult, Operator, never_changing};
use crate::change::Delta;
use crate::state::{Counter, StateTables};

/// How many rows may still pass.
pub(crate) struct Limit(Counter);

impl Limit {
    pub(crate) fn new(rows: u64) -> Limit {
        Limit(Counter(rows))
    }
}

impl Operator for Limit {
    fn execute(&mut self, delta: Delta, _: Option<i64>) -> PolarsResult<BatchResult> {
        let Counter(left) = &mut self.0;
        let rows = never_changing(delta)?.head(Some(usize::try_from(*left).unwrap_or(usize::MAX)));
        *left -= rows.height() as u64;
        Ok(BatchResult::of(Delta::Append(rows)))
    }

    fn state(&mut self) -> StateTables<'_> {
        vec![&mut self.0]
    }
}
