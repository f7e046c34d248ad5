//! All values of a group in sorted runs, and the quantiles that are read of them.

use crate::physical::{Accumulator, Function};
use polars::prelude::*;

use super::slots::{SlotValues, readings};
use super::values::{Value, cut_off, each_piece, float_of_word, write_piece};

/// Values in sorted runs, each more than twice as long as the next: a batch is one more run, and runs that have grown alike become
/// one. So a value is moved a few times, and takes eight bytes. After P. O'Neil and others, "The log-structured merge-tree" (1996).
#[derive(Clone, Default)]
pub(super) struct SortedRuns(Vec<Vec<u64>>);

impl SortedRuns {
    /// Values that are in order.
    pub(super) fn of(values: Vec<u64>) -> SortedRuns {
        SortedRuns(if values.is_empty() { Vec::new() } else { vec![values] })
    }

    /// Adds values in any order.
    pub(super) fn push(&mut self, values: &[u64]) {
        if values.is_empty() {
            return;
        }
        let mut run = values.to_vec();
        run.sort_unstable();
        while let Some(last) = self.0.pop_if(|last| last.len() <= 2 * run.len()) {
            run = merged(&last, &run);
        }
        self.0.push(run);
    }

    pub(super) fn len(&self) -> usize {
        self.0.iter().map(Vec::len).sum()
    }

    pub(super) fn runs(&self) -> impl Iterator<Item = &[u64]> {
        self.0.iter().map(Vec::as_slice)
    }

    /// How many values are below one.
    pub(super) fn below(&self, value: u64) -> usize {
        self.runs().map(|run| run.partition_point(|other| *other < value)).sum()
    }

    /// How many values are not above one.
    pub(super) fn up_to(&self, value: u64) -> usize {
        self.runs().map(|run| run.partition_point(|other| *other <= value)).sum()
    }

    /// All values in order.
    pub(super) fn into_one(mut self) -> Vec<u64> {
        // From the shortest up.
        let shortest = self.0.pop().unwrap_or_default();
        self.0.into_iter().rev().fold(shortest, |all, run| merged(&run, &all))
    }

    /// Memory that is not in the runs themselves.
    pub(super) fn heap(&self) -> usize {
        let values: usize = self.0.iter().map(Vec::capacity).sum();
        values * size_of::<u64>() + self.0.capacity() * size_of::<Vec<u64>>()
    }
}

/// The values of a group.
#[derive(Clone, Default)]
pub(super) struct Runs {
    runs: SortedRuns,
    /// Polars counts them in before it rounds a rank, and so do we.
    nulls: u64,
}

impl SlotValues for Runs {
    type Value = u64;

    fn take(&mut self, items: &[u64], nulls: usize, _: Function) {
        self.nulls += nulls as u64;
        self.runs.push(items);
    }

    fn heap(&self) -> usize {
        self.runs.heap()
    }

    fn write(&self, to: &mut Vec<u8>) {
        write_piece(&self.nulls.to_le_bytes(), to);
        for run in self.runs.runs() {
            write_piece(&run.iter().flat_map(|word| word.to_le_bytes()).collect::<Vec<u8>>(), to);
        }
    }

    fn read(from: &[u8]) -> PolarsResult<Runs> {
        let mut pieces: Vec<Vec<u64>> = Vec::new();
        each_piece(from, |piece| {
            pieces.push(piece.chunks(8).map(u64::from_bytes).collect::<PolarsResult<_>>()?);
            Ok(())
        })?;
        let nulls = pieces.first().and_then(|first| first.first()).copied().ok_or_else(cut_off)?;
        Ok(Runs { runs: SortedRuns(pieces.split_off(1)), nulls })
    }

    fn columns(groups: &[&Self], spec: &Accumulator) -> PolarsResult<Vec<Column>> {
        let value = as_number(&spec.input_dtype);
        readings(groups, spec, |runs, at, method| {
            quantile((runs.runs.len(), runs.nulls as usize), (at, method), |n| runs.nth(n).map(value))
        })
    }
}

/// What a word stands for among values of a type.
pub(super) fn as_number(dtype: &DataType) -> fn(u64) -> f64 {
    match dtype {
        dtype if dtype.is_float() => float_of_word,
        DataType::UInt64 => |word| word as f64,
        _ => |word| (word ^ (1 << 63)).cast_signed() as f64,
    }
}

/// As Polars takes a quantile of so many sorted values and nulls; `nth` gives a value by its rank.
pub(super) fn quantile(
    (count, nulls): (usize, usize),
    (quantile, method): (f64, QuantileMethod),
    nth: impl Fn(usize) -> Option<f64>,
) -> Option<f64> {
    let last = count.checked_sub(1)?;
    let exact = last as f64 * quantile + nulls as f64;
    let at = match method {
        QuantileMethod::Nearest => exact.round() as usize,
        QuantileMethod::Equiprobable => ((count as f64 * quantile).ceil() - 1.0).max(0.0) as usize + nulls,
        QuantileMethod::Higher => exact.ceil() as usize,
        QuantileMethod::Lower | QuantileMethod::Midpoint | QuantileMethod::Linear => exact as usize,
    };
    let at = at.clamp(nulls, last + nulls);
    let lower = nth(at - nulls)?;
    let between = matches!(method, QuantileMethod::Midpoint | QuantileMethod::Linear) && exact.ceil() as usize > at;
    if !between {
        return Some(lower);
    }
    let upper = nth(at - nulls + 1)?;
    Some(match method {
        _ if lower == upper => lower,
        QuantileMethod::Midpoint => (lower + upper) / 2.0,
        _ => (exact - at as f64) * (upper - lower) + lower,
    })
}

impl Runs {
    /// The value that is `n`th from below. Half of the longest rest of a run is ruled out by each look.
    fn nth(&self, mut n: usize) -> Option<u64> {
        let mut rests: Vec<&[u64]> = self.runs.runs().collect();
        loop {
            let longest = rests.iter().max_by_key(|rest| rest.len())?;
            let pivot = *longest.get(longest.len() / 2)?;
            let below = |rest: &&[u64]| rest.partition_point(|value| *value < pivot);
            let up_to = |rest: &&[u64]| rest.partition_point(|value| *value <= pivot);
            let before: usize = rests.iter().map(below).sum();
            let with: usize = rests.iter().map(up_to).sum();
            if n < before {
                rests.iter_mut().for_each(|rest| *rest = &rest[..below(rest)]);
            } else if n < with {
                return Some(pivot);
            } else {
                n -= with;
                rests.iter_mut().for_each(|rest| *rest = &rest[up_to(rest)..]);
            }
        }
    }
}

fn merged(a: &[u64], b: &[u64]) -> Vec<u64> {
    let mut all = Vec::with_capacity(a.len() + b.len());
    let (mut a, mut b) = (a, b);
    while let (Some(x), Some(y)) = (a.first(), b.first()) {
        let from = if x <= y { &mut a } else { &mut b };
        all.push(from[0]);
        *from = &from[1..];
    }
    all.extend_from_slice(a);
    all.extend_from_slice(b);
    all
}
