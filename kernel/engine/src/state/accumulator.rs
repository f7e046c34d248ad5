//! The values that an aggregation keeps per group. A batch's rows are merged in one by one; what comes out has the type that
//! Polars gives the aggregate. Values of a fixed size lie in the group's own row of words; others lie beside it, by slot.

use crate::physical::{Accumulator, Function};
use polars::prelude::*;
use polars_arrow::array::Array as _;

use super::cow_vec::CowVec;
use super::groups::rows::Groups;
use super::groups::words::{Flag, Layout, Packed};
use super::sum::{CompensatedSum, WideSum};

mod combined;
mod tables;

/// One accumulator's values for all groups.
#[derive(Clone)]
pub(crate) struct Cells {
    spec: Accumulator,
    values: Values,
    /// The first word of its value in a group's row.
    at: usize,
}

/// What is kept, by function and type. Integers, booleans, dates and times are kept as 64-bit integers. A flag says whether
/// there is a value.
#[derive(Clone)]
enum Values {
    Len,
    Count,
    /// Wraps at 64 bits, as Polars' sum does.
    Sum,
    /// The flag says that it has more digits than there is room for.
    DecimalSum(Flag),
    /// Of rows that change: a sum that had more digits may have fewer again.
    WideDecimalSum,
    FloatSum,
    Mean,
    DecimalMean,
    Extreme(Flag),
    UnsignedExtreme(Flag),
    DecimalExtreme(Flag),
    FloatExtreme(Flag),
    /// Beside the rows.
    TextExtreme(CowVec<Option<String>>),
    Spread,
}

impl Values {
    fn of(spec: &Accumulator, layout: &mut Layout, retracts: bool) -> Values {
        match (spec.function, &spec.input_dtype) {
            (Function::Len, _) => Values::Len,
            (Function::Count, _) => Values::Count,
            (Function::Sum, DataType::Decimal(_, _)) if retracts => Values::WideDecimalSum,
            (Function::Sum, DataType::Decimal(_, _)) => Values::DecimalSum(layout.flag()),
            (Function::Sum, dtype) if dtype.is_float() => Values::FloatSum,
            (Function::Sum, _) => Values::Sum,
            (Function::Mean, DataType::Decimal(_, _)) => Values::DecimalMean,
            (Function::Mean, _) => Values::Mean,
            (Function::Var { .. } | Function::Std { .. }, _) => Values::Spread,
            (_, DataType::Decimal(_, _)) => Values::DecimalExtreme(layout.flag()),
            (_, DataType::String) => Values::TextExtreme(CowVec::default()),
            (_, DataType::UInt64) => Values::UnsignedExtreme(layout.flag()),
            (_, dtype) if dtype.is_float() => Values::FloatExtreme(layout.flag()),
            (_, _) => Values::Extreme(layout.flag()),
        }
    }

    /// The words that a group's value takes.
    fn words(&self) -> usize {
        match self {
            Values::TextExtreme(_) => 0,
            Values::Len | Values::Count | Values::UnsignedExtreme(_) => u64::WORDS,
            Values::Sum | Values::Extreme(_) => i64::WORDS,
            Values::FloatExtreme(_) => f64::WORDS,
            Values::DecimalSum(_) | Values::DecimalExtreme(_) => i128::WORDS,
            Values::WideDecimalSum => WideSum::WORDS,
            Values::FloatSum => CompensatedSum::WORDS,
            Values::Mean => <(CompensatedSum, u64)>::WORDS,
            Values::DecimalMean => <(WideSum, u64)>::WORDS,
            Values::Spread => Spread::WORDS,
        }
    }
}

/// The number of values, their mean and the sum of their squared distances from it. Two merge as in Chan, Golub and LeVeque,
/// "Updating formulae and a pairwise algorithm for computing sample variances" (1979).
#[derive(Clone, Copy, Default)]
struct Spread {
    count: f64,
    mean: f64,
    squares: f64,
}

impl Spread {
    fn merge(&mut self, other: Spread) {
        if other.count == 0.0 {
            return;
        }
        let count = self.count + other.count;
        let apart = other.mean - self.mean;
        // As in Polars, values that are infinitely far apart have no variance.
        let apart = if apart.is_finite() { apart } else { f64::NAN };
        self.squares += other.squares + apart * apart * self.count * other.count / count;
        self.mean += apart * other.count / count;
        self.count = count;
    }

    fn variance(self, ddof: u8) -> Option<f64> {
        let freedom = self.count - f64::from(ddof);
        (freedom > 0.0).then(|| self.squares / freedom)
    }
}

impl Packed for Spread {
    const WORDS: usize = 3;

    fn unpacked(words: &[u64]) -> Spread {
        let [count, mean, squares] = [0, 1, 2].map(|at| f64::from_bits(words[at]));
        Spread { count, mean, squares }
    }

    fn pack(self, words: &mut [u64]) {
        words.copy_from_slice(&[self.count, self.mean, self.squares].map(f64::to_bits));
    }
}

impl Cells {
    /// Takes the room that it needs in `layout`; `retracts` says whether rows can be taken back.
    pub(crate) fn new(spec: Accumulator, layout: &mut Layout, retracts: bool) -> Cells {
        let values = Values::of(&spec, layout, retracts);
        let at = layout.place(values.words());
        Cells { spec, values, at }
    }

    /// What is aggregated, of the type that [`Cells::merge`] takes.
    pub(crate) fn input(&self) -> Expr {
        let input = self.spec.input.clone();
        match &self.values {
            Values::Sum if self.spec.input_dtype != DataType::UInt64 => input.cast(DataType::Int64),
            Values::FloatSum | Values::Mean | Values::Spread | Values::FloatExtreme(_) => input.cast(DataType::Float64),
            _ => input,
        }
    }

    /// Makes room for `slots` groups in what lies beside the rows.
    pub(crate) fn grow(&mut self, slots: usize) {
        if let Values::TextExtreme(v) = &mut self.values {
            v.grow(slots, || None);
        }
    }

    /// Makes a slot as new, for another group, in what lies beside the rows.
    pub(crate) fn clear(&mut self, slot: u32) {
        if let Values::TextExtreme(v) = &mut self.values {
            *v.get_mut(slot as usize) = None;
        }
    }

    /// Merges the batch's rows in: each is of the group in its slot.
    pub(crate) fn merge(&mut self, groups: &mut Groups, slots: &[u32], input: &Column) -> PolarsResult<()> {
        let input = input.as_materialized_series();
        let smallest = self.spec.function == Function::Min;
        let at = self.at;
        match &mut self.values {
            Values::Len => slots.iter().for_each(|slot| groups.update(*slot, at, |n: &mut u64| *n += 1)),
            Values::Count => {
                let is_there = input.is_not_null();
                let rows = slots.iter().zip(is_there.iter()).filter(|(_, is_there)| *is_there == Some(true));
                rows.for_each(|(slot, _)| groups.update(*slot, at, |n: &mut u64| *n += 1));
            }
            Values::Sum if input.dtype() == &DataType::UInt64 => {
                let add = |slot, n: u64| groups.update(slot, at, |sum: &mut u64| *sum = sum.wrapping_add(n));
                each(slots, input.u64()?, add);
            }
            Values::Sum => {
                let add = |slot, n| groups.update(slot, at, |sum: &mut i64| *sum = sum.wrapping_add(n));
                each(slots, input.i64()?, add);
            }
            Values::DecimalSum(beyond) => each(slots, input.decimal()?.physical(), |slot, n| {
                let mut fits = true;
                groups.update(slot, at, |sum: &mut i128| match sum.checked_add(n) {
                    Some(more) => *sum = more,
                    None => fits = false,
                });
                if !fits {
                    groups.mark(slot, *beyond);
                }
            }),
            Values::WideDecimalSum => each(slots, input.decimal()?.physical(), |slot, n| {
                groups.update(slot, at, |sum: &mut WideSum| sum.add(n));
            }),
            Values::FloatSum => {
                each(slots, input.f64()?, |slot, n| groups.update(slot, at, |sum: &mut CompensatedSum| sum.add(n)));
            }
            Values::Mean => each(slots, input.f64()?, |slot, n| {
                groups.update(slot, at, |(sum, count): &mut (CompensatedSum, u64)| {
                    sum.add(n);
                    *count += 1;
                });
            }),
            Values::DecimalMean => each(slots, input.decimal()?.physical(), |slot, n| {
                groups.update(slot, at, |(sum, count): &mut (WideSum, u64)| {
                    sum.add(n);
                    *count += 1;
                });
            }),
            Values::Spread => each(slots, input.f64()?, |slot, mean| {
                let one = Spread { count: 1.0, mean, squares: 0.0 };
                groups.update(slot, at, |spread: &mut Spread| spread.merge(one));
            }),
            Values::Extreme(flag) => {
                let input = input.to_physical_repr().cast(&DataType::Int64)?;
                each(slots, input.i64()?, |slot, n| groups.keep(slot, at, *flag, n, |a, b| (a < b) == smallest));
            }
            Values::UnsignedExtreme(flag) => {
                each(slots, input.u64()?, |slot, n| groups.keep(slot, at, *flag, n, |a, b| (a < b) == smallest));
            }
            Values::DecimalExtreme(flag) => {
                let keep = |slot, n: i128| groups.keep(slot, at, *flag, n, |a, b| (a < b) == smallest);
                each(slots, input.decimal()?.physical(), keep);
            }
            // As in Polars, NaN is an extreme only where there is nothing else.
            Values::FloatExtreme(flag) => each(slots, input.f64()?, |slot, n| {
                groups.keep(slot, at, *flag, n, |a, b| b.is_nan() || (!a.is_nan() && (a < b) == smallest));
            }),
            Values::TextExtreme(v) => {
                for (slot, text) in slots.iter().zip(input.str()?.iter()) {
                    let (held, Some(text)) = (v.get(*slot as usize), text) else { continue };
                    if held.as_deref().is_none_or(|held| (text < held) == smallest && text != held) {
                        *v.get_mut(*slot as usize) = Some(text.to_owned());
                    }
                }
            }
        }
        Ok(())
    }

    /// Takes rows back that [`Cells::merge`] took in. Of what is not told apart here rows that change are collected.
    pub(crate) fn subtract(&mut self, groups: &mut Groups, slots: &[u32], input: &Column) -> PolarsResult<()> {
        let input = input.as_materialized_series();
        let at = self.at;
        match &self.values {
            Values::Len => slots.iter().for_each(|slot| groups.update(*slot, at, |n: &mut u64| *n = n.wrapping_sub(1))),
            Values::Count => {
                let is_there = input.is_not_null();
                let rows = slots.iter().zip(is_there.iter()).filter(|(_, is_there)| *is_there == Some(true));
                rows.for_each(|(slot, _)| groups.update(*slot, at, |n: &mut u64| *n = n.wrapping_sub(1)));
            }
            Values::Sum if input.dtype() == &DataType::UInt64 => {
                let take = |slot, n: u64| groups.update(slot, at, |sum: &mut u64| *sum = sum.wrapping_sub(n));
                each(slots, input.u64()?, take);
            }
            Values::Sum => {
                let take = |slot, n| groups.update(slot, at, |sum: &mut i64| *sum = sum.wrapping_sub(n));
                each(slots, input.i64()?, take);
            }
            Values::WideDecimalSum => each(slots, input.decimal()?.physical(), |slot, n| {
                groups.update(slot, at, |sum: &mut WideSum| sum.subtract(n));
            }),
            Values::DecimalMean => each(slots, input.decimal()?.physical(), |slot, n| {
                groups.update(slot, at, |(sum, count): &mut (WideSum, u64)| {
                    sum.subtract(n);
                    *count = count.wrapping_sub(1);
                });
            }),
            _ => {
                polars_bail!(ComputeError: "rows are taken back from {:?}, which keeps too little of them", self.spec.function)
            }
        }
        Ok(())
    }

    /// The aggregate of each slot, under the accumulator's name and with Polars' type.
    pub(crate) fn column(&self, groups: &Groups, slots: &[u32]) -> PolarsResult<Column> {
        let name = self.spec.name.clone();
        let dtype = &self.spec.dtype;
        let series = match &self.values {
            Values::Len | Values::Count => Series::new(name, self.all::<u64>(groups, slots)),
            Values::Sum => return wrapped(name, self.all::<i64>(groups, slots), dtype),
            Values::DecimalSum(beyond) => {
                let is_beyond = slots.iter().any(|slot| groups.is_marked(*slot, *beyond));
                polars_ensure!(!is_beyond, ComputeError: "{}", self.too_long());
                return decimal(name, self.each(groups, slots).map(Some), dtype);
            }
            Values::WideDecimalSum => {
                let sums: Option<Vec<i128>> = self.each(groups, slots).map(WideSum::as_whole).collect();
                let sums = sums.ok_or_else(|| polars_err!(ComputeError: "{}", self.too_long()))?;
                return decimal(name, sums.into_iter().map(Some), dtype);
            }
            Values::FloatSum => {
                let value = |sum: CompensatedSum| sum.value();
                Series::new(name, self.each(groups, slots).map(value).collect::<Vec<_>>())
            }
            Values::Mean => {
                let mean = |(sum, n): (CompensatedSum, u64)| (n > 0).then(|| sum.value() / n as f64);
                Series::new(name, self.each(groups, slots).map(mean).collect::<Vec<_>>())
            }
            Values::DecimalMean => return self.decimal_mean(self.each(groups, slots)),
            Values::Extreme(flag) => Series::new(name, self.known::<i64>(groups, slots, *flag)),
            Values::UnsignedExtreme(flag) => Series::new(name, self.known::<u64>(groups, slots, *flag)),
            Values::FloatExtreme(flag) => Series::new(name, self.known::<f64>(groups, slots, *flag)),
            Values::DecimalExtreme(flag) => {
                return decimal(name, slots.iter().map(|slot| groups.find(*slot, self.at, *flag)), dtype);
            }
            Values::TextExtreme(v) => {
                Series::new(name, slots.iter().map(|slot| v.get(*slot as usize).as_deref()).collect::<Vec<_>>())
            }
            Values::Spread => {
                let of = |spread: Spread| match self.spec.function {
                    Function::Std { ddof } => spread.variance(ddof).map(f64::sqrt),
                    Function::Var { ddof } => spread.variance(ddof),
                    _ => None,
                };
                Series::new(name, self.each(groups, slots).map(of).collect::<Vec<_>>())
            }
        };
        Ok(series.cast(dtype)?.into())
    }

    fn too_long(&self) -> String {
        let input = &self.spec.input;
        format!("the sum of {input:?} has more than the 38 digits of a decimal. Sum it as Float64, or over windows")
    }

    /// Whether some slot has a count that Polars' type of counts does not hold.
    pub(crate) fn counts_beyond(&self, groups: &Groups, slots: &[u32]) -> bool {
        let beyond = |count: u64| IdxSize::try_from(count).is_err();
        matches!(self.values, Values::Len | Values::Count) && self.each(groups, slots).any(beyond)
    }

    /// The values in some slots.
    fn each<'a, T: Packed>(&'a self, groups: &'a Groups, slots: &'a [u32]) -> impl Iterator<Item = T> + 'a {
        slots.iter().map(|slot| groups.get(*slot, self.at))
    }

    fn all<T: Packed>(&self, groups: &Groups, slots: &[u32]) -> Vec<T> {
        self.each(groups, slots).collect()
    }

    /// The values in some slots, where there are any.
    fn known<T: Packed>(&self, groups: &Groups, slots: &[u32], flag: Flag) -> Vec<Option<T>> {
        slots.iter().map(|slot| groups.find(*slot, self.at, flag)).collect()
    }

    fn decimal_mean(&self, values: impl Iterator<Item = (WideSum, u64)>) -> PolarsResult<Column> {
        let DataType::Decimal(_, scale) = &self.spec.input_dtype else {
            polars_bail!(ComputeError: "a decimal mean over {}", self.spec.input_dtype);
        };
        let one = 10f64.powi(i32::try_from(*scale).unwrap_or(0));
        let mean = |(sum, n): (WideSum, u64)| (n > 0).then(|| sum.as_float() / one / n as f64);
        let means: Vec<Option<f64>> = values.map(mean).collect();
        Ok(Series::new(self.spec.name.clone(), means).cast(&self.spec.dtype)?.into())
    }
}

/// Calls `take` with the slot and the value of each row that has one.
fn each<T: PolarsNumericType>(slots: &[u32], values: &ChunkedArray<T>, mut take: impl FnMut(u32, T::Native)) {
    let mut slots = slots.iter();
    for array in values.downcast_iter() {
        // The array goes first: one that has ended must not take a slot along.
        if array.null_count() == 0 {
            array.values().iter().zip(slots.by_ref()).for_each(|(value, slot)| take(*slot, *value));
        } else {
            let rows = array.iter().zip(slots.by_ref());
            rows.for_each(|(value, slot)| value.into_iter().for_each(|value| take(*slot, *value)));
        }
    }
}

/// A sum of integers in the type Polars gives it, wrapped as Polars wraps it.
fn wrapped(name: PlSmallStr, sums: Vec<i64>, dtype: &DataType) -> PolarsResult<Column> {
    let sums = sums.into_iter();
    let series = match dtype {
        DataType::Int32 => Series::new(name, sums.map(|n| n as i32).collect::<Vec<_>>()),
        DataType::UInt32 => Series::new(name, sums.map(|n| n as u32).collect::<Vec<_>>()),
        DataType::UInt64 => Series::new(name, sums.map(i64::cast_unsigned).collect::<Vec<_>>()),
        _ => Series::new(name, sums.collect::<Vec<_>>()).cast(dtype)?,
    };
    Ok(series.into())
}

fn decimal(name: PlSmallStr, values: impl Iterator<Item = Option<i128>>, dtype: &DataType) -> PolarsResult<Column> {
    let DataType::Decimal(precision, scale) = dtype else {
        polars_bail!(ComputeError: "a decimal aggregate of type {dtype}");
    };
    let physical: Int128Chunked = values.collect();
    Ok(physical.with_name(name).into_decimal(*precision, *scale)?.into_series().into())
}
