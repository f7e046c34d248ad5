//! The rows of a result, cut into segments by identity, so that a small change touches a small piece however large the
//! result has grown. Plain data: the lock around it is the parent module's.

use std::collections::BTreeMap;

use polars::prelude::*;

use super::Status;
use crate::change::Changes;
use crate::rows::append;

/// Identities a segment spans. A batch copies the segments it changes, so this bounds what a changed row costs.
const SPAN: u64 = 4096;

pub(super) struct Held {
    pub(super) schema: SchemaRef,
    pub(super) status: Status,
    segments: BTreeMap<u64, Segment>,
    rows: usize,
    rows_held: usize,
}

struct Segment {
    /// Rising; one a row of `frame`.
    ids: Vec<u64>,
    frame: DataFrame,
}

impl Held {
    pub(super) fn new(schema: SchemaRef, status: Status, rows_held: usize) -> Held {
        Held { schema, status, segments: BTreeMap::new(), rows: 0, rows_held }
    }

    pub(super) fn rows(&self) -> usize {
        self.rows
    }

    pub(super) fn ids(&self) -> Vec<u64> {
        self.segments.values().flat_map(|segment| segment.ids.iter().copied()).collect()
    }

    pub(super) fn update(&mut self, update: impl FnOnce(&mut Status)) {
        update(&mut self.status);
    }

    pub(super) fn replace(&mut self, frame: DataFrame) {
        self.schema = frame.schema().clone();
        self.segments.clear();
        self.rows = frame.height();
        for start in (0..frame.height()).step_by(SPAN as usize) {
            let piece = frame.slice(start as i64, SPAN as usize);
            let first = start as u64;
            self.segments
                .insert(first / SPAN, Segment { ids: (first..first + piece.height() as u64).collect(), frame: piece });
        }
        self.changed();
    }

    pub(super) fn apply(&mut self, changes: &Changes) -> PolarsResult<()> {
        if changes.is_empty() {
            return Ok(());
        }
        self.delete(&changes.deletes)?;
        self.upsert(&changes.ids, &changes.rows)?;
        while self.rows > self.rows_held && self.segments.len() > 1 {
            let Some((_, oldest)) = self.segments.pop_first() else { break };
            self.rows -= oldest.ids.len();
            self.status.dropped_rows += oldest.ids.len() as u64;
        }
        self.changed();
        Ok(())
    }

    /// `len` rows after `offset`, newest first.
    pub(super) fn newest_first(&self, offset: usize, len: usize) -> DataFrame {
        let mut skip = offset;
        let mut want = len;
        let mut page = DataFrame::empty_with_schema(&self.schema);
        for segment in self.segments.values().rev() {
            if want == 0 {
                break;
            }
            let height = segment.ids.len();
            if skip >= height {
                skip -= height;
                continue;
            }
            let take = want.min(height - skip);
            let piece = segment.frame.slice((height - skip - take) as i64, take).reverse();
            stack(&mut page, &piece);
            skip = 0;
            want -= take;
        }
        page
    }

    /// The newest `rows` rows, oldest first.
    pub(super) fn tail(&self, rows: usize) -> DataFrame {
        let mut skip = self.rows.saturating_sub(rows);
        let mut all = DataFrame::empty_with_schema(&self.schema);
        for segment in self.segments.values() {
            let height = segment.ids.len();
            if skip >= height {
                skip -= height;
                continue;
            }
            stack(&mut all, &segment.frame.slice(skip as i64, height - skip));
            skip = 0;
        }
        all
    }

    fn changed(&mut self) {
        self.status.rows = self.rows;
        self.status.version += 1;
    }

    fn delete(&mut self, ids: &[u64]) -> PolarsResult<()> {
        let mut by_segment: BTreeMap<u64, Vec<u64>> = BTreeMap::new();
        for id in ids {
            by_segment.entry(id / SPAN).or_default().push(*id);
        }
        for (number, mut gone) in by_segment {
            let Some(segment) = self.segments.get_mut(&number) else { continue };
            gone.sort_unstable();
            let keep: Vec<bool> = segment.ids.iter().map(|id| gone.binary_search(id).is_err()).collect();
            let before = segment.ids.len();
            segment.frame = segment.frame.filter(&BooleanChunked::from_slice(PlSmallStr::EMPTY, &keep))?;
            let mut kept = keep.iter();
            segment.ids.retain(|_| kept.next().copied().unwrap_or(true));
            self.rows -= before - segment.ids.len();
            if segment.ids.is_empty() {
                self.segments.remove(&number);
            }
        }
        Ok(())
    }

    fn upsert(&mut self, ids: &[u64], rows: &DataFrame) -> PolarsResult<()> {
        let mut order: Vec<IdxSize> = (0..ids.len() as IdxSize).collect();
        order.sort_unstable_by_key(|i| ids[*i as usize]);
        let sorted = ids.is_sorted();
        let rows = if sorted { rows.clone() } else { rows.take(&IdxCa::from_slice(PlSmallStr::EMPTY, &order))? };
        let ids: Vec<u64> = order.iter().map(|i| ids[*i as usize]).collect();
        let mut start = 0;
        while start < ids.len() {
            let number = ids[start] / SPAN;
            let end = start + ids[start..].partition_point(|id| id / SPAN == number);
            let piece = rows.slice(start as i64, end - start);
            let piece_ids = &ids[start..end];
            match self.segments.get_mut(&number) {
                Some(segment) => self.rows += segment.merge(piece_ids, &piece)?,
                None => {
                    self.rows += piece_ids.len();
                    self.segments.insert(number, Segment { ids: piece_ids.to_vec(), frame: piece });
                }
            }
            start = end;
        }
        Ok(())
    }
}

impl Segment {
    /// Puts rows in, in the order of their identities; says how many are new.
    fn merge(&mut self, ids: &[u64], rows: &DataFrame) -> PolarsResult<usize> {
        let old = self.ids.len();
        if self.ids.last() < ids.first() {
            append(&mut self.frame, rows)?;
            self.ids.extend_from_slice(ids);
            return Ok(ids.len());
        }
        let mut merged_ids = Vec::with_capacity(old + ids.len());
        let mut from: Vec<IdxSize> = Vec::with_capacity(old + ids.len());
        let (mut a, mut b) = (0, 0);
        while a < old || b < ids.len() {
            let take_new = b < ids.len() && (a >= old || ids[b] <= self.ids[a]);
            if take_new {
                if a < old && ids[b] == self.ids[a] {
                    a += 1;
                }
                merged_ids.push(ids[b]);
                from.push((old + b) as IdxSize);
                b += 1;
            } else {
                merged_ids.push(self.ids[a]);
                from.push(a as IdxSize);
                a += 1;
            }
        }
        let both = self.frame.vstack(rows)?;
        self.frame = both.take(&IdxCa::from_vec(PlSmallStr::EMPTY, from))?;
        self.ids = merged_ids;
        Ok(self.ids.len() - old)
    }
}

/// Puts `piece` below `frame`. Both have the result's schema, which `apply` has checked by stacking.
fn stack(frame: &mut DataFrame, piece: &DataFrame) {
    if frame.height() == 0 {
        *frame = piece.clone();
    } else if let Err(error) = frame.vstack_mut(piece) {
        debug_assert!(false, "rows of one result differ: {error}");
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn held(rows_held: usize) -> Held {
        let schema = df!["v" => [0i64]].unwrap().schema().clone();
        Held::new(schema, Status::default(), rows_held)
    }

    fn put(held: &mut Held, ids: &[u64], values: &[i64], deletes: &[u64]) {
        held.apply(&Changes { ids: ids.to_vec(), rows: df!["v" => values].unwrap(), deletes: deletes.to_vec() })
            .unwrap();
    }

    fn values(frame: &DataFrame) -> Vec<i64> {
        frame.column("v").unwrap().i64().unwrap().into_no_null_iter().collect()
    }

    #[test]
    fn a_newer_row_replaces_the_one_with_its_identity() {
        let mut held = held(100);
        put(&mut held, &[0, 1, 2], &[10, 11, 12], &[]);
        put(&mut held, &[3, 1], &[13, 21], &[]);
        assert_eq!(values(&held.tail(usize::MAX)), [10, 21, 12, 13]);
        assert_eq!(held.status.rows, 4);
    }

    #[test]
    fn pages_reach_across_segments() {
        let mut held = held(100_000);
        let ids: Vec<u64> = (0..10_000).collect();
        let rows: Vec<i64> = (0..10_000).collect();
        put(&mut held, &ids, &rows, &[]);
        assert_eq!(values(&held.newest_first(5_900, 4)), [4099, 4098, 4097, 4096]);
        assert_eq!(values(&held.newest_first(5_902, 4)), [4097, 4096, 4095, 4094]);
        assert_eq!(values(&held.newest_first(9_998, 40)), [1, 0]);
        assert_eq!(values(&held.tail(2)), [9_998, 9_999]);
    }

    #[test]
    fn deleted_rows_leave_and_unknown_ones_do_not_count() {
        let mut held = held(100);
        put(&mut held, &[0, 1, 2], &[10, 11, 12], &[]);
        put(&mut held, &[], &[], &[1, 77]);
        assert_eq!(values(&held.tail(9)), [10, 12]);
        assert_eq!(held.rows(), 2);
    }

    #[test]
    fn the_oldest_segment_falls_off_and_is_counted() {
        let mut held = held(5_000);
        let ids: Vec<u64> = (0..8_192).collect();
        let rows: Vec<i64> = (0..8_192).collect();
        put(&mut held, &ids, &rows, &[]);
        assert_eq!(held.status.dropped_rows, 4_096);
        assert_eq!(held.status.rows, 4_096);
    }
}
