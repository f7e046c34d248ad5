//! Sums, means and variances of floats that change: exact sums of the values and of their squares, so that nothing is left of a
//! value that was taken back, however large it was. Those that are not finite are counted apart, for they could not leave a sum.

use crate::physical::{Accumulator, Function};
use polars::prelude::*;

use super::super::exact::ExactSum;
use super::slots::{SlotValues, column, taken_back};
use super::values::{cut_off, each_piece, float_of_word, write_piece};

/// The sums of a group.
#[derive(Clone, Default)]
pub(super) struct Moments {
    finite: u64,
    /// NaN, infinity, and infinity below zero.
    others: [u64; 3],
    sum: ExactSum,
    /// Of the finite values' squares, where a variance is wanted.
    squares: ExactSum,
}

impl SlotValues for Moments {
    type Value = u64;

    fn take(&mut self, items: &[u64], _: usize, function: Function) {
        let squared = is_squared(function);
        for value in items.iter().copied().map(float_of_word) {
            match other(value) {
                Some(other) => self.others[other] += 1,
                None => {
                    self.finite += 1;
                    self.sum.add(value);
                    if squared {
                        self.squares.add_square(value, false);
                    }
                }
            }
        }
        self.settle();
    }

    fn retract(&mut self, items: &[u64], _: usize, function: Function) -> PolarsResult<()> {
        let squared = is_squared(function);
        for value in items.iter().copied().map(float_of_word) {
            match other(value) {
                Some(other) => self.others[other] = self.others[other].checked_sub(1).ok_or_else(taken_back)?,
                None => {
                    self.finite = self.finite.checked_sub(1).ok_or_else(taken_back)?;
                    self.sum.add(-value);
                    if squared {
                        self.squares.add_square(value, true);
                    }
                }
            }
        }
        self.settle();
        Ok(())
    }

    fn heap(&self) -> usize {
        self.sum.heap() + self.squares.heap()
    }

    fn write(&self, to: &mut Vec<u8>) {
        let [nan, above, below] = self.others;
        let counts = [self.finite, nan, above, below].map(u64::to_le_bytes).concat();
        write_piece(&counts, to);
        for sum in [&self.sum, &self.squares] {
            let (first, digits) = sum.parts();
            let mut bytes = first.to_le_bytes().to_vec();
            digits.iter().for_each(|digit| bytes.extend_from_slice(&digit.to_le_bytes()));
            write_piece(&bytes, to);
        }
    }

    fn read(from: &[u8]) -> PolarsResult<Moments> {
        let mut pieces: Vec<Vec<u8>> = Vec::new();
        each_piece(from, |piece| {
            pieces.push(piece.to_vec());
            Ok(())
        })?;
        let [counts, sum, squares] = pieces.as_slice() else { return Err(cut_off()) };
        let counts: Vec<u64> = words(counts)?.into_iter().map(u64::from_le_bytes).collect();
        let [finite, nan, above, below] = counts.as_slice() else { return Err(cut_off()) };
        let others = [*nan, *above, *below];
        Ok(Moments { finite: *finite, others, sum: exact(sum)?, squares: exact(squares)? })
    }

    fn columns(groups: &[&Self], spec: &Accumulator) -> PolarsResult<Vec<Column>> {
        let of = |moments: &&Self| match spec.function {
            Function::Sum => Some(moments.sum()),
            Function::Mean => (moments.count() > 0).then(|| moments.sum() / moments.count() as f64),
            Function::Var { ddof } => moments.variance(ddof),
            Function::Std { ddof } => moments.variance(ddof).map(f64::sqrt),
            _ => None,
        };
        column(spec, Series::new(spec.name.clone(), groups.iter().map(of).collect::<Vec<Option<f64>>>()))
    }
}

impl Moments {
    fn settle(&mut self) {
        self.sum.settle();
        self.squares.settle();
    }

    fn count(&self) -> u64 {
        self.finite + self.others.iter().sum::<u64>()
    }

    fn sum(&self) -> f64 {
        match self.others {
            [0, 0, 0] => self.sum.value(),
            [0, _, 0] => f64::INFINITY,
            [0, 0, _] => f64::NEG_INFINITY,
            _ => f64::NAN,
        }
    }

    /// As in Polars, values that are infinitely far apart have none, and one value alone, of which none is taken off, has 0.
    fn variance(&self, ddof: u8) -> Option<f64> {
        let freedom = self.count() as f64 - f64::from(ddof);
        (freedom > 0.0).then(|| match self.others {
            [0, 0, 0] => self.sum.spread(&self.squares, self.finite, freedom),
            _ => f64::NAN,
        })
    }
}

/// Which of those that are not finite a value is.
fn other(value: f64) -> Option<usize> {
    match value {
        value if value.is_nan() => Some(0),
        f64::INFINITY => Some(1),
        f64::NEG_INFINITY => Some(2),
        _ => None,
    }
}

fn is_squared(function: Function) -> bool {
    matches!(function, Function::Var { .. } | Function::Std { .. })
}

fn exact(bytes: &[u8]) -> PolarsResult<ExactSum> {
    let (first, digits) = bytes.split_first_chunk().ok_or_else(cut_off)?;
    let digits: Vec<i64> = words(digits)?.into_iter().map(i64::from_le_bytes).collect();
    Ok(ExactSum::from_parts(i16::from_le_bytes(*first), &digits))
}

fn words(bytes: &[u8]) -> PolarsResult<Vec<[u8; 8]>> {
    bytes.chunks(8).map(|word| word.try_into().map_err(|_| cut_off())).collect()
}
