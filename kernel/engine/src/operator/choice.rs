//! Which operator runs an operation.

use std::sync::Arc;

use plan::{Cut, Step};
use polars::prelude::*;

use super::Operator;
use super::asof_join::{AsofJoin, Rule};
use super::columns::POSITION;
use super::hash_aggregate::{Aggregates, HashAggregate};
use super::hash_join::SymmetricHashJoin;
use super::interval_join::IntervalJoin;
use super::late::Late;
use super::limit::Limit;
use super::regroup_aggregate::RegroupAggregate;
use super::session_aggregate::SessionAggregate;
use super::stateful::Stateful;
use super::top_k::TopK;
use super::unique::Unique;
use super::watermark::steps;
use crate::physical::{Method, Operation, Pairing};

/// What stands around an operator.
pub(crate) struct Before<'a> {
    /// The columns that it is given.
    pub(crate) input: &'a SchemaRef,
    /// A column that the watermark holds for.
    pub(crate) time: Option<&'a PlSmallStr>,
    /// The column with the event time, by which `first` and `last` go where there are no windows.
    pub(crate) order: Option<&'a PlSmallStr>,
    /// How many of the watermark's units a millisecond has.
    pub(crate) per_ms: i64,
    /// Whether an operation behind it takes old rows back, which are given beside the new ones then.
    pub(crate) retracted: bool,
}

/// What runs an operation with a state; `schema` is the one after it.
pub(crate) fn operator(
    operation: &Operation,
    before: &Before<'_>,
    schema: &SchemaRef,
) -> PolarsResult<Box<dyn Operator>> {
    let (input, retracted) = (before.input, before.retracted);
    Ok(match operation {
        Operation::Step(Step::Unique(columns)) => Box::new(Unique::new(columns, before.time.cloned(), input)),
        Operation::Step(Step::Limit(n)) => Box::new(Limit::new(*n)),
        Operation::Step(Step::LateRows(of)) => Box::new(Late::new(of, before)?),
        Operation::LateForJoin(_) => Box::new(Late::of_sides()),
        Operation::TimedJoin(join) => match &join.pairing {
            Pairing::Within { bound, how } => Box::new(IntervalJoin::new(join, *bound, how, input)?),
            Pairing::Asof { strategy, tolerance, exact } => Box::new(AsofJoin::new(
                join,
                Rule { strategy: *strategy, tolerance: *tolerance, exact: *exact },
                input,
            )?),
        },
        Operation::HashJoin(join) => Box::new(SymmetricHashJoin::new(join, input, schema, retracted)?),
        Operation::Step(Step::Sort(order)) => Box::new(TopK::new(order, schema, retracted)),
        Operation::Step(Step::WithState(keys, function)) => {
            Box::new(Stateful::new(keys, function, &without_position(input), schema, before.per_ms)?)
        }
        Operation::Aggregate(aggregate, method) => match (method, &aggregate.over) {
            (_, Some(over)) if let Cut::Session { gap } = over.cut => {
                let Some(DataType::Datetime(unit, _)) = input.get(&over.time) else {
                    polars_bail!(ComputeError: "the sessions' column \"{}\" is no datetime", over.time);
                };
                let gap = steps(gap.duration_ns(), *unit);
                Box::new(SessionAggregate::new(aggregate, (over, gap.max(1)), input, schema.clone(), retracted)?)
            }
            (Method::Merge { accumulators, outputs, retracts }, over) => {
                let order = over.as_ref().map(|over| &over.time).or(before.order).cloned();
                let aggregates = Aggregates { accumulators, outputs, retracts: *retracts };
                Box::new(HashAggregate::new(aggregate, &aggregates, order, schema.clone(), retracted))
            }
            (Method::Regroup { .. }, over) => {
                let order = over.as_ref().map(|over| &over.time).or(before.order).cloned();
                Box::new(RegroupAggregate::new(aggregate, order, input, schema.clone(), retracted)?)
            }
        },
        Operation::Step(step) => polars_bail!(ComputeError: "a step without a state has no operator: {step:?}"),
    })
}

fn without_position(schema: &SchemaRef) -> SchemaRef {
    let mut schema = schema.as_ref().clone();
    schema.shift_remove(POSITION);
    Arc::new(schema)
}
