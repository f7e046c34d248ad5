//! A join of two streams within a bound of time. Both come as one stream of rows of the one side or the other; what the
//! columns are called is said here, and nowhere else.

use polars::prelude::*;

use crate::node::{Plan, Step};
use crate::times::Watermark;
use crate::window::parse_duration;
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

/// A join of the two sides.
#[derive(Clone, Debug)]
pub struct SideJoin {
    /// The columns of the left side.
    pub left: Vec<PlSmallStr>,
    /// The columns of the right side, by the names that they have in the result.
    pub right: Vec<PlSmallStr>,
    /// The columns that must be equal.
    pub keys: Vec<PlSmallStr>,
    /// In the time column's unit.
    pub bound: i64,
    /// In nanoseconds.
    pub bound_ns: i64,
    /// The columns of the result with the times of the two sides.
    pub times: Vec<PlSmallStr>,
    /// Whether rows of the left that nothing belongs to are in the result too.
    pub keeps_left: bool,
    words: String,
}

impl SideJoin {
    /// In words.
    #[must_use]
    pub fn explain(&self) -> &str {
        &self.words
    }
}

/// The two sides as rows of one schema, and what joins them. A watermark of the sides is not theirs any more: it is that of the
/// whole, with the longer delay.
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
    if !matches!(how, JoinType::Inner | JoinType::Left) {
        return refused(
            format!("a {how} join of two streams is not there yet"),
            "Use JoinType::Inner or Left; for a right join put the other frame in front.",
        );
    }
    if left_on.len() != right_on.len() || left_on.is_empty() {
        return refused(
            format!("{} columns are to be equal to {}", left_on.len(), right_on.len()),
            "Name the same number on both sides, one at the least.",
        );
    }
    let (left, left_mark) = without_watermark(operation, left)?;
    let (right, right_mark) = without_watermark(operation, right)?;
    let Some(delay_ms) = left_mark.iter().chain(&right_mark).map(|mark| mark.delay_ms).max() else {
        return refused(
            "without a watermark every row of both streams is kept for ever".to_owned(),
            "Say how late rows may come with with_watermark(\"event_time\", \"30s\"), before the join.",
        );
    };
    let bound = parse_duration(operation, &within.bound)?;
    let times = [left.time_column(operation, &col(&within.left))?, right.time_column(operation, &col(&within.right))?];
    let dtypes = [left.schema().get(&times[0]), right.schema().get(&times[1])];
    if let [Some(one), Some(other)] = dtypes
        && let Some(mixed) = zones::mixed_zones(one, other)
    {
        return refused(format!("the times are of two zones: {mixed}"), zones::ONE_ZONE);
    }
    zones::check_equal(operation, (left.schema(), left_on), (right.schema(), right_on))?;
    let (Some(DataType::Datetime(unit, _)), true) = (dtypes[0], dtypes[0] == dtypes[1]) else {
        return refused(format!("the times are {dtypes:?}"), "Give them one type with cast(…).");
    };
    let steps = match unit {
        TimeUnit::Nanoseconds => 1,
        TimeUnit::Microseconds => 1_000,
        TimeUnit::Milliseconds => 1_000_000,
    };
    let key = |n: usize| PlSmallStr::from_string(format!("__corriente_key_{n}"));
    let keys: Vec<PlSmallStr> = (0..left_on.len()).map(key).collect();
    let right_keys: Vec<&PlSmallStr> =
        right_on.iter().filter_map(|expr| if let Expr::Column(name) = expr { Some(name) } else { None }).collect();
    // As in Polars: the keys are there once, and other names that are there twice say where they come from.
    let kept: Vec<&PlSmallStr> = right.schema().iter_names().filter(|name| !right_keys.contains(name)).collect();
    let renamed = |name: &PlSmallStr| match left.schema().contains(name) {
        true => PlSmallStr::from_string(format!("{name}_right")),
        false => name.clone(),
    };
    let names: Vec<PlSmallStr> = kept.iter().map(|name| renamed(name)).collect();
    let missing = |plan: &Plan, name: &PlSmallStr, called: &PlSmallStr| {
        lit(NULL).cast(plan.schema().get(name).cloned().unwrap_or(DataType::Null)).alias(called.clone())
    };
    let head = |side: bool, time: &PlSmallStr, on: &[Expr]| {
        let mut columns = vec![lit(side).alias(SIDE), col(time.clone()).alias(SIDE_TIME)];
        columns.extend(on.iter().zip(&keys).map(|(expr, key)| expr.clone().alias(key.clone())));
        columns
    };
    let mut of_left = head(false, &times[0], left_on);
    of_left.extend(left.schema().iter_names().cloned().map(col));
    of_left.extend(kept.iter().zip(&names).map(|(name, called)| missing(&right, name, called)));
    let mut of_right = head(true, &times[1], right_on);
    of_right.extend(left.schema().iter_names().map(|name| missing(&left, name, name)));
    of_right.extend(kept.iter().zip(&names).map(|(name, called)| col((*name).clone()).alias(called.clone())));
    let join = SideJoin {
        left: left.schema().iter_names().cloned().collect(),
        right: names,
        keys,
        bound: bound.duration_ns() / steps,
        bound_ns: bound.duration_ns(),
        times: vec![times[0].clone(), renamed(&times[1])],
        keeps_left: *how == JoinType::Left,
        words: format!(
            "{} JOIN OF TWO STREAMS {left_on:?} = {right_on:?} WITHIN {} OF {:?}",
            how.to_string().to_uppercase(),
            within.bound,
            times
        ),
    };
    Ok(Sides { left: left.select(&of_left)?, right: right.select(&of_right)?, delay_ms, join })
}

/// What [`sides`] gives.
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

/// The frame without its watermark, and the watermark.
pub(crate) fn without_watermark(operation: &'static str, plan: &Plan) -> Result<(Plan, Option<Watermark>), PlanError> {
    let mut watermark = None;
    let mut bare = plan.root();
    for (step, schema) in plan.steps_with_schemas() {
        match step {
            Step::Watermark(found) => watermark = Some(found.clone()),
            step if step.has_state() => {
                return Err(PlanError::Refused {
                    operation,
                    detail: "a frame has a state already".to_owned(),
                    hint: "Join or unite the rows first, and say the rest of the result.",
                });
            }
            step => bare = bare.step(step.clone(), schema.clone()),
        }
    }
    Ok((bare, watermark))
}
