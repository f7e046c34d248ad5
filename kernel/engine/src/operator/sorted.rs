//! The first rows of a result in an order of its own. A row's identity is its rank, the first row's the largest, so that a view
//! of the newest rows shows the first ones first.

use polars::prelude::*;

use super::columns::{POSITION, ROW};
use super::{Executed, GROUPS, Kept, Operator, ROWS, Tables};
use crate::change::{Changes, Delta};
use crate::rows::append;

/// The rows that may be among the first, and those that are.
pub(crate) struct Sorted {
    by: Vec<Expr>,
    options: SortMultipleOptions,
    k: usize,
    /// With their identities where they may change; only the first where they do not.
    rows: DataFrame,
    shown: DataFrame,
}

impl Sorted {
    /// `schema` is that of the rows.
    pub(crate) fn new(by: &[Expr], options: &SortMultipleOptions, k: usize, schema: &SchemaRef) -> Sorted {
        let empty = DataFrame::empty_with_schema(schema);
        Sorted {
            by: by.to_vec(),
            options: options.clone().with_maintain_order(true),
            k,
            rows: empty.clone(),
            shown: empty,
        }
    }
}

impl Operator for Sorted {
    fn execute(&mut self, delta: Delta, _: Option<i64>) -> PolarsResult<Executed> {
        let mut now = match delta {
            Delta::Append(mut rows) => {
                // A rank is no position.
                let _ = rows.drop_in_place(POSITION);
                self.rows.vstack_mut(&rows)?;
                self.rows = self.first()?;
                self.rows.clone()
            }
            Delta::Change(changes) => {
                self.change(changes)?;
                self.first()?.drop(ROW)?
            }
        };
        now.rechunk_mut();
        let before = std::mem::replace(&mut self.shown, now.clone());
        if before.equals_missing(&now) {
            return Ok(Executed::of(Delta::Change(Changes { rows: now.clear(), ..Changes::default() })));
        }
        let rank = |place: usize| (self.k - 1 - place) as u64;
        let deletes = (now.height()..before.height()).map(rank).collect();
        let ids = (0..now.height()).map(rank).collect();
        Ok(Executed::of(Delta::Change(Changes { ids, rows: now, deletes })))
    }

    fn save(&self) -> PolarsResult<Kept> {
        Ok(Kept::new(0, [(GROUPS, self.shown.clone()), (ROWS, self.rows.clone())]))
    }

    fn restore(&mut self, _: u64, tables: Tables<'_>) -> PolarsResult<()> {
        self.shown = tables(GROUPS)?;
        self.rows = tables(ROWS)?;
        Ok(())
    }
}

impl Sorted {
    fn change(&mut self, changes: Changes) -> PolarsResult<()> {
        let Changes { ids, mut rows, deletes } = changes;
        rows.with_column(Column::from(Series::new(ROW.into(), ids.clone())))?;
        if !self.rows.schema().contains(ROW) {
            self.rows = rows.clear();
        }
        let gone: PlHashSet<u64> = ids.into_iter().chain(deletes).collect();
        let keep: BooleanChunked =
            self.rows.column(ROW)?.u64()?.iter().map(|id| Some(id.is_none_or(|id| !gone.contains(&id)))).collect();
        self.rows = self.rows.filter(&keep)?;
        append(&mut self.rows, &rows)
    }

    fn first(&self) -> PolarsResult<DataFrame> {
        let sorted = self.rows.clone().lazy().sort_by_exprs(&self.by, self.options.clone());
        sorted.limit(IdxSize::try_from(self.k).unwrap_or(IdxSize::MAX)).collect()
    }
}
