//! Takes the expressions of an aggregation apart: the aggregates in them become accumulators, and what stands above them
//! stays an expression over the accumulators' columns.

use std::sync::Arc;

use plan::{PlanError, grouped, is_row_wise, schema_after, text};
use polars::prelude::*;
use polars_plan::utils::expr_to_leaf_column_names;

use super::{Accumulator, Function};

/// Takes the expressions apart: gives what is kept, and the expressions above it.
pub(super) fn merge(schema: &SchemaRef, aggs: &[Expr]) -> Result<(Vec<Accumulator>, Vec<Expr>), Cannot> {
    let mut split = Split { schema, accumulators: Vec::new() };
    let mut outputs = Vec::with_capacity(aggs.len());
    for expr in aggs {
        outputs.push(split.output(expr)?);
    }
    let mut accumulators = split.accumulators;
    // A state does not depend on the order in which they are asked for.
    accumulators.sort_by_cached_key(|accumulator| text::canonical(&accumulator.identity()));
    let columns: SchemaRef = Arc::new(accumulators.iter().flat_map(Accumulator::columns).collect());
    match aggs.iter().zip(&outputs).find(|(_, output)| !is_row_wise(&columns, output)) {
        Some((written, _)) => Err(Cannot::merge(written)),
        None => Ok((accumulators, outputs)),
    }
}

/// Why an expression is not taken apart.
pub(super) enum Cannot {
    /// It can only be aggregated with all rows at hand; the text says what stands in the way.
    Merge(String),
    /// It is wrong.
    Be(PlanError),
}

impl Cannot {
    pub(super) fn merge(expr: &Expr) -> Cannot {
        Cannot::Merge(format!("`{expr:?}`"))
    }
}

/// Replaces aggregates by columns, and collects what those columns must hold.
pub(super) struct Split<'a> {
    pub(super) schema: &'a SchemaRef,
    pub(super) accumulators: Vec<Accumulator>,
}

impl Split<'_> {
    /// An expression as it was written. A list of values stands alone: what is above it would mean its elements.
    fn output(&mut self, expr: &Expr) -> Result<Expr, Cannot> {
        match expr {
            Expr::Alias(inner, name) => Ok(Expr::Alias(Arc::new(self.output(inner)?), name.clone())),
            Expr::Function { input, function: FunctionExpr::TopK { descending } } => {
                self.extremes(expr, input, *descending)
            }
            _ => self.replace(expr),
        }
    }

    fn replace(&mut self, expr: &Expr) -> Result<Expr, Cannot> {
        if let Some(replaced) = self.aggregate(expr)? {
            return Ok(replaced);
        }
        Ok(match expr {
            Expr::Alias(inner, name) => Expr::Alias(Arc::new(self.replace(inner)?), name.clone()),
            Expr::KeepName(inner) => Expr::KeepName(Arc::new(self.replace(inner)?)),
            // A count that is cast is not squeezed through Polars' own type of counts first.
            Expr::Cast { expr, dtype, options } => {
                Expr::Cast { expr: Arc::new(wide(self.replace(expr)?)), dtype: dtype.clone(), options: *options }
            }
            Expr::BinaryExpr { left, op, right } => {
                Expr::BinaryExpr { left: Arc::new(self.replace(left)?), op: *op, right: Arc::new(self.replace(right)?) }
            }
            Expr::Ternary { predicate, truthy, falsy } => Expr::Ternary {
                predicate: Arc::new(self.replace(predicate)?),
                truthy: Arc::new(self.replace(truthy)?),
                falsy: Arc::new(self.replace(falsy)?),
            },
            Expr::Function { input, function } => Expr::Function {
                input: input.iter().map(|e| self.replace(e)).collect::<Result<_, _>>()?,
                function: function.clone(),
            },
            Expr::Literal(_) => expr.clone(),
            _ => return Err(Cannot::merge(expr)),
        })
    }

    /// A mean is kept as what it is made of, which other aggregates may keep too; but integers' sums would wrap, and those of
    /// decimals may have more digits than a decimal.
    pub(super) fn mean(&mut self, expr: &Expr, input: Expr) -> Result<Expr, Cannot> {
        if self.dtype_of_rows(&input)? != DataType::Float64 {
            return self.one(expr, Function::Mean, input);
        }
        let sum = self.one(&input.clone().sum(), Function::Sum, input.clone())?;
        let count = wide(self.one(&input.clone().count(), Function::Count, input)?);
        let float = |expr: Expr| expr.cast(DataType::Float64);
        Ok(when(count.clone().gt(lit(0))).then(float(sum) / float(count)).otherwise(lit(NULL)))
    }

    /// The column of an accumulator that passes over nulls.
    pub(super) fn one(&mut self, expr: &Expr, function: Function, input: Expr) -> Result<Expr, Cannot> {
        let dtype = self.dtype_of_group(expr)?;
        let at = self.accumulator(expr, function, (input, None), dtype)?;
        Ok(self.column(at))
    }

    /// The number of the accumulator that keeps `input` of those rows that count.
    pub(super) fn accumulator(
        &mut self,
        expr: &Expr,
        function: Function,
        (input, only): (Expr, Option<Expr>),
        dtype: DataType,
    ) -> Result<usize, Cannot> {
        if function != Function::Len {
            self.check_rows(expr, &input)?;
        }
        if only.as_ref().is_some_and(|only| !is_row_wise(self.schema, only)) {
            return Err(Cannot::merge(expr));
        }
        let input_dtype = self.dtype_of_rows(&input)?;
        if !function.takes(&input_dtype) {
            return Err(Cannot::Merge(format!("`{expr:?}` of {input_dtype}")));
        }
        let is_known = |a: &Accumulator| a.function == function && a.input == input && a.only == only;
        if let Some(known) = self.accumulators.iter().position(is_known) {
            return Ok(known);
        }
        let at = self.accumulators.len();
        let name = PlSmallStr::from_string(format!("__corriente_accumulator_{at}"));
        // A stream may have more rows than a frame.
        let dtype = if function.counts() { DataType::UInt64 } else { dtype };
        self.accumulators.push(Accumulator { name, function, input, only, input_dtype, dtype, readings: Vec::new() });
        Ok(at)
    }

    /// Checks that an aggregate's input gives one value a row. In a group, Polars takes a literal for one value alone.
    pub(super) fn check_rows(&self, expr: &Expr, input: &Expr) -> Result<(), Cannot> {
        let is_constant = expr_to_leaf_column_names(input).is_empty();
        if is_constant || !is_row_wise(self.schema, input) { Err(Cannot::merge(expr)) } else { Ok(()) }
    }

    /// What an accumulator holds, in Polars' type: a count that does not fit is an error.
    pub(super) fn column(&self, accumulator: usize) -> Expr {
        let Accumulator { name, function, .. } = &self.accumulators[accumulator];
        if function.counts() { col(name.clone()).strict_cast(IDX_DTYPE) } else { col(name.clone()) }
    }

    /// The type of an expression on rows.
    pub(super) fn dtype_of_rows(&self, expr: &Expr) -> Result<DataType, Cannot> {
        if !is_row_wise(self.schema, expr) {
            return Err(Cannot::merge(expr));
        }
        self.dtype(expr, |frame| frame.select([expr.clone().alias(VALUE)]))
    }

    /// The type of an expression on a group.
    pub(super) fn dtype_of_group(&self, expr: &Expr) -> Result<DataType, Cannot> {
        self.dtype(expr, |frame| grouped(frame, &[], None, &[expr.clone().alias(VALUE)]))
    }

    fn dtype(&self, expr: &Expr, step: impl FnOnce(LazyFrame) -> LazyFrame) -> Result<DataType, Cannot> {
        let schema = schema_after("agg", self.schema, std::slice::from_ref(expr), step).map_err(Cannot::Be)?;
        Ok(schema.get(VALUE).cloned().unwrap_or(DataType::Null))
    }
}

/// A count as it is kept, where the expression is one in Polars' type.
fn wide(expr: Expr) -> Expr {
    match &expr {
        Expr::Cast { expr: inner, .. } if matches!(inner.as_ref(), Expr::Column(_)) => {
            let inner = inner.as_ref().clone();
            if inner.clone().strict_cast(IDX_DTYPE) == expr { inner } else { expr }
        }
        _ => expr,
    }
}

const VALUE: &str = "value";
