//! The walk over the plan that Polars made of a query, from its tables to its result. What stands still stays a frame of Polars';
//! what has to do with a stream is said in the stream's words.

use std::sync::Arc;

use polars::prelude::*;
use polars_plan::plans::DslFunction;
use polars_plan::prelude::DslPlan;
use polars_plan::utils::has_expr;

use super::functions::Functions;
use super::stream::Stream;
use super::{group, join, polars_says, refused};
use crate::expr::is_row_wise;
use crate::join::without_watermark;
use crate::{Plan, PlanError};

/// What the walk knows.
pub(super) struct Walk<'a> {
    /// The empty frames that stand for streams.
    pub(super) streams: Vec<(Arc<DataFrame>, Plan)>,
    pub(super) functions: &'a Functions,
}

/// What a part of the query gives.
// What was walked lives for a moment; a box would cost more than it saves.
#[allow(clippy::large_enum_variant)]
pub(super) enum Walked {
    Stream(Stream),
    Still(LazyFrame),
}

impl Walked {
    pub(super) fn settled(self) -> Result<Walked, PlanError> {
        match self {
            Walked::Stream(stream) => Ok(Walked::Stream(stream.settled()?)),
            still @ Walked::Still(_) => Ok(still),
        }
    }
}

impl Walk<'_> {
    pub(super) fn walk(&mut self, plan: &DslPlan) -> Result<Walked, PlanError> {
        match plan {
            DslPlan::IR { dsl, .. } => self.walk(dsl),
            DslPlan::Cache { input, .. } => self.walk(input),
            DslPlan::DataFrameScan { df, .. } => {
                Ok(match self.streams.iter().find(|(held, _)| Arc::ptr_eq(held, df)) {
                    Some((_, plan)) => Walked::Stream(Stream::new(plan.clone())),
                    None => still(plan),
                })
            }
            DslPlan::Scan { .. } => Ok(still(plan)),
            DslPlan::Union { inputs, .. } => self.unite(plan, inputs),
            DslPlan::HConcat { inputs, .. } => self.beside(plan, inputs),
            DslPlan::Join { input_left, input_right, left_on, right_on, predicates, options } => {
                match (self.walk(input_left)?, self.walk(input_right)?) {
                    (Walked::Still(_), Walked::Still(_)) => Ok(still(plan)),
                    (left, right) => {
                        let on = join::On { left: left_on, right: right_on, predicates, args: &options.args };
                        join::join(self.functions, left, right, &on).map(Walked::Stream)
                    }
                }
            }
            DslPlan::Filter { input, .. }
            | DslPlan::Select { input, .. }
            | DslPlan::HStack { input, .. }
            | DslPlan::GroupBy { input, .. }
            | DslPlan::Sort { input, .. }
            | DslPlan::Slice { input, .. }
            | DslPlan::Distinct { input, .. }
            | DslPlan::MapFunction { input, .. } => match self.walk(input)? {
                Walked::Stream(stream) => self.step(plan, stream).map(Walked::Stream),
                Walked::Still(_) => Ok(still(plan)),
            },
            other => not_streamed(other),
        }
    }

    /// A step over a stream.
    fn step(&mut self, plan: &DslPlan, stream: Stream) -> Result<Stream, PlanError> {
        match plan {
            DslPlan::Filter { predicate, .. } => stream.filter(&self.functions.said(predicate.clone())?),
            DslPlan::Select { expr, .. } => self.select(stream, expr),
            DslPlan::HStack { exprs, .. } => stream.with_columns(&self.said(exprs)?),
            DslPlan::Sort { by_column, sort_options, slice: None, .. } => {
                // Columns that were added stay to be selected: the order names them.
                Ok(stream.sort(&self.said(by_column)?, sort_options))
            }
            DslPlan::Slice { offset, len, .. } => stream.slice(*offset, *len),
            DslPlan::GroupBy { keys, predicates, aggs, apply: None, .. } => {
                group::group_by(self.functions, stream, keys, predicates, aggs)
            }
            DslPlan::Distinct { options, .. } => match &options.subset {
                None => stream.unique(None),
                Some(subset) => {
                    let names = names_of(subset, stream.plan.schema())?;
                    stream.unique(Some(&names.iter().map(PlSmallStr::as_str).collect::<Vec<_>>()))
                }
            },
            DslPlan::MapFunction { function: DslFunction::Rename { existing, new, .. }, .. } => {
                let existing: Vec<&str> = existing.iter().map(PlSmallStr::as_str).collect();
                let new: Vec<&str> = new.iter().map(PlSmallStr::as_str).collect();
                stream.settled()?.said(|plan| plan.rename(&existing, &new))
            }
            DslPlan::MapFunction { function: DslFunction::Explode { columns, .. }, .. } => {
                let names = selected(columns, stream.plan.schema())?;
                stream.settled()?.said(|plan| plan.explode(&names.iter().map(PlSmallStr::as_str).collect::<Vec<_>>()))
            }
            other => not_streamed(other),
        }
    }

    fn said(&self, exprs: &[Expr]) -> Result<Vec<Expr>, PlanError> {
        exprs.iter().map(|expr| self.functions.said(expr.clone())).collect()
    }

    /// A selection; one of aggregates alone is an aggregation of all rows.
    fn select(&self, stream: Stream, exprs: &[Expr]) -> Result<Stream, PlanError> {
        let exprs = self.said(exprs)?;
        let schema = stream.plan.schema();
        if exprs.iter().all(|expr| is_row_wise(schema, expr)) || exprs.iter().any(looks_at_neighbours) {
            return stream.select(&exprs);
        }
        let stream = stream.settled()?;
        let exprs: Vec<Expr> = exprs.iter().map(|expr| stream.resolved(expr)).collect();
        for expr in &exprs {
            if !gives_one_row(stream.plan.schema(), expr)? {
                return refused(
                    format!("`{expr:?}` has a value a row, and stands beside an aggregate of all rows"),
                    "Name it after GROUP BY, or aggregate it too.",
                );
            }
        }
        stream.said(|plan| plan.group_by(&[], &exprs))
    }

    /// UNION ALL. A watermark that every stream has comes after the union, which waits for the slowest of them all.
    fn unite(&mut self, plan: &DslPlan, inputs: &[DslPlan]) -> Result<Walked, PlanError> {
        let mut frames = Vec::with_capacity(inputs.len());
        let mut marks = Vec::with_capacity(inputs.len());
        for input in inputs {
            match self.walk(input)?.settled()? {
                Walked::Stream(Stream { plan, .. }) => {
                    let (bare, mark) = without_watermark("sql", &plan)?;
                    frames.push(bare);
                    marks.push(mark);
                }
                Walked::Still(_) => {}
            }
        }
        match (frames.len(), inputs.len()) {
            (0, _) => return Ok(still(plan)),
            (streams, all) if streams == all => {}
            _ => {
                return refused(
                    "UNION puts a stream and a frame that stands still together",
                    "Unite streams with streams; a frame's columns come to a stream's rows with JOIN.",
                );
            }
        }
        let mut plan = Plan::union(&frames)?;
        let longest = marks.iter().flatten().max_by_key(|mark| mark.delay_ms);
        if let Some(mark) = longest
            && marks.iter().all(|other| other.as_ref().is_some_and(|other| other.column == mark.column))
            && plan.schema().contains(&mark.column)
        {
            plan = plan.with_watermark(&mark.column, &mark.delay)?;
        }
        Ok(Walked::Stream(Stream::new(plan)))
    }

    /// A stream beside queries that give one value, each of which is known at once.
    fn beside(&mut self, plan: &DslPlan, inputs: &[DslPlan]) -> Result<Walked, PlanError> {
        let Some((first, others)) = inputs.split_first() else { return Ok(still(plan)) };
        let Walked::Stream(mut stream) = self.walk(first)? else { return Ok(still(plan)) };
        for other in others {
            let Walked::Still(frame) = self.walk(other)? else {
                return refused(
                    "a query in brackets reads a stream, and its value changes with every row",
                    "Read a frame that stands still there, or join the streams with join_stream(…).",
                );
            };
            let frame = frame.collect().map_err(polars_says)?;
            for column in frame.columns() {
                let value = column.get(0).unwrap_or(AnyValue::Null).into_static();
                let scalar = Scalar::new(column.dtype().clone(), value);
                stream = stream.with_constant(column.name().clone(), Expr::Literal(scalar.into()));
            }
        }
        Ok(Walked::Stream(stream))
    }
}

fn still(plan: &DslPlan) -> Walked {
    Walked::Still(LazyFrame::from(plan.clone()))
}

/// Whether an expression looks at other rows without aggregating them; a stream refuses it by its name.
fn looks_at_neighbours(expr: &Expr) -> bool {
    has_expr(expr, |part| matches!(part, Expr::Over { .. } | Expr::Rolling { .. }))
}

/// Whether an expression gives one value for all rows, however many there are.
fn gives_one_row(schema: &SchemaRef, expr: &Expr) -> Result<bool, PlanError> {
    let none = DataFrame::empty_with_schema(schema).lazy().select([expr.clone()]).collect().map_err(polars_says)?;
    Ok(none.height() == 1)
}

fn names_of(subset: &[Expr], schema: &SchemaRef) -> Result<Vec<PlSmallStr>, PlanError> {
    let mut names = Vec::new();
    for expr in subset {
        match expr {
            Expr::Column(name) => names.push(name.clone()),
            Expr::Selector(selector) => names.extend(selected(selector, schema)?),
            _ => return refused(format!("DISTINCT ON `{expr:?}` is no column"), "Make it a column first."),
        }
    }
    Ok(names)
}

fn selected(selector: &Selector, schema: &SchemaRef) -> Result<Vec<PlSmallStr>, PlanError> {
    let names = selector.into_columns(schema, &Default::default()).map_err(polars_says)?;
    Ok(names.into_iter().collect())
}

fn not_streamed<T>(plan: &DslPlan) -> Result<T, PlanError> {
    let name: &'static str = plan.into();
    refused(
        format!("Polars makes the step \"{name}\" of it, which a stream does not have"),
        "Say it in simpler words, or collect() the frame and query the result.",
    )
}
