//! The smallest and the largest of values that change: all of them are kept with how often each is there, in their order, so that
//! the next one is at hand when one leaves.

use std::collections::BTreeMap;

use crate::physical::{Accumulator, Function};
use polars::prelude::*;

use super::extremes::lists;
use super::slots::{SlotValues, column, taken_back};
use super::values::{Value, cut_off, each_piece, write_piece};

/// The values of a group.
#[derive(Clone, Default)]
pub(super) struct Multiset<V> {
    counts: BTreeMap<V, u64>,
    nulls: u64,
    /// What the values hold outside the tree.
    heap: usize,
}

impl<V: Value + Ord> Multiset<V> {
    fn put(&mut self, value: V, times: u64) {
        let heap = value.heap();
        let count = self.counts.entry(value).or_insert(0);
        if *count == 0 {
            self.heap += heap;
        }
        *count += times;
    }

    /// The first or the last that an aggregate takes, if there are any.
    fn extreme(&self, spec: &Accumulator) -> Option<V::Item<'_>> {
        let mut values = self.counts.keys();
        if spec.function == Function::Min {
            return values.next().map(V::item);
        }
        let last = values.next_back()?;
        // As in Polars, NaN, which stands last, is an extreme only where there is nothing else.
        let is_nan = spec.input_dtype.is_float() && V::is_nan(last.item());
        Some(values.next_back().filter(|_| is_nan).unwrap_or(last).item())
    }

    /// The first `k` that an aggregate takes, each as often as it is there.
    fn first(&self, k: usize, function: Function) -> Vec<V::Item<'_>> {
        let values: Box<dyn Iterator<Item = (&V, &u64)>> = match function {
            Function::Largest { .. } => Box::new(self.counts.iter().rev()),
            _ => Box::new(self.counts.iter()),
        };
        let times = |count: u64| usize::try_from(count).unwrap_or(usize::MAX);
        values.flat_map(|(value, count)| std::iter::repeat_n(value, times(*count))).take(k).map(V::item).collect()
    }
}

impl<V: Value + Ord + Default> SlotValues for Multiset<V> {
    type Value = V;

    fn take(&mut self, items: &[V::Item<'_>], nulls: usize, _: Function) {
        self.nulls += nulls as u64;
        items.iter().for_each(|item| self.put(V::kept(*item), 1));
    }

    fn retract(&mut self, items: &[V::Item<'_>], nulls: usize, _: Function) -> PolarsResult<()> {
        self.nulls = self.nulls.checked_sub(nulls as u64).ok_or_else(taken_back)?;
        for item in items {
            let value = V::kept(*item);
            let count = self.counts.get_mut(&value).ok_or_else(taken_back)?;
            *count -= 1;
            if *count == 0 {
                self.heap -= value.heap();
                self.counts.remove(&value);
            }
        }
        Ok(())
    }

    fn heap(&self) -> usize {
        // A node of the tree is two thirds full, about.
        self.heap + self.counts.len() * (size_of::<V>() + size_of::<u64>()) * 3 / 2
    }

    fn write(&self, to: &mut Vec<u8>) {
        write_piece(&self.nulls.to_le_bytes(), to);
        for (value, count) in &self.counts {
            write_piece(&count.to_le_bytes(), to);
            V::with_bytes(value.item(), |bytes| write_piece(bytes, to));
        }
    }

    fn read(from: &[u8]) -> PolarsResult<Self> {
        let (mut set, mut nulls, mut times) = (Multiset::default(), None, None);
        each_piece(from, |piece| {
            match (nulls, times.take()) {
                (None, _) => nulls = Some(u64::from_bytes(piece)?),
                (_, None) => times = Some(u64::from_bytes(piece)?),
                (_, Some(times)) => set.put(V::from_bytes(piece)?, times),
            }
            Ok(())
        })?;
        set.nulls = nulls.ok_or_else(cut_off)?;
        if times.is_some() { Err(cut_off()) } else { Ok(set) }
    }

    fn columns(groups: &[&Self], spec: &Accumulator) -> PolarsResult<Vec<Column>> {
        if let Function::Largest { k } | Function::Smallest { k } = spec.function {
            let each = groups.iter().map(|group| (group.first(k, spec.function), group.nulls as usize));
            return lists::<V>(each, k, spec);
        }
        let (mut places, mut values) = (Vec::with_capacity(groups.len()), Vec::with_capacity(groups.len()));
        for group in groups {
            let extreme = group.extreme(spec);
            places.push(extreme.map(|_| values.len() as IdxSize));
            values.extend(extreme);
        }
        let values = V::series(&values, &spec.input_dtype)?;
        column(spec, values.take(&IdxCa::new(PlSmallStr::EMPTY, places))?)
    }
}
