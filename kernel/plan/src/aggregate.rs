//! How an aggregation becomes incremental. Inside `agg`, the maximal aggregating sub-trees become accumulators, which a
//! state can keep per group and merge batch by batch; what stands above them stays an expression over the accumulators'
//! columns, for Polars to evaluate on the groups that changed. Where that is not possible the groups' rows are kept, and
//! Polars aggregates the changed groups anew: slower, and exact for everything that Polars can aggregate.

use std::sync::Arc;

use polars::prelude::*;

use crate::PlanError;
use crate::expr::{check_row_wise, is_row_wise, schema_after};
use crate::window::{Cut, Hops, Window};

/// An aggregation over keys, over windows of time, or over both.
#[derive(Clone, Debug)]
pub struct Aggregate {
    /// The keys, which come first in the result.
    pub keys: Vec<Expr>,
    /// The windows; `None` where there are keys alone.
    pub over: Option<Over>,
    /// The expressions as they were written.
    pub written: Vec<Expr>,
    /// How it is kept up to date.
    pub method: Method,
}

/// Windows of a column.
#[derive(Clone, Debug)]
pub struct Over {
    /// The column with the event time; its windows' starts take its place in the result.
    pub time: PlSmallStr,
    /// How time is cut, as it was written.
    pub window: Window,
    /// How time is cut.
    pub cut: Cut,
}

impl Over {
    /// The number of columns of the result that come of the windows, the one with the time last.
    #[must_use]
    pub fn columns(&self) -> usize {
        match self.cut {
            Cut::Every(Hops { boundaries: true, .. }) => 3,
            _ => 1,
        }
    }
}

/// How an aggregation is kept up to date.
#[derive(Clone, Debug)]
pub enum Method {
    /// Values are kept, and a batch's are merged in.
    Merge {
        /// What is kept per group.
        accumulators: Vec<Accumulator>,
        /// The result's columns after keys and time, as expressions over the accumulators' columns.
        outputs: Vec<Expr>,
    },
    /// Rows are kept, and the groups that changed are aggregated anew.
    Regroup {
        /// What makes it necessary.
        because: String,
    },
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
}

impl Aggregate {
    /// Checks `aggs` and takes them apart; gives the schema of the result too. `appended` says whether rows of the input
    /// never change.
    pub(crate) fn new(
        schema: &SchemaRef,
        appended: bool,
        keys: &[Expr],
        over: Option<Over>,
        aggs: &[Expr],
    ) -> Result<(Aggregate, SchemaRef), PlanError> {
        check_row_wise(if over.is_some() { "group_by_dynamic" } else { "group_by" }, schema, keys)?;
        let result = schema_after("agg", schema, aggs, |frame| grouped(frame, keys, over.as_ref(), aggs))?;
        let result = with_boundaries(result, keys.len(), over.as_ref())?;
        let before = keys.len() + over.as_ref().map_or(0, Over::columns);
        if result.len() != before + aggs.len() {
            return Err(PlanError::Refused {
                operation: "agg",
                detail: "an expression stands for several columns".to_owned(),
                hint: "Name each column with an expression of its own.",
            });
        }
        let names: Vec<PlSmallStr> = result.iter_names().skip(before).cloned().collect();
        let method = match &over {
            _ if !appended => regroup("rows of the input change"),
            Some(Over { cut: Cut::Session { .. }, .. }) => regroup("sessions grow together"),
            _ => match merge(schema, aggs, &names) {
                Ok(method) => method,
                Err(Cannot::Merge(because)) => Method::Regroup { because },
                Err(Cannot::Be(error)) => return Err(error),
            },
        };
        let written = aggs.iter().zip(names).map(|(expr, name)| expr.clone().alias(name)).collect();
        Ok((Aggregate { keys: keys.to_vec(), over, written, method }, result))
    }
}

/// The columns with a window's start and end, by the names that they have in Polars.
pub const BOUNDARIES: [&str; 2] = ["_lower_boundary", "_upper_boundary"];

/// A column that all rows have in common.
const ALL: &str = "__corriente_all";

/// The columns with the windows' starts and ends, which Polars does not give where there are no rows.
fn with_boundaries(result: SchemaRef, place: usize, over: Option<&Over>) -> Result<SchemaRef, PlanError> {
    let Some(Over { time, cut: Cut::Every(Hops { boundaries: true, .. }), .. }) = over else { return Ok(result) };
    let dtype = result.get(time).cloned().unwrap_or(DataType::Null);
    let mut schema = result.as_ref().clone();
    for (number, name) in BOUNDARIES.into_iter().enumerate() {
        if schema.contains(name) {
            return Err(PlanError::Refused {
                operation: "agg",
                detail: format!("there is a column \"{name}\" beside the windows' own"),
                hint: "Give it another name with alias(…).",
            });
        }
        // The place is that of a column which is there.
        let _ = schema.insert_at_index(place + number, name.into(), dtype.clone());
    }
    Ok(Arc::new(schema))
}

/// What Polars makes of it, for the schema.
fn grouped(frame: LazyFrame, keys: &[Expr], over: Option<&Over>, aggs: &[Expr]) -> LazyFrame {
    match over {
        // A group of all rows: outside a group Polars would not make a list of a column.
        None if keys.is_empty() => {
            frame.with_columns([lit(true).alias(ALL)]).group_by_stable([col(ALL)]).agg(aggs).drop(cols([ALL]))
        }
        None => frame.group_by_stable(keys).agg(aggs),
        Some(over) => {
            let options = match over.cut {
                Cut::Every(hops) => DynamicGroupOptions {
                    every: hops.every,
                    period: hops.period,
                    offset: hops.offset,
                    label: hops.label,
                    closed_window: hops.closed,
                    ..Default::default()
                },
                Cut::Session { gap } => {
                    let offset = Duration::parse("0ns");
                    DynamicGroupOptions { every: gap, period: gap, offset, ..Default::default() }
                }
            };
            frame.group_by_dynamic(col(over.time.clone()), keys, options).agg(aggs)
        }
    }
}

fn regroup(because: &str) -> Method {
    Method::Regroup { because: because.to_owned() }
}

/// Takes the expressions apart.
fn merge(schema: &SchemaRef, aggs: &[Expr], names: &[PlSmallStr]) -> Result<Method, Cannot> {
    let mut split = Split { schema, accumulators: Vec::new() };
    let mut outputs = Vec::with_capacity(aggs.len());
    for (expr, name) in aggs.iter().zip(names) {
        outputs.push(split.replace(expr)?.alias(name.clone()));
    }
    let accumulators = split.accumulators;
    let columns: SchemaRef =
        Arc::new(accumulators.iter().map(|a| Field::new(a.name.clone(), a.dtype.clone())).collect());
    match aggs.iter().zip(&outputs).find(|(_, output)| !is_row_wise(&columns, output)) {
        Some((written, _)) => Err(Cannot::Merge(format!("`{written:?}`"))),
        None => Ok(Method::Merge { accumulators, outputs }),
    }
}

/// Replaces aggregates by columns, and collects what those columns must hold.
struct Split<'a> {
    schema: &'a SchemaRef,
    accumulators: Vec<Accumulator>,
}

/// Why an expression is not taken apart.
enum Cannot {
    /// It can only be aggregated with all rows at hand; the text says what stands in the way.
    Merge(String),
    /// It is wrong.
    Be(PlanError),
}

impl Split<'_> {
    fn replace(&mut self, expr: &Expr) -> Result<Expr, Cannot> {
        if let Some((function, input)) = accumulated(expr) {
            return match function {
                Function::Mean => self.mean(expr, input),
                _ => self.accumulator(expr, function, input),
            };
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
            _ => return Err(Cannot::Merge(format!("`{expr:?}`"))),
        })
    }

    /// A mean is kept as what it is made of, which other aggregates may keep too; but integers' sums would wrap.
    fn mean(&mut self, expr: &Expr, input: Expr) -> Result<Expr, Cannot> {
        let dtype = schema_after("agg", self.schema, std::slice::from_ref(&input), |frame| {
            frame.select([input.clone().alias("value")])
        });
        match dtype.map_err(Cannot::Be)?.get("value") {
            Some(DataType::Float64 | DataType::Decimal(_, _)) => {}
            _ => return self.accumulator(expr, Function::Mean, input),
        }
        let sum = self.accumulator(&input.clone().sum(), Function::Sum, input.clone())?;
        let count = self.accumulator(&input.clone().count(), Function::Count, input)?;
        let float = |expr: Expr| expr.cast(DataType::Float64);
        Ok(when(count.clone().gt(lit(0))).then(float(sum) / float(count)).otherwise(lit(NULL)))
    }

    fn accumulator(&mut self, expr: &Expr, function: Function, input: Expr) -> Result<Expr, Cannot> {
        if !is_row_wise(self.schema, &input) {
            return Err(Cannot::Merge(format!("`{expr:?}`")));
        }
        let as_frame = |expr: &Expr| {
            schema_after("agg", self.schema, std::slice::from_ref(expr), |frame| {
                frame.select([expr.clone().alias("value")])
            })
        };
        let input_schema = as_frame(&input).map_err(Cannot::Be)?;
        let input_dtype = input_schema.get("value").cloned().unwrap_or(DataType::Null);
        if !function.takes(&input_dtype) {
            return Err(match function.expected() {
                Some(expected) if input_dtype == DataType::String => Cannot::Be(PlanError::WrongType {
                    operation: "agg",
                    column: format!("{input:?}"),
                    found: input_dtype.to_string(),
                    expected,
                    hint: "Cast it first, as in col(\"x\").cast(DataType::Float64).".to_owned(),
                }),
                _ => Cannot::Merge(format!("`{expr:?}` of {input_dtype}")),
            });
        }
        let dtype = as_frame(expr).map_err(Cannot::Be)?.get("value").cloned().unwrap_or(DataType::Null);
        if let Some(known) = self.accumulators.iter().find(|a| a.function == function && a.input == input) {
            return Ok(col(known.name.clone()));
        }
        let name = PlSmallStr::from_string(format!("accumulator {}", self.accumulators.len()));
        self.accumulators.push(Accumulator { name: name.clone(), function, input, input_dtype, dtype });
        Ok(col(name))
    }
}

/// The accumulator that an aggregate stands for, and what it takes in.
fn accumulated(expr: &Expr) -> Option<(Function, Expr)> {
    let Expr::Agg(aggregate) = expr else { return matches!(expr, Expr::Len).then(|| (Function::Len, lit(true))) };
    let (function, input) = match aggregate {
        AggExpr::Sum(input) => (Function::Sum, input),
        AggExpr::Mean(input) => (Function::Mean, input),
        AggExpr::Min { input, propagate_nans: false } => (Function::Min, input),
        AggExpr::Max { input, propagate_nans: false } => (Function::Max, input),
        AggExpr::Var(input, ddof) => (Function::Var { ddof: *ddof }, input),
        AggExpr::Std(input, ddof) => (Function::Std { ddof: *ddof }, input),
        AggExpr::Count { include_nulls: false, input } => (Function::Count, input),
        AggExpr::Count { include_nulls: true, input } => {
            return Some(match input.as_ref() {
                Expr::Filter { by, .. } => {
                    (Function::Count, when(by.as_ref().clone()).then(lit(true)).otherwise(lit(NULL)))
                }
                _ => (Function::Len, lit(true)),
            });
        }
        _ => return None,
    };
    Some((function, filtered(input)))
}

/// What is aggregated of a filtered expression: null where the filter does not pass, which these aggregates pass over.
fn filtered(input: &Expr) -> Expr {
    match input {
        Expr::Filter { input, by } => when(by.as_ref().clone()).then(filtered(input)).otherwise(lit(NULL)),
        _ => input.clone(),
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
            Function::Var { .. } | Function::Std { .. } => dtype.is_primitive_numeric() && *dtype != DataType::Float32,
            Function::Min | Function::Max => number || time || matches!(dtype, DataType::String),
        }
    }

    /// What it takes, where text is a mistake.
    fn expected(self) -> Option<&'static str> {
        match self {
            Function::Sum | Function::Mean | Function::Var { .. } | Function::Std { .. } => Some("a number"),
            Function::Len | Function::Count | Function::Min | Function::Max => None,
        }
    }
}
