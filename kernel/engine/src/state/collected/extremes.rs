//! The largest or the smallest values of a group, as many as are wanted.

use std::cmp::Ordering;

use crate::physical::{Accumulator, Function};
use polars::prelude::*;

use super::slots::{SlotValues, column};
use super::values::{Value, cut_off, each_piece, write_piece};

/// The best values so far.
#[derive(Clone, Default)]
pub(super) struct Extremes<V> {
    /// The best first.
    best: Vec<V>,
    nulls: usize,
}

impl<V: Value + Default> SlotValues for Extremes<V> {
    type Value = V;

    fn take(&mut self, items: &[V::Item<'_>], nulls: usize, function: Function) {
        let (k, better) = match function {
            Function::Largest { k } => (k, Ordering::Greater),
            Function::Smallest { k } => (k, Ordering::Less),
            _ => return,
        };
        self.nulls = (self.nulls + nulls).min(k);
        for item in items {
            let is_full = self.best.len() >= k;
            if is_full && self.best.last().is_none_or(|last| V::compare(*item, last.item()) != better) {
                continue;
            }
            let at = self.best.partition_point(|held| V::compare(*item, held.item()) != better);
            self.best.insert(at, V::kept(*item));
            self.best.truncate(k);
        }
    }

    fn heap(&self) -> usize {
        let held: usize = self.best.iter().map(V::heap).sum();
        self.best.capacity() * size_of::<V>() + held
    }

    fn write(&self, to: &mut Vec<u8>) {
        write_piece(&(self.nulls as u64).to_le_bytes(), to);
        self.best.iter().for_each(|value| V::with_bytes(value.item(), |bytes| write_piece(bytes, to)));
    }

    fn read(from: &[u8]) -> PolarsResult<Self> {
        let mut nulls = None;
        let mut best = Vec::new();
        each_piece(from, |piece| {
            match nulls {
                None => nulls = Some(u64::from_bytes(piece)? as usize),
                Some(_) => best.push(V::from_bytes(piece)?),
            }
            Ok(())
        })?;
        Ok(Extremes { best, nulls: nulls.ok_or_else(cut_off)? })
    }

    fn columns(groups: &[&Self], spec: &Accumulator) -> PolarsResult<Vec<Column>> {
        let (Function::Largest { k } | Function::Smallest { k }) = spec.function else { return Ok(Vec::new()) };
        lists::<V>(groups.iter().map(|group| (group.best.iter().map(V::item).collect(), group.nulls)), k, spec)
    }
}

/// The lists of groups: the best values of each, and nulls where they are not `k`.
pub(super) fn lists<'a, V: Value + 'a>(
    groups: impl Iterator<Item = (Vec<V::Item<'a>>, usize)>,
    k: usize,
    spec: &Accumulator,
) -> PolarsResult<Vec<Column>> {
    let (mut best, mut lengths) = (Vec::new(), Vec::new());
    for (values, nulls) in groups {
        lengths.push((values.len(), nulls.min(k - values.len())));
        best.extend(values);
    }
    let all = V::series(&best, &spec.input_dtype)?;
    let mut first = 0_usize;
    let mut lists = Vec::with_capacity(lengths.len());
    for (length, nulls) in lengths {
        let mut list = all.slice(first as i64, length);
        first += length;
        if nulls > 0 {
            list.append(&Series::full_null(PlSmallStr::EMPTY, nulls, list.dtype()))?;
        }
        lists.push(list);
    }
    column(spec, Series::new(spec.name.clone(), lists))
}
