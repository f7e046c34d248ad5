//! How an aggregation becomes incremental. Inside `agg`, the maximal aggregating sub-trees become accumulators, which a
//! state can keep per group and merge batch by batch; what stands above them stays an expression over the
//! accumulators' columns, for Polars to evaluate on the groups that changed.

use std::sync::Arc;

use polars::prelude::*;

use crate::PlanError;
use crate::expr::{check_row_wise, is_row_wise, schema_after};
use crate::window::Window;

/// An aggregation over windows and keys.
#[derive(Clone, Debug)]
pub struct Aggregate {
    /// The column with the event time; its windows' starts take its place in the result.
    pub time: PlSmallStr,
    /// The keys, which come first in the result.
    pub keys: Vec<Expr>,
    /// How time is cut.
    pub window: Window,
    /// What is kept per group.
    pub accumulators: Vec<Accumulator>,
    /// The result's columns after keys and time, as expressions over the accumulators' columns.
    pub outputs: Vec<Expr>,
    /// The expressions as they were written.
    pub written: Vec<Expr>,
}

/// A value kept per group.
#[derive(Clone, Debug, PartialEq)]
pub struct Accumulator {
    /// The column that `outputs` reads it from.
    pub name: PlSmallStr,
    /// How values merge.
    pub function: Function,
    /// What is aggregated: an expression on one row. A literal for [`Function::Len`].
    pub input: Expr,
    /// The type of `input`.
    pub input_dtype: DataType,
    /// The type that Polars gives the aggregate.
    pub dtype: DataType,
}

/// How the values of a group merge into one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Function {
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
}

impl Aggregate {
    /// Takes `aggs` apart; gives the schema of the result too.
    pub(crate) fn new(
        schema: &SchemaRef,
        time: PlSmallStr,
        keys: &[Expr],
        window: Window,
        aggs: &[Expr],
    ) -> Result<(Aggregate, SchemaRef), PlanError> {
        check_row_wise("group_by_dynamic", schema, keys)?;
        let every = window.every()?;
        let options =
            DynamicGroupOptions { every, period: every, offset: Duration::parse("0ns"), ..Default::default() };
        let result = schema_after("agg", schema, aggs, |frame| {
            frame.group_by_dynamic(col(time.clone()), keys, options).agg(aggs)
        })?;
        if result.len() != keys.len() + 1 + aggs.len() {
            return Err(PlanError::Refused {
                operation: "agg",
                detail: "an expression stands for several columns".to_owned(),
                hint: "Name each column with an expression of its own.",
            });
        }
        let mut split = Split { schema, accumulators: Vec::new() };
        let mut outputs = Vec::with_capacity(aggs.len());
        for (expr, name) in aggs.iter().zip(result.iter_names().skip(keys.len() + 1)) {
            outputs.push(split.replace(expr)?.alias(name.clone()));
        }
        let accumulators = split.accumulators;
        let columns: SchemaRef =
            Arc::new(accumulators.iter().map(|a| Field::new(a.name.clone(), a.dtype.clone())).collect());
        if let Some((written, _)) = aggs.iter().zip(&outputs).find(|(_, output)| !is_row_wise(&columns, output)) {
            return Err(not_kept(written, "What stands above an aggregate must be arithmetic on it."));
        }
        let aggregate = Aggregate { time, keys: keys.to_vec(), window, accumulators, outputs, written: aggs.to_vec() };
        Ok((aggregate, result))
    }
}

/// Replaces aggregates by columns, and collects what those columns must hold.
struct Split<'a> {
    schema: &'a SchemaRef,
    accumulators: Vec<Accumulator>,
}

impl Split<'_> {
    fn replace(&mut self, expr: &Expr) -> Result<Expr, PlanError> {
        let aggregate = |function, input: &Arc<Expr>| Some((function, input.as_ref().clone()));
        let found = match expr {
            Expr::Len => Some((Function::Len, lit(true))),
            Expr::Agg(AggExpr::Sum(input)) => aggregate(Function::Sum, input),
            Expr::Agg(AggExpr::Mean(input)) => aggregate(Function::Mean, input),
            Expr::Agg(AggExpr::Min { input, .. }) => aggregate(Function::Min, input),
            Expr::Agg(AggExpr::Max { input, .. }) => aggregate(Function::Max, input),
            Expr::Agg(AggExpr::Count { include_nulls: false, input }) => aggregate(Function::Count, input),
            Expr::Agg(AggExpr::Count { include_nulls: true, .. }) => Some((Function::Len, lit(true))),
            _ => None,
        };
        if let Some((function, input)) = found {
            return self.accumulator(expr, function, input);
        }
        Ok(match expr {
            Expr::Alias(inner, name) => Expr::Alias(Arc::new(self.replace(inner)?), name.clone()),
            Expr::KeepName(inner) => Expr::KeepName(Arc::new(self.replace(inner)?)),
            Expr::Cast { expr, dtype, options } => {
                Expr::Cast { expr: Arc::new(self.replace(expr)?), dtype: dtype.clone(), options: *options }
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
            Expr::Column(name) => {
                return Err(not_kept(
                    expr,
                    &format!("Say which value of a window's rows you want, as in col(\"{name}\").max()."),
                ));
            }
            _ => {
                return Err(not_kept(
                    expr,
                    "len, count, sum, mean, min and max run on streams, and arithmetic on them.",
                ));
            }
        })
    }

    fn accumulator(&mut self, expr: &Expr, function: Function, input: Expr) -> Result<Expr, PlanError> {
        if !is_row_wise(self.schema, &input) {
            return Err(not_kept(expr, "What is aggregated must be an expression on one row."));
        }
        let as_frame = |expr: &Expr| {
            schema_after("agg", self.schema, std::slice::from_ref(expr), |frame| {
                frame.select([expr.clone().alias("value")])
            })
        };
        let input_schema = as_frame(&input)?;
        let input_dtype = input_schema.get("value").cloned().unwrap_or(DataType::Null);
        if !function.takes(&input_dtype) {
            return Err(PlanError::WrongType {
                operation: "agg",
                column: format!("{input:?}"),
                found: input_dtype.to_string(),
                expected: function.expected(),
                hint: "Cast it first, as in col(\"x\").cast(DataType::Float64).".to_owned(),
            });
        }
        let dtype = as_frame(expr)?.get("value").cloned().unwrap_or(DataType::Null);
        if let Some(known) = self.accumulators.iter().find(|a| a.function == function && a.input == input) {
            return Ok(col(known.name.clone()));
        }
        let name = PlSmallStr::from_string(format!("accumulator {}", self.accumulators.len()));
        self.accumulators.push(Accumulator { name: name.clone(), function, input, input_dtype, dtype });
        Ok(col(name))
    }
}

impl Function {
    fn takes(self, dtype: &DataType) -> bool {
        let number = dtype.is_primitive_numeric() || matches!(dtype, DataType::Boolean | DataType::Decimal(_, _));
        let time = matches!(dtype, DataType::Date | DataType::Datetime(_, _) | DataType::Duration(_) | DataType::Time);
        match self {
            Function::Len | Function::Count => true,
            Function::Sum => number || matches!(dtype, DataType::Duration(_)),
            Function::Mean => number,
            Function::Min | Function::Max => number || time || matches!(dtype, DataType::String),
        }
    }

    fn expected(self) -> &'static str {
        match self {
            Function::Len | Function::Count => "any type",
            Function::Sum | Function::Mean => "a number",
            Function::Min | Function::Max => "a number, a time or a string",
        }
    }
}

fn not_kept(expr: &Expr, hint: &str) -> PlanError {
    PlanError::NoAccumulator { expression: format!("{expr:?}"), hint: hint.to_owned() }
}
