//! GROUP BY and HAVING. A key that cuts time is a stream's window; a condition on groups is a filter after the aggregation, on
//! columns of its own where it aggregates what is not selected.

use std::sync::Arc;

use polars::prelude::*;
use polars_plan::utils::{expr_output_name, has_expr};

use super::functions::{Functions, without_alias};
use super::stream::Stream;
use super::{polars_says, refused};
use crate::expr::is_row_wise;
use crate::window::Window;
use crate::{Plan, PlanError};

pub(super) fn group_by(
    functions: &Functions,
    stream: Stream,
    keys: &[Expr],
    predicates: &[Expr],
    aggs: &[Expr],
) -> Result<Stream, PlanError> {
    let stream = stream.settled()?;
    let resolved = |exprs: &[Expr]| exprs.iter().map(|expr| stream.resolved(expr)).collect::<Vec<_>>();
    let said = |exprs: Vec<Expr>| exprs.into_iter().map(|e| functions.said(e)).collect::<Result<Vec<_>, _>>();
    let (cut, keys) = split(functions, &stream.plan, resolved(keys))?;
    let keys = said(keys)?;
    let mut having = Having { schema: stream.plan.schema(), aggs: said(resolved(aggs))? };
    let conditions = said(resolved(predicates))?.iter().map(|e| having.after(e)).collect::<Result<Vec<_>, _>>()?;
    let aggs = having.aggs;
    stream.said(|plan| {
        let mut plan = match &cut {
            None => plan.group_by(&keys, &aggs)?,
            Some(cut) => plan.group_by_dynamic(&cut.time, &keys, &cut.window, &aggs)?,
        };
        for condition in conditions {
            plan = plan.filter(condition)?;
        }
        match &cut {
            Some(SqlWindow { time: Expr::Column(time), called, .. }) if called != time => {
                plan.rename(&[time], &[called])
            }
            _ => Ok(plan),
        }
    })
}

/// The window among the keys.
struct SqlWindow {
    time: Expr,
    window: Window,
    /// What its start is called in the result.
    called: PlSmallStr,
}

/// The window among the keys, if there is one, and the others.
fn split(functions: &Functions, plan: &Plan, keys: Vec<Expr>) -> Result<(Option<SqlWindow>, Vec<Expr>), PlanError> {
    let mut cut: Option<SqlWindow> = None;
    // A calendar's unit of a date, or beside a window, is a key as others are.
    let mut units = Vec::new();
    let mut plain = Vec::with_capacity(keys.len());
    for (at, key) in keys.iter().enumerate() {
        match functions.window(key)? {
            Some((time, window, false)) => {
                if cut.is_some() {
                    return refused(
                        "GROUP BY has two windows",
                        "Write one; a window of windows is a query of a query.",
                    );
                }
                cut = Some(SqlWindow { called: called(key)?, time, window });
            }
            Some((time, window, true)) => units.push((at, time, window)),
            None => plain.push(at),
        }
    }
    for (at, time, window) in units {
        let is_time =
            matches!(&time, Expr::Column(name) if matches!(plan.schema().get(name), Some(DataType::Datetime(..))));
        if cut.is_none() && is_time {
            cut = Some(SqlWindow { called: called(&keys[at])?, time, window });
        } else {
            plain.push(at);
        }
    }
    plain.sort_unstable();
    Ok((cut, plain.into_iter().map(|at| keys[at].clone()).collect()))
}

/// What Polars calls a key.
fn called(key: &Expr) -> Result<PlSmallStr, PlanError> {
    expr_output_name(key).map_err(polars_says)
}

/// Conditions on groups, taken apart into aggregates and what is said of them.
struct Having<'a> {
    schema: &'a SchemaRef,
    aggs: Vec<Expr>,
}

impl Having<'_> {
    /// The condition as one on the aggregation's result; aggregates that it does not have are added to it.
    fn after(&mut self, condition: &Expr) -> Result<Expr, PlanError> {
        if let Some(known) = self.aggs.iter().find(|agg| without_alias(agg) == condition || *agg == condition) {
            return Ok(col(expr_output_name(known).map_err(polars_says)?));
        }
        if is_row_wise(self.schema, condition) {
            return Ok(condition.clone());
        }
        let mut each = |exprs: &[Expr]| exprs.iter().map(|expr| self.after(expr)).collect::<Result<Vec<_>, _>>();
        match condition {
            Expr::BinaryExpr { left, op, right } => {
                Ok(Expr::BinaryExpr { left: Arc::new(self.after(left)?), op: *op, right: Arc::new(self.after(right)?) })
            }
            Expr::Cast { expr, dtype, options } => {
                Ok(Expr::Cast { expr: Arc::new(self.after(expr)?), dtype: dtype.clone(), options: *options })
            }
            Expr::Ternary { predicate, truthy, falsy } => Ok(Expr::Ternary {
                predicate: Arc::new(self.after(predicate)?),
                truthy: Arc::new(self.after(truthy)?),
                falsy: Arc::new(self.after(falsy)?),
            }),
            Expr::Function { input, function } if input.iter().any(aggregates) => {
                Ok(Expr::Function { input: each(input)?, function: function.clone() })
            }
            _ => {
                let name = PlSmallStr::from_string(format!("having {}", self.aggs.len()));
                self.aggs.push(condition.clone().alias(name.clone()));
                Ok(col(name))
            }
        }
    }
}

fn aggregates(expr: &Expr) -> bool {
    has_expr(expr, |part| matches!(part, Expr::Agg(_) | Expr::Len))
}
