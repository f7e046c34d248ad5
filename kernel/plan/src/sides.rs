//! A join of two streams. Both come as one stream of rows of the one side or the other; what the columns are called is said
//! here, and nowhere else.

use std::collections::BTreeSet;

use polars::prelude::*;

use crate::asof::Asof;
use crate::expr::{check_row_wise, schema_after};
use crate::node::{Plan, Step};
use crate::times::Watermark;
use crate::window::fixed;
use crate::{PlanError, zones};

/// Which side a row is of: true on the right.
pub const SIDE: &str = "__corriente_side";
/// The time of a row, whichever side it is of.
pub const SIDE_TIME: &str = "__corriente_time";

/// How far apart in time two rows may be that belong together.
#[derive(Clone, Debug, PartialEq)]
pub struct Within {
    left: String,
    right: String,
    bound: String,
}

/// Rows belong together whose times are not further apart than `bound`: `within("event_time", "clicked_at", "5m")` names the time
/// of the left frame, that of the right one, and the bound, which both include.
#[must_use]
pub fn within(left: impl Into<String>, right: impl Into<String>, bound: impl Into<String>) -> Within {
    Within { left: left.into(), right: right.into(), bound: bound.into() }
}

/// A join of the two sides. Its result has the columns of the left first, then those of the right.
#[derive(Clone, Debug)]
pub struct SideJoin {
    /// The columns of the left side.
    pub left: Vec<PlSmallStr>,
    /// The columns of the right side, by the names that they have in the result.
    pub right: Vec<PlSmallStr>,
    /// The columns that must be equal.
    pub keys: Vec<PlSmallStr>,
    /// The columns of the result with times that the watermark says something of, and how far behind it these may be, in
    /// nanoseconds.
    pub behind: Vec<(PlSmallStr, i64)>,
    /// Which rows of equal keys belong together.
    pub pairing: Pairing,
    words: String,
}

/// Which rows of two streams belong together. Times are in the time column's unit.
#[derive(Clone, Debug, PartialEq)]
pub enum Pairing {
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

impl Plan {
    /// Joins the rows of the two sides that [`sides`](crate::sides) or [`asof_sides`](crate::asof_sides) made of two streams.
    ///
    /// # Errors
    /// Rows that are no sides.
    pub fn join_sides(&self, join: SideJoin) -> Result<Plan, PlanError> {
        let columns: Vec<Expr> = join.left.iter().chain(&join.right).cloned().map(col).collect();
        let schema = schema_after("join", self.schema(), &columns, |frame| frame.select(&columns))?;
        Ok(self.step(Step::JoinSides(Box::new(join)), schema))
    }
}

impl SideJoin {
    /// The join for who wants only the columns `after` of its result; of the left one is there at the least.
    pub(crate) fn narrowed(&self, after: &BTreeSet<PlSmallStr>) -> SideJoin {
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
    pub(crate) fn reads(&self) -> impl Iterator<Item = PlSmallStr> {
        let own = [SIDE, SIDE_TIME].map(PlSmallStr::from_static);
        own.into_iter().chain(self.keys.iter().chain(&self.left).chain(&self.right).cloned())
    }

    /// In words.
    #[must_use]
    pub fn explain(&self) -> &str {
        &self.words
    }
}

/// What [`sides`] and [`asof_sides`] give.
pub struct Sides {
    /// The rows of the left side.
    pub left: Plan,
    /// The rows of the right side, with the same columns.
    pub right: Plan,
    /// The delay of the watermark, in milliseconds.
    pub delay_ms: i64,
    /// What joins them.
    pub join: SideJoin,
}

/// The two sides of a join within a bound of time, as rows of one schema, and what joins them. A watermark of the sides is not
/// theirs any more: it is that of the whole, with the longer delay.
///
/// # Errors
/// An unknown column, times or keys of different types, another kind of join, no watermark, or a side that has a state.
pub fn sides(
    left: &Plan,
    right: &Plan,
    left_on: &[Expr],
    right_on: &[Expr],
    how: &JoinType,
    within: &Within,
) -> Result<Sides, PlanError> {
    let operation = "join_stream";
    let refused = |detail: String, hint| Err(PlanError::Refused { operation, detail, hint });
    if matches!(how, JoinType::Cross | JoinType::AsOf(_)) {
        return refused(
            format!("a {how} join is not one of equal keys within a bound of time"),
            "Use JoinType::Inner, Left, Right, Full, Semi or Anti, or join_asof(…).",
        );
    }
    if left_on.is_empty() {
        return refused("no columns are to be equal".to_owned(), "Name one at the least on both sides.");
    }
    let pair = Pair::new(operation, [left, right], [&within.left, &within.right])?;
    let (bound, bound_ns) = pair.steps(&within.bound)?;
    let on = [left_on, right_on];
    let result = pair.result(on, |left, right| left.join(right, left_on, right_on, JoinArgs::new(how.clone())))?;
    // As in Polars: keys that are plain columns are there once; a full join keeps both.
    let plain = |on: &[Expr]| on.iter().map(|expr| as_column(expr).cloned()).collect::<Option<Vec<_>>>();
    let (gone_left, gone_right) = match (how, plain(left_on), plain(right_on)) {
        (JoinType::Inner | JoinType::Left, Some(_), Some(keys)) => (Vec::new(), keys),
        (JoinType::Right, Some(keys), Some(_)) => (keys, Vec::new()),
        (JoinType::Semi | JoinType::Anti, _, _) => (Vec::new(), pair.names(1)),
        _ => (Vec::new(), Vec::new()),
    };
    let words = format!(
        "{how} JOIN OF TWO STREAMS {left_on:?} = {right_on:?} WITHIN {} OF {:?}",
        within.bound,
        [&within.left, &within.right]
    );
    let behind = [Some(bound_ns); 2];
    pair.sides(on, [gone_left, gone_right], &result, behind, Pairing::Within { bound, how: how.clone() }, words)
}

/// The two sides of an as-of join, likewise.
///
/// # Errors
/// As for [`sides`]; and a strategy that waits for what may never come.
pub fn asof_sides(
    left: &Plan,
    right: &Plan,
    by_left: &[Expr],
    by_right: &[Expr],
    on: &Asof,
) -> Result<Sides, PlanError> {
    let operation = "join_asof";
    let pair = Pair::new(operation, [left, right], [&on.left_on, &on.right_on])?;
    let (tolerance, length) = on.tolerance.as_ref().map(|tolerance| pair.steps(tolerance)).transpose()?.unzip();
    if on.strategy != AsofStrategy::Backward && tolerance.is_none() {
        return Err(PlanError::Refused {
            operation,
            detail: format!("with strategy {:?} a row may wait for ever for a later one", on.strategy),
            hint: "Say how long with .tolerance(\"5m\").",
        });
    }
    let by = [by_left, by_right];
    let how = on.how(operation, by_left, by_right)?;
    let result = pair.result(by, |left, right| on.join(left, right, &how))?;
    let mut gone = by_right.iter().filter_map(as_column).cloned().collect::<Vec<_>>();
    if on.left_on == on.right_on {
        gone.push(PlSmallStr::from_str(&on.right_on));
    }
    let words = format!("ASOF JOIN OF TWO STREAMS {by_left:?} = {by_right:?} {}", on.words());
    let pairing = Pairing::Asof { strategy: on.strategy, tolerance, exact: on.exact };
    let behind = match on.strategy {
        AsofStrategy::Backward => [Some(0), length],
        AsofStrategy::Forward => [length, length],
        AsofStrategy::Nearest => [length, length.map(|length| length.saturating_mul(2))],
    };
    pair.sides(by, [Vec::new(), gone], &result, behind, pairing, words)
}

/// The name, if an expression is a plain column.
pub(crate) fn as_column(expr: &Expr) -> Option<&PlSmallStr> {
    if let Expr::Column(name) = expr { Some(name) } else { None }
}

/// Two frames on their way to be one.
struct Pair {
    operation: &'static str,
    frames: [Plan; 2],
    times: [PlSmallStr; 2],
    unit: TimeUnit,
    delay_ms: i64,
}

impl Pair {
    fn new(operation: &'static str, frames: [&Plan; 2], times: [&str; 2]) -> Result<Pair, PlanError> {
        let refused = |detail: String, hint| Err(PlanError::Refused { operation, detail, hint });
        let (left, left_mark) = without_watermark(operation, frames[0])?;
        let (right, right_mark) = without_watermark(operation, frames[1])?;
        let Some(delay_ms) = left_mark.iter().chain(&right_mark).map(|mark| mark.delay_ms).max() else {
            return refused(
                "without a watermark every row of both streams is kept for ever".to_owned(),
                "Say how late rows may come with with_watermark(\"event_time\", \"30s\"), before the join.",
            );
        };
        let times = [left.time_column(operation, &col(times[0]))?, right.time_column(operation, &col(times[1]))?];
        let dtypes = [left.schema().get(&times[0]), right.schema().get(&times[1])];
        if let [Some(one), Some(other)] = dtypes
            && let Some(mixed) = zones::mixed_zones(one, other)
        {
            return refused(format!("the times are of two zones: {mixed}"), zones::ONE_ZONE);
        }
        let (Some(DataType::Datetime(unit, _)), true) = (dtypes[0], dtypes[0] == dtypes[1]) else {
            return refused(format!("the times are {dtypes:?}"), "Give them one type with cast(…).");
        };
        let unit = *unit;
        Ok(Pair { operation, frames: [left, right], times, unit, delay_ms })
    }

    fn names(&self, side: usize) -> Vec<PlSmallStr> {
        self.frames[side].schema().iter_names().cloned().collect()
    }

    /// A length of time in the time columns' unit, and in nanoseconds.
    fn steps(&self, text: &str) -> Result<(i64, i64), PlanError> {
        let length = fixed(self.operation, text)?;
        let steps = match self.unit {
            TimeUnit::Nanoseconds => length.duration_ns(),
            TimeUnit::Microseconds => length.duration_us(),
            TimeUnit::Milliseconds => length.duration_ms(),
        };
        Ok((steps, length.duration_ns()))
    }

    /// The columns of the join, as Polars itself has them.
    fn result(
        &self,
        on: [&[Expr]; 2],
        join: impl FnOnce(LazyFrame, LazyFrame) -> LazyFrame,
    ) -> Result<SchemaRef, PlanError> {
        let [left, right] = &self.frames;
        if on[0].len() != on[1].len() {
            return Err(PlanError::Refused {
                operation: self.operation,
                detail: format!("{} columns are to be equal to {}", on[0].len(), on[1].len()),
                hint: "Name the same number on both sides.",
            });
        }
        check_row_wise(self.operation, left.schema(), on[0])?;
        check_row_wise(self.operation, right.schema(), on[1])?;
        zones::check_equal(self.operation, (left.schema(), on[0]), (right.schema(), on[1]))?;
        let none = DataFrame::empty_with_schema(right.schema()).lazy();
        schema_after(self.operation, left.schema(), &[], |left| join(left, none))
    }

    /// The sides, less the columns of each that are `gone`; `result` has all others, those of the left first. `behind` says how
    /// far behind the watermark the times of each side may be in it.
    fn sides(
        self,
        on: [&[Expr]; 2],
        gone: [Vec<PlSmallStr>; 2],
        result: &SchemaRef,
        behind: [Option<i64>; 2],
        pairing: Pairing,
        words: String,
    ) -> Result<Sides, PlanError> {
        let kept = |side: usize| {
            let names = self.names(side).into_iter();
            names.filter(|name| !gone[side].contains(name)).collect::<Vec<_>>()
        };
        let (kept_left, kept_right) = (kept(0), kept(1));
        let mut called: Vec<PlSmallStr> = result.iter_names().cloned().collect();
        let right_names = called.split_off(kept_left.len().min(called.len()));
        let keys: Vec<PlSmallStr> =
            (0..on[0].len()).map(|n| PlSmallStr::from_string(format!("__corriente_key_{n}"))).collect();
        let dtypes = self.key_types(on)?;
        let null =
            |name: &PlSmallStr| lit(NULL).cast(result.get(name).cloned().unwrap_or(DataType::Null)).alias(name.clone());
        let head = |side: usize| {
            let mut columns = vec![lit(side == 1).alias(SIDE), col(self.times[side].clone()).alias(SIDE_TIME)];
            let keyed = on[side].iter().zip(&dtypes).zip(&keys);
            columns.extend(keyed.map(|((expr, dtype), key)| expr.clone().cast(dtype.clone()).alias(key.clone())));
            columns
        };
        let (mut of_left, mut of_right) = (head(0), head(1));
        of_left.extend(kept_left.iter().cloned().map(col).chain(right_names.iter().map(null)));
        of_right.extend(kept_left.iter().map(null));
        of_right
            .extend(kept_right.iter().zip(&right_names).map(|(name, called)| col(name.clone()).alias(called.clone())));
        let [left, right] = &self.frames;
        let (left, right) = (left.select(&of_left)?, right.select(&of_right)?);
        let time = |side: usize, kept: &[PlSmallStr], called: &[PlSmallStr]| {
            let name = kept.iter().position(|name| *name == self.times[side]).and_then(|at| called.get(at));
            name.cloned().zip(behind[side])
        };
        let behind = time(0, &kept_left, &kept_left).into_iter().chain(time(1, &kept_right, &right_names)).collect();
        let join = SideJoin { left: kept_left, right: right_names, keys, behind, pairing, words };
        Ok(Sides { left, right, delay_ms: self.delay_ms, join })
    }

    /// The types in which keys are compared: those that Polars gives a column of both.
    fn key_types(&self, on: [&[Expr]; 2]) -> Result<Vec<DataType>, PlanError> {
        let dtype = |side: usize, expr: &Expr| {
            let schema = self.frames[side].schema();
            let key = schema_after(self.operation, schema, &[], |frame| frame.select([expr.clone().alias("key")]))?;
            Ok(DataFrame::empty_with_schema(&key).lazy())
        };
        let both = |left: &Expr, right: &Expr| {
            let args = JoinArgs::new(JoinType::Full).with_coalesce(JoinCoalesce::CoalesceColumns);
            let both = dtype(0, left)?.join(dtype(1, right)?, [col("key")], [col("key")], args).collect();
            let refused =
                |error: PolarsError| PlanError::Polars { operation: self.operation, detail: error.to_string() };
            Ok(both.map_err(refused)?.schema().get("key").cloned().unwrap_or(DataType::Null))
        };
        on[0].iter().zip(on[1]).map(|(left, right)| both(left, right)).collect()
    }
}

/// The frame without its watermark, and the watermark.
pub(crate) fn without_watermark(operation: &'static str, plan: &Plan) -> Result<(Plan, Option<Watermark>), PlanError> {
    let refused = |detail: &str, hint| Err(PlanError::Refused { operation, detail: detail.to_owned(), hint });
    let mut watermark = None;
    let mut bare = plan.root();
    for (step, schema) in plan.steps_with_schemas() {
        match step {
            Step::Watermark(found) => watermark = Some(found.clone()),
            Step::Join(lookup) if lookup.refresh().is_some() => {
                return refused(
                    "a frame looks rows up in one that is read anew",
                    "Join or unite the streams first, and look the result's rows up.",
                );
            }
            step if step.has_state() => {
                return refused(
                    "a frame has a state already",
                    "Join or unite the rows first, and say the rest of the result.",
                );
            }
            step => bare = bare.step(step.clone(), schema.clone()),
        }
    }
    Ok((bare, watermark))
}
