//! The whole result of a query, kept for a sink that is given all of it and for `memory_table`: every row, however many, or an
//! error that names the cap on memory. It is fed by the operators' changes and knows nothing of views. One writer (the query's
//! thread), any number of readers.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use polars::prelude::*;

use super::indexed_rows::IndexedRows;
use crate::change::Changes;
use crate::operator::columns::ROW;
use crate::state::{PendingTable, numbered};

/// A handle to the whole result of a query; cloning it is cheap.
#[derive(Clone)]
pub struct ResultTable(Arc<Mutex<TableState>>);

struct TableState {
    rows: IndexedRows,
    max_bytes: usize,
    /// Whether the newest row is the first: the first row of a sorted result has the largest identity.
    newest_first: bool,
    /// Rows that came, went or are others since the last state, once there was one.
    noted: Option<PlHashSet<u64>>,
}

/// A whole result that does not fit.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[error(
    "the whole result does not fit in memory: its {rows} rows take about {}, and the cap is {}. Raise the cap with .max_result_bytes(…), write with output_mode(OutputMode::Update), or have windows behind a watermark end its groups",
    in_words(*.bytes),
    in_words(*.max_bytes)
)]
pub struct ResultTooLarge {
    /// Rows of the result.
    pub rows: usize,
    /// What they take.
    pub bytes: usize,
    /// What they may take.
    pub max_bytes: usize,
}

fn in_words(bytes: usize) -> String {
    const GIB: usize = 1 << 30;
    const MIB: usize = 1 << 20;
    match bytes {
        GIB.. => format!("{:.1} GiB ({bytes} bytes)", bytes as f64 / GIB as f64),
        MIB.. => format!("{:.1} MiB ({bytes} bytes)", bytes as f64 / MIB as f64),
        _ => format!("{bytes} bytes"),
    }
}

impl ResultTable {
    /// No row yet, and never more than fit in `max_bytes`.
    pub(crate) fn new(schema: SchemaRef, max_bytes: usize, newest_first: bool) -> ResultTable {
        let rows = IndexedRows::new(schema);
        ResultTable(Arc::new(Mutex::new(TableState { rows, max_bytes, newest_first, noted: None })))
    }

    /// Takes in what a batch changed. Whether it still [fits](ResultTable::fits) is to be asked.
    pub(crate) fn apply(&self, changes: &Changes) -> PolarsResult<()> {
        let mut table = self.table();
        if !changes.is_empty() {
            table.rows.check(&changes.rows)?;
            table.rows.apply(changes)?;
        }
        if let Some(noted) = &mut table.noted {
            noted.extend(changes.ids.iter().chain(&changes.deletes));
        }
        Ok(())
    }

    /// Whether it takes no more memory than it may.
    pub(crate) fn fits(&self) -> Result<(), ResultTooLarge> {
        let table = self.table();
        let (rows, bytes, max_bytes) = (table.rows.len(), table.rows.bytes(), table.max_bytes);
        if bytes > max_bytes { Err(ResultTooLarge { rows, bytes, max_bytes }) } else { Ok(()) }
    }

    /// How many rows there are.
    #[must_use]
    pub fn height(&self) -> usize {
        self.table().rows.len()
    }

    /// All rows, in the order of the result if it has one, otherwise oldest first.
    #[must_use]
    pub fn frame(&self) -> DataFrame {
        let (pieces, schema, newest_first) = {
            let table = self.table();
            (table.rows.pieces(), table.rows.schema().clone(), table.newest_first)
        };
        let mut all = stacked(&schema, pieces);
        if newest_first {
            return all.reverse();
        }
        all.rechunk_mut();
        all
    }

    /// The rows with their identities, to become a table of a state: `all`, or what [changed](numbered::changes) since this was
    /// last asked.
    pub(crate) fn freeze(&self, all: bool) -> PolarsResult<PendingTable> {
        let mut table = self.table();
        let noted = table.noted.replace(PlHashSet::default()).unwrap_or_default();
        let (schema, mut gone) = (table.rows.schema().clone(), Vec::new());
        let (ids, pieces) = if all {
            (table.rows.ids(), table.rows.pieces())
        } else {
            gone = noted.into_iter().collect();
            gone.sort_unstable();
            let (there, rows) = table.rows.found(&gone)?;
            gone.retain(|id| there.binary_search(id).is_err());
            (there, vec![rows])
        };
        Ok(Box::new(move || {
            let rows = with_ids(stacked(&schema, pieces), ids)?;
            if all { Ok(rows) } else { numbered::changes(rows, gone) }
        }))
    }

    /// Takes over what [`ResultTable::freeze`] gave, with all that changed of it; gives it as a change of nothing.
    pub(crate) fn restore(&self, mut saved: DataFrame) -> PolarsResult<Changes> {
        let ids = saved.drop_in_place(ROW)?.u64()?.iter().map(Option::unwrap_or_default).collect();
        let changes = Changes { ids, rows: saved, deletes: Vec::new() };
        let mut table = self.table();
        table.rows.check(&changes.rows)?;
        table.rows.apply(&changes)?;
        table.noted = Some(PlHashSet::default());
        Ok(changes)
    }

    fn table(&self) -> MutexGuard<'_, TableState> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn with_ids(mut rows: DataFrame, ids: Vec<u64>) -> PolarsResult<DataFrame> {
    rows.with_column(Column::from(Series::new(ROW.into(), ids)))?;
    Ok(rows)
}

/// Pieces of one table below one another.
fn stacked(schema: &SchemaRef, pieces: Vec<DataFrame>) -> DataFrame {
    let mut all = DataFrame::empty_with_schema(schema);
    for piece in pieces {
        super::indexed_rows::stack(&mut all, &piece);
    }
    all
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn table(max_bytes: usize) -> ResultTable {
        ResultTable::new(df!["v" => [0i64]].unwrap().schema().clone(), max_bytes, false)
    }

    fn put(table: &ResultTable, ids: &[u64], values: &[i64], deletes: &[u64]) -> Result<(), ResultTooLarge> {
        let rows = df!["v" => values].unwrap();
        table.apply(&Changes { ids: ids.to_vec(), rows, deletes: deletes.to_vec() }).unwrap();
        table.fits()
    }

    #[test]
    fn what_does_not_fit_is_an_error_that_names_the_cap() {
        let table = table(100);
        put(&table, &[0, 1, 2], &[1, 2, 3], &[]).unwrap();
        put(&table, &[0, 1, 2], &[4, 5, 6], &[]).unwrap();
        put(&table, &[3, 4, 5], &[7, 8, 9], &[0, 1, 2]).unwrap();
        let error = put(&table, &[6, 7, 8, 9], &[1, 2, 3, 4], &[]).unwrap_err();
        assert_eq!(error, ResultTooLarge { rows: 7, bytes: 112, max_bytes: 100 });
        let text = error.to_string();
        assert!(text.contains("112 bytes") && text.contains("the cap is 100 bytes"), "{text}");
        assert_eq!(in_words(4 << 30), "4.0 GiB (4294967296 bytes)");
    }

    #[test]
    fn a_state_has_all_rows_or_those_that_changed_since_the_one_before() {
        let before = table(usize::MAX);
        put(&before, &[0, 1, 5_000], &[10, 11, 50], &[]).unwrap();
        let all = before.freeze(true).unwrap()().unwrap();
        put(&before, &[1, 2], &[21, 12], &[0]).unwrap();
        let changes = before.freeze(false).unwrap()().unwrap();
        assert_eq!((all.height(), changes.height()), (3, 3));
        assert_eq!(before.freeze(false).unwrap()().unwrap().height(), 0);
        let after = table(usize::MAX);
        let restored = after.restore(numbered::changed(all, vec![changes]).unwrap()).unwrap();
        assert_eq!(restored.ids.len(), 3);
        assert_eq!(after.frame(), before.frame());
        assert_eq!(after.freeze(false).unwrap()().unwrap().height(), 0);
    }
}
