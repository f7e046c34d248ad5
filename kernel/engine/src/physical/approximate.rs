//! Quantiles of which only a sketch is kept: an expression of our own among Polars', and the sketch. It does not depend on
//! the order of values nor on how they are cut, and is never further off than it says.

use polars::prelude::*;
use polars_plan::prelude::{BaseColumnUdf, FunctionOptions, new_column_udf};

/// What a plan calls it.
const NAME: &str = "approx_quantile";

/// The quantile `q` of an expression's values, to 1 %: the value that [`Expr::quantile`] gives with
/// [`QuantileMethod::Lower`] may be off by a hundredth of itself. Nulls do not count; no value is kept, but a sketch of some
/// kilobytes for each group. Between -2.2e-308 and 2.2e-308 everything is taken for zero.
///
/// After C. Masson, J. E. Rim and H. K. Lee, "DDSketch: A fast and fully-mergeable quantile sketch with relative-error
/// guarantees" (2019).
///
/// ```no_run
/// use engine::approx_quantile;
/// use polars::prelude::*;
/// let slow = approx_quantile(col("milliseconds"), 0.99).alias("p99");
/// ```
///
/// # Errors
/// When the frame is made, where `q` is not between 0 and 1 or the values are no numbers.
pub fn approx_quantile(values: Expr, q: f64) -> Expr {
    let function = BaseColumnUdf::new(
        move |columns: &mut [Column]| {
            let mut sketch = QuantileSketch::default();
            columns[0].cast(&DataType::Float64)?.f64()?.iter().flatten().for_each(|value| sketch.add(value));
            Ok(Column::new(columns[0].name().clone(), [sketch.quantile(q)]))
        },
        move |_: &Schema, fields: &[Field]| checked(q, &fields[0]),
    );
    Expr::AnonymousFunction {
        input: vec![values, lit(q)],
        function: new_column_udf(function),
        options: FunctionOptions::aggregation(),
        fmt_str: Box::new(NAME.into()),
    }
}

/// An expression of this program's own by its name in a plan's text, for [`Plan::from_text`](plan::Plan::from_text).
#[must_use]
pub fn named_expression(name: &str, of: &[Expr]) -> Option<Expr> {
    match (name, of) {
        (NAME, [values, Expr::Literal(q)]) => Some(approx_quantile(values.clone(), q.to_any_value()?.extract()?)),
        _ => None,
    }
}

/// The field of the result, where there can be one.
fn checked(q: f64, values: &Field) -> PolarsResult<Field> {
    polars_ensure!(
        (0.0..=1.0).contains(&q),
        InvalidOperation: "{NAME}: {q} is no quantile. It is between 0 and 1, as in 0.99 for what only a hundredth of the values is above"
    );
    let dtype = values.dtype();
    let number = dtype.is_primitive_numeric() || matches!(dtype, DataType::Boolean | DataType::Decimal(_, _));
    polars_ensure!(
        number || *dtype == DataType::Null,
        InvalidOperation: "{NAME}: column \"{}\" is {dtype}, and a number is needed. Cast it first, as in col(\"x\").cast(DataType::Float64)",
        values.name()
    );
    Ok(Field::new(values.name().clone(), DataType::Float64))
}

/// Whether an expression is one that [`approx_quantile`] made.
pub(super) fn is_approx_quantile(expr: &Expr) -> bool {
    matches!(expr, Expr::AnonymousFunction { fmt_str, .. } if fmt_str.as_str() == NAME)
}

/// How wide a bucket is, in the logarithm of its values. What stands for a bucket's values is then off by
/// `tanh(WIDTH / 2)` of any of them at the most, which is 0.99 %.
const WIDTH: f64 = 0.0198;
/// Buckets of positive values are numbered from here, and those of negative ones alike below zero, which has its own.
const MIDDLE: i32 = 100_000;
const INFINITY: i32 = i32::MAX - 1;
const NAN: i32 = i32::MAX;

/// How many values lie in which bucket. The buckets are narrow near zero and wide far from it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct QuantileSketch {
    /// A bucket's number and how many values it has, in the order of values.
    buckets: Vec<(i32, u64)>,
}

impl QuantileSketch {
    /// Takes a value in. NaN is the largest, as in Polars.
    pub fn add(&mut self, value: f64) {
        let bucket = bucket(value);
        match self.buckets.binary_search_by_key(&bucket, |(number, _)| *number) {
            Ok(at) => self.buckets[at].1 += 1,
            Err(at) => self.buckets.insert(at, (bucket, 1)),
        }
    }

    /// The quantile `q`, between 0 and 1; `None` where there are no values.
    #[must_use]
    pub fn quantile(&self, q: f64) -> Option<f64> {
        let count: u64 = self.buckets.iter().map(|(_, count)| count).sum();
        // The rank that Polars takes for the lower one.
        let rank = (count.checked_sub(1)? as f64 * q) as u64;
        let mut below = 0;
        let found = self.buckets.iter().find(|(_, count)| {
            below += count;
            below > rank
        });
        found.or(self.buckets.last()).map(|(number, _)| middle(*number))
    }

    /// The numbers of the buckets and how many values each has, in order.
    #[must_use]
    pub fn buckets(&self) -> &[(i32, u64)] {
        &self.buckets
    }

    /// A sketch again of what [`QuantileSketch::buckets`] gave.
    #[must_use]
    pub fn from_buckets(buckets: Vec<(i32, u64)>) -> QuantileSketch {
        QuantileSketch { buckets }
    }
}

fn bucket(value: f64) -> i32 {
    if value.is_nan() {
        return NAN;
    }
    let number = match value.abs() {
        size if size < f64::MIN_POSITIVE => return 0,
        f64::INFINITY => INFINITY,
        size => MIDDLE + (size.ln() / WIDTH).ceil() as i32,
    };
    if value < 0.0 { -number } else { number }
}

/// A value that is as near to all values of a bucket as one can be, in proportion.
fn middle(bucket: i32) -> f64 {
    let size = match bucket.abs() {
        0 => 0.0,
        NAN => f64::NAN,
        INFINITY => f64::INFINITY,
        number => {
            let upper = (f64::from(number - MIDDLE) * WIDTH).min(f64::MAX.ln());
            upper.exp() * (2.0 / (WIDTH.exp() + 1.0))
        }
    };
    if bucket < 0 { -size } else { size }
}
