//! Rows that change: the old ones are taken back from the groups they were in, the new ones added, and a group of which no row is
//! left goes. And the other side of it: how the rows of groups were before a batch, for an operator behind that takes them back.

use polars::prelude::*;

use super::words::Layout;
use super::{Merged, MergedBatch, hash};
use crate::operator::Sign;
use crate::operator::columns::ROW;
use crate::snapshot::numbered;

/// What there is beside the aggregates where rows of the input change.
pub(super) struct Retraction {
    /// The word of a group that counts its rows.
    pub(super) rows: usize,
    /// The identities of groups that have gone since the state was last written down.
    left: Vec<u64>,
    /// Those of groups that are in no written state begin here.
    unsaved: u64,
}

/// The table with the identities of the groups that have gone since all of the state was written down.
pub(super) const LEFT: &str = "left";

impl Retraction {
    /// Takes the room that it needs in `layout`.
    pub(super) fn new(layout: &mut Layout) -> Retraction {
        Retraction { rows: layout.place(1), left: Vec::new(), unsaved: 0 }
    }

    /// The state is written down; the next group gets the identity `next_id`.
    pub(super) fn all_saved(&mut self, next_id: u64) {
        self.left.clear();
        self.unsaved = next_id;
    }
}

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

impl Merged {
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
        let Some(Retraction { rows: at, .. }) = self.retraction else { return Ok(()) };
        let mut missing = false;
        for slot in slots {
            self.groups.update(*slot, at, |rows: &mut u64| match sign {
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
        let Some(Retraction { rows: at, .. }) = self.retraction else { return Vec::new() };
        if self.plan.is_of_all() {
            return Vec::new();
        }
        let is_empty = |(_, slot): &(i64, u32)| self.groups.get::<u64>(*slot, at) == 0;
        let (empty, rest): (Vec<_>, Vec<_>) = std::mem::take(touched).into_iter().partition(is_empty);
        *touched = rest;
        self.let_go(empty)
    }

    /// Forgets groups; gives their identities.
    fn let_go(&mut self, groups: Vec<(i64, u32)>) -> Vec<u64> {
        let ids: Vec<u64> = groups.iter().map(|(_, slot)| self.groups.id(*slot)).collect();
        let (mut windows, mut slots) = (PlHashSet::<i64>::default(), PlHashSet::<u32>::default());
        for (start, slot) in groups.iter().copied() {
            let key = self.groups.key(slot);
            let Some(window) = self.windows.get_mut(&start) else { continue };
            window.index.remove(hash(&self.hasher, &key), slot);
            windows.insert(start);
            slots.insert(slot);
        }
        for start in windows {
            let Some(window) = self.windows.get_mut(&start) else { continue };
            if window.index.is_empty() {
                self.windows.remove(&start);
            } else {
                // A slot may have another group soon.
                window.changed.retain(|slot| !slots.contains(slot));
            }
        }
        if let Some(retraction) = self.retraction.as_mut().filter(|_| self.noted) {
            let unsaved = retraction.unsaved;
            retraction.left.extend(ids.iter().filter(|id| **id < unsaved));
        }
        self.forget(groups.into_iter().map(|(_, slot)| slot));
        ids
    }

    /// Notes how the rows of groups are, before a batch changes them; of groups that are new there are none.
    pub(super) fn note_old(&mut self, touched: &[(i64, u32)]) -> PolarsResult<()> {
        let Some(OldRows { new, .. }) = self.old else { return Ok(()) };
        let known = touched.iter().copied().filter(|(_, slot)| self.groups.id(*slot) < new);
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

    /// The table of groups that have gone, when all of the state is written down.
    pub(super) fn none_left(&self) -> Option<(&'static str, DataFrame)> {
        self.retraction.as_ref()?;
        let schema = Schema::from_iter([Field::new(ROW.into(), DataType::UInt64)]);
        Some((LEFT, DataFrame::empty_with_schema(&schema)))
    }

    /// What is new in that table.
    pub(super) fn left(&self) -> PolarsResult<Option<(&'static str, DataFrame)>> {
        let Some(Retraction { left, .. }) = &self.retraction else { return Ok(None) };
        let left = DataFrame::new(left.len(), vec![Series::new(ROW.into(), left).into()])?;
        Ok(Some((LEFT, numbered::changes(left, Vec::new())?)))
    }

    /// Forgets the groups that have gone since all of the state was written down.
    pub(super) fn forget_left(&mut self, left: &DataFrame) -> PolarsResult<()> {
        let left: PlHashSet<u64> = left.column(ROW)?.u64()?.iter().flatten().collect();
        let places = self.windows.iter().flat_map(|(start, window)| window.index.slots().map(|slot| (*start, slot)));
        let gone = places.filter(|(_, slot)| left.contains(&self.groups.id(*slot))).collect();
        self.let_go(gone);
        // They are in the state that is read.
        if let Some(retraction) = &mut self.retraction {
            retraction.left.clear();
        }
        Ok(())
    }
}
