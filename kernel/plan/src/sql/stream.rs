//! A stream on the way through a query: what was said of it, and what waits to be said. Polars adds columns, sorts, and then
//! selects; in a stream's words the selection comes first and the order last, with how many rows it keeps.

use polars::prelude::*;
use polars_plan::utils::{expr_output_name, has_expr};

use super::refused;
use crate::node::{Node, Step};
use crate::{Plan, PlanError};

pub(super) struct Stream {
    pub(super) plan: Plan,
    /// Columns that are not said yet: they may be all that is selected.
    added: Vec<Expr>,
    /// Whether the last word was a selection of this query, of which the next may take a part.
    is_selected: bool,
    /// An order that is not said yet: it waits for how many rows it keeps.
    order: Option<(Vec<Expr>, SortMultipleOptions)>,
    /// Columns that have one value for all rows, from a query over frames that stand still.
    constants: Vec<(PlSmallStr, Expr)>,
}

impl Stream {
    pub(super) fn new(plan: Plan) -> Stream {
        Stream { plan, added: Vec::new(), is_selected: false, order: None, constants: Vec::new() }
    }

    /// The stream with everything said that waits.
    pub(super) fn settled(self) -> Result<Stream, PlanError> {
        let mut stream = self.with_added()?;
        if let Some((by, options)) = stream.order.take() {
            if stream.plan.appends() {
                return refused(
                    "ORDER BY has no end on a stream, for it is never known which row comes first",
                    "Keep the first rows with LIMIT 10, aggregate first, or collect() the frame and sort the result.",
                );
            }
            stream.plan = stream.plan.sort(&by, &options)?;
            stream.is_selected = false;
        }
        Ok(stream)
    }

    fn with_added(mut self) -> Result<Stream, PlanError> {
        if !self.added.is_empty() {
            self.plan = self.plan.with_columns(&std::mem::take(&mut self.added))?;
            self.is_selected = false;
        }
        Ok(self)
    }

    /// Another step, in which the order of rows does not matter.
    pub(super) fn said(self, step: impl FnOnce(&Plan) -> Result<Plan, PlanError>) -> Result<Stream, PlanError> {
        let mut stream = self.with_added()?;
        stream.plan = step(&stream.plan)?;
        stream.is_selected = false;
        Ok(stream)
    }

    /// Gives a column of one value, which expressions may name.
    pub(super) fn with_constant(mut self, name: PlSmallStr, value: Expr) -> Stream {
        self.constants.push((name, value));
        self
    }

    /// An expression in which columns of one value are their values.
    pub(super) fn resolved(&self, expr: &Expr) -> Expr {
        let value = |name: &PlSmallStr| {
            self.constants.iter().find(|(constant, _)| constant == name).map(|(_, value)| value.clone())
        };
        match expr {
            _ if self.constants.is_empty() => expr.clone(),
            Expr::Column(name) => value(name).map_or_else(|| expr.clone(), |value| value.alias(name.clone())),
            _ => expr.clone().map_expr(|part| match &part {
                Expr::Column(name) => value(name).unwrap_or(part),
                Expr::Agg(AggExpr::First(inner)) if matches!(inner.as_ref(), Expr::Literal(_)) => {
                    inner.as_ref().clone()
                }
                _ => part,
            }),
        }
    }

    pub(super) fn filter(self, predicate: &Expr) -> Result<Stream, PlanError> {
        let predicate = self.resolved(predicate);
        self.said(|plan| plan.filter(predicate))
    }

    pub(super) fn with_columns(self, exprs: &[Expr]) -> Result<Stream, PlanError> {
        let mut stream = self.settled()?;
        let exprs = exprs.iter().map(|expr| stream.resolved(expr));
        stream.added = exprs.filter(|expr| !is_there_already(expr)).collect();
        Ok(stream)
    }

    pub(super) fn sort(mut self, by: &[Expr], options: &SortMultipleOptions) -> Stream {
        let by = by.iter().map(|expr| self.resolved(expr)).collect();
        self.order = Some((by, options.clone()));
        self
    }

    /// Puts `exprs` in the place of all columns; an order that waits goes with the columns that it is by.
    pub(super) fn select(mut self, exprs: &[Expr]) -> Result<Stream, PlanError> {
        if let [Expr::Selector(Selector::Difference(_, dropped))] = exprs {
            return self.without(dropped);
        }
        let exprs: Vec<Expr> = exprs.iter().map(|expr| self.resolved(expr)).collect();
        let fused = self.fused(&exprs);
        if let Some((by, options)) = self.order.take() {
            let by = by.iter().map(|expr| self.after(expr, &exprs, fused.as_deref())).collect::<Result<_, _>>()?;
            self.order = Some((by, options));
        }
        let (exprs, mut stream) = match fused {
            Some(fused) => (fused, Stream { added: Vec::new(), ..self }),
            None => (exprs, self.with_added()?),
        };
        let schema = stream.plan.schema();
        let same = exprs.len() == schema.len()
            && exprs.iter().zip(schema.iter_names()).all(|(expr, name)| matches!(expr, Expr::Column(n) if n == name));
        if !same {
            stream.plan = match stream.part_of_the_last(&exprs) {
                Some((input, part)) => input.select(&part)?,
                None => stream.plan.select(&exprs)?,
            };
            stream.is_selected = true;
        }
        stream.constants.clear();
        Ok(stream)
    }

    /// The selection of columns that were only added to be selected, as one step. Values alone are not told apart from one row.
    fn fused(&self, exprs: &[Expr]) -> Option<Vec<Expr>> {
        let added = |name: &PlSmallStr| {
            self.added.iter().find(|expr| expr_output_name(expr).is_ok_and(|output| output == *name)).cloned()
        };
        let fused: Vec<Expr> = exprs
            .iter()
            .map(|expr| match expr {
                Expr::Column(name) => Some(added(name).unwrap_or_else(|| expr.clone())),
                _ => None,
            })
            .collect::<Option<_>>()?;
        let reads = fused.iter().any(|expr| has_expr(expr, |part| matches!(part, Expr::Column(_))));
        (reads && !self.added.is_empty()).then_some(fused)
    }

    /// What the last selection stands on, and those of its columns that are asked for.
    fn part_of_the_last(&self, exprs: &[Expr]) -> Option<(Plan, Vec<Expr>)> {
        let Node::Step { input, step: Step::Select(last) } = self.plan.node() else { return None };
        if !self.is_selected {
            return None;
        }
        let part = |expr: &Expr| match expr {
            Expr::Column(name) => {
                last.iter().find(|one| expr_output_name(one).is_ok_and(|output| output == *name)).cloned()
            }
            _ => None,
        };
        Some((input.clone(), exprs.iter().map(part).collect::<Option<_>>()?))
    }

    /// What rows are sorted by, after a selection; `fused` is the selection without the columns that were only added for it.
    fn after(&self, by: &Expr, selected: &[Expr], fused: Option<&[Expr]>) -> Result<Expr, PlanError> {
        let is_added = |name: &PlSmallStr| {
            self.added.iter().any(|expr| expr_output_name(expr).is_ok_and(|output| output == *name))
        };
        let renamed = |name: &PlSmallStr| {
            called(name, selected).or_else(|| if is_added(name) { None } else { called(name, fused?) })
        };
        for part in by {
            if let Expr::Column(name) = part
                && renamed(name).is_none()
            {
                return refused(
                    format!("the rows are to be in the order of \"{name}\", which the result does not have"),
                    "Name it after SELECT too.",
                );
            }
        }
        Ok(by.clone().map_expr(|part| match &part {
            Expr::Column(name) => renamed(name).map_or(part, Expr::Column),
            _ => part,
        }))
    }

    /// Leaves columns out.
    fn without(mut self, dropped: &Selector) -> Result<Stream, PlanError> {
        let Selector::ByName { names, .. } = dropped else {
            return refused("columns are left out that have no names", "Name the columns to keep after SELECT.");
        };
        self.constants.retain(|(name, _)| !names.contains(name));
        let schema = self.plan.schema();
        let names: Vec<&str> = names.iter().filter(|name| schema.contains(name)).map(PlSmallStr::as_str).collect();
        if names.is_empty() { Ok(self) } else { self.said(|plan| plan.drop(&names)) }
    }

    /// Keeps each row once; of rows with the same `columns` any, or the first in the order that waits.
    pub(super) fn unique(self, columns: Option<&[&str]>) -> Result<Stream, PlanError> {
        if columns.is_some() && self.order.is_some() {
            return refused(
                "DISTINCT ON keeps the first row in an order, and a later row of the stream may come before it",
                "Write SELECT … , MIN(…) … GROUP BY, or leave the ORDER BY out.",
            );
        }
        self.said(|plan| plan.unique(columns))
    }

    /// Keeps the first rows, in the order that waits.
    pub(super) fn slice(self, offset: i64, rows: IdxSize) -> Result<Stream, PlanError> {
        if offset != 0 {
            return refused(
                "OFFSET passes over rows that are others with every batch",
                "Leave it out, and pass over them in the result.",
            );
        }
        let mut stream = self.with_added()?;
        stream.plan = match stream.order.take() {
            Some((by, options)) => stream.plan.ordered("sql", &by, &options, Some(rows as usize))?,
            None => stream.plan.limit(u64::from(rows))?,
        };
        stream.is_selected = false;
        Ok(stream)
    }
}

/// A column under its own name.
fn is_there_already(expr: &Expr) -> bool {
    match expr {
        Expr::Column(_) => true,
        Expr::Alias(inner, name) => matches!(inner.as_ref(), Expr::Column(column) if column == name),
        _ => false,
    }
}

/// What a column is called in a selection that has it.
fn called(name: &PlSmallStr, selected: &[Expr]) -> Option<PlSmallStr> {
    selected.iter().find_map(|expr| match expr {
        Expr::Column(column) if column == name => Some(name.clone()),
        Expr::Alias(inner, alias) => match inner.as_ref() {
            Expr::Column(column) if column == name => Some(alias.clone()),
            _ => None,
        },
        _ => None,
    })
}
