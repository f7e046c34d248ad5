//! Different values: a set a group.

use std::hash::Hash;

use crate::physical::{Accumulator, Function};
use polars::prelude::*;

use super::slots::{Group, column};
use super::values::{Bytes, Value, each_piece, write_piece};

/// The different values of a group.
pub(super) struct Distinct<V> {
    values: PlHashSet<V>,
    /// What the values hold outside the set.
    heap: usize,
}

impl<V> Default for Distinct<V> {
    fn default() -> Self {
        Distinct { values: PlHashSet::default(), heap: 0 }
    }
}

/// A form of values that is found in a set without a copy.
pub(super) trait Found: Value + Eq + Hash {
    fn is_in(item: Self::Item<'_>, set: &PlHashSet<Self>) -> bool;
}

impl Found for u64 {
    fn is_in(item: u64, set: &PlHashSet<u64>) -> bool {
        set.contains(&item)
    }
}

impl Found for Bytes {
    fn is_in(item: &[u8], set: &PlHashSet<Bytes>) -> bool {
        set.contains(item)
    }
}

impl<V: Found> Distinct<V> {
    fn keep(&mut self, value: V) {
        self.heap += value.heap();
        self.values.insert(value);
    }
}

impl<V: Found> Group for Distinct<V> {
    type Value = V;

    fn take(&mut self, items: &[V::Item<'_>], _: usize, _: Function) {
        for item in items {
            if !V::is_in(*item, &self.values) {
                self.keep(V::kept(*item));
            }
        }
    }

    fn heap(&self) -> usize {
        // A byte of the table's own for each place.
        self.heap + self.values.capacity() * (size_of::<V>() + 1)
    }

    fn write(&self, to: &mut Vec<u8>) {
        self.values.iter().for_each(|value| V::with_bytes(value.item(), |bytes| write_piece(bytes, to)));
    }

    fn read(from: &[u8]) -> PolarsResult<Self> {
        let mut distinct = Distinct::default();
        each_piece(from, |piece| {
            distinct.keep(V::from_bytes(piece)?);
            Ok(())
        })?;
        Ok(distinct)
    }

    fn columns(groups: &[&Self], spec: &Accumulator) -> PolarsResult<Vec<Column>> {
        let counts: Vec<u64> = groups.iter().map(|group| group.values.len() as u64).collect();
        column(spec, Series::new(spec.name.clone(), counts))
    }
}
