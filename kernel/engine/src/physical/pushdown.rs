//! Filters as early as they can be, and what of them the source itself may do: rows that nobody needs are dropped before
//! anything is made of them. The result, and what the watermark sees, are the same.

use plan::{Step, columns_of};
use polars::prelude::*;
use polars_plan::frame::OptFlags;
use polars_plan::plans::prepare_projection;

use super::{Operation, PhysicalPlan, Stage};

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

impl PhysicalPlan {
    /// Which of the input's rows the result, or the watermark, depends on; none where it is all of them.
    #[must_use]
    pub fn row_filter(&self) -> Option<RowFilter> {
        let mut filter = RowFilter { passes: leading(&self.stages), ..RowFilter::default() };
        if let Some((needed, time)) = self.behind_watermark(filter.passes.len()) {
            filter.needed = needed;
            filter.time = Some(time);
        }
        (!filter.passes.is_empty() || !filter.needed.is_empty()).then_some(filter)
    }

    /// The plan with each filter as near to the input as it can be.
    pub(super) fn sunk(&self) -> PhysicalPlan {
        let mut plan = PhysicalPlan { stages: Vec::with_capacity(self.stages.len()), ..self.clone() };
        for stage in &self.stages {
            let Operation::Step(Step::Filter(predicate)) = &stage.operation else {
                plan.stages.push(stage.clone());
                continue;
            };
            let (mut at, mut predicate) = (plan.stages.len(), predicate.clone());
            while let Some(next) = at.checked_sub(1) {
                let Some(lower) = through(&plan.stages[next].operation, plan.before(next), &predicate) else { break };
                (at, predicate) = (next, lower);
            }
            let schema = plan.before(at).clone();
            plan.stages.insert(at, Stage::new(Operation::Step(Step::Filter(predicate)), schema));
        }
        plan
    }

    /// The filters right behind the watermark as expressions on the input's rows, and the input's column with the time. `first`
    /// filters stand at the input.
    fn behind_watermark(&self, first: usize) -> Option<(Vec<Expr>, PlSmallStr)> {
        let marked = self.stages.iter().position(|s| matches!(s.operation, Operation::Step(Step::Watermark(_))))?;
        let Operation::Step(Step::Watermark(watermark)) = &self.stages[marked].operation else { return None };
        let down = |expr: Expr| {
            (first..marked).rev().try_fold(expr, |expr, number| {
                let operation = &self.stages[number].operation;
                // The watermark sees a row as often as it is there.
                let repeats = matches!(operation, Operation::Step(Step::Filter(_) | Step::Explode(_)));
                if repeats { None } else { through(operation, self.before(number), &expr) }
            })
        };
        let time = column(&down(col(watermark.column.clone()))?)?.clone();
        let needed: Vec<Expr> = leading(&self.stages[marked + 1..]).into_iter().map_while(down).collect();
        (!needed.is_empty()).then_some((needed, time))
    }
}

/// An expression on a row after a step as one on the row before it, if the step takes each row by itself and leaves alone
/// what the expression reads, but for its name.
fn through(operation: &Operation, input: &SchemaRef, expr: &Expr) -> Option<Expr> {
    let Operation::Step(step) = operation else { return None };
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

/// The filters that the stages begin with.
fn leading(stages: &[Stage]) -> Vec<Expr> {
    let predicates = stages.iter().map_while(|stage| match &stage.operation {
        Operation::Step(Step::Filter(predicate)) => Some(predicate.clone()),
        _ => None,
    });
    predicates.collect()
}
