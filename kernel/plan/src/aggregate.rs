//! An aggregation as it is said: keys, windows, and expressions. How it is kept up to date is the engine's concern.

use std::collections::BTreeSet;
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

impl Aggregate {
    /// Checks `aggs`; gives the schema of the result too.
    pub(crate) fn new(
        schema: &SchemaRef,
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
        check_numbers(schema, aggs)?;
        let named = |(expr, name): (&Expr, PlSmallStr)| match expr {
            Expr::Alias(_, own) if *own == name => expr.clone(),
            _ => expr.clone().alias(name),
        };
        let written = aggs.iter().zip(names).map(named).collect();
        Ok((Aggregate { keys: keys.to_vec(), over, written }, result))
    }

    /// The aggregation for who wants only the columns `after` of its result; one aggregate is left at the least.
    #[must_use]
    pub fn narrowed(&self, after: &BTreeSet<PlSmallStr>) -> Aggregate {
        let mut wanted: Vec<bool> = self.names().map(|name| after.contains(name)).collect();
        if !wanted.contains(&true)
            && let Some(first) = wanted.first_mut()
        {
            *first = true;
        }
        let written = self.written.iter().zip(&wanted).filter(|(_, wanted)| **wanted).map(|(expr, _)| expr.clone());
        Aggregate { keys: self.keys.clone(), over: self.over.clone(), written: written.collect() }
    }

    /// Whether it is of all rows together: then there is one group, also of no rows.
    #[must_use]
    pub fn is_of_all(&self) -> bool {
        self.keys.is_empty() && self.over.is_none()
    }

    /// The columns of the result that are aggregates.
    pub fn names(&self) -> impl Iterator<Item = &PlSmallStr> {
        self.written.iter().filter_map(|expr| if let Expr::Alias(_, name) = expr { Some(name) } else { None })
    }

    /// The number of columns of the result that come before them: the keys, and those of the windows.
    #[must_use]
    pub fn columns_before(&self) -> usize {
        self.keys.len() + self.over.as_ref().map_or(0, Over::columns)
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

/// What Polars makes of it, for the schema. A column that all rows have in common is a key where there is none, for outside a group
/// Polars makes no list of a column; and beside a decimal alone, which Polars as it is built here does not group by.
pub fn grouped(frame: LazyFrame, keys: &[Expr], over: Option<&Over>, aggs: &[Expr]) -> LazyFrame {
    let is_decimal = |schema: SchemaRef| schema.iter_values().all(DataType::is_decimal);
    let alone = keys.len() == 1 && frame.clone().select(keys).collect_schema().is_ok_and(is_decimal);
    if alone || (keys.is_empty() && over.is_none()) {
        let keys: Vec<Expr> = keys.iter().cloned().chain([col(ALL)]).collect();
        return by_keys(frame.with_columns([lit(true).alias(ALL)]), &keys, over, aggs).drop(cols([ALL]));
    }
    by_keys(frame, keys, over, aggs)
}

fn by_keys(frame: LazyFrame, keys: &[Expr], over: Option<&Over>, aggs: &[Expr]) -> LazyFrame {
    match over {
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

/// Refuses text where a number is wanted: Polars would give nothing for it.
fn check_numbers(schema: &SchemaRef, aggs: &[Expr]) -> Result<(), PlanError> {
    for part in aggs.iter().flatten() {
        let Expr::Agg(AggExpr::Sum(of) | AggExpr::Mean(of) | AggExpr::Var(of, _) | AggExpr::Std(of, _)) = part else {
            continue;
        };
        let of = values_of(of);
        let is_text = || of.to_field(schema).is_ok_and(|field| *field.dtype() == DataType::String);
        if is_row_wise(schema, of) && is_text() {
            return Err(PlanError::WrongType {
                operation: "agg",
                column: format!("{of:?}"),
                found: DataType::String.to_string(),
                expected: "a number",
                hint: "Cast it first, as in col(\"x\").cast(DataType::Float64).".to_owned(),
            });
        }
    }
    Ok(())
}

/// The values of which a filter takes some.
fn values_of(expr: &Expr) -> &Expr {
    match expr {
        Expr::Filter { input, .. } => values_of(input),
        Expr::Function { input, function: FunctionExpr::DropNulls } if input.len() == 1 => values_of(&input[0]),
        _ => expr,
    }
}
