//! Rows by their identities: rows that may change or go. A row has a number too, in the order in which rows came; one that takes
//! the place of another has a new one.

use std::ops::Range;

use polars::prelude::*;

use super::segments::Segments;
use super::{PendingTable, StateTable, numbered};
use crate::operator::columns::ROW;

/// The rows.
pub(crate) struct RowTable {
    /// By number, each with its identity in the column [`ROW`].
    rows: Segments,
    next_number: u64,
    /// The number of the row with an identity.
    numbers: PlHashMap<u64, u64>,
    /// The identity that the next row without one of its own gets.
    next_id: u64,
    /// The identities of rows that came, changed or went since the table was last written, once it has been.
    noted: Option<PlHashSet<u64>>,
}

impl RowTable {
    /// `schema` is that of the rows.
    pub(crate) fn new(schema: &SchemaRef) -> RowTable {
        let mut with_ids = schema.as_ref().clone();
        with_ids.with_column(ROW.into(), DataType::UInt64);
        let rows = Segments::new(DataFrame::empty_with_schema(&with_ids));
        RowTable { rows, next_number: 0, numbers: PlHashMap::default(), next_id: 0, noted: None }
    }

    /// How many rows there are.
    pub(crate) fn len(&self) -> usize {
        self.numbers.len()
    }

    /// The number of a row, if it is there.
    pub(crate) fn number_of(&self, id: u64) -> Option<u64> {
        self.numbers.get(&id).copied()
    }

    /// Identities for rows that have none of their own.
    pub(crate) fn new_ids(&mut self, rows: usize) -> Range<u64> {
        self.next_id += rows as u64;
        self.next_id - rows as u64..self.next_id
    }

    /// Sets numbers aside for rows of which some may be [put in](RowTable::put_numbered); gives the first.
    pub(crate) fn reserve(&mut self, rows: usize) -> u64 {
        self.next_number += rows as u64;
        self.next_number - rows as u64
    }

    /// Puts rows in, of which none is there; gives the number of the first, which those of the others follow.
    pub(crate) fn put(&mut self, ids: &[u64], rows: DataFrame) -> PolarsResult<u64> {
        let first = self.reserve(ids.len());
        self.put_numbered(ids, (first..).take(ids.len()).collect(), rows)?;
        Ok(first)
    }

    /// The same under numbers that were set aside, each larger than those of the rows before.
    pub(crate) fn put_numbered(&mut self, ids: &[u64], numbers: Vec<u64>, mut rows: DataFrame) -> PolarsResult<()> {
        rows.with_column(Column::from(Series::new(ROW.into(), ids)))?;
        self.numbers.extend(ids.iter().copied().zip(numbers.iter().copied()));
        self.note(ids);
        self.rows.put(numbers, rows);
        Ok(())
    }

    /// Takes a row out, if it is there; gives its number, under which it can be read until [`RowTable::tidy`].
    pub(crate) fn remove(&mut self, id: u64) -> Option<u64> {
        let number = self.numbers.remove(&id)?;
        self.note(&[id]);
        self.rows.free(number);
        Some(number)
    }

    /// Takes the rows with these numbers out.
    pub(crate) fn remove_numbers(&mut self, numbers: &[Option<u64>]) -> PolarsResult<()> {
        for id in self.rows.take(numbers)?.column(ROW)?.u64()?.iter().flatten() {
            self.remove(id);
        }
        Ok(())
    }

    /// Puts rows in and takes others out; gives those that stood there.
    pub(crate) fn replace(&mut self, ids: &[u64], rows: &DataFrame, deletes: &[u64]) -> PolarsResult<DataFrame> {
        let old: Vec<Option<u64>> = ids.iter().chain(deletes).filter_map(|id| self.remove(*id)).map(Some).collect();
        let retracted = self.take(&old)?;
        self.put(ids, rows.clone())?;
        self.tidy()?;
        Ok(retracted)
    }

    /// Forgets rows.
    pub(crate) fn forget(&mut self, ids: impl Iterator<Item = u64>) -> PolarsResult<()> {
        for id in ids {
            self.remove(id);
        }
        self.tidy()
    }

    /// Rows by their numbers.
    pub(crate) fn take(&self, numbers: &[Option<u64>]) -> PolarsResult<DataFrame> {
        let mut rows = self.rows.take(numbers)?;
        rows.drop_in_place(ROW)?;
        Ok(rows)
    }

    /// All rows with their identities in the column [`ROW`], in the order of their numbers.
    pub(crate) fn live(&self) -> PolarsResult<DataFrame> {
        self.rows.live()
    }

    /// Gives the room of rows back that were taken out.
    pub(crate) fn tidy(&mut self) -> PolarsResult<()> {
        self.rows.tidy()
    }

    /// About how much memory is taken.
    pub(crate) fn bytes(&self) -> usize {
        self.rows.bytes() + self.numbers.capacity() * size_of::<[u64; 2]>()
    }

    fn note(&mut self, ids: &[u64]) {
        if let Some(noted) = &mut self.noted {
            noted.extend(ids);
        }
    }
}

impl StateTable for RowTable {
    fn number(&mut self) -> Option<&mut u64> {
        Some(&mut self.next_id)
    }

    fn freeze(&mut self, all: bool) -> PolarsResult<PendingTable> {
        let (noted, rows) = (self.noted.replace(PlHashSet::default()).unwrap_or_default(), self.rows.clone());
        if all {
            return Ok(Box::new(move || rows.live()));
        }
        let (mut there, mut gone) = (Vec::new(), Vec::new());
        for id in noted {
            match self.numbers.get(&id) {
                Some(number) => there.push(Some(*number)),
                None => gone.push(id),
            }
        }
        there.sort_unstable();
        Ok(Box::new(move || numbered::changes(rows.take(&there)?, gone)))
    }

    fn restore(&mut self, saved: DataFrame, changes: Vec<DataFrame>) -> PolarsResult<()> {
        let mut rows = numbered::changed(saved, changes)?;
        let ids: Vec<u64> = rows.drop_in_place(ROW)?.u64()?.iter().flatten().collect();
        rows.rechunk_mut();
        self.put(&ids, rows)?;
        self.noted = Some(PlHashSet::default());
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use std::collections::BTreeMap;

    use super::*;

    #[test]
    fn what_stood_is_given_once_also_after_a_restart() {
        let schema = df!["v" => [0i64]].unwrap().schema().clone();
        let (mut table, mut twin) = (RowTable::new(&schema), BTreeMap::<u64, i64>::new());
        let (mut saved, mut number) = (table.freeze(true).unwrap()().unwrap(), 1u64);
        let mut below = |n: u64| {
            number = number.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (number >> 33) % n
        };
        for round in 0..600 {
            let (mut ids, mut deletes) = (Vec::new(), Vec::new());
            for id in 0..40 {
                match below(8) {
                    0 => ids.push(id),
                    1 => deletes.push(id),
                    _ => {}
                }
            }
            let values: Vec<i64> = ids.iter().map(|_| below(1_000) as i64).collect();
            let found = table.replace(&ids, &df!["v" => &values].unwrap(), &deletes).unwrap();
            let mut found: Vec<i64> = found.column("v").unwrap().i64().unwrap().iter().flatten().collect();
            let mut old: Vec<i64> = ids.iter().chain(&deletes).filter_map(|id| twin.remove(id)).collect();
            twin.extend(ids.iter().copied().zip(values));
            found.sort_unstable();
            old.sort_unstable();
            assert_eq!(found, old);
            let forgotten = below(60);
            table.forget([forgotten].into_iter()).unwrap();
            twin.remove(&forgotten);
            if round % 5 == 0 {
                let changes = table.freeze(false).unwrap();
                // What comes afterwards is not in it.
                table.put(&[1_000], df!["v" => [0i64]].unwrap()).unwrap();
                saved = numbered::changed(saved, vec![changes().unwrap()]).unwrap();
                table = RowTable::new(&schema);
                table.restore(saved.clone(), Vec::new()).unwrap();
            }
        }
    }
}
