//! A join of two streams as an operation over two inputs. By time, the rows of both have the same columns: the side that they are
//! of, their time and their keys, and nulls in the columns of the other side. What the columns of ours are called is said here, and
//! nowhere else.

use std::collections::BTreeSet;
use std::sync::Arc;

use plan::{AsofStrategy, Join, JoinKind, Step, Words};
use polars::prelude::*;

use super::lower::lower as lowered;
use super::{Input, Operation, PhysicalPlan};

/// Which side a row is of: true on the right.
pub(crate) const SIDE: &str = "__corriente_side";
/// The time of a row, whichever side it is of.
pub(crate) const SIDE_TIME: &str = "__corriente_time";

/// A join of the two sides by time. Its result has the columns of the left first, then those of the right.
#[derive(Clone, Debug)]
pub(crate) struct TimedJoin {
    /// The columns of the left side.
    pub(crate) left: Vec<PlSmallStr>,
    /// The columns of the right side, by the names that they have in the result.
    pub(crate) right: Vec<PlSmallStr>,
    /// The columns that must be equal.
    pub(crate) keys: Vec<PlSmallStr>,
    /// The columns of the result with times that the watermark says something of, and how far behind it these may be, in
    /// nanoseconds.
    pub(crate) behind: Vec<(PlSmallStr, i64)>,
    /// Which rows of equal keys belong together.
    pub(crate) pairing: Pairing,
    /// As it is said.
    pub(crate) words: Words,
}

/// Which rows of two streams belong together. Times are in the time column's unit.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Pairing {
    /// Those whose times are not further apart than this.
    Within {
        /// The bound, which both include.
        bound: i64,
        /// What becomes of rows that nothing belongs to, and of several that belong together.
        how: JoinType,
    },
    /// Each row of the left and one of the right, whose time is the nearest.
    Asof {
        /// In which direction.
        strategy: AsofStrategy,
        /// How far at the most.
        tolerance: Option<i64>,
        /// Whether the same time counts.
        exact: bool,
    },
}

impl TimedJoin {
    /// The join for who wants only the columns `after` of its result; of the left one is there at the least.
    pub(super) fn narrowed(&self, after: &BTreeSet<PlSmallStr>) -> TimedJoin {
        let mut join = self.clone();
        join.left.retain(|name| after.contains(name));
        join.right.retain(|name| after.contains(name));
        if join.left.is_empty() {
            // Its time is read anyhow.
            let time = self.behind.iter().map(|(name, _)| name).find(|name| self.left.contains(name));
            join.left.extend(time.or(self.left.first()).cloned());
        }
        join.behind.retain(|(name, _)| join.left.contains(name) || join.right.contains(name));
        join
    }

    /// The columns of the sides that it reads.
    pub(super) fn reads(&self) -> impl Iterator<Item = PlSmallStr> {
        let own = [SIDE, SIDE_TIME].map(PlSmallStr::from_static);
        own.into_iter().chain(self.keys.iter().chain(&self.left).chain(&self.right).cloned())
    }
}

/// A join of the two sides by equal keys alone, of rows that change. Its result has the columns of the left first, then those of
/// the right.
#[derive(Clone, Debug)]
pub(crate) struct HashJoin {
    /// The columns of the left side.
    pub(crate) left: Vec<PlSmallStr>,
    /// The columns of the right side, by the names that they have in the result.
    pub(crate) right: Vec<PlSmallStr>,
    /// The columns that must be equal, which both sides have beside their own.
    pub(crate) keys: Vec<PlSmallStr>,
    /// What becomes of rows without a match.
    pub(crate) how: JoinType,
    /// The key that is a time, by its number, where rows of an old time are forgotten; and how far behind the watermark, in
    /// nanoseconds, rows may be that still come or change.
    pub(crate) time_key: Option<(usize, i64)>,
    /// The columns of the result with times that the watermark says something of, and how far behind it these may be, in
    /// nanoseconds.
    pub(crate) behind: Vec<(PlSmallStr, i64)>,
    /// As it is said.
    pub(crate) words: Words,
}

impl HashJoin {
    /// The join for who wants only the columns `after` of its result.
    pub(super) fn narrowed(&self, after: &BTreeSet<PlSmallStr>) -> HashJoin {
        let mut join = self.clone();
        join.left.retain(|name| after.contains(name));
        join.right.retain(|name| after.contains(name));
        if join.left.is_empty() && join.right.is_empty() {
            // Rows without a column could not be counted.
            let (side, first) = match self.left.first() {
                Some(first) => (&mut join.left, Some(first)),
                None => (&mut join.right, self.right.first()),
            };
            side.extend(first.cloned());
        }
        join.behind.retain(|(name, _)| join.left.contains(name) || join.right.contains(name));
        join
    }

    /// The columns of the sides that it reads.
    pub(super) fn reads(&self) -> impl Iterator<Item = PlSmallStr> {
        self.keys.iter().chain(&self.left).chain(&self.right).cloned()
    }
}

/// The operations of a join whose result has this schema.
pub(super) fn lower(join: &Join, result: &SchemaRef) -> PhysicalPlan {
    let keys: Vec<PlSmallStr> =
        (0..join.keys.len()).map(|n| PlSmallStr::from_string(format!("__corriente_key_{n}"))).collect();
    let by_time = !matches!(join.kind, JoinKind::Equal(_));
    let schema = if by_time { schema_of_sides(join, &keys, result) } else { schema_of_keys(join, &keys, result) };
    let side = |side: usize| {
        let exprs = columns_of_side(join, side, &keys, result);
        let names = exprs.iter().filter_map(|expr| polars_plan::utils::expr_output_name(expr).ok());
        let fields = names.filter_map(|name| Some(Field::new(name.clone(), schema.get(&name)?.clone())));
        let own = Arc::new(fields.collect::<Schema>());
        lowered(&join.sides[side].plan).with(Operation::Step(Step::Select(exprs)), own)
    };
    let input = Input::Sides(Box::new([side(0), side(1)]));
    let both = PhysicalPlan { input, read: Arc::clone(&schema), stages: Vec::new() };
    if join.late {
        let columns = result.iter_names().cloned().map(col).collect();
        let late = both.with(Operation::LateForJoin(join.words()), schema);
        return late.with(Operation::Step(Step::Select(columns)), result.clone());
    }
    let called = |side: usize| join.sides[side].columns.iter().map(|(_, called)| called.clone()).collect();
    let (left, right, behind, words) = (called(0), called(1), join.behind(), join.words());
    let operation = match pairing(join) {
        Err(how) => {
            let time_key = join.time_key();
            Operation::HashJoin(Box::new(HashJoin { left, right, keys, how, time_key, behind, words }))
        }
        Ok(pairing) => Operation::TimedJoin(Box::new(TimedJoin { left, right, keys, behind, pairing, words })),
    };
    both.with(operation, result.clone())
}

/// By which times rows belong together; or what becomes of those without a match, where all of equal keys do.
fn pairing(join: &Join) -> Result<Pairing, JoinType> {
    let bound = join.bound().map(|(steps, _)| steps);
    Ok(match &join.kind {
        JoinKind::Equal(how) => return Err(how.clone()),
        JoinKind::Within { how, .. } => Pairing::Within { bound: bound.unwrap_or_default(), how: how.clone() },
        JoinKind::Asof(on) => {
            Pairing::Asof { strategy: on.direction(), tolerance: bound, exact: on.takes_exact_matches() }
        }
    })
}

/// The columns that rows of both sides have, where they are joined by time.
fn schema_of_sides(join: &Join, keys: &[PlSmallStr], result: &SchemaRef) -> SchemaRef {
    let [left, _] = &join.sides;
    let time = left.time.as_ref().and_then(|time| left.plan.schema().get(time)).cloned().unwrap_or(DataType::Null);
    let own = [Field::new(SIDE.into(), DataType::Boolean), Field::new(SIDE_TIME.into(), time)];
    SchemaRef::new(own.into_iter().chain(key_fields(join, keys)).chain(result.iter_fields()).collect::<Schema>())
}

/// The columns that rows of either side have, where they are joined by keys alone.
fn schema_of_keys(join: &Join, keys: &[PlSmallStr], result: &SchemaRef) -> SchemaRef {
    SchemaRef::new(key_fields(join, keys).chain(result.iter_fields()).collect::<Schema>())
}

fn key_fields(join: &Join, keys: &[PlSmallStr]) -> impl Iterator<Item = Field> {
    keys.iter().zip(&join.keys).map(|(key, dtype)| Field::new(key.clone(), dtype.clone()))
}

/// The rows of a side with its columns in the join.
fn columns_of_side(join: &Join, side: usize, keys: &[PlSmallStr], result: &SchemaRef) -> Vec<Expr> {
    let of = &join.sides[side];
    let time = of.time.iter().flat_map(|time| [lit(side == 1).alias(SIDE), col(time.clone()).alias(SIDE_TIME)]);
    let mut columns: Vec<Expr> = time.collect();
    let keyed = of.on.iter().zip(&join.keys).zip(keys);
    columns.extend(keyed.map(|((expr, dtype), key)| expr.clone().cast(dtype.clone()).alias(key.clone())));
    let dtype = |name: &PlSmallStr| result.get(name).cloned().unwrap_or(DataType::Null);
    for (number, side_of) in join.sides.iter().enumerate() {
        let own = number == side;
        let wanted = side_of.columns.iter().filter(|_| own || of.time.is_some());
        columns.extend(wanted.map(|(column, called)| {
            let value = if own { col(column.clone()) } else { lit(NULL).cast(dtype(called)) };
            value.alias(called.clone())
        }));
    }
    columns
}
