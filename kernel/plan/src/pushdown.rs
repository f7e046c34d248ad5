//! Filters as early as they can be, and what of them the source itself may do: rows that nobody needs are dropped before
//! anything is made of them. The result, and what the watermark sees, are the same.

use polars::prelude::*;
use polars_plan::frame::OptFlags;
use polars_plan::plans::prepare_projection;

use crate::node::{Plan, Step};
use crate::projection::columns_of;

/// Which rows a plan needs. Expressions are on one row of the source each, and a row is needed for which all are true.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct RowFilter {
    /// Nothing is to be known of other rows.
    pub passes: Vec<Expr>,
    /// Of the rows that pass, and for which not all of these are true, the newest time is to be known: they move the
    /// watermark.
    pub needed: Vec<Expr>,
    /// The column with that time.
    pub time: Option<PlSmallStr>,
}

impl Plan {
    /// Which of the source's rows the result, or the watermark, depends on; none where it is all of them.
    #[must_use]
    pub fn row_filter(&self) -> Option<RowFilter> {
        let plan = self.optimized();
        let steps = plan.steps_with_schemas();
        let mut filter = RowFilter { passes: leading(&steps), ..RowFilter::default() };
        if let Some((needed, time)) = behind_watermark(&plan, &steps, filter.passes.len()) {
            filter.needed = needed;
            filter.time = Some(time);
        }
        (!filter.passes.is_empty() || !filter.needed.is_empty()).then_some(filter)
    }

    /// The plan in words as it runs: with filters as early as they can be, and without what nobody uses. What a query is
    /// known by is [`Plan::explain`].
    #[must_use]
    pub fn explain_optimized(&self) -> String {
        self.optimized().explain()
    }
}

/// The plan with each filter as near to the source as it can be.
pub(crate) fn sunk(plan: &Plan) -> Plan {
    let root = plan.root();
    let mut below: Vec<(Step, SchemaRef)> = Vec::new();
    for (step, schema) in plan.steps_with_schemas() {
        let Step::Filter(predicate) = step else {
            below.push((step.clone(), schema.clone()));
            continue;
        };
        let (mut at, mut predicate) = (below.len(), predicate.clone());
        let before = |at: usize, below: &[(Step, SchemaRef)]| match at.checked_sub(1) {
            Some(last) => below[last].1.clone(),
            None => root.schema().clone(),
        };
        while let Some(next) = at.checked_sub(1) {
            let Some(lower) = through(&below[next].0, &before(next, &below), &predicate) else { break };
            (at, predicate) = (next, lower);
        }
        let schema = before(at, &below);
        below.insert(at, (Step::Filter(predicate), schema));
    }
    below.into_iter().fold(root, |plan, (step, schema)| plan.step(step, schema))
}

/// An expression on a row after a step as one on the row before it, if the step takes each row by itself and leaves alone
/// what the expression reads, but for its name.
fn through(step: &Step, input: &SchemaRef, expr: &Expr) -> Option<Expr> {
    let read = columns_of([expr])?;
    match step {
        Step::Select(exprs) | Step::WithColumns(exprs) => {
            let (exprs, made) = prepare_projection(exprs.clone(), input, &mut OptFlags::default()).ok()?;
            if exprs.len() != made.len() {
                return None;
            }
            // Literals alone are one row, however many there were.
            let replaces = matches!(step, Step::Select(_));
            if replaces && exprs.iter().all(|expr| columns_of([expr]).is_some_and(|names| names.is_empty())) {
                return None;
            }
            let mut renamed: Vec<(PlSmallStr, PlSmallStr)> = Vec::new();
            for name in read {
                match made.index_of(&name) {
                    Some(at) => renamed.push((name, column(&exprs[at])?.clone())),
                    None if replaces => return None,
                    None => {}
                }
            }
            let name = |name: &PlSmallStr| renamed.iter().find(|(new, _)| new == name).map(|(_, old)| old.clone());
            Some(expr.clone().map_expr(|e| match e {
                Expr::Column(column) => Expr::Column(name(&column).unwrap_or(column)),
                other => other,
            }))
        }
        Step::ProcessingTime(column) => (!read.contains(column)).then(|| expr.clone()),
        Step::Explode(columns) => columns.iter().all(|name| !read.contains(name)).then(|| expr.clone()),
        Step::Unnest(columns) => {
            read.iter().all(|name| input.contains(name) && !columns.contains(name)).then(|| expr.clone())
        }
        _ => None,
    }
}

/// The column that an expression only names.
fn column(expr: &Expr) -> Option<&PlSmallStr> {
    match expr {
        Expr::Column(name) => Some(name),
        Expr::Alias(inner, _) => column(inner),
        _ => None,
    }
}

/// The filters that the steps begin with.
fn leading(steps: &[(&Step, &SchemaRef)]) -> Vec<Expr> {
    let predicates = steps.iter().map_while(|(step, _)| match step {
        Step::Filter(predicate) => Some(predicate.clone()),
        _ => None,
    });
    predicates.collect()
}

/// The filters right behind the watermark as expressions on the source's rows, and the source's column with the time. `first`
/// filters stand at the source.
fn behind_watermark(plan: &Plan, steps: &[(&Step, &SchemaRef)], first: usize) -> Option<(Vec<Expr>, PlSmallStr)> {
    let marked = steps.iter().position(|(step, _)| matches!(step, Step::Watermark(_)))?;
    let Step::Watermark(watermark) = steps[marked].0 else { return None };
    let root = plan.root();
    let down = |expr: Expr| {
        steps[first..marked].iter().enumerate().rev().try_fold(expr, |expr, (n, (step, _))| {
            let input = (first + n).checked_sub(1).map_or(root.schema(), |before| steps[before].1);
            // The watermark sees a row as often as it is there.
            let is_one_to_one = !matches!(step, Step::Filter(_) | Step::Explode(_));
            is_one_to_one.then(|| through(step, input, &expr)).flatten()
        })
    };
    let time = column(&down(col(watermark.column.clone()))?)?.clone();
    let needed: Vec<Expr> = leading(&steps[marked + 1..]).into_iter().map_while(down).collect();
    (!needed.is_empty()).then_some((needed, time))
}
