//! The hash table of one side of a join: its rows by their identities, and by their keys.

use polars::prelude::*;
use smallvec::SmallVec;

use super::super::columns::{ROW, encoded, integers};
use super::super::segments::Segments;
use crate::change::Changes;
use crate::physical::HashJoin;
use crate::snapshot::numbered;

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
    pub(super) rows: Segments,
    /// By the rows' identities.
    places: PlHashMap<u64, Slot>,
    by_key: PlHashMap<HashKey, SmallVec<[u64; 2]>>,
    /// Whether rows without a match are in the result.
    pub(super) gives_alone: bool,
    /// The identity of the next row that has none of its own.
    next: u64,
    /// The identities of rows that came, changed or went since the state was last written down, once it has been.
    noted: Option<PlHashSet<u64>>,
}

struct Slot {
    key: HashKey,
    /// The row's number in the segments.
    number: u64,
}

impl HashTable {
    /// `empty` has the columns of the side's rows, of which `columns` are in the result.
    pub(super) fn new(empty: DataFrame, plan: &HashJoin, columns: &[PlSmallStr], gives_alone: bool) -> HashTable {
        debug_assert!(plan.keys.iter().all(|key| empty.schema().contains(key)));
        HashTable {
            columns: columns.to_vec(),
            rows: Segments::new(empty),
            places: PlHashMap::default(),
            by_key: PlHashMap::default(),
            gives_alone,
            next: 0,
            noted: None,
        }
    }

    /// Rows that never change, with identities.
    pub(super) fn numbered(&mut self, rows: DataFrame) -> Changes {
        let first = self.next;
        self.next += rows.height() as u64;
        Changes { ids: (first..self.next).collect(), rows, deletes: Vec::new() }
    }

    /// The key of a row, if it is there.
    pub(super) fn key(&self, id: u64) -> Option<&HashKey> {
        self.places.get(&id).map(|place| &place.key)
    }

    /// The number of a row, if it is there.
    pub(super) fn number(&self, id: u64) -> Option<u64> {
        self.places.get(&id).map(|place| place.number)
    }

    /// The keys of all rows.
    pub(super) fn keys(&self) -> impl Iterator<Item = &HashKey> {
        self.by_key.keys()
    }

    /// The rows that are equal to a key.
    pub(super) fn with(&self, key: &HashKey) -> &[u64] {
        if key.has_null { &[] } else { self.by_key.get(key).map_or(&[], |ids| ids.as_slice()) }
    }

    /// Puts a row in that is not there; says whether it is the first of its key.
    pub(super) fn put(&mut self, id: u64, key: HashKey, number: u64) -> bool {
        self.note(id);
        let ids = self.by_key.entry(key.clone()).or_default();
        ids.push(id);
        let is_first = ids.len() == 1;
        self.places.insert(id, Slot { key, number });
        is_first
    }

    /// Puts another row in the place of one with the same key; gives the number of that one.
    pub(super) fn replace(&mut self, id: u64, number: u64) -> u64 {
        self.note(id);
        self.places.get_mut(&id).map_or(number, |place| std::mem::replace(&mut place.number, number))
    }

    /// Takes a row out, if it is there; gives its key, its number, and whether it was the last of its key.
    pub(super) fn remove(&mut self, id: u64) -> Option<(HashKey, u64, bool)> {
        let Slot { key, number } = self.places.remove(&id)?;
        self.note(id);
        let ids = self.by_key.get_mut(&key)?;
        if let Some(at) = ids.iter().position(|one| *one == id) {
            ids.swap_remove(at);
        }
        let was_last = ids.is_empty();
        if was_last {
            self.by_key.remove(&key);
        }
        Some((key, number, was_last))
    }

    /// Takes all rows of a key out; gives them with their numbers.
    pub(super) fn take_key(&mut self, key: &HashKey) -> Vec<(u64, u64)> {
        let ids = self.by_key.remove(key).unwrap_or_default();
        ids.iter().for_each(|id| self.note(*id));
        ids.into_iter().filter_map(|id| Some((id, self.places.remove(&id)?.number))).collect()
    }

    /// The columns of the result, of the rows with these numbers.
    pub(super) fn take(&self, numbers: &[Option<u64>]) -> PolarsResult<DataFrame> {
        self.rows.take(numbers)?.select(self.columns.iter().cloned())
    }

    /// The rows as a table.
    pub(super) fn save(&self) -> PolarsResult<DataFrame> {
        self.table(self.places.iter().map(|(id, place)| (*id, place.number)).collect())
    }

    /// Says that all are written down.
    pub(super) fn all_saved(&mut self) {
        self.noted = Some(PlHashSet::default());
    }

    /// What changed of the table since it was last written down.
    pub(super) fn save_changes(&mut self) -> PolarsResult<DataFrame> {
        let noted = self.noted.replace(PlHashSet::default()).unwrap_or_default();
        let (there, gone): (Vec<u64>, Vec<u64>) = noted.into_iter().partition(|id| self.places.contains_key(id));
        let there = there.into_iter().filter_map(|id| Some((id, self.number(id)?))).collect();
        numbered::changes(self.table(there)?, gone)
    }

    /// Takes over what [`HashTable::save`] gave.
    pub(super) fn restore(&mut self, mut saved: DataFrame, plan: &HashJoin) -> PolarsResult<()> {
        let ids = saved.column(ROW)?.u64()?.clone();
        saved.drop_in_place(ROW)?;
        saved.rechunk_mut();
        let keys = plan.keys_of(&saved)?;
        let first = self.rows.push(saved);
        for (row, (id, key)) in ids.iter().flatten().zip(keys).enumerate() {
            self.next = self.next.max(id + 1);
            self.put(id, key, first + row as u64);
        }
        self.all_saved();
        Ok(())
    }

    /// Rows by their identities and numbers, as a table.
    fn table(&self, mut rows: Vec<(u64, u64)>) -> PolarsResult<DataFrame> {
        rows.sort_unstable_by_key(|(_, number)| *number);
        let (ids, numbers): (Vec<u64>, Vec<Option<u64>>) =
            rows.into_iter().map(|(id, number)| (id, Some(number))).unzip();
        let mut table = self.rows.take(&numbers)?;
        table.with_column(Column::from(Series::new(ROW.into(), ids)))?;
        Ok(table)
    }

    fn note(&mut self, id: u64) {
        if let Some(noted) = &mut self.noted {
            noted.insert(id);
        }
    }
}

impl HashJoin {
    /// What each of some rows is joined by.
    pub(super) fn keys_of(&self, rows: &DataFrame) -> PolarsResult<Vec<HashKey>> {
        let keys: Vec<Column> = self.keys.iter().map(|key| rows.column(key).cloned()).collect::<PolarsResult<_>>()?;
        let nulls: Vec<BooleanChunked> =
            keys.iter().filter(|key| key.null_count() > 0).map(|key| key.is_null()).collect();
        let times = match self.time_key {
            Some((number, _)) => Some(integers(rows, &self.keys[number])?),
            None => None,
        };
        let key = |(row, bytes): (usize, Option<&[u8]>)| HashKey {
            bytes: SmallVec::from_slice(bytes.unwrap_or_default()),
            time: times.as_ref().and_then(|times| times.get(row)),
            has_null: nulls.iter().any(|nulls| nulls.get(row) == Some(true)),
        };
        Ok(encoded(&keys, rows.height())?.iter().enumerate().map(key).collect())
    }
}
