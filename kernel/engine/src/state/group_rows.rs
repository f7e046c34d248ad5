//! The rows of groups, under the numbers of the groups. A row that may change has an identity, and may be in several groups.

use std::collections::BTreeSet;

use polars::prelude::*;
use smallvec::SmallVec;

use super::retained::RetainedBytes;
use super::{PendingTable, StateTable, numbered};
use crate::operator::columns::{GROUP, ROW};
use crate::rows::append;

/// The rows of all groups.
pub(crate) struct GroupRows {
    /// The columns of the rows, without rows.
    empty: DataFrame,
    groups: PlHashMap<u64, Group>,
    /// The groups that a row with an identity is in.
    places: PlHashMap<u64, SmallVec<[u64; 2]>>,
    bytes: RetainedBytes,
    next: u64,
    /// What changed since the table was last written, once it has been.
    noted: Option<RowChanges>,
}

/// Those of one group.
struct Group {
    rows: DataFrame,
    /// The identities of the rows, where rows may change.
    ids: Vec<u64>,
    /// So many of the rows, the first, are written.
    written: usize,
}

#[derive(Default)]
struct RowChanges {
    /// Groups that got rows.
    groups: PlHashSet<u64>,
    /// The identities of rows that were taken out.
    gone: Vec<u64>,
}

impl GroupRows {
    /// None yet; `empty` has their columns.
    pub(crate) fn new(empty: DataFrame) -> GroupRows {
        let (groups, places, bytes) = Default::default();
        GroupRows { empty, groups, places, bytes, next: 0, noted: None }
    }

    /// The columns of the rows, without rows.
    pub(crate) fn empty(&self) -> &DataFrame {
        &self.empty
    }

    /// The number of a new group.
    pub(crate) fn begin(&mut self) -> u64 {
        self.next += 1;
        self.next - 1
    }

    /// The rows of a group.
    pub(crate) fn of(&self, group: u64) -> &DataFrame {
        self.groups.get(&group).map_or(&self.empty, |group| &group.rows)
    }

    /// Puts rows into a group, with their identities if they may change.
    pub(crate) fn append(&mut self, number: u64, rows: &DataFrame, ids: Vec<u64>) -> PolarsResult<()> {
        let none = || Group { rows: self.empty.clone(), ids: Vec::new(), written: 0 };
        let group = self.groups.entry(number).or_insert_with(none);
        self.bytes.remove(&group.rows);
        append(&mut group.rows, rows)?;
        self.bytes.add(&group.rows);
        ids.iter().for_each(|id| self.places.entry(*id).or_default().push(number));
        group.ids.extend(ids);
        if let Some(noted) = &mut self.noted {
            noted.groups.insert(number);
        }
        Ok(())
    }

    /// Takes rows out of all their groups; gives the numbers of these.
    pub(crate) fn remove<'a>(&mut self, ids: impl Iterator<Item = &'a u64>) -> PolarsResult<BTreeSet<u64>> {
        let mut gone: PlHashMap<u64, PlHashSet<u64>> = PlHashMap::default();
        for id in ids {
            let Some(groups) = self.places.remove(id) else { continue };
            if let Some(noted) = &mut self.noted {
                noted.gone.push(*id);
            }
            for group in groups {
                gone.entry(group).or_default().insert(*id);
            }
        }
        for (number, ids) in &gone {
            let Some(group) = self.groups.get_mut(number) else { continue };
            let keep: Vec<bool> = group.ids.iter().map(|id| !ids.contains(id)).collect();
            self.bytes.remove(&group.rows);
            group.retain(&keep)?;
            self.bytes.add(&group.rows);
        }
        Ok(gone.into_keys().collect())
    }

    /// Keeps those rows of a group that are marked. The others are not written as gone: what is over, time tells.
    pub(crate) fn retain(&mut self, number: u64, keep: &[bool]) -> PolarsResult<()> {
        let Some(group) = self.groups.get_mut(&number) else { return Ok(()) };
        for (id, _) in group.ids.iter().zip(keep).filter(|(_, keep)| !**keep) {
            leave(&mut self.places, *id, number);
        }
        self.bytes.remove(&group.rows);
        group.retain(keep)?;
        self.bytes.add(&group.rows);
        Ok(())
    }

    /// Takes a group out; gives its rows.
    pub(crate) fn take(&mut self, number: u64) -> DataFrame {
        let Some(group) = self.groups.remove(&number) else { return self.empty.clone() };
        group.ids.iter().for_each(|id| leave(&mut self.places, *id, number));
        self.bytes.remove(&group.rows);
        group.rows
    }

    /// Takes out the groups of which `is_known` says no.
    pub(crate) fn retain_groups(&mut self, is_known: impl Fn(u64) -> bool) {
        let unknown: Vec<u64> = self.groups.keys().copied().filter(|group| !is_known(*group)).collect();
        unknown.into_iter().for_each(|group| drop(self.take(group)));
    }

    /// Whether there may be as many rows, with what else is kept of rows.
    pub(crate) fn check(&self, more: usize) -> PolarsResult<()> {
        self.bytes.check(more)
    }
}

/// A row is in a group no longer.
fn leave(places: &mut PlHashMap<u64, SmallVec<[u64; 2]>>, id: u64, group: u64) {
    if let Some(groups) = places.get_mut(&id) {
        groups.retain(|other| *other != group);
        if groups.is_empty() {
            places.remove(&id);
        }
    }
}

impl Group {
    fn retain(&mut self, keep: &[bool]) -> PolarsResult<()> {
        self.rows = self.rows.filter(&BooleanChunked::from_slice(PlSmallStr::EMPTY, keep))?;
        self.written = keep.iter().take(self.written).filter(|keep| **keep).count();
        let mut keep = keep.iter();
        self.ids.retain(|_| keep.next() == Some(&true));
        Ok(())
    }
}

/// Groups by their numbers, with the rows of each that a table is to have, and their identities.
type Pieces = Vec<(u64, DataFrame, Vec<u64>)>;

/// The rows of some groups as a table.
fn table(empty: &DataFrame, pieces: Pieces) -> PolarsResult<DataFrame> {
    let (mut rows, mut numbers, mut ids) = (empty.clone(), Vec::new(), Vec::new());
    for (number, of_group, ids_of_group) in pieces {
        rows.vstack_mut(&of_group)?;
        // Rows that never change have none.
        ids.extend((0..of_group.height()).map(|row| ids_of_group.get(row).copied()));
        numbers.extend(std::iter::repeat_n(number, of_group.height()));
    }
    rows.rechunk_mut();
    rows.with_column(Column::from(Series::new(GROUP.into(), numbers)))?;
    rows.with_column(Column::from(Series::new(ROW.into(), ids)))?;
    Ok(rows)
}

impl StateTable for GroupRows {
    fn number(&mut self) -> Option<&mut u64> {
        Some(&mut self.next)
    }

    fn freeze(&mut self, all: bool) -> PolarsResult<PendingTable> {
        let RowChanges { groups, gone } = self.noted.replace(RowChanges::default()).unwrap_or_default();
        let numbers: Vec<u64> = if all { self.groups.keys().copied().collect() } else { groups.into_iter().collect() };
        let (empty, mut pieces): (_, Pieces) = (self.empty.clone(), Vec::new());
        for number in numbers {
            let Some(group) = self.groups.get_mut(&number) else { continue };
            let (from, height) = (if all { 0 } else { group.written }, group.rows.height());
            let ids = group.ids.get(from..).unwrap_or_default().to_vec();
            pieces.push((number, group.rows.slice(from as i64, height - from), ids));
            group.written = height;
        }
        Ok(Box::new(move || {
            let rows = table(&empty, pieces)?;
            if all { Ok(rows) } else { numbered::changes(rows, gone) }
        }))
    }

    fn restore(&mut self, saved: DataFrame, changes: Vec<DataFrame>) -> PolarsResult<()> {
        let mut rows = numbered::changed(saved, changes)?;
        let of: Vec<u64> = rows.drop_in_place(GROUP)?.u64()?.iter().map(Option::unwrap_or_default).collect();
        // The rows of a group stay in their order.
        let mut order: Vec<IdxSize> = (0..of.len() as IdxSize).collect();
        order.sort_by_key(|row| of[*row as usize]);
        let mut rows = rows.take(&IdxCa::from_slice(PlSmallStr::EMPTY, &order))?;
        let ids: Vec<Option<u64>> = rows.drop_in_place(ROW)?.u64()?.iter().collect();
        let mut first = 0;
        for some in order.chunk_by(|a, b| of[*a as usize] == of[*b as usize]) {
            let (number, count) = (of[some[0] as usize], some.len());
            let ids: Vec<u64> = ids[first..first + count].iter().flatten().copied().collect();
            ids.iter().for_each(|id| self.places.entry(*id).or_default().push(number));
            let group = Group { rows: rows.slice(first as i64, count), ids, written: count };
            self.bytes.add(&group.rows);
            self.groups.insert(number, group);
            first += count;
        }
        self.noted = Some(RowChanges::default());
        Ok(())
    }
}
