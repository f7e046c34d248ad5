//! The rows that an operator has given, as they stand: where an operator behind it takes old rows back and what is kept for the
//! result does not tell them again to the letter. It takes as much as the result does.

use polars::prelude::*;

use super::row_store::RowStore;

/// The table in a written state.
pub(super) const OUTPUT: &str = "output";

/// The rows, by identity.
pub(super) struct OutputTable(RowStore);

impl OutputTable {
    /// `schema` is that of the rows.
    pub(super) fn new(schema: &SchemaRef) -> OutputTable {
        OutputTable(RowStore::new(schema))
    }

    /// Puts rows in and takes others out; gives those that stood there.
    pub(super) fn replace(&mut self, ids: &[u64], rows: &DataFrame, deletes: &[u64]) -> PolarsResult<DataFrame> {
        let old: Vec<Option<u64>> = ids.iter().chain(deletes).filter_map(|id| self.0.remove(*id)).map(Some).collect();
        let retracted = self.0.take(&old)?;
        self.0.put(ids, rows.clone())?;
        self.0.tidy()?;
        Ok(retracted)
    }

    /// Forgets rows that stay as they are.
    pub(super) fn forget(&mut self, ids: impl Iterator<Item = u64>) -> PolarsResult<()> {
        for id in ids {
            self.0.remove(id);
        }
        self.0.tidy()
    }

    /// About how much memory is taken.
    pub(super) fn bytes(&self) -> usize {
        self.0.bytes()
    }

    /// All of it.
    pub(super) fn save(&self) -> PolarsResult<DataFrame> {
        self.0.live()
    }

    /// What changed since it was last written down.
    pub(super) fn save_changes(&mut self) -> PolarsResult<DataFrame> {
        self.0.save_changes()
    }

    /// All of it is written down.
    pub(super) fn all_saved(&mut self) {
        self.0.all_saved();
    }

    /// Takes over what was written.
    pub(super) fn restore(&mut self, rows: DataFrame) -> PolarsResult<()> {
        self.0.restore(rows).map(drop)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use std::collections::BTreeMap;

    use super::*;
    use crate::snapshot::numbered;

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
