//! What of a plan nobody looks at: columns that no operation above uses are neither computed nor decoded. A plan is written as a
//! person thinks; it runs as the equal one that does the least.

use std::collections::BTreeSet;
use std::sync::Arc;

use plan::{Step, Times, columns_of};
use polars::prelude::*;
use polars_plan::frame::OptFlags;
use polars_plan::plans::prepare_projection;
use polars_plan::utils::expr_to_leaf_column_names;

use super::{Input, Operation, PhysicalPlan, Stage};

type Names = BTreeSet<PlSmallStr>;

impl PhysicalPlan {
    /// The plan with only the columns that its result depends on.
    pub(super) fn narrowed(&self) -> PhysicalPlan {
        let times = self.times_before();
        let mut needed: Names = self.schema().iter_names().cloned().collect();
        let mut narrowed = Vec::with_capacity(self.stages.len());
        for (number, stage) in self.stages.iter().enumerate().rev() {
            let (operation, before) = narrow(&stage.operation, self.before(number), needed, &times[number]);
            narrowed.push(operation);
            needed = before;
        }
        let read = self.read.iter_fields().filter(|field| needed.contains(field.name())).collect::<Schema>();
        let input = match &self.input {
            Input::Sides(sides) => Input::Sides(Box::new(sides.each_ref().map(|side| side.narrowed_to(&needed)))),
            input => input.clone(),
        };
        let mut plan = PhysicalPlan { input, read: Arc::new(read), stages: Vec::new() };
        for ((number, stage), operation) in self.stages.iter().enumerate().zip(narrowed.into_iter().rev()) {
            if let Some(operation) = operation {
                let after = after(&operation, plan.schema(), self.before(number), &stage.schema);
                plan.stages.push(Stage::new(operation, Arc::new(after)));
            }
        }
        plan
    }

    /// The plan for who wants only these of its columns, in their order.
    fn narrowed_to(&self, names: &Names) -> PhysicalPlan {
        let wanted: Vec<PlSmallStr> =
            self.schema().iter_names().filter(|name| names.contains(*name)).cloned().collect();
        let mut narrow = self.select(&wanted).unwrap_or_else(|_| self.optimized());
        // Often it only names what is there.
        if narrow.stages.len() > 1 && narrow.before(narrow.stages.len() - 1) == narrow.schema() {
            narrow.stages.pop();
        }
        narrow
    }
}

/// The operation for who wants only the columns `after` of its result, and the columns of its input that it needs then; none where
/// it would do nothing. `times` are the columns by which an operation with a state may forget.
fn narrow(operation: &Operation, input: &SchemaRef, after: Names, times: &Times) -> (Option<Operation>, Names) {
    match operation {
        Operation::Step(Step::Aggregate(aggregate)) | Operation::Aggregate(aggregate, _) => {
            let aggregate = aggregate.narrowed(&after);
            // What is the first of a key's rows, their time says where there is one.
            let order = times.nearest().filter(|_| aggregate.over.is_none());
            let time = aggregate.over.iter().map(|over| &over.time).chain(order).cloned();
            let before = match columns_of(aggregate.keys.iter().chain(&aggregate.written)) {
                Some(names) => &names | &time.collect(),
                None => input.iter_names().cloned().collect(),
            };
            (Some(Operation::Step(Step::Aggregate(Box::new(aggregate)))), before)
        }
        Operation::Step(step) => {
            let (step, before) = narrow_step(step, input, after, times);
            (step.map(Operation::Step), before)
        }
        Operation::TimedJoin(join) => {
            let join = join.narrowed(&after);
            let before = join.reads().collect();
            (Some(Operation::TimedJoin(Box::new(join))), before)
        }
        Operation::HashJoin(join) => {
            let join = join.narrowed(&after);
            let before = join.reads().collect();
            (Some(Operation::HashJoin(Box::new(join))), before)
        }
        Operation::LateForJoin(_) => {
            let own = [PlSmallStr::from_static(super::SIDE_TIME)];
            (Some(operation.clone()), inputs(&after, input).into_iter().chain(own).collect())
        }
    }
}

/// The same of a step.
fn narrow_step(step: &Step, input: &SchemaRef, mut after: Names, times: &Times) -> (Option<Step>, Names) {
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
        // What a function reads is not known.
        Step::MapBatches(_) | Step::WithState(..) | Step::Aggregate(_) => all(),
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

/// The schema after an operation that was narrowed; `input` and `schema` are those before and after it as it was written.
fn after(operation: &Operation, narrowed: &Schema, input: &Schema, schema: &Schema) -> Schema {
    match operation {
        Operation::Step(step) => after_step(step, narrowed, input, schema),
        Operation::Aggregate(..) => schema.clone(),
        Operation::TimedJoin(join) => of_sides(schema, &join.left, &join.right),
        Operation::HashJoin(join) => of_sides(schema, &join.left, &join.right),
        Operation::LateForJoin(_) => narrowed.clone(),
    }
}

/// The columns of a join that are of one of its sides.
fn of_sides(schema: &Schema, left: &[PlSmallStr], right: &[PlSmallStr]) -> Schema {
    schema.iter_fields().filter(|field| left.contains(field.name()) || right.contains(field.name())).collect()
}

fn after_step(step: &Step, narrowed: &Schema, input: &Schema, schema: &Schema) -> Schema {
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
