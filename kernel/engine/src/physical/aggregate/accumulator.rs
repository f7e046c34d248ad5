//! What a state keeps of each group, and of which types it can.

use polars::prelude::*;

/// A value kept per group.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Accumulator {
    /// The column that `outputs` reads it from.
    pub(crate) name: PlSmallStr,
    /// How values merge.
    pub(crate) function: Function,
    /// What is aggregated: an expression on one row. A literal for [`Function::Len`].
    pub(crate) input: Expr,
    /// Which rows count, for those functions that do not pass over nulls; all where there is none.
    pub(crate) only: Option<Expr>,
    /// The type of `input`.
    pub(crate) input_dtype: DataType,
    /// The type that Polars gives the aggregate.
    pub(crate) dtype: DataType,
    /// What is read of it, where that is not one thing: `outputs` has a column for each.
    pub(crate) readings: Vec<Quantile>,
}

/// A quantile that is read of the values of a group.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Quantile {
    /// The column that `outputs` reads it from.
    pub(crate) name: PlSmallStr,
    /// Between 0 and 1.
    pub(crate) quantile: f64,
    /// What is given where it lies between two values.
    pub(crate) method: QuantileMethod,
    /// The type that Polars gives it.
    pub(crate) dtype: DataType,
}

/// How the values of a group merge into one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Function {
    /// Rows.
    Len,
    /// Values that are not null.
    Count,
    /// The sum; zero when there are no values.
    Sum,
    /// The mean; null when there are no values.
    Mean,
    /// The smallest value.
    Min,
    /// The largest value.
    Max,
    /// The variance; null when there are not more values than `ddof`.
    Var {
        /// What is taken from the number of values that it is divided by.
        ddof: u8,
    },
    /// The standard deviation: the square root of the variance.
    Std {
        /// As for the variance.
        ddof: u8,
    },
    /// The first value by time and position, a null too.
    First,
    /// The last value by time and position, a null too.
    Last,
    /// How many different values there are, nulls aside. All of them are kept.
    Distinct,
    /// Quantiles of the values. All of them are kept.
    Quantiles,
    /// A list of the largest values, and of nulls where there are not enough.
    Largest {
        /// How many.
        k: usize,
    },
    /// A list of the smallest values, and of nulls where there are not enough.
    Smallest {
        /// How many.
        k: usize,
    },
    /// About how many different values there are, nulls aside.
    ApproxDistinct,
    /// About the quantiles of the values.
    ApproxQuantiles,
}

impl Accumulator {
    /// The columns that `outputs` reads.
    pub(crate) fn columns(&self) -> Vec<Field> {
        if self.readings.is_empty() {
            return vec![Field::new(self.name.clone(), self.dtype.clone())];
        }
        self.readings.iter().map(|reading| Field::new(reading.name.clone(), reading.dtype.clone())).collect()
    }

    /// Whether what is kept of a group is more than a few numbers. Of rows that can be taken back, which `retracts` says, all values
    /// are kept of which the next one may come up, and sums of floats as exact ones, which have no fixed size.
    pub(crate) fn collects(&self, retracts: bool) -> bool {
        let is_decimal = self.input_dtype.is_decimal();
        self.function.collects()
            || retracts
                && match self.function {
                    Function::Sum => self.input_dtype.is_float(),
                    Function::Mean => !is_decimal,
                    Function::Var { .. } | Function::Std { .. } | Function::Min | Function::Max => true,
                    _ => false,
                }
    }

    /// Whether it keeps values of a group, which then take memory.
    pub(crate) fn keeps_values(&self, retracts: bool) -> bool {
        self.function.keeps_values() || retracts && matches!(self.function, Function::Min | Function::Max)
    }
}

impl Function {
    /// Whether what is kept of a group is more than a few numbers.
    fn collects(self) -> bool {
        self.is_ordered() || self.keeps_values() || self.error().is_some()
    }

    /// Whether it depends on the order of rows.
    pub(crate) fn is_ordered(self) -> bool {
        matches!(self, Function::First | Function::Last)
    }

    /// Whether it is a count.
    pub(crate) fn counts(self) -> bool {
        matches!(self, Function::Len | Function::Count | Function::Distinct | Function::ApproxDistinct)
    }

    /// Whether it keeps values of a group.
    fn keeps_values(self) -> bool {
        matches!(self, Function::Distinct | Function::Quantiles | Function::Largest { .. } | Function::Smallest { .. })
    }

    /// How far an approximate one may be off, in words.
    pub(crate) fn error(self) -> Option<&'static str> {
        match self {
            Function::ApproxDistinct => Some("n_unique OF {} TO 0.8 % (STANDARD ERROR)"),
            Function::ApproxQuantiles => Some("QUANTILES OF {} TO 1 %"),
            _ => None,
        }
    }

    pub(crate) fn takes(self, dtype: &DataType) -> bool {
        let number = dtype.is_primitive_numeric() || matches!(dtype, DataType::Boolean | DataType::Decimal(_, _));
        let time = matches!(dtype, DataType::Date | DataType::Datetime(_, _) | DataType::Duration(_) | DataType::Time);
        match self {
            Function::Len | Function::Count => true,
            Function::Sum => number || matches!(dtype, DataType::Duration(_)),
            Function::Mean => number,
            Function::Var { .. } | Function::Std { .. } => dtype.is_primitive_numeric() && *dtype != DataType::Float32,
            Function::Min | Function::Max => number || time || matches!(dtype, DataType::String),
            Function::Quantiles => dtype.is_primitive_numeric() || time,
            Function::ApproxQuantiles => *dtype == DataType::Float64,
            Function::First | Function::Last | Function::Distinct | Function::ApproxDistinct => {
                number || time || matches!(dtype, DataType::String | DataType::Binary)
            }
            Function::Largest { .. } | Function::Smallest { .. } => {
                number || time || matches!(dtype, DataType::String | DataType::Binary)
            }
        }
    }
}
