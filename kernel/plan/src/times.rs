//! What a plan says of time: the watermark, which columns it holds for and how far behind it they may be, the time of
//! processing, and the rows that come too late.

use std::collections::{BTreeMap, BTreeSet};

use polars::prelude::*;
use polars_plan::dsl::FunctionExpr;
use polars_plan::utils::expr_output_name;

use crate::PlanError;
use crate::aggregate::{Aggregate, BOUNDARIES, Over};
use crate::join::Join;
use crate::node::{Node, Plan, Step};
use crate::window::{Cut, any_duration, parse_duration};

/// How far event time may run back: a row older than the newest by more than the delay may find its window closed.
#[derive(Clone, Debug, PartialEq)]
pub struct Watermark {
    /// The column with the event time.
    pub column: PlSmallStr,
    /// The delay as it was written.
    pub delay: String,
    /// The delay in milliseconds.
    pub delay_ms: i64,
    /// Whether the column is the time of processing, so that the watermark goes on as the clock does.
    pub by_clock: bool,
    /// How far a time may be ahead of the clock and still move the watermark, in milliseconds.
    pub ahead_ms: i64,
}

/// A day: more than any zone is ahead of another, and less than a clock that is wrong by a date.
pub(crate) const AHEAD_MS: i64 = 86_400_000;

/// The columns of a step's input that the watermark says something of.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Times {
    /// For each such column how far behind the watermark, in nanoseconds, its times may be in rows that are not late.
    behind: BTreeMap<PlSmallStr, i64>,
    /// Columns with the time of processing.
    by_clock: BTreeSet<PlSmallStr>,
}

impl Plan {
    /// Says that rows may come `delay` late by the time in `column`, as in Spark's `withWatermark`. A column with the time of
    /// processing is never late, and may have a delay of `"0s"`.
    ///
    /// # Errors
    /// An unknown column, one that is no time, a delay that is no duration, a second watermark, or one after an aggregation.
    pub fn with_watermark(&self, column: &str, delay: &str) -> Result<Plan, PlanError> {
        let operation = "with_watermark";
        let column = self.time_column(operation, &col(column))?;
        let by_clock = self.times().by_clock.contains(&column);
        let parsed = match any_duration(operation, delay)? {
            zero if by_clock && zero.is_zero() => zero,
            _ => parse_duration(operation, delay)?,
        };
        if let Node::Join(_) = self.root().node() {
            return Err(PlanError::Refused {
                operation,
                detail: "the frame is a join of two streams, whose watermarks are its own".to_owned(),
                hint: "Set it on one of them, before they are joined.",
            });
        }
        for step in self.steps() {
            let detail = match step {
                Step::Watermark(first) => format!("the frame has a watermark already, on \"{}\"", first.column),
                step if step.has_state() => "the frame has a state already".to_owned(),
                _ => continue,
            };
            let hint = "Set one watermark, before windows, unique and limit.";
            return Err(PlanError::Refused { operation, detail, hint });
        }
        let delay_ms = (parsed.duration_ns() + 999_999) / 1_000_000;
        let watermark = Watermark { column, delay: delay.to_owned(), delay_ms, by_clock, ahead_ms: AHEAD_MS };
        Ok(self.step(Step::Watermark(watermark), self.schema().clone()))
    }

    /// Says how far ahead of the clock a time may be that moves the watermark, which was said right before; unless it is said, a day.
    /// Rows beyond it are in the result as others are, and counted.
    ///
    /// # Errors
    /// A text that is no length of time, or a frame whose last step is no watermark.
    pub fn with_max_ahead(&self, limit: &str) -> Result<Plan, PlanError> {
        let operation = "with_max_ahead";
        let refused = |detail: String, hint| Err(PlanError::Refused { operation, detail, hint });
        let Node::Step { input, step: Step::Watermark(watermark) } = self.node() else {
            let detail = "the step before it is no watermark".to_owned();
            return refused(detail, "Write with_watermark(\"event_time\", \"30s\").with_max_ahead(\"1h\").");
        };
        let parsed = parse_duration(operation, limit)?;
        if parsed.months() != 0 {
            return refused(format!("\"{limit}\" has no fixed length"), "Write 10m, 6h or 1d.");
        }
        let watermark = Watermark { ahead_ms: parsed.duration_ns() / 1_000_000, ..watermark.clone() };
        Ok(input.step(Step::Watermark(watermark), self.schema().clone()))
    }

    /// Adds a column with the time at which a row's batch was planned, as Spark's `current_timestamp()`.
    ///
    /// # Errors
    /// A column that is there already, or a frame whose rows change.
    pub fn with_processing_time(&self, column: &str) -> Result<Plan, PlanError> {
        let operation = "with_processing_time";
        self.only_appended(operation, "Take the time of the rows before they are aggregated.")?;
        if self.schema().contains(column) {
            return Err(PlanError::Refused {
                operation,
                detail: format!("there is a column \"{column}\" already"),
                hint: "Give the new one another name.",
            });
        }
        let mut schema = self.schema().as_ref().clone();
        let dtype = DataType::Datetime(TimeUnit::Milliseconds, Some(TimeZone::UTC));
        schema.with_column(column.into(), dtype);
        Ok(self.step(Step::ProcessingTime(column.into()), schema.into()))
    }

    /// The rows that the watermark has the first such step drop: those that come when all their windows are closed, or of
    /// sessions, `unique` and a join of two streams, behind the watermark. Of overlapping windows a row is late for each that is closed,
    /// and is counted so, but is here only where it is in none any more.
    ///
    /// # Errors
    /// A frame without a watermark, or without a step that drops late rows.
    pub fn late_rows(&self) -> Result<Plan, PlanError> {
        let refused =
            |detail: &str, hint| Err(PlanError::Refused { operation: "late_rows", detail: detail.to_owned(), hint });
        if !self.has_watermark() {
            return refused(
                "without a watermark no row is late",
                "Say how late rows may come with with_watermark(\"event_time\", \"30s\") before the windows.",
            );
        }
        let mut found = None;
        let mut plan = self;
        while let Node::Step { input, step } = plan.node() {
            if input.times().drops(step) {
                found = Some(plan);
            }
            plan = input;
        }
        if let Node::Join(join) = plan.node()
            && !join.late
            && join.sides.iter().any(|side| side.time.is_some())
        {
            let late = Join { late: true, ..join.as_ref().clone() };
            return Ok(Plan::of(Node::Join(Box::new(late)), plan.schema().clone()));
        }
        match found {
            Some(plan) => plan.late_of_last(),
            None => refused(
                "no step of the frame drops rows that come late",
                "Ask the frame that comes of windows over the watermark's column, unique or join_stream.",
            ),
        }
    }

    /// What the watermark says of the columns.
    #[must_use]
    pub fn times(&self) -> Times {
        match self.node() {
            Node::Scan(_) | Node::Union(_) => Times::default(),
            // All of the late rows are behind it.
            Node::Join(join) if join.late => Times::default(),
            Node::Join(join) => Times::of(join.behind()),
            Node::Step { input, step } => input.times().after(step, input.schema(), self.schema()),
        }
    }

    /// Whether it is said how late rows may come.
    #[must_use]
    pub fn has_watermark(&self) -> bool {
        !self.watermarks().is_empty()
    }

    /// What is said of how late rows may come, of each of the streams that are joined.
    pub(crate) fn watermarks(&self) -> Vec<&Watermark> {
        match self.node() {
            Node::Scan(_) | Node::Union(_) => Vec::new(),
            Node::Join(join) => join.sides.iter().flat_map(|side| side.plan.watermarks()).collect(),
            Node::Step { step: Step::Watermark(watermark), .. } => vec![watermark],
            Node::Step { input, .. } => input.watermarks(),
        }
    }

    /// Whether rows become final: whether the watermark says something of the column that the windows of the last aggregation are
    /// of, or of a key of the join that comes last.
    #[must_use]
    pub fn windows_end(&self) -> bool {
        match self.node() {
            Node::Step { input, step: Step::Aggregate(aggregate) } => {
                aggregate.over.as_ref().is_some_and(|over| input.times().behind.contains_key(&over.time))
            }
            Node::Step { input, .. } => input.windows_end(),
            Node::Join(join) => !join.appends() && join.time_key().is_some(),
            Node::Scan(_) | Node::Union(_) => false,
        }
    }
}

impl Times {
    /// The column that is the least behind the watermark.
    #[must_use]
    pub fn nearest(&self) -> Option<&PlSmallStr> {
        self.behind.iter().min_by_key(|(_, behind)| **behind).map(|(name, _)| name)
    }

    /// How far behind the watermark, in nanoseconds, a column's times may be in rows that are not late; `None` where the watermark
    /// says nothing of it.
    #[must_use]
    pub fn behind(&self, column: &str) -> Option<i64> {
        self.behind.get(column).copied()
    }

    /// How far behind the watermark, in nanoseconds, rows may be that this step is given and that are not late; `None` where
    /// the watermark says nothing of the time that the step goes by.
    #[must_use]
    pub fn slack(&self, step: &Step) -> Option<i64> {
        match step {
            Step::Aggregate(aggregate) => self.behind.get(&aggregate.over.as_ref()?.time).copied(),
            Step::Unique(_) => self.behind.get(self.nearest()?).copied(),
            Step::LateRows(of) => self.slack(of),
            // What a function makes of time is its own affair.
            Step::WithState(..) => Some(0),
            _ => None,
        }
    }

    fn drops(&self, step: &Step) -> bool {
        !matches!(step, Step::WithState(..) | Step::LateRows(_)) && self.slack(step).is_some()
    }

    /// Of columns with times that may be so far behind the watermark, in nanoseconds.
    #[must_use]
    pub fn of(behind: Vec<(PlSmallStr, i64)>) -> Times {
        Times { behind: behind.into_iter().collect(), ..Times::default() }
    }

    /// What it says after a step, of which the schemas are those before and after it.
    #[must_use]
    pub fn after(mut self, step: &Step, before: &Schema, schema: &Schema) -> Times {
        match step {
            Step::Watermark(watermark) => self.behind = BTreeMap::from([(watermark.column.clone(), 0)]),
            Step::ProcessingTime(column) => drop(self.by_clock.insert(column.clone())),
            Step::Select(exprs) => {
                return self.written(exprs, Times::default()).only(|name| schema.contains(name));
            }
            Step::WithColumns(exprs) => {
                return self.written(exprs, self.clone()).only(|name| schema.contains(name));
            }
            // All of them are behind it.
            Step::LateRows(_) => self.behind.clear(),
            Step::Aggregate(aggregate) => return self.aggregated(aggregate, schema),
            _ => {}
        }
        // A row that a person's function makes is late if its time is.
        self.only(|name| schema.get(name).is_some() && schema.get(name) == before.get(name).or(schema.get(name)))
    }

    /// Those of the columns that expressions write which are another one as it was; `kept` are those that stay.
    fn written(&self, exprs: &[Expr], kept: Times) -> Times {
        let mut times = kept;
        for expr in exprs {
            match (same(expr), expr_output_name(expr)) {
                (Some(Expr::Column(from)), Ok(to)) => {
                    times.forget(&to);
                    times.behind.extend(self.behind.get(from).map(|behind| (to.clone(), *behind)));
                    times.by_clock.extend(self.by_clock.contains(from).then_some(to));
                }
                // It stands for columns as they are, and which these are does not matter: the others are not there afterwards.
                (Some(Expr::Selector(_)), _) => {
                    times.behind.extend(self.behind.clone());
                    times.by_clock.extend(self.by_clock.clone());
                }
                (_, Ok(to)) if !has_selector(expr) => times.forget(&to),
                _ => return Times::default(),
            }
        }
        times
    }

    /// Windows that may still change end behind the watermark; how far before that they start is known where they have a
    /// length.
    #[must_use]
    pub fn aggregated(&self, aggregate: &Aggregate, schema: &Schema) -> Times {
        let Some(Over { time, cut: Cut::Every(hops), .. }) = &aggregate.over else { return Times::default() };
        let Some(before) = self.behind.get(time) else { return Times::default() };
        let length = before.saturating_add(longest(&hops.period));
        let named_by = if hops.label == Label::Right { *before } else { length };
        let mut behind = BTreeMap::from([(time.clone(), named_by)]);
        if hops.boundaries {
            behind.extend(BOUNDARIES.map(PlSmallStr::from_static).into_iter().zip([length, *before]));
        }
        for expr in &aggregate.written {
            let Expr::Alias(inner, name) = expr else { continue };
            if is_a_time_of(inner, time) && schema.get(name) == schema.get(time) {
                behind.insert(name.clone(), length);
            }
        }
        Times { behind, ..Times::default() }
    }

    fn forget(&mut self, name: &PlSmallStr) {
        self.behind.remove(name);
        self.by_clock.remove(name);
    }

    fn only(mut self, keep: impl Fn(&PlSmallStr) -> bool) -> Times {
        self.behind.retain(|name, _| keep(name));
        self.by_clock.retain(|name| keep(name));
        self
    }
}

/// The column or selector whose values an expression gives as they are; a value in the place of a null is no other time.
fn same(expr: &Expr) -> Option<&Expr> {
    match expr {
        Expr::Column(_) | Expr::Selector(_) => Some(expr),
        Expr::Alias(inner, _) | Expr::KeepName(inner) => same(inner),
        Expr::Function { input, function: FunctionExpr::FillNull } => same(input.first()?),
        _ => None,
    }
}

fn has_selector(expr: &Expr) -> bool {
    expr.into_iter().any(|e| matches!(e, Expr::Selector(_)))
}

/// Whether an aggregate is one of a window's times.
fn is_a_time_of(expr: &Expr, time: &PlSmallStr) -> bool {
    let of = match expr {
        Expr::Alias(inner, _) => return is_a_time_of(inner, time),
        Expr::Agg(AggExpr::Min { input, .. } | AggExpr::Max { input, .. }) => input,
        Expr::Agg(AggExpr::First(input) | AggExpr::Last(input)) => input,
        _ => return false,
    };
    matches!(of.as_ref(), Expr::Column(name) if name == time)
}

/// No shorter than the duration is anywhere in the calendar: a month has 31 days at the most, and a day 25 hours.
fn longest(duration: &Duration) -> i64 {
    let hour = 3600 * 1_000_000_000_i64;
    let hours = duration.months() * (31 * 24 + 1) + duration.weeks() * (7 * 24 + 1) + duration.days() * 25;
    hours.saturating_mul(hour).saturating_add(duration.nanoseconds())
}
