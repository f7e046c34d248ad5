//! JOIN of a stream with a frame that stands still, or with another stream where the rows of one of them change. SQL keeps the columns of both sides and tells those of one name apart by the
//! right table's; the frame is at hand, so its columns are named so before the rows are looked up in it.

use polars::prelude::*;
use polars_plan::utils::expr_to_leaf_column_names;

use super::functions::{Functions, without_alias};
use super::stream::Stream;
use super::walk::Walked;
use super::{polars_says, refused};
use crate::PlanError;

/// What a join says.
pub(super) struct On<'a> {
    pub(super) left: &'a [Expr],
    pub(super) right: &'a [Expr],
    /// Conditions beside equal columns, on the columns of the result.
    pub(super) predicates: &'a [Expr],
    pub(super) args: &'a JoinArgs,
}

pub(super) fn join(functions: &Functions, left: Walked, right: Walked, on: &On<'_>) -> Result<Stream, PlanError> {
    match (left, right) {
        (Walked::Stream(stream), Walked::Still(frame)) => {
            with_frame(functions, stream.settled()?, &frame.collect().map_err(polars_says)?, on)
        }
        (Walked::Still(frame), Walked::Stream(stream)) if on.args.how == JoinType::Inner => {
            with_stream(functions, &frame.collect().map_err(polars_says)?, stream.settled()?, on)
        }
        (Walked::Still(_), Walked::Stream(_)) => refused(
            format!(
                "a {} JOIN gives rows of the frame on its left that no row of the stream has met",
                on.args.how.to_string().to_uppercase()
            ),
            "Name the stream first, after FROM, and the frame after JOIN; or write an INNER JOIN.",
        ),
        (Walked::Stream(left), Walked::Stream(right)) if !left.plan.appends() || !right.plan.appends() => {
            of_changing(functions, left.settled()?, right.settled()?, on)
        }
        _ => refused(
            "JOIN of two streams has no bound of time, so every row of both would be kept for ever",
            "Join them with join_stream(&other, …, within(\"event_time\", \"event_time\", \"5m\")), register the result, and query that.",
        ),
    }
}

/// What the rows of both sides must have equal, and what else must be true of them.
struct Conditions {
    on_left: Vec<Expr>,
    on_right: Vec<Expr>,
    conditions: Vec<Expr>,
}

impl Conditions {
    /// `on_right` are the right's keys as it has them, and `renamed` says what its columns are called in the result.
    fn of(
        functions: &Functions,
        left: &Stream,
        mut on_right: Vec<Expr>,
        right: &SchemaRef,
        renamed: &impl Fn(&PlSmallStr) -> PlSmallStr,
        on: &On<'_>,
    ) -> Result<Conditions, PlanError> {
        let mut on_left: Vec<Expr> = on.left.iter().map(|expr| left.resolved(without_alias(expr))).collect();
        let mut conditions = Vec::new();
        for predicate in on.predicates {
            match equal_columns(predicate, left.plan.schema(), right, renamed) {
                Some((left, right)) => {
                    on_left.push(left);
                    on_right.push(right);
                }
                None => conditions.push(functions.said(predicate.clone())?),
            }
        }
        if on_left.is_empty() || (!conditions.is_empty() && on.args.how != JoinType::Inner) {
            return refused(
                format!("a {} JOIN looks rows up by columns that are equal", on.args.how.to_string().to_uppercase()),
                "Write ON stream.id = other.id, and further conditions after WHERE.",
            );
        }
        Ok(Conditions { on_left, on_right, conditions })
    }
}

/// The rows of one of the two streams change.
fn of_changing(functions: &Functions, left: Stream, right: Stream, on: &On<'_>) -> Result<Stream, PlanError> {
    let how = &on.args.how;
    let schema = left.plan.schema().clone();
    let suffix = on.args.suffix.as_deref().unwrap_or("_right");
    let renamed = |name: &PlSmallStr| match schema.contains(name) {
        true => PlSmallStr::from_string(format!("{name}{suffix}")),
        false => name.clone(),
    };
    if on.args.nulls_equal {
        return refused(
            "INTERSECT and EXCEPT take nulls as equal, which a join of streams does not",
            "Write WHERE … IN (SELECT …), or NOT IN.",
        );
    }
    let on_right = on.right.iter().map(|expr| right.resolved(without_alias(expr))).collect();
    let Conditions { on_left, on_right, conditions } =
        Conditions::of(functions, &left, on_right, right.plan.schema(), &renamed, on)?;
    if matches!(how, JoinType::Semi | JoinType::Anti) {
        return left.said(|plan| plan.join_changing(&right.plan, &on_left, &on_right, how));
    }
    if on.args.should_coalesce() {
        if !matches!(how, JoinType::Inner | JoinType::Left) {
            return refused(
                format!("a {how} JOIN of two streams keeps the keys of both sides"),
                "Write ON a.id = b.id in the place of USING, and COALESCE(a.id, b.id).",
            );
        }
        return left.said(|plan| plan.join_changing(&right.plan, &on_left, &on_right, how));
    }
    // Keys stand beside the columns of both sides, all of which the result keeps.
    let beside = |exprs: Vec<Expr>, side: &str| -> Vec<Expr> {
        exprs.into_iter().enumerate().map(|(n, expr)| expr.alias(format!("{side} {n}"))).collect()
    };
    let names = |side: &str| -> Vec<Expr> { (0..on_left.len()).map(|n| col(format!("{side} {n}"))).collect() };
    let [left_keys, right_keys] = [names("of"), names("on")];
    let columns = right.plan.schema().iter_names().map(|name| col(name.clone()).alias(renamed(name)));
    let of_right: Vec<PlSmallStr> = right.plan.schema().iter_names().map(renamed).collect();
    let right = right.plan.select(&columns.chain(beside(on_right, "on")).collect::<Vec<_>>())?;
    let all: Vec<Expr> = schema.iter_names().cloned().chain(of_right).map(col).collect();
    left.said(|plan| {
        let keyed = plan.with_columns(&beside(on_left, "of"))?;
        let mut plan = keyed.join_changing(&right, &left_keys, &right_keys, how)?;
        for condition in conditions {
            plan = plan.filter(condition)?;
        }
        plan.select(&all)
    })
}

/// The stream is on the left.
fn with_frame(functions: &Functions, stream: Stream, right: &DataFrame, on: &On<'_>) -> Result<Stream, PlanError> {
    let how = &on.args.how;
    let schema = stream.plan.schema().clone();
    let renamed = |name: &PlSmallStr| match schema.contains(name) {
        true => PlSmallStr::from_string(format!("{name}{}", on.args.suffix.as_deref().unwrap_or("_right"))),
        false => name.clone(),
    };
    if *how == JoinType::Cross {
        return beside(stream, right, renamed);
    }
    if on.args.nulls_equal {
        return refused(
            "INTERSECT and EXCEPT take nulls as equal, which a look-up does not",
            "Write WHERE … IN (SELECT …), or NOT IN, over the frame.",
        );
    }
    let on_right = on.right.iter().map(|expr| without_alias(expr).clone()).collect();
    let Conditions { on_left, on_right, conditions } =
        Conditions::of(functions, &stream, on_right, right.schema(), &renamed, on)?;
    // Of a look-up that only asks whether there is a row, and of one that keeps the keys once, the columns are called as they are.
    if matches!(how, JoinType::Semi | JoinType::Anti) || on.args.should_coalesce() {
        return stream.said(|plan| plan.join(right.clone(), &on_left, &on_right, how));
    }
    let (right, keys) = with_keys(right, &on_right, renamed)?;
    stream.said(|plan| {
        let mut plan = plan.join(right, &on_left, &keys, how)?;
        for condition in conditions {
            plan = plan.filter(condition)?;
        }
        Ok(plan)
    })
}

/// The frame is on the left of an inner join: its columns come first, and it is the stream's that are renamed.
fn with_stream(functions: &Functions, left: &DataFrame, mut stream: Stream, on: &On<'_>) -> Result<Stream, PlanError> {
    let suffix = on.args.suffix.as_deref().unwrap_or("_right");
    let schema = stream.plan.schema().clone();
    let twice: Vec<PlSmallStr> = schema.iter_names().filter(|name| left.schema().contains(name)).cloned().collect();
    let called: Vec<String> = twice.iter().map(|name| format!("{name}{suffix}")).collect();
    let renamed = |expr: &Expr| {
        expr.clone().map_expr(|part| match &part {
            Expr::Column(name) if twice.contains(name) => col(format!("{name}{suffix}")),
            _ => part,
        })
    };
    if on.args.should_coalesce() {
        return refused(
            "a NATURAL JOIN keeps the columns of the frame on its left",
            "Name the stream first, after FROM.",
        );
    }
    let swapped_left: Vec<Expr> = on.right.iter().map(|expr| renamed(&stream.resolved(expr))).collect();
    let swapped = On { left: &swapped_left, right: on.left, predicates: on.predicates, args: on.args };
    if !twice.is_empty() {
        let (old, new): (Vec<&str>, Vec<&str>) =
            (twice.iter().map(PlSmallStr::as_str).collect(), called.iter().map(String::as_str).collect());
        stream = stream.said(|plan| plan.rename(&old, &new))?;
    }
    let of_stream: Vec<Expr> = stream.plan.schema().iter_names().cloned().map(col).collect();
    let joined = with_frame(functions, stream, left, &swapped)?;
    let columns: Vec<Expr> = left.schema().iter_names().cloned().map(col).chain(of_stream).collect();
    joined.select(&columns)
}

/// The frame with its columns called as in the result, and beside them what rows are looked up by.
fn with_keys(
    frame: &DataFrame,
    on: &[Expr],
    renamed: impl Fn(&PlSmallStr) -> PlSmallStr,
) -> Result<(DataFrame, Vec<Expr>), PlanError> {
    let keys: Vec<PlSmallStr> = (0..on.len()).map(|n| PlSmallStr::from_string(format!("on {n}"))).collect();
    let columns = frame.schema().iter_names().map(|name| col(name.clone()).alias(renamed(name)));
    let all: Vec<Expr> =
        columns.chain(on.iter().zip(&keys).map(|(expr, key)| expr.clone().alias(key.clone()))).collect();
    let frame = frame.clone().lazy().select(all).collect().map_err(polars_says)?;
    Ok((frame, keys.into_iter().map(col).collect()))
}

/// A condition that a column of the left and one of the right are equal.
fn equal_columns(
    predicate: &Expr,
    left: &SchemaRef,
    right: &SchemaRef,
    renamed: &impl Fn(&PlSmallStr) -> PlSmallStr,
) -> Option<(Expr, Expr)> {
    let Expr::BinaryExpr { left: one, op: Operator::Eq, right: other } = predicate else { return None };
    let of_left = |expr: &Expr| expr_to_leaf_column_names(expr).iter().all(|name| left.contains(name));
    let of_right = |expr: &Expr| match expr {
        Expr::Column(name) => right.iter_names().find(|column| renamed(column) == *name).cloned().map(col),
        _ => None,
    };
    match (of_right(one), of_right(other)) {
        (_, Some(found)) if of_left(one) => Some((one.as_ref().clone(), found)),
        (Some(found), _) if of_left(other) => Some((other.as_ref().clone(), found)),
        _ => None,
    }
}

/// A frame of one row beside every row of the stream.
fn beside(
    mut stream: Stream,
    frame: &DataFrame,
    renamed: impl Fn(&PlSmallStr) -> PlSmallStr,
) -> Result<Stream, PlanError> {
    if frame.height() != 1 {
        return refused(
            format!("CROSS JOIN gives every row of the stream {} times", frame.height()),
            "Join by columns that are equal, or with a frame of one row.",
        );
    }
    for column in frame.columns() {
        let value = column.get(0).unwrap_or(AnyValue::Null).into_static();
        let scalar = Scalar::new(column.dtype().clone(), value);
        stream = stream.with_constant(renamed(column.name()), Expr::Literal(scalar.into()));
    }
    Ok(stream)
}
