//! Different values: a set a group, and where rows change how often each value is there.

use std::hash::Hash;

use crate::physical::{Accumulator, Function};
use polars::prelude::*;

use super::slots::{SlotValues, column, taken_back};
use super::values::{Bytes, Value, cut_off, each_piece, write_piece};

/// The different values of a group.
#[derive(Clone)]
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
pub(super) trait DistinctValue: Value + Eq + Hash {
    fn is_in(item: Self::Item<'_>, set: &PlHashSet<Self>) -> bool;
}

impl DistinctValue for u64 {
    fn is_in(item: u64, set: &PlHashSet<u64>) -> bool {
        set.contains(&item)
    }
}

impl DistinctValue for Bytes {
    fn is_in(item: &[u8], set: &PlHashSet<Bytes>) -> bool {
        set.contains(item)
    }
}

impl<V: DistinctValue> Distinct<V> {
    fn keep(&mut self, value: V) {
        self.heap += value.heap();
        self.values.insert(value);
    }
}

impl<V: DistinctValue> SlotValues for Distinct<V> {
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

/// The different values of a group whose rows change, and how often each is there.
#[derive(Clone)]
pub(super) struct Counted<V> {
    counts: PlHashMap<V, u64>,
    /// What the values hold outside the table.
    heap: usize,
}

impl<V> Default for Counted<V> {
    fn default() -> Self {
        Counted { counts: PlHashMap::default(), heap: 0 }
    }
}

impl<V: Value + Eq + Hash> Counted<V> {
    fn put(&mut self, value: V, times: u64) {
        let heap = value.heap();
        let count = self.counts.entry(value).or_insert(0);
        if *count == 0 {
            self.heap += heap;
        }
        *count += times;
    }
}

impl<V: Value + Eq + Hash> SlotValues for Counted<V> {
    type Value = V;

    fn take(&mut self, items: &[V::Item<'_>], _: usize, _: Function) {
        items.iter().for_each(|item| self.put(V::kept(*item), 1));
    }

    fn retract(&mut self, items: &[V::Item<'_>], _: usize, _: Function) -> PolarsResult<()> {
        for item in items {
            let value = V::kept(*item);
            let count = self.counts.get_mut(&value).ok_or_else(taken_back)?;
            *count -= 1;
            if *count == 0 {
                self.heap -= value.heap();
                self.counts.remove(&value);
            }
        }
        // A table that was large once is not kept for ever.
        if self.counts.len() * MUCH < self.counts.capacity() {
            self.counts.shrink_to_fit();
        }
        Ok(())
    }

    fn heap(&self) -> usize {
        self.heap + self.counts.capacity() * (size_of::<(V, u64)>() + 1)
    }

    fn write(&self, to: &mut Vec<u8>) {
        for (value, count) in &self.counts {
            write_piece(&count.to_le_bytes(), to);
            V::with_bytes(value.item(), |bytes| write_piece(bytes, to));
        }
    }

    fn read(from: &[u8]) -> PolarsResult<Self> {
        let (mut counted, mut times) = (Counted::default(), None);
        each_piece(from, |piece| {
            match times.take() {
                None => times = Some(u64::from_bytes(piece)?),
                Some(times) => counted.put(V::from_bytes(piece)?, times),
            }
            Ok(())
        })?;
        if times.is_some() { Err(cut_off()) } else { Ok(counted) }
    }

    fn columns(groups: &[&Self], spec: &Accumulator) -> PolarsResult<Vec<Column>> {
        let counts: Vec<u64> = groups.iter().map(|group| group.counts.len() as u64).collect();
        column(spec, Series::new(spec.name.clone(), counts))
    }
}

/// Room for so many times as many values is given up.
const MUCH: usize = 16;
