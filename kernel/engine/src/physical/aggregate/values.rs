//! Which accumulators stand for which of Polars' aggregates.

use polars::prelude::*;

use super::split::{Cannot, Split};
use super::{Function, Quantile};
use crate::physical::approximate::is_approx_quantile;

/// Values, and which of them count.
struct Selected {
    value: Expr,
    only: Option<Expr>,
}

impl Selected {
    /// Takes filters off an expression.
    fn of(expr: &Expr) -> Selected {
        match expr {
            Expr::Filter { input, by } => Selected { value: input.as_ref().clone(), only: Some(by.as_ref().clone()) },
            Expr::Function { input, function: FunctionExpr::DropNulls } if input.len() == 1 => {
                let inner = Selected::of(&input[0]);
                let only = inner.and(inner.value.clone().is_not_null());
                Selected { only: Some(only), ..inner }
            }
            _ => Selected { value: expr.clone(), only: None },
        }
    }

    /// Whether a value counts, and `condition` holds.
    fn and(&self, condition: Expr) -> Expr {
        match &self.only {
            Some(only) => only.clone().and(condition),
            None => condition,
        }
    }

    /// The values, null where they do not count: for aggregates that pass over nulls.
    fn or_null(&self) -> Expr {
        match &self.only {
            Some(only) => when(only.clone()).then(self.value.clone()).otherwise(lit(NULL)),
            None => self.value.clone(),
        }
    }
}

impl Split<'_> {
    /// The columns that an aggregate stands for; `None` where the expression is none.
    pub(super) fn aggregate(&mut self, expr: &Expr) -> Result<Option<Expr>, Cannot> {
        match expr {
            Expr::Len => self.one(expr, Function::Len, lit(true)).map(Some),
            Expr::Agg(aggregate) => self.polars_aggregate(expr, aggregate).map(Some),
            Expr::Function { input, function } => match input.as_slice() {
                [input] => self.function(expr, input, function),
                [input, q] => match function {
                    FunctionExpr::Quantile { method } => {
                        let quantile = quantile(q).ok_or_else(|| Cannot::merge(expr))?;
                        self.reading(expr, Function::Quantiles, Selected::of(input), (quantile, *method)).map(Some)
                    }
                    _ => Ok(None),
                },
                _ => Ok(None),
            },
            Expr::AnonymousFunction { input, .. } if is_approx_quantile(expr) => {
                let q = input.get(1).and_then(quantile).ok_or_else(|| Cannot::merge(expr))?;
                let of = Selected { value: Selected::of(&input[0]).or_null(), only: None };
                self.reading(expr, Function::ApproxQuantiles, of, (q, QuantileMethod::Lower)).map(Some)
            }
            _ => Ok(None),
        }
    }

    fn polars_aggregate(&mut self, expr: &Expr, aggregate: &AggExpr) -> Result<Expr, Cannot> {
        let (function, input) = match aggregate {
            AggExpr::Sum(input) => (Function::Sum, input),
            AggExpr::Mean(input) => return self.mean(expr, Selected::of(input).or_null()),
            AggExpr::Min { input, propagate_nans: false } => (Function::Min, input),
            AggExpr::Max { input, propagate_nans: false } => (Function::Max, input),
            AggExpr::Var(input, ddof) => (Function::Var { ddof: *ddof }, input),
            AggExpr::Std(input, ddof) => (Function::Std { ddof: *ddof }, input),
            AggExpr::Count { include_nulls, input } => return self.count(expr, input, *include_nulls),
            AggExpr::NUnique(input) => return self.n_unique(expr, Function::Distinct, &Selected::of(input)),
            AggExpr::Median(input) => {
                let mut of = Selected::of(input);
                if self.dtype_of_rows(&of.value)? == DataType::Boolean {
                    of.value = of.value.cast(DataType::Float64);
                }
                return self.reading(expr, Function::Quantiles, of, (0.5, QuantileMethod::Linear));
            }
            AggExpr::First(input) => return self.edge(expr, Function::First, Selected::of(input)),
            AggExpr::Last(input) => return self.edge(expr, Function::Last, Selected::of(input)),
            AggExpr::FirstNonNull(input) => return self.edge(expr, Function::First, known(input)),
            AggExpr::LastNonNull(input) => return self.edge(expr, Function::Last, known(input)),
            _ => return Err(Cannot::merge(expr)),
        };
        self.one(expr, function, Selected::of(input).or_null())
    }

    fn function(&mut self, expr: &Expr, input: &Expr, function: &FunctionExpr) -> Result<Option<Expr>, Cannot> {
        let selected = Selected::of(input);
        let nulls = |split: &mut Self| split.count_where(selected.and(selected.value.clone().is_null()));
        Ok(Some(match function {
            FunctionExpr::ApproxNUnique => self.n_unique(expr, Function::ApproxDistinct, &selected)?,
            FunctionExpr::NullCount => nulls(self)?,
            FunctionExpr::Boolean(BooleanFunction::HasNulls) => nulls(self)?.gt(lit(0)),
            FunctionExpr::Boolean(BooleanFunction::Any { ignore_nulls }) => {
                self.decided(expr, &selected, true, *ignore_nulls)?
            }
            FunctionExpr::Boolean(BooleanFunction::All { ignore_nulls }) => {
                self.decided(expr, &selected, false, *ignore_nulls)?
            }
            _ => return Ok(None),
        }))
    }

    /// `any` is decided by one that is true, `all` by one that is false; else it is open where there are nulls that count
    /// (Kleene's logic).
    fn decided(&mut self, expr: &Expr, of: &Selected, by: bool, ignore_nulls: bool) -> Result<Expr, Cannot> {
        if self.dtype_of_rows(&of.value)? != DataType::Boolean {
            return Err(Cannot::merge(expr));
        }
        let deciding = if by { of.value.clone() } else { of.value.clone().not() };
        let decided = self.count_where(of.and(deciding))?.gt(lit(0));
        if ignore_nulls {
            return Ok(if by { decided } else { decided.not() });
        }
        let open = self.count_where(of.and(of.value.clone().is_null()))?.gt(lit(0));
        let unknown = lit(NULL).cast(DataType::Boolean);
        Ok(when(decided).then(lit(by)).when(open).then(unknown).otherwise(lit(!by)))
    }

    fn count(&mut self, expr: &Expr, input: &Expr, include_nulls: bool) -> Result<Expr, Cannot> {
        if let Expr::Function { input, function: FunctionExpr::Unique(_) } = input {
            let selected = input.first().map(Selected::of).ok_or_else(|| Cannot::merge(expr))?;
            let value = selected.or_null();
            return match include_nulls {
                true => self.n_unique(expr, Function::Distinct, &selected),
                false => self.one(&value.clone().n_unique(), Function::Distinct, value),
            };
        }
        let selected = Selected::of(input);
        if !include_nulls {
            return self.one(expr, Function::Count, selected.or_null());
        }
        self.check_rows(expr, &selected.value)?;
        match selected.only {
            Some(only) => self.count_where(only),
            None => self.one(&len(), Function::Len, lit(true)),
        }
    }

    /// How many rows there are for which a condition holds.
    fn count_where(&mut self, condition: Expr) -> Result<Expr, Cannot> {
        let input = when(condition).then(lit(true)).otherwise(lit(NULL));
        self.one(&input.clone().count(), Function::Count, input)
    }

    /// Nulls together are one value more.
    fn n_unique(&mut self, expr: &Expr, function: Function, of: &Selected) -> Result<Expr, Cannot> {
        let distinct = self.one(expr, function, of.or_null())?;
        let nulls = self.count_where(of.and(of.value.clone().is_null()))?;
        let dtype = self.dtype_of_group(expr)?;
        Ok(distinct + nulls.gt(lit(0)).cast(dtype))
    }

    /// The first or the last of the rows that count.
    fn edge(&mut self, expr: &Expr, function: Function, of: Selected) -> Result<Expr, Cannot> {
        let dtype = self.dtype_of_group(expr)?;
        let at = self.accumulator(expr, function, (of.value, of.only), dtype)?;
        Ok(self.column(at))
    }

    /// A list of the largest or the smallest values.
    pub(super) fn extremes(&mut self, expr: &Expr, input: &[Expr], descending: bool) -> Result<Expr, Cannot> {
        let [value, Expr::Literal(k)] = input else { return Err(Cannot::merge(expr)) };
        let k = k.extract_usize().ok().filter(|k| *k <= MOST_EXTREMES).ok_or_else(|| Cannot::merge(expr))?;
        let function = if descending { Function::Smallest { k } } else { Function::Largest { k } };
        let of = Selected::of(value);
        let dtype = self.dtype_of_group(expr)?;
        let at = self.accumulator(expr, function, (of.value, of.only), dtype)?;
        Ok(self.column(at))
    }

    /// A quantile of values; those of the same values are read of the same accumulator.
    fn reading(
        &mut self,
        expr: &Expr,
        function: Function,
        of: Selected,
        (quantile, method): (f64, QuantileMethod),
    ) -> Result<Expr, Cannot> {
        let dtype = self.dtype_of_group(expr)?;
        let as_float = match self.dtype_of_rows(&of.value)? {
            DataType::Decimal(_, _) => true,
            found => {
                let is_number = found.is_primitive_numeric() || found == DataType::Boolean;
                function == Function::ApproxQuantiles && is_number && found != DataType::Float64
            }
        };
        let value = if as_float { of.value.cast(DataType::Float64) } else { of.value };
        let at = self.accumulator(expr, function, (value, of.only), DataType::Float64)?;
        let accumulator = &mut self.accumulators[at];
        let same = |r: &&Quantile| r.quantile == quantile && r.method == method && r.dtype == dtype;
        if let Some(known) = accumulator.readings.iter().find(same) {
            return Ok(col(known.name.clone()));
        }
        let name = PlSmallStr::from_string(format!("{} {}", accumulator.name, accumulator.readings.len()));
        accumulator.readings.push(Quantile { name: name.clone(), quantile, method, dtype });
        Ok(col(name))
    }
}

/// The most values of a group that are kept for `top_k`: more are the group.
const MOST_EXTREMES: usize = 100_000;

/// Values that are not null.
fn known(input: &Expr) -> Selected {
    let selected = Selected::of(input);
    let only = selected.and(selected.value.clone().is_not_null());
    Selected { only: Some(only), ..selected }
}

/// A quantile that is written out and can be one.
fn quantile(q: &Expr) -> Option<f64> {
    let Expr::Literal(literal) = q else { return None };
    let quantile: f64 = literal.to_any_value()?.extract()?;
    (0.0..=1.0).contains(&quantile).then_some(quantile)
}
