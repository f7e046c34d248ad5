//! The guarantee: for any cut of the same input into micro-batches, any interleaving of its partitions and any restarts, the
//! final result equals what Polars gives for the same expressions over the same rows, less the rows that the watermark dropped.
//!
//! `CORRIENTE_CASES` sets how many random cases are tried in all. A new operator gets a word in [`words`], a line in
//! [`both`]; a new aggregate gets a number in [`aggs`].
#![allow(clippy::unwrap_used, missing_docs)]

mod aggs;
mod both;
#[path = "../common/mod.rs"]
mod common;
mod functions;
mod joined;
mod late;
mod life;
mod windows;
mod words;

use std::fmt;

use plan::{Plan, tumbling};
use polars::prelude::*;
use proptest::prelude::*;

use both::Both;
use common::cuts::{ALL, Cuts, Run, SIDES, lively_cuts, open, streamed};
use common::frames::union;
use common::rows::{self, Lines, Row, frame};
use common::{compare, holds};
use joined::Joined;
use words::Word;

/// A plan, rows and the way they come.
#[derive(Clone, Debug)]
struct Case {
    rows: Vec<Row>,
    words: Vec<Word>,
    cuts: Cuts,
    origin: Origin,
    /// Rows in the order of time have a watermark, behind which nothing is late.
    delay: Option<i64>,
}

/// What a plan begins with.
#[derive(Clone, Debug)]
enum Origin {
    One,
    /// One partition is another stream's, and the two are one by `union`.
    United,
    /// Likewise, and they are joined.
    Joined(Joined),
}

fn case() -> impl Strategy<Value = Case> {
    let delay = prop::option::weighted(0.4, prop_oneof![1..40_000i64, 1..1_000i64]);
    let origin =
        prop_oneof![3 => Just(Origin::One), 3 => Just(Origin::United), 4 => joined::joined().prop_map(Origin::Joined)];
    (rows::rows(80), words::words(), lively_cuts(), origin, delay).prop_map(
        |(mut rows, words, mut cuts, origin, delay)| {
            rows.sort_by_key(|row| (row.partition, delay.and(row.time)));
            if delay.is_some() {
                // The rows of a partition that appears when others are far ahead are late.
                cuts.appears = [0; 3];
            }
            Case { rows, words, cuts, origin, delay }
        },
    )
}

/// A delay that the rows' times are not apart.
const NONE_IS_LATE: i64 = 100_000;

impl Case {
    /// The plan, what Polars makes of it, and the way to the rows.
    fn both(&self) -> Result<(Both, engine::OpenSource), String> {
        let schema = frame(&[]).schema().clone();
        let (plan, open) = match &self.origin {
            Origin::One => (Plan::source("memory rows", schema), open(&self.rows, &ALL)),
            Origin::United => {
                let side = |name: &str, partitions| {
                    (Plan::source(format!("memory {name}"), schema.clone()), open(&self.rows, partitions))
                };
                let (first, mut second) = (side("first", SIDES[0]), side("second", SIDES[1]));
                let mut reversed: Vec<Expr> = schema.iter_names().cloned().map(col).collect();
                reversed.reverse();
                second.0 = second.0.select(&reversed).unwrap();
                both::refused(union(&[first, second]))?
            }
            Origin::Joined(joined) => joined.frame(&self.rows, self.delay.unwrap_or(NONE_IS_LATE))?,
        };
        let rows = match &self.origin {
            Origin::Joined(joined) => joined.polars(&self.rows)?,
            _ => frame(&self.rows).lazy(),
        };
        let both = self.with_words(plan.clone(), rows.clone())?;
        let both = if both.takes_the_first {
            self.with_words(plan.clone(), self.as_they_come(&plan, &open, rows)?)?
        } else {
            both
        };
        Ok((both, open))
    }

    /// The rows that a plan begins with in the order in which they come, which tells which of them are the first.
    fn as_they_come(&self, plan: &Plan, open: &engine::OpenSource, rows: LazyFrame) -> Result<LazyFrame, String> {
        if let Origin::Joined(_) = &self.origin {
            let joined = self.run(plan, open)?;
            compare::same_rows(&joined, &rows.collect().map_err(said)?)
                .map_err(|e| format!("of the join alone: {e}"))?;
            return Ok(joined.lazy());
        }
        let is_second = |row: &Row| matches!(self.origin, Origin::United) && SIDES[1].contains(&row.partition);
        let mut batches = self.cuts.batches(&self.rows);
        // In a batch, those of one stream come before those of another.
        batches.iter_mut().for_each(|batch| batch.sort_by_key(is_second));
        Ok(frame(&batches.concat()).lazy())
    }

    fn with_words(&self, plan: Plan, rows: LazyFrame) -> Result<Both, String> {
        let mut both = match &self.origin {
            Origin::Joined(joined) => joined.both(plan, rows),
            _ => Both::new(plan, rows),
        };
        let at_once = self.delay.filter(|delay| delay % 2 == 0);
        at_once.map_or(Ok(()), |delay| both.mark(delay))?;
        for word in &self.words {
            if let Some(delay) = self.delay.filter(|_| word.has_state() && both.appends) {
                both.mark(delay)?;
            }
            both.say(word)?;
        }
        Ok(both)
    }

    /// What a plan gives when its streams have ended.
    fn run(&self, plan: &Plan, open: &engine::OpenSource) -> Result<DataFrame, String> {
        let mut run = Run::begin(plan, open, &self.cuts, false).map_err(said)?;
        let mut late = 0;
        while let Some(output) = run.batch().map_err(said)? {
            late += output.late;
        }
        if late > 0 {
            return Err(format!("{late} rows are counted as late, and none is"));
        }
        // Rows of a join may wait for what does not come.
        let last = run.pipeline.finish().map_err(said)?;
        run.live.apply(&last.changes, |_| {}).map_err(said)?;
        Ok(run.live.frame())
    }

    fn check(&self) -> Result<(), String> {
        let (both, open) = self.both()?;
        let polars = both.polars.clone().collect().map_err(|error| format!("Polars refuses the words: {error}"))?;
        let result = self.run(&by_text(&both.plan)?, &open)?;
        if both.is_ordered {
            // Read at once, other rows come first.
            if !both.takes_the_first {
                let collected = engine::collect(&both.plan, &open, |_| true).map_err(|error| error.to_string())?.frame;
                compare::equal(&collected, &polars).map_err(|error| format!("collected: {error}"))?;
            }
            compare::equal(&result, &polars)
        } else if both.appends {
            compare::same_rows(&result, &polars)
        } else {
            let polars = sorted(&both, polars)?;
            compare::equal(&sorted(&both, result)?, &polars)?;
            if both.plan.windows_end() { self.check_final(&both, &open, &polars) } else { Ok(()) }
        }
    }

    /// In append mode the rows of a window that has ended are given once, and are those that it has when all is over.
    fn check_final(&self, both: &Both, open: &engine::OpenSource, polars: &DataFrame) -> Result<(), String> {
        let given = sorted(both, streamed(&both.plan, open, &self.cuts, true).map_err(said)?.given)?;
        let by: Vec<Expr> = both.identity.iter().cloned().map(col).collect();
        let args = JoinArgs { nulls_equal: true, ..JoinArgs::new(JoinType::Semi) };
        let ended = polars.clone().lazy().join(given.clone().lazy(), &by, &by, args).collect().map_err(said)?;
        compare::equal(&given, &sorted(both, ended)?).map_err(|error| format!("of the final rows: {error}"))
    }
}

/// The plan as another process reads it from its text; the plan itself, where something in it has none.
fn by_text(plan: &Plan) -> Result<Plan, String> {
    match plan.to_text() {
        Ok(text) => {
            let again = both::refused(Plan::from_text(&text, &engine::named_expression))?;
            let (words, now) = (engine::explain(plan), engine::explain(&again));
            if words == now { Ok(again) } else { Err(format!("{words}\ncomes back from its text as\n{now}")) }
        }
        Err(error) if error.to_string().contains("cannot be written down") => Ok(plan.clone()),
        Err(error) => Err(error.to_string()),
    }
}

fn sorted(both: &Both, frame: DataFrame) -> Result<DataFrame, String> {
    if both.identity.is_empty() {
        return Ok(frame);
    }
    frame.sort(both.identity.clone(), SortMultipleOptions::default()).map_err(said)
}

fn said(error: PolarsError) -> String {
    error.to_string()
}

impl fmt::Display for Case {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.both() {
            Ok((both, _)) => f.write_str(&both.plan.explain())?,
            Err(error) => writeln!(f, "{error}")?,
        }
        writeln!(f, "{}{:?}\n{:?}\n{:?}", Lines(&self.rows), self.cuts, self.origin, self.words)
    }
}

#[test]
fn any_plan_over_any_rows_in_any_cut_equals_polars() {
    holds(70, &case(), Case::check);
}

#[test]
fn with_a_watermark_only_late_rows_are_missing() {
    holds(30, &late::late(), late::Late::check);
}

#[test]
fn whatever_becomes_of_a_topic_each_row_is_in_one_window_or_late_or_told_as_lost() {
    holds(10, &life::life(), life::Life::check);
}

#[test]
fn a_row_that_stops_passing_the_filter_leaves_the_result() {
    let row = |whole: i64| Row {
        partition: 0,
        time: Some(1),
        key: None,
        whole: Some(whole),
        float: None,
        cents: None,
        small: None,
        flag: None,
        tags: None,
        place: (None, None),
    };
    let plan = Plan::source("memory rows", frame(&[]).schema().clone());
    let plan = plan.group_by_dynamic(&col("event_time"), &[], &tumbling("10s"), &[col("whole").sum()]).unwrap();
    let plan = plan.filter(col("whole").gt(lit(10))).unwrap();
    let rows = [row(20), row(-15)];
    let height = |rows: &[Row]| {
        let one_by_one = Cuts { batches: vec![[1, 0, 0]], ..Cuts::default() };
        streamed(&plan, &open(rows, &ALL), &one_by_one, false).unwrap().result.height()
    };
    assert_eq!((height(&rows[..1]), height(&rows)), (1, 0));
}
