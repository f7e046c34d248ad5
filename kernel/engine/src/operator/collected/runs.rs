//! All values of a group in sorted runs, each more than twice as long as the next: a batch is one more run, and runs that have
//! grown alike become one. So a value is moved a few times, and takes eight bytes. After P. O'Neil and others, "The
//! log-structured merge-tree" (1996).

use crate::physical::{Accumulator, Function};
use polars::prelude::*;

use super::slots::{Group, readings};
use super::values::{Value, cut_off, each_piece, float_of_word, write_piece};

/// The values of a group.
#[derive(Default)]
pub(super) struct Runs {
    runs: Vec<Vec<u64>>,
    /// Polars counts them in before it rounds a rank, and so do we.
    nulls: u64,
}

impl Group for Runs {
    type Value = u64;

    fn take(&mut self, items: &[u64], nulls: usize, _: Function) {
        self.nulls += nulls as u64;
        if items.is_empty() {
            return;
        }
        let mut run = items.to_vec();
        run.sort_unstable();
        while let Some(last) = self.runs.pop_if(|last| last.len() <= 2 * run.len()) {
            run = merged(&last, &run);
        }
        self.runs.push(run);
    }

    fn heap(&self) -> usize {
        let values: usize = self.runs.iter().map(Vec::capacity).sum();
        values * size_of::<u64>() + self.runs.capacity() * size_of::<Vec<u64>>()
    }

    fn write(&self, to: &mut Vec<u8>) {
        write_piece(&self.nulls.to_le_bytes(), to);
        for run in &self.runs {
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
        Ok(Runs { runs: pieces.split_off(1), nulls })
    }

    fn columns(groups: &[&Self], spec: &Accumulator) -> PolarsResult<Vec<Column>> {
        let value = |word: u64| match &spec.input_dtype {
            dtype if dtype.is_float() => float_of_word(word),
            DataType::UInt64 => word as f64,
            _ => (word ^ (1 << 63)).cast_signed() as f64,
        };
        readings(groups, spec, |runs, quantile, method| runs.quantile(quantile, method, value))
    }
}

impl Runs {
    /// As Polars takes a quantile of sorted values.
    fn quantile(&self, quantile: f64, method: QuantileMethod, value: impl Fn(u64) -> f64) -> Option<f64> {
        let count: usize = self.runs.iter().map(Vec::len).sum();
        let (last, nulls) = (count.checked_sub(1)?, self.nulls as usize);
        let exact = last as f64 * quantile + nulls as f64;
        let at = match method {
            QuantileMethod::Nearest => exact.round() as usize,
            QuantileMethod::Equiprobable => ((count as f64 * quantile).ceil() - 1.0).max(0.0) as usize + nulls,
            QuantileMethod::Higher => exact.ceil() as usize,
            QuantileMethod::Lower | QuantileMethod::Midpoint | QuantileMethod::Linear => exact as usize,
        };
        let at = at.clamp(nulls, last + nulls);
        let lower = value(self.nth(at - nulls)?);
        let between = matches!(method, QuantileMethod::Midpoint | QuantileMethod::Linear) && exact.ceil() as usize > at;
        if !between {
            return Some(lower);
        }
        let upper = value(self.nth(at - nulls + 1)?);
        Some(match method {
            _ if lower == upper => lower,
            QuantileMethod::Midpoint => (lower + upper) / 2.0,
            _ => (exact - at as f64) * (upper - lower) + lower,
        })
    }

    /// The value that is `n`th from below. Half of the longest rest of a run is ruled out by each look.
    fn nth(&self, mut n: usize) -> Option<u64> {
        let mut rests: Vec<&[u64]> = self.runs.iter().map(Vec::as_slice).collect();
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
