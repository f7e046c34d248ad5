//! Quantiles of values that change: the values that came in sorted runs, and those that were taken back in others, so that a batch
//! costs what it has. Where half of the values have been taken back, what is left is made one run.

use crate::physical::{Accumulator, Function};
use polars::prelude::*;

use super::runs::{SortedRuns, as_number, quantile};
use super::slots::{SlotValues, readings, taken_back};
use super::values::{Value, cut_off, each_piece, write_piece};

/// The values of a group.
#[derive(Clone, Default)]
pub(super) struct Ranked {
    came: SortedRuns,
    /// Of those that came.
    left: SortedRuns,
    nulls: u64,
}

impl SlotValues for Ranked {
    type Value = u64;

    fn take(&mut self, items: &[u64], nulls: usize, _: Function) {
        self.nulls += nulls as u64;
        self.came.push(items);
    }

    fn retract(&mut self, items: &[u64], nulls: usize, _: Function) -> PolarsResult<()> {
        self.nulls = self.nulls.checked_sub(nulls as u64).ok_or_else(taken_back)?;
        self.left.push(items);
        if self.left.len() * 2 > self.came.len() {
            let values = self.values()?;
            (self.came, self.left) = (SortedRuns::of(values), SortedRuns::default());
        }
        Ok(())
    }

    fn heap(&self) -> usize {
        self.came.heap() + self.left.heap()
    }

    fn write(&self, to: &mut Vec<u8>) {
        write_piece(&self.nulls.to_le_bytes(), to);
        // What was taken back, too: that it was there is looked at where the two are put together.
        for runs in [&self.came, &self.left] {
            let words: Vec<u8> = runs.clone().into_one().iter().flat_map(|word| word.to_le_bytes()).collect();
            write_piece(&words, to);
        }
    }

    fn read(from: &[u8]) -> PolarsResult<Ranked> {
        let mut pieces: Vec<Vec<u64>> = Vec::new();
        each_piece(from, |piece| {
            pieces.push(piece.chunks(8).map(u64::from_bytes).collect::<PolarsResult<_>>()?);
            Ok(())
        })?;
        let (Some(left), Some(came), Some(nulls)) = (pieces.pop(), pieces.pop(), pieces.pop()) else {
            return Err(cut_off());
        };
        let nulls = nulls.first().copied().ok_or_else(cut_off)?;
        Ok(Ranked { came: SortedRuns::of(came), left: SortedRuns::of(left), nulls })
    }

    fn columns(groups: &[&Self], spec: &Accumulator) -> PolarsResult<Vec<Column>> {
        let value = as_number(&spec.input_dtype);
        readings(groups, spec, |ranked, at, method| {
            let count = ranked.came.len().saturating_sub(ranked.left.len());
            quantile((count, ranked.nulls as usize), (at, method), |n| ranked.nth(n).map(value))
        })
    }
}

impl Ranked {
    /// The value that is `n`th from below. Half of the longest rest of a run is ruled out by each look.
    fn nth(&self, n: usize) -> Option<u64> {
        let mut rests: Vec<&[u64]> = self.came.runs().collect();
        loop {
            let longest = rests.iter().max_by_key(|rest| rest.len())?;
            let pivot = *longest.get(longest.len() / 2)?;
            if n < self.came.below(pivot).saturating_sub(self.left.below(pivot)) {
                rests.iter_mut().for_each(|rest| *rest = &rest[..rest.partition_point(|value| *value < pivot)]);
            } else if n < self.came.up_to(pivot).saturating_sub(self.left.up_to(pivot)) {
                return Some(pivot);
            } else {
                rests.iter_mut().for_each(|rest| *rest = &rest[rest.partition_point(|value| *value <= pivot)..]);
            }
        }
    }

    /// The values that are there, in order.
    fn values(&mut self) -> PolarsResult<Vec<u64>> {
        let (mut values, left) = (std::mem::take(&mut self.came).into_one(), std::mem::take(&mut self.left).into_one());
        let mut left = left.into_iter().peekable();
        values.retain(|value| left.next_if_eq(value).is_none());
        if left.next().is_some() { Err(taken_back()) } else { Ok(values) }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::random::Random;

    #[test]
    fn every_rank_is_that_of_the_values_that_are_there() {
        let (mut random, mut ranked, mut all) = (Random(5), Ranked::default(), Vec::<u64>::new());
        for round in 0..400 {
            let new: Vec<u64> = (0..random.below(12)).map(|_| random.below(50)).collect();
            ranked.take(&new, 0, Function::Quantiles);
            all.extend(new);
            // Now and then nearly all go.
            let most = if round % 40 == 39 { all.len() as u64 } else { 12 };
            let gone = random.below(most + 1).min(all.len() as u64);
            let gone: Vec<u64> = (0..gone).map(|_| all.swap_remove(random.below(all.len() as u64) as usize)).collect();
            ranked.retract(&gone, 0, Function::Quantiles).unwrap();
            if round % 7 == 0 {
                let mut bytes = Vec::new();
                ranked.write(&mut bytes);
                ranked = Ranked::read(&bytes).unwrap();
            }
            let mut sorted = all.clone();
            sorted.sort_unstable();
            let found: Vec<u64> = (0..all.len()).map(|n| ranked.nth(n).unwrap()).collect();
            assert_eq!((found, ranked.nth(all.len())), (sorted, None));
        }
    }

    #[test]
    fn a_value_that_never_came_cannot_be_taken_back() {
        let mut ranked = Ranked::default();
        ranked.take(&[1, 2, 3], 0, Function::Quantiles);
        assert!(ranked.retract(&[4, 4], 0, Function::Quantiles).is_err());
        assert!(ranked.retract(&[], 1, Function::Quantiles).is_err());
    }
}
