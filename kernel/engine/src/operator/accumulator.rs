//! The values that an aggregation keeps per group, as columns indexed by the group's slot. A batch's partial results,
//! computed by Polars, are merged in; what comes out has the type Polars gives the aggregate.

use plan::{Accumulator, Function};
use polars::prelude::*;

use super::sum::CompensatedSum;

mod saved;

/// One accumulator's values for all groups.
pub(crate) struct Cells {
    spec: Accumulator,
    values: Values,
}

/// No decimal: they have 38 digits, and this has 39.
const NO_DECIMAL: i128 = i128::MIN;

fn known(decimal: i128) -> Option<i128> {
    (decimal != NO_DECIMAL).then_some(decimal)
}

/// What is kept, by function and type. Integers, booleans, dates and times are kept as 64-bit integers.
enum Values {
    Count(Vec<u64>),
    /// Wraps at 64 bits, as Polars' sum does.
    Sum(Vec<i64>),
    DecimalSum(Vec<i128>),
    FloatSum(Vec<CompensatedSum>),
    Mean(Vec<(CompensatedSum, u64)>),
    DecimalMean(Vec<(i128, u64)>),
    Extreme(Vec<Option<i64>>),
    UnsignedExtreme(Vec<Option<u64>>),
    /// [`NO_DECIMAL`] where there is none: an option of 128 bits takes twice as much room.
    DecimalExtreme(Vec<i128>),
    FloatExtreme(Vec<Option<f64>>),
    TextExtreme(Vec<Option<String>>),
    Spread(Vec<Spread>),
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
        self.squares += other.squares + apart * apart * self.count * other.count / count;
        self.mean += apart * other.count / count;
        self.count = count;
    }

    fn variance(self, ddof: u8) -> Option<f64> {
        let freedom = self.count - f64::from(ddof);
        (freedom > 0.0).then(|| self.squares / freedom)
    }
}

impl Cells {
    pub(crate) fn new(spec: Accumulator) -> Cells {
        let values = match (spec.function, &spec.input_dtype) {
            (Function::Len | Function::Count, _) => Values::Count(Vec::new()),
            (Function::Sum, DataType::Decimal(_, _)) => Values::DecimalSum(Vec::new()),
            (Function::Sum, dtype) if dtype.is_float() => Values::FloatSum(Vec::new()),
            (Function::Sum, _) => Values::Sum(Vec::new()),
            (Function::Mean, DataType::Decimal(_, _)) => Values::DecimalMean(Vec::new()),
            (Function::Mean, _) => Values::Mean(Vec::new()),
            (Function::Var { .. } | Function::Std { .. }, _) => Values::Spread(Vec::new()),
            (_, DataType::Decimal(_, _)) => Values::DecimalExtreme(Vec::new()),
            (_, DataType::String) => Values::TextExtreme(Vec::new()),
            (_, DataType::UInt64) => Values::UnsignedExtreme(Vec::new()),
            (_, dtype) if dtype.is_float() => Values::FloatExtreme(Vec::new()),
            (_, _) => Values::Extreme(Vec::new()),
        };
        Cells { spec, values }
    }

    /// What is aggregated.
    pub(crate) fn input(&self) -> Expr {
        self.spec.input.clone()
    }

    /// The expressions that give a batch's partial results from the column `input n`: the first, and where they are needed
    /// the number of values and the squares.
    pub(crate) fn partials(&self, n: usize) -> Vec<Expr> {
        let input = || col(format!("input {n}"));
        let count = || input().count().cast(DataType::UInt64);
        let widened = |dtype| input().cast(dtype);
        let first = match &self.values {
            Values::Count(_) if self.spec.function == Function::Len => len().cast(DataType::UInt64),
            Values::Count(_) => count(),
            Values::Sum(_) if self.spec.input_dtype == DataType::UInt64 => input().sum(),
            Values::Sum(_) => widened(DataType::Int64).sum(),
            Values::DecimalSum(_) | Values::DecimalMean(_) => input().sum(),
            Values::FloatSum(_) | Values::Mean(_) => widened(DataType::Float64).sum(),
            Values::Spread(_) => widened(DataType::Float64).mean(),
            _ if self.spec.function == Function::Min => input().min(),
            _ => input().max(),
        };
        let mut partials = vec![first.alias(format!("partial {n}"))];
        if matches!(self.values, Values::Mean(_) | Values::DecimalMean(_) | Values::Spread(_)) {
            partials.push(count().alias(format!("partial {n} count")));
        }
        if matches!(self.values, Values::Spread(_)) {
            partials.push(widened(DataType::Float64).var(0).alias(format!("partial {n} squares")));
        }
        partials
    }

    /// Makes room for `slots` groups.
    pub(crate) fn grow(&mut self, slots: usize) {
        match &mut self.values {
            Values::Count(v) => v.resize(slots, 0),
            Values::Sum(v) => v.resize(slots, 0),
            Values::DecimalSum(v) => v.resize(slots, 0),
            Values::FloatSum(v) => v.resize(slots, CompensatedSum::default()),
            Values::Mean(v) => v.resize(slots, Default::default()),
            Values::DecimalMean(v) => v.resize(slots, (0, 0)),
            Values::Extreme(v) => v.resize(slots, None),
            Values::UnsignedExtreme(v) => v.resize(slots, None),
            Values::DecimalExtreme(v) => v.resize(slots, NO_DECIMAL),
            Values::FloatExtreme(v) => v.resize(slots, None),
            Values::TextExtreme(v) => v.resize(slots, None),
            Values::Spread(v) => v.resize(slots, Spread::default()),
        }
    }

    /// Makes a slot as new, for another group.
    pub(crate) fn clear(&mut self, slot: usize) {
        match &mut self.values {
            Values::Count(v) => v[slot] = 0,
            Values::Sum(v) => v[slot] = 0,
            Values::DecimalSum(v) => v[slot] = 0,
            Values::FloatSum(v) => v[slot] = CompensatedSum::default(),
            Values::Mean(v) => v[slot] = Default::default(),
            Values::DecimalMean(v) => v[slot] = (0, 0),
            Values::Extreme(v) => v[slot] = None,
            Values::UnsignedExtreme(v) => v[slot] = None,
            Values::DecimalExtreme(v) => v[slot] = NO_DECIMAL,
            Values::FloatExtreme(v) => v[slot] = None,
            Values::TextExtreme(v) => v[slot] = None,
            Values::Spread(v) => v[slot] = Spread::default(),
        }
    }

    /// Merges the partial results, one a slot.
    pub(crate) fn merge(
        &mut self,
        slots: &[usize],
        partial: &Column,
        count: Option<&Column>,
        variance: Option<&Column>,
    ) -> PolarsResult<()> {
        let partial = partial.as_materialized_series();
        let smallest = self.spec.function == Function::Min;
        match &mut self.values {
            Values::Count(v) => each(slots, partial.u64()?.iter(), |slot, n| v[slot] += n),
            Values::Sum(v) if partial.dtype() == &DataType::UInt64 => {
                each(slots, partial.u64()?.iter(), |slot, n| v[slot] = v[slot].wrapping_add(n.cast_signed()));
            }
            Values::Sum(v) => each(slots, partial.i64()?.iter(), |slot, n| v[slot] = v[slot].wrapping_add(n)),
            Values::DecimalSum(v) => {
                each(slots, partial.decimal()?.physical().iter(), |slot, n| v[slot] = v[slot].wrapping_add(n));
            }
            Values::FloatSum(v) => each(slots, partial.f64()?.iter(), |slot, n| v[slot].add(n)),
            Values::Mean(v) => {
                each(slots, partial.f64()?.iter(), |slot, n| v[slot].0.add(n));
                each(slots, counts(count)?.iter(), |slot, n| v[slot].1 += n);
            }
            Values::DecimalMean(v) => {
                each(slots, partial.decimal()?.physical().iter(), |slot, n| v[slot].0 = v[slot].0.wrapping_add(n));
                each(slots, counts(count)?.iter(), |slot, n| v[slot].1 += n);
            }
            Values::Extreme(v) => {
                let partial = partial.to_physical_repr().cast(&DataType::Int64)?;
                each(slots, partial.i64()?.iter(), |slot, n| keep(&mut v[slot], n, |a, b| (a < b) == smallest));
            }
            Values::UnsignedExtreme(v) => {
                each(slots, partial.u64()?.iter(), |slot, n| keep(&mut v[slot], n, |a, b| (a < b) == smallest));
            }
            Values::DecimalExtreme(v) => each(slots, partial.decimal()?.physical().iter(), |slot, n| {
                if v[slot] == NO_DECIMAL || (n < v[slot]) == smallest {
                    v[slot] = n;
                }
            }),
            Values::FloatExtreme(v) => {
                let partial = partial.cast(&DataType::Float64)?;
                // As in Polars, NaN is an extreme only where there is nothing else.
                each(slots, partial.f64()?.iter(), |slot, n| {
                    keep(&mut v[slot], n, |a, b| b.is_nan() || (!a.is_nan() && (a < b) == smallest));
                });
            }
            Values::Spread(v) => {
                let variance = variance.ok_or_else(|| polars_err!(ComputeError: "a variance without its squares"))?;
                let rows = partial.f64()?.iter().zip(counts(count)?.iter()).zip(variance.f64()?.iter());
                for (slot, ((mean, count), variance)) in slots.iter().zip(rows) {
                    let count = count.unwrap_or_default() as f64;
                    let squares = variance.unwrap_or_default() * count;
                    v[*slot].merge(Spread { count, mean: mean.unwrap_or_default(), squares });
                }
            }
            Values::TextExtreme(v) => each(slots, partial.str()?.iter(), |slot, text| {
                let better = v[slot].as_deref().is_none_or(|held| (text < held) == smallest && text != held);
                if better {
                    v[slot] = Some(text.to_owned());
                }
            }),
        }
        Ok(())
    }

    /// The aggregate of each slot, under the accumulator's name and with Polars' type.
    pub(crate) fn column(&self, slots: &[usize]) -> PolarsResult<Column> {
        let name = self.spec.name.clone();
        let dtype = &self.spec.dtype;
        let series = match &self.values {
            Values::Count(v) => Series::new(name, slots.iter().map(|s| v[*s]).collect::<Vec<_>>()),
            Values::Sum(v) => return wrapped(name, slots.iter().map(|s| v[*s]), dtype),
            Values::DecimalSum(v) => return decimal(name, slots.iter().map(|s| Some(v[*s])), dtype),
            Values::FloatSum(v) => Series::new(name, slots.iter().map(|s| v[*s].value()).collect::<Vec<_>>()),
            Values::Mean(v) => {
                let mean = |(sum, n): (CompensatedSum, u64)| (n > 0).then(|| sum.value() / n as f64);
                Series::new(name, slots.iter().map(|s| mean(v[*s])).collect::<Vec<_>>())
            }
            Values::DecimalMean(v) => return self.decimal_mean(slots.iter().map(|s| v[*s])),
            Values::Extreme(v) => Series::new(name, slots.iter().map(|s| v[*s]).collect::<Vec<_>>()),
            Values::UnsignedExtreme(v) => Series::new(name, slots.iter().map(|s| v[*s]).collect::<Vec<_>>()),
            Values::DecimalExtreme(v) => return decimal(name, slots.iter().map(|s| known(v[*s])), dtype),
            Values::FloatExtreme(v) => Series::new(name, slots.iter().map(|s| v[*s]).collect::<Vec<_>>()),
            Values::TextExtreme(v) => Series::new(name, slots.iter().map(|s| v[*s].as_deref()).collect::<Vec<_>>()),
            Values::Spread(v) => {
                let of = |slot: &usize| match self.spec.function {
                    Function::Std { ddof } => v[*slot].variance(ddof).map(f64::sqrt),
                    Function::Var { ddof } => v[*slot].variance(ddof),
                    _ => None,
                };
                Series::new(name, slots.iter().map(of).collect::<Vec<_>>())
            }
        };
        Ok(series.cast(dtype)?.into())
    }

    fn decimal_mean(&self, values: impl Iterator<Item = (i128, u64)>) -> PolarsResult<Column> {
        let DataType::Decimal(_, scale) = &self.spec.input_dtype else {
            polars_bail!(ComputeError: "a decimal mean over {}", self.spec.input_dtype);
        };
        let one = 10f64.powi(i32::try_from(*scale).unwrap_or(0));
        let means: Vec<Option<f64>> = values.map(|(sum, n)| (n > 0).then(|| sum as f64 / one / n as f64)).collect();
        Ok(Series::new(self.spec.name.clone(), means).cast(&self.spec.dtype)?.into())
    }
}

fn each<T>(slots: &[usize], values: impl Iterator<Item = Option<T>>, mut merge: impl FnMut(usize, T)) {
    for (slot, value) in slots.iter().zip(values) {
        if let Some(value) = value {
            merge(*slot, value);
        }
    }
}

fn keep<T: Copy>(held: &mut Option<T>, new: T, better: impl Fn(T, T) -> bool) {
    if held.is_none_or(|held| better(new, held)) {
        *held = Some(new);
    }
}

fn counts(count: Option<&Column>) -> PolarsResult<&UInt64Chunked> {
    count.ok_or_else(|| polars_err!(ComputeError: "a mean without its count"))?.u64()
}

/// A sum of integers in the type Polars gives it, wrapped as Polars wraps it.
fn wrapped(name: PlSmallStr, sums: impl Iterator<Item = i64>, dtype: &DataType) -> PolarsResult<Column> {
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
