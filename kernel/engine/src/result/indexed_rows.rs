//! Rows that are found by identity, cut into segments, so that a small change touches a small piece however many there are.
//! Plain data: what view caches and result tables are made of, and the lock is theirs.

use std::collections::BTreeMap;

use polars::prelude::*;

use crate::change::Changes;
use crate::rows::append;

/// Identities a segment spans. A batch copies the segments it changes, so this bounds what a changed row costs.
pub(super) const SPAN: u64 = 4096;

/// Rows by identity, which is also their age.
pub(super) struct IndexedRows {
    schema: SchemaRef,
    segments: BTreeMap<u64, RowSegment>,
    rows: usize,
    /// About what they take of memory.
    bytes: usize,
}

struct RowSegment {
    /// Rising; one a row of `frame`.
    ids: Vec<u64>,
    frame: DataFrame,
    bytes: usize,
}

impl IndexedRows {
    /// None yet.
    pub(super) fn new(schema: SchemaRef) -> IndexedRows {
        IndexedRows { schema, segments: BTreeMap::new(), rows: 0, bytes: 0 }
    }

    /// The rows of `frame`, the first being the oldest.
    pub(super) fn of(frame: &DataFrame) -> IndexedRows {
        let mut rows = IndexedRows::new(frame.schema().clone());
        for start in (0..frame.height()).step_by(SPAN as usize) {
            let piece = frame.slice(start as i64, SPAN as usize);
            let first = start as u64;
            rows.put(first / SPAN, RowSegment::new((first..first + piece.height() as u64).collect(), piece));
        }
        rows
    }

    pub(super) fn schema(&self) -> &SchemaRef {
        &self.schema
    }

    /// How many there are.
    pub(super) fn len(&self) -> usize {
        self.rows
    }

    /// About what they take of memory; what several of them share counts for each.
    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }

    /// The identities, oldest first.
    pub(super) fn ids(&self) -> Vec<u64> {
        self.segments.values().flat_map(|segment| segment.ids.iter().copied()).collect()
    }

    /// All rows in pieces, oldest first. Nothing is copied.
    pub(super) fn pieces(&self) -> Vec<DataFrame> {
        self.segments.values().map(|segment| segment.frame.clone()).collect()
    }

    /// Refuses rows of other columns.
    pub(super) fn check(&self, rows: &DataFrame) -> PolarsResult<()> {
        DataFrame::empty_with_schema(&self.schema).vstack(&rows.clear()).map(drop)
    }

    /// Takes in what a batch changed.
    pub(super) fn apply(&mut self, changes: &Changes) -> PolarsResult<()> {
        self.delete(&changes.deletes)?;
        self.upsert(&changes.ids, &changes.rows)
    }

    /// Takes the oldest segment away, unless it is the only one; gives the identities of its rows.
    pub(super) fn pop_oldest(&mut self) -> Option<Vec<u64>> {
        if self.segments.len() < 2 {
            return None;
        }
        let (_, oldest) = self.segments.pop_first()?;
        self.rows -= oldest.ids.len();
        self.bytes -= oldest.bytes;
        Some(oldest.ids)
    }

    /// Those of `ids` that are there, rising, and their rows; `ids` rise.
    pub(super) fn found(&self, ids: &[u64]) -> PolarsResult<(Vec<u64>, DataFrame)> {
        let (mut there, mut rows) = (Vec::new(), DataFrame::empty_with_schema(&self.schema));
        for some in ids.chunk_by(|a, b| a / SPAN == b / SPAN) {
            let Some(segment) = self.segments.get(&(some[0] / SPAN)) else { continue };
            let places: Vec<(u64, IdxSize)> = some
                .iter()
                .filter_map(|id| segment.ids.binary_search(id).ok().map(|place| (*id, place as IdxSize)))
                .collect();
            let taken: Vec<IdxSize> = places.iter().map(|(_, place)| *place).collect();
            stack(&mut rows, &segment.frame.take(&IdxCa::from_vec(PlSmallStr::EMPTY, taken))?);
            there.extend(places.into_iter().map(|(id, _)| id));
        }
        Ok((there, rows))
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

    fn put(&mut self, number: u64, segment: RowSegment) {
        self.rows += segment.ids.len();
        self.bytes += segment.bytes;
        self.segments.insert(number, segment);
    }

    /// Takes a segment out, to be put back when it was changed.
    fn take(&mut self, number: u64) -> Option<RowSegment> {
        let segment = self.segments.remove(&number)?;
        self.rows -= segment.ids.len();
        self.bytes -= segment.bytes;
        Some(segment)
    }

    fn delete(&mut self, ids: &[u64]) -> PolarsResult<()> {
        let mut by_segment: BTreeMap<u64, Vec<u64>> = BTreeMap::new();
        for id in ids {
            by_segment.entry(id / SPAN).or_default().push(*id);
        }
        for (number, mut gone) in by_segment {
            let Some(RowSegment { mut ids, frame, .. }) = self.take(number) else { continue };
            gone.sort_unstable();
            let keep: Vec<bool> = ids.iter().map(|id| gone.binary_search(id).is_err()).collect();
            let frame = frame.filter(&BooleanChunked::from_slice(PlSmallStr::EMPTY, &keep))?;
            let mut kept = keep.iter();
            ids.retain(|_| kept.next().copied().unwrap_or(true));
            if !ids.is_empty() {
                self.put(number, RowSegment::new(ids, frame));
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
            let segment = match self.take(number) {
                Some(segment) => segment.merged(piece_ids, &piece)?,
                None => RowSegment::new(piece_ids.to_vec(), piece),
            };
            self.put(number, segment);
            start = end;
        }
        Ok(())
    }
}

impl RowSegment {
    fn new(ids: Vec<u64>, frame: DataFrame) -> RowSegment {
        let bytes = frame.estimated_size() + size_of_val(ids.as_slice());
        RowSegment { ids, frame, bytes }
    }

    /// With rows put in, in the order of their identities.
    fn merged(self, ids: &[u64], rows: &DataFrame) -> PolarsResult<RowSegment> {
        let RowSegment { ids: mut ours, mut frame, .. } = self;
        if ours.last() < ids.first() {
            append(&mut frame, rows)?;
            ours.extend_from_slice(ids);
            return Ok(RowSegment::new(ours, frame));
        }
        let old = ours.len();
        let mut merged_ids = Vec::with_capacity(old + ids.len());
        let mut from: Vec<IdxSize> = Vec::with_capacity(old + ids.len());
        let (mut a, mut b) = (0, 0);
        while a < old || b < ids.len() {
            let take_new = b < ids.len() && (a >= old || ids[b] <= ours[a]);
            if take_new {
                if a < old && ids[b] == ours[a] {
                    a += 1;
                }
                merged_ids.push(ids[b]);
                from.push((old + b) as IdxSize);
                b += 1;
            } else {
                merged_ids.push(ours[a]);
                from.push(a as IdxSize);
                a += 1;
            }
        }
        let frame = frame.vstack(rows)?.take(&IdxCa::from_vec(PlSmallStr::EMPTY, from))?;
        Ok(RowSegment::new(merged_ids, frame))
    }
}

/// Puts `piece` below `frame`. Both have the schema of the rows they are of, which was [checked](IndexedRows::check).
pub(super) fn stack(frame: &mut DataFrame, piece: &DataFrame) {
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

    fn none() -> IndexedRows {
        IndexedRows::new(df!["v" => [0i64]].unwrap().schema().clone())
    }

    fn put(rows: &mut IndexedRows, ids: &[u64], values: &[i64], deletes: &[u64]) {
        rows.apply(&Changes { ids: ids.to_vec(), rows: df!["v" => values].unwrap(), deletes: deletes.to_vec() })
            .unwrap();
    }

    fn values(frame: &DataFrame) -> Vec<i64> {
        frame.column("v").unwrap().i64().unwrap().into_no_null_iter().collect()
    }

    #[test]
    fn a_newer_row_replaces_the_one_with_its_identity() {
        let mut rows = none();
        put(&mut rows, &[0, 1, 2], &[10, 11, 12], &[]);
        put(&mut rows, &[3, 1], &[13, 21], &[]);
        assert_eq!(values(&rows.tail(usize::MAX)), [10, 21, 12, 13]);
        assert_eq!((rows.len(), rows.bytes()), (4, 4 * 8 * 2));
    }

    #[test]
    fn pages_reach_across_segments() {
        let mut rows = none();
        let ids: Vec<u64> = (0..10_000).collect();
        let all: Vec<i64> = (0..10_000).collect();
        put(&mut rows, &ids, &all, &[]);
        assert_eq!(values(&rows.newest_first(5_900, 4)), [4099, 4098, 4097, 4096]);
        assert_eq!(values(&rows.newest_first(5_902, 4)), [4097, 4096, 4095, 4094]);
        assert_eq!(values(&rows.newest_first(9_998, 40)), [1, 0]);
        assert_eq!(values(&rows.tail(2)), [9_998, 9_999]);
    }

    #[test]
    fn deleted_rows_leave_and_unknown_ones_do_not_count() {
        let mut rows = none();
        put(&mut rows, &[0, 1, 2], &[10, 11, 12], &[]);
        put(&mut rows, &[], &[], &[1, 77]);
        assert_eq!(values(&rows.tail(9)), [10, 12]);
        assert_eq!(rows.len(), 2);
        put(&mut rows, &[], &[], &[0, 2]);
        assert_eq!((rows.len(), rows.bytes()), (0, 0));
    }

    #[test]
    fn rows_are_found_by_their_identities_across_segments() {
        let mut rows = none();
        put(&mut rows, &[1, 5_000, 5_001], &[1, 50, 51], &[]);
        let (ids, found) = rows.found(&[1, 2, 5_001, 900_000]).unwrap();
        assert_eq!((ids, values(&found)), (vec![1, 5_001], vec![1, 51]));
    }
}
