//! The first rows of a result in an order of its own. A row's identity is its rank, the first row's the largest, so that a view
//! of the newest rows shows the first ones first. A batch costs what it changes: see [`First`].

use plan::Order;
use polars::prelude::*;

use super::columns::{POSITION, ROW};
use super::{BatchResult, Operator};
use crate::alone::Alone;
use crate::change::{Changes, Delta, Revision};
use crate::state::StateTables;
use crate::state::row_table::RowTable;
use first::First;
use keys::{SortKey, SortKeys};

mod first;
mod keys;

/// The rows that may be among the first, and those that are.
pub(crate) struct TopK {
    keys: SortKeys,
    k: usize,
    /// Rows with one key are in the order of their numbers. Of rows that never change only the first are here.
    rows: RowTable,
    first: First,
    /// Whether the rows that stood at the ranks are asked for.
    retracted: bool,
    /// The result where there is nothing in it.
    none: DataFrame,
}

/// More rows than there are anywhere. Ranks are counted down from it, so that no identity changes with how many rows there are.
const ALL: usize = 1 << 48;

/// Up to so many rows are given together when one of them changes: who reads the first ten wants to see ten.
const TOGETHER: usize = 1_000;

impl TopK {
    /// `schema` is that of the rows. Those that stood at the ranks are given beside those that stand there now where they are
    /// `retracted`.
    pub(crate) fn new(order: &Order, schema: &SchemaRef, retracted: bool) -> TopK {
        let k = order.k.map_or(ALL, |k| k.min(ALL));
        TopK {
            keys: SortKeys::new(&order.by, &order.options),
            k,
            rows: RowTable::new(schema),
            first: First::new(k),
            retracted,
            none: DataFrame::empty_with_schema(schema),
        }
    }
}

impl Operator for TopK {
    fn execute(&mut self, delta: Delta, _: Option<i64>) -> PolarsResult<BatchResult> {
        let _alone = Alone::with(match &delta {
            Delta::Append(rows) => rows.height(),
            Delta::Change(revision) => revision.changes.ids.len(),
        });
        match delta {
            Delta::Append(rows) => self.add(rows)?,
            Delta::Change(revision) => self.change(revision.changes)?,
        }
        let revision = self.shown()?;
        self.rows.tidy()?;
        Ok(BatchResult::of(Delta::Change(revision)))
    }

    fn state(&mut self) -> StateTables<'_> {
        vec![&mut self.rows]
    }

    fn restored(&mut self, _: Option<i64>) -> PolarsResult<()> {
        self.refill()?;
        self.first.show();
        Ok(())
    }
}

impl TopK {
    /// Takes in rows that never change: of them only the first are kept.
    fn add(&mut self, mut rows: DataFrame) -> PolarsResult<()> {
        // A rank is no position.
        let _ = rows.drop_in_place(POSITION);
        let (first, new) = (self.rows.reserve(rows.height()), self.rows.new_ids(rows.height()));
        for (number, key) in (first..).zip(self.keys.of(&rows)?.iter()) {
            let key = key.unwrap_or_default();
            if self.first.len() < self.k || self.first.is_before_last(key) {
                self.first.put(SortKey::from_slice(key), number);
                self.first.trim(self.k);
            }
        }
        let gone: Vec<Option<u64>> = self.first.gone().filter(|number| *number < first).map(Some).collect();
        self.rows.remove_numbers(&gone)?;
        let stays: Vec<bool> = (first..).take(rows.height()).map(|number| self.first.has(number)).collect();
        let came = stays.iter().zip(first..).zip(new).filter(|((stays, _), _)| **stays);
        let (numbers, ids): (Vec<u64>, Vec<u64>) = came.map(|((_, number), id)| (number, id)).unzip();
        let rows = rows.filter(&BooleanChunked::from_slice(PlSmallStr::EMPTY, &stays))?;
        self.rows.put_numbered(&ids, numbers, rows)
    }

    /// Takes in rows that may change.
    fn change(&mut self, changes: Changes) -> PolarsResult<()> {
        let Changes { ids, rows, deletes } = changes;
        for id in ids.iter().chain(&deletes) {
            if let Some(number) = self.rows.remove(*id) {
                self.first.remove(number);
            }
        }
        let keys = self.keys.of(&rows)?;
        let first = self.rows.put(&ids, rows)?;
        for (number, key) in (first..).zip(keys.iter()) {
            self.first.offer(key.unwrap_or_default(), number);
        }
        if self.first.len() < self.k.min(self.rows.len()) {
            self.refill()?;
        }
        self.first.trim_far(self.room());
        Ok(())
    }

    /// How many rows are to be held in order: some more than are shown, so that it takes many that leave before all rows have to be
    /// looked at again; and the more the more rows that would be.
    fn room(&self) -> usize {
        self.k.saturating_add((self.rows.len() / 256).max(1_024))
    }

    /// Looks at all rows for those that are held in order.
    fn refill(&mut self) -> PolarsResult<()> {
        let rows = self.rows.live()?;
        let keys = self.keys.of(&rows)?;
        let mut all = Vec::with_capacity(rows.height());
        for (id, key) in rows.column(ROW)?.u64()?.iter().zip(keys.iter()) {
            if let Some(number) = id.and_then(|id| self.rows.number_of(id)) {
                all.push((key.unwrap_or_default(), number));
            }
        }
        self.first.refill(all, self.room());
        Ok(())
    }

    /// What changed of the rows that are shown.
    fn shown(&mut self) -> PolarsResult<Revision> {
        let ranked = if self.retracted { self.first.shown().to_vec() } else { Vec::new() };
        let stretches = self.first.show();
        let shown = self.first.shown();
        // The places whose row is another one, what stood there, and how many places there were.
        let (mut places, mut before, mut height) = (Vec::new(), Vec::new(), shown.len());
        for stretch in &stretches {
            let now = shown[stretch.from..].iter().take(stretch.now.len());
            for (n, number) in now.enumerate().filter(|(n, number)| stretch.before.get(*n) != Some(number)) {
                debug_assert_eq!(*number, stretch.now[n]);
                places.push(stretch.from + n);
                before.extend(stretch.before.get(n));
            }
            height = (height + stretch.before.len()) - stretch.now.len();
        }
        let of = |places: &[usize]| self.rows_of(places.iter().map(|place| shown[*place]));
        if height == shown.len() {
            // A row that was given again as it was is no change.
            let same = places.is_empty() || of(&places)?.equals_missing(&self.rows_of(before.into_iter())?);
            if same {
                let changes = Changes { rows: self.none.clone(), ..Changes::default() };
                return Ok(Revision { changes, retracted: self.retracted.then(|| self.none.clone()) });
            }
        }
        if shown.len() <= TOGETHER {
            places = (0..shown.len()).collect();
        }
        let rank = |place: usize| (self.k - 1 - place) as u64;
        let gone = shown.len()..height;
        let rows = of(&places)?;
        // A row that has gone is there until the others are put together.
        let stood =
            || self.rows_of(places.iter().copied().chain(gone.clone()).filter_map(|place| ranked.get(place).copied()));
        let retracted = if self.retracted { Some(stood()?) } else { None };
        let deletes = gone.clone().map(rank).collect();
        let changes = Changes { ids: places.iter().copied().map(rank).collect(), rows, deletes };
        Ok(Revision { changes, retracted })
    }

    fn rows_of(&self, numbers: impl Iterator<Item = u64>) -> PolarsResult<DataFrame> {
        let mut rows = self.rows.take(&numbers.map(Some).collect::<Vec<_>>())?;
        rows.rechunk_mut();
        Ok(rows)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use std::collections::BTreeMap;

    use super::*;

    fn numbers(rows: &DataFrame) -> Vec<i64> {
        rows.column("v").unwrap().i64().unwrap().iter().flatten().collect()
    }

    #[test]
    fn the_rows_that_stood_at_the_ranks_are_given_beside_those_that_stand_there_now() {
        let (schema, mut number) = (df!["v" => [0i64]].unwrap().schema().clone(), 3u64);
        let mut below = |n: u64| {
            number = number.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (number >> 33) % n
        };
        // More than are always given together, too.
        for (k, ids) in [(1, 4), (3, 9), (1_500, 2_500)] {
            let order = Order { by: vec![col("v")], options: SortMultipleOptions::default(), k: Some(k) };
            let mut sorted = TopK::new(&order, &schema, true);
            let mut twin: BTreeMap<u64, i64> = BTreeMap::new();
            for _ in 0..200 {
                let mut changes = Changes::default();
                (0..ids).for_each(|id| match below(9) {
                    0 => changes.ids.push(id),
                    1 => changes.deletes.push(id),
                    _ => {}
                });
                changes.rows = df!["v" => changes.ids.iter().map(|_| below(50) as i64).collect::<Vec<_>>()].unwrap();
                let delta = sorted.execute(Delta::Change(changes.into()), None).unwrap().delta;
                let Delta::Change(Revision { changes, retracted }) = delta else { panic!("ranks change") };
                let mut old: Vec<i64> =
                    changes.ids.iter().chain(&changes.deletes).filter_map(|rank| twin.remove(rank)).collect();
                let mut given = numbers(&retracted.unwrap());
                old.sort_unstable();
                given.sort_unstable();
                assert_eq!(given, old);
                twin.extend(changes.ids.iter().copied().zip(numbers(&changes.rows)));
            }
        }
    }
}
