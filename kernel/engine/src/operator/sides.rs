//! The join of two streams. Rows of both sides are kept as long as a row may come that belongs to them, which the watermark
//! says.

use plan::{SIDE, SIDE_TIME, SideJoin};
use polars::prelude::*;

use super::columns::{ROW, integers};
use super::{Executed, GROUPS, Kept, Operator, ROWS, Tables, never_changing};
use crate::change::Delta;
use crate::rows::append;

/// Whether something belonged to a row of the left.
const MATCHED: &str = "__corriente_matched";
/// The time of the right row of a pair.
const RIGHT_TIME: &str = "__corriente_right_time";

/// The rows that are kept.
pub(crate) struct Sides {
    join: SideJoin,
    left: DataFrame,
    right: DataFrame,
    next_id: u64,
}

impl Sides {
    /// `input` is the schema of the rows of both sides.
    pub(crate) fn new(join: &SideJoin, input: &SchemaRef) -> PolarsResult<Sides> {
        let mut sides = Sides { join: join.clone(), left: DataFrame::empty(), right: DataFrame::empty(), next_id: 0 };
        let (left, right) = sides.split(DataFrame::empty_with_schema(input))?;
        (sides.left, sides.right) = (left, right);
        Ok(sides)
    }
}

impl Operator for Sides {
    fn execute(&mut self, delta: Delta, watermark: Option<i64>) -> PolarsResult<Executed> {
        let rows = never_changing(delta)?;
        let times = integers(&rows, SIDE_TIME)?;
        let timeless = times.null_count();
        let is_late = |time: i64| watermark.is_some_and(|watermark| time <= watermark);
        let late = times.iter().flatten().filter(|time| is_late(*time)).count();
        let keep: BooleanChunked = times.iter().map(|time| Some(time.is_some_and(|time| !is_late(time)))).collect();
        let (left, right) = self.split(rows.filter(&keep)?)?;
        let pairs = self.pairs(&left, &right)?.vstack(&self.pairs(&left, &self.right)?)?;
        let pairs = pairs.vstack(&self.pairs(&self.left, &right)?)?;
        append(&mut self.left, &left)?;
        append(&mut self.right, &right)?;
        if self.join.keeps_left {
            self.mark(&pairs)?;
        }
        Ok(Executed { delta: Delta::Append(self.result(pairs)?), late, timeless })
    }

    fn close(&mut self, watermark: i64, _: bool) -> PolarsResult<Option<DataFrame>> {
        let open = |rows: &DataFrame| -> PolarsResult<BooleanChunked> {
            let bound = self.join.bound;
            Ok(integers(rows, SIDE_TIME)?.iter().map(|t| t.map(|t| t.saturating_add(bound) > watermark)).collect())
        };
        let (left, right) = (open(&self.left)?, open(&self.right)?);
        let gone = self.left.filter(&!&left)?;
        self.left = self.left.filter(&left)?;
        self.right = self.right.filter(&right)?;
        if !self.join.keeps_left {
            return Ok(None);
        }
        let matched = gone.column(MATCHED)?.bool()?.clone();
        let alone = gone.filter(&!&matched)?;
        if alone.height() == 0 {
            return Ok(None);
        }
        let missing = |name: &PlSmallStr| -> PolarsResult<Expr> {
            Ok(lit(NULL).cast(self.right.column(name)?.dtype().clone()).alias(name.clone()))
        };
        let mut columns: Vec<Expr> = self.join.left.iter().cloned().map(col).collect();
        for name in &self.join.right {
            columns.push(missing(name)?);
        }
        Ok(Some(alone.lazy().select(columns).collect()?))
    }

    fn due(&self, _: bool) -> Option<i64> {
        let times = integers(&self.left, SIDE_TIME).ok().filter(|_| self.join.keeps_left)?;
        let matched = self.left.column(MATCHED).ok()?.bool().ok()?;
        let alone = times.iter().zip(matched.iter()).filter(|(_, matched)| *matched == Some(false));
        alone.filter_map(|(time, _)| time).min().map(|time| time.saturating_add(self.join.bound))
    }

    fn save(&self) -> PolarsResult<Kept> {
        Ok(Kept::new(self.next_id, [(GROUPS, self.left.clone()), (ROWS, self.right.clone())]))
    }

    fn restore(&mut self, number: u64, tables: Tables<'_>) -> PolarsResult<()> {
        (self.next_id, self.left, self.right) = (number, tables(GROUPS)?, tables(ROWS)?);
        Ok(())
    }
}

impl Sides {
    /// The rows of each side, with what is noted of them.
    fn split(&mut self, rows: DataFrame) -> PolarsResult<(DataFrame, DataFrame)> {
        let first = self.next_id;
        self.next_id += rows.height() as u64;
        let ids: Vec<u64> = (first..self.next_id).collect();
        let mut rows = rows;
        rows.with_column(Column::from(Series::new(ROW.into(), ids)))?;
        let is_right = rows.column(SIDE)?.bool()?.clone();
        let common = || self.join.keys.iter().cloned().map(col).chain([col(SIDE_TIME)]);
        let left = common().chain(self.join.left.iter().cloned().map(col)).chain([col(ROW), lit(false).alias(MATCHED)]);
        let right = common().chain(self.join.right.iter().cloned().map(col));
        Ok((
            rows.filter(&!&is_right)?.lazy().select(left.collect::<Vec<_>>()).collect()?,
            rows.filter(&is_right)?.lazy().select(right.collect::<Vec<_>>()).collect()?,
        ))
    }

    /// The pairs of some rows of the left and some of the right.
    fn pairs(&self, left: &DataFrame, right: &DataFrame) -> PolarsResult<DataFrame> {
        let on: Vec<Expr> = self.join.keys.iter().cloned().map(col).collect();
        let right = right.clone().lazy().rename([SIDE_TIME], [RIGHT_TIME], true);
        let apart = col(SIDE_TIME).cast(DataType::Int64) - col(RIGHT_TIME).cast(DataType::Int64);
        let near = apart.clone().lt_eq(lit(self.join.bound)).and(apart.gt_eq(lit(-self.join.bound)));
        left.clone().lazy().join(right, on.clone(), on, JoinArgs::new(JoinType::Inner)).filter(near).collect()
    }

    /// Notes the rows of the left that something belongs to.
    fn mark(&mut self, pairs: &DataFrame) -> PolarsResult<()> {
        let matched: PlHashSet<u64> = pairs.column(ROW)?.u64()?.iter().flatten().collect();
        let ids = self.left.column(ROW)?.u64()?;
        let before = self.left.column(MATCHED)?.bool()?;
        let after: BooleanChunked = ids
            .iter()
            .zip(before.iter())
            .map(|(id, before)| Some(before == Some(true) || id.is_some_and(|id| matched.contains(&id))))
            .collect();
        self.left.with_column(Column::from(after.with_name(MATCHED.into()).into_series()))?;
        Ok(())
    }

    fn result(&self, pairs: DataFrame) -> PolarsResult<DataFrame> {
        pairs.select(self.join.left.iter().chain(&self.join.right).cloned())
    }
}
