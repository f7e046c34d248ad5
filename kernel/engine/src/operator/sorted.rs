//! The first rows of a result in an order of its own. A row's identity is its rank, the first row's the largest, so that a view
//! of the newest rows shows the first ones first.

use polars::prelude::*;

use super::columns::{POSITION, ROW};
use super::{Executed, Kept, Operator, ROWS, Tables};
use crate::change::{Changes, Delta};
use crate::rows::append;
use crate::saved::numbered;

/// The rows that may be among the first, and those that are.
pub(crate) struct Sorted {
    by: Vec<Expr>,
    options: SortMultipleOptions,
    k: usize,
    /// With their identities where they may change, and numbers of our own where they do not; of the latter only the first.
    rows: DataFrame,
    shown: DataFrame,
    /// The number that the next row without an identity gets.
    next: u64,
    /// The rows that came or went since the state was last written down, once it has been.
    noted: Option<PlHashSet<u64>>,
}

impl Sorted {
    /// `schema` is that of the rows.
    pub(crate) fn new(by: &[Expr], options: &SortMultipleOptions, k: usize, schema: &SchemaRef) -> Sorted {
        let mut with_numbers = schema.as_ref().clone();
        with_numbers.with_column(ROW.into(), DataType::UInt64);
        Sorted {
            by: by.to_vec(),
            options: options.clone().with_maintain_order(true),
            k,
            rows: DataFrame::empty_with_schema(&with_numbers),
            shown: DataFrame::empty_with_schema(schema),
            next: 0,
            noted: None,
        }
    }
}

impl Operator for Sorted {
    fn execute(&mut self, delta: Delta, _: Option<i64>) -> PolarsResult<Executed> {
        let mut now = match delta {
            Delta::Append(rows) => self.add(rows)?,
            Delta::Change(changes) => self.change(changes)?,
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
        Ok(Kept::new(self.next, [(ROWS, self.rows.clone())]))
    }

    fn restore(&mut self, number: u64, tables: Tables<'_>) -> PolarsResult<()> {
        self.next = number;
        self.rows = tables(ROWS)?;
        self.shown = self.first()?.drop(ROW)?;
        self.all_saved();
        Ok(())
    }

    fn all_saved(&mut self) {
        self.noted = Some(PlHashSet::default());
    }

    fn save_changes(&mut self) -> PolarsResult<Kept> {
        let mut noted = self.noted.replace(PlHashSet::default()).unwrap_or_default();
        let there = self.rows.column(ROW)?.u64()?;
        let new: BooleanChunked = there.iter().map(|id| Some(id.is_some_and(|id| noted.remove(&id)))).collect();
        let changes = numbered::changes(self.rows.filter(&new)?, noted.into_iter().collect())?;
        Ok(Kept::changes(self.next, [(ROWS, changes)]))
    }
}

impl Sorted {
    /// Takes in rows that never change; gives those that are the first now.
    fn add(&mut self, mut rows: DataFrame) -> PolarsResult<DataFrame> {
        // A rank is no position.
        let _ = rows.drop_in_place(POSITION);
        let numbers: Vec<u64> = (self.next..).take(rows.height()).collect();
        self.next += rows.height() as u64;
        rows.with_column(Column::from(Series::new(ROW.into(), numbers)))?;
        let before = self.noted.as_ref().map(|_| self.numbers()).transpose()?;
        self.rows.vstack_mut(&rows)?;
        self.rows = self.first()?;
        if let Some(before) = before {
            let now = self.numbers()?;
            let changed = before.symmetric_difference(&now).copied();
            self.noted.get_or_insert_default().extend(changed);
        }
        self.rows.drop(ROW)
    }

    /// Takes in rows that may change; gives those that are the first now.
    fn change(&mut self, changes: Changes) -> PolarsResult<DataFrame> {
        let Changes { ids, mut rows, deletes } = changes;
        rows.with_column(Column::from(Series::new(ROW.into(), ids.clone())))?;
        let gone: PlHashSet<u64> = ids.into_iter().chain(deletes).collect();
        let keep: BooleanChunked =
            self.rows.column(ROW)?.u64()?.iter().map(|id| Some(id.is_none_or(|id| !gone.contains(&id)))).collect();
        self.rows = self.rows.filter(&keep)?;
        append(&mut self.rows, &rows)?;
        if let Some(noted) = &mut self.noted {
            noted.extend(gone);
        }
        self.first()?.drop(ROW)
    }

    fn numbers(&self) -> PolarsResult<PlHashSet<u64>> {
        Ok(self.rows.column(ROW)?.u64()?.iter().flatten().collect())
    }

    fn first(&self) -> PolarsResult<DataFrame> {
        let sorted = self.rows.clone().lazy().sort_by_exprs(&self.by, self.options.clone());
        sorted.limit(IdxSize::try_from(self.k).unwrap_or(IdxSize::MAX)).collect()
    }
}
