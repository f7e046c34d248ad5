//! What of a plan nobody looks at: columns that no step above uses are neither computed nor decoded. A plan is written as a
//! person thinks; it runs as the equal one that does the least. The person's words stay what the query is known by.

use std::collections::BTreeSet;
use std::sync::Arc;

use polars::prelude::*;
use polars_plan::frame::OptFlags;
use polars_plan::plans::prepare_projection;
use polars_plan::utils::expr_to_leaf_column_names;

use crate::node::{Plan, Step};
use crate::pushdown::sunk;
use crate::times::Times;

type Names = BTreeSet<PlSmallStr>;

impl Plan {
    /// The plan as it runs: the same result from fewer rows and columns. Filters stand as early as they can, and the source has
    /// only the columns that the result depends on.
    ///
    /// Expressions that nobody uses are left out, so one that would have failed on some row does not fail, as in Polars.
    #[must_use]
    pub fn optimized(&self) -> Plan {
        let sunk = sunk(self);
        let steps = sunk.steps_with_schemas();
        let root = sunk.root();
        let times = sunk.times_before();
        let mut needed: Names = self.schema().iter_names().cloned().collect();
        let mut narrowed = Vec::with_capacity(steps.len());
        for (number, (step, _)) in steps.iter().enumerate().rev() {
            let input = number.checked_sub(1).map_or(root.schema(), |before| steps[before].1);
            let (step, before) = narrow(step, input, needed, &times[number]);
            narrowed.push(step);
            needed = before;
        }
        let (name, source, _) = self.steps();
        let source = source.iter_fields().filter(|field| needed.contains(field.name())).collect::<Schema>();
        let mut plan = Plan::source_of(name, Arc::new(source), self.inputs().to_vec());
        let mut input = root.schema();
        for ((_, schema), step) in steps.iter().zip(narrowed.into_iter().rev()) {
            if let Some(step) = step {
                let after = after(&step, plan.schema(), input, schema);
                plan = plan.step(step, Arc::new(after));
            }
            input = schema;
        }
        plan
    }

    /// The source's columns that the result depends on, in the source's order.
    #[must_use]
    pub fn source_columns(&self) -> Vec<PlSmallStr> {
        self.optimized().root().schema().iter_names().cloned().collect()
    }
}

/// The step for who wants only the columns `after` of its result, and the columns of its input that it needs then; no step
/// where it would do nothing. `times` are the columns by which a step with a state may forget.
fn narrow(step: &Step, input: &SchemaRef, mut after: Names, times: &Times) -> (Option<Step>, Names) {
    let all = || input.iter_names().cloned().collect::<Names>();
    let with = |after: &Names, more: Option<Names>| more.map_or_else(all, |more| &inputs(after, input) | &more);
    let before = match step {
        Step::Select(exprs) => return selected(exprs, input, &after),
        Step::WithColumns(exprs) => return added(exprs, input, &after),
        Step::Filter(predicate) => with(&after, columns_of([predicate])),
        Step::Sort(order) => with(&after, columns_of(&order.by)),
        Step::Watermark(watermark) => with(&after, Some([watermark.column.clone()].into())),
        Step::Explode(columns) => with(&after, Some(columns.iter().cloned().collect())),
        Step::Unique(columns) => {
            after.extend(times.nearest().cloned());
            with(&after, Some(columns.iter().cloned().collect()))
        }
        Step::LateRows(of) => match of.as_ref() {
            Step::Aggregate(a) => with(&after, Some(a.over.iter().map(|over| over.time.clone()).collect())),
            Step::Unique(_) => with(&after, Some(times.nearest().into_iter().cloned().collect())),
            _ => all(),
        },
        Step::ProcessingTime(column) if !after.contains(column) => return (None, inputs(&after, input)),
        Step::ProcessingTime(_) | Step::Limit(_) => inputs(&after, input),
        Step::Unnest(columns) => with(&after, Some(columns.iter().cloned().collect())),
        Step::Join(lookup) => {
            // A column of the frame is called otherwise where the stream has one of its name, so that one must stay.
            after.extend(lookup.names());
            with(&after, columns_of(&lookup.reads()))
        }
        Step::Aggregate(a) => {
            let a = a.narrowed(&after);
            let before = match columns_of(a.keys.iter().chain(&a.written)) {
                Some(names) => &names | &a.over.iter().map(|over| over.time.clone()).collect(),
                None => all(),
            };
            return (Some(Step::Aggregate(Box::new(a))), before);
        }
        Step::JoinSides(join) => {
            let join = join.narrowed(&after);
            let before = join.reads().collect();
            return (Some(Step::JoinSides(Box::new(join))), before);
        }
        // What a function reads is not known.
        Step::MapBatches(_) | Step::WithState(..) => all(),
    };
    (Some(step.clone()), before)
}

fn inputs(names: &Names, input: &Schema) -> Names {
    names.iter().filter(|name| input.contains(name)).cloned().collect()
}

fn selected(exprs: &[Expr], input: &SchemaRef, after: &Names) -> (Option<Step>, Names) {
    let all = || input.iter_names().cloned().collect::<Names>();
    let Some((exprs, mut keeps)) = expanded(exprs, input, after) else {
        return (Some(Step::Select(exprs.to_vec())), columns_of(exprs).unwrap_or_else(all));
    };
    let reads = |expr: &Expr| !expr_to_leaf_column_names(expr).is_empty();
    // Literals alone are one row, however many there were.
    if !exprs.iter().zip(&keeps).any(|(expr, keep)| *keep && reads(expr)) {
        let plain = exprs.iter().position(|expr| matches!(expr, Expr::Column(_)));
        if let Some(first) = plain.or_else(|| exprs.iter().position(reads)) {
            keeps[first] = true;
        }
    }
    let kept: Vec<Expr> = exprs.into_iter().zip(keeps).filter(|(_, keep)| *keep).map(|(expr, _)| expr).collect();
    let before = columns_of(&kept).unwrap_or_else(all);
    (Some(Step::Select(kept)), before)
}

fn added(exprs: &[Expr], input: &SchemaRef, after: &Names) -> (Option<Step>, Names) {
    let all = || input.iter_names().cloned().collect::<Names>();
    let Some((exprs, keeps)) = expanded(exprs, input, after) else {
        return (Some(Step::WithColumns(exprs.to_vec())), all());
    };
    let kept: Vec<Expr> = exprs.into_iter().zip(keeps).filter(|(_, keep)| *keep).map(|(expr, _)| expr).collect();
    // A column that is replaced is needed all the same: it says where in the frame the new one stands.
    let before = columns_of(&kept).map_or_else(all, |names| &inputs(after, input) | &names);
    ((!kept.is_empty()).then_some(Step::WithColumns(kept)), before)
}

/// The expressions one for each column, and which of them are in `after`.
fn expanded(exprs: &[Expr], input: &SchemaRef, after: &Names) -> Option<(Vec<Expr>, Vec<bool>)> {
    let (exprs, schema) = prepare_projection(exprs.to_vec(), input, &mut OptFlags::default()).ok()?;
    let keeps: Vec<bool> = schema.iter_names().map(|name| after.contains(name)).collect();
    (keeps.len() == exprs.len()).then_some((exprs, keeps))
}

/// The schema after a step that was narrowed; `input` and `schema` are those before and after it as it was written.
fn after(step: &Step, narrowed: &Schema, input: &Schema, schema: &Schema) -> Schema {
    match step {
        Step::Select(exprs) | Step::WithColumns(exprs) => {
            let known = prepare_projection(exprs.clone(), narrowed, &mut OptFlags::default());
            let Ok((_, made)) = known else { return schema.clone() };
            let mut after = if matches!(step, Step::Select(_)) { Schema::default() } else { narrowed.clone() };
            for (name, dtype) in made.iter() {
                after.with_column(name.clone(), schema.get(name).unwrap_or(dtype).clone());
            }
            after
        }
        Step::Aggregate(a) => {
            let is_there = |(place, field): &(usize, Field)| {
                *place < a.columns_before() || a.names().any(|name| name == field.name())
            };
            schema.iter_fields().enumerate().filter(is_there).map(|(_, field)| field).collect()
        }
        Step::JoinSides(join) => {
            let is_there = |field: &Field| join.left.contains(field.name()) || join.right.contains(field.name());
            schema.iter_fields().filter(is_there).collect()
        }
        Step::MapBatches(_) | Step::WithState(..) => schema.clone(),
        Step::Explode(columns) => {
            let mut after = narrowed.clone();
            for name in columns {
                if let Some(dtype) = schema.get(name) {
                    after.with_column(name.clone(), dtype.clone());
                }
            }
            after
        }
        Step::Unnest(_) | Step::Join(_) => {
            let is_there = |name: &PlSmallStr| narrowed.contains(name) || !input.contains(name);
            schema.iter_fields().filter(|field| is_there(field.name())).collect()
        }
        Step::ProcessingTime(column) => {
            let mut after = narrowed.clone();
            if let Some(dtype) = schema.get(column) {
                after.with_column(column.clone(), dtype.clone());
            }
            after
        }
        Step::Filter(_) | Step::Watermark(_) | Step::Unique(_) => narrowed.clone(),
        Step::Limit(_) | Step::Sort(_) | Step::LateRows(_) => narrowed.clone(),
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
