//! A join of two streams: which rows belong together, and what the columns of the result are called. How rows wait for one
//! another is the engine's concern.

use polars::prelude::*;

use crate::asof::Asof;
use crate::expr::{check_row_wise, schema_after};
use crate::node::{Node, Plan, Step};
use crate::times::Watermark;
use crate::window::fixed;
use crate::words::Words;
use crate::{PlanError, zones};

/// How far apart in time two rows may be that belong together.
#[derive(Clone, Debug, PartialEq)]
pub struct Within {
    pub(crate) left: String,
    pub(crate) right: String,
    pub(crate) bound: String,
}

/// Rows belong together whose times are not further apart than `bound`: `within("event_time", "clicked_at", "5m")` names the time
/// of the left frame, that of the right one, and the bound, which both include.
#[must_use]
pub fn within(left: impl Into<String>, right: impl Into<String>, bound: impl Into<String>) -> Within {
    Within { left: left.into(), right: right.into(), bound: bound.into() }
}

/// A join of two streams. Its result has the columns of the left first, then those of the right.
#[derive(Clone, Debug)]
pub struct Join {
    /// The left and the right.
    pub sides: [Side; 2],
    /// Which rows of equal keys belong together.
    pub kind: JoinKind,
    /// The types in which keys are compared.
    pub keys: Vec<DataType>,
    /// The unit of both times.
    pub unit: TimeUnit,
    /// The longer delay of the two watermarks, in milliseconds: that of the whole.
    pub delay_ms: i64,
    /// How far ahead of the clock a time may be that moves the watermark of both, in milliseconds.
    pub ahead_ms: i64,
    /// Whether the result is not the pairs, but the rows that come too late to be in one.
    pub late: bool,
}

/// One of two streams that are joined.
#[derive(Clone, Debug)]
pub struct Side {
    /// The stream.
    pub plan: Plan,
    /// What must be equal to the other side's.
    pub on: Vec<Expr>,
    /// The column with the time.
    pub time: PlSmallStr,
    /// Its columns that are in the result, each with the name that it has there.
    pub columns: Vec<(PlSmallStr, PlSmallStr)>,
}

/// Which rows of two streams belong together.
#[derive(Clone, Debug, PartialEq)]
pub enum JoinKind {
    /// Those whose times are not further apart than a bound.
    Within {
        /// The times and the bound.
        within: Within,
        /// What becomes of rows that nothing belongs to, and of several that belong together.
        how: JoinType,
    },
    /// Each row of the left and the one of the right whose time is the nearest.
    Asof(Asof),
}

impl Plan {
    /// Joins the rows with those of another stream that come at about the same time. A watermark of the sides is not theirs any
    /// more: it is that of the whole, with the longer delay.
    ///
    /// # Errors
    /// An unknown column, times or keys of different types, another kind of join, no watermark, or a side that has a state.
    pub fn join_stream(
        &self,
        right: &Plan,
        left_on: &[Expr],
        right_on: &[Expr],
        how: &JoinType,
        within: &Within,
    ) -> Result<Plan, PlanError> {
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
        let pair = Pair::new(operation, [self, right], [left_on, right_on], [&within.left, &within.right])?;
        fixed(operation, &within.bound)?;
        let result = pair.result(|left, right| left.join(right, left_on, right_on, JoinArgs::new(how.clone())))?;
        // As in Polars: keys that are plain columns are there once; a full join keeps both.
        let plain = |on: &[Expr]| on.iter().map(|expr| as_column(expr).cloned()).collect::<Option<Vec<_>>>();
        let (gone_left, gone_right) = match (how, plain(left_on), plain(right_on)) {
            (JoinType::Inner | JoinType::Left, Some(_), Some(keys)) => (Vec::new(), keys),
            (JoinType::Right, Some(keys), Some(_)) => (keys, Vec::new()),
            (JoinType::Semi | JoinType::Anti, _, _) => (Vec::new(), pair.names(1)),
            _ => (Vec::new(), Vec::new()),
        };
        let kind = JoinKind::Within { within: within.clone(), how: how.clone() };
        pair.joined([gone_left, gone_right], result, kind)
    }

    /// Gives each row the one of another stream that is nearest in time, as Polars' `join_asof`.
    ///
    /// # Errors
    /// As for [`Plan::join_stream`]; and a strategy that waits for what may never come.
    pub fn join_stream_asof(
        &self,
        right: &Plan,
        by_left: &[Expr],
        by_right: &[Expr],
        on: &Asof,
    ) -> Result<Plan, PlanError> {
        let operation = "join_asof";
        let pair = Pair::new(operation, [self, right], [by_left, by_right], [&on.left_on, &on.right_on])?;
        on.tolerance.as_ref().map(|tolerance| fixed(operation, tolerance)).transpose()?;
        if on.strategy != AsofStrategy::Backward && on.tolerance.is_none() {
            return Err(PlanError::Refused {
                operation,
                detail: format!("with strategy {:?} a row may wait for ever for a later one", on.strategy),
                hint: "Say how long with .tolerance(\"5m\").",
            });
        }
        let how = on.how(operation, by_left, by_right)?;
        let result = pair.result(|left, right| on.join(left, right, &how))?;
        let mut gone = by_right.iter().filter_map(as_column).cloned().collect::<Vec<_>>();
        if on.left_on == on.right_on {
            gone.push(PlSmallStr::from_str(&on.right_on));
        }
        pair.joined([Vec::new(), gone], result, JoinKind::Asof(on.clone()))
    }
}

impl Join {
    /// The bound or the tolerance, if there is one, in the unit of the times and in nanoseconds.
    #[must_use]
    pub fn bound(&self) -> Option<(i64, i64)> {
        let (operation, text) = match &self.kind {
            JoinKind::Within { within, .. } => ("join_stream", &within.bound),
            JoinKind::Asof(on) => ("join_asof", on.tolerance.as_ref()?),
        };
        // It was read before, when the join was said.
        let length = fixed(operation, text).ok()?;
        let steps = match self.unit {
            TimeUnit::Nanoseconds => length.duration_ns(),
            TimeUnit::Microseconds => length.duration_us(),
            TimeUnit::Milliseconds => length.duration_ms(),
        };
        Some((steps, length.duration_ns()))
    }

    /// The columns of the result with times that the watermark says something of, and how far behind it these may be, in
    /// nanoseconds.
    #[must_use]
    pub fn behind(&self) -> Vec<(PlSmallStr, i64)> {
        let length = self.bound().map(|(_, length)| length);
        let behind = match &self.kind {
            JoinKind::Within { .. } => [length; 2],
            JoinKind::Asof(on) => match on.strategy {
                AsofStrategy::Backward => [Some(0), length],
                AsofStrategy::Forward => [length, length],
                AsofStrategy::Nearest => [length, length.map(|length| length.saturating_mul(2))],
            },
        };
        let times = self.sides.iter().zip(behind).filter_map(|(side, behind)| {
            let (_, called) = side.columns.iter().find(|(own, _)| *own == side.time)?;
            Some((called.clone(), behind?))
        });
        times.collect()
    }

    /// In words.
    #[must_use]
    pub fn words(&self) -> Words {
        let (kind, near) = match &self.kind {
            JoinKind::Within { within: Within { left, right, bound }, how } => {
                (how.to_string(), format!("WITHIN {bound} OF {:?}", [left, right]))
            }
            JoinKind::Asof(on) => ("ASOF".to_owned(), on.words()),
        };
        let late = if self.late { "LATE ROWS OF " } else { "" };
        let equal = format!("{:?} = {:?}", self.sides[0].on, self.sides[1].on);
        Words::new(format!("{late}{kind} JOIN OF TWO STREAMS"), [equal, near])
    }
}

/// The name, if an expression is a plain column.
pub(crate) fn as_column(expr: &Expr) -> Option<&PlSmallStr> {
    if let Expr::Column(name) = expr { Some(name) } else { None }
}

/// Two frames on their way to be one.
struct Pair<'a> {
    operation: &'static str,
    frames: [&'a Plan; 2],
    on: [&'a [Expr]; 2],
    times: [PlSmallStr; 2],
    unit: TimeUnit,
    delay_ms: i64,
    ahead_ms: i64,
}

impl<'a> Pair<'a> {
    fn new(
        operation: &'static str,
        frames: [&'a Plan; 2],
        on: [&'a [Expr]; 2],
        times: [&str; 2],
    ) -> Result<Pair<'a>, PlanError> {
        let refused = |detail: String, hint| Err(PlanError::Refused { operation, detail, hint });
        let (_, left_mark) = without_watermark(operation, frames[0])?;
        let (_, right_mark) = without_watermark(operation, frames[1])?;
        let Some(delay_ms) = left_mark.iter().chain(&right_mark).map(|mark| mark.delay_ms).max() else {
            return refused(
                "without a watermark every row of both streams is kept for ever".to_owned(),
                "Say how late rows may come with with_watermark(\"event_time\", \"30s\"), before the join.",
            );
        };
        let [left, right] = frames;
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
        let ahead_ms = left_mark.iter().chain(&right_mark).map(|mark| mark.ahead_ms).min().unwrap_or(i64::MAX);
        Ok(Pair { operation, frames, on, times, unit, delay_ms, ahead_ms })
    }

    fn names(&self, side: usize) -> Vec<PlSmallStr> {
        self.frames[side].schema().iter_names().cloned().collect()
    }

    /// The columns of the join, as Polars itself has them.
    fn result(&self, join: impl FnOnce(LazyFrame, LazyFrame) -> LazyFrame) -> Result<SchemaRef, PlanError> {
        let ([left, right], on) = (self.frames, self.on);
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

    /// The join, less the columns of each side that are `gone`; `result` has all others, those of the left first.
    fn joined(self, gone: [Vec<PlSmallStr>; 2], result: SchemaRef, kind: JoinKind) -> Result<Plan, PlanError> {
        let keys = self.key_types()?;
        let names: Vec<PlSmallStr> = result.iter_names().cloned().collect();
        let mut called = names.into_iter();
        let mut side = |side: usize| {
            let kept = self.names(side).into_iter().filter(|name| !gone[side].contains(name));
            let columns: Vec<(PlSmallStr, PlSmallStr)> = kept.zip(called.by_ref()).collect();
            let (plan, on, time) = (self.frames[side].clone(), self.on[side].to_vec(), self.times[side].clone());
            Side { plan, on, time, columns }
        };
        let sides = [side(0), side(1)];
        let join =
            Join { sides, kind, keys, unit: self.unit, delay_ms: self.delay_ms, ahead_ms: self.ahead_ms, late: false };
        Ok(Plan::of(Node::Join(Box::new(join)), result))
    }

    /// The types in which keys are compared: those that Polars gives a column of both.
    fn key_types(&self) -> Result<Vec<DataType>, PlanError> {
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
        self.on[0].iter().zip(self.on[1]).map(|(left, right)| both(left, right)).collect()
    }
}

/// The frame without its watermark, and the watermark. It must have no state.
pub(crate) fn without_watermark(operation: &'static str, plan: &Plan) -> Result<(Plan, Option<Watermark>), PlanError> {
    let refused = |detail: &str, hint| Err(PlanError::Refused { operation, detail: detail.to_owned(), hint });
    let has_state = "a frame has a state already";
    let before = "Join or unite the rows first, and say the rest of the result.";
    let mut watermark = None;
    let mut bare = plan.root();
    if let Node::Join(_) = bare.node() {
        return refused(has_state, before);
    }
    for (step, schema) in plan.steps_with_schemas() {
        match step {
            Step::Watermark(found) => watermark = Some(found.clone()),
            Step::Join(lookup) if lookup.refresh().is_some() => {
                return refused(
                    "a frame looks rows up in one that is read anew",
                    "Join or unite the streams first, and look the result's rows up.",
                );
            }
            step if step.has_state() => return refused(has_state, before),
            step => bare = bare.step(step.clone(), schema.clone()),
        }
    }
    Ok((bare, watermark))
}
