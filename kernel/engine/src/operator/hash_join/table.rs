//! The hash table of one side of a join: its rows by their identities, and by their keys.

use polars::prelude::*;
use smallvec::SmallVec;

use super::super::columns::{NullKeys, ROW, encoded, integers};
use crate::change::Changes;
use crate::physical::HashJoin;
use crate::state::row_table::RowTable;

/// What rows are joined by.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct HashKey {
    pub(super) bytes: SmallVec<[u8; 24]>,
    /// The time among the keys after which nothing changes, where there is one.
    pub(super) time: Option<i64>,
    /// Whether one of the keys is null: then nothing is equal to it.
    pub(super) has_null: bool,
}

/// The rows of a side.
pub(super) struct HashTable {
    /// Those that the result has.
    columns: Vec<PlSmallStr>,
    /// With the keys' columns before those of the result.
    pub(super) rows: RowTable,
    /// By the rows' identities.
    keys: PlHashMap<u64, HashKey>,
    by_key: PlHashMap<HashKey, SmallVec<[u64; 2]>>,
    /// Whether rows without a match are in the result.
    pub(super) gives_alone: bool,
}

impl HashTable {
    /// `empty` has the columns of the side's rows, of which `columns` are in the result.
    pub(super) fn new(empty: DataFrame, plan: &HashJoin, columns: &[PlSmallStr], gives_alone: bool) -> HashTable {
        debug_assert!(plan.keys.iter().all(|key| empty.schema().contains(key)));
        HashTable {
            columns: columns.to_vec(),
            rows: RowTable::new(empty.schema()),
            keys: PlHashMap::default(),
            by_key: PlHashMap::default(),
            gives_alone,
        }
    }

    /// Rows that never change, with identities.
    pub(super) fn numbered(&mut self, rows: DataFrame) -> Changes {
        Changes { ids: self.rows.new_ids(rows.height()).collect(), rows, deletes: Vec::new() }
    }

    /// The key of a row, if it is there.
    pub(super) fn key(&self, id: u64) -> Option<&HashKey> {
        self.keys.get(&id)
    }

    /// All keys.
    pub(super) fn keys(&self) -> impl Iterator<Item = &HashKey> {
        self.by_key.keys()
    }

    /// The rows that are equal to a key.
    pub(super) fn with(&self, key: &HashKey) -> &[u64] {
        if key.has_null { &[] } else { self.by_key.get(key).map_or(&[], |ids| ids.as_slice()) }
    }

    /// Gives a row its key; says whether it is the first with it.
    pub(super) fn link(&mut self, id: u64, key: HashKey) -> bool {
        let ids = self.by_key.entry(key.clone()).or_default();
        ids.push(id);
        let is_first = ids.len() == 1;
        self.keys.insert(id, key);
        is_first
    }

    /// Takes a row's key away, if it has one; gives it, and whether the row was the last with it.
    pub(super) fn unlink(&mut self, id: u64) -> Option<(HashKey, bool)> {
        let key = self.keys.remove(&id)?;
        let ids = self.by_key.get_mut(&key)?;
        if let Some(at) = ids.iter().position(|one| *one == id) {
            ids.swap_remove(at);
        }
        let was_last = ids.is_empty();
        if was_last {
            self.by_key.remove(&key);
        }
        Some((key, was_last))
    }

    /// Takes all rows of a key out; gives them with their numbers.
    pub(super) fn take_key(&mut self, key: &HashKey) -> Vec<(u64, u64)> {
        let ids = self.by_key.remove(key).unwrap_or_default();
        let taken = ids.into_iter().filter_map(|id| {
            self.keys.remove(&id);
            Some((id, self.rows.remove(id)?))
        });
        taken.collect()
    }

    /// The columns of the result, of the rows with these numbers.
    pub(super) fn take(&self, numbers: &[Option<u64>]) -> PolarsResult<DataFrame> {
        self.rows.take(numbers)?.select(self.columns.iter().cloned())
    }

    /// Gives all rows their keys.
    pub(super) fn link_all(&mut self, plan: &HashJoin) -> PolarsResult<()> {
        let rows = self.rows.live()?;
        let keys = plan.keys_of(&rows)?;
        for (id, key) in rows.column(ROW)?.u64()?.iter().flatten().zip(keys) {
            self.link(id, key);
        }
        Ok(())
    }
}

impl HashJoin {
    /// What each of some rows is joined by.
    pub(super) fn keys_of(&self, rows: &DataFrame) -> PolarsResult<Vec<HashKey>> {
        let keys: Vec<Column> = self.keys.iter().map(|key| rows.column(key).cloned()).collect::<PolarsResult<_>>()?;
        let nulls = NullKeys::of(&keys);
        let times = match self.time_key {
            Some((number, _)) => Some(integers(rows, &self.keys[number])?),
            None => None,
        };
        let key = |(row, bytes): (usize, Option<&[u8]>)| HashKey {
            bytes: SmallVec::from_slice(bytes.unwrap_or_default()),
            time: times.as_ref().and_then(|times| times.get(row)),
            has_null: nulls.has(row),
        };
        Ok(encoded(&keys, rows.height())?.iter().enumerate().map(key).collect())
    }
}
