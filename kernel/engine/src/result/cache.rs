//! The rows that views look at: the newest of a result, so many at the most. Changes are put aside until somebody looks, or
//! until there are many: of what is looked at once in ten batches only the tenth state is ever made, and of what nobody looks
//! at hardly any. Plain data: the lock is the result's.

use polars::prelude::*;

use super::dropped::DroppedRows;
use super::indexed_rows::IndexedRows;
use crate::change::Changes;

/// Changed rows that are put aside at the most, or a part of the rows there are, if that is more: then taking them in costs
/// little for each.
const MOST_ASIDE: usize = 65_536;
const PART_ASIDE: usize = 4;
/// Batches that are put aside at the most.
const BATCHES_ASIDE: usize = 4096;

/// The newest rows of a result.
pub(super) struct ViewCache {
    rows: IndexedRows,
    most: usize,
    dropped: DroppedRows,
    aside: Vec<Changes>,
    rows_aside: usize,
    /// Why what was put aside could not be taken in; told to who puts in more.
    failed: Option<PolarsError>,
}

impl ViewCache {
    /// No row yet, and never more than about `most`.
    pub(super) fn new(schema: SchemaRef, most: usize) -> ViewCache {
        let (dropped, aside) = Default::default();
        ViewCache { rows: IndexedRows::new(schema), most, dropped, aside, rows_aside: 0, failed: None }
    }

    pub(super) fn schema(&self) -> &SchemaRef {
        self.rows.schema()
    }

    /// Puts `frame` in the place of all rows.
    pub(super) fn replace(&mut self, frame: &DataFrame) {
        let most = self.most;
        *self = ViewCache { rows: IndexedRows::of(frame), ..ViewCache::new(frame.schema().clone(), most) };
    }

    /// Takes in what a batch changed.
    ///
    /// # Errors
    /// When the rows do not have the result's schema.
    pub(super) fn put(&mut self, changes: &Changes) -> PolarsResult<()> {
        if let Some(error) = self.failed.take() {
            return Err(error);
        }
        if changes.is_empty() {
            return Ok(());
        }
        self.rows.check(&changes.rows)?;
        self.rows_aside += changes.ids.len() + changes.deletes.len();
        self.aside.push(changes.clone());
        if self.rows_aside > MOST_ASIDE.max(self.rows.len() / PART_ASIDE) || self.aside.len() > BATCHES_ASIDE {
            self.settle()?;
        }
        Ok(())
    }

    /// The rows as they are now, and how many of the result are not among them.
    pub(super) fn now(&mut self) -> (&IndexedRows, u64) {
        if let Err(error) = self.settle() {
            self.failed = Some(error);
        }
        (&self.rows, self.dropped.count())
    }

    fn settle(&mut self) -> PolarsResult<()> {
        self.rows_aside = 0;
        let Some(changes) = combined(std::mem::take(&mut self.aside))? else { return Ok(()) };
        self.dropped.remove(&changes.ids);
        self.dropped.remove(&changes.deletes);
        self.rows.apply(&changes)?;
        while self.rows.len() > self.most {
            let Some(oldest) = self.rows.pop_oldest() else { break };
            self.dropped.add(&oldest);
        }
        Ok(())
    }
}

/// Several changes as one: what the last one says of an identity holds.
fn combined(all: Vec<Changes>) -> PolarsResult<Option<Changes>> {
    if all.len() < 2 {
        return Ok(all.into_iter().next());
    }
    let mut rows = DataFrame::empty_with_schema(all[0].rows.schema());
    all.iter().try_for_each(|changes| rows.vstack_mut(&changes.rows).map(drop))?;
    rows.rechunk_mut();
    if all.iter().all(|changes| changes.deletes.is_empty())
        && all.iter().flat_map(|changes| &changes.ids).is_sorted_by(|a, b| a < b)
    {
        let ids = all.into_iter().flat_map(|changes| changes.ids).collect();
        return Ok(Some(Changes { ids, rows, deletes: Vec::new() }));
    }
    let (mut told, mut ids, mut deletes) = (PlHashSet::default(), Vec::new(), Vec::new());
    let (mut places, mut end) = (Vec::new(), rows.height());
    for changes in all.iter().rev() {
        end -= changes.ids.len();
        for (row, id) in changes.ids.iter().enumerate() {
            if told.insert(*id) {
                ids.push(*id);
                places.push((end + row) as IdxSize);
            }
        }
        deletes.extend(changes.deletes.iter().filter(|id| told.insert(**id)));
    }
    Ok(Some(Changes { ids, rows: rows.take(&IdxCa::from_vec(PlSmallStr::EMPTY, places))?, deletes }))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn cache(most: usize) -> ViewCache {
        ViewCache::new(df!["v" => [0i64]].unwrap().schema().clone(), most)
    }

    fn put(cache: &mut ViewCache, ids: &[u64], values: &[i64], deletes: &[u64]) {
        let rows = df!["v" => values].unwrap();
        cache.put(&Changes { ids: ids.to_vec(), rows, deletes: deletes.to_vec() }).unwrap();
    }

    fn values(cache: &mut ViewCache) -> Vec<i64> {
        let rows = cache.now().0.tail(usize::MAX);
        rows.column("v").unwrap().i64().unwrap().into_no_null_iter().collect()
    }

    #[test]
    fn of_changes_that_were_put_aside_the_last_one_holds() {
        let mut cache = cache(100);
        put(&mut cache, &[0, 1, 2], &[10, 11, 12], &[]);
        put(&mut cache, &[1], &[21], &[0]);
        put(&mut cache, &[3, 1], &[13, 31], &[2]);
        put(&mut cache, &[2], &[32], &[2, 77]);
        assert_eq!(cache.aside.len(), 4, "nobody has looked");
        assert_eq!(values(&mut cache), [31, 32, 13]);
        assert_eq!(cache.aside.len(), 0);
        put(&mut cache, &[4], &[14], &[]);
        put(&mut cache, &[5], &[15], &[]);
        assert_eq!(values(&mut cache), [31, 32, 13, 14, 15]);
    }

    #[test]
    fn rows_of_other_columns_are_refused_at_once() {
        let mut cache = cache(100);
        let rows = df!["other" => ["a"]].unwrap();
        assert!(cache.put(&Changes { ids: vec![0], rows, deletes: Vec::new() }).is_err());
    }

    #[test]
    fn a_row_that_is_not_held_counts_once_and_not_at_all_when_it_has_left_the_result() {
        let mut cache = cache(5_000);
        let ids: Vec<u64> = (0..8_192).collect();
        let all: Vec<i64> = (0..8_192).collect();
        put(&mut cache, &ids, &all, &[]);
        let (rows, dropped) = cache.now();
        assert_eq!((rows.len(), dropped), (4_096, 4_096));
        // All of them again, as a sorted result gives them: nothing has left.
        put(&mut cache, &ids, &all, &[]);
        assert_eq!(cache.now().1, 4_096);
        put(&mut cache, &[], &[], &[0, 1, 8_191]);
        let (rows, dropped) = cache.now();
        assert_eq!((rows.len(), dropped), (4_095, 4_094));
    }
}
