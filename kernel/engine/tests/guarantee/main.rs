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
mod late;
mod windows;
mod words;

use std::fmt;

use plan::{Plan, tumbling};
use polars::prelude::*;
use proptest::prelude::*;

use both::Both;
use common::cuts::{self, ALL, Cuts, SIDES, open, streamed};
use common::rows::{self, Lines, Row, frame};
use common::{compare, holds};
use words::Word;

/// A plan, rows and the way they come.
#[derive(Clone, Debug)]
struct Case {
    rows: Vec<Row>,
    words: Vec<Word>,
    cuts: Cuts,
    /// Whether one partition is another stream's, and the two are one by `union`.
    united: bool,
    /// Rows in the order of time have a watermark, behind which nothing is late.
    delay: Option<i64>,
}

fn case() -> impl Strategy<Value = Case> {
    let delay = prop::option::weighted(0.4, 1..40_000i64);
    (rows::rows(80), words::words(), cuts::cuts(), any::<bool>(), delay).prop_map(
        |(mut rows, words, cuts, united, delay)| {
            rows.sort_by_key(|row| (row.partition, delay.and(row.time)));
            Case { rows, words, cuts, united, delay }
        },
    )
}

impl Case {
    /// The plan, what Polars makes of it, and the way to the rows.
    fn both(&self) -> Result<(Both, engine::OpenSource), String> {
        let schema = frame(&[]).schema().clone();
        let (plan, open) = if self.united {
            let side = |name: &str, partitions| {
                (Plan::source(format!("memory {name}"), schema.clone()), open(&self.rows, partitions))
            };
            let (first, mut second) = (side("first", SIDES[0]), side("second", SIDES[1]));
            let mut reversed: Vec<Expr> = schema.iter_names().cloned().map(col).collect();
            reversed.reverse();
            second.0 = second.0.select(&reversed).unwrap();
            engine::union(&[first, second]).map_err(|error| error.to_string())?
        } else {
            (Plan::source("memory rows", schema), open(&self.rows, &ALL))
        };
        let both = self.said(plan.clone(), &self.rows)?;
        // Which rows are the first is told by how they come: in a batch, those of one stream before those of another.
        let mut batches = self.cuts.batches(&self.rows);
        batches.iter_mut().for_each(|batch| batch.sort_by_key(|row| self.united && SIDES[1].contains(&row.partition)));
        let in_order = batches.concat();
        Ok((if both.takes_the_first { self.said(plan, &in_order)? } else { both }, open))
    }

    fn said(&self, plan: Plan, rows: &[Row]) -> Result<Both, String> {
        let mut both = Both::new(plan, frame(rows).lazy());
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

    fn check(&self) -> Result<(), String> {
        let (both, open) = self.both()?;
        let polars = both.polars.clone().collect().map_err(|error| format!("Polars refuses the words: {error}"))?;
        let ran = streamed(&both.plan, &open, &self.cuts, false).map_err(|error| error.to_string())?;
        if ran.late > 0 {
            return Err(format!("{} rows are counted as late, and none is", ran.late));
        }
        if both.is_ordered {
            // The first row has the largest identity.
            compare::equal(&ran.result.reverse(), &polars)
        } else if both.appends {
            compare::same_rows(&ran.result, &polars)
        } else {
            let sorted = |frame: DataFrame| match both.identity.is_empty() {
                true => Ok(frame),
                false => frame.sort(both.identity.clone(), SortMultipleOptions::default()).map_err(|e| e.to_string()),
            };
            compare::equal(&sorted(ran.result)?, &sorted(polars)?)
        }
    }
}

impl fmt::Display for Case {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.both() {
            Ok((both, _)) => f.write_str(&both.plan.explain())?,
            Err(error) => writeln!(f, "{error}")?,
        }
        writeln!(f, "{}{:?}\n{:?}", Lines(&self.rows), self.cuts, self.words)
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
        let one_by_one = Cuts { batches: vec![[1, 0, 0]], restarts: Vec::new() };
        streamed(&plan, &open(rows, &ALL), &one_by_one, false).unwrap().result.height()
    };
    assert_eq!((height(&rows[..1]), height(&rows)), (1, 0));
}
