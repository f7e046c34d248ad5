//! A join of two streams as operations: the rows of both come as one stream, each with the side it is of, its time and its keys
//! beside its own columns, and nulls in those of the other side; an operator joins them. What the columns of ours are called is
//! said here, and nowhere else.

use std::collections::BTreeSet;

use plan::{Join, JoinKind, Step, Watermark, Words};
use polars::prelude::*;

use super::lower::{lower as lowered, union};
use super::{Operation, PhysicalPlan};

/// Which side a row is of: true on the right.
pub(crate) const SIDE: &str = "__corriente_side";
/// The time of a row, whichever side it is of.
pub(crate) const SIDE_TIME: &str = "__corriente_time";

/// A join of the two sides. Its result has the columns of the left first, then those of the right.
#[derive(Clone, Debug)]
pub(crate) struct SideJoin {
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

impl SideJoin {
    /// The join for who wants only the columns `after` of its result; of the left one is there at the least.
    pub(super) fn narrowed(&self, after: &BTreeSet<PlSmallStr>) -> SideJoin {
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

/// The operations of a join whose result has this schema.
pub(super) fn lower(join: &Join, result: &SchemaRef) -> PhysicalPlan {
    let keys: Vec<PlSmallStr> =
        (0..join.keys.len()).map(|n| PlSmallStr::from_string(format!("__corriente_key_{n}"))).collect();
    let schema = schema_of_sides(join, &keys, result);
    let side = |side: usize| {
        let select = Operation::Step(Step::Select(columns_of_side(join, side, &keys, result)));
        lowered(&join.sides[side].plan).without_watermark().with(select, schema.clone())
    };
    let mark = Step::Watermark(Watermark {
        column: SIDE_TIME.into(),
        delay: format!("{}ms", join.delay_ms.max(1)),
        delay_ms: join.delay_ms.max(1),
        by_clock: false,
        ahead_ms: join.ahead_ms,
    });
    let both = union(vec![side(0), side(1)]).with(Operation::Step(mark), schema.clone());
    if join.late {
        let columns = result.iter_names().cloned().map(col).collect();
        let late = both.with(Operation::LateSides(join.words()), schema);
        return late.with(Operation::Step(Step::Select(columns)), result.clone());
    }
    let called = |side: usize| join.sides[side].columns.iter().map(|(_, called)| called.clone()).collect();
    let sides = SideJoin {
        left: called(0),
        right: called(1),
        keys,
        behind: join.behind(),
        pairing: pairing(join),
        words: join.words(),
    };
    both.with(Operation::JoinSides(Box::new(sides)), result.clone())
}

fn pairing(join: &Join) -> Pairing {
    let bound = join.bound().map(|(steps, _)| steps);
    match &join.kind {
        JoinKind::Within { how, .. } => Pairing::Within { bound: bound.unwrap_or_default(), how: how.clone() },
        JoinKind::Asof(on) => {
            Pairing::Asof { strategy: on.direction(), tolerance: bound, exact: on.takes_exact_matches() }
        }
    }
}

/// The columns that rows of both sides have.
fn schema_of_sides(join: &Join, keys: &[PlSmallStr], result: &SchemaRef) -> SchemaRef {
    let [left, _] = &join.sides;
    let time = left.plan.schema().get(&left.time).cloned().unwrap_or(DataType::Null);
    let own = [Field::new(SIDE.into(), DataType::Boolean), Field::new(SIDE_TIME.into(), time)];
    let keys = keys.iter().zip(&join.keys).map(|(key, dtype)| Field::new(key.clone(), dtype.clone()));
    SchemaRef::new(own.into_iter().chain(keys).chain(result.iter_fields()).collect::<Schema>())
}

/// The rows of a side with these columns.
fn columns_of_side(join: &Join, side: usize, keys: &[PlSmallStr], result: &SchemaRef) -> Vec<Expr> {
    let of = &join.sides[side];
    let mut columns = vec![lit(side == 1).alias(SIDE), col(of.time.clone()).alias(SIDE_TIME)];
    let keyed = of.on.iter().zip(&join.keys).zip(keys);
    columns.extend(keyed.map(|((expr, dtype), key)| expr.clone().cast(dtype.clone()).alias(key.clone())));
    let dtype = |name: &PlSmallStr| result.get(name).cloned().unwrap_or(DataType::Null);
    for (number, side_of) in join.sides.iter().enumerate() {
        columns.extend(side_of.columns.iter().map(|(own, called)| {
            let value = if number == side { col(own.clone()) } else { lit(NULL).cast(dtype(called)) };
            value.alias(called.clone())
        }));
    }
    columns
}
