//! A join of two streams: which rows belong together, and what the columns of the result are called. How rows wait for one
//! another is the engine's concern. Either stream may itself be a join, so three and more are joined one after the other.

use polars::prelude::*;

use crate::asof::{Asof, AsofStrategy};
use crate::expr::{check_row_wise, columns_of, schema_after};
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
    /// The column with the time that rows are joined by, where they are.
    pub time: Option<PlSmallStr>,
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
    /// All of them, whatever their times. A pair changes, and leaves, with the rows that it is made of.
    Equal(JoinType),
}

impl Plan {
    /// Joins the rows with those of another stream that come at about the same time. The watermark of the whole is the lower one
    /// of the sides; a side that has none on its time gets one, with the longer delay of the two.
    ///
    /// # Errors
    /// An unknown column, times or keys of different types, another kind of join, no watermark, or a side whose rows change.
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
        if matches!(how, JoinType::Cross) {
            return refused(
                format!("a {how} join is not one of equal keys within a bound of time"),
                "Use JoinType::Inner, Left, Right, Full, Semi or Anti, or join_asof(…).",
            );
        }
        if left_on.is_empty() {
            return refused("no columns are to be equal".to_owned(), "Name one at the least on both sides.");
        }
        let pair = JoinBuilder::by_time(operation, [self, right], [left_on, right_on], [&within.left, &within.right])?;
        fixed(operation, &within.bound)?;
        pair.equal(how, JoinKind::Within { within: within.clone(), how: how.clone() })
    }

    /// Joins rows that change with those of another stream, whatever their times, as Flink's regular join: the result has each
    /// pair as long as both of its rows are in their frames. Both sides are kept; where a key is a time that the watermark of each
    /// holds for, until it has passed them.
    ///
    /// # Errors
    /// An unknown column, keys of different types, another kind of join, or two streams whose rows never change.
    pub fn join_changing(
        &self,
        right: &Plan,
        left_on: &[Expr],
        right_on: &[Expr],
        how: &JoinType,
    ) -> Result<Plan, PlanError> {
        let operation = "join";
        let refused = |detail: String, hint| Err(PlanError::Refused { operation, detail, hint });
        if matches!(how, JoinType::Cross) {
            return refused(
                format!("a {how} join of two streams is not one of equal keys"),
                "Use JoinType::Inner, Left, Right, Full, Semi or Anti, or join_asof(…).",
            );
        }
        if left_on.is_empty() {
            return refused("no columns are to be equal".to_owned(), "Name one at the least on both sides.");
        }
        let reads_none = |on: &&Expr| columns_of([*on]).is_some_and(|columns| columns.is_empty());
        if let Some(constant) = left_on.iter().chain(right_on).find(reads_none) {
            return refused(format!("`{constant:?}` reads no column"), "Name a column on both sides.");
        }
        if self.appends() && right.appends() {
            return refused(
                "every row of both streams would be kept for ever".to_owned(),
                "Say how far apart in time rows may be with join_stream(…, within(\"event_time\", \"event_time\", \"5m\")), or aggregate one of them first.",
            );
        }
        let frames = [self, right].map(Clone::clone);
        let pair = JoinBuilder { operation, frames, on: [left_on, right_on], times: [None, None] };
        pair.equal(how, JoinKind::Equal(how.clone()))
    }

    /// A join of this kind, or the rows that come too late for it.
    pub(crate) fn join_as(
        &self,
        right: &Plan,
        [left_on, right_on]: [&[Expr]; 2],
        kind: &JoinKind,
        late: bool,
    ) -> Result<Plan, PlanError> {
        let joined = match kind {
            JoinKind::Within { within, how } => self.join_stream(right, left_on, right_on, how, within),
            JoinKind::Asof(on) => self.join_stream_asof(right, left_on, right_on, on),
            JoinKind::Equal(how) => self.join_changing(right, left_on, right_on, how),
        }?;
        if late { joined.late_rows() } else { Ok(joined) }
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
        let pair = JoinBuilder::by_time(operation, [self, right], [by_left, by_right], [&on.left_on, &on.right_on])?;
        on.tolerance.as_ref().map(|tolerance| fixed(operation, tolerance)).transpose()?;
        if on.strategy != AsofStrategy::Backward && on.tolerance.is_none() {
            return Err(PlanError::Refused {
                operation,
                detail: format!("with strategy {:?} a row may wait for ever for a later one", on.strategy),
                hint: "Say how long with .tolerance(\"5m\").",
            });
        }
        let [left, right] = pair.frames.each_ref().map(Plan::schema);
        on.check(operation, [left, right], [by_left, by_right])?;
        let result = schema_after(operation, left, &[], |rows| on.columns(rows, right, by_right))?;
        let found = on.found(right, by_right);
        let gone = right.iter_names().filter(|name| !found.contains(name)).cloned().collect();
        pair.joined([Vec::new(), gone], result, JoinKind::Asof(on.clone()))
    }
}

impl Join {
    /// Whether rows of the result never change once they are there.
    #[must_use]
    pub fn appends(&self) -> bool {
        self.late || !matches!(self.kind, JoinKind::Equal(_))
    }

    /// The unit of both times, where rows are joined by them.
    #[must_use]
    pub fn unit(&self) -> Option<TimeUnit> {
        let side = &self.sides[0];
        match side.plan.schema().get(side.time.as_ref()?) {
            Some(DataType::Datetime(unit, _)) => Some(*unit),
            _ => None,
        }
    }

    /// The bound or the tolerance, if there is one, in the unit of the times and in nanoseconds.
    #[must_use]
    pub fn bound(&self) -> Option<(i64, i64)> {
        let (operation, text) = match &self.kind {
            JoinKind::Within { within, .. } => ("join_stream", &within.bound),
            JoinKind::Asof(on) => ("join_asof", on.tolerance.as_ref()?),
            JoinKind::Equal(_) => return None,
        };
        // It was read before, when the join was said.
        let length = fixed(operation, text).ok()?;
        let steps = steps(length, self.unit()?);
        Some((steps, length.duration_ns()))
    }

    /// The key that is a time of which the watermark says something on both sides, by its number; and how far behind it, in
    /// nanoseconds, rows of either side may be that still come or change.
    #[must_use]
    pub fn time_key(&self) -> Option<(usize, i64)> {
        let [left, right] = &self.sides;
        let times = [left.plan.times(), right.plan.times()];
        let keys = left.on.iter().zip(&right.on).enumerate();
        let behind = keys.filter_map(|(number, (left_on, right_on))| {
            let (one, other) = (as_column(left_on)?, as_column(right_on)?);
            let is_same = left.plan.schema().get(one) == right.plan.schema().get(other);
            let behind = times[0].behind(one)?.max(times[1].behind(other)?);
            is_same.then_some((number, behind))
        });
        behind.min_by_key(|(_, behind)| *behind)
    }

    /// The columns of the result with times that the watermark says something of, and how far behind it these may be, in
    /// nanoseconds.
    #[must_use]
    pub fn behind(&self) -> Vec<(PlSmallStr, i64)> {
        let length = self.bound().map(|(_, length)| length);
        let (names, waits) = match &self.kind {
            JoinKind::Equal(_) => {
                let Some((key, behind)) = self.time_key() else { return Vec::new() };
                let names = self.sides.each_ref().map(|side| side.on.get(key).and_then(as_column));
                return self.called(names, [Some(behind); 2]);
            }
            JoinKind::Within { .. } => (self.times(), [length; 2]),
            JoinKind::Asof(on) => (
                self.times(),
                match on.strategy {
                    AsofStrategy::Backward => [Some(0), length],
                    AsofStrategy::Forward => [length, length],
                    AsofStrategy::Nearest => [length, length.map(|length| length.saturating_mul(2))],
                },
            ),
        };
        // Rows of a side may come behind the watermark themselves, and the others wait for them.
        let slack = self.sides.iter().map(|side| side.plan.times().behind(side.time.as_ref()?));
        let slack = slack.max().flatten().unwrap_or(0);
        self.called(names, waits.map(|wait| Some(wait?.saturating_add(slack))))
    }

    fn times(&self) -> [Option<&PlSmallStr>; 2] {
        self.sides.each_ref().map(|side| side.time.as_ref())
    }

    /// Columns of the sides by the names that they have in the result, if they are in it.
    fn called(&self, names: [Option<&PlSmallStr>; 2], behind: [Option<i64>; 2]) -> Vec<(PlSmallStr, i64)> {
        let of = self.sides.iter().zip(names).zip(behind).filter_map(|((side, name), behind)| {
            let (_, called) = side.columns.iter().find(|(own, _)| Some(own) == name)?;
            Some((called.clone(), behind?))
        });
        of.collect()
    }

    /// In words.
    #[must_use]
    pub fn words(&self) -> Words {
        let (kind, near) = match &self.kind {
            JoinKind::Within { within: Within { left, right, bound }, how } => {
                (how.to_string(), format!("WITHIN {bound} OF {:?}", [left, right]))
            }
            JoinKind::Asof(on) => ("ASOF".to_owned(), on.words()),
            JoinKind::Equal(how) => (how.to_string(), "OF ROWS THAT CHANGE".to_owned()),
        };
        let late = if self.late { "LATE ROWS OF " } else { "" };
        let equal = format!("{:?} = {:?}", self.sides[0].on, self.sides[1].on);
        Words::new(format!("{late}{kind} JOIN OF TWO STREAMS"), [equal, near])
    }
}

/// A length of time in a unit.
pub(crate) fn steps(length: Duration, unit: TimeUnit) -> i64 {
    match unit {
        TimeUnit::Nanoseconds => length.duration_ns(),
        TimeUnit::Microseconds => length.duration_us(),
        TimeUnit::Milliseconds => length.duration_ms(),
    }
}

/// Refuses expressions of two sides that rows cannot be matched by, each of the left with that of the right.
pub(crate) fn check_pairs(
    operation: &'static str,
    [left, right]: [&SchemaRef; 2],
    on: [&[Expr]; 2],
) -> Result<(), PlanError> {
    if on[0].len() != on[1].len() {
        return Err(PlanError::Refused {
            operation,
            detail: format!("{} columns are to be equal to {}", on[0].len(), on[1].len()),
            hint: "Name the same number on both sides.",
        });
    }
    check_row_wise(operation, left, on[0])?;
    check_row_wise(operation, right, on[1])?;
    zones::check_equal(operation, (left, on[0]), (right, on[1]))
}

/// The name, if an expression is a plain column.
pub(crate) fn as_column(expr: &Expr) -> Option<&PlSmallStr> {
    if let Expr::Column(name) = expr { Some(name) } else { None }
}

/// Two frames on their way to be one.
struct JoinBuilder<'a> {
    operation: &'static str,
    frames: [Plan; 2],
    on: [&'a [Expr]; 2],
    times: [Option<PlSmallStr>; 2],
}

impl<'a> JoinBuilder<'a> {
    /// Two frames that are joined by these times, which the watermark holds for.
    fn by_time(
        operation: &'static str,
        frames: [&Plan; 2],
        on: [&'a [Expr]; 2],
        times: [&str; 2],
    ) -> Result<JoinBuilder<'a>, PlanError> {
        let refused = |detail: String, hint| Err(PlanError::Refused { operation, detail, hint });
        for frame in frames {
            frame.only_appended(
                operation,
                "Join it with join(…), which goes with rows that change, or join the rows first.",
            )?;
        }
        let [left, right] = frames;
        let times = [left.time_column(operation, &col(times[0]))?, right.time_column(operation, &col(times[1]))?];
        let dtypes = [left.schema().get(&times[0]), right.schema().get(&times[1])];
        if let [Some(one), Some(other)] = dtypes
            && let Some(mixed) = zones::mixed_zones(one, other)
        {
            return refused(format!("the times are of two zones: {mixed}"), zones::ONE_ZONE);
        }
        if !matches!(dtypes[0], Some(DataType::Datetime(..))) || dtypes[0] != dtypes[1] {
            return refused(format!("the times are {dtypes:?}"), "Give them one type with cast(…).");
        }
        let marks: Vec<&Watermark> = left.watermarks().into_iter().chain(right.watermarks()).collect();
        let Some(longest) = marks.iter().max_by_key(|mark| mark.delay_ms) else {
            return refused(
                "without a watermark every row of both streams is kept for ever".to_owned(),
                "Say how late rows may come with with_watermark(\"event_time\", \"30s\"), before the join.",
            );
        };
        let ahead_ms = marks.iter().map(|mark| mark.ahead_ms).min().unwrap_or(longest.ahead_ms);
        let marked = |frame: &Plan, time: &PlSmallStr| {
            if frame.times().behind(time).is_some() {
                return Ok(frame.clone());
            }
            let (bare, own) = without_watermark(operation, frame)?;
            let watermark = Watermark {
                column: time.clone(),
                ahead_ms,
                by_clock: false,
                // A delay of none is for times of processing.
                delay_ms: own.as_ref().unwrap_or(longest).delay_ms.max(1),
                ..own.unwrap_or_else(|| Watermark::clone(longest))
            };
            Ok(bare.step(Step::Watermark(watermark), frame.schema().clone()))
        };
        let frames = [marked(left, &times[0])?, marked(right, &times[1])?];
        Ok(JoinBuilder { operation, frames, on, times: times.map(Some) })
    }

    /// The join of rows with equal keys. As in Polars, keys that are plain columns are there once; a full join keeps both.
    fn equal(self, how: &JoinType, kind: JoinKind) -> Result<Plan, PlanError> {
        let [left_on, right_on] = self.on;
        let result = self.result(|left, right| left.join(right, left_on, right_on, JoinArgs::new(how.clone())))?;
        let plain = |on: &[Expr]| on.iter().map(|expr| as_column(expr).cloned()).collect::<Option<Vec<_>>>();
        let gone = match (how, plain(left_on), plain(right_on)) {
            (JoinType::Inner | JoinType::Left, Some(_), Some(keys)) => [Vec::new(), keys],
            (JoinType::Right, Some(keys), Some(_)) => [keys, Vec::new()],
            (JoinType::Semi | JoinType::Anti, _, _) => [Vec::new(), self.names(1)],
            _ => [Vec::new(), Vec::new()],
        };
        self.joined(gone, result, kind)
    }

    fn names(&self, side: usize) -> Vec<PlSmallStr> {
        self.frames[side].schema().iter_names().cloned().collect()
    }

    /// The columns of the join, as Polars itself has them.
    fn result(&self, join: impl FnOnce(LazyFrame, LazyFrame) -> LazyFrame) -> Result<SchemaRef, PlanError> {
        let ([left, right], on) = (&self.frames, self.on);
        check_pairs(self.operation, [left.schema(), right.schema()], on)?;
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
        let join = Join { sides, kind, keys, late: false };
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
