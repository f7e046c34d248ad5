//! Rows by their identities: what an operator keeps of rows that may change or go, and what changed of it since it was last written
//! down. A row has a number too, in the order in which rows came; one that takes the place of another has a new one.

use polars::prelude::*;

use super::columns::ROW;
use super::segments::Segments;
use crate::snapshot::numbered;

/// The rows.
pub(super) struct RowStore {
    /// By number, each with its identity in the column [`ROW`].
    rows: Segments,
    next_number: u64,
    /// The number of the row with an identity.
    numbers: PlHashMap<u64, u64>,
    /// The identities of rows that came, changed or went since the rows were last written down, once they have been.
    noted: Option<PlHashSet<u64>>,
}

impl RowStore {
    /// `schema` is that of the rows.
    pub(super) fn new(schema: &SchemaRef) -> RowStore {
        let mut with_ids = schema.as_ref().clone();
        with_ids.with_column(ROW.into(), DataType::UInt64);
        let rows = Segments::new(DataFrame::empty_with_schema(&with_ids));
        RowStore { rows, next_number: 0, numbers: PlHashMap::default(), noted: None }
    }

    /// How many rows there are.
    pub(super) fn len(&self) -> usize {
        self.numbers.len()
    }

    /// The number of a row, if it is there.
    pub(super) fn number(&self, id: u64) -> Option<u64> {
        self.numbers.get(&id).copied()
    }

    /// Sets numbers aside for rows of which some may be [put in](RowStore::put_numbered); gives the first.
    pub(super) fn reserve(&mut self, rows: usize) -> u64 {
        self.next_number += rows as u64;
        self.next_number - rows as u64
    }

    /// Puts rows in, of which none is there; gives the number of the first, which those of the others follow.
    pub(super) fn put(&mut self, ids: &[u64], rows: DataFrame) -> PolarsResult<u64> {
        let first = self.reserve(ids.len());
        self.put_numbered(ids, (first..).take(ids.len()).collect(), rows)?;
        Ok(first)
    }

    /// The same under numbers that were set aside, each larger than those of the rows before.
    pub(super) fn put_numbered(&mut self, ids: &[u64], numbers: Vec<u64>, mut rows: DataFrame) -> PolarsResult<()> {
        rows.with_column(Column::from(Series::new(ROW.into(), ids)))?;
        self.numbers.extend(ids.iter().copied().zip(numbers.iter().copied()));
        self.note(ids);
        self.rows.put(numbers, rows);
        Ok(())
    }

    /// Takes a row out, if it is there; gives its number, under which it can be read until [`RowStore::tidy`].
    pub(super) fn remove(&mut self, id: u64) -> Option<u64> {
        let number = self.numbers.remove(&id)?;
        self.note(&[id]);
        self.rows.free(number);
        Some(number)
    }

    /// Takes the rows with these numbers out.
    pub(super) fn remove_numbers(&mut self, numbers: &[Option<u64>]) -> PolarsResult<()> {
        for id in self.rows.take(numbers)?.column(ROW)?.u64()?.iter().flatten() {
            self.remove(id);
        }
        Ok(())
    }

    /// Rows by their numbers.
    pub(super) fn take(&self, numbers: &[Option<u64>]) -> PolarsResult<DataFrame> {
        let mut rows = self.rows.take(numbers)?;
        rows.drop_in_place(ROW)?;
        Ok(rows)
    }

    /// All rows with their identities in the column [`ROW`], in the order of their numbers.
    pub(super) fn live(&self) -> PolarsResult<DataFrame> {
        self.rows.live()
    }

    /// Gives the room of rows back that were taken out.
    pub(super) fn tidy(&mut self) -> PolarsResult<()> {
        self.rows.tidy()
    }

    /// About how much memory is taken.
    pub(super) fn bytes(&self) -> usize {
        self.rows.bytes() + self.numbers.capacity() * size_of::<[u64; 2]>()
    }

    /// Says that all rows are written down.
    pub(super) fn all_saved(&mut self) {
        self.noted = Some(PlHashSet::default());
    }

    /// What changed since the rows were last written down.
    pub(super) fn save_changes(&mut self) -> PolarsResult<DataFrame> {
        let noted = self.noted.replace(PlHashSet::default()).unwrap_or_default();
        let (mut there, mut gone) = (Vec::new(), Vec::new());
        for id in noted {
            match self.numbers.get(&id) {
                Some(number) => there.push(Some(*number)),
                None => gone.push(id),
            }
        }
        there.sort_unstable();
        numbered::changes(self.rows.take(&there)?, gone)
    }

    /// Takes over what [`RowStore::live`] gave, with all that changed of it; gives the identities.
    pub(super) fn restore(&mut self, mut rows: DataFrame) -> PolarsResult<Vec<u64>> {
        let ids: Vec<u64> = rows.drop_in_place(ROW)?.u64()?.iter().flatten().collect();
        rows.rechunk_mut();
        self.put(&ids, rows)?;
        self.all_saved();
        Ok(ids)
    }

    fn note(&mut self, ids: &[u64]) {
        if let Some(noted) = &mut self.noted {
            noted.extend(ids);
        }
    }
}
