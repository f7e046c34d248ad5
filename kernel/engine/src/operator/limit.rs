//! Keeps the first rows that come.

use polars::prelude::*;

use super::{Executed, Operator, OperatorSnapshot, Tables, never_changing};
use crate::change::Delta;

/// How many rows may still pass.
pub(crate) struct Limit(pub(crate) u64);

impl Operator for Limit {
    fn execute(&mut self, delta: Delta, _: Option<i64>) -> PolarsResult<Executed> {
        let rows = never_changing(delta)?.head(Some(usize::try_from(self.0).unwrap_or(usize::MAX)));
        self.0 -= rows.height() as u64;
        Ok(Executed::of(Delta::Append(rows)))
    }

    fn save(&self) -> PolarsResult<OperatorSnapshot> {
        Ok(OperatorSnapshot::new(self.0, []))
    }

    fn restore(&mut self, number: u64, _: Tables<'_>) -> PolarsResult<()> {
        self.0 = number;
        Ok(())
    }
}
