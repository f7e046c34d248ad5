//! Rows that change: the old ones are taken back from the groups they were in, the new ones added, and a group of which no row is
//! left goes. And the other side of it: how the rows of groups were before a batch, for an operator behind that takes them back.

use polars::prelude::*;

use super::{HashAggregate, MergedBatch};
use crate::state::Sign;

/// How the rows of groups were before a batch.
#[derive(Default)]
pub(super) struct OldRows {
    /// Groups from this identity on are new in this batch.
    new: u64,
    rows: DataFrame,
}

impl OldRows {
    /// Begins a batch whose first new group gets the identity `next_id`.
    pub(super) fn begin(&mut self, next_id: u64, schema: &SchemaRef) {
        *self = OldRows { new: next_id, rows: DataFrame::empty_with_schema(schema) };
    }

    /// Those of the groups that the batch has touched.
    pub(super) fn taken(&mut self) -> DataFrame {
        std::mem::take(&mut self.rows)
    }
}

impl HashAggregate {
    /// Takes old rows back and new ones in. Late and without a time are the new ones only: the old ones were it when they came, and
    /// with their windows they are gone.
    pub(super) fn replace(
        &mut self,
        old: &DataFrame,
        new: &DataFrame,
        watermark: Option<i64>,
    ) -> PolarsResult<MergedBatch> {
        let mut touched = Vec::new();
        if old.height() > 0 {
            touched = self.take_all(old, watermark, Sign::Subtracted)?.touched;
        }
        // Without any row there may be one group still.
        if new.height() == 0 && old.height() > 0 {
            return Ok(MergedBatch { keys: None, touched, late: 0, timeless: 0 });
        }
        let taken = self.take_all(new, watermark, Sign::Added)?;
        if touched.is_empty() {
            return Ok(taken);
        }
        touched.extend(taken.touched);
        Ok(MergedBatch { keys: None, touched, ..taken })
    }

    /// Counts the rows of groups, where they can go.
    pub(super) fn count_rows(&mut self, slots: &[u32], sign: Sign) -> PolarsResult<()> {
        let Some(at) = self.table.counted else { return Ok(()) };
        let mut missing = false;
        for slot in slots {
            self.table.groups.update(*slot, at, |rows: &mut u64| match sign {
                Sign::Added => *rows += 1,
                Sign::Subtracted => match rows.checked_sub(1) {
                    Some(less) => *rows = less,
                    None => missing = true,
                },
            });
        }
        polars_ensure!(!missing, ComputeError: "an aggregation was to take back a row that it does not have");
        Ok(())
    }

    /// Takes groups without rows out of those that were touched, and forgets them; gives their identities. The group of all rows
    /// is there without any.
    pub(super) fn let_go_of_empty(&mut self, touched: &mut Vec<(i64, u32)>) -> Vec<u64> {
        let Some(at) = self.table.counted else { return Vec::new() };
        if self.plan.is_of_all() {
            return Vec::new();
        }
        let is_empty = |(_, slot): &(i64, u32)| self.table.groups.get::<u64>(*slot, at) == 0;
        let (empty, rest): (Vec<_>, Vec<_>) = std::mem::take(touched).into_iter().partition(is_empty);
        *touched = rest;
        self.table.delete(empty)
    }

    /// Notes how the rows of groups are, before a batch changes them; of groups that are new there are none.
    pub(super) fn note_old(&mut self, touched: &[(i64, u32)]) -> PolarsResult<()> {
        let Some(OldRows { new, .. }) = self.old else { return Ok(()) };
        let known = touched.iter().copied().filter(|(_, slot)| self.table.groups.id(*slot) < new);
        let (starts, slots): (Vec<i64>, Vec<u32>) = known.unzip();
        if slots.is_empty() {
            return Ok(());
        }
        let mut columns = self.keys(&slots)?;
        columns.extend(self.named(starts)?);
        let rows = self.rows(columns, &slots)?;
        if let Some(old) = &mut self.old {
            old.rows.vstack_mut(&rows)?;
        }
        Ok(())
    }
}
