//! Which of the source's columns a plan needs: the others are not even decoded.

use std::collections::BTreeSet;

use polars::prelude::*;
use polars_plan::utils::expr_to_leaf_column_names;

use crate::node::{Plan, Step};

impl Plan {
    /// The source's columns that the result depends on, in the source's order.
    #[must_use]
    pub fn source_columns(&self) -> Vec<PlSmallStr> {
        let (_, schema, steps) = self.steps();
        // `None` stands for all of them.
        let mut needed: Option<BTreeSet<PlSmallStr>> = None;
        for step in steps.into_iter().rev() {
            needed = before(step, needed);
        }
        schema.iter_names().filter(|name| needed.as_ref().is_none_or(|set| set.contains(*name))).cloned().collect()
    }
}

fn before(step: &Step, after: Option<BTreeSet<PlSmallStr>>) -> Option<BTreeSet<PlSmallStr>> {
    match step {
        Step::Filter(predicate) => Some(&after? | &columns_of([predicate])?),
        Step::WithColumns(exprs) => Some(&after? | &columns_of(exprs)?),
        Step::Select(exprs) => columns_of(exprs),
        Step::Watermark(watermark) => {
            let mut names = after?;
            names.insert(watermark.column.clone());
            Some(names)
        }
        Step::ProcessingTime(column) => {
            let mut names = after?;
            names.remove(column);
            Some(names)
        }
        Step::LateRows(of) => {
            let mut names = after?;
            match of.as_ref() {
                Step::Aggregate(a) => names.extend(a.over.iter().map(|over| over.time.clone())),
                Step::Unique(_) => {}
                _ => return None,
            }
            Some(names)
        }
        Step::Explode(columns) => {
            let mut names = after?;
            names.extend(columns.iter().cloned());
            Some(names)
        }
        Step::Join(lookup) => {
            // Names that come from the frame are no columns of the source.
            Some(&after? | &columns_of(lookup.left_on())?)
        }
        // What the fields are called is only known from the column itself, and what a function reads is not known at all.
        Step::Unnest(_) | Step::MapBatches(_) | Step::WithState(..) | Step::JoinSides(_) => None,
        Step::Unique(columns) => {
            let mut names = after?;
            names.extend(columns.iter().cloned());
            Some(names)
        }
        Step::Sort(order) => Some(&after? | &columns_of(&order.by)?),
        Step::Limit(_) => after,
        Step::Aggregate(a) => {
            let mut names = columns_of(a.keys.iter().chain(&a.written))?;
            names.extend(a.over.iter().map(|over| over.time.clone()));
            Some(names)
        }
    }
}

/// The columns that expressions read; `None` when a selector may stand for any.
#[must_use]
pub fn columns_of<'a>(exprs: impl IntoIterator<Item = &'a Expr>) -> Option<BTreeSet<PlSmallStr>> {
    let mut names = BTreeSet::new();
    for expr in exprs {
        if expr.into_iter().any(|e| matches!(e, Expr::Selector(_))) {
            return None;
        }
        for name in expr_to_leaf_column_names(expr) {
            if name.as_str() == "*" || name.starts_with('^') {
                return None;
            }
            names.insert(name);
        }
    }
    Some(names)
}
