//! Windows of windows, of sessions and of keys, with a watermark and what it makes late.

use std::fmt;

use plan::{Plan, hopping, session, tumbling};
use polars::prelude::*;
use proptest::prelude::*;

use super::common::cuts::{ALL, Cuts, Run, cuts, open};
use super::common::holds;
use super::common::rows::{Lines, Row, frame, rows};
use super::{same, subtractions};

#[derive(Clone, Debug)]
struct Case {
    rows: Vec<Row>,
    cuts: Cuts,
    delay: i64,
    below: usize,
    above: usize,
    filtered: bool,
}

impl fmt::Display for Case {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}", self.plan(false).explain())?;
        writeln!(f, "{}{:?}", Lines(&self.rows), self.cuts)
    }
}

fn cases() -> impl Strategy<Value = Case> {
    (rows(70), cuts(), 1..30_000i64, 0..5usize, 0..5usize, any::<bool>())
        .prop_map(|(rows, cuts, delay, below, above, filtered)| Case { rows, cuts, delay, below, above, filtered })
}

impl Case {
    /// `kept` has all rows kept.
    fn plan(&self, kept: bool) -> Plan {
        let source = Plan::source("memory rows", frame(&[]).schema().clone());
        let source = source.with_watermark("event_time", &format!("{}ms", self.delay)).unwrap();
        let (time, key) = (col("event_time"), [col("key")]);
        let mut aggs = vec![
            len().alias("n"),
            col("small").sum().alias("total"),
            col("cents").max().alias("dearest"),
            col("event_time").max().alias("newest"),
        ];
        if self.below == 2 {
            aggs.push(col("whole").alias("all"));
        }
        let windows = |window| source.group_by_dynamic(&time, &key, &window, &aggs).unwrap();
        let plan = match self.below {
            0 | 2 => windows(tumbling("10s")),
            1 => windows(hopping("20s", "5s")),
            3 => windows(session("3s")),
            _ => source.group_by(&[col("key"), col("flag")], &aggs).unwrap(),
        };
        let plan = if self.filtered { plan.filter(col("total").gt(lit(-20))).unwrap() } else { plan };
        let mut aggs = vec![
            len().alias("windows"),
            col("n").sum(),
            col("total").sum(),
            col("total").min().alias("least"),
            col("total").mean().alias("mean"),
            col("total").median().alias("middle"),
            col("total").n_unique().alias("different"),
            col("dearest").sum(),
        ];
        if kept {
            aggs.push(col("total").first().alias("kept"));
        }
        let of = |name: &str, window| plan.group_by_dynamic(&col(name), &[], &window, &aggs).unwrap();
        match (self.above, self.below) {
            (0, 0..=2) => of("event_time", tumbling("1m")),
            (1, 0..=2) => of("event_time", hopping("30s", "10s")),
            // A row goes from one window to another when its newest time does.
            (2, _) => of("newest", tumbling("7s")),
            (3, _) => plan.group_by(&[], &aggs).unwrap(),
            _ => plan.group_by(&key, &aggs).unwrap(),
        }
    }

    fn identity(&self) -> usize {
        usize::from(self.above != 3)
    }

    fn check(&self) -> Result<(), String> {
        let (plan, twin) = (self.plan(false), self.plan(true));
        assert_eq!((subtractions(&plan), subtractions(&twin)), (1, 0));
        let said = |error: PolarsError| error.to_string();
        let open = open(&self.rows, &ALL);
        for append in [false, true] {
            let mut ours = Run::begin(&plan, &open, &self.cuts, append).map_err(said)?;
            let mut slow = Run::begin(&twin, &open, &self.cuts, append).map_err(said)?;
            let mut number = 0;
            while let Some(output) = ours.batch().map_err(|error| format!("batch {number}: {error}"))? {
                let batch = |error: String| format!("batch {number}, final rows only: {append}: {error}");
                let theirs = slow.batch().map_err(said)?.ok_or("there is no such batch")?;
                let twin = slow.live.frame().drop("kept").map_err(said)?;
                same(&ours.live.frame(), &twin, self.identity()).map_err(batch)?;
                if append {
                    let twin = theirs.changes.rows.drop("kept").map_err(said)?;
                    same(&output.changes.rows, &twin, self.identity()).map_err(batch)?;
                }
                let facts = |output: &engine::BatchOutput| (output.late, output.timeless, output.closed.len());
                if facts(&output) != facts(&theirs) {
                    return Err(batch(format!("{:?} and not {:?}", facts(&output), facts(&theirs))));
                }
                number += 1;
            }
        }
        Ok(())
    }
}

#[test]
fn windows_of_windows_are_what_all_rows_give() {
    holds(30, &cases(), Case::check);
}
