//! The rows that an operator has given, as they stand: where an operator behind it takes old rows back and what is kept for the
//! result does not tell them again to the letter. It takes as much as the result does.

use polars::prelude::*;

use super::columns::ROW;
use super::segments::Segments;
use crate::snapshot::numbered;

/// The rows, by identity.
pub(super) struct OutputTable {
    /// By numbers of our own, each with its identity in the column [`ROW`].
    rows: Segments,
    next_number: u64,
    /// The number of the row with an identity.
    numbers: PlHashMap<u64, u64>,
    /// The identities whose row is another one since the table was last written down, once it has been.
    noted: Option<PlHashSet<u64>>,
}

/// The table in a written state.
pub(super) const OUTPUT: &str = "output";

impl OutputTable {
    /// `schema` is that of the rows.
    pub(super) fn new(schema: &SchemaRef) -> OutputTable {
        let mut with_ids = schema.as_ref().clone();
        with_ids.with_column(ROW.into(), DataType::UInt64);
        let rows = Segments::new(DataFrame::empty_with_schema(&with_ids));
        OutputTable { rows, next_number: 0, numbers: PlHashMap::default(), noted: None }
    }

    /// Puts rows in and takes others out; gives those that stood there.
    pub(super) fn replace(&mut self, ids: &[u64], rows: &DataFrame, deletes: &[u64]) -> PolarsResult<DataFrame> {
        let mut old = Vec::new();
        for id in ids.iter().chain(deletes) {
            old.extend(self.numbers.remove(id).map(Some));
        }
        let mut retracted = self.rows.take(&old)?;
        retracted.drop_in_place(ROW)?;
        old.into_iter().flatten().for_each(|number| self.rows.free(number));
        if let Some(noted) = &mut self.noted {
            noted.extend(ids.iter().chain(deletes));
        }
        self.put(ids, rows.clone())?;
        self.rows.tidy()?;
        Ok(retracted)
    }

    /// Forgets rows that stay as they are.
    pub(super) fn forget(&mut self, ids: impl Iterator<Item = u64>) -> PolarsResult<()> {
        for id in ids {
            if let Some(number) = self.numbers.remove(&id) {
                self.rows.free(number);
                if let Some(noted) = &mut self.noted {
                    noted.insert(id);
                }
            }
        }
        self.rows.tidy()
    }

    /// About how much memory is taken.
    pub(super) fn bytes(&self) -> usize {
        self.rows.bytes() + self.numbers.capacity() * size_of::<[u64; 2]>()
    }

    /// All of it.
    pub(super) fn save(&self) -> PolarsResult<DataFrame> {
        self.rows.live()
    }

    /// What changed since it was last written down.
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

    /// All of it is written down.
    pub(super) fn all_saved(&mut self) {
        self.noted = Some(PlHashSet::default());
    }

    /// Takes over what was written.
    pub(super) fn restore(&mut self, mut rows: DataFrame) -> PolarsResult<()> {
        let ids: Vec<u64> = rows.drop_in_place(ROW)?.u64()?.iter().flatten().collect();
        self.put(&ids, rows)?;
        self.all_saved();
        Ok(())
    }

    fn put(&mut self, ids: &[u64], mut rows: DataFrame) -> PolarsResult<()> {
        rows.with_column(Column::from(Series::new(ROW.into(), ids)))?;
        let numbers: Vec<u64> = (self.next_number..).take(ids.len()).collect();
        self.next_number += ids.len() as u64;
        self.numbers.extend(ids.iter().copied().zip(numbers.iter().copied()));
        self.rows.put(numbers, rows);
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
        let (mut table, mut twin) = (OutputTable::new(&schema), BTreeMap::<u64, i64>::new());
        let (mut saved, mut number) = (table.save().unwrap(), 1u64);
        table.all_saved();
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
                saved = numbered::changed(saved, vec![table.save_changes().unwrap()]).unwrap();
                table = OutputTable::new(&schema);
                table.restore(saved.clone()).unwrap();
            }
        }
    }
}
